"""The project at hand: machine, folders, targets, budget."""

from pathlib import Path

import pytest
from tests.support.hosts import RUNNING, make_project, write_host

from geowheel.errors import MachineError, UsageError
from geowheel.project.project import Machine, open_project, this_machine
from geowheel.targets import Platform, Target


def pretend(monkeypatch: pytest.MonkeyPatch, system: str, machine: str) -> None:
    monkeypatch.setattr("geowheel.project.project.python_platform.system", lambda: system)
    monkeypatch.setattr("geowheel.project.project.python_platform.machine", lambda: machine)


@pytest.mark.parametrize(
    ("system", "machine", "platform"),
    [
        ("Linux", "x86_64", Platform.LINUX_64),
        ("Linux", "aarch64", Platform.LINUX_AARCH64),
        ("Darwin", "arm64", Platform.OSX_ARM64),
        ("Windows", "AMD64", Platform.WIN_64),
    ],
)
def test_a_machine_has_a_platform(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, platform: Platform
) -> None:
    pretend(monkeypatch, system, machine)
    assert this_machine({}).platform is platform


def test_a_machine_without_a_platform_names_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "SunOS", "sparc")
    with pytest.raises(MachineError, match="SunOS sparc") as caught:
        this_machine({})
    assert "linux-64" in str(caught.value)


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, "Linux", "x86_64")
    monkeypatch.chdir(tmp_path)
    assert this_machine({"GEOWHEEL_CACHE": "here"}).cache == tmp_path / "here"
    assert this_machine({}).cache.name == "geowheel"
    assert this_machine({"GEOWHEEL_CACHE": ""}).cache == this_machine({}).cache


def test_folders_lie_below_the_root_and_the_host(tmp_path: Path) -> None:
    host = write_host(tmp_path / "hosts" / "a")
    (host / "pixi.toml").rename(tmp_path / "pixi.toml")
    machine = Machine(platform=Platform.LINUX_64, environ={}, cache=tmp_path)
    project = open_project(root=tmp_path, host=Path("hosts/a"), machine=machine)
    assert project.home == "hosts/a"
    assert project.root == tmp_path.resolve()
    assert project.folder == project.root / "hosts" / "a"
    assert project.work == project.root / ".geowheel"
    assert project.dist == project.root / "dist"
    assert project.manifest.path == project.root / "pixi.toml"
    assert project.target("3.98") == Target(python="3.98", platform=Platform.LINUX_64)


@pytest.mark.parametrize(
    ("option", "variable", "expected"),
    [
        (None, None, None),
        (None, "distro", "distro"),
        ("conda-forge", "distro", "conda-forge"),
        (None, "", None),
    ],
)
def test_the_option_wins_over_the_variable(
    tmp_path: Path, option: str | None, variable: str | None, expected: str | None
) -> None:
    write_host(tmp_path)
    environ = {} if variable is None else {"GEOWHEEL_CHANNEL": variable}
    machine = Machine(platform=Platform.LINUX_64, environ=environ, cache=tmp_path)
    project = open_project(root=tmp_path, host=Path(), machine=machine, channel=option)
    assert project.channel == expected


def test_an_unknown_python_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"not configured for Python 3\.1") as caught:
        make_project(tmp_path).target("3.1")
    assert f"{RUNNING}, 3.98, 3.99" in str(caught.value)


@pytest.mark.parametrize("text", ["five", "0", "-1", "nan", "inf", "5 MB"])
def test_a_budget_that_is_no_size_is_refused(tmp_path: Path, text: str) -> None:
    project = make_project(tmp_path, environ={"WHEEL_SIZE_BUDGET_MB": text})
    with pytest.raises(UsageError, match="WHEEL_SIZE_BUDGET_MB") as caught:
        _ = project.wheel_budget_mb
    assert repr(text) in str(caught.value)


def test_a_variable_overrides_the_budget(tmp_path: Path) -> None:
    more = "[tool.geowheel.budget]\nwheel-mb = 12.5\n"
    assert make_project(tmp_path, more=more).wheel_budget_mb == 12.5
    project = make_project(tmp_path, more=more, environ={"WHEEL_SIZE_BUDGET_MB": "5"})
    assert project.wheel_budget_mb == 5.0

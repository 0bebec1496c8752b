"""`doctor`: what is missing, what is only said, and when the machine is ready."""

import importlib.metadata
import json
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from packaging.pylock import Pylock
from tests.support.hosts import (
    RUNNING,
    make_console,
    make_interpreter,
    make_locks,
    make_project,
    write_host,
)

from geowheel.cli import doctor as module
from geowheel.cli.doctor import doctor
from geowheel.errors import ConfigError, LockError, MachineError
from geowheel.locks.build_lock import BuildLock
from geowheel.machine.environments import tool_environment
from geowheel.project.manifest import find_manifest
from geowheel.project.project import Machine, Project

pytestmark = pytest.mark.usefixtures("healthy")
Checks = dict[str, dict[str, Any]]
TO_FETCH = module.to_fetch
"""The real one, which a healthy machine lacks."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that has everything, without asking it."""
    answers: dict[str, Any] = {
        "find_pixi": None,
        "find_interpreter": make_interpreter(RUNNING),
        "locks_at_hand": make_locks(),
        "unreachable": [],
        "tool_path": tmp_path / "tool",
        "to_fetch": 3,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(module, name, lambda *_, answer=answer, **__: answer)
    toolchain(monkeypatch, lambda *_: SimpleNamespace(describe=lambda: "g++ 99"))
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: ["packaging>=1"])
    monkeypatch.setattr(shutil, "which", lambda name, **_: f"/usr/bin/{name}")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=50e9))
    monkeypatch.setattr(module, "index_environment", tool_environment)  # pip is not asked
    uv_says(monkeypatch)


def toolchain(monkeypatch: pytest.MonkeyPatch, find: Callable[..., Any]) -> None:
    monkeypatch.setattr("geowheel.systems.of", lambda _: SimpleNamespace(find_toolchain=find))


def uv_says(monkeypatch: pytest.MonkeyPatch, error: str = "") -> None:
    said = SimpleNamespace(returncode=1 if error else 0, stderr=error)
    monkeypatch.setattr("geowheel.machine.console.Step.run", lambda *_, **__: said)


def look(root: Path, *, code: int = 0, **more: Any) -> Checks:
    """All checks by name, after the exit code was compared."""
    project = make_project(root, more=f"\n{more.get('config', '')}")
    return looked(lambda: project, root, project.machine, code)


def looked(open_it: Callable[[], Project], root: Path, machine: Machine, code: int) -> Checks:
    console = make_console(root)
    if code == 0:
        summary = doctor(open_it, root, machine, console)
    else:
        with pytest.raises(MachineError) as caught:
            doctor(open_it, root, machine, console)
        assert caught.value.exit_code == code
        summary = json.loads(caught.value.__notes__[0])
    assert summary["ready"] is (code == 0)
    return {check["name"]: check for check in summary["checks"]}


def test_a_machine_with_everything_is_ready(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checks = look(root)
    assert {check["state"] for check in checks.values()} == {"ok"}
    assert {"compilers", "locks", "channel conda-forge", f"Python {RUNNING}", "strip"} <= set(
        checks
    )
    capsys.readouterr()
    project = make_project(root)
    summary = doctor(lambda: project, root, project.machine, make_console(root), every=True)
    captured = capsys.readouterr()
    assert captured.err == ""
    _, _, _, _, *rows, last = captured.out.splitlines()
    for row, check in zip(rows, summary["checks"], strict=True):
        assert row.startswith(f"  {check['name']}  ")
    assert last == "nothing is missing"


def test_without_a_project(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root.mkdir()
    machine = make_project(tmp_path / "other").machine
    checks = looked(Mock(side_effect=ConfigError("never opened")), root, machine, 0)
    assert "compilers" in checks and "locks" not in checks
    captured = capsys.readouterr()
    assert "no host project here: only the machine was checked\n" in captured.out
    assert captured.err == ""
    assert list(root.iterdir()) == [], "doctor makes nothing"


def test_a_broken_configuration_is_missing(root: Path) -> None:
    write_host(root)
    machine = make_project(root / "other").machine
    checks = looked(Mock(side_effect=ConfigError("no such key", where="p")), root, machine, 7)
    assert "no such key" in checks["configuration"]["found"]


def test_what_is_missing_has_its_command(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Mock(side_effect=MachineError("not there", fix="get it"))
    for name in ("tool_path", "find_pixi"):
        monkeypatch.setattr(module, name, missing)
    toolchain(monkeypatch, missing)
    checks = look(root, code=7)
    for found in (checks["compilers"], checks["uv"], checks["pixi"]):
        assert (found["state"], found["found"], found["fix"]) == ("missing", "not there", "get it")
    monkeypatch.setattr(
        module, "locks_at_hand", Mock(side_effect=LockError("stale", fix="`geowheel lock`"))
    )
    assert look(root, code=7)["locks"]["fix"] == "`geowheel lock`"


def test_a_compiler_is_needed_strip_and_git_are_better(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    toolchain(monkeypatch, Mock(side_effect=MachineError("no C/C++ compiler", fix="install one")))
    names = ("compilers", "strip", "git")
    checks = look(root, code=7)
    assert [checks[name]["state"] for name in names] == ["missing", "warn", "warn"]
    assert all(checks[name]["fix"] for name in names)
    checks = look(root, config='toolchain = "zig"')
    assert checks["compilers"]["found"] == "zig, which the build lock has"


def test_an_interpreter_counts_when_needed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(python: str, **_: object) -> object:
        if python != RUNNING:
            raise MachineError(f"CPython {python} is not on this machine", fix="pyenv install")
        return make_interpreter(python)

    monkeypatch.setattr(module, "find_interpreter", find)
    checks = look(root)
    assert checks[f"Python {RUNNING}"]["state"] == "ok"
    assert checks["Python 3.98"]["state"] == "warn" and checks["Python 3.98"]["fix"]
    monkeypatch.setattr(module, "find_interpreter", Mock(side_effect=MachineError("none")))
    assert look(root, code=7)[f"Python {RUNNING}"]["state"] == "missing"


def test_a_network_counts_when_it_is_needed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "unreachable", lambda *_: ["conda.invalid did not answer"])
    uv_says(monkeypatch, "dns error\nmore")
    checks = look(root, code=7)
    for name in ("channel conda-forge", "Python package index"):
        assert checks[name]["state"] == "missing" and checks[name]["fix"]
    monkeypatch.setattr(module, "to_fetch", lambda *_: 0)
    checks = look(root)
    for name in ("channel conda-forge", "Python package index"):
        assert checks[name]["state"] == "warn" and "everything" in checks[name]["found"]


def test_a_distribution_may_stand_in(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "unreachable", lambda *_: ["conda.invalid did not answer"])
    monkeypatch.setattr(module, "locks_at_hand", lambda *_: None)
    assert look(root, code=7)["channel conda-forge"]["state"] == "missing"
    monkeypatch.setattr(module, "read_distribution", lambda *_: "debian-99")
    checks = look(root, config='channel-fallback = "distro"')
    assert checks["channel conda-forge"]["state"] == "warn"
    assert checks["distro channel"]["found"] == "can be made on debian-99"
    assert checks["locks"]["state"] == "warn"
    assert checks["locks"]["fix"].startswith("`geowheel lock` ")


def test_another_platform_is_looked_at(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(_: object, platform: str, *__: object) -> None:
        asked.append(platform)

    for name in ("locks_at_hand", "unreachable"):
        monkeypatch.setattr(module, name, ask)
    project = make_project(root)
    pixi = root / "pixi.toml"
    pixi.write_text(pixi.read_text().replace('"linux-64"', '"win-64", "osx-64"'))
    project = replace(project, manifest=find_manifest(root))
    checks = looked(lambda: project, root, project.machine, 0)
    assert "does not name linux-64: win-64" in checks["platforms"]["found"]
    assert asked == ["win-64", "win-64"]


def build_lock_for(python: str) -> BuildLock:
    """GDAL's sdist, and a NumPy that only one Python has a wheel of."""
    tag = "cp" + python.replace(".", "")
    hashes = {"sha256": "0" * 64}
    wheel = f"https://i.invalid/numpy-2.2.0-{tag}-{tag}-manylinux2014_x86_64.whl"
    sdist = "https://i.invalid/gdal-3.10.2.tar.gz"
    data = {
        "lock-version": "1.0",
        "created-by": "test",
        "dependency-groups": ["bindings", "build", "test", "sdist"],
        "packages": [
            {"name": "gdal", "version": "3.10.2", "sdist": {"url": sdist, "hashes": hashes},
             "marker": "'sdist' in dependency_groups"},
            {"name": "numpy", "version": "2.2.0", "wheels": [{"url": wheel, "hashes": hashes}],
             "marker": "'bindings' in dependency_groups"},
        ],
    }  # fmt: skip
    return BuildLock(path=Path("pylock.geowheel.toml"), pylock=Pylock.from_dict(data))


def test_a_python_without_a_wheel_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locks = replace(make_locks(), build=build_lock_for(RUNNING))
    monkeypatch.setattr(module, "locks_at_hand", lambda *_: locks)
    monkeypatch.setattr(module, "to_fetch", TO_FETCH)
    found = look(root)["build lock"]
    assert found["state"] == "warn" and found["fix"].endswith("then run `geowheel lock`")
    assert "cp398-linux-64" in found["found"]


def test_little_space_and_a_closed_cache(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4.9e9))
    checks = look(root)
    assert checks["disk of the cache"]["state"] == "warn"
    assert checks["disk of the cache"]["found"] == "4.9 GB free"
    closed = Mock(side_effect=PermissionError(13, "Permission denied"))
    monkeypatch.setattr(tempfile, "TemporaryFile", closed)
    assert "GEOWHEEL_CACHE" in look(root, code=7)["cache"]["fix"]


def test_problems_are_rows_and_the_rest_is_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "locks_at_hand", lambda *_: None)
    look(root)
    captured = capsys.readouterr()
    assert captured.err == ""
    _, title, head, _, *rows, fine, last = captured.out.splitlines()
    assert title.endswith(": host") and head.split() == ["what", "found", "next"]
    (row,) = rows
    assert row.split()[:2] == ["locks", "warn"] and "`geowheel lock` writes them" in row
    assert re.match(r"\d+ checks found nothing wrong: Python of geowheel, ", fine)
    assert "locks" not in fine and "compilers" in fine
    assert last == "nothing is missing"

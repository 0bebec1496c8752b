"""The test stage around its commands: what runs where, and what makes a verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from geowheel.digest import Artefact, read_tree
from geowheel.native.channels import Mirrors
from geowheel.native.store import Store
from geowheel.places import Layout
from geowheel.process import Result
from geowheel.stages import test as stage
from geowheel.stages.contract import Outcome

from .hosts import make_interpreter, make_step, result

PASSED = {"name": "drivers", "passed": True, "detail": ""}
SKIPPED = {"name": "numpy arrays", "passed": None, "detail": "not run"}
FAILED = {"name": "exceptions", "passed": False, "detail": "AssertionError"}


@dataclass(kw_only=True)
class Commands:
    """Stands in for the probes' and the host's processes."""

    report: str | None = json.dumps([PASSED, SKIPPED])
    probes_end: int = 0
    host_end: int = 0
    calls: list[tuple[list[str], Path, Mapping[str, str], float | None]] = field(
        default_factory=list
    )

    def __call__(
        self, argv: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, check: bool,
        timeout: float | None,
    ) -> Result:  # fmt: skip
        assert not check  # a verdict, never an exception
        words = list(map(str, argv))
        self.calls.append((words, cwd, env, timeout))
        if words[1] == "-I":
            assert Path(words[2]).is_file()
            if self.report is not None:
                Path(words[4]).write_text(self.report)
            return result(argv, returncode=self.probes_end, stderr="Segmentation fault")
        return result(argv, returncode=self.host_end, stderr="1 failed")


@dataclass(kw_only=True)
class World:
    root: Path
    commands: Commands
    installed: list[Path] = field(default_factory=list)

    def verdict(self, *command: str) -> Outcome:
        (self.root / "checkout" / "tests").mkdir(parents=True)
        (self.root / "checkout" / "tests" / "test_a.py").write_text("")
        given = stage.TestInputs(
            wheel=Artefact(path=self.root / "host.whl", sha256="ab" * 32),
            interpreter=make_interpreter(), requirements=(),
            layout=Layout.TOPLEVEL, import_package="osgeo",
            gdal_version="3.10.2", drivers=("GTiff",), command=command,
            host_files=read_tree(self.root / "checkout"), timeout_seconds=7,
            store=Store(folder=self.root / "store", mirrors=Mirrors()),
            environ={"PATH": "/usr/bin", "GDAL_DATA": "/x", "PYTHONPATH": "/y"},
        )  # fmt: skip
        folder = self.root / "made"
        folder.mkdir()
        outcome = stage.run(given, folder, make_step(self.root, self.commands))
        assert json.loads((folder / "test.json").read_text()) == outcome.facts
        return outcome


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(root=tmp_path, commands=Commands())

    def make_environment(_: object, folder: Path, *__: object, **___: object) -> Path:
        return folder / "bin" / "python"

    def install(_: Path, wheel: Path, **__: object) -> None:
        world.installed.append(wheel)

    monkeypatch.setattr(stage, "make_environment", make_environment)
    monkeypatch.setattr(stage, "pip_install", install)
    return world


def test_probes_that_pass_make_a_good_verdict(world: World) -> None:
    outcome = world.verdict()
    assert outcome.passed
    assert outcome.facts == {"sha256": "ab" * 32, "probes": [PASSED, SKIPPED], "host": None}
    assert world.installed == [world.root / "host.whl"]


def test_the_probes_are_asked_for_what_is_locked_and_promised(world: World) -> None:
    world.verdict()
    (words, _, _, timeout), *_ = world.commands.calls
    assert words[1] == "-I"
    assert json.loads(words[3]) == {
        "layout": "toplevel", "package": "osgeo", "version": "3.10.2", "drivers": ["GTiff"],
    }  # fmt: skip
    assert timeout == 7


def test_everything_runs_outside_the_checkout_in_a_scrubbed_environment(world: World) -> None:
    world.verdict("python", "-m", "pytest", "{host}/tests")
    assert len(world.commands.calls) == 2
    for _, folder, env, _ in world.commands.calls:
        assert not folder.is_relative_to(world.root)
        assert not folder.exists()  # gone with the run
        assert not {"GDAL_DATA", "PYTHONPATH"} & set(env)


def test_the_hosts_tests_run_from_a_copy_with_the_environments_python(world: World) -> None:
    outcome = world.verdict("python", "-m", "pytest", "{host}/tests")
    words, folder, _, timeout = world.commands.calls[1]
    assert words == [str(folder / "environment" / "bin" / "python"), "-m", "pytest",
                     str(folder / "host" / "tests")]  # fmt: skip
    assert timeout == 7
    assert outcome.facts["host"]["passed"]
    assert outcome.facts["host"]["command"] == ["python", "-m", "pytest", "{host}/tests"]


def test_programs_of_the_clean_environment_come_first(world: World) -> None:
    world.verdict("pytest", "{host}/tests")
    _, folder, env, _ = world.commands.calls[1]
    assert env["PATH"].startswith(str(folder / "environment" / "bin"))


def test_failed_tests_of_the_host_fail_the_verdict(world: World) -> None:
    world.commands.host_end = 1
    outcome = world.verdict("python", "-m", "pytest")
    assert not outcome.passed
    assert "1 failed" in outcome.facts["host"]["detail"]
    assert outcome.facts["host"]["log"].endswith(".log")


def test_a_failed_probe_fails_the_verdict(world: World) -> None:
    world.commands.report = json.dumps([PASSED, FAILED])
    assert not world.verdict().passed


@pytest.mark.parametrize("report", [[], [SKIPPED]], ids=["no probes", "all left out"])
def test_a_verdict_without_one_good_probe_fails(world: World, report: list[Any]) -> None:
    world.commands.report = json.dumps(report)
    assert not world.verdict().passed


@pytest.mark.parametrize("report", [None, "", '[{"name": "dri'], ids=["none", "empty", "half"])
def test_a_crash_without_a_report_is_a_failed_probe(world: World, report: str | None) -> None:
    world.commands.report, world.commands.probes_end = report, -11
    outcome = world.verdict()
    assert not outcome.passed
    (probe,) = outcome.facts["probes"]
    assert "exit code -11 and no report" in probe["detail"]
    assert "Segmentation fault" in probe["detail"]


def test_a_crash_after_the_report_is_a_failed_probe(world: World) -> None:
    world.commands.probes_end = -11
    outcome = world.verdict()
    assert not outcome.passed
    assert [probe["name"] for probe in outcome.facts["probes"]] == [
        "drivers", "numpy arrays", "clean exit",
    ]  # fmt: skip

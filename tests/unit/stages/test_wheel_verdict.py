"""The test stage around its commands: what runs where, and what makes a verdict."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.files import write_files, write_zip
from tests.support.hosts import make_interpreter, make_native, make_step, result

from geowheel.contents.drivers import Driver, PackageOffer, Probe
from geowheel.digest import Artefact, read_tree
from geowheel.locks.channels import Mirrors
from geowheel.machine.process import Result
from geowheel.prefix.store import Store
from geowheel.project.places import Layout
from geowheel.records.facts import TestFacts
from geowheel.records.ledger import MadeFolder
from geowheel.records.stage import Outcome
from geowheel.stages import inputs
from geowheel.stages import test as stage
from geowheel.stages.test import DriverReport
from geowheel.targets import Platform

PASSED = Probe(name="exceptions", passed=True)
SKIPPED = Probe(name="numpy arrays", passed=None, detail="not run")
FAILED = Probe(name="vector round trip", passed=False, detail="AssertionError")


GTIFF = Probe(name="driver GTiff", passed=True, detail="created, read back")
BUILT_IN = Driver(name="GTiff", kinds=("raster",))
PLUGGED = Driver(name="TOY", kinds=("raster",), plugin="gdal_TOY.so")


def written(report: object) -> str:
    """As a script of ours writes its report."""
    return msgspec.json.encode(report).decode()


@dataclass(kw_only=True)
class Commands:
    """Stands in for the probes' and the host's processes."""

    report: str | None = written([PASSED, SKIPPED])
    of_wheel: str | None = written(DriverReport(rows=(GTIFF,), drivers=(BUILT_IN,)))
    of_stack: str | None = written(DriverReport(drivers=(BUILT_IN, PLUGGED)))
    probes_end: int = 0
    drivers_end: int = 0
    stack_end: int = 0
    host_end: int = 0
    stray: str = ""
    """What the watch in the environment noted."""
    copied: list[str] = field(default_factory=list)
    calls: list[tuple[list[str], Path, Mapping[str, str], float | None]] = field(
        default_factory=list
    )
    asked: list[Mapping[str, Any]] = field(default_factory=list)

    def __call__(
        self, argv: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, check: bool,
        timeout: float | None,
    ) -> Result:  # fmt: skip
        assert not check  # a verdict, never an exception
        words = list(map(str, argv))
        self.calls.append((words, cwd, env, timeout))
        if words[1] == "-I":
            assert Path(words[2]).is_file()
            self.asked.append(json.loads(Path(words[3]).read_text()))
            report, end = self.script(self.asked[-1]["function"])
            if report is not None:
                Path(words[4]).write_text(report)
            return result(argv, returncode=end, stderr="Segmentation fault")
        (watch,) = (cwd.parent / "environment").rglob("geowheel_watch.json")
        assert json.loads(watch.read_text()) == ["pkg"]
        if self.stray:
            watch.with_suffix(".txt").write_text(self.stray)
        self.copied += sorted(p.name for p in cwd.rglob("*") if p.is_file())
        return result(argv, returncode=self.host_end, stderr="1 failed")

    def script(self, function: str) -> tuple[str | None, int]:
        return {
            "wheel:probe": (self.report, self.probes_end),
            "drivers:probe_wheel": (self.of_wheel, self.drivers_end),
            "drivers:list_library": (self.of_stack, self.stack_end),
        }[function]


@dataclass(kw_only=True)
class World:
    root: Path
    commands: Commands
    installed: list[Path] = field(default_factory=list)

    def verdict(self, *command: str) -> Outcome[TestFacts]:
        write_files(self.root / "checkout", {"tests/test_a.py": "", "src/pkg/__init__.py": ""})
        write_zip(self.root / "host.whl", {"pkg/__init__.py": ""})
        prefix = self.root / "fetch" / "prefix"
        prefix.mkdir(parents=True, exist_ok=True)
        make_native({"libgdal-toy": ["lib/gdalplugins/gdal_TOY.so"]}).write(prefix.parent)
        given = inputs.TestInputs(
            platform=Platform.LINUX_64,
            wheel=Artefact(path=self.root / "host.whl", sha256="ab" * 32),
            interpreter=make_interpreter(), requirements=(), root="",
            layout=Layout.TOPLEVEL, import_package="osgeo",
            gdal_version="3.10.2", drivers=("GTiff",), command=command, may_set=(),
            prefix=MadeFolder(folder=prefix, content=""), left_out=("libgdal-kea",),
            host_files=read_tree(self.root / "checkout") if command else None, timeout_seconds=7,
            store=Store(folder=self.root / "store", mirrors=Mirrors()),
            environ={"PATH": "/usr/bin", "GDAL_DATA": "/x", "PYTHONPATH": "/y"},
        )  # fmt: skip
        folder = self.root / f"made-{len(self.commands.calls)}"
        folder.mkdir()
        outcome = stage.run(given, folder, make_step(self.root, self.commands))
        assert (
            msgspec.json.decode((folder / "test.json").read_bytes(), type=TestFacts)
            == outcome.facts
        )
        return outcome


@pytest.fixture
def world(tmp_path: Path, installed: list[Path]) -> World:
    return World(root=tmp_path, commands=Commands(), installed=installed)


def test_probes_that_pass_make_a_good_verdict(world: World) -> None:
    outcome = world.verdict()
    assert outcome.passed
    assert outcome.facts.sha256 == "ab" * 32
    assert outcome.facts.probes == (PASSED, SKIPPED, GTIFF)
    assert outcome.facts.host is None
    assert world.installed == [world.root / "host.whl"]
    assert {timeout for *_, timeout in world.commands.calls} == {7}
    asked = {each["function"]: each for each in world.commands.asked}  # side by side
    names = ("wheel:probe", "drivers:probe_wheel", "drivers:list_library")
    of_wheel, of_drivers, of_stack = (asked[name] for name in names)
    assert (of_wheel["layout"], of_wheel["version"]) == ("toplevel", "3.10.2")
    assert of_wheel["package"] == of_drivers["package"] == "osgeo"
    assert of_drivers["drivers"] == ["GTiff"]
    prefix = world.root / "fetch" / "prefix"
    assert of_stack["library"] == f"{prefix}/lib/libgdal.so"
    assert of_stack["plugins"] == f"{prefix}/lib/gdalplugins"
    assert outcome.facts.drivers == (BUILT_IN,)
    assert outcome.facts.not_in_wheel == (
        PackageOffer(package="libgdal-kea", drivers=("KEA",), in_stack=False),
        PackageOffer(package="libgdal-toy", drivers=("TOY",), in_stack=True),
    )


def test_a_driver_that_ends_the_process_fails_by_name(world: World) -> None:
    begun = Probe(name="driver PDF", passed=False, detail="the process ended")
    world.commands.of_wheel = written(DriverReport(rows=(GTIFF, begun), drivers=(BUILT_IN,)))
    world.commands.drivers_end = -11
    outcome = world.verdict()
    assert not outcome.passed
    *_, last_driver, end = outcome.facts.probes
    assert last_driver == begun
    assert "exit code -11" in end.detail
    world.commands.of_wheel, world.commands.drivers_end = None, 1
    outcome = world.verdict()
    assert not outcome.passed
    assert outcome.facts.probes[-1].name == "all drivers"
    assert outcome.facts.not_in_wheel == (), "all of them would be, which is no news"


def test_a_stack_that_cannot_be_asked_is_no_fault_of_the_wheel(world: World) -> None:
    world.commands.of_stack, world.commands.stack_end = None, 1
    outcome = world.verdict()
    assert outcome.passed
    row = outcome.facts.probes[-1]
    assert (row.name, row.passed) == ("drivers of the native stack", None)
    assert row.detail == "its libgdal cannot be listed: Segmentation fault"


def test_everything_runs_outside_the_checkout_in_a_scrubbed_environment(world: World) -> None:
    world.verdict("python", "-m", "pytest", "{host}/tests")
    assert len(world.commands.calls) == 4
    *_, (_, folder, _, _) = world.commands.calls
    for _, place, env, _ in world.commands.calls:
        assert place.is_relative_to(folder.parent)
        assert not folder.is_relative_to(world.root)
        assert not folder.exists()  # gone with the run
        assert not {"GDAL_DATA", "PYTHONPATH"} & set(env)


def test_the_hosts_tests_run_from_a_copy_with_the_environments_python(world: World) -> None:
    outcome = world.verdict("python", "-m", "pytest", "{host}/tests")
    words, folder, env, timeout = world.commands.calls[-1]
    programs = folder.parent / "environment" / "bin"
    assert env["PATH"].startswith(str(programs))
    assert words == [str(programs / "python"), "-m", "pytest", str(folder / "tests")]
    assert timeout == 7
    assert outcome.facts.host and outcome.facts.host.passed
    assert outcome.facts.host.command == ("python", "-m", "pytest", "{host}/tests")
    assert world.commands.copied == ["test_a.py"], "nothing that the wheel installs"


def test_failed_tests_or_imports_of_the_host_fail_the_verdict(world: World) -> None:
    world.commands.stray = "pkg from /srv/checkout/pkg/__init__.py\n"
    outcome = world.verdict("python", "-m", "pytest")
    assert not outcome.passed
    assert outcome.facts.host
    assert "imported: pkg from /srv/checkout/pkg/__init__.py" in outcome.facts.host.detail
    world.commands.stray, world.commands.host_end = "", 1
    outcome = world.verdict("python", "-m", "pytest")
    assert not outcome.passed
    assert outcome.facts.host and "1 failed" in outcome.facts.host.detail
    assert outcome.facts.host.log.endswith(".log")
    world.commands.report = written([PASSED, FAILED])
    assert not world.verdict().passed


@pytest.mark.parametrize("report", [[], [SKIPPED]], ids=["no probes", "all left out"])
def test_a_verdict_without_one_good_probe_fails(world: World, report: list[Probe]) -> None:
    world.commands.report = written(report)
    world.commands.of_wheel = written(DriverReport(rows=tuple(report)))
    assert not world.verdict().passed


@pytest.mark.parametrize("report", [None, "", '[{"name": "dri'], ids=["none", "empty", "half"])
def test_a_crash_without_a_report_is_a_failed_probe(world: World, report: str | None) -> None:
    world.commands.report, world.commands.probes_end = report, -11
    outcome = world.verdict()
    assert not outcome.passed
    probe, *_ = outcome.facts.probes
    assert "exit code -11 and no report" in probe.detail
    assert "Segmentation fault" in probe.detail


def test_a_crash_after_the_report_is_a_failed_probe(world: World) -> None:
    world.commands.probes_end = -11
    outcome = world.verdict()
    assert not outcome.passed
    assert [probe.name for probe in outcome.facts.probes] == [
        "exceptions", "numpy arrays", "clean exit", "driver GTiff",
    ]  # fmt: skip

"""Runs: several targets, what enters dist/, the end table, and which error is the last word."""

import json
import threading
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest
from tests.support.hosts import make_console, make_interpreter, make_locks, make_record

from geowheel import errors
from geowheel.contents.drivers import Driver, PackageOffer, Probe
from geowheel.digest import sha256_bytes
from geowheel.lab.judging import CaseResult, CaseVerdict
from geowheel.locks.in_use import Locks
from geowheel.machine.console import Console
from geowheel.machine.sandbox import Enclosure, SandboxKind
from geowheel.pipeline.loop import Finished, Planned
from geowheel.pipeline.runs import Request, run, show_plan
from geowheel.probes import NAMED_BUT_GONE
from geowheel.project.project import Project
from geowheel.records import facts
from geowheel.records.ledger import Ledger, Record, Records
from geowheel.stages import WHEEL, find, needed
from geowheel.stages.context import Context, Tools
from geowheel.systems.contract import Forcing
from geowheel.targets import Platform, Target

WHEEL_NAME = "host-1.0-cp398-cp398-manylinux_2_35_x86_64.whl"
PASSED = Probe(name="drivers", passed=True)
SKIPPED = Probe(name="numpy arrays", passed=None, detail="not run: NumPy is not installed")
FAILED = Probe(name="vector round trip", passed=False, detail="AssertionError: 12 != 13\n")
LARGEST = (
    facts.LargeMember(path="host.libs/libgdal.so.36", packed=9_000_000, size=30_000_000,
                package="libgdal-core 3.10.2"),
    facts.LargeMember(path="osgeo/_data/proj/proj.db", packed=2_000_000, size=9_000_000,
                package="proj 9.5"),
)  # fmt: skip


@dataclass(kw_only=True)
class World:
    """A project whose pipeline is told how each target ends."""

    project: Project
    ledger: Ledger
    console: Console
    patch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    endings: dict[str, tuple[Records, errors.GeowheelError | None]] = field(default_factory=dict)
    seen: list[Target] = field(default_factory=list)
    resolved: list[Platform] = field(default_factory=list)

    def said(self) -> tuple[str, str]:
        """The result, and what leads to it."""
        return self.capsys.readouterr()

    def request(self, *pythons: str, goals: tuple[str, ...] = WHEEL) -> Request:
        targets = tuple(self.project.target(python) for python in pythons)
        return Request(project=self.project, goals=goals, targets=targets, interpreter=None)

    def run(self, *pythons: str, goals: tuple[str, ...] = WHEEL) -> dict[str, Any]:
        return run(self.request(*pythons, goals=goals), self.console)

    def ends(
        self, python: str, *records: Record[Any], error: errors.GeowheelError | None = None
    ) -> None:
        self.endings[python] = (Records({r.stage: r for r in records}), error)

    def repaired(self, python: str = "3.98", data: bytes = b"wheel") -> Record[facts.RepairFacts]:
        name = WHEEL_NAME.replace("398", python.replace(".", ""))
        return make_record(
            self.ledger,
            facts.RepairFacts(
                tag="manylinux_2_35_x86_64",
                floor=(Forcing(needs="GLIBC_2.35", packages=("a 1", "b 2", "c 3"), files=()),),
            ),
            f"cp{python.replace('.', '')}-linux-64",
            text=sha256_bytes(data), files={name: data},
        )  # fmt: skip

    def sized(self, python: str = "3.98", *problems: str) -> Record[facts.SizeFacts]:
        return make_record(
            self.ledger,
            facts.SizeFacts(
                sha256="ab" * 32, wheel=WHEEL_NAME, compressed=61_700_000, installed=180_000_000,
                wheel_mb=64.0, installed_mb=220.0, largest=LARGEST,
                kinds=(facts.KindCost(name="programs", packed=250_000, size=1_100_000),),
                packages=(facts.PackageCost(name="icu 72.1", packed=1, size=2),),
                problems=problems,
            ),
            f"cp{python.replace('.', '')}-linux-64", passed=not problems,
        )  # fmt: skip

    def tested(
        self,
        *probes: Probe,
        host: facts.HostTests | None = None,
        passed: bool = True,
        emulator: str = "",
    ) -> Record[facts.TestFacts]:
        return make_record(
            self.ledger,
            facts.TestFacts(
                sha256="ab" * 32, probes=probes, host=host, emulator=emulator,
                drivers=(Driver(name="GTiff", kinds=("raster",)),),
                not_in_wheel=(
                    PackageOffer(package="libgdal-kea", drivers=("KEA",), in_stack=False),
                ),
            ),
            "cp398-linux-64", passed=passed,
        )  # fmt: skip

    def in_the_lab(self, *cases: CaseVerdict, whole: bool = True) -> Record[facts.LabFacts]:
        return make_record(
            self.ledger, facts.LabFacts(sha256="ab" * 32, seed=7, whole=whole, cases=cases),
            "cp398-linux-64", passed=all(case.result is not CaseResult.FAILED for case in cases),
        )  # fmt: skip


def lab_case(group: str, name: str, result: str = "passed", detail: str = "") -> CaseVerdict:
    return CaseVerdict(
        group=group, name=name, result=CaseResult(result), seconds=1.5, detail=detail
    )


@pytest.fixture
def world(
    project: Project, console: Console, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> World:  # fmt: skip
    monkeypatch.setenv("COLUMNS", "200")  # so that tables do not fold
    world = World(
        project=project, ledger=Ledger(folder=project.work, host="host"), console=console,
        patch=monkeypatch, capsys=capsys,
    )  # fmt: skip

    def resolve(_: object, platform: Platform, *__: object) -> Locks:
        world.resolved.append(platform)
        return make_locks()

    def bring(_: object, context: Context, *__: object) -> Finished:
        world.seen.append(context.target)
        records, error = world.endings[context.target.python]
        return Finished(context=context, records=records, seconds=1.5, error=error)

    none = Tools(interpreter=None, toolchain=None)
    monkeypatch.setattr(
        "geowheel.pipeline.runs.find_tools", lambda _, every, *__, **___: dict.fromkeys(every, none)
    )
    monkeypatch.setattr("geowheel.pipeline.runs.resolve", resolve)
    monkeypatch.setattr("geowheel.pipeline.runs.bring_up_to_date", bring)
    monkeypatch.setattr("geowheel.pipeline.runs.plan", lambda *_: [])
    return world


def in_dist(world: World) -> dict[str, bytes]:
    if not world.project.dist.exists():
        return {}
    return {path.name: path.read_bytes() for path in world.project.dist.iterdir()}


def test_a_damaged_wheel_in_dist_is_written_again(world: World) -> None:
    placed = world.project.dist / WHEEL_NAME
    world.ends("3.98", world.repaired(data=b"wheel"))
    world.run("3.98")
    assert "not asked for" in world.said()[0], "the verdicts"
    before = placed.stat()
    world.run("3.98")
    after = placed.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    placed.write_bytes(b"WHEEL")
    world.run("3.98")
    assert in_dist(world) == {WHEEL_NAME: b"wheel"}


def test_a_wheel_that_changed_in_the_ledger_does_not_enter_dist(world: World) -> None:
    record = world.repaired(data=b"wheel")
    (record.folder / WHEEL_NAME).write_bytes(b"WHEEL")
    world.ends("3.98", record)
    with pytest.raises(errors.IntegrityError, match=r"it has sha256 .* and not"):
        world.run("3.98")
    assert in_dist(world) == {}


def renamed(world: World, name: str, data: bytes) -> Record[Any]:
    """The record of a repair that gave the same target's wheel another name."""
    return make_record(
        world.ledger, facts.RepairFacts(), "cp398-linux-64", text=name, files={name: data},
    )  # fmt: skip


def test_an_earlier_wheel_of_the_target_leaves_dist(world: World) -> None:
    old = WHEEL_NAME.replace("1.0", "0.9")
    world.ends("3.98", renamed(world, old, b"old"))
    world.run("3.98")
    assert in_dist(world) == {old: b"old"}
    world.ends("3.98", world.repaired())
    world.run("3.98")
    assert in_dist(world) == {WHEEL_NAME: b"wheel"}


def test_what_somebody_else_put_into_dist_stays(world: World) -> None:
    old = WHEEL_NAME.replace("1.0", "0.9")
    renamed(world, old, b"ours")
    world.project.dist.mkdir()
    for name in (old, "other-1.0-py3-none-any.whl", "notes.txt"):
        (world.project.dist / name).write_bytes(b"theirs")
    world.ends("3.98", world.repaired())
    world.run("3.98")
    assert set(in_dist(world)) == {old, "other-1.0-py3-none-any.whl", "notes.txt", WHEEL_NAME}


def test_the_summary_is_plain_and_says_what_was_made(world: World) -> None:
    world.ends("3.98", world.repaired(), world.sized(), world.tested(PASSED, SKIPPED))
    summary = world.run("3.98")
    (target,) = json.loads(json.dumps(summary))["targets"]
    assert target["target"] == "cp398-linux-64"
    assert target["wheel"] == str(world.project.dist / WHEEL_NAME)
    assert target["sha256"] == sha256_bytes(b"wheel")
    assert target["stages"]["size"]["passed"]
    assert target["size"]["kinds"][0]["kind"] == "programs"
    assert target["size"]["packages"][0]["package"] == "icu 72.1"
    assert target["probes"] == msgspec.to_builtins([PASSED, SKIPPED])
    assert target["error"] is None


def test_the_end_table_shows_wheel_size_tests_and_floor(world: World) -> None:
    host = facts.HostTests(command=("x",), passed=True, detail="", log="a.log")
    tested = world.tested(PASSED, SKIPPED, host=host, emulator="qemu-aarch64 7.2.22")
    world.ends("3.98", world.repaired(), world.sized(), tested)
    (summary,) = world.run("3.98")["targets"]
    assert summary["emulator"] == "qemu-aarch64 7.2.22"
    out, err = world.said()
    for expected in (
        "\nwheels\n  target          platform tag           size                       tests\n",
        "  cp398-linux-64  manylinux_2_35_x86_64  61.7 MB of 64 ",
        "installed 180.0 MB of 220",
        f"probes: 1 passed, 1 not run ({SKIPPED.name}: ",
        "host's tests passed",
        "under qemu-aarch64 7.2.22",
        f"dist/{WHEEL_NAME}",
        f"sha256 {sha256_bytes(b'wheel')}",
        "floor: GLIBC_2.35 (a 1, b 2 and 1 more)",
        "1 drivers; the native stack also offers: KEA (package libgdal-kea, add it to plugins)",
    ):
        assert expected in out
    assert "not from a committed lock" not in out
    assert err.startswith("\ncp398-linux-64  host with GDAL 3.10.2\n")
    assert err.splitlines()[-1].startswith("the whole run took ")
    for of_the_result in ("sha256", "floor", "61.7 MB", "drivers"):
        assert of_the_result not in err


def test_the_time_of_a_run_is_a_persons_who_waited_for_nox_as_well(world: World) -> None:
    world.patch.setenv("GEOWHEEL_STARTED", "1000.5")
    world.patch.setattr("geowheel.machine.console.time.time", lambda: 1067.0)
    world.patch.setattr(world, "console", make_console(world.project.root))
    world.ends("3.98", world.repaired())
    world.run("3.98")
    out, err = world.said()
    assert err.endswith("\nthe whole run took 1 min 06 s\n")
    assert " s\n" not in out


def test_a_source_that_is_not_locked_is_said_at_the_start_and_in_the_end(world: World) -> None:
    world.patch.setattr("geowheel.pipeline.runs.resolve", lambda *_: make_locks(committed=False))
    world.ends("3.98", world.repaired())
    world.run("3.98")
    out, err = world.said()
    assert "  native stack: a toy channel" in err.splitlines()[:5]
    assert out.splitlines()[-1] == (
        "native stack: a toy channel; not from a committed lock, so not for release"
    )
    assert "not for release" not in err


def test_several_targets_go_on_after_one_failed(world: World) -> None:
    world.ends("3.98", error=errors.BuildError("the compiler failed", fix="see the log"))
    world.ends("3.99", world.repaired("3.99"))
    with pytest.raises(errors.BuildError, match="the compiler failed") as caught:
        world.run("3.98", "3.99")
    (note,) = caught.value.__notes__
    first, second = json.loads(note)["targets"]
    assert first["error"].startswith("the compiler failed") and second["error"] is None
    assert "wheel" in second
    assert [target.python for target in world.seen] == ["3.98", "3.99"]
    assert len(world.resolved) == 1, "the targets have one platform"
    assert list(in_dist(world)) == [WHEEL_NAME.replace("398", "399")]
    text = world.said()[1]
    assert text.index("the compiler failed") < text.index("cp399-linux-64  host")


@pytest.mark.parametrize(("gdal", "tried"), [("3.13.3", ["3.98", "3.99"]), ("3.10.2", ["3.98"])])
def test_one_wheel_for_all_is_tried_on_each(world: World, gdal: str, tried: list[str]) -> None:
    locks = make_locks()
    packages = tuple(replace(package, version=gdal) for package in locks.stack.packages)
    locks = replace(locks, stack=replace(locks.stack, packages=packages))
    world.patch.setattr("geowheel.pipeline.runs.resolve", lambda *_: locks)
    here = Mock(return_value=[make_interpreter("3.99")])
    world.patch.setattr("geowheel.pipeline.runs.stable_interpreters", here)
    for python in tried:
        world.ends(python, world.repaired())
    run(replace(world.request("3.98"), widely=True), world.console)
    assert [target.python for target in world.seen] == tried
    assert world.said()[0].count("  sha256 ") == 1


@pytest.mark.parametrize(
    ("kind", "failed", "beside"),
    [(SandboxKind.BWRAP, False, {"3.11", "3.99"}), (SandboxKind.NONE, False, set()),
     (SandboxKind.BWRAP, True, set())],
)  # fmt: skip
def test_the_others_are_tried_side_by_side_in_a_sandbox_alone(
    world: World, kind: SandboxKind, failed: bool, beside: set[str]
) -> None:
    locks = make_locks()
    packages = tuple(replace(package, version="3.13.3") for package in locks.stack.packages)
    locks = replace(locks, stack=replace(locks.stack, packages=packages))
    others = Mock(return_value=[make_interpreter("3.11"), make_interpreter("3.99")])
    threads: dict[str, int] = {}

    def bring(_: object, context: Context, *__: object) -> Finished:
        python = context.target.python
        threads[python] = threading.get_ident()
        error = errors.BuildError("no") if failed and python == "3.98" else None
        records = Records({"repair": world.repaired()})
        return Finished(context=context, records=records, seconds=1.5, error=error)

    runs = "geowheel.pipeline.runs"
    world.patch.setattr(f"{runs}.resolve", lambda *_: locks)
    world.patch.setattr(f"{runs}.stable_interpreters", others)
    world.patch.setattr(f"{runs}.bring_up_to_date", bring)
    world.patch.setattr(f"{runs}._enclosure", lambda *_: Enclosure(kind=kind))
    with pytest.raises(errors.BuildError) if failed else nullcontext():
        run(replace(world.request("3.98"), widely=True), world.console)
    assert next(iter(threads)) == "3.98" and set(threads) == {"3.11", "3.98", "3.99"}
    assert {p for p, thread in threads.items() if thread != threading.get_ident()} == beside


def test_several_targets_go_on_after_one_could_not_be_planned(world: World) -> None:
    def plan(_: object, context: Context, *__: object) -> list[Planned]:
        if context.target.python == "3.98":
            raise errors.LockError("no wheel of numpy for it")
        return []

    world.patch.setattr("geowheel.pipeline.runs.plan", plan)
    world.ends("3.98", error=errors.LockError("no wheel of numpy for it"))
    world.ends("3.99", world.repaired("3.99"))
    with pytest.raises(errors.LockError):
        world.run("3.98", "3.99")
    assert [target.python for target in world.seen] == ["3.98", "3.99"]


def test_the_plan_is_said_before_the_work(world: World) -> None:
    planned = [
        Planned(stage=find("fetch"), subject="s", action="cached", why="key 1"),
        Planned(stage=find("bindings"), subject="s", action="run", why="changed: flags"),
        Planned(stage=find("vendor"), subject="s", action="follows", why="after bindings"),
    ]
    world.patch.setattr("geowheel.pipeline.runs.plan", lambda *_: planned)
    world.ends("3.98")
    world.run("3.98")
    expected = "  plan: fetch cached; to run: bindings (changed: flags), vendor"
    assert expected in world.said()[1].splitlines()
    world.patch.setattr("geowheel.pipeline.runs.plan", lambda *_: planned[:1])
    world.run("3.98")
    assert "  plan: fetch cached; nothing to do" in world.said()[1].splitlines()


@pytest.mark.parametrize(
    ("first", "second"),
    [(errors.BuildError, errors.ChannelError), (errors.LockError, errors.BuildError)],
)
def test_the_first_kind_of_error_wins(
    world: World, first: type[errors.GeowheelError], second: type[errors.GeowheelError]
) -> None:
    world.ends("3.98", error=first("first"))
    world.ends("3.99", error=second("second"))
    with pytest.raises(first, match="first"):
        world.run("3.98", "3.99")


def test_an_error_weighs_more_than_a_verdict(world: World) -> None:
    world.ends("3.98", world.repaired(), world.sized("3.98", "wheel file 61.7 MB is over"))
    with pytest.raises(errors.SizeError, match=r"wheel file 61\.7 MB is over") as caught:
        world.run("3.98")
    assert "WHEEL_SIZE_BUDGET_MB" in str(caught.value)
    text = world.said()[0]
    for expected in ("libgdal.so.36", "libgdal-core 3.10.2", "30.0 MB", "OVER BUDGET", "programs"):
        assert expected in text
    world.ends("3.98", world.repaired(), world.sized("3.98", "too large"))
    world.ends("3.99", error=errors.BuildError("no"))
    with pytest.raises(errors.BuildError):
        world.run("3.98", "3.99")


@pytest.mark.parametrize(("goals", "shown"), [(("size",), True), (("size", "test"), False)])
def test_size_shows_what_fills_a_wheel(world: World, goals: tuple[str, ...], shown: bool) -> None:
    world.ends("3.98", world.repaired(), world.sized("3.98"))
    world.run("3.98", goals=goals)
    text = world.said()[0]
    for expected in ("by what it is for", "programs", "1.1 MB", "icu 72.1", "libgdal.so.36"):
        assert (expected in text) is shown


def test_a_failed_probe_is_a_test_error(world: World) -> None:
    world.ends("3.98", world.repaired(), world.tested(PASSED, FAILED, passed=False))
    with pytest.raises(errors.WheelTestError, match="probe failed: vector round trip") as caught:
        world.run("3.98")
    assert "AssertionError: 12 != 13" in str(caught.value)
    assert len(caught.value.faults) == 1
    assert list(in_dist(world)) == [WHEEL_NAME]
    out, err = world.said()
    assert "FAILED" in out and "FAILED" not in err


@pytest.mark.parametrize(
    ("driver", "remedy"), [("GRIB", "conda-forge has it in libgdal-grib"), ("NoSuchDriver", "")]
)
def test_a_missing_drivers_package_is_named(world: World, driver: str, remedy: str) -> None:
    gone = Probe(name=f"driver {driver}", passed=False, detail=NAMED_BUT_GONE)
    world.ends("3.98", world.repaired(), world.tested(PASSED, gone, passed=False))
    with pytest.raises(errors.WheelTestError) as caught:
        world.run("3.98")
    (fault,) = caught.value.faults
    assert fault.fix.startswith(remedy) and bool(fault.fix) == bool(remedy)


def test_the_lab_is_a_table_by_group_with_the_reasons_of_what_did_not_run(world: World) -> None:
    lab = world.in_the_lab(
        lab_case("https", "GDAL"), lab_case("https", "PROJ"),
        lab_case("parts", "plugins", "skipped", "no plugins in this wheel"), whole=False,
    )  # fmt: skip
    world.ends("3.98", world.repaired(), lab)
    summary = world.run("3.98")
    assert summary["targets"][0]["lab"]["cases"] == msgspec.to_builtins(lab.facts.cases)
    out, err = world.said()
    assert "\nlab of cp398-linux-64, seed 7, some of the cases only\n" in out
    (https,) = (line for line in out.splitlines() if "https" in line)
    assert https.split() == ["https", "2", "3.0", "s"]
    assert "no plugins in this wheel" in out and "lab.json" in out
    assert "lab" not in err


def test_every_failed_case_of_the_lab_is_a_fault_with_the_way_to_run_it_again(world: World) -> None:
    lab = world.in_the_lab(
        lab_case("https", "GDAL refuses", "failed", "AssertionError: it was read\n"),
        lab_case("processes", "threads", "failed", "signal 11"), lab_case("processes", "fork"),
    )  # fmt: skip
    world.ends("3.98", world.repaired(), lab)
    with pytest.raises(errors.WheelTestError, match="lab: https: GDAL refuses") as caught:
        world.run("3.98")
    assert len(caught.value.faults) == 2
    assert "AssertionError: it was read" in str(caught.value)
    assert "`geowheel lab --seed 7 --case 'GDAL refuses'`" in str(caught.value)


def test_failed_tests_of_the_host_name_their_log(world: World) -> None:
    host = facts.HostTests(command=("x",), passed=False, detail="1 failed", log="/w/logs/07-x.log")
    world.ends("3.98", world.repaired(), world.tested(PASSED, host=host, passed=False))
    with pytest.raises(errors.WheelTestError, match="1 failed") as caught:
        world.run("3.98")
    assert "/w/logs/07-x.log" in str(caught.value)


def test_what_the_machine_lacks_is_said_before_anything_runs(world: World) -> None:
    lacking = Mock(side_effect=errors.MachineError("no compiler"))
    world.patch.setattr("geowheel.pipeline.runs.find_tools", lacking)
    with pytest.raises(errors.MachineError, match="no compiler"):
        world.run("3.98")
    assert world.seen == []


def test_the_plan_without_locks_says_that_solving_comes_first(world: World) -> None:
    world.patch.setattr("geowheel.pipeline.runs.locks_at_hand", lambda *_: None)
    rows = show_plan(world.request("3.98"), world.console)["plan"]
    assert rows[0]["stage"] == "lock"
    assert "conda-forge" in rows[0]["why"]
    assert [row["stage"] for row in rows[1:]] == [stage.name for stage in needed(WHEEL)]
    assert {row["action"] for row in rows[1:]} == {"follows"}
    out, err = world.said()
    assert "conda-forge" in out and err == ""
    assert world.seen == []


def test_the_plan_names_a_missing_interpreter(world: World) -> None:
    world.patch.setattr("geowheel.pipeline.runs.locks_at_hand", lambda *_: make_locks())
    target = Target(python="3.98", platform=Platform.LINUX_AARCH64)
    request = replace(world.request("3.98"), targets=(target,))
    rows = show_plan(request, world.console)["plan"]
    assert (rows[0]["stage"], rows[0]["action"]) == ("interpreter", "run")
    assert {row["why"] for row in rows[1:]} == {"after interpreter"}


def test_the_plan_shows_every_stage_and_the_floor(world: World) -> None:
    record = world.repaired()
    planned = [
        Planned(stage=find("repair"), subject="s", action="cached", why="key 1", record=record),
        Planned(stage=find("size"), subject="s", action="run", why="changed: wheel mb"),
    ]
    world.patch.setattr("geowheel.pipeline.runs.locks_at_hand", lambda *_: make_locks())
    world.patch.setattr("geowheel.pipeline.runs.plan", lambda *_: planned)
    rows = show_plan(world.request("3.98"), world.console)["plan"]
    assert [(row["stage"], row["action"]) for row in rows] == [
        ("repair", "cached"), ("size", "run"),
    ]  # fmt: skip
    out, err = world.said()
    assert err == "", "all of a plan is what was asked for"
    assert "floor: GLIBC_2.35" in out
    assert "changed: wheel mb" in out
    assert in_dist(world) == {}

"""The one loop, on toy stages: order, reuse, errors, interruptions, and the plan."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs
from tests.support.files import write_zip
from tests.support.hosts import make_console, make_context, make_project

from geowheel.digest import TreeEntry
from geowheel.errors import BuildError, ConfigError, GeowheelError, MachineError
from geowheel.machine.console import Console, Step
from geowheel.pipeline.loop import Finished, Planned, bring_up_to_date, plan, with_requirements
from geowheel.project.project import Project
from geowheel.records.facts import FACTS, RepairFacts, StageFacts, TestFacts
from geowheel.records.ledger import Ledger, Records
from geowheel.records.stage import Outcome, Scope, Stage
from geowheel.stages.context import Context
from geowheel.stages.contract import Inputs, ambient

TABLE = (
    Stage(name="fetch", summary="", scope=Scope.PLATFORM, rechecks=True),
    Stage(name="bindings", summary="", upstream=("fetch",), rechecks=True),
    Stage(name="repair", summary="", upstream=("fetch", "bindings"), rechecks=True),
    Stage(name="test", summary="", upstream=("repair",), verdict=True, rechecks=True),
    Stage(name="vendor", summary="", upstream=("fetch",)),
)


@dataclass(frozen=True, kw_only=True)
class ToyInputs(Inputs):
    text: str
    above: tuple[str, ...]
    cache: Path = ambient()


@dataclass(kw_only=True)
class Toy:
    """A stage module that writes its text, without the spaces around it, below its upstream's."""

    name: str
    log: list[str]
    text: str = "a"
    passed: bool = True
    unused: tuple[str, ...] = ()
    fault: BaseException | None = None
    unready: MachineError | None = None
    given: list[tuple[str, ...]] = field(default_factory=list)

    def inputs(self, context: Context, upstream: Records, /) -> ToyInputs:
        if self.unready is not None:
            raise self.unready
        self.given.append(tuple(upstream))
        return ToyInputs(
            text=self.text,
            above=tuple(record.content for record in upstream.values()),
            cache=context.project.machine.cache,
        )

    def run(self, inputs: ToyInputs, folder: Path, step: Step, /) -> Outcome[StageFacts]:
        self.log.append(self.name)
        step.say(f"writing {inputs.text}")
        (folder / "half.txt").write_text("half")
        if self.fault is not None:
            raise self.fault
        (folder / "half.txt").unlink()
        (folder / "out.txt").write_text("\n".join([*inputs.above, inputs.text.strip()]))
        facts = TestFacts(sha256="ab" * 32) if self.name == "test" else FACTS[self.name]()
        return Outcome(facts=facts, passed=self.passed, unused=self.unused)

    def check(self, inputs: ToyInputs, _: Step, /) -> None:
        assert inputs.text == self.text
        self.log.append(f"check {self.name}")


@dataclass(kw_only=True)
class World:
    """A project with toy stages."""

    toys: Mapping[str, Toy]
    log: list[str]
    context: Context
    ledger: Ledger
    console: Console

    def run(self, *goals: str) -> Finished:
        planned: list[Planned] = []
        with suppress(GeowheelError):
            planned = self.plan(*goals)
        return bring_up_to_date(goals, self.context, self.ledger, self.console, planned)

    def ran(self, *goals: str) -> list[str]:
        """What the goals make run now."""
        self.log.clear()
        finished = self.run(*goals)
        assert finished.error is None
        return list(self.log)

    def plan(self, *goals: str) -> list[Planned]:
        return plan(goals, self.context, self.ledger)

    def actions(self, *goals: str) -> dict[str, str]:
        return {item.stage.name: item.action for item in self.plan(*goals)}

    def files(self) -> list[str]:
        """Everything below the work folder but locks."""
        folder = self.ledger.folder
        found = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        return sorted(path for path in found if not path.endswith(".lock"))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    log: list[str] = []
    toys = {stage.name: Toy(name=stage.name, log=log) for stage in TABLE}
    monkeypatch.setattr("geowheel.stages.STAGES", TABLE)
    monkeypatch.setattr("geowheel.pipeline.loop.load", lambda stage: toys[stage.name])
    project = make_project(tmp_path)
    return World(
        toys=toys, log=log, context=make_context(project),
        ledger=Ledger(folder=project.work, host="host"), console=make_console(tmp_path),
    )  # fmt: skip


def test_stages_run_in_order_and_once(world: World) -> None:
    assert world.ran("test") == ["fetch", "bindings", "repair", "test"]
    for name, upstream in (("fetch", ()), ("repair", ("fetch", "bindings")), ("test", ("repair",))):
        assert set(world.toys[name].given) == {upstream}
    world.ran("test")
    assert world.ran("repair") == ["check repair"]
    world.ran("test")
    assert world.ran("bindings", "test") == ["check bindings", "check test"]


def test_a_cached_stage_has_its_key(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    record = world.run("bindings").records["bindings"]
    capsys.readouterr()
    world.run("bindings")
    assert f"bindings   cached (key {record.key[:12]})" in capsys.readouterr().err


def test_a_change_runs_what_is_below_it_alone(world: World) -> None:
    world.ran("test")
    world.toys["repair"].text = "b"
    assert world.ran("test") == ["repair", "test"]
    world.ran("test")
    world.toys["bindings"].text = "a  "
    assert world.ran("test") == ["bindings", "check test"]


@pytest.mark.parametrize(
    ("change", "goals", "ran"),
    [
        ("b", ("fetch",), ["fetch"]),  # asked for by name
        ("b", ("test",), ["fetch", "repair", "check test"]),  # used by what is to run
        ("b", ("bindings",), ["fetch", "check bindings"]),  # nothing is made of it: by its time
        (None, ("bindings",), ["fetch", "check bindings"]),  # gone, as any run sees
    ],
)
def test_what_was_changed_is_made_anew(
    world: World, change: str | None, goals: tuple[str, ...], ran: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    made = world.run("test").records
    world.toys["repair"].text = "a " if "test" in goals else "a"
    file = made["fetch"].folder / "out.txt"
    file.unlink() if change is None else file.write_text(change)
    assert world.ran(*goals) == ran
    if "fetch" in ran:
        said = "is gone" if change is None else "was changed"
        assert f"fetch      out.txt {said}" in capsys.readouterr().err
        assert file.read_text() == "a"


def test_what_a_run_had_no_use_for_makes_nothing_anew(world: World) -> None:
    toy = world.toys["bindings"]
    toy.unused = ("text",)
    world.ran("repair")
    toy.text = "b"
    assert world.actions("repair")["bindings"] == "cached"
    assert world.ran("repair") == ["check repair"]
    world.toys["fetch"].text = "other"
    assert world.ran("repair") == ["fetch", "bindings", "repair"]
    toy.unused = ()
    toy.text, world.toys["fetch"].text = "c", "third"
    world.ran("repair")
    toy.text = "d"
    assert world.ran("repair") == ["bindings", "repair"], "the newest run had a use for it"


def test_what_the_wheel_requires_and_nobody_locked_is_solved_for(world: World) -> None:
    world.run("repair")
    (record,) = world.ledger.records(RepairFacts, str(world.context.target))
    record = structs.replace(record, outputs=(TreeEntry(path="host.whl", sha256="", size=0),))
    requires = (
        "affine",
        "GDAL>=3",
        "Host[more]",
        "six; python_version < '3'",
        "boto3>1; extra == 's3'",
        "tox; extra == 'dev'",
        "locked",
        "attrs; python_version > '3' and extra == 'test'",
        "host[S3]; extra == 'test'",
    )
    text = "".join(f"Requires-Dist: {one}\n" for one in requires)
    text += "".join(f"Provides-Extra: {extra}\n" for extra in ("s3", "test", "dev", "more"))
    metadata = {"host-1.0.dist-info/METADATA": f"Name: host\n{text}"}
    write_zip(record.folder / "host.whl", metadata)
    build: Any = SimpleNamespace(requirements=lambda *_: (SimpleNamespace(name="locked"),))
    context = replace(world.context, locks=replace(world.context.locks, build=build))
    asked: list[tuple[str, ...]] = []

    def find(project: Project, _: object) -> None:
        asked.append(project.unlisted)

    for runs_wheel in (True, False):
        stage = Stage(name="test", summary="", runs_wheel=runs_wheel)
        assert with_requirements(stage, context, Records(repair=record), find) is context
    assert asked == [("affine",)]
    host = context.project.host
    for extra, found in (("Test", ("affine", "attrs", "boto3>1")), ("tests", None)):
        tests = replace(host.config.test, requires=(f"Host[{extra}]", "pytest"))
        host = replace(host, config=replace(host.config, test=tests))
        context = replace(context, project=replace(context.project, host=host))
        if found:
            assert context.unmet(record.folder / "host.whl") == found
            continue
        with pytest.raises(ConfigError, match="no extra 'tests'") as raised:
            context.unmet(record.folder / "host.whl")
        assert "use some of: dev, more, s3, test" in str(raised.value)


def test_a_failed_verdict_runs_again_and_is_no_error(world: World) -> None:
    world.toys["test"].passed = False
    finished = world.run("test")
    assert finished.error is None
    assert not finished.records["test"].passed
    assert world.ran("test") == ["test"]


def test_an_error_ends_the_target_and_keeps_what_was_done(world: World) -> None:
    world.toys["repair"].fault = fault = BuildError("no")
    finished = world.run("test")
    assert finished.error is fault
    assert list(finished.records) == ["fetch", "bindings"]
    assert world.log == ["fetch", "bindings", "repair"]
    world.toys["repair"].fault = None
    assert world.ran("test") == ["repair", "test"]
    world.toys["repair"].unready = unready = MachineError("no interpreter")
    finished = world.run("test")
    assert finished.error is unready
    assert list(finished.records) == ["fetch", "bindings"]


@pytest.mark.parametrize(
    "fault", [BuildError("no"), KeyboardInterrupt(), ZeroDivisionError()], ids=repr
)
def test_whatever_ends_a_run_leaves_nothing_half_made(world: World, fault: BaseException) -> None:
    world.run("bindings")
    before = world.files()
    world.toys["repair"].fault = fault
    try:
        world.run("repair")
    except (KeyboardInterrupt, ZeroDivisionError) as raised:
        assert raised is fault
    assert world.log[-1] == "repair"
    assert world.files() == before


def test_another_toolkit_or_tool_runs_all(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run("bindings")
    monkeypatch.setattr("geowheel.pipeline.loop.toolkit_digest", lambda: "changed")
    assert world.plan("bindings")[0].why == "changed: geowheel's own sources"
    assert world.ran("bindings") == ["fetch", "bindings"]
    table = (Stage(name="fetch", summary="", scope=Scope.PLATFORM, tools=("pytest",)),)
    monkeypatch.setattr("geowheel.stages.STAGES", table)
    monkeypatch.setattr("geowheel.pipeline.loop.version", lambda _: "1")
    world.run("fetch")
    monkeypatch.setattr("geowheel.pipeline.loop.version", lambda _: "2")
    assert [item.why for item in world.plan("fetch")] == ["changed: tools"]


def test_the_plan_says_what_runs_and_why(world: World) -> None:
    found = [(i.stage.name, i.action, i.why) for i in world.plan("test")]
    assert found == [
        ("fetch", "run", "first run"), ("bindings", "follows", "after fetch"),
        ("repair", "follows", "after fetch, bindings"), ("test", "follows", "after repair"),
    ]  # fmt: skip
    records = world.run("test").records
    planned = world.plan("test")
    assert {item.action for item in planned} == {"cached"}
    assert [item.record for item in planned] == list(records.values())
    assert planned[0].why == f"key {records['fetch'].key[:12]}"
    world.run("test")
    world.toys["bindings"].text = "b"
    by_name = {item.stage.name: item for item in world.plan("test")}
    assert world.actions("test") == {
        "fetch": "cached", "bindings": "run", "repair": "follows", "test": "follows",
    }  # fmt: skip
    assert by_name["bindings"].why == "changed: text"
    assert by_name["repair"].why == "after bindings"
    assert by_name["bindings"].record is None


def test_the_plan_runs_nothing_and_writes_nothing(world: World) -> None:
    world.plan("test")
    assert world.log == []
    assert not world.ledger.folder.exists()
    world.run("bindings")
    world.log.clear()
    before = {p: p.stat().st_mtime_ns for p in world.ledger.folder.rglob("*")}
    world.plan("test")
    assert world.log == []
    assert {p: p.stat().st_mtime_ns for p in world.ledger.folder.rglob("*")} == before


def test_a_failed_stage_may_be_kept(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.toys["bindings"].fault = BuildError("planted")
    world.run("bindings")
    assert not [path for path in world.files() if "half.txt" in path]
    world.ledger = replace(world.ledger, keep=True)
    assert world.run("bindings").error is not None
    (half,) = [path for path in world.files() if "half.txt" in path]
    assert "-kept/work/" in half and "kept for you to look into" in capsys.readouterr().err
    world.toys["bindings"].fault = None
    world.toys["test"].passed = False
    world.run("test")
    assert not [path for path in world.files() if "-kept" in path], "no command to look into"

"""The one loop, on toy stages: order, reuse, errors, interruptions, and the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.hosts import make_console, make_context, make_project

from geowheel.errors import BuildError, MachineError
from geowheel.machine.console import Console, Step
from geowheel.pipeline.loop import (
    Finished,
    Planned,
    bring_up_to_date,
    plan,
    subject_of,
)
from geowheel.records.ledger import Ledger, Record
from geowheel.records.stage import Outcome, Scope, Stage
from geowheel.stages.context import Context
from geowheel.stages.contract import Inputs, StageModule, ambient

TABLE = (
    Stage(name="stack", summary="", scope=Scope.PLATFORM, rechecks=True),
    Stage(name="modules", summary="", upstream=("stack",), rechecks=True),
    Stage(name="wheel", summary="", upstream=("stack", "modules"), rechecks=True),
    Stage(name="verdict", summary="", upstream=("wheel",), verdict=True, rechecks=True),
    Stage(name="aside", summary="", upstream=("stack",)),
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
    fault: BaseException | None = None
    unready: MachineError | None = None
    objection: str | None = None
    given: list[tuple[str, ...]] = field(default_factory=list)

    def inputs(self, context: Context, upstream: Mapping[str, Record], /) -> ToyInputs:
        if self.unready is not None:
            raise self.unready
        self.given.append(tuple(upstream))
        return ToyInputs(
            text=self.text,
            above=tuple(record.content for record in upstream.values()),
            cache=context.project.machine.cache,
        )

    def run(self, inputs: ToyInputs, folder: Path, step: Step, /) -> Outcome:
        self.log.append(self.name)
        step.say(f"writing {inputs.text}")
        (folder / "half.txt").write_text("half")
        if self.fault is not None:
            raise self.fault
        (folder / "half.txt").unlink()
        (folder / "out.txt").write_text("\n".join([*inputs.above, inputs.text.strip()]))
        return Outcome(passed=self.passed)

    def check(self, inputs: ToyInputs, record: Record, _: Step, /) -> str | None:
        assert inputs.text == self.text
        assert record.stage == self.name
        self.log.append(f"check {self.name}")
        return self.objection


@dataclass(kw_only=True)
class World:
    """A project with toy stages."""

    toys: Mapping[str, Toy]
    log: list[str]
    context: Context
    ledger: Ledger
    console: Console

    def run(self, *goals: str) -> Finished:
        return bring_up_to_date(goals, self.context, self.ledger, self.console)

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

    def load(stage: Stage) -> StageModule:
        return toys[stage.name]

    monkeypatch.setattr("geowheel.stages.STAGES", TABLE)
    monkeypatch.setattr("geowheel.pipeline.loop.load", load)
    project = make_project(tmp_path)
    return World(
        toys=toys,
        log=log,
        context=make_context(project),
        ledger=Ledger(folder=project.work, host="host"),
        console=make_console(tmp_path),
    )


def test_upstream_stages_run_first_in_the_order_of_the_table(world: World) -> None:
    assert world.ran("verdict") == ["stack", "modules", "wheel", "verdict"]


def test_only_what_is_needed_runs(world: World) -> None:
    assert world.ran("aside") == ["stack", "aside"]


def test_goals_share_their_upstream(world: World) -> None:
    assert world.ran("aside", "modules") == ["stack", "modules", "aside"]


def test_a_stage_is_given_the_records_of_its_row(world: World) -> None:
    world.run("verdict")
    assert world.toys["stack"].given == [()]
    assert world.toys["wheel"].given == [("stack", "modules")]
    assert world.toys["verdict"].given == [("wheel",)]


def test_a_second_run_has_nothing_to_do(world: World) -> None:
    world.ran("verdict")
    assert world.ran("wheel") == ["check wheel"]


def test_what_is_cached_is_said_with_its_key(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    record = world.run("modules").records["modules"]
    capsys.readouterr()
    world.run("modules")
    assert f"modules    cached (key {record.key[:12]})" in capsys.readouterr().err


def test_a_change_runs_what_is_below_it_alone(world: World) -> None:
    world.ran("verdict")
    world.toys["wheel"].text = "b"
    assert world.ran("verdict") == ["wheel", "verdict"]


def test_a_stage_whose_output_did_not_change_stops_the_chain(world: World) -> None:
    world.ran("verdict")
    world.toys["modules"].text = "a  "
    assert world.ran("verdict") == ["modules", "check verdict"]


def test_switching_back_runs_nothing(world: World) -> None:
    world.ran("wheel")
    world.toys["stack"].text = "b"
    assert world.ran("wheel") == ["stack", "modules", "wheel"]
    world.toys["stack"].text = "a"
    assert world.ran("wheel") == ["check wheel"]


def test_where_a_cache_lies_is_no_reason_to_run(world: World, tmp_path: Path) -> None:
    world.ran("wheel")
    elsewhere = make_project(tmp_path, environ={"PATH": "/elsewhere"})
    world.context = make_context(elsewhere)
    assert world.ran("wheel") == ["check wheel"]


def test_check_is_for_what_is_asked_for_by_name(world: World) -> None:
    world.ran("verdict")
    assert world.ran("modules", "verdict") == ["check modules", "check verdict"]


def test_a_stage_whose_row_does_not_say_so_is_not_checked(world: World) -> None:
    world.ran("aside")
    assert world.ran("aside") == []


def test_an_objection_of_check_makes_the_stage_run(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.ran("stack")
    world.toys["stack"].objection = "the prefix is gone"
    assert world.ran("stack") == ["check stack", "stack"]
    assert "stack      the prefix is gone" in capsys.readouterr().err


def test_an_objection_counts_only_when_asked(world: World) -> None:
    world.ran("modules")
    world.toys["stack"].objection = "the prefix is gone"
    assert world.ran("modules") == ["check modules"]


def test_a_stale_stage_is_not_checked_before_it_runs(world: World) -> None:
    assert world.ran("stack") == ["stack"]


def test_a_failed_verdict_runs_again_and_is_no_error(world: World) -> None:
    world.toys["verdict"].passed = False
    finished = world.run("verdict")
    assert finished.error is None
    assert not finished.records["verdict"].passed
    assert world.ran("verdict") == ["verdict"]


def test_an_error_ends_the_target_and_keeps_what_was_done(world: World) -> None:
    world.toys["wheel"].fault = fault = BuildError("no")
    finished = world.run("verdict")
    assert finished.error is fault
    assert list(finished.records) == ["stack", "modules"]
    assert world.log == ["stack", "modules", "wheel"]
    world.toys["wheel"].fault = None
    assert world.ran("verdict") == ["wheel", "verdict"]


def test_an_error_while_deciding_ends_the_target(world: World) -> None:
    world.toys["wheel"].unready = fault = MachineError("no interpreter")
    finished = world.run("verdict")
    assert finished.error is fault
    assert list(finished.records) == ["stack", "modules"]


@pytest.mark.parametrize(
    "fault", [BuildError("no"), KeyboardInterrupt(), ZeroDivisionError()], ids=repr
)
def test_whatever_ends_a_run_leaves_nothing_half_made(world: World, fault: BaseException) -> None:
    world.run("modules")
    before = world.files()
    world.toys["wheel"].fault = fault
    try:
        world.run("wheel")
    except (KeyboardInterrupt, ZeroDivisionError) as raised:
        assert raised is fault
    assert world.log[-1] == "wheel"
    assert world.files() == before


def test_an_interruption_is_not_swallowed(world: World) -> None:
    world.toys["stack"].fault = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        world.run("stack")


def test_a_run_goes_on_where_it_was_interrupted(world: World) -> None:
    world.toys["wheel"].fault = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        world.run("wheel")
    world.toys["wheel"].fault = None
    assert world.ran("wheel") == ["wheel"]


def test_a_toolkit_that_changed_makes_everything_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.run("modules")
    monkeypatch.setattr("geowheel.pipeline.loop.toolkit_digest", lambda: "changed")
    assert world.plan("modules")[0].why == "changed: geowheel's own sources"
    assert world.ran("modules") == ["stack", "modules"]


def test_the_versions_of_tools_are_part_of_the_key(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = (Stage(name="stack", summary="", scope=Scope.PLATFORM, tools=("pytest",)),)
    monkeypatch.setattr("geowheel.stages.STAGES", table)
    monkeypatch.setattr("geowheel.pipeline.loop.version", lambda _: "1")
    world.run("stack")
    monkeypatch.setattr("geowheel.pipeline.loop.version", lambda _: "2")
    assert [item.why for item in world.plan("stack")] == ["changed: tools"]


def test_the_plan_of_a_first_run(world: World) -> None:
    found = [(i.stage.name, i.action, i.why) for i in world.plan("verdict")]
    assert found == [
        ("stack", "run", "first run"),
        ("modules", "follows", "after stack"),
        ("wheel", "follows", "after stack, modules"),
        ("verdict", "follows", "after wheel"),
    ]


def test_the_plan_of_a_finished_run(world: World) -> None:
    records = world.run("verdict").records
    planned = world.plan("verdict")
    assert {item.action for item in planned} == {"cached"}
    assert [item.record for item in planned] == list(records.values())
    assert planned[0].why == f"key {records['stack'].key[:12]}"


def test_the_plan_names_what_changed_and_what_follows(world: World) -> None:
    world.run("verdict")
    world.toys["modules"].text = "b"
    planned = {item.stage.name: item for item in world.plan("verdict")}
    assert world.actions("verdict") == {
        "stack": "cached", "modules": "run", "wheel": "follows", "verdict": "follows",
    }  # fmt: skip
    assert planned["modules"].why == "changed: text"
    assert planned["wheel"].why == "after modules"
    assert planned["modules"].record is None


def test_the_plan_runs_a_failed_verdict_again(world: World) -> None:
    world.toys["verdict"].passed = False
    world.run("verdict")
    (*_, last) = world.plan("verdict")
    assert (last.action, last.why) == ("run", "failed the last time")


def test_the_plan_runs_nothing_and_writes_nothing(world: World) -> None:
    world.plan("verdict")
    assert world.log == []
    assert not world.ledger.folder.exists()
    world.run("modules")
    world.log.clear()
    before = {p: p.stat().st_mtime_ns for p in world.ledger.folder.rglob("*")}
    world.plan("verdict")
    assert world.log == []
    assert {p: p.stat().st_mtime_ns for p in world.ledger.folder.rglob("*")} == before


def test_the_plan_is_what_then_happens(world: World) -> None:
    world.run("verdict")
    world.toys["wheel"].text = "b"
    actions = world.actions("wheel", "aside")
    assert world.ran("wheel", "aside") == [n for n, action in actions.items() if action == "run"]


def test_subjects_are_platforms_and_targets(world: World) -> None:
    stack, modules, *_ = TABLE
    target = world.context.target
    assert subject_of(stack, target) == "linux-64"
    assert subject_of(modules, target) == str(target)


def test_targets_of_one_platform_share_its_stages(world: World) -> None:
    world.ran("modules")
    world.context = make_context(world.context.project, "3.99")
    assert world.ran("modules") == ["modules"]


def test_logs_lie_below_subject_and_stage(world: World) -> None:
    seen: list[str | None] = []
    step = world.console.step

    def watched(title: str, why: str, *, logs: str | None = None, **more: Any) -> object:
        seen.append(logs)
        return step(title, why, logs=logs, **more)

    world.console.step = watched  # type: ignore[method-assign, assignment]
    world.run("modules")
    assert seen == ["linux-64/stack", f"{world.context.target}/modules"]


def test_a_failed_stage_is_kept_when_it_is_asked_for(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.toys["modules"].fault = BuildError("planted")
    world.run("modules")
    assert not [path for path in world.files() if "half.txt" in path]
    world.ledger = replace(world.ledger, keep=True)
    assert world.run("modules").error is not None
    (half,) = [path for path in world.files() if "half.txt" in path]
    assert "-kept/work/" in half and "kept for you to look into" in capsys.readouterr().err
    world.toys["modules"].fault = None
    world.toys["verdict"].passed = False
    world.run("verdict")
    assert not [path for path in world.files() if "-kept" in path], "no command to look into"

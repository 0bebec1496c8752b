"""The one loop over the stage table: bring what is asked for up to date, or say what would run."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from geowheel.digest import digest, toolkit_digest
from geowheel.errors import GeowheelError
from geowheel.locks.in_use import Locks, locks_at_hand, resolve
from geowheel.machine.console import Console, Step
from geowheel.machine.kept import Kept
from geowheel.machine.sandbox import Enclosure, SandboxKind
from geowheel.records.facts import FACTS
from geowheel.records.ledger import SOURCES, Entry, Ledger, Record, Records, Stale
from geowheel.records.shared import SharedLedger
from geowheel.records.stage import Scope, Stage
from geowheel.stages import needed
from geowheel.stages.context import Context
from geowheel.stages.contract import Inputs, StageModule, load
from geowheel.stages.visible import readable, source_of, writable
from geowheel.targets import Target


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What a stage would do, and why."""

    stage: Stage
    subject: str
    action: str
    """`cached`, `shared`, `run` or `follows`."""
    why: str
    stale: Stale | None = None
    record: Record[Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Finished:
    """How a target ended."""

    context: Context
    records: Records
    seconds: float
    error: GeowheelError | None = None


def bring_up_to_date(
    goals: Sequence[str],
    context: Context,
    ledger: Ledger,
    console: Console,
    planned: Sequence[Planned] = (),
    shared: SharedLedger | None = None,
) -> Finished:
    """Run what is stale of the goals and their upstream stages, in the table's order.

    What `plan` found cached is not decided again, but where a stage is to run that uses it: then
    its files are hashed first. An error of a stage ends the target and is part of the result; what
    was done stays done.
    """
    started = time.monotonic()
    done = context.done
    cached = {i.stage.name: i.record for i in planned if i.record and i.action == "cached"}
    stages = needed(goals, done)
    used = {name for stage in stages if stage.name not in cached for name in stage.upstream}
    try:
        for stage in stages:
            recheck = stage.rechecks and stage.name in goals
            if stage.name in cached and not recheck and stage.name not in used:
                done[stage.name] = cached[stage.name]
                console.cached(stage.name, cached[stage.name].key)
                continue
            context = with_requirements(stage, context, done, partial(resolve, console=console))
            module, entry, inputs = _prepare(stage, context, ledger, done)
            with entry.lock(console):
                verify = recheck or stage.name in used
                done[stage.name] = _ensure(
                    stage, entry, module, inputs, console,
                    context.enclosure if context.shuts_in(stage) else Enclosure(),
                    verify=verify, recheck=recheck, shared=None if stage.verdict else shared,
                )  # fmt: skip
        error = None
    except GeowheelError as raised:
        error = raised
    return Finished(context=context, records=done, seconds=time.monotonic() - started, error=error)


def plan(
    goals: Sequence[str],
    context: Context,
    ledger: Ledger,
    elsewhere: Callable[[Entry], Record[Any] | None] | None = None,
) -> list[Planned]:
    """Return what `bring_up_to_date` would do; runs nothing, writes nothing.

    `elsewhere` finds what a shared ledger has.
    """
    done = context.done
    planned: list[Planned] = []
    for stage in needed(goals, context.done):
        subject = subject_of(stage, context.target)
        waiting = [
            name
            for name in stage.upstream
            if name not in done or (stage.runs_wheel and not done[name].folder.is_dir())
        ]
        if waiting:
            why = f"after {', '.join(waiting)}"
            planned.append(Planned(stage=stage, subject=subject, action="follows", why=why))
            continue
        context = with_requirements(stage, context, done, locks_at_hand)
        _, entry, _ = _prepare(stage, context, ledger, done)
        stale = entry.stale()
        record = entry.record if stale is None else None
        action = "cached" if record else "run"
        if elsewhere and not (record or stage.verdict or entry.record):
            record = elsewhere(entry)
            action = "shared" if record else "run"
        if record is not None:
            done[stage.name] = record
        planned.append(
            Planned(
                stage=stage,
                subject=subject,
                action=action,
                why=record.shared if record and stale else str(stale or f"key {entry.key[:12]}"),
                stale=stale,
                record=record,
            )
        )
    return planned


def subject_of(stage: Stage, target: Target) -> str:
    """Return `linux-64` or `cp312-linux-64`."""
    return str(target.platform if stage.scope is Scope.PLATFORM else target)


def with_requirements(
    stage: Stage, context: Context, done: Records, find: Callable[..., Locks | None]
) -> Context:
    """Have locks with what the wheel requires and [project] does not list, where it is run."""
    unlisted = context.unmet(done["repair"].wheel.path) if stage.runs_wheel else ()
    project = replace(context.project, unlisted=unlisted)
    locks = find(project, context.target.platform) if unlisted else None
    return replace(context, locks=locks) if locks else context


def _prepare(
    stage: Stage, context: Context, ledger: Ledger, done: Records
) -> tuple[StageModule, Entry, Inputs]:
    module = load(stage)
    upstream = Records({name: done[name] for name in stage.upstream})
    inputs = module.inputs(context, upstream)
    components = inputs.components() | {
        SOURCES: toolkit_digest(),
        "tools": digest({name: version(name) for name in stage.tools}),
    }
    shut_in = context.shuts_in(stage)
    entry = Entry(
        ledger=ledger,
        stage=stage.name,
        subject=subject_of(stage, context.target),
        components=components,
        trees=inputs.trees(),
        upstream={name: record.key for name, record in upstream.items()},
        sandbox=context.enclosure.kind if shut_in else SandboxKind.NONE,
        wanted=context.project.sandbox if shut_in else SandboxKind.NONE,
    )
    return module, _settled(entry), inputs


def _settled(entry: Entry) -> Entry:
    """Return the entry of an earlier run that had no use for all that differs; else this one."""
    if entry.record is None:
        for last in entry.ledger.records(FACTS[entry.stage], entry.subject):
            spared = {name: last.components.get(name) for name in last.unused}
            if {**entry.components, **spared} == last.components:
                return replace(entry, components=last.components)
    return entry


def _ensure(
    stage: Stage,
    entry: Entry,
    module: StageModule,
    inputs: Inputs,
    console: Console,
    enclosure: Enclosure,
    *,
    verify: bool,
    recheck: bool,
    shared: SharedLedger | None,
) -> Record[Any]:
    stale, title = entry.stale(verify=verify), stage.name
    record = entry.record
    if stale is None and record is not None and recheck:
        with console.quiet_step(title) as step:
            module.check(inputs, step)
    if stale is None and record is not None:
        console.cached(title, entry.key)
        return record
    if record is None and (twin := entry.twin()) is not None:
        console.line(f"  {title:<10} as for {twin.subject}", style="dim")
        return entry.share(twin)
    if record is None and shared and (found := shared.find(entry, console)):
        with console.step(title, f"from {found.shared}") as step:
            taken = shared.take(entry, found, console)
            if taken and stage.rechecks:
                module.check(inputs, step)
        if taken:
            return taken
    made = _run(entry, module, inputs, console, enclosure, stale)
    if shared and made.passed:
        with console.quiet_step("sharing"):
            shared.give(entry, made, console)
    return made


def _run(
    entry: Entry,
    module: StageModule,
    inputs: Inputs,
    console: Console,
    enclosure: Enclosure,
    stale: Stale | None,
) -> Record[Any]:
    title, started = entry.stage, time.monotonic()
    kept = Kept(entry.kept) if entry.ledger.keep else None
    with (
        console.step(title, str(stale or ""), logs=f"{entry.subject}/{title}", kept=kept) as step,
        entry.scratch() as folder,
    ):
        own = (kept.folder if kept else folder, Path(tempfile.gettempdir()))
        step.runner.enclosure = enclosure.of(
            title, readable(inputs), (*own, *writable(inputs)), source_of(inputs)
        )
        try:
            outcome = module.run(inputs, folder, step)
        except GeowheelError:
            _leave(kept, step)
            raise
        made = entry.commit(folder, outcome, started)
        if not (made.passed or kept is None or kept.empty):
            _leave(kept, step)
        return made


def _leave(kept: Kept | None, step: Step) -> None:
    if kept is not None:
        for line in kept.leave():
            step.console.line(f"    {line}", style="yellow")

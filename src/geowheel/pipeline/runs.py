"""Runs: several targets through the pipeline, from what was asked for to wheels in dist/."""

import filecmp
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from geowheel import systems
from geowheel.digest import Artefact, digest, sha256_file
from geowheel.distro.roots import folder_of
from geowheel.errors import GeowheelError, MachineError
from geowheel.lab.cases import WHOLE, Choice
from geowheel.locks.assets import Package
from geowheel.locks.in_use import locks_at_hand, resolve
from geowheel.machine.console import Console
from geowheel.machine.credentials import refuse_secrets
from geowheel.machine.files import copy_checked, disk_faults, whole
from geowheel.machine.sandbox import Enclosure, SandboxKind, find_enclosure
from geowheel.project.config import Compiler
from geowheel.project.project import Project, wants_prebuilt
from geowheel.records.facts import FetchFacts, RepairFacts
from geowheel.records.ledger import Entry, Ledger, Record
from geowheel.records.shared import SharedLedger
from geowheel.records.stage import Stage
from geowheel.stages import find, needed
from geowheel.stages.context import Context, Tools, find_tools, stable_interpreters, stable_pythons
from geowheel.systems import compilers
from geowheel.targets import Target, is_emulated

from .as_made import AsMade, recall, remember
from .loop import Finished, Planned, bring_up_to_date, plan, subject_of
from .namesakes import refuse_namesakes
from .summary import failure_of, floor_words, show_lab, show_table, summary_of


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a command line asks for."""

    project: Project
    goals: tuple[str, ...]
    targets: tuple[Target, ...]
    interpreter: Path | None
    widely: bool = False
    """A wheel of the stable ABI is tried on every configured interpreter of this machine."""
    verify: bool = False
    keep_work: bool = False
    raw: Artefact | None = None
    """A raw wheel that was made elsewhere."""
    destination: Path | None = None
    """Where the repaired wheel goes, when not to dist/."""
    shared: SharedLedger | None = None
    """Where records and outputs of other machines are."""
    lab: Choice = WHOLE
    """Which cases of the lab, with which seed."""
    given: Mapping[Target, Artefact] = field(default_factory=dict)
    """Repaired wheels that were made elsewhere, to be judged."""
    index: str | None = None
    """The package index from which pip has to get the given wheels first."""
    as_made: bool = False
    """Each target as it was made here last, where the command line says nothing else."""

    @property
    def parts(self) -> "Iterator[tuple[Request, str]]":
        """Yield a request for the targets that were made in one way, and that way in words."""
        ways = {t: recall(self.project, t) if self.as_made else AsMade() for t in self.targets}
        for way in dict.fromkeys(ways.values()):
            project, python = way.of(self.project), Path(way.python)
            targets = tuple(target for target in ways if ways[target] == way)
            found = self.interpreter or (python if python.is_file() else None)
            yield replace(self, project=project, targets=targets, interpreter=found), str(way)

    def elsewhere(self, console: Console) -> Callable[[Entry], Record[Any] | None] | None:
        """Return what finds a record that other machines made; None where none is shared."""
        return partial(self.shared.find, console=console) if self.shared else None

    @property
    def done(self) -> tuple[str, ...]:
        """Names of the stages whose result is given."""
        return ("repair",) if self.given else ()

    @property
    def wheels(self) -> Path:
        """The folder of repaired wheels."""
        return self.destination or self.project.dist

    @property
    def ledger(self) -> Ledger:
        return Ledger(
            folder=self.project.work,
            host=self.project.host.name,
            home=self.project.home,
            verify=self.verify,
            keep=self.keep_work,
        )


def run(request: Request, console: Console) -> dict[str, Any]:
    """Bring every target up to date, show the end table; the summary as plain values.

    Goes on with the next target after one failed. Raises at the end what failed, of the first
    kind that occurred: GeowheelError's own, SizeError or WheelTestError for failed verdicts.
    """
    if request.index is not None:
        request = replace(request, given=_from_index(request, request.index, console))
    finished: list[Finished] = []
    unable: list[GeowheelError] = []
    for part, way in request.parts:
        try:
            contexts = _contexts(part, console)
        except GeowheelError as error:  # a folder channel is gone, for one
            if part.targets == request.targets:
                raise
            unable.append(error)
            console.line(f"{', '.join(map(str, part.targets))}: {error}", style="red")
            continue
        finished += _run_targets(part, contexts, console, way)
    summary = {"targets": [summary_of(request.wheels, item) for item in finished]}
    if any("repair" in item.records for item in finished):
        # Asked for by name, and not as a part of `wheel`.
        sizes = request.goals == ("size",)
        show_table(request.project, request.wheels, finished, console, sizes=sizes)
    show_lab(finished, console)
    console.line(f"the whole run took {console.whole_run()}", style="dim")
    failure = next(iter(unable), None) or failure_of(finished)
    if failure is not None:
        raise failure.with_facts(summary)
    return summary


def build_environment(request: Request, console: Console, *, compiling: bool) -> dict[str, str]:
    """Fetch, and the variables by which a build finds the native stack's GDAL; raises as `run`.

    With those of the compilers, where it is `compiling` for the wheel's floor.
    """
    from geowheel.prefix.wrappers import build_variables, reachable
    from geowheel.stages.zig import open_toolchain

    (context,) = _contexts(request, console)
    finished = _run_target(request, context, console)
    if finished.error is not None:
        raise finished.error
    project, platform = request.project, context.target.platform
    system, cache = systems.of(platform), project.machine.cache
    folder = reachable(finished.records.of(FetchFacts).folder, cache)
    found = build_variables(folder, context.locks.stack.gdal_version, system)
    if not compiling:
        return found
    with console.step("env", "the compilers", logs="env") as step:
        toolchain = open_toolchain(
            context.toolchain or system.find_toolchain(platform, project.machine.environ),
            context.here["store"], cache=cache, prefix=folder / "prefix",
            work=cache / "toolchains" / digest(str(folder))[:16], step=step,
        )  # fmt: skip
    return compilers.backend_variables(toolchain, {folder: "native"}, found)


def show_plan(request: Request, console: Console) -> dict[str, Any]:
    """Return what `run` would do for every target, running nothing."""
    refuse_namesakes(request.project, request.ledger)
    tools = _tools(request, console, make=False)
    rows: list[dict[str, str]] = []
    for target in request.targets:
        console.result(f"{target}  {request.project.host.name}")
        planned = _plan(request, target, tools[target], console)
        shown = [[item.stage.name, item.subject, item.action, item.why] for item in planned]
        console.table("plan", ["stage", "subject", "what", "why"], shown)
        names = ("target", "stage", "subject", "action", "why")
        rows += [dict(zip(names, [str(target), *row], strict=True)) for row in shown]
    return {"plan": rows}


def _plan(request: Request, target: Target, tools: Tools, console: Console) -> list[Planned]:
    project, prebuilt = request.project, None
    locks = locks_at_hand(project, target.platform)
    if locks is not None:
        console.result(f"  native stack: {locks.source.words}")
    if locks is not None and wants_prebuilt(project):
        from geowheel.locks.prebuilt import prebuilt_at_hand

        prebuilt = prebuilt_at_hand(project, target, locks)
    if locks is None or (prebuilt is None and wants_prebuilt(project)):
        source = project.channel or ", ".join(project.manifest.channels)
        why = f"no lock: solves against {source}, into the work folder"
        return _plan_after("lock", str(target.platform), why, request, target)
    emulated = is_emulated(target.platform, project.machine.platform)
    wanted = any(stage.interpreter for stage in needed(request.goals))
    if tools.interpreter is None and emulated and wanted:
        why = "not there yet: unpacks this distribution's own, into the user's cache"
        return _plan_after("interpreter", str(target), why, request, target)
    context = Context(
        project=project, target=target, locks=locks, tools=tools, prebuilt=prebuilt,
        lab=request.lab,
    )  # fmt: skip
    planned = plan(_goals_of(request, context), context, request.ledger, request.elsewhere(console))
    for item in planned:
        if item.record and isinstance(item.record.facts, RepairFacts) and item.record.facts.floor:
            console.result(f"  floor: {floor_words(item.record.facts)}")
    if tools.toolchain is not None:
        console.result(f"  toolchain: {tools.toolchain.describe()}")
    return planned


def _plan_after(
    name: str, subject: str, why: str, request: Request, target: Target
) -> list[Planned]:
    """Plan what comes after something that every stage waits for."""
    first = Planned(stage=Stage(name=name, summary=""), subject=subject, action="run", why=why)
    return [first] + [
        Planned(
            stage=stage, subject=subject_of(stage, target), action="follows", why=f"after {name}"
        )
        for stage in needed(request.goals)
    ]


def _tools(request: Request, console: Console, *, make: bool = True) -> dict[Target, Tools]:
    return find_tools(
        request.project, request.targets, request.goals, request.interpreter, console,
        make=make, given=request.done,
    )  # fmt: skip


def _contexts(request: Request, console: Console) -> list[Context]:
    project, targets = request.project, request.targets
    refuse_namesakes(project, request.ledger)
    tools = _tools(request, console)
    platforms = dict.fromkeys(target.platform for target in targets)
    locks = {platform: resolve(project, platform, console) for platform in platforms}
    prebuilt: dict[Target, Package | None] = dict.fromkeys(targets)
    if not request.given and wants_prebuilt(project):
        from geowheel.locks.prebuilt import resolve_prebuilt

        for target in targets:
            prebuilt[target] = resolve_prebuilt(project, target, locks[target.platform], console)
    found = [
        Context(project=project, target=target, locks=locks[target.platform],
                tools=tools[target], prebuilt=prebuilt[target], raw=request.raw, lab=request.lab,
                repaired=_repaired(request, target))
        for target in targets
    ]  # fmt: skip
    return [*found, *_others(found[0], console)] if request.widely and found[0].stable else found


def _others(first: Context, console: Console) -> Iterator[Context]:
    """Yield the same for the other configured interpreters that the machine has."""
    project, pythons = first.project, {first.target.python}
    for found in stable_interpreters(project):
        if found.python not in pythons:
            pythons.add(found.python)
            tools = replace(first.tools, interpreter=found)
            yield replace(first, target=project.target(found.python), tools=tools)
    if lacking := ", ".join(p for p in stable_pythons(project.config) if p not in pythons):
        console.line(f"not tried on {lacking}: not on this machine (`geowheel wheel --all`)")


def _from_index(request: Request, index: str, console: Console) -> dict[Target, Artefact]:
    """Return the given wheels as pip got them from an index; raises as take_from_index does."""
    from .given_wheels import take_from_index

    tools = _tools(request, console)
    with console.step("index", index, logs="index") as step:
        return {
            target: take_from_index(wheel, index, tools[target].interpreter, request.project, step)
            for target, wheel in request.given.items()
        }


def _repaired(request: Request, target: Target) -> Record[RepairFacts] | None:
    if target not in request.given:
        return None
    from .given_wheels import record_of

    return record_of(request.given[target], target, request.ledger)


def _run_targets(
    request: Request, contexts: Sequence[Context], console: Console, way: str
) -> Iterator[Finished]:
    """Bring targets up to date one after the other: each takes all cores.

    What is left of a wheel of the stable ABI, once it is made, are its tests with the others'
    interpreters; they run side by side where no test can meet another one's files and ports.
    """
    first, *others = contexts
    done = _run_target(request, first, console, way=way)
    yield done
    run = partial(_run_target, request, way=way)
    same = first.stable and {context.made_for for context in contexts} == {first.made_for}
    if others and same and done.error is None and done.context.enclosure.is_closed:
        yield from console.side_by_side("targets", run, others)
    else:
        yield from (run(context, console) for context in others)


def _run_target(request: Request, context: Context, console: Console, *, way: str = "") -> Finished:
    """Bring one target up to date, show how, and hand its wheel over."""
    locks = context.locks
    found = context.tools.interpreter
    console.header(
        f"{context.target}  {request.project.host.name} with GDAL {locks.stack.gdal_version}"
        + (f", by {found.executable}" if found else "")
    )
    style = None if locks.source.committed else "yellow"
    console.line(f"  native stack: {locks.source.words}", style=style)
    if way:
        console.line(f"  as it was made: {way}", style="dim")
    if context.tools.toolchain and context.project.config.toolchain is Compiler.AUTO:
        console.line("  compilers: this machine's ([tool.geowheel] toolchain: how to lock one)")
    goals = _goals_of(request, context)
    if not request.given and any(stage.name == "build" for stage in needed(goals)):
        remember(request.project, context.target, request.interpreter)
    here = request.project.machine.platform
    not_here = "".join(
        f"; {goal}: not run, {here} cannot run what is made for {context.target.platform}"
        for goal in sorted({*request.goals} - {*goals})
    )
    planned: list[Planned] = []
    with suppress(GeowheelError):  # the run meets it again, as a part of its result
        planned = plan(goals, context, request.ledger, request.elsewhere(console))
        console.line(f"  plan: {_in_words(planned)}{not_here}")
    if not planned or any(context.shuts_in(i.stage) and i.action != "cached" for i in planned):
        context = replace(context, enclosure=_enclosure(request.project, console))
    finished = bring_up_to_date(goals, context, request.ledger, console, planned, request.shared)
    if (record := finished.records.find(RepairFacts)) is not None:
        _hand_over(request, record)
        if request.destination is None:
            retire(request.project, request.ledger, record, console)
    if finished.error is not None and len(request.targets) > 1:  # else the end says it
        console.line(str(finished.error), style="red")
    return finished


def _enclosure(project: Project, console: Console) -> Enclosure:
    """Say which sandbox the run has; raises MachineError where the one asked for cannot be."""
    machine, name = project.machine, project.file_system
    found = find_enclosure(
        project.sandbox, environ=machine.environ, on=machine.platform.system,
        image=project.config.sandbox_image or "",
        system=folder_of(name, machine.cache) if name else Path("/"),
    )  # fmt: skip
    if project.sandbox is not SandboxKind.NONE:
        style = "yellow" if found.kind is SandboxKind.NONE else None
        console.line(f"  sandbox: {found}", style=style)
    return found


def _goals_of(request: Request, context: Context) -> tuple[str, ...]:
    """Return what is asked for, without what would run a wheel that cannot run here.

    Raises MachineError when nothing else was asked for.
    """
    goals = tuple(
        goal for goal in request.goals if context.runs_wheels or not find(goal).runs_wheel
    )
    if not goals:
        raise MachineError(
            f"{request.project.machine.platform} cannot run what is made for "
            f"{context.target.platform}",
            where=str(context.target),
            fix="run this on a machine of that platform, with `--wheel`'s file from dist/; "
            "`geowheel matrix` says what can be done where",
        )
    return goals


def _in_words(planned: Sequence[Planned]) -> str:
    """Return `fetch, bindings cached; to run: build (changed: host files), repair, size, test`."""
    named: dict[str, list[str]] = {"cached": [], "shared": [], "to run": []}
    for item in planned:
        why = f" ({item.why})" if item.action == "run" else ""
        named.get(item.action, named["to run"]).append(item.stage.name + why)
    cached, shared, running = map(", ".join, named.values())
    return "; ".join(
        filter(None, [
            cached and f"{cached} cached",
            shared and f"from the shared ledger: {shared}",
            f"to run: {running}" if running else "" if shared else "nothing to do",
        ])
    )  # fmt: skip


def _hand_over(request: Request, record: Record[RepairFacts]) -> None:
    """Put the repaired wheel where it goes with one rename, unless the same bytes are there."""
    wheel = record.wheel
    goal = request.wheels / wheel.path.name
    if goal.is_file() and filecmp.cmp(goal, wheel.path):  # by size and time, or else by content
        with suppress(OSError):  # it may be somebody else's
            shutil.copystat(wheel.path, goal)  # the next run need not read them
        return
    with disk_faults(goal), whole(goal) as part:
        copy_checked(wheel.path, part, wheel.sha256)
        shutil.copystat(wheel.path, part)  # its time as well, by which the next run knows it
        refuse_secrets(part, request.project.machine.environ)


def retire(
    project: Project, ledger: Ledger, current: Record[RepairFacts], console: Console
) -> None:
    """Take wheels of the same target out of dist/ that an earlier run put there.

    Only what a record of ours names by its bytes: anything else in dist/ is somebody else's.
    """
    for record in ledger.records(RepairFacts, current.subject):
        wheel = project.dist / record.wheel.path.name
        if wheel.name == current.wheel.path.name or not wheel.is_file():
            continue
        if sha256_file(wheel) == record.wheel.sha256:
            wheel.unlink()
            console.line(f"  removed dist/{wheel.name}, which an earlier run made")

"""Runs: several targets through the pipeline, the header before and the end table after."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .console import Console, megabytes, seconds
from .context import Context, Tools, find_tools
from .digest import sha256_file
from .errors import Fault, GeowheelError, SizeError, WheelTestError
from .ledger import Ledger, Record
from .native.locks import Locks, locks_at_hand, resolve
from .pipeline import Finished, Planned, bring_up_to_date, plan
from .project import Project
from .stages import needed
from .stages.repair import only_wheel
from .targets import Platform, Target


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a command line asks for."""

    project: Project
    goals: tuple[str, ...]
    targets: tuple[Target, ...]
    interpreter: Path | None
    verify: bool = False

    @property
    def ledger(self) -> Ledger:
        return Ledger(folder=self.project.work, host=self.project.host.name, verify=self.verify)


def run(request: Request, console: Console) -> dict[str, Any]:
    """Bring every target up to date, show the end table; the summary as plain values.

    Goes on with the next target after one failed. Raises at the end what failed, of the first
    kind that occurred: GeowheelError's own, SizeError or WheelTestError for failed verdicts.
    """
    contexts = _contexts(request, console)
    finished = [_run_target(request, context, console) for context in contexts]
    summary = {"targets": [_summary(request.project, item) for item in finished]}
    if any("repair" in item.records for item in finished):
        _table(request.project, finished, console)
    error = _failure(finished)
    if error is not None:
        error.add_note(json.dumps(summary))
        raise error
    return summary


def show_plan(request: Request, console: Console) -> dict[str, Any]:
    """What `run` would do for every target, running nothing."""
    tools = find_tools(request.project, request.targets, request.goals, request.interpreter)
    rows: list[dict[str, str]] = []
    for target in request.targets:
        locks = locks_at_hand(request.project, target.platform)
        console.header(f"{target}  {request.project.host.name}")
        if locks is None:
            rows += _plan_without_locks(request, target)
        else:
            console.line(f"  native stack: {locks.source.words}")
            rows += _plan_with_locks(request, target, locks, tools[target], console)
        console.table(
            "plan",
            ["stage", "subject", "what", "why"],
            [
                [r["stage"], r["subject"], r["action"], r["why"]]
                for r in rows
                if r["target"] == str(target)
            ],
        )
    return {"plan": rows}


def _plan_without_locks(request: Request, target: Target) -> list[dict[str, str]]:
    source = request.project.channel or ", ".join(request.project.manifest.channels)
    rows = [
        {
            "target": str(target),
            "stage": "lock",
            "subject": str(target.platform),
            "action": "run",
            "why": f"no lock: solves against {source}, into the work folder",
        }
    ]
    return rows + [
        {"target": str(target), "stage": stage.name, "subject": str(target),
         "action": "follows", "why": "after lock"}
        for stage in needed(request.goals)
    ]  # fmt: skip


def _plan_with_locks(
    request: Request, target: Target, locks: Locks, tools: Tools, console: Console
) -> list[dict[str, str]]:
    context = Context(project=request.project, target=target, locks=locks, tools=tools)
    planned = plan(request.goals, context, request.ledger)
    for item in planned:
        if item.stage.name == "repair" and item.record is not None:
            console.line(f"  floor: {_floor(item.record)}")
    if tools.toolchain is not None:
        console.line(f"  toolchain: {tools.toolchain.describe()}")
    return [
        {"target": str(target), "stage": item.stage.name, "subject": item.subject,
         "action": item.action, "why": item.why}
        for item in planned
    ]  # fmt: skip


def _contexts(request: Request, console: Console) -> list[Context]:
    tools = find_tools(request.project, request.targets, request.goals, request.interpreter)
    locks: dict[Platform, Locks] = {}
    for target in request.targets:
        if target.platform not in locks:
            locks[target.platform] = resolve(request.project, target.platform, console)
    return [
        Context(project=request.project, target=target, locks=locks[target.platform],
                tools=tools[target])
        for target in request.targets
    ]  # fmt: skip


def _run_target(request: Request, context: Context, console: Console) -> Finished:
    locks = context.locks
    console.header(
        f"{context.target}  {request.project.host.name} with GDAL {locks.stack.gdal_version}"
    )
    style = None if locks.source.committed else "yellow"
    console.line(f"  native stack: {locks.source.words}", style=style)
    if context.tools.interpreter is not None:
        console.line(f"  interpreter: {context.tools.interpreter.executable}", style="dim")
    console.line(f"  plan: {_in_words(plan(request.goals, context, request.ledger))}")
    finished = bring_up_to_date(request.goals, context, request.ledger, console)
    if (record := finished.records.get("repair")) is not None:
        _into_dist(request.project, record)
    if finished.error is not None and len(request.targets) > 1:  # else the end says it
        console.line(str(finished.error), style="red")
    return finished


def _in_words(planned: Sequence[Planned]) -> str:
    """`fetch, bindings cached; to run: build (changed: host files), repair, size, test`."""
    cached = ", ".join(item.stage.name for item in planned if item.action == "cached")
    running = ", ".join(
        item.stage.name + (f" ({item.why})" if item.action == "run" else "")
        for item in planned
        if item.action != "cached"
    )
    if not running:
        return f"{cached} cached, nothing to do"
    return (f"{cached} cached; " if cached else "") + f"to run: {running}"


def _into_dist(project: Project, record: Record) -> None:
    """Put the repaired wheel into dist/ with one rename, unless the same bytes are there."""
    wheel = only_wheel(record)
    goal = project.dist / wheel.path.name
    if goal.is_file() and sha256_file(goal) == wheel.sha256:
        return
    project.dist.mkdir(parents=True, exist_ok=True)
    # A folder of its own: another run may be putting the same wheel there at this moment.
    with tempfile.TemporaryDirectory(dir=project.work, prefix="dist-") as scratch:
        part = Path(scratch, wheel.path.name)
        shutil.copyfile(wheel.path, part)
        part.replace(goal)


def _summary(project: Project, item: Finished) -> dict[str, Any]:
    repair, size, test = (item.records.get(name) for name in ("repair", "size", "test"))
    found: dict[str, Any] = {
        "target": str(item.context.target),
        "source": item.context.locks.source.words,
        "seconds": round(item.seconds, 2),
        "stages": {
            name: {"key": r.key, "passed": r.passed, "seconds": r.seconds}
            for name, r in item.records.items()
        },
        "error": None if item.error is None else str(item.error),
    }
    if repair is not None:
        found |= {
            "wheel": str(project.dist / str(repair.facts["wheel"])),
            "sha256": repair.facts["sha256"],
            "floor": repair.facts["floor"],
        }
    if size is not None:
        found["size"] = {k: v for k, v in size.facts.items() if k != "owners"}
    if test is not None:
        found["probes"] = test.facts["probes"]
    return found


def _table(project: Project, finished: Sequence[Finished], console: Console) -> None:
    for item in finished:
        size = item.records.get("size")
        if size is not None and not size.passed:
            _largest(size, console)
    rows = [
        [str(item.context.target), *_cells(item, project), seconds(item.seconds)]
        for item in finished
    ]
    console.table("wheels", ["target", "platform tag", "size", "tests", "time"], rows)
    for item in finished:
        if (repair := item.records.get("repair")) is not None:
            console.line(f"dist/{repair.facts['wheel']}")
            console.line(f"  sha256 {repair.facts['sha256']}")
            console.line(f"  floor: {_floor(repair)}")
    for source in sorted(
        {
            item.context.locks.source.words
            for item in finished
            if not item.context.locks.source.committed
        }
    ):
        console.line(
            f"native stack: {source}; not from a committed lock, so not for release", style="yellow"
        )


def _cells(item: Finished, project: Project) -> list[str]:
    repair = item.records.get("repair")
    if repair is None:
        return ["failed", "", ""]
    return [
        str(repair.facts["tag"]),
        _size(item.records.get("size"), repair, project),
        _tests(item.records.get("test")),
    ]


def _floor(repair: Record) -> str:
    """What the newest system symbols are, and which package asks for them."""
    parts = []
    for item in repair.facts["floor"]:
        names = item["packages"]
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        parts.append(f"{item['needs']} ({', '.join(names[:2])}{more})")
    return ", ".join(parts)


def _size(size: Record | None, repair: Record, project: Project) -> str:
    if size is None:
        wheel = only_wheel(repair)
        return f"{megabytes(wheel.path.stat().st_size)} of {project.wheel_budget_mb:g}"
    facts = size.facts
    over = "" if size.passed else "OVER BUDGET\n"
    return (
        f"{over}{megabytes(facts['compressed'])} of {facts['wheel_mb']:g}\n"
        f"installed {megabytes(facts['installed'])} of {facts['installed_mb']:g}"
    )


def _tests(test: Record | None) -> str:
    if test is None:
        return "not asked for"
    probes = test.facts["probes"]
    good = sum(1 for probe in probes if probe["passed"])
    host = test.facts["host"]
    word = "passed" if test.passed else "FAILED"
    tests = "" if host is None else f"\nhost's tests {'passed' if host['passed'] else 'FAILED'}"
    return f"{word}\n{good} of {len(probes)} probes{tests}"


def _largest(size: Record, console: Console) -> None:
    rows = [
        [megabytes(m["packed"]), megabytes(m["size"]), m["path"], m["package"]]
        for m in size.facts["largest"]
    ]
    console.table(
        f"largest members of {size.facts['wheel']}",
        ["in the wheel", "installed", "member", "package"],
        rows,
    )


def _failure(finished: Sequence[Finished]) -> GeowheelError | None:
    for item in finished:
        if item.error is not None:
            return item.error
    too_large = [
        Fault(what="; ".join(size.facts["problems"]), where=size.facts["wheel"],
              cause="the members listed above fill it",
              fix="leave out plugins or data ([tool.geowheel] plugins, exclude), or raise "
              "[tool.geowheel.budget] or WHEEL_SIZE_BUDGET_MB")
        for item in finished
        if (size := item.records.get("size")) is not None and not size.passed
    ]  # fmt: skip
    if too_large:
        return SizeError(too_large)
    faults = [fault for item in finished for fault in _test_faults(item.records.get("test"))]
    return WheelTestError(faults) if faults else None


def _test_faults(test: Record | None) -> list[Fault]:
    if test is None or test.passed:
        return []
    where = f"{test.subject}, sha256 {test.facts['sha256'][:12]}"
    faults = [
        Fault(what=f"probe failed: {probe['name']}\n{probe['detail'].rstrip()}", where=where)
        for probe in test.facts["probes"]
        if probe["passed"] is False
    ]
    host = test.facts["host"]
    if host is not None and not host["passed"]:
        faults.append(
            Fault(
                what=f"the host's tests failed\n{host['detail']}",
                where=where,
                fix=f"the whole output is in {host['log']}",
            )
        )
    return faults

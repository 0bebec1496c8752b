"""How a run ended: as plain values, as a table, and as the error to raise."""

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from geowheel.contents.drivers import Probe, package_of, probe_words, words
from geowheel.errors import Fault, GeowheelError, SizeError, WheelTestError, some
from geowheel.lab.judging import CaseResult, CaseVerdict
from geowheel.machine.console import Console, megabytes, seconds
from geowheel.probes import NAMED_BUT_GONE
from geowheel.project.project import Project
from geowheel.records.facts import Cost, LabFacts, RepairFacts, SizeFacts, TestFacts
from geowheel.records.ledger import Record

from .loop import Finished

_SHOWN: Final = 12  # rows of a table; size.json in the work folder has all


def summary_of(wheels: Path, item: Finished) -> dict[str, Any]:
    """Return what `--json` says of one target."""
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
    if (repair := item.records.find(RepairFacts)) is not None:
        found |= {
            "wheel": str(wheels / repair.wheel.path.name),
            "sha256": repair.wheel.sha256,
            "floor": msgspec.to_builtins(repair.facts.floor),
            "lowered": msgspec.to_builtins(repair.facts.lowered),
        }
    if (size := item.records.find(SizeFacts)) is not None:
        found["size"] = msgspec.to_builtins(size.facts)
    if (test := item.records.find(TestFacts)) is not None:
        tested = msgspec.to_builtins(test.facts)
        found |= {name: tested[name] for name in ("probes", "drivers", "not_in_wheel", "emulator")}
    if (lab := item.records.find(LabFacts)) is not None:
        found["lab"] = msgspec.to_builtins(lab.facts)
    return found


def show_table(
    project: Project,
    wheels: Path,
    finished: Sequence[Finished],
    console: Console,
    *,
    sizes: bool = False,
) -> None:
    """Show the end table, and below it each wheel with its sha256 and its floor.

    What fills a wheel comes before it where the wheel is too large, or with `sizes`.
    """
    for item in finished:
        size = item.records.find(SizeFacts)
        if size is not None and (sizes or not size.passed):
            _fills(size, console)
    rows = [[str(item.context.target), *_cells(item, project)] for item in finished]
    console.table("wheels", ["target", "platform tag", "size", "tests"], rows)
    repaired = {item.context.target: item.records.find(RepairFacts) for item in finished}
    # A wheel of the stable ABI is that of several targets.
    each = {made.about if made else str(target): target for target, made in repaired.items()}
    for item in (item for item in finished if item.context.target in each.values()):
        if (repair := item.records.find(RepairFacts)) is not None:
            console.result(f"{wheels.name}/{repair.wheel.path.name}")
            console.result(f"  sha256 {repair.wheel.sha256}")
            if repair.facts.floor:
                console.result(f"  floor: {floor_words(repair.facts)}")
            if repair.facts.lowered:
                lowered = (f"{row} ({len(names)})" for row, names in repair.facts.lowered.items())
                console.result(f"  lowered: {', '.join(lowered)}")
        if (test := item.records.find(TestFacts)) is not None:
            console.result(
                f"  {words(test.facts.drivers, test.facts.not_in_wheel, test.facts.probes)}"
            )
    for source in sorted(
        {
            item.context.locks.source.words
            for item in finished
            if not item.context.locks.source.committed
        }
    ):
        console.result(f"native stack: {source}; not from a committed lock, so not for release")


def show_lab(finished: Sequence[Finished], console: Console) -> None:
    """Show what the lab found, by group, and why a case did not run. The error has what failed."""
    for item in finished:
        if (lab := item.records.find(LabFacts)) is None:
            continue
        part = "" if lab.facts.whole else ", some of the cases only"
        console.table(
            f"lab of {item.context.target}, seed {lab.facts.seed}{part}",
            ["cases", "passed", "failed", "not run", "time", ""],
            [_lab_row(name, rows) for name, rows in lab_groups(lab.facts.cases).items()],
        )
        console.result(f"every case: {lab.folder / 'lab.json'}")


def lab_groups(cases: Sequence[CaseVerdict]) -> dict[str, list[CaseVerdict]]:
    """Return the cases by group, in the order of the report."""
    groups: dict[str, list[CaseVerdict]] = {}
    for case in cases:
        groups.setdefault(case.group, []).append(case)
    return groups


def _lab_row(name: str, cases: Sequence[CaseVerdict]) -> list[str]:
    count = Counter(case.result for case in cases)
    numbers = [str(count[result] or "") for result in CaseResult]
    reasons = dict.fromkeys(
        case.detail if len(cases) == count[CaseResult.SKIPPED] else f"{case.name}: {case.detail}"
        for case in cases
        if case.result is CaseResult.SKIPPED
    )
    taken = sum(case.seconds for case in cases)
    return [name, *numbers, seconds(taken), "\n".join(reasons)]


def _cells(item: Finished, project: Project) -> list[str]:
    repair = item.records.find(RepairFacts)
    if repair is None:
        return ["failed", "", ""]
    return [repair.facts.tag, _size(item.records.find(SizeFacts), repair, project), _tests(item)]


def floor_words(facts: RepairFacts) -> str:
    """Return what the newest system symbols are, and which package asks for them."""
    parts = []
    for item in facts.floor:
        parts.append(f"{item.needs} ({some(item.packages, 2)})")
    return ", ".join(parts)


def _size(size: Record[SizeFacts] | None, repair: Record[RepairFacts], project: Project) -> str:
    if size is None:
        return f"{megabytes(repair.wheel.path.stat().st_size)} of {project.wheel_budget_mb:g}"
    facts = size.facts
    over = "" if size.passed else "OVER BUDGET\n"
    return (
        f"{over}{megabytes(facts.compressed)} of {facts.wheel_mb:g}\n"
        f"installed {megabytes(facts.installed)} of {facts.installed_mb:g}"
    )


def _tests(item: Finished) -> str:
    test = item.records.find(TestFacts)
    if test is None and not item.context.runs_wheels:
        return "NOT RUN:\nnot this machine's platform"
    if test is None:
        return "not finished" if item.error is not None else "not asked for"
    host = test.facts.host
    word = "passed" if test.passed else "FAILED"
    tests = "" if host is None else f"\nhost's tests {'passed' if host.passed else 'FAILED'}"
    # No machine of that kind has run it.
    emulator = test.facts.emulator
    under = f"\nunder {emulator}" if emulator else ""
    return f"{word}\nprobes: {probe_words(test.facts.probes)}{tests}{under}"


def _fills(size: Record[SizeFacts], console: Console) -> None:
    costs: dict[str, Sequence[Cost]] = {"kind": size.facts.kinds, "package": size.facts.packages}
    for key, title in (("kind", "by what it is for"), ("package", "by package")):
        rows = [
            [megabytes(cost.packed), megabytes(cost.size), cost.name]
            for cost in costs[key][:_SHOWN]
        ]
        console.table(title, ["in the wheel", "installed", key], rows)
    rows = [[megabytes(m.packed), megabytes(m.size), m.path, m.package] for m in size.facts.largest]
    console.table(
        f"largest members of {size.facts.wheel}",
        ["in the wheel", "installed", "member", "package"],
        rows,
    )


def failure_of(finished: Sequence[Finished]) -> GeowheelError | None:
    """Return what to raise at the end: a stage's error first, else every failed verdict at once."""
    for item in finished:
        if item.error is not None:
            return item.error
    too_large = [
        Fault(
            what="; ".join(size.facts.problems),
            where=size.facts.wheel,
            cause="the members listed above fill it",
            fix="leave out plugins or data ([tool.geowheel] plugins, exclude), or raise "
            "[tool.geowheel.budget] or WHEEL_SIZE_BUDGET_MB",
        )
        for item in finished
        if (size := item.records.find(SizeFacts)) is not None and not size.passed
    ]
    failed = [
        fault
        for item in finished
        for fault in (
            *_test_faults(item.records.find(TestFacts)),
            *_lab_faults(item.records.find(LabFacts)),
        )
    ]
    if failed:
        return WheelTestError([*failed, *too_large])
    return SizeError(too_large) if too_large else None


def _lab_faults(lab: Record[LabFacts] | None) -> list[Fault]:
    if lab is None or lab.passed:
        return []
    return [
        Fault(
            what=f"lab: {case.group}: {case.name}\n{case.detail.rstrip()}",
            where=f"{lab.subject}, sha256 {lab.facts.sha256[:12]}",
            fix=f"the same again: `geowheel lab --seed {lab.facts.seed} "
            f"--case {shlex.quote(case.name)}`",
        )
        for case in lab.facts.cases
        if case.result is CaseResult.FAILED
    ] or [Fault(what="lab: no case could be run", where=lab.subject)]


def _remedy(probe: Probe) -> str:
    """Return what to do about a driver that is not there; nothing where a table does not tell."""
    driver = probe.name.removeprefix("driver ")
    package = package_of(driver) if probe.detail == NAMED_BUT_GONE else None
    if package is None:
        return ""
    return f"conda-forge has it in {package}: add that to pixi.toml, and to plugins here"


def _test_faults(test: Record[TestFacts] | None) -> list[Fault]:
    if test is None or test.passed:
        return []
    where = f"{test.subject}, sha256 {test.facts.sha256[:12]}"
    faults = [
        Fault(
            what=f"probe failed: {probe.name}\n{probe.detail.rstrip()}",
            where=where,
            fix=_remedy(probe),
        )
        for probe in test.facts.probes
        if probe.passed is False
    ]
    host = test.facts.host
    if host is not None and not host.passed:
        faults.append(
            Fault(
                what=f"the host's tests failed\n{host.detail}",
                where=where,
                fix=f"the whole output is in {host.log}",
            )
        )
    return faults

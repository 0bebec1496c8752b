"""The verdicts on one wheel and the timings of its stages, from the ledger's records."""

from collections.abc import Sequence
from typing import Any, TypeVar

from geowheel.contents.drivers import Probe, probe_words
from geowheel.lab.judging import CaseResult, CaseVerdict
from geowheel.machine.console import megabytes
from geowheel.pipeline.summary import lab_groups
from geowheel.records.facts import (
    FACTS,
    VERDICTS,
    LabFacts,
    RepairFacts,
    SizeFacts,
    StageFacts,
    TestFacts,
    VerdictFacts,
)
from geowheel.records.ledger import Ledger, Record
from geowheel.stages import STAGES
from geowheel.targets import Target, parse_target

from .values import Finding, Group, Timing, VerdictState, WheelVerdict

F = TypeVar("F", bound=StageFacts)


def about(ledger: Ledger, facts: type[F], sha256: str) -> Record[F] | None:
    """Return the newest verdict on these bytes; one on the whole before any on a part."""
    found = [record for record in ledger.records(facts) if record.about == sha256]
    return next(iter([*(record for record in found if record.whole), *found]), None)


def verdict_on(kind: type[VerdictFacts], record: Record[Any] | None, target: str) -> WheelVerdict:
    """Return what a stage's record says of a wheel, or how to get one."""
    if record is None:
        words = _how_to_run(kind.stage, parse_target(target))
        return WheelVerdict(stage=kind.stage, state=VerdictState.NOT_RUN, words=words)
    state = VerdictState.PASSED if record.passed else VerdictState.FAILED
    match record.facts:
        case SizeFacts() as size:
            return _size_verdict(size, state)
        case TestFacts() as test:
            return _test_verdict(test, state)
        case LabFacts() as lab:
            return _lab_verdict(lab, state)
    raise TypeError(f"{record.stage} judges no wheel")


def _how_to_run(stage: str, target: Target | None) -> str:
    """Return the next command, where the target's name tells the Python."""
    if target is None:
        return f"geowheel {stage}"
    where = f" --platform {target.platform}" if stage == "size" else f", on {target.platform}"
    return f"geowheel {stage} --python {target.python}{where}"


def _size_verdict(facts: SizeFacts, state: VerdictState) -> WheelVerdict:
    problems = [Finding(group="", name=text, detail="") for text in facts.problems]
    words = f"{megabytes(facts.compressed)} of {facts.wheel_mb:g} MB"
    return WheelVerdict(stage="size", state=state, words=words, failed=tuple(problems))


def _test_verdict(facts: TestFacts, state: VerdictState) -> WheelVerdict:
    host = facts.host
    failed = [_probe(probe) for probe in facts.probes if probe.passed is False]
    if host is not None and not host.passed:
        failed.append(Finding(group="host", name="the host's tests", detail=host.detail))
    words = f"probes: {probe_words(facts.probes)}"
    words += "" if host is None else f", host's tests {'passed' if host.passed else 'FAILED'}"
    return WheelVerdict(
        stage="test",
        state=state,
        words=words,
        failed=tuple(failed),
        not_run=tuple(_probe(probe) for probe in facts.probes if probe.passed is None),
        emulator=facts.emulator,
    )


def _probe(probe: Probe) -> Finding:
    return Finding(group="probe", name=probe.name, detail=probe.detail)


def _lab_verdict(facts: LabFacts, state: VerdictState) -> WheelVerdict:
    by_result: dict[CaseResult, list[Finding]] = {result: [] for result in CaseResult}
    for case in facts.cases:
        found = Finding(group=case.group, name=case.name, detail=case.detail)
        by_result[case.result].append(found)
    return WheelVerdict(
        stage="lab",
        state=VerdictState.PARTIAL if state is VerdictState.PASSED and not facts.whole else state,
        words=f"{len(by_result[CaseResult.PASSED])} of {len(facts.cases)} cases",
        failed=tuple(by_result[CaseResult.FAILED]),
        not_run=tuple(by_result[CaseResult.SKIPPED]),
        groups=tuple(_group(name, rows) for name, rows in lab_groups(facts.cases).items()),
    )


def _group(name: str, cases: Sequence[CaseVerdict]) -> Group:
    results = [case.result for case in cases]
    return Group(
        name=name,
        passed=results.count(CaseResult.PASSED),
        failed=results.count(CaseResult.FAILED),
        not_run=results.count(CaseResult.SKIPPED),
        seconds=round(sum(case.seconds for case in cases), 2),
    )


def timings_of(
    ledger: Ledger, repair: Record[RepairFacts] | None, sha256: str
) -> tuple[Timing, ...]:
    """Return the time that each stage took that this wheel came through."""
    if repair is None:
        return ()
    found: dict[str, Record[Any]] = {"repair": repair}
    for stage in reversed(STAGES):  # the table has what is upstream first
        if stage.name in found:
            for name in stage.upstream:
                for source in ledger.made_from(found[stage.name], FACTS[name])[:1]:
                    found.setdefault(name, source)
    for kind in VERDICTS:
        if (record := about(ledger, kind, sha256)) is not None:
            found[kind.stage] = record
    return tuple(
        Timing(stage=stage.name, seconds=found[stage.name].seconds if stage.name in found else None)
        for stage in STAGES
    )

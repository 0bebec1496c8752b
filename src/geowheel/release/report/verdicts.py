"""The verdicts on one wheel and the timings of its stages, from the ledger's records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from geowheel.contents.drivers import probe_words
from geowheel.machine.console import megabytes
from geowheel.pipeline.summary import lab_groups
from geowheel.records.ledger import Ledger, Record
from geowheel.stages import STAGES

from .values import (
    Finding,
    Group,
    State,
    Timing,
    Verdict,
)

VERDICTS: Final = tuple(stage.name for stage in STAGES if stage.verdict)


def about(ledger: Ledger, stage: str, sha256: str) -> Record | None:
    """The newest verdict on these bytes; one on the whole before any on a part."""
    found = [r for r in ledger.records(stage) if r.facts.get("sha256") == sha256]
    whole = [record for record in found if record.facts.get("whole", True)]
    return next(iter([*whole, *found]), None)


def verdict_on(stage: str, record: Record | None, target: str) -> Verdict:
    """What a stage's record says of a wheel, or how to get one."""
    if record is None:
        return Verdict(stage=stage, state=State.NOT_RUN, words=_how_to_run(stage, target))
    read = {"size": _size_verdict, "test": _test_verdict, "lab": _lab_verdict}[stage]
    return read(record)


def _how_to_run(stage: str, target: str) -> str:
    """The next command, where the target's name tells the Python."""
    interpreter, _, platform = target.partition("-")
    if not interpreter.startswith("cp3"):
        return f"geowheel {stage}"
    python = f"3.{interpreter.removeprefix('cp3')}"
    return f"geowheel {stage} --python {python}" + (f", on {platform}" if stage != "size" else "")


def _state(record: Record) -> State:
    return State.PASSED if record.passed else State.FAILED


def _size_verdict(record: Record) -> Verdict:
    facts = record.facts
    problems = [Finding(group="", name=text, detail="") for text in facts.get("problems", [])]
    words = f"{megabytes(facts['compressed'])} of {facts['wheel_mb']:g} MB"
    return Verdict(stage="size", state=_state(record), words=words, failed=tuple(problems))


def _test_verdict(record: Record) -> Verdict:
    probes, host = record.facts["probes"], record.facts.get("host")
    failed = [_probe(row) for row in probes if row["passed"] is False]
    if host is not None and not host["passed"]:
        failed.append(Finding(group="host", name="the host's tests", detail=host["detail"]))
    words = f"probes: {probe_words(probes)}"
    words += "" if host is None else f", host's tests {'passed' if host['passed'] else 'FAILED'}"
    return Verdict(
        stage="test",
        state=_state(record),
        words=words,
        failed=tuple(failed),
        not_run=tuple(_probe(row) for row in probes if row["passed"] is None),
        emulator=str(record.facts.get("emulator") or ""),
    )


def _probe(row: Mapping[str, Any]) -> Finding:
    return Finding(group="probe", name=str(row["name"]), detail=str(row.get("detail", "")))


def _lab_verdict(record: Record) -> Verdict:
    cases = record.facts["cases"]
    by_result: dict[str, list[Finding]] = {"passed": [], "failed": [], "skipped": []}
    for case in cases:
        found = Finding(group=case["group"], name=case["name"], detail=case["detail"])
        by_result.setdefault(case["result"], []).append(found)
    state = _state(record)
    if state is State.PASSED and not record.facts.get("whole", False):
        state = State.PARTIAL
    count = {result: len(rows) for result, rows in by_result.items()}
    return Verdict(
        stage="lab",
        state=state,
        words=f"{count['passed']} of {len(cases)} cases",
        failed=tuple(by_result["failed"]),
        not_run=tuple(by_result["skipped"]),
        groups=tuple(_group(name, rows) for name, rows in lab_groups(cases).items()),
    )


def _group(name: str, cases: Sequence[Mapping[str, Any]]) -> Group:
    results = [case["result"] for case in cases]
    return Group(
        name=name,
        passed=results.count("passed"),
        failed=results.count("failed"),
        not_run=results.count("skipped"),
        seconds=round(sum(case["seconds"] for case in cases), 2),
    )


def timings_of(ledger: Ledger, repair: Record | None, sha256: str) -> tuple[Timing, ...]:
    """Of every stage that this wheel came through; the records are followed by their content."""
    if repair is None:
        return ()
    found = {"repair": repair}
    for stage in reversed(STAGES):  # the table has what is upstream first
        if stage.name in found:
            for name in stage.upstream:
                source = _made_from(ledger, found[stage.name], name)
                if source is not None:
                    found.setdefault(name, source)
    found |= {
        name: record for name in VERDICTS if (record := about(ledger, name, sha256)) is not None
    }
    return tuple(
        Timing(stage=stage.name, seconds=found[stage.name].seconds if stage.name in found else None)
        for stage in STAGES
    )


def _made_from(ledger: Ledger, record: Record, stage: str) -> Record | None:
    """The record of an upstream stage whose outcome is among what `record` was made from."""
    used = set(record.components.values())
    subjects = (record.subject, record.subject.partition("-")[2])
    return next(
        (
            candidate
            for candidate in ledger.records(stage)
            if candidate.subject in subjects
            and used & {candidate.content, *(output.sha256 for output in candidate.outputs)}
        ),
        None,
    )

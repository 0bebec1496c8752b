"""From how a case's process ended to a verdict in words: nothing here runs anything."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from geowheel.machine.process import tail

from .cases import Case, Judge


class CaseResult(enum.StrEnum):
    """What became of a case."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True)
class Crash:
    """A damaged file that ended the process which read it."""

    path: str
    ended: str
    seconds: float
    """How long that took."""
    reference: int | None = None
    """How the prefix's own program ended on the same file; None where there is none."""
    reference_seconds: float = 0.0
    """How long the prefix's own program took."""

    @property
    def shared(self) -> bool:
        """The prefix's own libgdal crashes or is slow as well: the wheel could not mend it."""
        if self.reference is None:
            return False
        # A program that needs more than a quarter of that time has the same fault: which of the two
        # a limit meets is a matter of the machine.
        slow = self.ended == "SIGALRM" and self.reference_seconds > self.seconds / 4
        return self.reference < 0 or slow


@dataclass(frozen=True, kw_only=True)
class End:
    """How a case's process ended."""

    returncode: int
    seconds: float
    output: str
    """What it wrote on standard error."""
    report: Mapping[str, Any] | None
    """None where it did not get as far as that."""
    crashes: tuple[Crash, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CaseVerdict:
    """A row of lab.json."""

    group: str
    name: str
    result: CaseResult
    seconds: float
    detail: str


def judge(case: Case, end: End | None, ends: Mapping[str, End]) -> CaseVerdict:
    """Return the verdict on one case; `ends` are those of the run by full name, to compare with."""
    result, detail = (CaseResult.SKIPPED, case.skip) if end is None else _result(case, end, ends)
    return CaseVerdict(
        group=case.group, name=case.name, result=result, detail=detail,
        seconds=0.0 if end is None else round(end.seconds, 2),
    )  # fmt: skip


def _result(case: Case, end: End, ends: Mapping[str, End]) -> tuple[CaseResult, str]:
    problem = _ended_badly(end)
    if problem is not None or end.report is None:
        return CaseResult.FAILED, problem or "no report"
    if "skipped" in end.report:
        return CaseResult.SKIPPED, str(end.report["skipped"])
    problems = _own_crashes(end.crashes) if case.judge is Judge.REFERENCE else []
    if case.judge is Judge.NUMBERS:
        problems = _other_numbers(case, end.report, ends)
    if problems:
        return CaseResult.FAILED, "\n".join(problems)
    return CaseResult.PASSED, _detail(end)


def _ended_badly(end: End) -> str | None:
    if end.returncode == 0 and end.report is not None:
        return None
    how = f"signal {-end.returncode}" if end.returncode < 0 else f"exit code {end.returncode}"
    when = "before it reported" if end.report is None else "after it reported"
    return f"ended with {how} {when}:\n{tail(end.output.rstrip())}"


def _other_numbers(case: Case, report: Mapping[str, Any], ends: Mapping[str, End]) -> list[str]:
    """Return where a library gives in company what it does not give alone, to the last bit."""
    problems = []
    for library, found in report["numbers"].items():
        alone = ends.get(f"{case.group}: {library} alone")
        if alone is None or alone.report is None:
            problems.append(f"{library}: nothing to compare with, it failed alone")
        elif (wanted := alone.report["numbers"][library]) != found:
            problems.append(f"{library}: {found}\n  but alone: {wanted}")
    return problems


def _own_crashes(crashes: Iterable[Crash]) -> list[str]:
    return [
        f"{crash.path}: {crash.ended}; "
        + (
            "the prefix holds no program to compare with"
            if crash.reference is None
            else f"the prefix's own program ended with {crash.reference}"
        )
        for crash in crashes
        if not crash.shared
    ]


def _detail(end: End) -> str:
    said = str((end.report or {}).get("detail", ""))
    if not end.crashes:
        return said
    return f"{said}; {len(end.crashes)} crash or hold up the prefix's own programs as well"

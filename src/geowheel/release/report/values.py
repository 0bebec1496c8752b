"""What is known of a release's wheels, as one frozen value."""

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Final

from geowheel.contents.drivers import Driver, PackageOffer
from geowheel.contents.restricted import UNSETTLED, Restricted, by_driver, unaccepted
from geowheel.machine.files import to_json
from geowheel.records.facts import PrefixString
from geowheel.release.coverage.table import Coverage
from geowheel.systems.contract import Forcing
from geowheel.targets import parse_target

from .inside import Inside

FORMAT: Final = 1
"""The format of report.json; a report of another one is not compared with."""


class VerdictState(enum.StrEnum):
    """What is known of one verdict on one wheel."""

    PASSED = "passed"
    FAILED = "failed"
    PARTIAL = "some cases only"
    """A lab of some cases is no verdict on the wheel."""
    NOT_RUN = "not run"
    """No record is about these bytes."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A probe, a case or a budget that failed or did not run."""

    group: str
    name: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """The lab's cases of one group, counted."""

    name: str
    passed: int
    failed: int
    not_run: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class WheelVerdict:
    """What a stage found about the very bytes of a wheel."""

    stage: str
    state: VerdictState
    words: str
    """The count behind it, or what to do for one that was not run."""
    failed: tuple[Finding, ...] = ()
    not_run: tuple[Finding, ...] = ()
    groups: tuple[Group, ...] = ()
    emulator: str = ""
    """What ran it where no machine of that kind did."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long a stage took; None where its record is gone."""

    stage: str
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Before:
    """The wheel of the same target in the last release."""

    version: str
    compressed: int
    installed: int


@dataclass(frozen=True, kw_only=True)
class WheelReport:
    """Everything about one wheel of dist/."""

    file: str
    sha256: str
    version: str
    target: str
    """`cp312-linux-64`; of a wheel without a record, what its name says."""
    tag: str
    recorded: bool
    """Whether a record of this checkout's ledger is about these bytes."""
    locked: bool | None
    """Whether its native stack is from a committed lock; None: unknown."""
    made: str
    """When, as its record says."""
    compressed: int
    wheel_mb: float
    installed_mb: float
    inside: Inside
    verdicts: tuple[WheelVerdict, ...]
    timings: tuple[Timing, ...]
    floor: tuple[Forcing, ...]
    sources: Mapping[str, int]
    """How many packages are from each channel, by its URL, or from an sdist."""
    drivers: tuple[Driver, ...]
    offers: tuple[PackageOffer, ...]
    without_license: tuple[str, ...]
    """Bundled packages of which no license text was found."""
    restricted: tuple[Restricted, ...]
    """Bundled packages under the GPL or the like."""
    without_grids: tuple[str, ...]
    """Well-known operations that are less exact."""
    prefix_strings: tuple[PrefixString, ...]
    before: Before | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that the page shows."""

    host: str
    geowheel: str
    wheels: tuple[WheelReport, ...]
    missing: tuple[str, ...]
    """Targets that are configured, but have no wheel in dist/."""
    coverage: tuple[Coverage, ...] | None
    """None: nobody asked which wheel is picked where."""
    accept: Mapping[str, str]
    """Patterns of restricted packages that the configuration accepts, and the reasons."""

    @property
    def versions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(wheel.version for wheel in self.wheels))

    @property
    def date(self) -> str:
        """The day of the newest wheel; nothing where no record names one."""
        return max((wheel.made for wheel in self.wheels), default="")[:10]


@dataclass(frozen=True, kw_only=True)
class OpenPoint:
    """A cause, and all that it holds for."""

    cause: str
    wrong: bool
    """False: nothing failed, something is not done yet."""
    where: tuple[str, ...]


def as_json(report: Report) -> str:
    """Return the same facts for programs."""
    data = {f.name: getattr(report, f.name) for f in fields(report)}
    data |= {"format": FORMAT, "open": open_points(report)}
    return to_json(data, ordered=True).decode()


def open_points(report: Report) -> tuple[OpenPoint, ...]:
    """Return what a reader has to know, what is wrong first; empty where all is well."""
    found: dict[tuple[bool, str], dict[str, None]] = {}
    for wrong, cause, where in _points(report):
        found.setdefault((wrong, cause), {})[where] = None
    return tuple(
        OpenPoint(cause=cause, wrong=wrong, where=tuple(where))
        for (wrong, cause), where in sorted(found.items(), key=lambda item: not item[0][0])
    )


def by_platform(targets: Iterable[str]) -> dict[str, list[str]]:
    """Return the interpreters of each platform, in the order of the targets."""
    groups: dict[str, list[str]] = {}
    for target in targets:
        if (parsed := parse_target(target)) is None:
            groups.setdefault(target, []).append(target)
        else:
            groups.setdefault(parsed.platform, []).append(parsed.abi_tag)
    return groups


def _points(report: Report) -> Iterator[tuple[bool, str, str]]:
    """Yield whether it is wrong, the cause, and one thing that it holds for."""
    if len(report.versions) > 1:
        yield from ((True, "wheels of several versions", version) for version in report.versions)
    for wheel in report.wheels:
        if wheel.inside.problem:
            yield True, f"cannot be read ({wheel.inside.problem})", wheel.file
        if not wheel.recorded:
            yield True, "no record is about it; it was made elsewhere, or changed", wheel.file
            continue
        for brought_in in by_driver(unaccepted(wheel.restricted, report.accept)):
            yield False, f"{UNSETTLED} in [tool.geowheel.licenses]", brought_in
        if not wheel.locked:
            yield False, "its native stack is not from a committed lock", wheel.target
        for verdict in wheel.verdicts:
            partial = f" ({verdict.state})" if verdict.state is VerdictState.PARTIAL else ""
            if verdict.state is VerdictState.FAILED:
                yield True, f"{verdict.stage} FAILED", wheel.target
            elif verdict.state is not VerdictState.PASSED:
                yield False, f"{verdict.stage} NOT RUN{partial}", wheel.target
    for platform, interpreters in by_platform(report.missing).items():
        yield False, "configured, but not in dist/", f"{platform} ({', '.join(interpreters)})"

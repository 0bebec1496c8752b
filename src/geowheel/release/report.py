"""The report of a release: what the ledger and dist/ know of its wheels, as one frozen value.

`geowheel report` writes it as dist/report.html for people (see `page`) and as dist/report.json for
programs, and for the report of the next release, which compares sizes with it. The same records
give the same bytes: every date in it is a record's.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from packaging.tags import Tag, parse_tag
from packaging.utils import canonicalize_name

from geowheel import __version__
from geowheel.binary.wheel import parse_filename
from geowheel.console import Console, megabytes
from geowheel.digest import digest, sha256_file
from geowheel.drivers import Driver, Offer, read_drivers
from geowheel.errors import BuildError, UsageError
from geowheel.ledger import Ledger, Record
from geowheel.project import Project
from geowheel.stages import STAGES
from geowheel.summary import lab_groups
from geowheel.targets import Platform, System

from .inside import Inside, look_inside

PAGE: Final = "report.html"
FACTS: Final = "report.json"
FORMAT: Final = 1
"""Of report.json; another number is not compared with."""

_VERDICTS: Final = tuple(stage.name for stage in STAGES if stage.verdict)


class State(enum.StrEnum):
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
class Verdict:
    """What a stage found about the very bytes of a wheel."""

    stage: str
    state: State
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
class Forced:
    """The newest of the system that a wheel needs, and what makes it so."""

    needs: str
    packages: tuple[str, ...]
    files: tuple[str, ...]


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
    verdicts: tuple[Verdict, ...]
    timings: tuple[Timing, ...]
    floor: tuple[Forced, ...]
    drivers: tuple[Driver, ...]
    offers: tuple[Offer, ...]
    without_licence: tuple[str, ...]
    """Bundled packages of which no licence text was found."""
    before: Before | None

    def verdict(self, stage: str) -> Verdict:
        """The verdict of one stage."""
        return next(verdict for verdict in self.verdicts if verdict.stage == stage)


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """The wheel that pip picks on a system for one of its interpreters, or why it picks none."""

    system: str
    base: str = ""
    """What it has: `glibc 2.36`."""
    architecture: str = ""
    python: str = ""
    until: str = ""
    """The day when its support ends, where that is known."""
    wheel: str = ""
    """Empty where pip finds none."""
    reason: str = ""
    remedies: tuple[str, ...] = ()


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

    @property
    def versions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(wheel.version for wheel in self.wheels))

    @property
    def date(self) -> str:
        """The day of the newest wheel; nothing where no record names one."""
        return max((wheel.made for wheel in self.wheels), default="")[:10]


def covered(project: Project) -> tuple[Coverage, ...]:
    """What `geowheel coverage` finds for the wheels in dist/, as the page shows it."""
    from .coverage import coverage, names_of
    from .user_systems import load_user_systems

    return tuple(
        Coverage(
            system=row.system,
            base=row.base,
            architecture=row.architecture,
            python=row.python,
            until=str(row.end_of_life or ""),
            wheel=row.wheel or "",
            reason="; ".join(reason.what for reason in row.reasons),
            remedies=tuple(reason.fix for reason in row.reasons),
        )
        for row in coverage(names_of(project), load_user_systems())
    )


def report(
    project: Project,
    console: Console,
    *,
    against: Path | None = None,
    coverage: Sequence[Coverage] | None = None,
) -> dict[str, Any]:
    """Write dist/report.html and dist/report.json; where they are, as plain values."""
    from .page import render

    made = read_report(project, earlier=_earlier(project, against, console), coverage=coverage)
    texts = {FACTS: to_json(made), PAGE: render(made)}
    for name, text in texts.items():
        _write(project.dist / name, text)
    for wheel in made.wheels:
        states = ", ".join(f"{verdict.stage} {verdict.state}" for verdict in wheel.verdicts)
        unknown = "" if wheel.recorded else "; NO RECORD names it"
        console.line(f"{wheel.file}: {megabytes(wheel.compressed)}, {states}{unknown}")
    console.line(f"open {project.dist / PAGE} in a browser")
    return {
        "page": str(project.dist / PAGE),
        "facts": str(project.dist / FACTS),
        "wheels": [wheel.file for wheel in made.wheels],
        "open": list(open_points(made)),
    }


def read_report(
    project: Project,
    *,
    earlier: Mapping[str, Before] | None = None,
    coverage: Sequence[Coverage] | None = None,
) -> Report:
    """The facts, from the ledger and dist/; raises UsageError when there is no wheel in dist/."""
    paths = [p for p in sorted(project.dist.glob("*.whl")) if _is_ours(p, project)]
    if not paths:
        raise UsageError(
            f"there is no wheel of {project.host.name} to report on",
            where=str(project.dist),
            cause="nothing was built here yet, or dist/ was emptied",
            fix=f"make one: nox -s wheel-{project.config.pythons[0]}",
        )
    ledger = Ledger(folder=project.work, host=project.host.name)
    wheels = [_wheel(path, project, ledger, earlier or {}) for path in paths]
    configured = [
        str(project.target(python, platform))
        for platform in project.manifest.platforms_of(project.config.environment)
        for python in project.config.pythons
    ]
    there = {wheel.target for wheel in wheels}
    return Report(
        host=project.host.name,
        geowheel=__version__,
        wheels=tuple(wheels),
        missing=tuple(target for target in configured if target not in there),
        coverage=None if coverage is None else tuple(coverage),
    )


def to_json(report: Report) -> str:
    """The same facts for programs."""
    data = {"format": FORMAT, "open": list(open_points(report)), **asdict(report)}
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


def open_points(report: Report) -> tuple[str, ...]:
    """What a reader has to know before anything else; nothing where all is well."""
    points = [point for wheel in report.wheels for point in _points(wheel)]
    if len(report.versions) > 1:
        points.append(f"wheels of several versions: {', '.join(report.versions)}")
    if report.missing:
        missing = (f"{key} ({', '.join(n)})" for key, n in by_platform(report.missing).items())
        points.append(f"configured, but not in dist/: {', '.join(missing)}")
    return tuple(points)


def by_platform(targets: Iterable[str]) -> dict[str, list[str]]:
    """The interpreters of each platform, in the order of the targets."""
    groups: dict[str, list[str]] = {}
    for target in targets:
        interpreter, _, platform = target.partition("-")
        groups.setdefault(platform or target, []).append(interpreter)
    return groups


def _points(wheel: WheelReport) -> Iterable[str]:
    if wheel.inside.problem:
        yield f"{wheel.file}: cannot be read ({wheel.inside.problem})"
    if not wheel.recorded:
        yield f"{wheel.file}: no record is about it; it was made elsewhere, or changed"
        return
    for verdict in wheel.verdicts:
        if verdict.state is State.FAILED:
            yield f"{wheel.target}: {verdict.stage} FAILED"
        elif verdict.state is not State.PASSED:
            yield f"{wheel.target}: {verdict.stage} NOT RUN" + (
                f" ({verdict.state})" if verdict.state is State.PARTIAL else ""
            )
    if not wheel.locked:
        yield f"{wheel.target}: its native stack is not from a committed lock"


# --- one wheel -------------------------------------------------------------------------------


def _is_ours(path: Path, project: Project) -> bool:
    """Whether a wheel's name is the host's: dist/ may hold those of several."""
    try:
        name, *_ = parse_filename(path.name)
    except BuildError:
        return False
    return name == canonicalize_name(project.host.name)


def _wheel(
    path: Path, project: Project, ledger: Ledger, earlier: Mapping[str, Before]
) -> WheelReport:
    sha256 = sha256_file(path)
    repair = next((r for r in ledger.records("repair") if r.facts.get("sha256") == sha256), None)
    facts: Mapping[str, Any] = {} if repair is None else repair.facts
    _, version, _, tags = parse_filename(path.name)
    target = _target_of(tags) if repair is None else repair.subject
    size = _about(ledger, "size", sha256)
    test = _about(ledger, "test", sha256)
    found: Mapping[str, Any] = {} if test is None else test.facts
    budget: Mapping[str, Any] = {} if size is None else size.facts
    return WheelReport(
        file=path.name,
        sha256=sha256,
        version=version,
        target=target,
        tag=", ".join(dict.fromkeys(tag.split("-", 2)[2] for tag in tags)),
        recorded=repair is not None,
        locked=None if repair is None else repair.components.get("locked") == digest(True),
        made="" if repair is None else repair.created,
        compressed=path.stat().st_size,
        wheel_mb=float(budget.get("wheel_mb", project.wheel_budget_mb)),
        installed_mb=float(budget.get("installed_mb", project.config.budget.installed_mb)),
        inside=look_inside(path, facts.get("owners", {}), project.config.places),
        verdicts=tuple(
            _verdict(stage, _about(ledger, stage, sha256), target) for stage in _VERDICTS
        ),
        timings=_timings(ledger, repair, sha256),
        floor=tuple(
            Forced(needs=f["needs"], packages=tuple(f["packages"]), files=tuple(f["files"]))
            for f in facts.get("floor", [])
        ),
        drivers=read_drivers(found.get("drivers", [])),
        offers=tuple(
            Offer(**{**offer, "drivers": tuple(offer["drivers"])})
            for offer in found.get("not_in_wheel", [])
        ),
        without_licence=tuple(facts.get("licences", {}).get("without", [])),
        before=earlier.get(target),
    )


def _about(ledger: Ledger, stage: str, sha256: str) -> Record | None:
    """The newest verdict on these bytes; one on the whole before any on a part."""
    found = [r for r in ledger.records(stage) if r.facts.get("sha256") == sha256]
    whole = [record for record in found if record.facts.get("whole", True)]
    return next(iter([*whole, *found]), None)


def _target_of(tags: Sequence[str]) -> str:
    """`cp312-linux-64` from the tags in a wheel's name, or the first tag where it says no more."""
    tag = next(iter(sorted(parse_tag(tags[0]), key=str)))
    platform = _platform_of(tag)
    return tags[0] if platform is None else f"{tag.interpreter}-{platform}"


def _platform_of(tag: Tag) -> Platform | None:
    begins = {
        System.LINUX: ("linux", "manylinux", "musllinux"),
        System.MACOS: ("macosx",),
        System.WINDOWS: ("win_",),
    }
    return next(
        (
            platform
            for platform in Platform
            if tag.platform.startswith(begins[platform.system])
            and tag.platform.endswith(f"_{platform.architecture}")
        ),
        None,
    )


# --- verdicts --------------------------------------------------------------------------------


def _verdict(stage: str, record: Record | None, target: str) -> Verdict:
    if record is None:
        return Verdict(stage=stage, state=State.NOT_RUN, words=_how_to_run(stage, target))
    read = {"size": _size_verdict, "test": _test_verdict, "lab": _lab_verdict}[stage]
    return read(record)


def _how_to_run(stage: str, target: str) -> str:
    """The next command, where the target's name tells the Python."""
    interpreter, _, platform = target.partition("-")
    if not interpreter.startswith("cp3"):
        return f"nox -s {stage}"
    python = f"3.{interpreter.removeprefix('cp3')}"
    return f"nox -s {stage}-{python}" + (f", on {platform}" if stage != "size" else "")


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
    good = sum(1 for row in probes if row["passed"])
    words = f"{good} of {len(probes)} probes"
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


# --- timings ---------------------------------------------------------------------------------


def _timings(ledger: Ledger, repair: Record | None, sha256: str) -> tuple[Timing, ...]:
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
        name: record for name in _VERDICTS if (record := _about(ledger, name, sha256)) is not None
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


# --- the last release ------------------------------------------------------------------------


def _earlier(project: Project, against: Path | None, console: Console) -> dict[str, Before]:
    """The wheels of the last release by target: of `against`, else of dist/'s own last report.

    A report that was written again for the same release keeps what it was compared with.
    """
    if against is not None:
        return {
            target: before for target, before, _ in read_wheels(against, host=project.host.name)
        }
    path = project.dist / FACTS
    if not path.exists():
        return {}
    now = {version for _, version, _ in _names(project)}
    try:
        rows = read_wheels(path, host=project.host.name)
    except UsageError as error:
        console.warn(f"not compared with the last report: {error}")
        return {}
    chosen = {target: kept if before.version in now else before for target, before, kept in rows}
    return {target: before for target, before in chosen.items() if before is not None}


def _names(project: Project) -> list[tuple[str, str, str]]:
    """Name, version and build tag of the host's wheels in dist/."""
    return [
        parse_filename(path.name)[:3]
        for path in sorted(project.dist.glob("*.whl"))
        if _is_ours(path, project)
    ]


def read_wheels(path: Path, *, host: str) -> list[tuple[str, Before, Before | None]]:
    """Target, sizes and what they were compared with, of a report.json.

    Raises UsageError when it cannot be read, or is another host's.
    """
    fix = "name a report.json that `geowheel report` wrote for an earlier release"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise UsageError("a report.json of another format", where=str(path), fix=fix)
        if data["host"] != host:
            what = f"this report is of {data['host']}, not of {host}"
            raise UsageError(what, where=str(path), fix=fix)
        return [
            (
                str(row["target"]),
                Before(
                    version=str(row["version"]),
                    compressed=int(row["compressed"]),
                    installed=int(row["inside"]["installed"]),
                ),
                Before(**row["before"]) if row["before"] else None,
            )
            for row in data["wheels"]
        ]
    except OSError as error:
        raise UsageError(error.strerror or str(error), where=str(path), fix=fix) from None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"no report.json: {error!r}", where=str(path), fix=fix) from None


def _write(path: Path, text: str) -> None:
    """One rename: nobody reads half a page."""
    partial = path.with_name(f".{path.name}.new")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)

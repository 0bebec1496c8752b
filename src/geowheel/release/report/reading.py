"""What the ledger and dist/ know of a release's wheels, read into one frozen value."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.tags import parse_tag

from geowheel import __version__
from geowheel.digest import sha256_file
from geowheel.errors import UsageError
from geowheel.pipeline.given_wheels import is_of_host
from geowheel.project.project import Project
from geowheel.records.facts import VERDICTS, RepairFacts, SizeFacts, TestFacts
from geowheel.records.ledger import Ledger
from geowheel.release.coverage.table import Coverage
from geowheel.targets import Platform
from geowheel.wheel.reading import parse_filename
from geowheel.wheel.tags import parse_platform_tag

from .inside import look_inside
from .values import Before, Report, WheelReport
from .verdicts import about, timings_of, verdict_on


def read_report(
    project: Project,
    *,
    earlier: Mapping[str, Before] | None = None,
    coverage: Sequence[Coverage] | None = None,
) -> Report:
    """Return the facts, from ledger and dist/; raises UsageError when dist/ has no wheel."""
    paths = [p for p in sorted(project.dist.glob("*.whl")) if is_of_host(project, p)]
    if not paths:
        raise UsageError(
            f"there is no wheel of {project.host.name} to report on",
            where=str(project.dist),
            cause="nothing was built here yet, or dist/ was emptied",
            fix=f"make one: `geowheel wheel --python {project.config.pythons[0]}`",
        )
    ledger = Ledger(folder=project.work, host=project.host.name)
    wheels = [_wheel(path, project, ledger, earlier or {}) for path in paths]
    platforms = project.manifest.platforms_of(project.config.environment)
    configured = map(str, project.targets(platforms))
    there = {wheel.target for wheel in wheels}
    return Report(
        host=project.host.name,
        geowheel=__version__,
        wheels=tuple(wheels),
        missing=tuple(target for target in configured if target not in there),
        coverage=None if coverage is None else tuple(coverage),
        accept=project.config.licenses.accept,
    )


def _wheel(
    path: Path, project: Project, ledger: Ledger, earlier: Mapping[str, Before]
) -> WheelReport:
    sha256 = sha256_file(path)
    repair = next((r for r in ledger.records(RepairFacts) if r.about == sha256), None)
    facts = RepairFacts() if repair is None else repair.facts
    _, version, _, tags = parse_filename(path.name)
    target = _target_of(tags) if repair is None else repair.subject
    size = about(ledger, SizeFacts, sha256)
    test = about(ledger, TestFacts, sha256)
    tested = TestFacts(sha256=sha256) if test is None else test.facts
    budget = project.config.budget
    return WheelReport(
        file=path.name,
        sha256=sha256,
        version=version,
        target=target,
        tag=", ".join(dict.fromkeys(tag.split("-", 2)[2] for tag in tags)),
        recorded=repair is not None,
        locked=None if repair is None else facts.locked,
        made="" if repair is None else repair.created,
        compressed=path.stat().st_size,
        wheel_mb=size.facts.wheel_mb if size else project.wheel_budget_mb,
        installed_mb=size.facts.installed_mb if size else budget.installed_mb,
        inside=look_inside(path, facts.owners, project.config.places),
        verdicts=tuple(verdict_on(kind, about(ledger, kind, sha256), target) for kind in VERDICTS),
        timings=timings_of(ledger, repair, sha256),
        floor=facts.floor,
        sources=facts.sources,
        drivers=tested.drivers,
        offers=tested.not_in_wheel,
        without_license=facts.licenses.without,
        restricted=facts.licenses.restricted,
        without_grids=facts.without_grids,
        prefix_strings=facts.prefix_strings,
        before=earlier.get(target),
    )


def _target_of(tags: Sequence[str]) -> str:
    """Return `cp312-linux-64` from the tags in a wheel's name, or its first tag."""
    tag = min(parse_tag(tags[0]), key=str)
    parsed = parse_platform_tag(tag.platform)
    for platform in Platform:
        if parsed is not None and parsed.is_for(platform):
            return f"{tag.interpreter}-{platform}"
    return tags[0]

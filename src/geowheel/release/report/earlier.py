"""The last release's report, which sizes are compared with."""

from pathlib import Path
from typing import Final

import msgspec

from geowheel.errors import UsageError
from geowheel.machine.console import Console
from geowheel.machine.files import from_json
from geowheel.pipeline.given_wheels import is_of_host
from geowheel.project.project import Project
from geowheel.wheel.reading import parse_filename

from .values import FORMAT, Before

FACTS: Final = "report.json"


def earlier_wheels(project: Project, against: Path | None, console: Console) -> dict[str, Before]:
    """Return the last release's wheels by target: of `against`, else of the report in dist/.

    A report that was written again for the same release keeps what it was compared with.
    """
    if against is not None:
        return {
            target: before for target, before, _ in read_wheels(against, host=project.host.name)
        }
    path = project.dist / FACTS
    if not path.exists():
        return {}
    ours = [path.name for path in project.dist.glob("*.whl") if is_of_host(project, path)]
    now = {parse_filename(name)[1] for name in ours}
    try:
        rows = read_wheels(path, host=project.host.name)
    except UsageError as error:
        console.warn(f"not compared with the last report: {error}")
        return {}
    chosen = {target: kept if before.version in now else before for target, before, kept in rows}
    return {target: before for target, before in chosen.items() if before is not None}


class _EarlierInside(msgspec.Struct):
    installed: int


class _EarlierWheel(msgspec.Struct):
    target: str
    version: str
    compressed: int
    inside: _EarlierInside
    before: Before | None


class _EarlierReport(msgspec.Struct):
    """What of a report.json is compared with; a field that is not read may be anything."""

    format: int
    host: str
    wheels: tuple[_EarlierWheel, ...] = ()


def read_wheels(path: Path, *, host: str) -> list[tuple[str, Before, Before | None]]:
    """Return target, sizes and what they were compared with, of a report.json.

    Raises UsageError when it cannot be read, or is another host's.
    """
    fix = "name a report.json that `geowheel report` wrote for an earlier release"
    try:
        found = from_json(path.read_bytes(), _EarlierReport)
    except OSError as error:
        raise UsageError(error.strerror or str(error), where=str(path), fix=fix) from None
    except msgspec.DecodeError as error:
        raise UsageError(f"no report.json: {error}", where=str(path), fix=fix) from None
    if found.format != FORMAT:
        raise UsageError("a report.json of another format", where=str(path), fix=fix)
    if found.host != host:
        what = f"this report is of {found.host}, not of {host}"
        raise UsageError(what, where=str(path), fix=fix)
    return [
        (
            wheel.target,
            Before(
                version=wheel.version, compressed=wheel.compressed, installed=wheel.inside.installed
            ),
            wheel.before,
        )
        for wheel in found.wheels
    ]

"""`geowheel report`: dist/report.html for people, dist/report.json for programs.

The report of the next release compares sizes with report.json. The same records give the same
bytes: every date in it is a record's.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from geowheel.machine import files
from geowheel.machine.console import Console, megabytes
from geowheel.machine.credentials import refuse_secrets
from geowheel.project.project import Project
from geowheel.release.coverage.table import Coverage, names_of
from geowheel.release.coverage.table import coverage as coverage_of
from geowheel.wheel.user_systems import load_user_systems

from .earlier import FACTS, earlier_wheels
from .page import render
from .reading import read_report
from .values import as_json, open_points

PAGE: Final = "report.html"


def covered(project: Project) -> tuple[Coverage, ...]:
    """Return what `geowheel coverage` finds for the wheels in dist/."""
    return coverage_of(names_of(project), load_user_systems())


def report(
    project: Project,
    console: Console,
    *,
    against: Path | None = None,
    coverage: Sequence[Coverage] | None = None,
) -> dict[str, Any]:
    """Write dist/report.html and dist/report.json; where they are, as plain values."""
    made = read_report(
        project, earlier=earlier_wheels(project, against, console), coverage=coverage
    )
    texts = {FACTS: as_json(made), PAGE: render(made)}
    for name, text in texts.items():
        with files.whole(project.dist / name) as part:
            part.write_text(text, encoding="utf-8")
            refuse_secrets(part, project.machine.environ)
    for wheel in made.wheels:
        states = ", ".join(f"{verdict.stage} {verdict.state}" for verdict in wheel.verdicts)
        unknown = "" if wheel.recorded else "; NO RECORD names it"
        console.result(f"{wheel.file}: {megabytes(wheel.compressed)}, {states}{unknown}")
    console.result(f"open {project.dist / PAGE} in a browser")
    return {
        "page": str(project.dist / PAGE),
        "facts": str(project.dist / FACTS),
        "wheels": [wheel.file for wheel in made.wheels],
        "open": [asdict(point) for point in open_points(made)],
    }

"""The command `coverage`: which wheel pip picks on which system, or why none and what to do.

A table of systems and the names of wheels decide; no wheel is opened and no index is asked.
"""

import datetime
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from packaging.utils import canonicalize_name

from geowheel.errors import UsageError
from geowheel.machine.console import Console
from geowheel.project.project import Project
from geowheel.wheel.user_systems import Family, UserPlace, UserSystems

from .obstacles import Hindrance, hindrances
from .wheel_names import NamedWheel, best_platform, parse_names, pick


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What pip does for one project, on one system, with one interpreter."""

    project: str
    """The normalised name of the distribution."""
    system: str
    group: str
    base: str
    architecture: str
    python: str
    pip: str
    """Empty when not known."""
    end_of_life: datetime.date | None
    wheel: str | None
    """The file that pip picks; None when none matches."""
    platform: str | None
    """The wheel's platform tag that pip goes by: the best one that it accepts there."""
    reasons: tuple[Hindrance, ...] = ()
    """What is in the way; empty where there is a wheel."""

    def ended(self, on: datetime.date) -> bool:
        """Return whether the system was out of support on that day."""
        return self.end_of_life is not None and self.end_of_life < on


def coverage(names: Sequence[str], systems: UserSystems) -> tuple[Coverage, ...]:
    """Return what pip picks from wheels of these names: by project, then by system.

    Raises UsageError with every name that is not a wheel's.
    """
    wheels = parse_names(names)
    return tuple(
        _row(project, [wheel for wheel in wheels if wheel.project == project], at, systems)
        for project in sorted({wheel.project for wheel in wheels})
        for at in systems.places()
    )


def _row(
    project: str, wheels: Sequence[NamedWheel], at: UserPlace, systems: UserSystems
) -> Coverage:
    accepted = systems.accepted(at)
    picked = pick(wheels, accepted)
    return Coverage(
        project=project,
        system=at.system.name,
        group=at.system.group,
        base=str(at.system.base),
        architecture=at.architecture,
        python=at.interpreter.python,
        pip=at.interpreter.pip,
        end_of_life=at.system.end_of_life,
        wheel=picked.file if picked else None,
        platform=best_platform(picked, accepted) if picked else None,
        reasons=() if picked else hindrances(wheels, at, systems),
    )


def names_of(project: Project) -> tuple[str, ...]:
    """Return the wheels of the host in dist/; raises UsageError when there is none."""
    names = tuple(sorted(path.name for path in project.dist.glob("*.whl")))
    own = canonicalize_name(project.host.name)
    found = tuple(wheel.file for wheel in parse_names(names) if wheel.project == own)
    if not found:
        raise UsageError(
            f"no wheel of {project.host.name}",
            where=str(project.dist),
            fix="build one with `geowheel wheel`, or name some: `geowheel coverage NAME.whl ...`",
        )
    return found


def plain(row: Coverage, on: datetime.date) -> dict[str, Any]:
    """Return a row as JSON has it, with whether the system was out of support on that day."""
    end = row.end_of_life.isoformat() if row.end_of_life else None
    return {**asdict(row), "end_of_life": end, "ended": row.ended(on)}


def show(rows: Sequence[Coverage], on: datetime.date, console: Console) -> dict[str, Any]:
    """Show tables by project and group of systems; the rows as plain values.

    A line is for the architectures and interpreters of a system between which nothing differs.
    """
    for project, group in dict.fromkeys((row.project, row.group) for row in rows):
        own = [row for row in rows if (row.project, row.group) == (project, group)]
        columns = ["system", "has", "architecture", "Python", "wheel, or why none"]
        console.table(f"{project}: {group}", columns, _lines(own, on))
    for fix in dict.fromkeys(reason.fix for row in rows for reason in row.reasons):
        console.result(f"  to do: {fix}")
    console.result(summary(rows, on))
    return {"date": on.isoformat(), "rows": [plain(row, on) for row in rows]}


def summary(rows: Sequence[Coverage], on: datetime.date) -> str:
    """Say how many supported systems have a wheel for one of their interpreters."""
    current = {row.system for row in rows if not row.ended(on)}
    served = {row.system for row in rows if not row.ended(on) and row.wheel}
    return f"{len(served)} of {len(current)} systems in support on {on} get a wheel"


def _lines(rows: Sequence[Coverage], on: datetime.date) -> list[list[str]]:
    """Return the cells of a table."""
    pythons: dict[tuple[str, str, str, str], list[str]] = {}
    for row in rows:
        system = f"{row.system} (ended {row.end_of_life})" if row.ended(on) else row.system
        key = (system, row.base, row.architecture, _outcome(row))
        pythons.setdefault(key, []).append(row.python)
    alike: dict[tuple[str, str, str, str], list[str]] = {}
    for (system, base, architecture, outcome), versions in pythons.items():
        key = (system, base, ", ".join(versions), outcome)
        alike.setdefault(key, []).append(architecture)
    lines: list[list[str]] = []
    before = ""
    for (system, base, names, outcome), architectures in alike.items():
        head = ["", ""] if system == before else [system, base]
        lines.append([*head, ", ".join(architectures), names, outcome])
        before = system
    return lines


def _outcome(row: Coverage) -> str:
    """Say what happens; a Linux wheel's architecture is in a column of its own."""
    if row.platform is None:
        return "none: " + "; ".join(reason.what for reason in row.reasons)
    linux = row.base.startswith((Family.GLIBC, Family.MUSL))
    return row.platform.removesuffix(f"_{row.architecture}") if linux else row.platform

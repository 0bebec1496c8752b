"""Bundled packages under a license that asks something of the whole, and who accepts them."""

import fnmatch
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from geowheel.errors import Fault
from geowheel.machine.files import table_of

UNSETTLED: Final = "packages under the GPL or a refused license that nobody has accepted"


@dataclass(frozen=True, kw_only=True)
class Restricted:
    """A bundled package that can only be had under a license that asks something of the whole."""

    name: str
    version: str
    terms: str
    """The licenses that no choice avoids."""
    brought_by: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.terms})"


def accepting(name: str, accept: Iterable[str]) -> str | None:
    """Return the pattern that accepts a package of this name; None: the package is not accepted."""
    return next((pattern for pattern in accept if fnmatch.fnmatch(name, pattern)), None)


def unaccepted(found: Iterable[Restricted], accept: Iterable[str]) -> tuple[Restricted, ...]:
    """Return those that the configuration has to accept yet."""
    return tuple(item for item in found if accepting(item.name, accept) is None)


def by_driver(found: Iterable[Restricted]) -> tuple[str, ...]:
    """Return a line for each driver or library that brings some of them in."""
    groups: dict[str, list[str]] = {}
    for item in found:
        groups.setdefault(item.brought_by, []).append(str(item))
    return tuple(f"{what}: {', '.join(items)}" for what, items in sorted(groups.items()))


def lgpl_builds(names: Iterable[str] | None = None) -> list[str]:
    """Return pixi.toml's lines that ask for builds without these packages (None: all known)."""
    known = table_of("contents", "lgpl_builds.toml", dict[str, str])
    wanted = known.keys() if names is None else known.keys() & names
    return [f'{known[name]} = {{ version = "*", build = "lgpl_*" }}' for name in sorted(wanted)]


def license_faults(found: Sequence[Restricted], where: str = "") -> list[Fault]:
    """Return one fault for all of them, by what brings them in; none where there are none."""
    if not found:
        return []
    lines = [f"{UNSETTLED}: {len(found)}", *(f"  {line}" for line in by_driver(found))]
    fix = ""
    if builds := ", ".join(lgpl_builds(item.name for item in found)):
        fix = f"where they are conda-forge's, take {builds} in pixi.toml; then `geowheel lock`. Or "
    return [
        Fault(
            what="\n".join(textwrap.fill(line, 80, subsequent_indent="    ",
                                         break_on_hyphens=False) for line in lines),
            where=where,
            cause="no wheel with them is released before somebody has decided",
            fix=f"{fix}leave out what brings them in, or accept each in "
            "[tool.geowheel.licenses.accept]: "
            f'{found[0].name} = "the reason"',
        )
    ]  # fmt: skip

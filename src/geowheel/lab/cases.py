"""What a case of the lab is, what the lab has to offer them, and which of them a run asks for."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from geowheel.errors import UsageError

OURS: Final = "ours"
"""What the wheel under test is called among the libraries of an order."""
PEERS: Final = ("pyproj", "shapely", "pyogrio", "rasterio", "fiona")
"""Libraries for which probes/libraries.py has work."""
SERVER: Final = "trustme"
"""Makes the certificates of the HTTPS server."""


class Judge(enum.Enum):
    """What decides about a case whose process ended well."""

    REPORT = "its own report"
    NUMBERS = "the numbers that each library gives alone"
    REFERENCE = "whether the prefix's own programs crash as well"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One process to run, and how it is judged."""

    group: str
    name: str
    function: str
    """`module:function` of probes."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """What the function has to know, beside what all cases are told."""
    peers: bool = False
    """Runs in the environment with the peers, not in the clean one."""
    judge: Judge = Judge.REPORT
    needs: tuple[str, ...] = ()
    """Full names of cases of the same run that this one is compared with."""
    skip: str = ""
    """Why it cannot be run here; empty where it can."""

    @property
    def full_name(self) -> str:
        return f"{self.group}: {self.name}"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a command line says about the lab."""

    cases: tuple[str, ...] = ()
    """Patterns of full names; none: every case, and only that is a pass of the whole."""
    seed: int | None = None

    @property
    def whole(self) -> bool:
        return not self.cases


WHOLE: Final = Choice()
"""Every case, with a seed that the wheel gives."""


@dataclass(frozen=True, kw_only=True)
class Equipment:
    """What there is for the cases."""

    peers: tuple[str, ...] = PEERS
    lacking: Mapping[str, str] = field(default_factory=dict)
    """Peers that cannot be installed, with the reason."""
    server: bool = True
    bubblewrap: bool = True
    emulated: bool = False
    """An emulator runs the target's interpreter."""
    other_gdal: str | None = None
    """The folder of the prefix's libraries: another GDAL for LD_LIBRARY_PATH."""
    seed: int = 0


def select(cases: Sequence[Case], patterns: Sequence[str]) -> tuple[Case, ...]:
    """Return the cases whose full name, group or name matches, and those that they need.

    Raises UsageError when a pattern matches none.
    """
    if not patterns:
        return tuple(cases)
    chosen: set[str] = set()
    for pattern in patterns:
        found = [case for case in cases if _matches(case, pattern)]
        if not found:
            groups = ", ".join(dict.fromkeys(case.group for case in cases))
            raise UsageError(
                f"no case of the lab matches {pattern!r}",
                cause=f"the groups are {groups}; a case is named `group: name`",
                fix="use a pattern such as --case 'coexistence*'; lab.json lists every case",
            )
        for case in found:
            chosen |= {case.full_name, *case.needs}
    return tuple(case for case in cases if case.full_name in chosen)


def _matches(case: Case, pattern: str) -> bool:
    return any(fnmatchcase(text, pattern) for text in (case.full_name, case.group, case.name))

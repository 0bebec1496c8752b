"""The floor of a bundle: the newest runtime versions that it needs, and what forces each.

The wheel's tag is auditwheel's to find; this says why it is what it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from geowheel.targets import System

from .elf import Elf
from .system_libraries import system_libraries

FAMILIES: Final = ("GLIBC", "GLIBCXX", "CXXABI", "GCC")
"""The versioned runtimes: glibc, libstdc++ (two families of symbols) and libgcc_s."""

_NUMBERED: Final = re.compile(rf"({'|'.join(FAMILIES)})_(\d+(?:\.\d+)*)")
# A name without a number: relative relocations (DT_RELR) are understood since 2.36.
_NAMED: Final = {"GLIBC_ABI_DT_RELR": ("GLIBC", (2, 36))}


@dataclass(frozen=True, kw_only=True, order=True)
class Forcing:
    """A file that needs the newest version of a family, and the package that it came from."""

    path: str
    package: str = ""


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """The newest version of one family that any file of the bundle needs."""

    family: str
    version: tuple[int, ...]
    forced_by: tuple[Forcing, ...]
    """Sorted by path."""

    def __str__(self) -> str:
        return f"{self.family}_{'.'.join(map(str, self.version))}"

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages that force it, sorted; files of no package give their path."""
        return tuple(sorted({forcing.package or forcing.path for forcing in self.forced_by}))


def floor(
    elves: Mapping[str, Elf], packages: Mapping[str, str] | None = None
) -> tuple[Requirement, ...]:
    """The floor of the ELF files given by path, in the order of `FAMILIES`.

    `packages` names the package of a path, where it is known. A family that nothing needs is left
    out.
    """
    system = system_libraries(System.LINUX)
    needs: dict[str, dict[tuple[int, ...], set[str]]] = {}
    for path, elf in elves.items():
        for library, names in elf.versions.items():
            if library not in system:
                continue
            for family, version in filter(None, map(parse_version, names)):
                needs.setdefault(family, {}).setdefault(version, set()).add(path)
    known = packages or {}
    requirements = []
    for family in FAMILIES:
        if family in needs:
            newest = max(needs[family])
            paths = sorted(needs[family][newest])
            forced_by = tuple(Forcing(path=path, package=known.get(path, "")) for path in paths)
            requirements.append(Requirement(family=family, version=newest, forced_by=forced_by))
    return tuple(requirements)


def parse_version(name: str) -> tuple[str, tuple[int, ...]] | None:
    """`GLIBC_2.35` as family and numbers; None for names without a place in an order."""
    if name in _NAMED:
        return _NAMED[name]
    match = _NUMBERED.fullmatch(name)
    if match is None:
        return None
    return match[1], tuple(map(int, match[2].split(".")))

"""The floor of a bundle: the newest runtime versions that it needs, and the files that force each.

The wheel's tag is auditwheel's to find; this says why it is what it is.
"""

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


@dataclass(frozen=True, kw_only=True)
class RuntimeNeed:
    """The newest version of one family that any file of a bundle needs."""

    family: str
    version: tuple[int, ...]
    paths: tuple[str, ...]
    """The files that force it, sorted."""

    def __str__(self) -> str:
        return f"{self.family}_{'.'.join(map(str, self.version))}"


def floor(elves: Mapping[str, Elf]) -> tuple[RuntimeNeed, ...]:
    """Return the floor of the ELF files given by path, in the order of `FAMILIES`.

    A family that nothing needs is left out.
    """
    system = system_libraries(System.LINUX)
    needs: dict[str, dict[tuple[int, ...], set[str]]] = {}
    for path, elf in elves.items():
        for library in elf.versions.keys() & system:
            for family, version in filter(None, map(parse_version, elf.versions[library])):
                needs.setdefault(family, {}).setdefault(version, set()).add(path)
    return tuple(
        RuntimeNeed(
            family=family,
            version=(newest := max(needs[family])),
            paths=tuple(sorted(needs[family][newest])),
        )
        for family in FAMILIES
        if family in needs
    )


def parse_version(name: str) -> tuple[str, tuple[int, ...]] | None:
    """Return `GLIBC_2.35` as family and numbers; None for names without a place in an order."""
    if name in _NAMED:
        return _NAMED[name]
    match = _NUMBERED.fullmatch(name)
    return match and (match[1], tuple(map(int, match[2].split("."))))

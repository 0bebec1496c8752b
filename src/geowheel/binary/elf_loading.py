"""How ld.so finds libraries (man 8 ld.so), for the walk in `geowheel.binary.closure`.

DT_RUNPATH counts for a file's own needs; DT_RPATH, where there is no DT_RUNPATH, also for what its
needs need in turn.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

from geowheel.errors import Fault
from geowheel.targets import System

from .elf import Elf
from .system_libraries import system_libraries

_ORIGINS: Final = ("$ORIGIN", "${ORIGIN}")


@dataclass(frozen=True, kw_only=True)
class ElfLoader:
    """ld.so, in a process whose environment names no folder."""

    title: str = "ld.so"
    system: Collection[str] = field(default_factory=lambda: system_libraries(System.LINUX))

    def key(self, path: str) -> str:
        return path

    def is_system(self, library: str) -> bool:
        return library in self.system

    def places(
        self, path: str, binary: Elf, library: str, inherited: tuple[str, ...]
    ) -> tuple[str, ...]:
        """In DT_RUNPATH's folders; without one in DT_RPATH's, and in those that loaders pass on."""
        own = _own(path, binary)
        folders = own if binary.runpath else (*own, *inherited)
        return tuple(f"{folder}/{library}" for folder in folders)

    def passed_on(self, path: str, binary: Elf, inherited: tuple[str, ...]) -> tuple[str, ...]:
        return inherited if binary.runpath else (*_own(path, binary), *inherited)

    def strays(self, path: str, binary: Elf) -> Iterator[tuple[str, Fault]]:
        for entry in (*binary.rpath, *binary.runpath):
            if not is_inside(path, entry):
                yield entry, _stray(path, entry)


def is_inside(path: str, entry: str) -> bool:
    """Whether a search path entry of the file at `path` leads to a folder of the wheel."""
    return _folder(path, entry) is not None


def _own(path: str, binary: Elf) -> tuple[str, ...]:
    return tuple(folder for entry in binary.search_path if (folder := _folder(path, entry)))


def _folder(path: str, entry: str) -> str | None:
    """The folder inside the wheel that `entry` names, or None when it leads anywhere else."""
    origin = next((o for o in _ORIGINS if entry == o or entry.startswith(f"{o}/")), None)
    if origin is None:
        return None
    parent = posixpath.dirname(path) or "."
    folder = posixpath.normpath(parent + entry.removeprefix(origin))
    return None if folder == ".." or folder.startswith("../") else folder


def _stray(path: str, entry: str) -> Fault:
    return Fault(
        what=f"searches {entry or 'the current folder'} for libraries, which is not in the wheel",
        where=path,
        cause="a link flag of the interpreter or of the build left an rpath",
    )

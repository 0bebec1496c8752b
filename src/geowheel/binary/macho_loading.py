"""How dyld finds libraries (man 1 dyld), for the walk in `geowheel.binary.closure`.

`@loader_path` is the folder of the file that says it. `@rpath` stands for each LC_RPATH of that
file and of those that led to it, each relative to the file that has it. A program's own folder
(`@executable_path`) is the interpreter's, which no wheel knows. Weak libraries may be missing.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

from geowheel.errors import Fault
from geowheel.targets import System

from .macho import MachO
from .system_libraries import system_libraries

LOADER_PATH: Final = "@loader_path"
RPATH: Final = "@rpath"


@dataclass(frozen=True, kw_only=True)
class DyldLoader:
    """dyld, in a process whose environment names no folder."""

    title: str = "dyld"
    system: Collection[str] = field(default_factory=lambda: system_libraries(System.MACOS))
    """Install names; one that ends with a slash stands for all below it."""

    def key(self, path: str) -> str:
        # File systems of Macs may have one case or two; what is shipped has to fit both.
        return path

    def is_system(self, library: str) -> bool:
        return library in self.system or any(
            library.startswith(entry) for entry in self.system if entry.endswith("/")
        )

    def places(
        self, path: str, binary: MachO, library: str, inherited: tuple[str, ...]
    ) -> tuple[str, ...]:
        """By `@loader_path`, or by `@rpath` in the file's own folders and its loaders'."""
        start, slash, rest = library.partition("/")
        if slash and start == LOADER_PATH:
            folder = folder_in_tree(path, LOADER_PATH)
            return (posixpath.normpath(f"{folder}/{rest}"),)
        if slash and start == RPATH:
            folders = (*own_folders(path, binary), *inherited)
            return tuple(f"{folder}/{rest}" for folder in dict.fromkeys(folders))
        return ()

    def passed_on(self, path: str, binary: MachO, inherited: tuple[str, ...]) -> tuple[str, ...]:
        return (*own_folders(path, binary), *inherited)

    def strays(self, path: str, binary: MachO) -> Iterator[tuple[str, Fault]]:
        for entry in binary.rpaths:
            if folder_in_tree(path, entry) is None:
                yield entry, _stray(path, f"searches {entry} for libraries")
        for library in binary.weak:
            # One that has to be there is a fault of the walk already.
            inside = library.startswith((f"{RPATH}/", f"{LOADER_PATH}/"))
            if not inside and not self.is_system(library):
                yield library, _stray(path, f"takes {library}, where it finds it")


def folder_in_tree(path: str, entry: str) -> str | None:
    """The folder of the wheel that a search path of the file at `path` leads to, or None."""
    if entry != LOADER_PATH and not entry.startswith(f"{LOADER_PATH}/"):
        return None
    parent = posixpath.dirname(path) or "."
    folder = posixpath.normpath(parent + entry.removeprefix(LOADER_PATH))
    return None if folder == ".." or folder.startswith("../") else folder


def own_folders(path: str, binary: MachO) -> tuple[str, ...]:
    """The folders of the wheel that the file's own search paths lead to."""
    found = (folder_in_tree(path, entry) for entry in binary.rpaths)
    return tuple(folder for folder in found if folder is not None)


def _stray(path: str, what: str) -> Fault:
    return Fault(
        what=f"{what}, which is not in the wheel",
        where=path,
        cause="a link flag of the interpreter or of the build left a path of the machine",
    )

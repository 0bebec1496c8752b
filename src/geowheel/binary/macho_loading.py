"""How dyld finds libraries (man 1 dyld).

`@loader_path` is the folder of the file that says it. `@rpath` stands for each LC_RPATH of that
file and of those that led to it, each relative to the file that has it. A program's own folder
(`@executable_path`) is the interpreter's, which no wheel knows. Weak libraries may be missing.
"""

import posixpath
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from geowheel.errors import Fault
from geowheel.targets import System

from .closure import Loader
from .macho import MachO
from .system_libraries import has_library

_LOADER_PATH, _RPATH = "@loader_path", "@rpath"


@dataclass(frozen=True, kw_only=True)
class DyldLoader(Loader[MachO]):
    """dyld, in a process whose environment names no folder."""

    # Keys keep their case: file systems of Macs have one or two, and what is shipped fits both.
    title = "dyld"
    system = System.MACOS
    origins = (_LOADER_PATH,)

    stack_name: str = ""
    """What the native stack's library folder is called in files with the fixed prefix string."""
    shipped: Collection[str] = ()
    """The file names of the native stack's libraries."""

    def is_system(self, library: str) -> bool:
        return has_library(self.system, library, self.shipped)

    def wanted(self, path: str, binary: MachO) -> tuple[str, ...]:
        """Want weak libraries too before the repair: the native stack's are bundled."""
        del path
        return binary.libraries if self.stack else binary.needed

    def places(
        self, path: str, binary: MachO, library: str, inherited: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Look by `@loader_path`, or by `@rpath` in the file's own folders and its loaders'."""
        start, slash, rest = library.partition("/")
        if slash and start == _LOADER_PATH:
            place = posixpath.normpath(f"{self.folder(path, _LOADER_PATH)}/{rest}")
            # A file of the native stack that the wheel has in another place.
            return (place, *self._in_stack(posixpath.basename(rest)))
        if slash and start == _RPATH:
            folders = (*self.folders(path, binary.rpaths), *inherited)
            return (
                *(f"{folder}/{rest}" for folder in dict.fromkeys(folders)),
                *self._in_stack(rest),
            )
        if self.stack_name and library.startswith(f"{self.stack_name}/"):
            return self._in_stack(library.removeprefix(f"{self.stack_name}/"))
        if slash:
            return (library,) if self.stack and posixpath.isabs(library) else ()
        # An install name without any folder: the library was linked where it lay.
        return self._in_stack(library)

    def _in_stack(self, name: str) -> tuple[str, ...]:
        return tuple(f"{folder}/{name}" for folder in self.stack)

    def passed_on(self, path: str, binary: MachO, inherited: tuple[str, ...]) -> tuple[str, ...]:
        return (*self.folders(path, binary.rpaths), *inherited)

    def strays(self, path: str, binary: MachO) -> Iterator[tuple[str, Fault]]:
        for entry in binary.rpaths:
            if self.folder(path, entry) is None:
                yield entry, _stray(path, f"searches {entry} for libraries")
        for library in binary.weak:
            # One that has to be there is a fault of the walk already.
            inside = library.startswith((f"{_RPATH}/", f"{_LOADER_PATH}/"))
            if not inside and not self.is_system(library):
                yield library, _stray(path, f"takes {library}, where it finds it")


def _stray(path: str, what: str) -> Fault:
    return Fault(
        what=f"{what}, which is not in the wheel",
        where=path,
        cause="a link flag of the interpreter or of the build left a path of the machine",
    )

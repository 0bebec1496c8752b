"""How ld.so finds libraries (man 8 ld.so).

DT_RUNPATH counts for a file's own needs; DT_RPATH, where there is no DT_RUNPATH, also for what its
needs need in turn.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from geowheel.errors import Fault
from geowheel.targets import System

from .closure import Loader
from .elf import Elf


@dataclass(frozen=True, kw_only=True)
class ElfLoader(Loader[Elf]):
    """ld.so, in a process whose environment names no folder."""

    title = "ld.so"
    system = System.LINUX
    origins = ("$ORIGIN", "${ORIGIN}")

    def places(
        self, path: str, binary: Elf, library: str, inherited: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Look in DT_RUNPATH's folders, else in DT_RPATH's and those that loaders pass on."""
        own = self.folders(path, binary.search_path)
        folders = own if binary.runpath else (*own, *inherited)
        return tuple(f"{folder}/{library}" for folder in (*folders, *self.stack))

    def passed_on(self, path: str, binary: Elf, inherited: tuple[str, ...]) -> tuple[str, ...]:
        if binary.runpath:
            return inherited
        return (*self.folders(path, binary.search_path), *inherited)

    def strays(self, path: str, binary: Elf) -> Iterator[tuple[str, Fault]]:
        for entry in (*binary.rpath, *binary.runpath):
            if self.folder(path, entry) is None:
                shown = entry or "the current folder"
                yield (
                    entry,
                    Fault(
                        what=f"searches {shown} for libraries, which is not in the wheel",
                        where=path,
                        cause="a link flag of the interpreter or of the build left an rpath",
                    ),
                )

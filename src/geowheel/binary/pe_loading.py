"""How the Windows loader finds libraries.

Rules: https://learn.microsoft.com/en-us/windows/win32/dlls/dynamic-link-library-search-order.
CPython loads an extension module with LOAD_LIBRARY_SEARCH_DEFAULT_DIRS and
LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR: searched are the module's own folder, python.exe's, System32 and
what os.add_dll_directory added, which in a wheel is the folder of the bundled libraries. A program
has its own folder and PATH. GDAL loads a plugin with LoadLibrary, which searches neither the
plugin's folder nor the added ones; but what is loaded already is taken by its bare name, so the
bootstrap loads beforehand what plugins need. The same goes for what a library delay-loads.
"""

import posixpath
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from geowheel.errors import Fault
from geowheel.targets import System

from .closure import Loader
from .pe import Pe

# API sets are names without a file, which the loader leads to Windows' own libraries
# (https://learn.microsoft.com/en-us/windows/win32/apiindex/windows-apisets).
_ALWAYS_THERE: Final = re.compile(r"(?:api|ext)-ms-.*\.dll|python3\d+t?\.dll")
_NEVER_CALLED: Final = frozenset({("msvcp140.dll", "concrt140.dll")})
"""Library and what it delay-loads, for Windows XP only: delvewheel leaves it out as well."""


@dataclass(frozen=True, kw_only=True)
class PeLoader(Loader[Pe]):
    """The Windows loader, in a process that runs the wheel's bootstrap."""

    title = "the Windows loader"
    system = System.WINDOWS

    bundled: str = ""
    """The folder of the bundled libraries; empty where there is none."""
    preloaded: Collection[str] = frozenset()
    """Paths of the libraries that the bootstrap loads beforehand; before a repair, those of all
    libraries that the wheel brings itself."""
    plugins: str = ""
    """The folder of what is loaded by LoadLibrary."""

    def key(self, path: str) -> str:
        return path.lower()

    def is_system(self, library: str) -> bool:
        name = library.lower()
        return super().is_system(name) or _ALWAYS_THERE.fullmatch(name) is not None

    def wanted(self, path: str, binary: Pe) -> tuple[str, ...]:
        """Want what is delay-loaded too before the repair: it is bundled."""
        return (*binary.needed, *needed_later(path, binary)) if self.stack else binary.needed

    def places(
        self, path: str, binary: Pe, library: str, inherited: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Return the preloaded library of that name; for what CPython loads, the folders too."""
        del binary, inherited
        by_name = tuple(
            place
            for place in self.preloaded
            if posixpath.basename(place).lower() == library.lower()
        )
        if self.stack:
            return (*by_name, *(f"{folder}/{library}" for folder in self.stack))
        if self.plugins and posixpath.dirname(path).lower() == self.plugins.lower():
            return by_name
        folder = posixpath.dirname(path) or "."
        if path.lower().endswith(".exe"):
            return (f"{folder}/{library}",)
        folders = (folder, self.bundled) if self.bundled else (folder,)
        return (*by_name, *(f"{place}/{library}" for place in folders))


def delayed_faults(binaries: Mapping[str, Pe], loader: PeLoader) -> list[Fault]:
    """Return what would fail when a delay-loaded function is first called; sorted by file.

    The helper that linkers put into a file calls LoadLibrary with the bare name
    (https://learn.microsoft.com/en-us/cpp/build/reference/understanding-the-helper-function), so
    that a library of the wheel has to be loaded by then.
    """
    loaded = {posixpath.basename(path).lower() for path in loader.preloaded}
    return [
        Fault(
            what=f"loads {library} on its first use, which the wheel does not load beforehand",
            where=path,
            cause="it was not bundled, and not every system has it",
        )
        for path, binary in sorted(binaries.items())
        for library in needed_later(path, binary)
        if not loader.is_system(library) and library.lower() not in loaded
    ]


def needed_later(path: str, binary: Pe) -> tuple[str, ...]:
    """Return what a file delay-loads on a Windows of today; `path` may have delvewheel's name."""
    name = original_name(posixpath.basename(path)).lower()
    return tuple(item for item in binary.delayed if (name, item.lower()) not in _NEVER_CALLED)


def original_name(name: str) -> str:
    """Return a library's name before delvewheel renamed it: `gdal-<32 hexadecimal digits>.dll`."""
    return re.sub(r"-[0-9a-f]{32}(?=\.[^.]*$)", "", name)

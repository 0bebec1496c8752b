"""The libraries that a repaired wheel takes from the system, as data: `system_libraries.toml`."""

import functools
from collections.abc import Collection
from typing import Final

from geowheel.machine.files import table_of
from geowheel.targets import System

_TABLE: Final = "system_libraries.toml"


@functools.cache  # data of the package, asked for with every library
def _table(system: System, key: str) -> tuple[str, ...]:
    table = table_of("binary", _TABLE, dict[str, dict[str, tuple[str, ...]]])
    return table[system].get(key, ())


def system_libraries(system: System) -> frozenset[str]:
    """Return names as that system's binaries have them.

    On Windows in lower case; on macOS folders, each with a slash at its end.
    """
    return frozenset(_table(system, "libraries"))


def has_library(system: System, name: str, shipped: Collection[str] = ()) -> bool:
    """Return whether the system always has the library of that name.

    `shipped` are the file names of what the native stack has itself.
    """
    if (last := name.rpartition("/")[2]) in shipped and last not in _table(system, "twice"):
        return False
    libraries = _table(system, "libraries")
    folders = tuple(entry for entry in libraries if entry.endswith("/"))
    known = name in libraries or name.startswith(folders)
    return known and not name.startswith(_table(system, "never"))

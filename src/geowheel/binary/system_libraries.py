"""The libraries that a repaired wheel takes from the system, as data: `system_libraries.toml`."""

from __future__ import annotations

import functools
import tomllib
from importlib.resources import files
from typing import Final

from geowheel.targets import System

_TABLE: Final = "system_libraries.toml"


@functools.cache  # data of the package, asked for with every library
def system_libraries(system: System) -> frozenset[str]:
    """Names as that system's binaries have them.

    On Windows in lower case; on macOS install names, or a folder of them with a slash at its end.
    """
    text = files("geowheel.binary").joinpath(_TABLE).read_text(encoding="utf-8")
    return frozenset(tomllib.loads(text)[system]["libraries"])

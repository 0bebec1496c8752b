"""Packages whose code was linked into the files of others: the wheel has it, under no name."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from geowheel.locks.assets import Package
from geowheel.locks.native_stack import name_of
from geowheel.prefix.linker import NativeManifest, PlacedPackage

_SHARED: Final = re.compile(r"\.(dll|dylib|so)(\.\d+)*$", re.IGNORECASE)
_STATIC: Final = re.compile(r"(?<!\.dll)\.a$|\.lib$", re.IGNORECASE)
_IMPORT: Final = b"`\n\0\0\xff\xff"
"""In import libraries only: the end of a member's header, and how IMPORT_OBJECT_HEADER begins
(https://learn.microsoft.com/windows/win32/debug/pe-format#import-header)."""


def linked_in(
    bundled: Mapping[Package, Iterable[str]], manifest: NativeManifest, prefix: Path
) -> dict[Package, tuple[str, ...]]:
    """Return the packages that are in files of `bundled` ones, each with those files.

    A lock does not say how a package is used. One counts when a bundled package depends on it and
    it has no shared library that could be loaded: a static one instead, or no file at all.
    Headers, data and programs alone are not code in somebody else's file.
    """
    placed = {item.package.name: item for item in manifest.packages}
    found: dict[Package, tuple[str, ...]] = {}
    waiting = [(package, tuple(files)) for package, files in bundled.items()]
    while waiting:
        package, files = waiting.pop()
        for item in filter(None, (placed.get(name_of(need)) for need in package.depends)):
            known = found.get(item.package, ())
            more = tuple(path for path in files if path not in known)
            if more and item.package not in bundled and _is_static(item, prefix):
                found[item.package] = known + more
                waiting.append((item.package, more))
    return found


def _is_static(item: PlacedPackage, prefix: Path) -> bool:
    paths = [file.path for file in item.files]
    if any(map(_SHARED.search, paths)):
        return False
    archives = [prefix / path for path in paths if _STATIC.search(path)]
    return not paths or any(_IMPORT not in path.read_bytes() for path in archives)

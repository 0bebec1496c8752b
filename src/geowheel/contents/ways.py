"""What brings a package into a wheel: a GDAL driver, or the libraries between it and libgdal."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from geowheel.payload.drivers import drivers_of
from geowheel.systems.contract import RepairedTree


@dataclass(frozen=True, kw_only=True)
class Way:
    """The names of the libraries that lead to a file, and the drivers that it is there for."""

    chain: tuple[str, ...]
    """`libgdal`, `libheif`, `libx265`; of a file that nothing loads, its path alone."""
    drivers: tuple[str, ...] = ()
    """Empty where something else needs it as well, or the drivers are not known."""


def find_ways(
    repaired: RepairedTree, plugins: str, owners: Mapping[str, str]
) -> dict[str, list[Way]]:
    """By path, the shortest way from each library of libgdal's, each plugin and each other start.

    `plugins` is the folder of GDAL's plugins in the wheel; `owners` has the package of each path.
    """
    names = {path: _short(path) for path in repaired.binaries}
    names |= {library.path: _short(library.soname) for library in repaired.bundled}
    places = {posixpath.basename(path).lower(): path for path in repaired.binaries}
    needs = {
        path: [
            places[name]
            for library in binary.needed
            if (name := posixpath.basename(library).lower()) in places
        ]
        for path, binary in repaired.binaries.items()
    }
    core = next((path for path, name in names.items() if name.removeprefix("lib") == "gdal"), "")
    tops = needs.keys() - {core, *(path for paths in needs.values() for path in paths)}
    own = [(path, (names[core],), drivers_of(names[path])) for path in needs.get(core, ())]
    others = [
        (
            path,
            (),
            drivers_of(names[path], owners.get(path, "")) if path.startswith(f"{plugins}/") else (),
        )
        for path in sorted(tops)
    ]
    ways = {core: [Way(chain=(names.get(core, ""),))]}
    for start, before, drivers in (*own, *others):
        seen, waiting = {start, core}, [(start, (*before, names[start]))]
        for path, chain in waiting:  # which grows: the nearest first
            ways.setdefault(path, []).append(Way(chain=chain, drivers=drivers))
            further = [needed for needed in needs[path] if needed not in seen]
            seen.update(further)
            waiting += [(needed, (*chain, names[needed])) for needed in dict.fromkeys(further)]
    return ways


def way_to(files: Iterable[str], ways: Mapping[str, list[Way]]) -> Way:
    """The way to a package with these files, with the drivers where nothing else needs it."""
    files = sorted(files)
    found = [way for file in files for way in ways.get(file, ())]
    without = [way for way in found if not way.drivers]
    shortest = min(without or found, key=lambda way: len(way.chain), default=None)
    if shortest is None:
        return Way(chain=tuple(files[:1]))
    drivers = () if without else {name for way in found for name in way.drivers}
    return Way(chain=shortest.chain, drivers=tuple(sorted(drivers)))


def _short(name: str) -> str:
    """`libheif` of `host.libs/libheif.so.1`."""
    return posixpath.basename(name).partition(".")[0]

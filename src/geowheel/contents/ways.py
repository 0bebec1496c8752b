"""What brings a package into a wheel: a GDAL driver, or a library that libgdal itself needs."""

import posixpath
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from geowheel.systems.contract import RepairedTree

from .drivers import drivers_of


class LoadWay(NamedTuple):
    """How a file is reached, and the drivers that this way is there for, where it is for some."""

    steps: int
    through: str
    drivers: tuple[str, ...] = ()


def find_ways(
    repaired: RepairedTree, plugins: str, owners: Mapping[str, str]
) -> dict[str, list[LoadWay]]:
    """Find the ways to each compiled file: from libgdal's libraries, plugins and other tops.

    `plugins` is the folder of GDAL's plugins in the wheel; `owners` has the package of each path.
    """
    names = {path: _short(path) for path in repaired.binaries}
    names |= {library.path: _short(library.soname) for library in repaired.bundled}
    places = {_file_name(path): path for path in repaired.binaries}
    needs = {
        path: {places[name] for name in map(_file_name, binary.needed) if name in places} - {path}
        for path, binary in repaired.binaries.items()
    }
    core = next((path for path, name in names.items() if name.removeprefix("lib") == "gdal"), "")
    starts = {
        path: LoadWay(1, f"through {names[core]} > {names[path]}", drivers_of(names[path]))
        for path in needs.get(core, ())
    }
    for path in needs.keys() - {core}.union(*needs.values()):
        is_plugin = path.startswith(f"{plugins}/")
        drivers = drivers_of(names[path], owners.get(path, "")) if is_plugin else ()
        starts[path] = LoadWay(0, f"through {names[path]}", drivers)
    ways = {core: [LoadWay(0, f"through {names.get(core)}")]}
    for start, way in starts.items():
        seen, level = {core}, {start}
        for steps in range(way.steps, len(needs) + 1):
            for path in level:
                ways.setdefault(path, []).append(way._replace(steps=steps))
            seen |= level
            level = {further for path in level for further in needs[path]} - seen
    return ways


def brought_by(files: Iterable[str], ways: Mapping[str, list[LoadWay]]) -> str:
    """Return `driver PDF` of a package; `through libgdal > libtiff` where more needs it;
    one of its files where nothing loads it."""
    found = [way for file in files for way in ways.get(file, ())]
    if others := [way for way in found if not way.drivers]:
        return min(others).through
    drivers = sorted({name for way in found for name in way.drivers})
    return f"driver{'s' * (len(drivers) > 1)} {', '.join(drivers)}" if drivers else min(files)


def _file_name(path: str) -> str:
    return posixpath.basename(path).lower()  # Windows has one case


def _short(path: str) -> str:
    """Return `libheif` of `host.libs/libheif.so.1`."""
    return posixpath.basename(path).partition(".")[0]

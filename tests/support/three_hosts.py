"""What three hosts in one process must have found: values in, problems in words out."""

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.another_build import MARKER, OTHER_NAME, OTHER_ZONE, USUAL_NAME, USUAL_ZONE
from tests.support.in_one_process import PACKAGES

LIBRARIES: Final = {
    "osgeo": "gdal.libs",
    "terrain": "terrain_gdal.libs",
    "atlas": "atlas_host.libs",
}
WORKS: Final = 6  # every order of three
OF_ANOTHER_BUILD: Final = "atlas"
RAISES: Final = {"osgeo": 1, "terrain": 1, "atlas": 0}
"""Who called UseExceptions: the test for osgeo, terrain itself, nobody for atlas."""
OWN_WORK: Final[Mapping[str, dict[str, Any]]] = {
    "osgeo": {"mean": 42.5, "crs": "WGS 84 / UTM zone 32N"},
    "terrain": {"slopes": [0.5], "counts": [14 * 38, 14 * 38], "beside gdaldem": True},
    "atlas": {"places": [["Zürich", 8.54, 47.37], ["Ulm", 9.99, 48.4]], "drawn": 2},
}


def problems(findings: Mapping[str, Any], site: Path) -> list[str]:
    """Everything that is not as it has to be in what in_one_process.py found; nothing if all is.

    `site` is the folder that the wheels were installed into.
    """
    found: Mapping[str, list[dict[str, Any]]] = findings["found"]
    every = [f"{host} worked {len(turns)} times" for host, turns in found.items()
             if len(turns) != WORKS]  # fmt: skip
    every += [f"{host} is missing" for host in PACKAGES if host not in found]
    for host, turns in found.items():
        for number, turn in enumerate(turns, 1):
            every += [f"{host}, time {number}: {what}" for what in _of_one(host, turn, site)]
    every += _settings(findings["settings"], site)
    every += _libraries(findings["libraries"], site)
    return every + _databases(findings["databases"], site)


def home(host: str, site: Path) -> str:
    """The folder of the host's own osgeo."""
    return f"{site.joinpath(*PACKAGES[host].split('.'))}/"


def _of_one(host: str, turn: Mapping[str, Any], site: Path) -> Iterator[str]:
    package, own = PACKAGES[host], home(host, site)
    another = host == OF_ANOTHER_BUILD
    classes = [name for name in turn["classes"] if name.rpartition(".")[0] != package]
    if classes or len(turn["classes"]) != 3:
        yield f"classes of {turn['classes']}"
    if turn["who"] != host:
        yield f"a setting of {turn['who']}"
    if turn["raises"] != RAISES[host]:
        yield f"UseExceptions is {turn['raises']}"
    if not turn["memory driver"].startswith(f"{OTHER_NAME if another else USUAL_NAME} "):
        yield f"the libgdal that says {turn['memory driver']!r}"
    if turn["zone"] != (OTHER_ZONE if another else USUAL_ZONE):
        yield f"the proj.db that says {turn['zone']!r}"
    if turn["marker"] != (f"{own}_data/gdal/{MARKER}" if another else None):
        yield f"GDAL data of another build: {turn['marker']}"
    foreign = [path for path in turn["data"] if not str(path).startswith(own)]
    if foreign or len(turn["data"]) != 2:
        yield f"data in {turn['data']}"
    # Debian's GDAL has no plugins; then no other one's may be looked for.
    if turn["plugins"] not in (f"{own}_plugins", "disable"):
        yield f"plugins in {turn['plugins']}"
    yield from _wrong_results(host, turn)


def _wrong_results(host: str, turn: Mapping[str, Any]) -> Iterator[str]:
    if turn["own work"] != OWN_WORK[host]:
        yield f"its own work gave {turn['own work']}"
    if turn["names"] != ["WGS 84", "WGS 84"]:
        yield f"coordinate systems {turn['names']}"
    if turn["numbers"] != [406, 500000.0, pytest.approx(5761038.213, abs=0.01), 1.0]:
        yield f"numbers {turn['numbers']}"
    if "Hierarchical Data Format" not in str(turn["hdf5"]):
        yield f"HDF5 driver {turn['hdf5']!r}"


def _settings(settings: Mapping[str, str | None], site: Path) -> list[str]:
    """Each host's setting has reached the libgdal that lies in its own wheel."""
    reached = sorted((str(Path(path).parent), host) for path, host in settings.items())
    wanted = sorted((f"{site}/{folder}", host) for host, folder in LIBRARIES.items())
    return [] if reached == wanted else [f"settings in the libgdal files: {dict(settings)}"]


def _libraries(libraries: list[str], site: Path) -> Iterator[str]:
    """Each wheel's libraries are loaded from its own folder, and under names that no other has."""
    loaded = {
        host: [Path(p).name for p in libraries if p.startswith(f"{site}/{folder}/")]
        for host, folder in LIBRARIES.items()
    }
    for host, names in loaded.items():
        for wanted in ("libgdal.so", "libproj.so"):
            found = [name for name in names if plain_name(name).startswith(wanted)]
            if len(found) != 1:
                yield f"{host} has loaded {len(found)} {wanted} from its own folder"
    for one, other in itertools.combinations(loaded, 2):
        # By such a name the loader would give one wheel's library to the other.
        if shared := sorted({*loaded[one]} & {*loaded[other]}):
            yield f"{one} and {other} have libraries of one name: {shared[:3]}"
        # hosts/gdal alone has a floor, and the shim for it.
        alone = {plain_name(n) for n in loaded[one]} ^ {plain_name(n) for n in loaded[other]}
        alone.discard("libgeowheel-floor.so")
        if alone:
            yield f"only one of {one} and {other} has loaded its own {sorted(alone)[:3]}"


def plain_name(library: str) -> str:
    """`libgdal.so.32.3.6.2` of `libgdal-1a2b3c4d.so.32.3.6.2`."""
    return re.sub(r"-[0-9a-f]{8}\.", ".", library, count=1)


def _databases(databases: list[str], site: Path) -> list[str]:
    wanted = sorted(f"{home(host, site)}_data/proj/proj.db" for host in PACKAGES)
    return [] if databases == wanted else [f"open databases: {databases}"]

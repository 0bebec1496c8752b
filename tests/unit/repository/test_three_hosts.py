"""The checks of test_three_hosts.py: what they accept, and that each sees a planted fault."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.in_one_process import PACKAGES
from tests.support.three_hosts import LIBRARIES, OF_ANOTHER_BUILD, OWN_WORK, RAISES, home, problems

SITE = Path("/env/site-packages")
HASHES = {"osgeo": "0a1b2c3d", "terrain": "1a1b2c3d", "atlas": "2a1b2c3d"}
LOADED = ("libgdal", "libproj", "libz")


def turn(host: str) -> dict[str, Any]:
    own, another = home(host, SITE), host == OF_ANOTHER_BUILD
    return {
        "own work": OWN_WORK[host],
        "classes": [f"{PACKAGES[host]}.{name}" for name in ("gdal", "ogr", "osr")],
        "numbers": [406, 500000.0, 5761038.213, 1.0],
        "names": ["WGS 84", "WGS 84"],
        "who": host,
        "raises": RAISES[host],
        "memory driver": "By Design Raster" if another else "In Memory Raster",
        "zone": "Zone 33S of another build" if another else "WGS 84 / UTM zone 33S",
        "data": [f"{own}_data/gdal/gdalvrt.xsd", f"{own}_data/proj"],
        "marker": f"{own}_data/gdal/another-build.txt" if another else None,
        "plugins": "disable",
        "hdf5": "Hierarchical Data Format Release 5",
    }


def library(name: str, host: str) -> str:
    return f"{SITE}/{LIBRARIES[host]}/{name}-{HASHES[host]}.so.1"


def sound() -> dict[str, Any]:
    libraries = [library(name, host) for host in PACKAGES for name in LOADED]
    return {
        "found": {host: [turn(host) for _ in range(6)] for host in PACKAGES},
        "settings": {library("libgdal", host): host for host in PACKAGES},
        "libraries": [*libraries, "/lib/x86_64-linux-gnu/libz.so.1.2.13"],
        "databases": sorted(f"{home(host, SITE)}_data/proj/proj.db" for host in PACKAGES),
    }


def test_what_is_right_has_no_problems() -> None:
    assert problems(sound(), SITE) == []


IN_A_TURN: dict[str, tuple[str, str, Any, str]] = {
    "classes": ("terrain", "classes", ["atlas._vendor.osgeo.gdal"] * 3, "classes of"),
    "no-classes": ("terrain", "classes", [], "classes of []"),
    "setting": ("osgeo", "who", "atlas", "a setting of atlas"),
    "exceptions": ("atlas", "raises", 1, "UseExceptions is 1"),
    "libgdal": ("atlas", "memory driver", "In Memory Raster", "the libgdal that says 'In Mem"),
    "libgdal-of-other": ("terrain", "memory driver", "By Design Raster", "the libgdal that says"),
    "proj.db": ("osgeo", "zone", "Zone 33S of another build", "the proj.db that says 'Zone"),
    "marker": ("osgeo", "marker", "/x/another-build.txt", "GDAL data of another build: /x"),
    "no-marker": ("atlas", "marker", None, "GDAL data of another build: None"),
    "data": ("atlas", "data", ["/usr/share/gdal/a", "/usr/share/proj"], "data in ['/usr"),
    "no-data": ("atlas", "data", [None, None], "data in [None"),
    "plugins": ("atlas", "plugins", "/usr/lib/gdalplugins", "plugins in /usr/lib"),
    "work": ("terrain", "own work", {"slopes": [0.4]}, "its own work gave"),
    "names": ("terrain", "names", [None, "WGS 84"], "coordinate systems [None"),
    "numbers": ("terrain", "numbers", [406, 5.0, 5.0, 1.0], "numbers [406"),
    "hdf5": ("terrain", "hdf5", None, "HDF5 driver None"),
}


@pytest.mark.parametrize(("host", "key", "value", "words"), IN_A_TURN.values(), ids=IN_A_TURN)
def test_a_fault_of_one_turn_is_seen(host: str, key: str, value: Any, words: str) -> None:
    findings = sound()
    findings["found"][host][5][key] = value
    (seen,) = problems(findings, SITE)
    assert seen.startswith(f"{host}, time 6: {words}")


SECOND = library("libgdal", "terrain")
IN_THE_PROCESS: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda f: f["found"]["atlas"].pop(), "atlas worked 5 times"),
    (lambda f: f["found"].pop("atlas"), "atlas is missing"),
    (lambda f: f["settings"].update({SECOND: "osgeo"}), "settings in the libgdal files"),
    (lambda f: f["settings"].pop(SECOND), "settings in the libgdal files"),
    # As the loader does for two libraries of one name.
    (lambda f: f["libraries"].remove(SECOND), "terrain has loaded 0 libgdal.so from its own"),
    (lambda f: f["libraries"].remove(SECOND), "only one of osgeo and terrain has loaded its own"),
    (lambda f: f["libraries"].append(SECOND.replace(HASHES["terrain"], HASHES["osgeo"])),
     "osgeo and terrain have libraries of one name: ['libgdal-0a1b2c3d"),
    (lambda f: f["databases"].pop(), "open databases"),
]  # fmt: skip


@pytest.mark.parametrize(("plant", "words"), IN_THE_PROCESS)
def test_a_process_fault_is_seen(plant: Callable[[dict[str, Any]], object], words: str) -> None:
    findings = copy.deepcopy(sound())
    plant(findings)
    assert [what for what in problems(findings, SITE) if what.startswith(words)]

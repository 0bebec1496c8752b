"""Poisoned environments: what the process is told about other GDALs must not reach the wheel's."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sqlite3
import sys
from typing import Any

from . import ours, probe

# Of what an older GDAL brings; not the libraries that the interpreter itself may have loaded.
OLD = ("libgdal", "libproj", "libgeos", "libnetcdf", "libhdf5", "libgeotiff", "libspatialite")
LATE = "the package uses GDAL, and nothing called configure() of its module _geowheel before"


def process_is_left_alone(asked: dict[str, Any]) -> None:
    """Importing and working changes no environment variable."""
    before = ours.environment(asked)
    ours.work(asked)
    changed = {name for name, _ in set(before.items()) ^ set(os.environ.items())}
    assert not changed, "environment variables were changed: %s" % sorted(changed)


def by_a_folder(asked: dict[str, Any]) -> None:
    """The variable names a folder: an empty, a missing or a wrong one."""
    folder = os.path.join(asked["folder"], "poison")
    if asked["kind"] != "missing":
        os.makedirs(folder)
    if asked["kind"] == "wrong version":
        _fill(asked, folder)
    probe.again(asked, "poison:unharmed", unpoisoned=_answers(asked),
               variables={asked["variable"]: folder})  # fmt: skip


def by_old_libraries(asked: dict[str, Any]) -> None:
    """LD_LIBRARY_PATH leads to files of the plain names, none of which holds what is needed."""
    folder = os.path.join(asked["folder"], "old")
    os.makedirs(folder)
    libraries = os.path.dirname(ours.bundle(asked)["gdal"])
    wrong = _smallest_library(asked)
    for name in os.listdir(libraries):
        if name.startswith(OLD):
            stem, _, end = name.partition(".so")
            numbers = end.split(".")  # libgdal-1a2b3c4d.so.32.3.6.2 is asked for as libgdal.so.32
            for count in range(len(numbers)):
                plain = stem.rpartition("-")[0] + ".so" + ".".join(numbers[: count + 1])
                shutil.copyfile(wrong, os.path.join(folder, plain))
    assert os.listdir(folder), "no library of the wheel has a name that an older GDAL would have"
    probe.again(asked, "poison:unharmed", unpoisoned=_answers(asked),
               variables={"LD_LIBRARY_PATH": folder})  # fmt: skip


def by_another_gdal(asked: dict[str, Any]) -> dict[str, str]:
    """LD_LIBRARY_PATH leads to a whole other GDAL with all that it needs.

    In two cases its libgdal, with another version written into it, comes before all others.
    """
    unpoisoned, folder = _answers(asked), asked["other_libraries"]
    version = unpoisoned["version"].encode() + b"\0"
    other = os.path.join(asked["folder"], "libgdal-other.so")
    name = max(name for name in os.listdir(folder) if name.startswith("libgdal.so"))
    with open(os.path.join(folder, name), "rb") as source, open(other, "wb") as goal:
        goal.write(source.read().replace(version, re.sub(rb"\d", b"9", version)))
    try:
        ctypes.CDLL(os.path.join(folder, name))
    except OSError as error:  # it was made for newer systems
        return {"skipped": "the other GDAL does not load here: %s" % error}
    preload = {"LD_PRELOAD": other} if asked["first"] == "LD_PRELOAD" else {}
    probe.again(asked, "poison:unharmed", unpoisoned=unpoisoned, other=asked["first"] and other,
               variables={"LD_LIBRARY_PATH": folder, **preload})  # fmt: skip
    return {}


def unharmed(asked: dict[str, Any]) -> None:
    """In the poisoned process: own data, own libraries, the same answers."""
    for name, value in asked["variables"].items():
        assert os.environ[name] == value, "the case itself was not set up: " + name
    if other := asked.get("other"):
        sys.setdlopenflags(os.RTLD_NOW | os.RTLD_GLOBAL)
        version = ctypes.CDLL(other, mode=ctypes.RTLD_GLOBAL).GDALVersionInfo
        version.restype = ctypes.c_char_p
        assert version(b"RELEASE_NAME").decode() != asked["unpoisoned"]["version"], other
    before = ours.environment(asked)
    ours.own_data(asked)
    (ours.own_gdal if other else ours.own_libraries)(asked)
    found = answers(asked)
    done = ours.has_osgeo(asked) or asked["package"] + "._geowheel" in sys.modules
    assert found == asked["unpoisoned"], ("" if done else LATE, found, asked["unpoisoned"])
    assert dict(os.environ) == before, "environment variables were changed"
    if "LD_LIBRARY_PATH" in asked["variables"]:
        return  # the interpreter itself may have been served from there
    poisons = tuple(os.path.realpath(value) + os.sep for value in asked["variables"].values())
    strange = [path for path in ours.loaded() if path.startswith(poisons)]
    assert not strange, "loaded from there: %s" % strange


def answers(asked: dict[str, Any]) -> dict[str, Any]:
    gdal = ours.module(asked, "gdal")
    drivers = sorted(gdal.GetDriver(n).GetDescription() for n in range(gdal.GetDriverCount()))
    return {"drivers": drivers, "version": gdal.VersionInfo("RELEASE_NAME"), **ours.work(asked)}


def _answers(asked: dict[str, Any]) -> dict[str, Any]:
    return probe.again(asked, "poison:answers")


def _fill(asked: dict[str, Any], folder: str) -> None:
    """Data of another version, as an older GDAL or PROJ left it."""
    data = ours.bundle(asked)
    for name in ("gdalvrt.xsd", "gdal_datum.csv", "tms_LINZAntarticaMapTileGrid.json"):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write("of another version\n")
    for name in ("gdal_Another.so", "ogr_Another.so"):  # can be loaded, so it would be seen
        shutil.copyfile(_smallest_library(asked), os.path.join(folder, name))
    database = os.path.join(folder, "proj.db")
    shutil.copyfile(os.path.join(data["proj_data"], "proj.db"), database)
    with sqlite3.connect(database) as connection:
        connection.execute(
            "UPDATE metadata SET value = '0' WHERE key LIKE 'DATABASE.LAYOUT.VERSION.%'"
        )


def _smallest_library(asked: dict[str, Any]) -> str:
    folder = os.path.dirname(ours.bundle(asked)["gdal"])
    every = (os.path.join(folder, name) for name in os.listdir(folder) if ".so" in name)
    return min(every, key=os.path.getsize)

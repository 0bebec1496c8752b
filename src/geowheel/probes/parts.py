"""The parts of the wheel: plugins with all that they need, programs that answer and work."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from . import drivers, ours
from .gdal import Gdal


def library(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the bundled libgdal by its C functions: all that a wheel of layout none offers."""
    gdal = Gdal(ours.configured(asked)["gdal"])
    gdal("GDALAllRegister")
    count = gdal("GDALGetDriverCount")
    assert count > 0
    ours.own_libraries(asked)
    return {"detail": "GDAL %s with %d drivers" % (gdal("GDALVersionInfo", "RELEASE_NAME"), count)}


def plugins(asked: dict[str, Any]) -> dict[str, Any]:
    """Each plugin resolves every symbol, and registers."""
    found: dict[str, list[str]] = {}
    for path in drivers.plugin_files(ours.configured(asked)["plugins"]):
        drivers.load_plugin(asked, path, found)
    return {"detail": ", ".join(found)} if found else {"skipped": "no plugins in this wheel"}


JOBS = {
    "gdalinfo": ["a.tif"],
    "gdal_translate": ["-of", "PNG", "a.tif", "gdal_translate.png"],
    "gdalwarp": ["-t_srs", "EPSG:32611", "a.tif", "gdalwarp.tif"],
    "gdaladdo": ["-ro", "a.tif", "2"],
    "gdalbuildvrt": ["gdalbuildvrt.vrt", "a.tif"],
    "gdaldem": ["hillshade", "a.tif", "gdaldem.tif"],
    "gdalenhance": ["-equalize", "a.tif", "gdalenhance.tif"],
    "gdallocationinfo": ["a.tif", "3", "4"],
    "gdalmdiminfo": ["multidimensional.vrt"],
    "gdalmdimtranslate": ["multidimensional.vrt", "gdalmdimtranslate.vrt"],
    "gdalmanage": ["identify", "a.tif"],
    "gdalsrsinfo": ["EPSG:32633"],
    "gdaltindex": ["gdaltindex.shp", "a.tif"],
    "gdaltransform": ["-s_srs", "EPSG:4326", "-t_srs", "EPSG:3857"],
    "gdal_contour": ["-i", "50", "a.tif", "gdal_contour.shp"],
    "gdal_create": ["-outsize", "4", "4", "gdal_create.tif"],
    "gdal_grid": ["-txe", "0", "9", "-tye", "0", "9", "-outsize", "8", "8", "a.gpkg",
                  "gdal_grid.tif"],
    "gdal_rasterize": ["-burn", "1", "-ts", "8", "8", "a.gpkg", "gdal_rasterize.tif"],
    "gdal_viewshed": ["-ox", "441000", "-oy", "3751000", "a.tif", "gdal_viewshed.tif"],
    "nearblack": ["-o", "nearblack.tif", "a.tif"],
    "ogr2ogr": ["-f", "GeoJSON", "-t_srs", "EPSG:3857", "ogr2ogr.json", "a.gpkg"],
    "ogrinfo": ["-al", "a.gpkg"],
    "ogrtindex": ["ogrtindex.shp", "a.gpkg"],
}  # fmt: skip
"""One real job for each of GDAL's programs; one that is not here only has to say its version."""
MULTIDIMENSIONAL = """<VRTDataset><Group name="/"><Dimension name="X" size="2"/><Array name="a">
<DataType>Float64</DataType><DimensionRef ref="X"/><ConstantValue>1</ConstantValue></Array></Group>
</VRTDataset>
"""


def programs(asked: dict[str, Any]) -> dict[str, Any]:
    """Return every program of GDAL answers --version, and does one real job."""
    names = [name for name in _compiled(asked) if name in os.listdir(_programs())]
    if not names:
        return {"skipped": "no programs in this wheel"}
    _samples(asked)
    problems = []
    for name in names:
        problems += _version(asked, name)
        if name in JOBS:
            problems += _run(asked, name, JOBS[name], "")
    assert not problems, "\n".join(problems)
    jobs = sum(1 for name in names if name in JOBS)
    return {"detail": "%d programs, %d of them at work" % (len(names), jobs)}


def _compiled(asked: dict[str, Any]) -> list[str]:
    """Return the programs beside the package; osgeo_utils' scripts are commands of another kind."""
    folder = os.path.join(ours.home(asked), "_programs")
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def _programs() -> str:
    """Return the folder of this environment's programs."""
    return os.path.dirname(sys.executable)


def _version(asked: dict[str, Any], name: str) -> list[str]:
    """Some programs of GDAL 3.6 (gdaldem, ogrtindex) know --utility_version only."""
    problems = _run(asked, name, ["--version"], "GDAL")
    return _run(asked, name, ["--utility_version"], "GDAL") if problems else []


def _samples(asked: dict[str, Any]) -> None:
    with open(os.path.join(asked["folder"], "multidimensional.vrt"), "w", encoding="utf-8") as file:
        file.write(MULTIDIMENSIONAL)
    ours.write_raster(asked, os.path.join(asked["folder"], "a.tif"))
    ours.write_vector(asked, "GPKG", os.path.join(asked["folder"], "a.gpkg"))


def _command(asked: dict[str, Any], name: str) -> list[str]:
    """How a program is started: by its script, or by the Python module where there is no shell."""
    if os.name == "nt" or os.path.exists("/bin/sh"):
        return [os.path.join(_programs(), name)]
    home = ours.home(asked)
    places = (os.path.join(os.path.dirname(home), "osgeo_utils"), home)
    modules = [os.path.join(place, "_geowheel_programs.py") for place in places]
    return [sys.executable, next(path for path in modules if os.path.isfile(path)), name]


def _run(asked: dict[str, Any], name: str, arguments: list[str], said: str) -> list[str]:
    process = subprocess.run(
        [*_command(asked, name), *arguments], cwd=asked["folder"], input="15 52\n",
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    words = " ".join([name, *arguments])
    if process.returncode != 0:
        return ["%s: exit code %d: %s" % (words, process.returncode, process.stderr.strip())]
    if said not in process.stdout:
        return ["%s says %r" % (words, process.stdout[:200])]
    made = [a for a in arguments if a.partition(".")[0] == name]
    missing = [a for a in made if not os.path.getsize(os.path.join(asked["folder"], a))]
    return ["%s made an empty %s" % (words, missing)] if missing else []

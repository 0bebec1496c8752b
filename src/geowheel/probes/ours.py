"""The wheel under test, whatever its package and its layout: its modules, and real work with it."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import shutil
from collections.abc import Iterable
from functools import cache
from typing import Any

from .bindings import Osgeo
from .gdal import Gdal, Problem

VALUES = bytes(range(256)) * 4
CORNER = (440720.0, 60.0, 0.0, 3751320.0, 0.0, -60.0)


def module(asked: dict[str, Any], name: str) -> Any:
    """`gdal`, `ogr` or `osr` of the wheel, which raises exceptions."""
    if not has_osgeo(asked):
        return _of_library(asked["package"])
    found = importlib.import_module(asked["package"] + "." + name)
    found.UseExceptions()
    return found


def has_osgeo(asked: dict[str, Any]) -> bool:
    """Return False in layout none: the host is imported, and the libgdal that it links is asked."""
    return bool(asked["layout"] != "none")


@cache
def _of_library(package: str) -> Osgeo:
    importlib.import_module(package)
    found = Osgeo(Gdal(configured({"package": package})["gdal"]))
    found.AllRegister()
    return found


def entry(asked: dict[str, Any]) -> str:
    """Return the module whose import brings GDAL."""
    return str(asked["package"]) + (".gdal" if has_osgeo(asked) else "")


def environment(asked: dict[str, Any]) -> dict[str, str]:
    """Return os.environ as it has to stay: a host without osgeo may set variables at import."""
    if not has_osgeo(asked):
        module(asked, "gdal")
    return dict(os.environ)


def home(asked: dict[str, Any]) -> str:
    """Return the import package's folder. Nothing of the package is imported."""
    top, *rest = asked["package"].split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the package %s is not installed" % top)
    return os.path.join(os.path.realpath(next(iter(spec.submodule_search_locations))), *rest)


def bundle(asked: dict[str, Any]) -> dict[str, str]:
    """Where the wheel's own libraries and data lie."""
    folder = home(asked)
    path = os.path.join(folder, "_geowheel.json")
    if not os.path.isfile(path):
        raise SystemExit("the wheel bundles no GDAL: there is no " + path)
    with open(path, encoding="utf-8") as file:
        return {n: os.path.realpath(os.path.join(folder, p)) for n, p in json.load(file).items()}


def configured(asked: dict[str, Any]) -> dict[str, str]:
    """Return the same, with the bundled libgdal set up by the bootstrap alone."""
    path = os.path.join(home(asked), "_geowheel.py")
    spec = importlib.util.spec_from_file_location("_geowheel_alone", path)
    if spec is None or spec.loader is None or not os.path.isfile(path):
        raise SystemExit("there is no " + path)
    bootstrap = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bootstrap)
    found = bundle(asked)
    assert bootstrap.configure(), "the wheel bundles no GDAL"
    return found


def write_raster(asked: dict[str, Any], path: str) -> None:
    gdal = module(asked, "gdal")
    made = gdal.GetDriverByName("GTiff").Create(
        path, 32, 32, 1, gdal.GDT_Byte, ["COMPRESS=DEFLATE", "TILED=YES"]
    )
    made.SetGeoTransform(CORNER)
    made.SetSpatialRef(geographic(asked, 26711))
    made.GetRasterBand(1).WriteRaster(0, 0, 32, 32, VALUES)
    made.FlushCache()


def geographic(asked: dict[str, Any], code: int) -> Any:
    """A coordinate system by its EPSG code, x before y."""
    osr = module(asked, "osr")
    found = osr.SpatialReference()
    found.ImportFromEPSG(code)
    found.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return found


def as_geojson(points: Iterable[tuple[float, float, dict[str, Any]]]) -> str:
    """Points as a text that GDAL opens as it would a file."""
    features = [
        {"type": "Feature", "properties": fields,
         "geometry": {"type": "Point", "coordinates": [x, y]}}
        for x, y, fields in points
    ]  # fmt: skip
    return json.dumps({"type": "FeatureCollection", "name": "places", "features": features})


def write_vector(asked: dict[str, Any], driver: str, path: str, points: int = 20) -> None:
    gdal = module(asked, "gdal")
    source = gdal.OpenEx(as_geojson((n, n, {"name": "place %d Zürich" % n}) for n in range(points)))
    made = gdal.GetDriverByName(driver).Create(path, 0, 0, 0, gdal.GDT_Unknown)
    made.CopyLayer(source.GetLayer(0), "places")


def raster_numbers(asked: dict[str, Any], folder: str) -> list[Any]:
    """Written, read, and warped into another coordinate system."""
    gdal = module(asked, "gdal")
    path = os.path.join(folder, "ours.tif")
    write_raster(asked, path)
    read = gdal.OpenEx(path)  # kept: in GDAL 3.6 a band does not keep its dataset alive
    assert bytes(read.GetRasterBand(1).ReadRaster()) == VALUES
    assert tuple(read.GetGeoTransform()) == CORNER
    warped = gdal.AutoCreateWarpedVRT(read, None, geographic(asked, 32611).ExportToWkt())
    found = [read.GetRasterBand(1).Checksum(), warped.GetRasterBand(1).Checksum()]
    return found + list(warped.GetGeoTransform())


def vector_numbers(asked: dict[str, Any], folder: str) -> list[Any]:
    """A GeoPackage written and read, and a buffer by GEOS."""
    path = os.path.join(folder, "ours.gpkg")
    write_vector(asked, "GPKG", path)
    read = module(asked, "gdal").OpenEx(path)
    layer = read.GetLayer(0)
    found = list(iter(layer.GetNextFeature, None))
    area = found[0].GetGeometryRef().Buffer(1.0, 30).GetArea()
    code = layer.GetSpatialRef().GetAuthorityCode(None)
    return [len(found), found[-1].GetFieldAsString(0), area, code]


def transform_numbers(asked: dict[str, Any]) -> list[Any]:
    """15 east, 52 north in UTM zone 33: the zone's middle, so 500 km exactly.

    Its northing is 0.9996 of WGS 84's meridian arc, by Helmert's series in the third flattening.
    """
    ends = geographic(asked, 4326), geographic(asked, 32633)
    change = module(asked, "osr").CoordinateTransformation(*ends)
    x, y, _ = change.TransformPoint(15.0, 52.0)
    assert abs(x - 500000.0) < 0.001 and abs(y - 5761038.213) < 0.001, (x, y)
    return [x, y]


def work(asked: dict[str, Any], folder: str | None = None) -> dict[str, list[Any]]:
    """Real work with the wheel; its numbers, which are the same wherever it runs."""
    place = folder or asked["folder"]
    return {
        "raster": raster_numbers(asked, place),
        "vector": vector_numbers(asked, place),
        "transform": transform_numbers(asked),
    }


def own_data(asked: dict[str, Any]) -> None:
    """GDAL and PROJ look for their data in the wheel, and the open proj.db is the wheel's."""
    osr, where = module(asked, "osr"), bundle(asked)
    own_gdal_data(asked)
    assert os.path.realpath(osr.GetPROJSearchPaths()[0]) == where["proj_data"]
    transform_numbers(asked)
    opened = {os.path.realpath("/proc/self/fd/" + fd) for fd in os.listdir("/proc/self/fd")}
    databases = {path for path in opened if path.endswith("/proj.db")}
    databases -= _of_others(asked, databases)
    assert databases == {os.path.join(where["proj_data"], "proj.db")}, databases


def own_gdal_data(asked: dict[str, Any]) -> None:
    found = module(asked, "gdal").FindFile("gdal", "gdalvrt.xsd")
    assert found, "GDAL finds no data"
    assert os.path.dirname(os.path.realpath(found)) == bundle(asked)["gdal_data"], found


def own_gdal(asked: dict[str, Any]) -> None:
    """Beside other GDALs: the wheel's own are loaded, and its proj.db is open."""
    where = bundle(asked)
    assert {where["gdal"], where["proj"]} <= {os.path.realpath(path) for path in loaded()}
    own_gdal_data(asked)


def own_libraries(asked: dict[str, Any]) -> None:
    """Every GDAL and PROJ that is loaded is the wheel's own, or of what it imports: pyproj."""
    where = bundle(asked)
    found = {p for p in loaded() if os.path.basename(p).startswith(("libgdal", "libproj"))}
    found -= _of_others(asked, found)
    assert found == {where["gdal"], where["proj"]}, found


def _of_others(asked: dict[str, Any], paths: set[str]) -> set[str]:
    """Return those of paths that lie in the folders of other distributions beside the wheel."""
    site = os.path.realpath(site_of(asked)) + os.sep
    own = {p[len(site) :].split(os.sep)[0] for p in (home(asked), bundle(asked)["gdal"])}
    return {p for p in paths if p.startswith(site) and p[len(site) :].split(os.sep)[0] not in own}


def loaded() -> set[str]:
    """Return the files that this process has mapped as shared libraries."""
    with open("/proc/self/maps", encoding="utf-8") as file:
        paths = {line.split(None, 5)[5].strip() for line in file if "/" in line}
    return {path for path in paths if ".so" in os.path.basename(path)}


def only_runtimes(before: set[str], runtimes: list[str]) -> str:
    """What was loaded since is the wheel's own, the interpreter's, or the C and C++ runtimes."""
    # Before 2.34 a file of glibc was called libresolv-2.31.so.
    runtimes = [*runtimes, *(name.partition(".so")[0] + "-2." for name in runtimes)]
    foreign = {
        path
        for path in loaded() - before
        if path.startswith(("/lib", "/usr/"))
        and "/lib-dynload/" not in path
        # glibc loads its own converters and name services.
        and not os.path.basename(path).startswith((*runtimes, "libnss_"))
        and "/gconv/" not in path
    }
    if foreign:
        raise Problem("loaded from the system: " + ", ".join(sorted(foreign)))
    return "but for the C and C++ runtimes nothing of the system is loaded"


def site_of(asked: dict[str, Any]) -> str:
    """Return the folder that the wheel is installed into."""
    return os.path.normpath(os.path.join(home(asked), *[".."] * len(asked["package"].split("."))))


def copy_site(asked: dict[str, Any], goal: str) -> None:
    """All packages of this environment in another place: as hard links, where there are such."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(site_of(asked), goal, copy_function=_link, ignore=ignore)


def _link(source: str, goal: str) -> None:
    try:
        os.link(source, goal)
    except OSError:  # the file system has none, or no more of this file
        shutil.copy2(source, goal)

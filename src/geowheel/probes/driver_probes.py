"""Probes of the drivers of one GDAL: `driver_probes.py ASKED REPORT`. Run on its own.

ASKED is JSON. With `package`, an import package of an installed wheel, the wheel's GDAL is probed:
each common driver, and those named in `drivers`, makes real data and reads it back, and each plugin
is loaded. With `library`, a libgdal, drivers are only listed: its own and those of the files in the
folder `plugins`, or what the one file `plugin` registers. REPORT gets JSON: `rows` (name, passed,
detail) and `drivers` (name, kinds, plugin).

It speaks to libgdal itself, so that it is the same for every layout of a wheel. A driver may end
the process: REPORT is written before each one, and so names it. Standard library only, Python 3.9.
"""

from __future__ import annotations

import base64
import ctypes
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

SIZE = 16
NAMED_BUT_GONE = "not in this libgdal, but [tool.geowheel] drivers names it"
GEOGRAPHIC = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433],AUTHORITY["EPSG","4326"]]'
)
PLACES = (("Zürich", 3, 8.5, 47.25), ("Ulm", 7, 9.75, 48.5))

# Two files of one band, for what no driver writes: each as h5py and GDAL made it, packed.
HDF5 = (
    "eNrr9HBx4+WS4mIAAQ4OBhYGAQZk8B8KGDjR+FCQAKUZoXQHlF7BBBNnBMtJQMUFoeajqwsJcnUFqf6PBmD2GLBAaA6G"
    "UTASgYerYwCIjoDyYan0BBOqukS09OhBob2MDKwQsxhhfA0IzcSI4g5cNDOQxQjlMyKlYFYgDeIzMUEM4oDmEGZGeBJn"
    "RHVJw6CIh2A/fxdQjoY5UoF5NG2OglEwVIGGrpG5jaObd0BoVHxKZl6xjqGZtYOrl39IZFxyRm5RuYGplb2Lp19wRGxS"
    "ek5hWbWJpZ2zh29QeExiWnZBaVW9ha2Tu09gWHRCalZ+SWVdM7JZFbVN7chm1TS2dSOb1dDa1Y9sVktn32Rkszp6J01H"
    "Nqtn4rTZyGZNmDprPrJZU2bOW4xs1oy5i5YjmzVn4bLVyGYtWLpqPQDOY5dR"
)
HDF4 = (
    "eNrtl1lPE1EUx8+00IWWJVETfTHXxESMpZtggeJSKAUVUCnUDZeB3rZTuuB0oLjvior7jrtGSUqInwAfDfFJv4Dvfgo9"
    "9zLFISFI4uvcyZ35zZ3//M+dMzPJuRXGFQLMAmtrQQCwJpH6DF/AiPwVcMg8BSUAZchQYi5w/obcZJ6GUgCbCXkdavBo"
    "26BqGG9SNWbkuKqxII+pGsbjqsaKPKtqyn6rDTVlOP4Lx32QBBuAnbB7DTOc17MZG76DAbkZuQp97MjdyL3oU448ye5F"
    "H8Y/kf04XgFQvoZzgXMPcgjvrUSeQK5jWSjOQWedddZZZ5111vm/GFjtxOoVqGwPhkiEyjkpmyG1Ti/ppikq5ijx1DlI"
    "V3aEpvupTLz1DuJ1exrg3626xutrCoR27+09dCwqZXIOzxb/jtZde3oOHh1IpOW8u65xe3BnV/jAkf546sTI6dqGbS3t"
    "nd37+8TY4NDwqfP1W5vbOvZFDh+nyaxy8txlrdfo2UvXtV5nLl67pfW6cPXmXa3XlRt3Hmq9xm4/eKr1Gr//5IXW697j"
    "iTdar0fPX3/Qej179X5S6/Xy3acprdfbj4XPrP7jiRAwxwKs5pkWwBQRU8M0B5aYOEiDUtoNVtzjoNvp4XKj2kHgle1f"
    "nYntne550TIDeJYMYNLoFgkgLCOAd8kAFo1ukQDAP0EBy/Y5c3s4GCYjoiyJ/SmKIyY8j4jyAl9hlUXgUKV2gdfims7X"
    "CuyIdbnhB45ZzNN8K+CVpGEGa/RSXAVYsZo34lUb/gFkc01UStMM+/7FFAkPSDSjSDFpgARFBf8DhT23rJ19i0xFhUZJ"
    "XlISpC0Y6CDVCUUZanS58vm8U6bprEJzzDATd2bluCseFVOujcW8+nhWfXwlYYoEOnpbw2ANS/GMqAzLFMwBRVkQjXU8"
    "581BPPPkXpKKumJUP4/qZ2uN+agre2Qxk4tl5bSo4MN3ioosjS4+ATCpecRM4rudy6Ed1zIV+JZHXaIzEY2BqSUYWvCW"
    "/wAEca6f"
)


class Problem(Exception):
    """Why a driver failed, in words for people."""


@dataclass(frozen=True)
class Raster:
    """How a raster driver is probed; the defaults are the usual ones."""

    name: str
    ending: str
    options: tuple[str, ...] = ()
    bands: int = 1
    tolerance: int = 0
    writes: str = ""
    """Driver that writes, where it is another one."""
    reads: tuple[str, ...] = ()
    fixture: str = ""
    """A file to read where this libgdal does not write the format."""


@dataclass(frozen=True)
class Vector:
    """How a vector driver is probed."""

    name: str
    ending: str
    options: tuple[str, ...] = ()
    layer_options: tuple[str, ...] = ()
    metres: float = 0.0
    """Tolerance of formats that keep tiles in the Web Mercator projection."""
    prefix: str = ""
    inside: str = ""
    writes: str = ""
    needs: str = ""
    """A creation option without which this libgdal cannot."""
    numbers: bool = True
    """Whether fields other than the name are read back."""


COMMON: tuple[Raster | Vector, ...] = (
    Raster("GTiff", ".tif", ("COMPRESS=DEFLATE", "TILED=YES"), bands=3),
    Raster("COG", ".tif", ("COMPRESS=DEFLATE",), reads=("GTiff",)),
    Raster("VRT", ".vrt"),
    Raster("PNG", ".png", bands=3),
    Raster("JPEG", ".jpg", ("QUALITY=95",), bands=3, tolerance=12),
    Raster("JP2OpenJPEG", ".jp2", ("REVERSIBLE=YES", "QUALITY=100"), bands=3),
    Raster("WEBP", ".webp", ("QUALITY=95",), bands=3, tolerance=24),
    # Without coordinates, since a file of 16 columns is not the place to test CF conventions.
    Raster("netCDF", ".nc", ("WRITE_BOTTOMUP=NO",)),
    Raster("HDF5", ".h5", reads=("HDF5", "HDF5Image"), fixture=HDF5),
    Raster("HDF4", ".hdf", writes="HDF4Image", reads=("HDF4", "HDF4Image"), fixture=HDF4),
    Raster("GRIB", ".grb2"),
    Raster("Zarr", ".zarr"),
    Raster("PDF", ".pdf", ("COMPRESS=DEFLATE", "DPI=72"), bands=3, tolerance=24),
    Vector("GPKG", ".gpkg"),
    Vector("ESRI Shapefile", ".shp", layer_options=("ENCODING=UTF-8",)),
    Vector("GeoJSON", ".geojson"),
    Vector("FlatGeobuf", ".fgb"),
    Vector("KML", ".kml", numbers=False),  # it reads name and description alone
    Vector("LIBKML", ".kml"),
    Vector("GML", ".gml"),
    Vector("CSV", ".csv", layer_options=("GEOMETRY=AS_WKT",)),
    Vector("SQLite", ".sqlite"),
    Vector("SpatiaLite", ".sqlite", ("SPATIALITE=YES", "INIT_WITH_EPSG=NO"), writes="SQLite",
           needs="SPATIALITE"),
    Vector("MVT", "", ("MINZOOM=0", "MAXZOOM=4"), metres=2000, prefix="MVT:", inside="/4"),
    Vector("PMTiles", ".pmtiles", ("MINZOOM=0", "MAXZOOM=4"), metres=2000),
)  # fmt: skip

# Result and parameters: nothing, handle, text, number, real number, list of texts, buffer.
TYPES: Final[Mapping[str, Any]] = {
    "-": None, "h": ctypes.c_void_p, "t": ctypes.c_char_p, "n": ctypes.c_int,
    "r": ctypes.c_double, "l": ctypes.POINTER(ctypes.c_char_p), "b": ctypes.c_char_p,
    "e": ctypes.c_int,
}  # fmt: skip
FUNCTIONS: Final[Mapping[str, str]] = {
    "CPLSetConfigOption": "-tt",
    "GDALAllRegister": "-",
    "GDALClose": "-h",  # an error code from 3.7 on
    "GDALCreate": "hhtnnnnl",
    "GDALCreateCopy": "hhthnlhh",
    "GDALDatasetCreateLayer": "hhthnl",
    "GDALDatasetGetLayer": "hhn",
    "GDALGetDriver": "hn",
    "GDALGetDriverByName": "ht",
    "GDALGetDriverCount": "n",
    "GDALGetDriverShortName": "th",
    "GDALGetMetadataItem": "thtt",
    "GDALGetRasterBand": "hhn",
    "GDALGetRasterCount": "nh",
    "GDALGetRasterXSize": "nh",
    "GDALGetRasterYSize": "nh",
    "GDALOpenEx": "htnlll",
    "GDALRasterIO": "ehnnnnnbnnnnn",
    "GDALSetProjection": "eht",
    "OGR_F_Create": "hh",
    "OGR_F_Destroy": "-h",
    "OGR_F_GetFieldAsInteger": "nhn",
    "OGR_F_GetFieldAsString": "thn",
    "OGR_F_GetFieldIndex": "nht",
    "OGR_F_GetGeometryRef": "hh",
    "OGR_F_SetFieldInteger": "-hnn",
    "OGR_F_SetFieldString": "-hnt",
    "OGR_F_SetGeometryDirectly": "ehh",
    "OGR_Fld_Create": "htn",
    "OGR_Fld_Destroy": "-h",
    "OGR_G_CreateGeometry": "hn",
    "OGR_G_GetGeometryCount": "nh",
    "OGR_G_GetGeometryRef": "hhn",
    "OGR_G_GetX": "rhn",
    "OGR_G_GetY": "rhn",
    "OGR_G_SetPoint_2D": "-hnrr",
    "OGR_L_CreateFeature": "ehh",
    "OGR_L_CreateField": "ehhn",
    "OGR_L_GetLayerDefn": "hh",
    "OGR_L_GetNextFeature": "hh",
    "OSRDestroySpatialReference": "-h",
    "OSRNewSpatialReference": "ht",
    "OSRSetAxisMappingStrategy": "-hn",
}
HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_int, ctypes.c_char_p)


def as_c(value: Any) -> Any:
    if isinstance(value, (str, Path)):
        return os.fsencode(value)
    if isinstance(value, tuple):
        return (ctypes.c_char_p * (len(value) + 1))(*(text.encode() for text in value), None)
    return value


class Gdal:
    """A libgdal by its C functions; what it complains about is kept."""

    def __init__(self, library: Any) -> None:
        self.library = library
        self.said: list[str] = []
        self.failures: list[str] = []
        self.handler = HANDLER(self.listen)  # kept: GDAL does not
        library.CPLSetErrorHandler.argtypes = [HANDLER]
        library.CPLSetErrorHandler.restype = None
        library.CPLSetErrorHandler(self.handler)

    def listen(self, kind: int, _: int, message: bytes) -> None:
        text = message.decode("utf-8", "replace")
        self.said.append(text)
        if kind >= 3:
            self.failures.append(text)

    def __call__(self, name: str, *arguments: Any) -> Any:
        """The function's result; Problem for a null handle that is no answer, or an error code."""
        result, *parameters = tuple(FUNCTIONS[name])
        function = getattr(self.library, name)
        function.restype = TYPES[result]
        function.argtypes = [TYPES[parameter] for parameter in parameters]
        found = function(*map(as_c, arguments))
        if result == "e" and found != 0:
            raise self.problem(f"{name} failed")
        return found.decode("utf-8", "replace") if isinstance(found, bytes) else found

    def need(self, name: str, *arguments: Any) -> Any:
        """A handle that has to be there."""
        found = self(name, *arguments)
        if not found:
            raise self.problem(f"{name} gave nothing")
        return found

    def close(self, dataset: Any) -> None:
        """What is written last may fail, and only the error handler is told."""
        before = len(self.failures)
        self("GDALClose", dataset)
        if len(self.failures) > before:
            raise self.problem("it could not be written to its end")

    def problem(self, what: str) -> Problem:
        return Problem(f"{what}: {'; '.join(self.said[-3:])}" if self.said else what)

    def has(self, driver: Any, item: str) -> bool:
        return self("GDALGetMetadataItem", driver, item, None) is not None

    def drivers(self, plugin: str = "") -> list[dict[str, Any]]:
        """All that are registered, in GDAL's order."""
        found = []
        for number in range(self("GDALGetDriverCount")):
            driver = self("GDALGetDriver", number)
            kinds = [
                kind for kind in ("raster", "vector") if self.has(driver, f"DCAP_{kind.upper()}")
            ]
            name = self("GDALGetDriverShortName", driver)
            found.append({"name": name, "kinds": kinds, "plugin": plugin})
        return found


# --- rasters


def pixel(x: int, y: int, band: int) -> int:
    return 40 + 5 * x + 4 * y + 20 * band


def pixels(band: int) -> bytes:
    return bytes(pixel(x, y, band) for y in range(SIZE) for x in range(SIZE))


def transfer(gdal: Gdal, dataset: Any, band: int, data: Any, *, write: bool) -> None:
    handle = gdal.need("GDALGetRasterBand", dataset, band + 1)
    whole = (0, 0, SIZE, SIZE)
    gdal("GDALRasterIO", handle, int(write), *whole, data, SIZE, SIZE, 1, 0, 0)


def in_memory(gdal: Gdal, bands: int) -> Any:
    """A raster of known bytes."""
    memory = gdal.need("GDALGetDriverByName", "MEM")
    dataset = gdal.need("GDALCreate", memory, "", SIZE, SIZE, bands, 1, None)
    placed = (ctypes.c_double * 6)(8.0, 0.01, 0.0, 48.0, 0.0, -0.01)
    gdal.library.GDALSetGeoTransform(ctypes.c_void_p(dataset), placed)
    gdal("GDALSetProjection", dataset, GEOGRAPHIC)
    for band in range(bands):
        transfer(gdal, dataset, band, pixels(band), write=True)
    return dataset


def probe_raster(gdal: Gdal, probe: Raster, folder: Path) -> str:
    path = folder / f"places{probe.ending}"
    writer = gdal("GDALGetDriverByName", probe.writes or probe.name)
    if writer and (gdal.has(writer, "DCAP_CREATECOPY") or gdal.has(writer, "DCAP_CREATE")):
        source = in_memory(gdal, probe.bands)
        if probe.name == "VRT":  # which refers to files
            source = copied(gdal, gdal.need("GDALGetDriverByName", "GTiff"), source,
                            folder / "source.tif", ())  # fmt: skip
        gdal.close(copied(gdal, writer, source, path, probe.options))
        gdal.close(source)
        done = "created"
    elif probe.fixture:
        path.write_bytes(zlib.decompress(base64.b64decode(probe.fixture)))
        done = "opened a file that geowheel brings"
    else:
        return "there, but this libgdal does not create it"
    reader = gdal("GDALGetDriverByName", (probe.reads or (probe.name,))[0])
    if not reader or not gdal.has(reader, "DCAP_OPEN"):
        return f"{done}; this libgdal does not read it"
    compare_raster(gdal, probe, path)
    return f"{done}, read back" if done == "created" else done


def copied(gdal: Gdal, driver: Any, source: Any, path: Path, options: tuple[str, ...]) -> Any:
    return gdal.need("GDALCreateCopy", driver, path, source, 0, options, None, None)


def compare_raster(gdal: Gdal, probe: Raster, path: Path) -> None:
    allowed = probe.reads or (probe.name,)
    dataset = gdal.need("GDALOpenEx", path, 0x42, allowed, None, None)
    shape = [gdal(f"GDALGetRaster{what}", dataset) for what in ("XSize", "YSize", "Count")]
    if shape[:2] != [SIZE, SIZE] or shape[2] < probe.bands:
        raise Problem(f"{shape[0]} x {shape[1]} pixels of {shape[2]} bands were read")
    for band in range(probe.bands):
        data = ctypes.create_string_buffer(SIZE * SIZE)
        transfer(gdal, dataset, band, data, write=False)
        expected = pixels(band)
        worst = max(abs(data.raw[i] - expected[i]) for i in range(SIZE * SIZE))
        if worst > probe.tolerance:
            raise Problem(f"pixels of band {band + 1} differ by up to {worst}")
    gdal.close(dataset)


# --- vectors


def probe_vector(gdal: Gdal, probe: Vector, folder: Path) -> str:
    driver = gdal("GDALGetDriverByName", probe.writes or probe.name)
    if not gdal.has(driver, "DCAP_CREATE"):
        return "there, but this libgdal does not create it"
    path = folder / f"places{probe.ending}"
    dataset = gdal.need("GDALCreate", driver, path, 0, 0, 0, 0, probe.options)
    write_places(gdal, dataset, probe)
    gdal.close(dataset)
    if not gdal.has(driver, "DCAP_OPEN"):
        return "created; this libgdal does not read it"
    allowed = (probe.writes or probe.name,)
    place = f"{probe.prefix}{path}{probe.inside}"
    dataset = gdal.need("GDALOpenEx", place, 0x44, allowed, None, None)
    compare_places(gdal, dataset, probe)
    gdal.close(dataset)
    return "created, read back"


def write_places(gdal: Gdal, dataset: Any, probe: Vector) -> None:
    reference = gdal.need("OSRNewSpatialReference", GEOGRAPHIC)
    gdal("OSRSetAxisMappingStrategy", reference, 0)  # x is the longitude
    layer = gdal.need("GDALDatasetCreateLayer", dataset, "places", reference, 1,
                      probe.layer_options)  # fmt: skip
    for name, kind in (("name", 4), ("size", 0)):
        field = gdal.need("OGR_Fld_Create", name, kind)
        gdal("OGR_L_CreateField", layer, field, 1)
        gdal("OGR_Fld_Destroy", field)
    definition = gdal.need("OGR_L_GetLayerDefn", layer)
    for name, size, x, y in PLACES:
        feature = gdal.need("OGR_F_Create", definition)
        gdal("OGR_F_SetFieldString", feature, field_of(gdal, feature, "name"), name)
        gdal("OGR_F_SetFieldInteger", feature, field_of(gdal, feature, "size"), size)
        point = gdal.need("OGR_G_CreateGeometry", 1)
        gdal("OGR_G_SetPoint_2D", point, 0, x, y)
        gdal("OGR_F_SetGeometryDirectly", feature, point)
        gdal("OGR_L_CreateFeature", layer, feature)
        gdal("OGR_F_Destroy", feature)
    gdal("OSRDestroySpatialReference", reference)


def field_of(gdal: Gdal, feature: Any, name: str) -> int:
    index = int(gdal("OGR_F_GetFieldIndex", feature, name))
    if index < 0:
        raise Problem(f"the field {name} is gone")
    return index


def compare_places(gdal: Gdal, dataset: Any, probe: Vector) -> None:
    layer = gdal.need("GDALDatasetGetLayer", dataset, 0)
    found = {}
    while feature := gdal("OGR_L_GetNextFeature", layer):
        name = gdal("OGR_F_GetFieldAsString", feature, field_of(gdal, feature, "name"))
        size = None
        if probe.numbers:
            size = gdal("OGR_F_GetFieldAsInteger", feature, field_of(gdal, feature, "size"))
        point = gdal.need("OGR_F_GetGeometryRef", feature)
        if gdal("OGR_G_GetGeometryCount", point):  # tiles hold multipoints
            point = gdal.need("OGR_G_GetGeometryRef", point, 0)
        found[name] = (size, gdal("OGR_G_GetX", point, 0), gdal("OGR_G_GetY", point, 0))
        gdal("OGR_F_Destroy", feature)
    if sorted(found) != sorted(name for name, *_ in PLACES):
        raise Problem(f"the features {sorted(found)} were read")
    for name, size, longitude, latitude in PLACES:
        x, y = mercator(longitude, latitude) if probe.metres else (longitude, latitude)
        got = found[name]
        apart = max(abs(got[1] - x), abs(got[2] - y))
        if got[0] not in (size, None) or apart > (probe.metres or 1e-6):
            raise Problem(f"{name} was read as {got}, and is {(size, x, y)}")


def mercator(longitude: float, latitude: float) -> tuple[float, float]:
    y = math.log(math.tan(math.pi / 4 + math.radians(latitude) / 2))
    return 6378137.0 * math.radians(longitude), 6378137.0 * y


# --- plugins


def register_plugin(gdal: Gdal, path: Path) -> list[dict[str, Any]]:
    """Load a plugin as GDAL does, but without hiding why it cannot; the drivers that are new."""
    before = {driver["name"] for driver in gdal.drivers()}
    try:
        plugin = ctypes.CDLL(str(path), mode=os.RTLD_NOW)
    except OSError as error:
        raise Problem(f"cannot be loaded: {error}") from None
    start, _, rest = path.stem.partition("_")
    own = f"GDALRegister_{rest}" if start == "gdal" else f"RegisterOGR{rest}"
    function = next((name for name in (own, "GDALRegisterMe") if hasattr(plugin, name)), None)
    if function is None:
        raise Problem(f"has neither {own} nor GDALRegisterMe: it is no GDAL plugin of that name")
    getattr(plugin, function)()
    new = [driver for driver in gdal.drivers(plugin=path.name) if driver["name"] not in before]
    if not new:
        raise gdal.problem("registers no driver, as one that was built for another GDAL")
    return new


def plugin_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.so"))


def load_plugin(library: str, path: Path, folder: Path, found: dict[str, list[str]]) -> str:
    """Load it in a process of its own, which a damaged file may end; its drivers into `found`."""
    report = folder / "plugin.json"
    asked = json.dumps({"library": library, "plugin": str(path)})
    done = subprocess.run(
        [sys.executable, "-I", __file__, asked, report],
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    if done.returncode != 0:
        ended = f"{path.name} ended the process that loaded it, exit code {done.returncode}"
        raise Problem((done.stderr.strip() or ended)[-2000:])
    names = [driver["name"] for driver in json.loads(report.read_text("utf-8"))["drivers"]]
    found[path.name] = names
    return f"loaded: {', '.join(names)}"


def register_all(gdal: Gdal, plugins: dict[str, list[str]], drivers: list[dict[str, Any]]) -> str:
    """What every program does at its start; GDAL has to find each driver that a plugin has."""
    gdal("GDALAllRegister")
    owners = {name: plugin for plugin, names in plugins.items() for name in names}
    drivers += gdal.drivers()
    for driver in drivers:
        driver["plugin"] = owners.pop(driver["name"], "")
    if owners:
        lost = ", ".join(f"{name} of {plugin}" for name, plugin in owners.items())
        raise gdal.problem(f"GDAL does not find {lost}")
    return f"{len(drivers)} drivers"


# --- what is asked for


@dataclass
class Report:
    """The rows so far, on disk before each probe."""

    path: Path
    rows: list[dict[str, Any]]
    drivers: list[dict[str, Any]]

    def row(self, name: str, passed: bool | None, detail: str) -> None:
        self.rows.append({"name": name, "passed": passed, "detail": detail})

    def attempt(self, name: str, gdal: Gdal, probe: Callable[[], str]) -> None:
        """A row from a probe that says what it did, or raises Problem."""
        self.row(name, False, "the process ended in the middle of it")
        self.write()
        gdal.said.clear()
        try:
            passed, detail = True, probe()
        except Problem as problem:
            passed, detail = False, str(problem)
        self.rows[-1] = {"name": name, "passed": passed, "detail": detail}

    def write(self) -> None:
        text = json.dumps({"rows": self.rows, "drivers": self.drivers}, indent=1)
        self.path.write_text(text, encoding="utf-8")


def bundle_of(package: str) -> dict[str, str]:
    """Paths of what a wheel bundles, its libgdal set up; nothing of the package is imported."""
    top, *rest = package.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"the package {top} is not installed")
    folder = Path(next(iter(spec.submodule_search_locations)), *rest)
    alone = importlib.util.spec_from_file_location("_geowheel_alone", folder / "_geowheel.py")
    if alone is None or alone.loader is None or not (folder / "_geowheel.py").is_file():
        raise SystemExit(f"there is no _geowheel.py in {folder}")
    bootstrap = importlib.util.module_from_spec(alone)
    alone.loader.exec_module(bootstrap)
    if not bootstrap.configure():
        raise SystemExit(f"the wheel bundles no GDAL: there is no _geowheel.json in {folder}")
    bundle: dict[str, str] = json.loads((folder / "_geowheel.json").read_text("utf-8"))
    return {name: os.path.normpath(folder / path) for name, path in bundle.items()}


def is_there(gdal: Gdal, probe: Raster | Vector) -> bool:
    if isinstance(probe, Raster) or not probe.needs:
        return bool(gdal("GDALGetDriverByName", probe.name))
    writer = gdal("GDALGetDriverByName", probe.writes)
    options = gdal("GDALGetMetadataItem", writer, "DMD_CREATIONOPTIONLIST", None) if writer else ""
    return probe.needs in (options or "")


def wanted(gdal: Gdal, named: list[str]) -> Iterator[tuple[str, Raster | Vector | None, bool]]:
    """Each driver to probe: its name, how, and whether this libgdal has it."""
    for probe in COMMON:
        yield probe.name, probe, is_there(gdal, probe)
    known = {probe.name for probe in COMMON}
    for name in dict.fromkeys(named):
        if name not in known:
            yield name, None, bool(gdal("GDALGetDriverByName", name))


def probe_drivers(gdal: Gdal, named: list[str], folder: Path, report: Report) -> None:
    for name, probe, there in wanted(gdal, named):
        row = f"driver {name}"
        if not there and name in named:
            report.row(row, False, NAMED_BUT_GONE)
        elif not there:
            report.row(row, None, "not run: no such driver")
        elif probe is None:
            report.row(row, True, "there; geowheel has no data to try it with")
        else:
            place = folder / name.replace(" ", "-")
            place.mkdir()
            report.attempt(row, gdal, partial(try_driver, gdal, probe, place))


def try_driver(gdal: Gdal, probe: Raster | Vector, place: Path) -> str:
    if isinstance(probe, Raster):
        return probe_raster(gdal, probe, place)
    return probe_vector(gdal, probe, place)


def probe_wheel(asked: dict[str, Any], report: Report) -> None:
    bundle = bundle_of(asked["package"])
    gdal = Gdal(ctypes.CDLL(bundle["gdal"]))
    plugins: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="probe-") as scratch:
        folder = Path(scratch)
        # Before GDAL itself loads them, which a damaged one may not survive.
        for path in plugin_files(Path(bundle["plugins"])):
            load = partial(load_plugin, bundle["gdal"], path, folder, plugins)
            report.attempt(f"plugin {path.name}", gdal, load)
        register = partial(register_all, gdal, plugins, report.drivers)
        report.attempt("all drivers register", gdal, register)
        probe_drivers(gdal, asked["drivers"], folder, report)


def list_library(asked: dict[str, Any], report: Report) -> None:
    """The drivers of a libgdal, and those of each plugin by its name."""
    gdal = Gdal(ctypes.CDLL(asked["library"]))
    if "plugin" in asked:
        paths = [Path(asked["plugin"])]
    else:
        gdal("CPLSetConfigOption", "GDAL_DRIVER_PATH", "disable")
        gdal("GDALAllRegister")
        report.drivers = gdal.drivers()
        paths = plugin_files(Path(asked["plugins"]))
    for path in paths:
        try:
            report.drivers += register_plugin(gdal, path)
        except Problem as problem:
            raise SystemExit(f"{path.name} {problem}") from None


def main(asked: dict[str, Any], report: Report) -> None:
    if "package" in asked:
        probe_wheel(asked, report)
    else:
        list_library(asked, report)
    report.write()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), Report(path=Path(sys.argv[2]), rows=[], drivers=[]))

"""Probes of the drivers of one GDAL.

`probe_wheel` probes the GDAL of an installed wheel: each common driver, and those named in
`drivers`, makes real data and reads it back, and each plugin is loaded. `list_library` only lists
the drivers of a libgdal: its own and those of the files in the folder `plugins`, or what the one
file `plugin` registers. The report holds `rows` (name, passed, detail) and `drivers` (name, kinds,
plugin). A driver may end the process: the report is written before each one, and so names it.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from . import NAMED_BUT_GONE, ours
from .bindings import Osgeo
from .gdal import Gdal, Problem
from .ogdi import OGDI, probe_ogdi
from .probe import Failed, again

SIZE = 16
GEOGRAPHIC = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433],AUTHORITY["EPSG","4326"]]'
)
PLACES = (("Zürich", 3, 8.5, 47.25), ("Ulm", 7, 9.75, 48.5))
HERE = Path(__file__).parent


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
    """A file beside this module, as h5py or GDAL made it, for what no driver writes."""
    either_way: bool = False
    """Whether the rows may come from the bottom up."""


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
    # Without coordinates, since a file of 16 columns is not the place to test CF conventions. Which
    # row is the first then, GDAL 3.13 says otherwise than those before.
    Raster("netCDF", ".nc", ("WRITE_BOTTOMUP=NO",), either_way=True),
    Raster("HDF5", ".h5", reads=("HDF5", "HDF5Image"), fixture="band.h5"),
    Raster("HDF4", ".hdf", writes="HDF4Image", reads=("HDF4", "HDF4Image"), fixture="band.hdf"),
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


def pixel(x: int, y: int, band: int) -> int:
    return 40 + 5 * x + 4 * y + 20 * band


def pixels(band: int) -> bytes:
    return bytes(pixel(x, y, band) for y in range(SIZE) for x in range(SIZE))


def in_memory(gdal: Osgeo, bands: int) -> Any:
    """A raster of known bytes."""
    dataset = gdal.GetDriverByName("MEM").Create("", SIZE, SIZE, bands, gdal.GDT_Byte)
    dataset.SetGeoTransform((8.0, 0.01, 0.0, 48.0, 0.0, -0.01))
    dataset.SetProjection(GEOGRAPHIC)
    for band in range(bands):
        dataset.GetRasterBand(band + 1).WriteRaster(0, 0, SIZE, SIZE, pixels(band))
    return dataset


def probe_raster(gdal: Osgeo, probe: Raster, folder: Path) -> str:
    path = folder / f"places{probe.ending}"
    writer = gdal.GetDriverByName(probe.writes or probe.name)
    if writer and any(gdal.library.has(writer, i) for i in ("DCAP_CREATECOPY", "DCAP_CREATE")):
        source = in_memory(gdal, probe.bands)
        if probe.name == "VRT":  # which refers to files
            place = folder / "source.tif"
            source = gdal.GetDriverByName("GTiff").CreateCopy(place, source)
        writer.CreateCopy(path, source, 0, probe.options).close()
        source.close()
        done = "created"
    elif probe.fixture:
        path.write_bytes((HERE / probe.fixture).read_bytes())
        done = "opened a file that geowheel brings"
    else:
        return "there, but this libgdal does not create it"
    reader = gdal.GetDriverByName((probe.reads or (probe.name,))[0])
    if not reader or not gdal.library.has(reader, "DCAP_OPEN"):
        return f"{done}; this libgdal does not read it"
    compare_raster(gdal, probe, path)
    return f"{done}, read back" if done == "created" else done


def compare_raster(gdal: Osgeo, probe: Raster, path: Path) -> None:
    read = gdal.OpenEx(path, 0x42, probe.reads or (probe.name,))
    bands = [read.GetRasterBand(band + 1) for band in range(min(read.RasterCount, probe.bands))]
    shape = {(band.XSize, band.YSize) for band in bands}
    if shape != {(SIZE, SIZE)} or len(bands) < probe.bands:
        raise Problem(f"{len(bands)} bands of {sorted(shape)} pixels were read")
    for number, band in enumerate(bands):
        found, expected = band.ReadRaster(), pixels(number)
        ways = [list(range(SIZE * SIZE))]
        if probe.either_way:
            ways.append([SIZE * (SIZE - 1 - i // SIZE) + i % SIZE for i in ways[0]])
        worst = min(max(abs(found[w[i]] - expected[i]) for i in ways[0]) for w in ways)
        if worst > probe.tolerance:
            raise Problem(f"pixels of band {number + 1} differ by up to {worst}")


def probe_vector(gdal: Osgeo, probe: Vector, folder: Path) -> str:
    driver = gdal.GetDriverByName(probe.writes or probe.name)
    if not gdal.library.has(driver, "DCAP_CREATE"):
        return "there, but this libgdal does not create it"
    path = folder / f"places{probe.ending}"
    made = driver.Create(path, 0, 0, 0, gdal.GDT_Unknown, probe.options)
    source = gdal.OpenEx(ours.as_geojson((x, y, {"name": n, "size": s}) for n, s, x, y in PLACES))
    made.CopyLayer(source.GetLayer(0), "places", probe.layer_options)
    made.close()
    if not gdal.library.has(driver, "DCAP_OPEN"):
        return "created; this libgdal does not read it"
    place = f"{probe.prefix}{path}{probe.inside}"
    compare_places(gdal.OpenEx(place, 0x44, (probe.writes or probe.name,)), probe)
    return "created, read back"


def field_of(feature: Any, name: str) -> int:
    index = int(feature.GetFieldIndex(name))
    if index < 0:
        raise Problem(f"the field {name} is gone")
    return index


def compare_places(dataset: Any, probe: Vector) -> None:
    found = {}
    for feature in iter(dataset.GetLayer(0).GetNextFeature, None):
        name = feature.GetFieldAsString(field_of(feature, "name"))
        size = feature.GetFieldAsInteger(field_of(feature, "size")) if probe.numbers else None
        point = feature.GetGeometryRef()
        if point.GetGeometryCount():  # tiles hold multipoints
            point = point.call("OGR_G_GetGeometryRef", point, 0)
        found[name] = (size, point.GetX(), point.GetY())
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


def plugin_files(folder: str) -> list[Path]:
    return sorted(Path(folder).glob("*.so"))


def load_plugin(asked: dict[str, Any], path: Path, found: dict[str, list[str]]) -> str:
    """Load it in a process of its own, which a damaged file may end; its drivers into `found`."""
    library = ours.bundle(asked)["gdal"]
    try:
        report = again(asked, "drivers:list_library", library=library, plugin=str(path))
    except Failed as failed:
        ended = "%s ended the process that loaded it, exit code %d" % (path.name, failed.returncode)
        raise Problem((failed.said.strip() or ended)[-2000:]) from None
    names = found[path.name] = [driver["name"] for driver in report["drivers"]]
    return "loaded: " + ", ".join(names)


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


@dataclass
class DriverRows:
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

    @property
    def content(self) -> dict[str, Any]:
        return {"rows": self.rows, "drivers": self.drivers}

    def write(self) -> None:
        self.path.write_text(json.dumps(self.content), encoding="utf-8")


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
    ogdi = [OGDI] * bool(gdal("GDALGetDriverByName", OGDI))
    for name in dict.fromkeys([*named, *ogdi]):
        if name not in known:
            yield name, None, bool(gdal("GDALGetDriverByName", name))


def probe_drivers(gdal: Gdal, named: list[str], folder: Path, report: DriverRows) -> None:
    for name, probe, there in wanted(gdal, named):
        row = f"driver {name}"
        if not there and name in named:
            report.row(row, False, NAMED_BUT_GONE)
        elif not there:
            report.row(row, None, "not run: no such driver")
        elif name == OGDI:
            report.attempt(row, gdal, partial(probe_ogdi, gdal, folder))
        elif probe is None:
            report.row(row, True, "there; geowheel has no data to try it with")
        else:
            place = folder / name.replace(" ", "-")
            place.mkdir()
            report.attempt(row, gdal, partial(try_driver, gdal, probe, place))


def try_driver(gdal: Gdal, probe: Raster | Vector, place: Path) -> str:
    if isinstance(probe, Raster):
        return probe_raster(Osgeo(gdal), probe, place)
    return probe_vector(Osgeo(gdal), probe, place)


def probe_wheel(asked: dict[str, Any]) -> dict[str, Any]:
    report = DriverRows(path=Path(asked["report"]), rows=[], drivers=[])
    before = ours.loaded() if sys.platform == "linux" else None
    bundle = ours.configured(asked)
    gdal = Gdal(bundle["gdal"])
    plugins: dict[str, list[str]] = {}
    # Before GDAL itself loads them, which a damaged one may not survive.
    for path in plugin_files(bundle["plugins"]):
        report.attempt("plugin " + path.name, gdal, partial(load_plugin, asked, path, plugins))
    register = partial(register_all, gdal, plugins, report.drivers)
    report.attempt("all drivers register", gdal, register)
    with tempfile.TemporaryDirectory(prefix="probe-") as scratch:
        probe_drivers(gdal, asked["drivers"], Path(scratch), report)
    if before is not None:
        own = partial(ours.only_runtimes, before, asked["runtimes"])
        report.attempt("only runtimes are the system's", gdal, own)
    return report.content


def list_library(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the drivers of a libgdal, and those of each plugin by its name."""
    gdal = Gdal(asked["library"])
    drivers = []
    if "plugin" in asked:
        paths = [Path(asked["plugin"])]
    else:
        gdal("CPLSetConfigOption", "GDAL_DRIVER_PATH", "disable")
        gdal("GDALAllRegister")
        drivers = gdal.drivers()
        paths = plugin_files(asked["plugins"])
    for path in paths:
        try:
            drivers += register_plugin(gdal, path)
        except Problem as problem:
            raise SystemExit("%s %s" % (path.name, problem)) from None
    return {"drivers": drivers}

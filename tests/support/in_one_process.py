"""Three hosts at work in one process: `in_one_process.py IMPORTS WORKS`, names with commas between.

Run by test_three_hosts.py in an environment with their wheels. Imports all in the first order, then
works in all in every order, the second first. Prints what was found as JSON.
"""

import ctypes
import gc
import importlib
import itertools
import json
import math
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

PACKAGES = {"osgeo": "osgeo", "terrain": "terrain._vendor.osgeo", "atlas": "atlas._vendor.osgeo"}


def load(host: str, name: str) -> Any:
    """A module of the host's GDAL."""
    return importlib.import_module(f"{PACKAGES[host]}.{name}")


def at_work(host: str, folder: Path, marker: str, zone: int) -> dict[str, Any]:
    """Rasters, vectors and coordinates, with the classes that come back; then the host's own."""
    gdal, ogr, osr = (load(host, name) for name in ("gdal", "ogr", "osr"))
    raster = gdal.GetDriverByName("GTiff").Create(str(folder / "r.tif"), 8, 8, 1, gdal.GDT_Byte)
    raster.GetRasterBand(1).Fill(7)
    reference, goal, named = (osr.SpatialReference() for _ in range(3))
    reference.ImportFromEPSG(4326)
    goal.ImportFromEPSG(32633)
    named.ImportFromEPSG(zone)
    raster.SetSpatialRef(reference)
    raster = None  # written
    raster = gdal.Open(str(folder / "r.tif"))
    x, y, _ = osr.CoordinateTransformation(reference, goal).TransformPoint(52, 15)
    source = ogr.GetDriverByName("GPKG").CreateDataSource(str(folder / "v.gpkg"))
    layer = source.CreateLayer("places", reference, ogr.wkbPoint)
    feature = ogr.Feature(layer.GetLayerDefn())
    feature.SetGeometry(ogr.CreateGeometryFromWkt("POINT (1 2)", reference))
    layer.CreateFeature(feature)
    back = layer.GetFeature(1)
    geometry = back.GetGeometryRef()
    things = (
        raster, raster.GetRasterBand(1), raster.GetSpatialRef(), reference, source, layer, feature,
        back, geometry, geometry.GetSpatialReference(), gdal.GetDriver(0),
    )  # fmt: skip
    own_work = OWN_WORK[host](folder)
    return {
        "own work": own_work,
        "classes": sorted({type(thing).__module__ for thing in things}),
        "numbers": [raster.GetRasterBand(1).Checksum(), round(x, 3), round(y, 3), geometry.GetX()],
        "names": [geometry.GetSpatialReference().GetName(), raster.GetSpatialRef().GetName()],
        "who": gdal.GetConfigOption("WHO"),
        "raises": gdal.GetUseExceptions(),
        "memory driver": gdal.GetDriverByName("MEM").GetMetadataItem("DMD_LONGNAME"),
        "zone": named.GetName(),
        "data": [gdal.FindFile("gdal", "gdalvrt.xsd"), osr.GetPROJSearchPaths()[0]],
        "marker": gdal.FindFile("gdal", marker),
        "plugins": gdal.GetConfigOption("GDAL_DRIVER_PATH"),
        "hdf5": gdal.GetDriverByName("HDF5").GetMetadataItem("DMD_LONGNAME"),
    }


def warp_a_plane(folder: Path) -> dict[str, Any]:
    """hosts/gdal: what a user of plain GDAL does, into another coordinate system."""
    from osgeo import gdal, osr  # type: ignore[import-not-found]

    size = 32
    source = gdal.GetDriverByName("GTiff").Create(
        str(folder / "plane.tif"), size, size, 1, gdal.GDT_Float32
    )
    source.SetGeoTransform((10.0, 0.01, 0, 50.0, 0, -0.01))
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(4326)
    source.SetProjection(reference.ExportToWkt())
    source.GetRasterBand(1).Fill(42.5)
    warped = gdal.Warp("", source, format="MEM", dstSRS="EPSG:32632", dstNodata=-1)
    found = warped.GetRasterBand(1).ComputeStatistics(False)
    return {"mean": found[2], "crs": warped.GetSpatialRef().GetName()}


def measure_a_slope(folder: Path) -> dict[str, Any]:
    """hosts/terrain: its public functions on a DEM that its own GDAL wrote, and its gdaldem."""
    import numpy  # type: ignore[import-not-found, unused-ignore]
    import terrain  # type: ignore[import-not-found]

    columns = numpy.arange(40, dtype="float32")
    plane = numpy.tile(columns * 5.0, (30, 1))  # half a unit up for each to the east
    crs = load("terrain", "osr").GetUserInputAsWKT("EPSG:32633")
    made = terrain.Raster(array=plane, geotransform=(500000, 10, 0, 5700000, 0, -10), crs=crs)
    made.write(folder / "dem.tif")
    dem = terrain.Raster.read(folder / "dem.tif")
    slope = terrain.slope(dem.array, dem.ground_cell_size(), nodata=dem.nodata)
    shade = terrain.hillshade(dem.array, dem.ground_cell_size())
    dem.like(slope, nodata=-9999).write(folder / "slope.tif")
    again = terrain.Raster.read(folder / "slope.tif")
    zones = (numpy.arange(30)[:, None] >= 15) + numpy.zeros((1, 40), dtype="int32")
    table = terrain.zonal_statistics(again.array, zones, nodata=again.nodata)
    gdal = load("terrain", "gdal")
    gdal.DEMProcessing(str(folder / "shade.tif"), str(folder / "dem.tif"), "hillshade")
    other = terrain.Raster.read(folder / "shade.tif").array[1:-1, 1:-1]
    return {
        "slopes": sorted({round(math.tan(math.radians(mean)), 4) for mean in table.mean}),
        "counts": table.count.tolist(),
        "beside gdaldem": float(numpy.abs(shade[1:-1, 1:-1] - other).max()) < 1,
    }


def map_places(folder: Path) -> dict[str, Any]:
    """tests/data/atlas: its public functions."""
    import atlas  # type: ignore[import-not-found]

    places = [atlas.Place(name="Zürich", x=8.54, y=47.37), atlas.Place(name="Ulm", x=9.99, y=48.4)]
    projected = atlas.projected(places, source=4326, goal=32632)
    path = str(folder / "places.gpkg")
    atlas.write(path, projected, epsg=32632)
    back = atlas.projected(atlas.read(path), source=32632, goal=4326)
    return {
        "places": [[place.name, round(place.x, 6), round(place.y, 6)] for place in back],
        "drawn": atlas.drawn(path, size=40, west=400_000, north=5_400_000, cell=10_000),
    }


OWN_WORK = {"osgeo": warp_a_plane, "terrain": measure_a_slope, "atlas": map_places}


def settings_in_files() -> dict[str, str | None]:
    """The setting in each loaded libgdal, asked of the file itself and not through bindings."""
    found = {}
    for path in loaded_libraries():
        if Path(path).name.startswith("libgdal"):
            option = ctypes.CDLL(path).CPLGetConfigOption
            option.argtypes, option.restype = [ctypes.c_char_p, ctypes.c_char_p], ctypes.c_char_p
            value: bytes | None = option(b"WHO", None)
            found[path] = value.decode() if value else None
    return found


def loaded_libraries() -> list[str]:
    """What the process has mapped of shared libraries."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    paths = {line.split(None, 5)[5].strip() for line in lines if line.count("/")}
    return sorted(path for path in paths if ".so" in path)


def open_databases() -> list[str]:
    """Every proj.db that is open."""
    opened = {os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")}  # noqa: PTH208
    return sorted(path for path in opened if path.endswith("/proj.db"))


def main(imports: list[str], works: list[str], marker: str, zone: int) -> dict[str, Any]:
    for host in imports:
        load(host, "gdal").SetConfigOption("WHO", host)
    for name in ("gdal", "ogr", "osr"):
        load("osgeo", name).UseExceptions()  # atlas is left as GDAL is: it must not follow
    found: dict[str, list[dict[str, Any]]] = {host: [] for host in imports}
    for order in itertools.permutations(works):
        for host in order:
            with tempfile.TemporaryDirectory() as folder:
                found[host].append(at_work(host, Path(folder), marker, zone))
            gc.collect()
    return {
        "found": found,
        "settings": settings_in_files(),
        "libraries": loaded_libraries(),
        "databases": open_databases(),
    }


if __name__ == "__main__":
    result = main(sys.argv[1].split(","), sys.argv[2].split(","), sys.argv[3], int(sys.argv[4]))
    sys.stdout.write(json.dumps(result) + "\n")

"""Places: projected, written to a GeoPackage, read back and drawn, by a private GDAL."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from atlas._osgeo import gdal, ogr, osr


@dataclass(frozen=True, kw_only=True)
class Place:
    """A name and a position, in the units of whatever coordinate system it is used with."""

    name: str
    x: float
    y: float


def projected(places: Iterable[Place], *, source: int, goal: int) -> list[Place]:
    """The places in another coordinate system, both by EPSG code, x to the east."""
    change = osr.CoordinateTransformation(_reference(source), _reference(goal))
    moved = [(place, change.TransformPoint(place.x, place.y)) for place in places]
    return [Place(name=place.name, x=point[0], y=point[1]) for place, point in moved]


def write(path: str, places: Iterable[Place], *, epsg: int) -> None:
    """A GeoPackage of points."""
    source = ogr.GetDriverByName("GPKG").CreateDataSource(path)
    layer = source.CreateLayer("places", _reference(epsg), ogr.wkbPoint)
    layer.CreateField(ogr.FieldDefn("name", ogr.OFTString))
    for place in places:
        feature = ogr.Feature(layer.GetLayerDefn())
        feature.SetField("name", place.name)
        feature.SetGeometry(ogr.CreateGeometryFromWkt(f"POINT ({place.x!r} {place.y!r})"))
        layer.CreateFeature(feature)
    source.FlushCache()


def read(path: str) -> list[Place]:
    """The places of a GeoPackage."""
    source = ogr.Open(path)
    layer = source.GetLayer(0)
    found = []
    for feature in layer:
        point = feature.GetGeometryRef()
        found.append(Place(name=feature.GetField("name"), x=point.GetX(), y=point.GetY()))
    return found


def drawn(path: str, *, size: int, west: float, north: float, cell: float) -> int:
    """How many cells of a grid hold a place."""
    source = ogr.Open(path)
    layer = source.GetLayer(0)
    grid = gdal.GetDriverByName("MEM").Create("", size, size, 1, gdal.GDT_Byte)
    grid.SetGeoTransform((west, cell, 0.0, north, 0.0, -cell))
    grid.SetProjection(layer.GetSpatialRef().ExportToWkt())
    gdal.RasterizeLayer(grid, [1], layer, burn_values=[1])
    return sum(bytes(grid.GetRasterBand(1).ReadRaster()))


def _reference(epsg: int) -> osr.SpatialReference:
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(epsg)
    reference.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return reference

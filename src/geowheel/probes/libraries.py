"""Coexistence: GDAL wheels and their neighbours in one process, each doing real work."""

from __future__ import annotations

import importlib
import json
import os
from typing import Any

from . import ours

POINT = (15.0, 52.0)


def _ours(asked: dict[str, Any], _: str) -> dict[str, Any]:
    return dict(ours.work(asked))


def _pyproj(_: dict[str, Any], __: str) -> dict[str, Any]:
    pyproj = importlib.import_module("pyproj")
    change = pyproj.Transformer.from_crs(4326, 32633, always_xy=True)
    back = pyproj.Transformer.from_crs(32633, 3035, always_xy=True)
    there = change.transform(*POINT)
    area = pyproj.Geod(ellps="WGS84").polygon_area_perimeter([0, 1, 1, 0], [0, 0, 1, 1])
    return {"transform": [*there, *back.transform(*there)], "area": list(area),
            "name": pyproj.CRS.from_epsg(2056).name}  # fmt: skip


def _shapely(_: dict[str, Any], __: str) -> dict[str, Any]:
    shapely = importlib.import_module("shapely")
    circle = shapely.Point(0, 0).buffer(1, 30)
    other = shapely.Point(1, 0).buffer(1, 30)
    both = circle.intersection(other)
    return {"buffer": circle.area, "intersection": both.area, "wkb": len(shapely.to_wkb(both))}


def _pyogrio(_: dict[str, Any], folder: str) -> dict[str, Any]:
    raw, numpy = importlib.import_module("pyogrio.raw"), importlib.import_module("numpy")
    importlib.import_module("pyogrio")
    path = os.path.join(folder, "pyogrio.gpkg")
    geometry = numpy.array([point_wkb(x, 47.0) for x in range(5)], dtype=object)
    raw.write(path, geometry, [numpy.arange(5, dtype="int32")], ["n"], layer="a",
              driver="GPKG", geometry_type="Point", crs="EPSG:4326")  # fmt: skip
    meta, _, read, fields = raw.read(path)
    return {"crs": meta["crs"], "count": len(read), "sum": int(fields[0].sum()),
            "same": [bytes(g) for g in read] == list(geometry)}  # fmt: skip


def point_wkb(x: float, y: float) -> bytes:
    import struct

    return struct.pack("<BIdd", 1, 1, x, y)


def _rasterio(_: dict[str, Any], folder: str) -> dict[str, Any]:
    rasterio, numpy = importlib.import_module("rasterio"), importlib.import_module("numpy")
    warp = importlib.import_module("rasterio.warp")
    path = os.path.join(folder, "rasterio.tif")
    values = numpy.arange(1024, dtype="float32").reshape(1, 32, 32)
    corner = rasterio.transform.from_origin(440720.0, 3751320.0, 60.0, 60.0)
    with rasterio.open(path, "w", driver="GTiff", width=32, height=32, count=1,
                       dtype="float32", crs="EPSG:26711", transform=corner) as made:  # fmt: skip
        made.write(values)
    with rasterio.open(path) as read:
        there, where, _size = reprojected(warp, numpy, read)
        return {"crs": read.crs.to_epsg(), "sum": float(read.read().sum()),
                "warped": float(there.sum()), "where": list(where)[:6],
                "points": warp.transform("EPSG:4326", "EPSG:32633", [15.0], [52.0])}  # fmt: skip


def reprojected(warp: Any, numpy: Any, read: Any) -> tuple[Any, Any, tuple[int, int]]:
    where, width, height = warp.calculate_default_transform(
        read.crs, "EPSG:32611", read.width, read.height, *read.bounds
    )
    there = numpy.zeros((height, width), dtype="float32")
    warp.reproject(read.read(1), there, src_transform=read.transform, src_crs=read.crs,
                   dst_transform=where, dst_crs="EPSG:32611")  # fmt: skip
    return there, where, (width, height)


def _fiona(_: dict[str, Any], folder: str) -> dict[str, Any]:
    fiona = importlib.import_module("fiona")
    transform = importlib.import_module("fiona.transform").transform
    path = os.path.join(folder, "fiona.gpkg")
    schema = {"geometry": "Point", "properties": {"n": "int"}}
    with fiona.open(path, "w", driver="GPKG", schema=schema, crs="EPSG:4326") as made:
        for x in range(5):
            point = {"type": "Point", "coordinates": (float(x), 47.0)}
            made.write({"geometry": point, "properties": {"n": x}})
    with fiona.open(path) as read:
        found = [feature["properties"]["n"] for feature in read]
        crs = read.crs.to_epsg()
    return {"crs": crs, "n": found, "points": transform("EPSG:4326", "EPSG:32633", [15.0], [52.0])}


WORK = {
    "ours": _ours, "pyproj": _pyproj, "shapely": _shapely, "pyogrio": _pyogrio,
    "rasterio": _rasterio, "fiona": _fiona,
}  # fmt: skip


def together(asked: dict[str, Any]) -> dict[str, Any]:
    """Import all in the order asked for, then work with each, and with each again, backwards."""
    order = asked["order"]
    for name in order:
        if name == "ours":
            ours.module(asked, "gdal")
        else:
            importlib.import_module(name)
    first = _each(asked, order, "there")
    second = _each(asked, order[::-1], "back")
    assert first == second, "other numbers the second time:\n%s\n%s" % (first, second)
    if "ours" in order:
        ours.own_gdal(asked)
    return {"numbers": first}


def _each(asked: dict[str, Any], order: list[str], turn: str) -> dict[str, Any]:
    found = {}
    for name in order:
        folder = os.path.join(asked["folder"], turn, name)
        os.makedirs(folder)
        found[name] = WORK[name](dict(asked, folder=folder), folder)
    # As they are after JSON: a tuple is a list there.
    plain: dict[str, Any] = json.loads(json.dumps(found, sort_keys=True))
    return plain

"""The part of osgeo that the lab calls, over the C functions of a libgdal.

A wheel of layout none has no osgeo, and is tried as all others are. Names and parameters are those
of osgeo; parameters that are left out are 0 or nothing.
"""

from __future__ import annotations

import ctypes
from functools import partial
from typing import Any

from .gdal import FUNCTIONS, Gdal, Problem

PREFIXES = (
    "GDAL", "GDALGet", "GDALDataset", "CPL", "OGR_L_", "OGR_F_", "OGR_G_", "OSR", "OSRNew",
    "OCTNew", "OCTCoordinateTransformationOptions",
)  # fmt: skip
"""How the names of the C functions begin, before what osgeo calls them; the first that fits."""
OTHERS = {"CoordinateTransformation": "OCTNewCoordinateTransformationEx", "Fill": "GDALFillRaster"}
PROPERTIES = {
    "RasterCount": "GDALGetRasterCount", "XSize": "GDALGetRasterBandXSize",
    "YSize": "GDALGetRasterBandYSize",
}  # fmt: skip
CLOSING = {
    "D": "GDALClose", "F": "OGR_F_Destroy", "G": "OGR_G_DestroyGeometry",
    "O": "OCTDestroyCoordinateTransformationOptions", "S": "OSRDestroySpatialReference",
    "T": "OCTDestroyCoordinateTransformation",
}  # fmt: skip


class Osgeo:
    """The modules gdal, ogr and osr in one; and, with an address, one of their objects."""

    GDT_Unknown, GDT_Byte, GDT_Float32 = 0, 1, 6
    OF_RASTER, OF_VECTOR, OAMS_TRADITIONAL_GIS_ORDER = 2, 4, 0

    def __init__(self, library: Gdal, address: Any = None, closing: str = "", above: Any = None):
        self.library, self._as_parameter_, self.closing = library, address, closing
        self.above = above  # what it came from has to live as long

    def __del__(self) -> None:
        if self.closing:
            self.library(self.closing, self)

    def close(self) -> None:
        """Close a dataset. What is written last may fail, and only the error handler is told."""
        failures, closing, self.closing = len(self.library.failures), self.closing, ""
        self.library(closing, self)
        if len(self.library.failures) > failures:
            raise self.library.problem("it could not be written to its end")

    def __getattr__(self, name: str) -> Any:
        if name in PROPERTIES:
            return self.call(PROPERTIES[name], self)
        names = [OTHERS.get(name, ""), *(prefix + name for prefix in PREFIXES)]
        found = next((function for function in names if function in FUNCTIONS), None)
        if found is None:
            raise AttributeError(name)
        return partial(self.call, found, *(() if self._as_parameter_ is None else (self,)))

    def call(self, name: str, *arguments: Any) -> Any:
        """Return the function's result, None for no object; raise Problem where GDAL fails."""
        result, parameters = FUNCTIONS[name][0], FUNCTIONS[name][1:]
        rest = [0 if kind in "nr" else None for kind in parameters[len(arguments) :]]
        failures = len(self.library.failures)
        found = self.library(name, *arguments, *rest)
        if result != "h" and result not in CLOSING:
            return found
        if not found and (result in "DGOST" or len(self.library.failures) > failures):
            raise self.library.problem(name + " gave nothing")
        return Osgeo(self.library, found, CLOSING.get(result, ""), self) if found else None

    def GetGeoTransform(self) -> tuple[float, ...]:
        found = (ctypes.c_double * 6)()
        self.call("GDALGetGeoTransform", self, found)
        return tuple(found)

    def WriteRaster(self, x: int, y: int, width: int, height: int, data: Any, way: int = 1) -> None:
        self.call("GDALRasterIO", self, way, x, y, width, height, data, width, height, 1)

    def ReadRaster(self) -> bytes:
        data = ctypes.create_string_buffer(self.XSize * self.YSize)
        self.WriteRaster(0, 0, self.XSize, self.YSize, data, 0)
        return data.raw

    def Checksum(self) -> int:
        return int(self.call("GDALChecksumImage", self, 0, 0, self.XSize, self.YSize))

    def ExportToWkt(self) -> str:
        text = ctypes.c_char_p()
        self.call("OSRExportToWkt", self, ctypes.byref(text))
        return (text.value or b"").decode()

    def TransformPoint(self, *point: float) -> tuple[float, ...]:
        values = [ctypes.c_double(value) for value in (*point, 0.0)[:3]]
        if not self.call("OCTTransform", self, 1, *map(ctypes.byref, values)):
            raise Problem("not transformed: %s" % (point,))
        return tuple(value.value for value in values)

"""A libgdal by its C functions: the same for every layout of a wheel, and for a prefix."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

# Result and parameters: nothing, handle or pointer, text, number, real number, list of texts, and
# an error code, which is a number other than 0.
TYPES: dict[str, Any] = {
    "-": None, "h": ctypes.c_void_p, "t": ctypes.c_char_p, "n": ctypes.c_int,
    "r": ctypes.c_double, "l": ctypes.POINTER(ctypes.c_char_p), "e": ctypes.c_int,
}  # fmt: skip
FUNCTIONS = dict(
    line.split()
    for line in """
    CPLFindFile ttt
    CPLSetConfigOption -tt
    GDALAllRegister -
    GDALClose -h
    GDALCreate hhtnnnnl
    GDALCreateCopy hhthnlhh
    GDALDatasetCreateLayer hhthnl
    GDALDatasetGetLayer hhn
    GDALGetDriver hn
    GDALGetDriverByName ht
    GDALGetDriverCount n
    GDALGetDriverShortName th
    GDALGetMetadataItem thtt
    GDALGetRasterBand hhn
    GDALGetRasterCount nh
    GDALGetRasterXSize nh
    GDALGetRasterYSize nh
    GDALOpenEx htnlll
    GDALRasterIO ehnnnnntnnnnn
    GDALSetGeoTransform ehh
    GDALSetProjection eht
    GDALVersionInfo tt
    OCTNewCoordinateTransformation hhh
    OCTTransform nhnhhh
    OGR_F_Create hh
    OGR_F_Destroy -h
    OGR_F_GetFieldAsInteger nhn
    OGR_F_GetFieldAsString thn
    OGR_F_GetFieldIndex nht
    OGR_F_GetGeometryRef hh
    OGR_F_SetFieldInteger -hnn
    OGR_F_SetFieldString -hnt
    OGR_F_SetGeometryDirectly ehh
    OGR_Fld_Create htn
    OGR_Fld_Destroy -h
    OGR_G_CreateGeometry hn
    OGR_G_GetGeometryCount nh
    OGR_G_GetGeometryRef hhn
    OGR_G_GetX rhn
    OGR_G_GetY rhn
    OGR_G_SetPoint_2D -hnrr
    OGR_L_CreateFeature ehh
    OGR_L_CreateField ehhn
    OGR_L_GetLayerDefn hh
    OGR_L_GetNextFeature hh
    OSRDestroySpatialReference -h
    OSRImportFromEPSG ehn
    OSRNewSpatialReference ht
    OSRSetAxisMappingStrategy -hn
    """.strip().splitlines()
)
"""Each function of libgdal that is called, with its result and its parameters."""
HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_int, ctypes.c_char_p)


class Problem(Exception):
    """Why GDAL failed, in words for people."""


class Gdal:
    """An opened libgdal. What it complains about is kept."""

    def __init__(self, path: str) -> None:
        self.library = ctypes.CDLL(path)
        self.said: list[str] = []
        self.failures: list[str] = []
        self.handler = HANDLER(self.listen)  # kept: GDAL does not
        self.library.CPLSetErrorHandler.argtypes = [HANDLER]
        self.library.CPLSetErrorHandler.restype = None
        self.library.CPLSetErrorHandler(self.handler)

    def listen(self, kind: int, _: int, message: bytes) -> None:
        text = message.decode("utf-8", "replace")
        self.said.append(text)
        if kind >= 3:
            self.failures.append(text)

    def __call__(self, name: str, *arguments: Any) -> Any:
        """Return the function's result; raise Problem for an error code."""
        result, *parameters = tuple(FUNCTIONS[name])
        function = getattr(self.library, name)
        function.restype = TYPES[result]
        function.argtypes = [TYPES[parameter] for parameter in parameters]
        found = function(*map(as_c, arguments))
        if result == "e" and found != 0:
            raise self.problem(name + " failed")
        return found.decode("utf-8", "replace") if isinstance(found, bytes) else found

    def need(self, name: str, *arguments: Any) -> Any:
        """A handle that has to be there."""
        found = self(name, *arguments)
        if not found:
            raise self.problem(name + " gave nothing")
        return found

    def close(self, dataset: Any) -> None:
        """Close a dataset. What is written last may fail, and only the error handler is told."""
        before = len(self.failures)
        self("GDALClose", dataset)
        if len(self.failures) > before:
            raise self.problem("it could not be written to its end")

    def problem(self, what: str) -> Problem:
        return Problem("%s: %s" % (what, "; ".join(self.said[-3:])) if self.said else what)

    def has(self, driver: Any, item: str) -> bool:
        return self("GDALGetMetadataItem", driver, item, None) is not None

    def drivers(self, plugin: str = "") -> list[dict[str, Any]]:
        """Return all drivers that are registered, in GDAL's order."""
        found = []
        for number in range(self("GDALGetDriverCount")):
            driver = self("GDALGetDriver", number)
            kinds = [k for k in ("raster", "vector") if self.has(driver, "DCAP_" + k.upper())]
            name = self("GDALGetDriverShortName", driver)
            found.append({"name": name, "kinds": kinds, "plugin": plugin})
        return found


def as_c(value: Any) -> Any:
    if isinstance(value, (str, Path)):
        return os.fsencode(value)
    if isinstance(value, tuple):
        return (ctypes.c_char_p * (len(value) + 1))(*(text.encode() for text in value), None)
    return value

"""A libgdal by its C functions: the same for every layout of a wheel, and for a prefix."""

from __future__ import annotations

import ctypes
import os
from itertools import takewhile
from pathlib import Path
from typing import Any

# Result and parameters: nothing, handle or pointer, text, number, real number, list of texts, and
# an error code, which is a number other than 0. A capital is a handle to close: bindings.py.
TYPES: dict[str, Any] = {
    "-": None, "h": ctypes.c_void_p, "t": ctypes.c_char_p, "n": ctypes.c_int,
    "r": ctypes.c_double, "l": ctypes.POINTER(ctypes.c_char_p), "e": ctypes.c_int,
    **dict.fromkeys("DFGOST", ctypes.c_void_p),
}  # fmt: skip
FUNCTIONS = dict(
    line.split()
    for line in """
    CPLFindFile ttt
    CPLSetConfigOption -tt
    GDALAllRegister -
    GDALAutoCreateWarpedVRT Dhttnrh
    GDALChecksumImage nhnnnn
    GDALClose -h
    GDALCreate Dhtnnnnl
    GDALCreateCopy Dhthnlhh
    GDALDatasetCopyLayer hhhtl
    GDALDatasetGetLayer hhn
    GDALDatasetGetLayerCount nh
    GDALFillRaster ehrr
    GDALFlushCache -h
    GDALGetDescription th
    GDALGetDriver hn
    GDALGetDriverByName ht
    GDALGetDriverCount n
    GDALGetDriverShortName th
    GDALGetGeoTransform ehh
    GDALGetMetadataItem thtt
    GDALGetRasterBand hhn
    GDALGetRasterBandXSize nh
    GDALGetRasterBandYSize nh
    GDALGetRasterCount nh
    GDALGetRasterXSize nh
    GDALGetRasterYSize nh
    GDALOpenEx Dtnlll
    GDALRasterIO ehnnnnntnnnnn
    GDALSetDescription -ht
    GDALSetGeoTransform ehh
    GDALSetMetadataItem ehttt
    GDALSetProjection eht
    GDALSetSpatialRef ehh
    GDALVersionInfo tt
    OCTCoordinateTransformationOptionsSetOperation nhtn
    OCTDestroyCoordinateTransformation -h
    OCTDestroyCoordinateTransformationOptions -h
    OCTNewCoordinateTransformationEx Thhh
    OCTNewCoordinateTransformationOptions O
    OCTTransform nhnhhh
    OGR_F_Destroy -h
    OGR_F_GetFieldAsInteger nhn
    OGR_F_GetFieldAsString thn
    OGR_F_GetFieldIndex nht
    OGR_F_GetGeometryRef hh
    OGR_G_Buffer Ghrn
    OGR_G_DestroyGeometry -h
    OGR_G_GetArea rh
    OGR_G_GetGeometryCount nh
    OGR_G_GetGeometryRef hhn
    OGR_G_GetX rhn
    OGR_G_GetY rhn
    OGR_L_GetNextFeature Fh
    OGR_L_GetSpatialRef hh
    OSRDestroySpatialReference -h
    OSRExportToWkt ehh
    OSRGetAuthorityCode tht
    OSRGetPROJSearchPaths l
    OSRImportFromEPSG ehn
    OSRNewSpatialReference St
    OSRSetAxisMappingStrategy -hn
    """.strip().splitlines()
)
"""Each function of libgdal that is called, with its result and its parameters."""
HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_int, ctypes.c_char_p)


class Problem(RuntimeError):
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
        if result == "l":
            return [text.decode() for text in takewhile(bool, found)]
        return found.decode("utf-8", "replace") if isinstance(found, bytes) else found

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
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], float):
        return (ctypes.c_double * len(value))(*value)
    if isinstance(value, (list, tuple)):
        return (ctypes.c_char_p * (len(value) + 1))(*(text.encode() for text in value), None)
    return value

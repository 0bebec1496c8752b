"""GDAL from one place, as docs/layouts.md gives it."""

from importlib import import_module
from importlib.util import find_spec

_PRIVATE = find_spec(__package__ + "._vendor") and find_spec(__package__ + "._vendor.osgeo")
PACKAGE = __package__ + "._vendor.osgeo" if _PRIVATE else "osgeo"
gdal, ogr, osr = (import_module(PACKAGE + "." + name) for name in ("gdal", "ogr", "osr"))

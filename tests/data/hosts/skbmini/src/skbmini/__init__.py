"""Asks GDAL through an extension module of its own."""

try:
    from ._geowheel import configure
except ModuleNotFoundError:  # not built by geowheel: the system's GDAL and its data
    pass
else:
    configure()

from ._core import crs_name, data_file, release, total

__all__ = ["crs_name", "data_file", "release", "total"]

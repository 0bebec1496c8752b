"""Asks GDAL through an extension module of its own."""

try:
    from ._geowheel import configure
except ModuleNotFoundError:  # not built by geowheel: the system's GDAL and its data
    pass
else:
    configure()

from ._core import data_file, release, transform

__all__ = ["data_file", "release", "transform"]

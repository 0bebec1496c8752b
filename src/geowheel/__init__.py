"""geowheel: local, reproducible builds of self-contained GDAL wheels."""

__version__ = "0.1.0"

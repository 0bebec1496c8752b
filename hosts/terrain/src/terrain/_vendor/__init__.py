"""The GDAL that the wheel carries lands below this package; only `terrain._gdal` imports it."""

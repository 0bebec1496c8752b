"""Slope, aspect, hillshade and zonal statistics of elevation rasters."""

from terrain._errors import GdalMissingError, InputError, OutputError, TerrainError
from terrain._gradient import CellSize, Method
from terrain._raster import GeoTransform, Raster
from terrain._surface import SlopeUnits, aspect, hillshade, slope
from terrain._zonal import ZonalStatistics, zonal_statistics

__version__ = "0.1.0"

__all__ = [
    "CellSize",
    "GdalMissingError",
    "GeoTransform",
    "InputError",
    "Method",
    "OutputError",
    "Raster",
    "SlopeUnits",
    "TerrainError",
    "ZonalStatistics",
    "aspect",
    "hillshade",
    "slope",
    "zonal_statistics",
]

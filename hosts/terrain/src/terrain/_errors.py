"""What can go wrong with files. Wrong arguments are ValueError and TypeError, as everywhere."""


class TerrainError(Exception):
    """Something cannot be done. The message says what, with which file, and what to do next."""


class GdalMissingError(TerrainError, ImportError):
    """The GDAL that belongs to terrain is not there."""


class InputError(TerrainError):
    """A file cannot be read, or what is in it does not fit the task."""


class OutputError(TerrainError):
    """A file cannot be written. What was there before is unchanged."""

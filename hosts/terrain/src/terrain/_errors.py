"""What can go wrong with files. Wrong arguments are ValueError and TypeError, as everywhere."""


class TerrainError(Exception):
    """A file cannot be used as asked. The message names the file and what to do next."""


class InputError(TerrainError):
    """A file cannot be read, or what is in it does not fit the task."""


class OutputError(TerrainError):
    """A file cannot be written. What was there before is unchanged."""

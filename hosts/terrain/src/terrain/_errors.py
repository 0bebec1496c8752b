"""What can go wrong with files. Wrong arguments are ValueError and TypeError, as everywhere."""

NO_ROOM = (
    "; likely the disk is full, or files may not become that large (ulimit -f): free some space, "
    "or name another folder"
)


class TerrainError(Exception):
    """Something cannot be done. The message says what, with which file, and what to do next.

    It is one line, whatever the names of files and GDAL's own messages in it are.
    """

    def __init__(self, message: str) -> None:
        lines = (line.strip() for line in message.splitlines())
        super().__init__(" ".join(line for line in lines if line))


class GdalMissingError(TerrainError, ImportError):
    """The GDAL that belongs to terrain is not there."""


class InputError(TerrainError):
    """A file cannot be read, or what is in it does not fit the task."""


class OutputError(TerrainError):
    """A file cannot be written. What was there before is unchanged."""

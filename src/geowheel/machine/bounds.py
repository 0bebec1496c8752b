"""How much of what others made is taken: every bound, with its reason."""

from typing import Final

MEMBERS: Final = 65_535
"""Of one archive: what a zip counts without its extension for larger ones, and four times the
headers of boost, the most files in a conda-forge package that GDAL's stack needs."""
TEXT: Final = 16 << 20
"""Bytes of a file that is read into memory: METADATA, RECORD, paths.json, a license text. A RECORD
of as many lines is as long; the values that are made of one take up to ten times as much."""
GROWTH: Final = 200
"""Unpacked bytes for each packed one: texts and libraries have 3 to 30, zeros 1,000 and more."""
SLACK: Final = 64 << 20
"""Bytes that any archive may unpack to, however small it is."""
TAR_HEADER: Final = 1 << 16
"""Bytes of a tar's extended header; a path has 4 KB at most."""
ZIP_DIRECTORY: Final = 128 * MEMBERS
"""Bytes of a zip's central directory: in wheels a member has about 100 of them."""
WINDOW: Final = 1 << 27
"""Bytes that zstd may look back, and so hold in memory: as many as its own program allows."""
FILE: Final = 4 << 30
"""Bytes of a download whose size its lock does not say: more than any package index takes."""
PAGE: Final = 4 << 20
"""Bytes of what an index says of a project, 700 a file; a quarter as HTML, it is slow to read."""
STALL: Final = 30.0
"""Seconds in which a download has to bring `RATE` bytes a second on average, or is given up."""
INDEX: Final = 300
"""Seconds of one request for an index: conda-forge's largest has 60 MB, and is read in parts."""
RATE: Final = 1024
"""A telephone line has five times as much."""


def may_grow_to(packed: int) -> int:
    """Return how many bytes an archive of `packed` bytes may unpack to."""
    return SLACK + GROWTH * packed

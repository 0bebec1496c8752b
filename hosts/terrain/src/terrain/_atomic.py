"""Files that appear complete or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from terrain._errors import OutputError

# What GDAL keeps beside a raster. Left from an earlier one, they would be taken for the new one's.
_SIDECARS = (".aux.xml", ".ovr", ".msk")


@contextmanager
def replaced(destination: Path) -> Iterator[Path]:
    """A path to write to; what is there at the end takes the destination's place with one rename.

    It has the destination's name, in a folder of its own beside it: GDAL goes by the suffix, and
    the file gets the permissions that any new file gets.
    """
    try:
        target = destination.resolve()
        if target.is_dir():
            raise OutputError(f"{destination}: is a folder; name a file in it")
        if not target.parent.is_dir():
            raise OutputError(f"{destination}: there is no folder {target.parent}; create it first")
        folder = tempfile.TemporaryDirectory(prefix=".terrain-", dir=target.parent)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        reason = error.strerror if isinstance(error, OSError) else error
        raise OutputError(
            f"{destination}: cannot be written there ({reason}); "
            "name another file, or change the permissions of its folder"
        ) from error
    with folder as place:
        made = Path(place, target.name)
        yield made
        try:
            for suffix in _SIDECARS:
                target.with_name(target.name + suffix).unlink(missing_ok=True)
            made.replace(target)
        except OSError as error:
            raise OutputError(
                f"{destination}: cannot be replaced ({error.strerror}); "
                "close programs that have it open, or name another file"
            ) from error

"""Standard error of the command line: an error is one line there, and nothing else."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_FILENO = 2


def say(line: str) -> None:
    """Write a line; where that is not possible either, the exit code has to do."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except OSError:  # a file on the full disk; Python would try once more at its end, and complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), _FILENO)


@contextmanager
def without_libtiff() -> Iterator[None]:
    """Keep back what libtiff prints by itself when a disk is full; GDAL's own error says it too.

    GDAL 3.6 passed it on as its error, GDAL 3.10 leaves libtiff to itself. Other lines pass.
    """
    if sys.stderr is None:  # closed; the number may be that of another file
        yield
        return
    kept = os.dup(_FILENO)
    reading, writing = os.pipe()
    os.dup2(writing, _FILENO)
    os.close(writing)
    relay = threading.Thread(target=_relay, args=(reading, kept))
    relay.start()
    try:
        yield
    finally:
        os.dup2(kept, _FILENO)  # closes the pipe, which ends the relay
        relay.join()
        os.close(kept)


def _relay(reading: int, writing: int) -> None:
    with open(reading, "rb") as lines:
        for line in lines:
            if not line.startswith(b"_tiff"):
                with suppress(OSError):
                    os.write(writing, line)

"""delvewheel at work, in a process of its own.

`python -m geowheel.systems._delvewheel DISTRIBUTION ARGUMENT...`: delvewheel's own command with
these arguments, but for the names that it gives to libraries. Those rest on the inside of the one
delvewheel release that pyproject.toml pins.
"""

from __future__ import annotations

import gc
import itertools
import sys
from collections.abc import Callable, Iterable
from typing import BinaryIO

import delvewheel._wheel_repair  # type: ignore[import-untyped]
from delvewheel.__main__ import main  # type: ignore[import-untyped]


def _salted(hash_file: Callable[..., str], distribution: str) -> Callable[..., str]:
    """delvewheel's hash for a library's name, of the distribution's name as well.

    Windows takes a library that is loaded already for every other one of the same name, whatever
    folder that is in: two wheels with one and the same gdal.dll would share its data paths and
    options.
    """

    def salted(file: BinaryIO, *, start: Iterable[str] | None = None) -> str:
        return hash_file(file, start=itertools.chain([distribution], start or ()))

    return salted


if __name__ == "__main__":
    kind = delvewheel._wheel_repair.WheelRepair
    kind._hashfile = staticmethod(_salted(kind._hashfile, sys.argv[1]))
    sys.argv = ["delvewheel", *sys.argv[2:]]
    # pefile has garbage collected whenever it closes a file, which is some hundred times: without
    # what is there from the start, a repair of 65 libraries takes 1 s instead of 3.5.
    gc.freeze()
    main()

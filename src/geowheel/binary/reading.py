"""What the readers of ELF, Mach-O and PE files share: streams, trees, and what damage is called."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from geowheel.errors import IntegrityError


def regular_files(tree: Path) -> Iterator[Path]:
    """Every file below `tree`; links are neither given nor followed."""
    for folder, _, names in os.walk(tree):
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink():
                yield path


@contextmanager
def opened(source: Path | bytes) -> Iterator[IO[bytes]]:
    """A stream over a file or over bytes."""
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    with source.open("rb") as file:
        yield file


def shown_name(source: Path | bytes, name: str) -> str:
    """How messages name it: `name` where it is given, else its path."""
    return name or (os.fspath(source) if isinstance(source, Path) else "bytes")


def damaged(kind: str, name: str, error: Exception) -> IntegrityError:
    """The error for a file that cannot be what it says it is; `kind`: `ELF`, `Mach-O`, `PE`."""
    detail = str(error).strip("'\"") or type(error).__name__
    return IntegrityError(
        f"damaged or no {kind} file ({detail})",
        where=name,
        cause="the file was cut off or changed after it was linked",
        fix="fetch or build it again",
    )

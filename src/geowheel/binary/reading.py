"""What the readers of ELF, Mach-O and PE files share: streams, trees, and what damage is called."""

import errno
import io
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, TypeVar

from geowheel.errors import IntegrityError

T = TypeVar("T")
DAMAGE: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
"""What a damaged file makes of the readers and of the libraries below them."""


def read_tree(
    tree: Path, is_one: Callable[[Path], bool], read: Callable[[Path], T]
) -> dict[str, T]:
    """Return each file below `tree` that is one, by its relative path, in sorted order.

    Links are not followed. Raises what `read` raises, at the first damaged file.
    """
    paths = [
        path
        for folder, _, names in os.walk(tree)
        for path in (Path(folder, name) for name in names)
        if not path.is_symlink() and is_one(path)
    ]
    return {path.relative_to(tree).as_posix(): read(path) for path in sorted(paths)}


@contextmanager
def opened(source: Path | bytes) -> Iterator[IO[bytes]]:
    """Open a stream over a file or over bytes."""
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    with source.open("rb") as file:
        yield file


@contextmanager
def damage_named(
    kind: str, source: Path | bytes, name: str, *more: type[Exception]
) -> Iterator[None]:
    """Raise IntegrityError for a file that cannot be what it says it is.

    `kind` is `ELF`, `Mach-O` or `PE`; messages name the file by `name`, else by its path; `more`
    are a library's own errors.
    """
    damage: tuple[type[Exception], ...] = (*DAMAGE, *more, OSError)
    try:
        yield
    except damage as error:
        # A seek to where no file can reach; all else is the disk's.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        detail = str(error).strip("'\"") or type(error).__name__
        raise IntegrityError(
            f"damaged or no {kind} file ({detail})",
            where=shown_name(source, name),
            cause="the file was cut off or changed after it was linked",
            fix="fetch or build it again",
        ) from error


def shown_name(source: Path | bytes, name: str) -> str:
    """Return how messages name it: `name` where it is given, else its path."""
    return name or (os.fspath(source) if isinstance(source, Path) else "bytes")

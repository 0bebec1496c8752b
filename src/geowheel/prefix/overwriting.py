"""What is overwritten in place: conda's placeholder, and paths that a build left unregistered.

conda-build registers the prefix in the files of Linux and macOS alone. DLLs keep paths of the
machine that built them, and openssl, GDAL and HDF5 load modules, engines and plugins from there.
Whoever can make such a folder runs code in every process that loads the wheel
(https://github.com/conda-forge/miniforge/issues/787): everybody on Windows, a user called runner
elsewhere.
"""

import mmap
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

ENCODINGS: Final = {"utf-8": 1, "utf-16-le": 2, "utf-32-le": 4}
"""That a placeholder is looked for in, with the width of a character."""
_PATHS: Final = re.compile(
    # What conda-build and rattler-build install into while they build.
    r"(?:(?<![A-Za-z])[A-Za-z]:[\\/]|/(?!/))[^\0\s\":;=,'<>|*?]*?"
    r"[\\/]_?(?:b|build|h|host)_env\w*(?![\w.-])"
    # Where HDF5 and netCDF look for filters: on Windows everybody may make the folder, on macOS
    # every administrator, without being asked.
    r"|(?:%ALLUSERSPROFILE%|[A-Za-z]:[\\/]ProgramData|/usr/local)[\\/]hdf5(?=[\\/]lib[\\/]plugin)"
)
_MARKS: Final = ("_env", "lib/plugin", "lib\\plugin")
"""One of them is in each of these paths, or follows it: so few places have to be looked at."""
_AROUND: Final = 400  # characters before and after a mark; the longest prefix has 255


def build_paths(data: bytes | mmap.mmap, prefix: str) -> Iterator[tuple[int, bytes]]:
    """Yield the offset of each such path in a compiled file, and what is to be written there.

    That is `prefix`, or the folder that holds it where there is no room, with slashes at its end:
    compiled code knows how long its strings are.
    """
    for encoding, width in (("latin-1", 1), ("utf-16-le", 2)):
        for mark in _MARKS:
            word, at = mark.encode(encoding), -1
            while (at := data.find(word, at + 1)) >= 0:
                start = max(at % width, at - _AROUND * width)
                text = data[start : at + _AROUND * width].decode(encoding, "replace")
                place = (at - start) // width
                for found in _PATHS.finditer(text):
                    if not found.start() <= place <= found.end() + 1:
                        continue  # another mark's, which may be cut off here
                    length = found.end() - found.start()
                    new = prefix if len(prefix) <= length else posixpath.dirname(prefix)
                    if len(new) <= length:
                        yield start + found.start() * width, new.ljust(length, "/").encode(encoding)


def check_length(placeholder: str, prefix: str) -> None:
    """Raise ValueError when `prefix` is longer: compiled code has no room, and texts would grow."""
    if len(prefix.encode()) > len(placeholder.encode()):
        raise ValueError(f"the prefix {prefix!r} is longer than the placeholder")


def prefixed_strings(
    data: bytes | mmap.mmap, placeholder: str, prefix: str
) -> Iterator[tuple[int, bytes]]:
    """Yield the offset of each C string that holds the placeholder, and what conda writes there.

    Strings of wide characters count, which conda leaves as they are. Each is padded with NUL bytes
    at its end, so that all else stays where it is. Raises ValueError when `prefix` is longer than
    the placeholder.
    """
    check_length(placeholder, prefix)
    for encoding, width in ENCODINGS.items():
        old, new = placeholder.encode(encoding), prefix.encode(encoding)
        end = 0
        while (found := data.find(old, end)) >= 0:
            end = data.find(bytes(width), found)
            while (end - found) % width and end >= 0:  # within a character
                end = data.find(bytes(width), end + 1)
            end = len(data) if end < 0 else end
            string = data[found:end]
            yield found, string.replace(old, new).ljust(len(string), b"\0")


def overwrite(path: Path, find: Callable[[mmap.mmap], Iterable[tuple[int, bytes]]]) -> bool:
    """Write what was found at its offsets, and tell whether there was any.

    Mapped for reading only: a write to mapped pages that finds the disk full would end the process.
    """
    if path.stat().st_size == 0:
        return False  # which cannot be mapped
    with path.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            strings = list(find(data))
        for offset, string in strings:
            file.seek(offset)
            file.write(string)
    return bool(strings)

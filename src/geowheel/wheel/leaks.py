"""Paths that a wheel must not hold: those of the machine that built it; and those that it may.

A path of a checkout or a home folder tells strangers about the builder, differs from one build to
another, and may be looked for at run time on a system where somebody else can create it.
"""

import mmap
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final

from geowheel.errors import BuildError, Fault, some

_TEXT: Final = re.compile(rb"[\x20-\x7e\x80-\xff]*")
_BEFORE: Final = 200  # bytes that are looked at before a find, for the string's beginning
_CA_BUNDLE: Final = "GDAL_CURL_CA_BUNDLE and PROJ's CA bundle, set by the bootstrap"
LOOK_UPS: Final[Mapping[str, str]] = {
    "share/gdal": "GDAL_DATA, set by the bootstrap",
    "share/proj": "PROJ's search paths, set by the bootstrap",
    "lib/gdalplugins": "GDAL_DRIVER_PATH, set by the bootstrap",
    **dict.fromkeys(("ssl/cacert.pem", "ssl/cert.pem", "etc/ssl"), _CA_BUNDLE),
}
"""Of the native stack's own paths: what is asked before them."""
_WINDOWS: Final = "Library/"  # below it lies what lies in the prefix itself elsewhere


_NO_LOOK_UP: Final = re.compile(r"[\s\"']|^-|\.(?:c|cc|cpp|cxx|h|hh|hpp|inl|ipp|pdb|tcc)$")


@dataclass(frozen=True, kw_only=True)
class Found:
    """A string in a file."""

    path: str
    text: str


def machine_paths(folders: Iterable[PurePath]) -> tuple[str, ...]:
    """Return how paths below these folders of the machine begin: checkout, cache, home.

    Of a folder at the very top, such as root's home, only hidden names count: `/root/x` may be
    something else. Paths of Windows are written with either slash.
    """
    return tuple(
        sorted(
            text if len(path.parts) > 2 else text + ("\\." if "\\" in text else "/.")
            for path in set(folders)
            for text in {path.as_posix(), str(path)}
        )
    )


def check_leaks(tree: Path, machine: Iterable[str], packaged: Collection[str] = ()) -> None:
    """Raise BuildError naming file and string for every path of the machine in a file of `tree`.

    `machine` is what `machine_paths` gives. `packaged` are the files of locked packages, whose
    bytes are not this machine's, though conda-forge builds in a home that others have as well
    (/Users/runner is GitHub's too).
    """
    places = [beginning.encode() for beginning in machine]
    # A longer name is another folder's.
    end = r"(?:(?<=[/\\]\.)|(?![\w-]|\.\w))"
    whole = re.compile("|".join(re.escape(beginning) + end for beginning in machine))
    faults = []
    for path in _files(tree):
        if path.relative_to(tree).as_posix() in packaged:
            continue
        found = [text for text in dict.fromkeys(strings(path, places)) if whole.search(text)]
        if found:
            faults.append(
                Fault(
                    what=f"holds a path of this machine: {some(found)}",
                    where=path.relative_to(tree).as_posix(),
                    cause="a build wrote it into what it made (Cython does into its C, a compiler "
                    "into debug information and assertions)",
                    fix="keep the file out of the wheel (setuptools: exclude-package-data; "
                    "hatchling: exclude), or have the build write no path",
                )
            )
    if faults:
        raise BuildError(faults)


def prefix_strings(tree: Path, prefix_string: str) -> list[Found]:
    """Return every path below the fixed prefix, by file: look-ups that were compiled in.

    What else has it (flags of a compiler, names of sources) is no path that anything looks for.
    """
    return [
        Found(path=path.relative_to(tree).as_posix(), text=text)
        for path in _files(tree)
        for text in dict.fromkeys(strings(path, [prefix_string.encode()]))
        if not _NO_LOOK_UP.search(text)
    ]


def overridden_by(text: str, prefix_string: str) -> str:
    """Return what is asked before a path below the prefix at run time; empty if unknown."""
    below = text.partition(prefix_string)[2].replace("\\", "/").lstrip("/").removeprefix(_WINDOWS)
    return next((words for start, words in LOOK_UPS.items() if below.startswith(start)), "")


def in_words(found: Sequence[Found], prefix_string: str) -> str:
    """Return a line about paths that were found: how many, and how many nothing comes before."""
    files = len({item.path for item in found})
    alone = sum(not overridden_by(item.text, prefix_string) for item in found)
    return (
        f"{len(found)} paths below {prefix_string}, where no user can put a file, in {files} "
        f"files; nothing is asked before {alone} of them"
    )


def _files(tree: Path) -> list[Path]:
    return sorted(path for path in tree.rglob("*") if path.is_file() and path.stat().st_size)


def strings(path: Path, wanted: Sequence[bytes]) -> Iterator[str]:
    """Yield the printable strings of a file that hold one of `wanted`."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for word in wanted:
            place = data.find(word)
            while place >= 0:
                before = data[max(0, place - _BEFORE) : place]
                begin, end = place - _length(before[::-1]), place + _length(data, place)
                yield data[begin:end].decode("utf-8", "replace")
                place = data.find(word, max(end, place + 1))


def _length(data: bytes | mmap.mmap, at: int = 0) -> int:
    """Return how long the printable text at a place is."""
    match = _TEXT.match(data, at)
    return match.end() - at if match else 0

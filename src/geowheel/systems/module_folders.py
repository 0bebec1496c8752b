"""Code that libraries open by a path of the system, and what a repair does about each path.

glibc expands $ORIGIN in what dlopen is given (man 3 dlopen), so a path can be overwritten where it
lies. What is written is as long as what was there and has the same end: linkers let one string
stand for the end of another.
"""

import functools
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from geowheel.errors import BuildError
from geowheel.machine.files import table_of

_TABLE: Final = "module_folders.toml"
_BUNDLED: Final = "$ORIGIN"
_CLOSED: Final = "/sys"
"""Nobody can create a file there."""
_TEXT: Final = re.compile(rb"[\x20-\x7e]*")
_SIGNS: Final = re.compile(rb"/lib(?:64|x?32)?(?=[/:\0])|\.so(?=[.:\0])|/share/p11-kit/modules")
_BELOW: Final = re.compile(
    r".*?/(?:lib(?:64|x?32)?(?:/\w+-linux-gnu\w*)?(?:/(?P<below>.*))?|share/p11-kit/modules)"
)
_MODULE: Final = re.compile(r"[^/]*(?:\.so(?:\.\d+)*|%[^/]*)")
_BEFORE: Final = 4096  # bytes that are looked at before a find, for the string's beginning


@dataclass(frozen=True, kw_only=True)
class ModuleFolder:
    """A row of the table."""

    folders: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """Libraries that are opened by a name alone: what the system has of that name."""
    why: str
    modules: tuple[str, ...] = ()
    closed: bool = False
    left: bool = False


@dataclass(frozen=True, kw_only=True)
class CodePath:
    """A path of code in a library."""

    path: str
    below: str
    """What comes after the library folder: `ogdi/4.1/lib%s.so`; empty where there is none."""
    known: ModuleFolder | None

    @property
    def folder(self) -> str:
        """`ogdi/4.1`: relative to the library folder."""
        return _folder(self.below)

    @property
    def written(self) -> str:
        """What is written in its place; the path itself where that stays."""
        if self.known is None or self.known.left:
            return self.path
        if not posixpath.isabs(self.path):
            return "/" + self.path[1:]
        root = _BUNDLED if self.known.modules else _CLOSED
        end = self.below or posixpath.basename(self.path)
        return root + "/" * (len(self.path) - len(root) - len(end)) + end


@dataclass(frozen=True, kw_only=True)
class CodeText:
    """A string of a library with such paths in it, between colons where there are several."""

    text: str
    paths: tuple[CodePath, ...]

    @property
    def written(self) -> str:
        """What is written in its place."""
        new = {item.path: item.written for item in self.paths}
        return ":".join(new.get(part, part) for part in self.text.split(":"))


@functools.cache  # data of the package, asked for with every library
def _table() -> tuple[ModuleFolder, ...]:
    return table_of("systems", _TABLE, dict[str, tuple[ModuleFolder, ...]])["folder"]


def code_texts(loaded: Iterable[bytes], prefix_string: str) -> list[CodeText]:
    """Return each string with an absolute path that ends in .so, or leads below a folder `lib`.

    What has another ending there is a file that is read. The fixed prefix counts as /usr does.
    """
    found = {
        text: tuple(
            item
            for part in text.split(":")
            if (item := _code_path(part, prefix_string)) is not None
        )
        for text in _strings(loaded)
    }
    return [CodeText(text=text, paths=found[text]) for text in sorted(found) if found[text]]


def _code_path(path: str, prefix_string: str) -> CodePath | None:
    if row := next((row for row in _table() if path in row.names), None):
        return CodePath(path=path, below="", known=row)
    match = _BELOW.fullmatch(path.removeprefix(prefix_string))
    ending = posixpath.splitext(path.rstrip("/"))[1]
    is_module = _MODULE.fullmatch(posixpath.basename(path))
    if not posixpath.isabs(path) or not (is_module or (match and not ending[1:2].isalpha())):
        return None
    below = (match["below"] or "").lstrip("/") if match else ""
    return CodePath(path=path, below=below, known=_row(path, _folder(below) if match else "/"))


def overwrite(file: Path, texts: Mapping[str, str]) -> None:
    """Write over strings of a file, which keeps its length; BuildError where one is not there."""
    data = bytearray(file.read_bytes())
    for text, new in texts.items():
        # A pattern that begins with what must not come before takes a second for each 30 MB.
        found = re.finditer(re.escape(text.encode()) + rb"(?=\0)", data)
        places = [at.start() for at in found if not 0x20 <= data[at.start() - 1] <= 0x7E]
        if not places:
            raise BuildError(
                f"has no {text} any more, a path of code that was to be overwritten",
                where=str(file),
                cause="auditwheel or patchelf changed more of the file than its header",
            )
        for at in places:
            data[at : at + len(new)] = new.encode()
    file.write_bytes(data)


def _folder(below: str) -> str:
    parent, _, name = below.rstrip("/").rpartition("/")
    return parent if _MODULE.fullmatch(name) else below.rstrip("/")


def _row(path: str, folder: str) -> ModuleFolder | None:
    for row in _table():
        for pattern in row.folders:
            whole = pattern.startswith("/")
            if fnmatchcase(path if whole else folder, f"*{pattern}" if whole else pattern):
                short = row.modules and len(path) - len(folder) < len(f"{_BUNDLED}/")
                return None if short else row
    return None


def _strings(loaded: Iterable[bytes]) -> Iterator[str]:
    """Yield the strings that have a sign of a path of code."""
    for data in loaded:
        end = 0
        for sign in _SIGNS.finditer(data):
            if sign.start() >= end:
                before = data[max(0, sign.start() - _BEFORE) : sign.start()][::-1]
                begin = _TEXT.match(before)
                match = _TEXT.match(data, sign.start() - (begin.end() if begin else 0))
                end = match.end() if match else end
                if match and b" " not in match[0] and data[end : end + 1] == b"\0":
                    yield match[0].decode()

"""Digests of content: values, files and trees. Never of places or times."""

import dataclasses
import enum
import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Final, Protocol, TypeAlias, runtime_checkable

from msgspec import Meta

Sha256: TypeAlias = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
"""A digest as text: what is read as anything else is refused, since it becomes a part of paths."""
SOURCES: Final = ("*.py", "*.toml", "*.json", "*.sh")
_LARGE: Final = 1 << 20  # bytes
_AT_ONCE: Final = getattr(os, "O_NONBLOCK", 0)  # for a pipe that nobody writes to


@runtime_checkable
class Digestible(Protocol):
    """A value that knows which part of itself is content."""

    def digest(self) -> str: ...


def parse_sha256(text: object) -> Sha256:
    """Return a sha256 in lower case; raises ValueError for anything else."""
    if isinstance(text, str) and re.fullmatch("[0-9a-f]{64}", text.lower(), re.ASCII):
        return text.lower()
    raise ValueError("it has no sha256 of 64 hexadecimal digits")


def sha256_bytes(data: bytes) -> Sha256:
    """Return the sha256 of `data`, in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def open_regular(path: Path) -> BufferedReader:
    """Open a file to read it; raises OSError for a pipe or a device, whose reading may not end."""
    file = open(path, "rb", opener=lambda p, flags: os.open(p, flags | _AT_ONCE))  # noqa: SIM115
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))


def sha256_file(path: Path) -> Sha256:
    """Return the sha256 of a regular file's bytes, in lower-case hexadecimal."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_hashed(source: Path, goal: Path) -> str:
    """Copy a regular file's bytes and its permissions; the sha256 of what was written.

    Raises FileExistsError for a goal that is there: it could be a link to elsewhere.
    """
    found = hashlib.sha256()
    with open_regular(source) as file, goal.open("xb") as copy:
        while block := file.read(_LARGE):
            found.update(block)
            copy.write(block)
        goal.chmod(stat.S_IMODE(os.fstat(file.fileno()).st_mode))
    return found.hexdigest()


def digest(value: object) -> str:
    """Return the digest of frozen dataclasses, tuples, mappings, strings and numbers.

    Equal values have one digest: a field that is not compared has no part in it.
    A Path is refused with TypeError: where something lies is not what it is.
    """
    if isinstance(value, Digestible):
        return value.digest()
    return sha256_bytes(json.dumps(_plain(value), sort_keys=True, ensure_ascii=True).encode())


def _plain(value: object) -> object:
    if isinstance(value, enum.Enum):
        return value.value
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Digestible):
        return {"digest": value.digest()}
    if dataclasses.is_dataclass(value):
        fields = (f for f in dataclasses.fields(value) if f.compare)
        return {f.name: _plain(getattr(value, f.name)) for f in fields}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("a mapping whose keys are not text has no place in a key")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(json.dumps(_plain(item), sort_keys=True) for item in value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no place in a key")


@dataclass(frozen=True, kw_only=True)
class TreeEntry:
    """One file or symbolic link of a tree."""

    path: str
    """Relative, with forward slashes."""
    sha256: Sha256
    """Of the bytes; for a link, of its target's text."""
    size: int
    executable: bool = False
    link: str | None = None


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A folder and the entries in it that count; its digest is of the entries alone."""

    root: Path
    entries: tuple[TreeEntry, ...]
    counted: Mapping[str, Sha256] = dataclasses.field(default_factory=dict)
    """Of files of which not all bytes count: the digest of what does."""

    def digest(self) -> str:
        return digest([e for e in self.entries if e.path not in self.counted] + [self.counted])

    def paths(self) -> dict[str, str]:
        """Return digests by relative path, by which a record names a file that changed."""
        return {entry.path: entry.sha256 for entry in self.entries} | dict(self.counted)


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """A file known by its bytes."""

    path: Path
    sha256: Sha256

    def digest(self) -> str:
        return self.sha256


def read_entry(root: Path, relative: str, *, follow: bool = False) -> TreeEntry:
    """Return what lies at `relative` below `root`; raises OSError when it cannot be read."""
    path = root / relative
    if path.is_symlink() and not follow:
        link = os.fspath(path.readlink())
        return TreeEntry(path=relative, sha256=sha256_bytes(os.fsencode(link)), size=0, link=link)
    status = path.stat()
    return TreeEntry(
        path=relative,
        sha256=sha256_file(path),
        size=status.st_size,
        executable=bool(status.st_mode & 0o100),
    )


def read_tree(
    root: Path, paths: Iterable[str] | None = None, *, followed: Collection[str] = ()
) -> Tree:
    """Return the tree below `root`: the named paths, or everything that is there.

    Links among `followed` count as the files that they lead to.

    Large files are hashed side by side, for which hashlib releases the interpreter lock; small
    ones, of which a tree has many, would only wait for it.
    """
    wanted = sorted(_walk(root) if paths is None else paths)
    with ThreadPoolExecutor() as pool:
        large = {
            relative: pool.submit(read_entry, root, relative)
            for relative in wanted
            if (root / relative).lstat().st_size > _LARGE
        }
        entries = tuple(
            large[relative].result()
            if relative in large
            else read_entry(root, relative, follow=relative in followed)
            for relative in wanted
        )
    return Tree(root=root, entries=entries)


def _walk(root: Path) -> Iterable[str]:
    for folder, folders, files in os.walk(root):
        for name in files:
            yield Path(folder, name).relative_to(root).as_posix()
        for name in folders:
            path = Path(folder, name)
            if path.is_symlink():
                yield path.relative_to(root).as_posix()


@cache
def toolkit_digest() -> str:
    """Return the digest of geowheel's own code and tables: a part of every key."""
    root = Path(__file__).parent
    files = [p.relative_to(root).as_posix() for pattern in SOURCES for p in root.rglob(pattern)]
    return read_tree(root, files).digest()

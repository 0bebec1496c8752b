"""Conda packages: unpacked within bounds, and what they say of themselves compared with the lock.

The formats are a zip of two tars, `info-*` and `pkg-*` (CEP 35 of conda), and one tar with both:
https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html
"""

from __future__ import annotations

import bz2
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import zstandard
from rattler import Version
from rattler.exceptions import InvalidVersionError

from geowheel.digest import open_regular
from geowheel.errors import IntegrityError
from geowheel.locks.assets import Package
from geowheel.machine.archives import damage_named, is_unsafe, open_zip, unpack_tar
from geowheel.machine.bounds import MEMBERS, WINDOW, may_grow_to
from geowheel.machine.files import from_json, read_bounded

if TYPE_CHECKING:
    from _typeshed import SupportsRead

INFO: Final = "info"
"""The folder of what a package says of itself."""


class ListedPath(msgspec.Struct, frozen=True, rename={"path": "_path"}):
    """One path of a package, as its info/paths.json has it."""

    path: str
    path_type: str = ""
    sha256: str = ""
    size_in_bytes: int | None = None
    file_mode: str = ""
    prefix_placeholder: str | None = None


class _Paths(msgspec.Struct, frozen=True):
    paths: tuple[ListedPath, ...]


class _Index(msgspec.Struct, frozen=True):
    """What is read of a package's info/index.json."""

    name: str
    version: str
    build: str
    license: str | None = None


def unpack_package(archive: Path, goal: Path, package: Package) -> dict[str, str]:
    """Unpack a package into the folder `goal`, which is made; the sha256 of its files by path.

    What its info/paths.json does not name is refused, and so is a file of another size. Raises
    IntegrityError naming package and file.
    """
    limit, listed = may_grow_to(archive.stat().st_size), dict[str, ListedPath]()
    digests, links = dict[str, str](), dict[str, str]()

    def expect(member: tarfile.TarInfo) -> None:
        info = is_info(member.name)
        if info and (member.issym() or member.islnk()):
            raise tarfile.ReadError(f"{member.name} is a link, to {member.linkname!r}")
        said = listed.get(member.name)
        if listed and said is None and not info and not member.isdir():
            raise tarfile.ReadError(f"{member.name} is not in its info/paths.json")
        if said is not None and member.isreg() and said.size_in_bytes not in (None, member.size):
            raise tarfile.ReadError(f"{member.name} is longer or shorter than info/paths.json says")

    with _parts(archive, package) as parts:
        goal.mkdir()
        for part in parts:
            files, more = unpack_tar(part, limit, goal, expect)
            digests |= files
            links |= more
            listed |= {entry.path: entry for entry in described(package, goal)}
        if strays := [p for p in (*digests, *links) if not is_info(p) and p not in listed]:
            raise tarfile.ReadError(f"{strays[0]} is not in its info/paths.json")
        for path, target in links.items():
            (goal / path).symlink_to(target)
    return digests


def is_info(path: str) -> bool:
    """Return whether a path of a package is of what it says of itself."""
    return path.partition("/")[0] == INFO


@contextmanager
def _parts(archive: Path, package: Package) -> Iterator[Sequence[SupportsRead[bytes]]]:
    """Open the tars of a package, the one with its lists first; name what is wrong with them."""
    what, fix = f"{package} cannot be unpacked", "lock another build of it"
    cause = "the channel holds a broken package: its bytes are those that the lock names"
    if not archive.name.endswith(".conda"):
        with damage_named(what, archive, cause=cause, fix=fix), open_regular(archive) as file:
            yield [bz2.BZ2File(file)]
        return
    with open_zip(archive, what, cause=cause, fix=fix) as members, ExitStack() as closing:
        parts = []
        for start in (f"{INFO}-", "pkg-"):
            names = [name for name in members.namelist() if name.startswith(start)]
            if len(names) != 1 or not names[0].endswith(".tar.zst"):
                raise tarfile.ReadError(
                    f"it has {len(names)} members {start}*, one .tar.zst has to be"
                )
            packed = closing.enter_context(members.open(names[0]))
            zstd = zstandard.ZstdDecompressor(max_window_size=WINDOW)  # with a state of its own
            parts.append(zstd.stream_reader(packed, read_across_frames=True))
        try:
            yield parts
        except zstandard.ZstdError as error:
            raise tarfile.ReadError(str(error)) from error


def described(package: Package, unpacked: Path) -> tuple[ListedPath, ...]:
    """Return what info/paths.json says of an unpacked package; raises IntegrityError."""
    data = read_info(package, unpacked, "paths.json")
    try:
        if data.count(b'"_path"') > MEMBERS:
            raise msgspec.ValidationError(f"it names more than {MEMBERS:,} files")
        every = from_json(data, _Paths).paths
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"{package}: info/paths.json is damaged: {error}") from None
    for entry in every:
        if is_unsafe(entry.path, colons=True) or is_info(entry.path):
            raise harmful(package, f"path {entry.path!r} leaves the prefix")
    return every


def as_it_says(package: Package, unpacked: Path) -> Package:
    """Return the package, with the license of its info/index.json where the lock has none.

    Without it the license gate would let everything through. Raises IntegrityError where name,
    version, build or license are not those of the lock.
    """
    try:
        said = from_json(read_info(package, unpacked, "index.json"), _Index)
        license = package.license or said.license or None
        pairs = {
            "name": (said.name.lower(), package.name),
            "version": (Version(said.version), Version(package.version)),  # 1.0 is 1.0.0
            "build": (said.build, package.build),
            "license": (said.license or None, license),
        }
    except (msgspec.MsgspecError, InvalidVersionError) as error:
        raise IntegrityError(f"{package}: info/index.json is damaged: {error}") from None
    if differ := [f"{k} is {a} and not {b}" for k, (a, b) in pairs.items() if a != b]:
        raise IntegrityError(
            f"{package}: by its own info/index.json its {', its '.join(differ)}",
            where=package.url,
            cause="the lock was edited, or the channel's index says other things than its packages",
            fix="run `geowheel lock`; if it stays, lock another build of it and tell the channel",
        )
    return replace(package, license=license)


def read_info(package: Package, unpacked: Path, name: str) -> bytes:
    """Return what info/NAME holds, whoever unpacked it; raises IntegrityError without such a file.

    A link could lead to a file of the user, and a pipe has no end.
    """
    path = unpacked / INFO / name
    if path.resolve() != unpacked.resolve() / INFO / name:
        raise harmful(package, f"info/{name} is a link, or lies behind one")
    try:
        return read_bounded(path)
    except OSError as error:
        raise IntegrityError(
            f"{package}: info/{name} cannot be read: {error.strerror}",
            cause="the package is broken, or was made by a conda older than 4.3",
            fix="lock another build of it",
        ) from None


def harmful(package: Package, what: str) -> IntegrityError:
    """Return the error for a package that nobody makes by accident."""
    return IntegrityError(
        f"{package}: {what}",
        cause="the package is broken, or made to do harm",
        fix="lock another build of it, and tell the channel",
    )

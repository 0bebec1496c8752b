"""A .conda writer whose bytes depend on nothing but the tree and the metadata.

The format is CEP 35 of conda (https://github.com/conda/ceps): a stored zip of metadata.json, the
payload `pkg-*.tar.zst` and `info-*.tar.zst`. Times, owners, umask, folder and order of the file
system leave no trace in it.
"""

import io
import json
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final

import zstandard

from geowheel.digest import digest, sha256_bytes, sha256_file
from geowheel.machine.files import whole
from geowheel.targets import Platform

EPOCH: Final = 1_767_225_600
"""2026-01-01 00:00:00 UTC, in seconds: the time of everything in a package."""

# Of 32 MB of libraries, on one core: level 3 makes 12.7 MB in 0.12 s, 6 11.9 MB in 0.31 s,
# 9 11.5 MB in 0.48 s, 19 10.4 MB in 12.9 s.
COMPRESSION_LEVEL: Final = 6

# As long as conda allows, so that any prefix that replaces it fits (conda-build's prefix_length).
PREFIX_PLACEHOLDER: Final = ("/opt/geowheel" + "_placehold" * 25)[:255]

_ZIP_TIME: Final = (2026, 1, 1, 0, 0, 0)
_ARCHITECTURES: Final = {"64": "x86_64", "32": "x86"}


@dataclass(frozen=True, kw_only=True)
class LicenseText:
    """One license text, to be kept as `info/licenses/NAME`."""

    name: str
    text: bytes


@dataclass(frozen=True, kw_only=True)
class PackageMetadata:
    """What info/index.json and info/about.json say of a package."""

    name: str
    version: str
    build: str
    subdir: Platform | None
    """None for a noarch package."""
    build_number: int = 0
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    license: str = ""
    """An SPDX expression; empty when there is nothing to license."""
    summary: str = ""
    home: str = ""
    licenses: tuple[LicenseText, ...] = ()
    extra: Mapping[str, object] | None = None
    """JSON values of the maker's own, kept in about.json."""

    @property
    def stem(self) -> str:
        """`NAME-VERSION-BUILD`."""
        return f"{self.name}-{self.version}-{self.build}"

    @property
    def channel_subdir(self) -> str:
        """The channel's folder that the package belongs in."""
        return str(self.subdir or "noarch")


@dataclass(frozen=True, kw_only=True)
class PackagedFile:
    """One file or link of the payload."""

    path: str
    """Relative to the prefix, with forward slashes."""
    sha256: str | None
    """Of the bytes; for a link, of the file it leads to, or None where it leads elsewhere."""
    size: int | None
    """In bytes, of what `sha256` is of."""
    executable: bool = False
    link: str | None = None
    file_mode: str | None = None
    """`text` or `binary` where the placeholder is in it."""

    def entry(self) -> dict[str, object]:
        """Return the file's entry in info/paths.json."""
        entry: dict[str, object] = {
            "_path": self.path,
            "path_type": "hardlink" if self.link is None else "softlink",
        }
        if self.sha256 is not None:
            entry |= {"sha256": self.sha256, "size_in_bytes": self.size}
        if self.file_mode is not None:
            entry |= {"prefix_placeholder": PREFIX_PLACEHOLDER, "file_mode": self.file_mode}
        return entry


@dataclass(frozen=True, kw_only=True)
class Payload:
    """A tree and what is packaged of it: all files and links, in the order of their paths."""

    root: Path
    files: tuple[PackagedFile, ...]

    def digest(self) -> str:
        """Return the digest of the content alone, never of where the tree lies."""
        return digest(self.files)


def read_payload(root: Path, *, with_placeholder: Iterable[str] = ()) -> Payload:
    """Read what lies below `root`; `with_placeholder` names files that hold PREFIX_PLACEHOLDER.

    Raises ValueError when such a file does not hold it, OSError when a file cannot be read.
    """
    holders = frozenset(with_placeholder)
    files = (_read_file(root, path, path in holders) for path in sorted(walk(root)))
    return Payload(root=root, files=tuple(files))


def with_content_build(metadata: PackageMetadata, payload: Payload) -> PackageMetadata:
    """End the build string of the metadata by `h` and seven digits of the content's digest.

    Everything in the package counts, so two packages of one file name are the same package.
    """
    content = digest((payload, _plain(metadata)))
    build = "_".join(filter(None, (metadata.build, f"h{content[:7]}")))
    return replace(metadata, build=build)


def write_package(payload: Payload, metadata: PackageMetadata, folder: Path) -> Path:
    """Write `NAME-VERSION-BUILD.conda` into `folder` and return it; it appears whole or not at all.

    Raises OSError when the disk is full.
    """
    destination = folder / f"{metadata.stem}.conda"
    with whole(destination) as partial:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            with archive.open(_member("metadata.json"), "w") as member:
                member.write(b'{"conda_pkg_format_version": 2}')
            with archive.open(_member(f"pkg-{metadata.stem}.tar.zst"), "w") as member:
                _write_payload(payload, member)
            with archive.open(_member(f"info-{metadata.stem}.tar.zst"), "w") as member:
                _write_info(info_files(payload, metadata), member)
        partial.chmod(0o644)
    return destination


def info_files(payload: Payload, metadata: PackageMetadata) -> dict[str, bytes]:
    """Return name and content of the files below info/."""
    index: dict[str, object] = {
        "name": metadata.name,
        "version": metadata.version,
        "build": metadata.build,
        "build_number": metadata.build_number,
        "depends": list(metadata.depends),
        "constrains": list(metadata.constrains),
        "subdir": metadata.channel_subdir,
        "timestamp": EPOCH * 1000,
    }
    if metadata.subdir is None:
        index["noarch"] = "generic"
    else:
        platform, _, architecture = metadata.subdir.partition("-")
        index["platform"] = platform
        index["arch"] = _ARCHITECTURES.get(architecture, architecture)
    about: dict[str, object] = {"summary": metadata.summary, "home": metadata.home}
    about = {key: value for key, value in about.items() if value}
    if metadata.license:
        index["license"] = about["license"] = metadata.license
    if metadata.extra:
        about["extra"] = metadata.extra
    paths = {"paths": [file.entry() for file in payload.files], "paths_version": 1}
    return {
        "info/about.json": _json(about),
        "info/files": "".join(f"{file.path}\n" for file in payload.files).encode(),
        "info/index.json": _json(index),
        "info/paths.json": _json(paths),
        **{f"info/licenses/{license.name}": license.text for license in metadata.licenses},
    }


def walk(root: Path) -> Iterator[str]:
    """Yield files and links below `root`, as relative paths, sorted within each folder."""
    for folder, folders, files in os.walk(root):
        folders.sort()
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in sorted([*files, *links]):
            yield Path(folder, name).relative_to(root).as_posix()


def _read_file(root: Path, relative: str, holds_placeholder: bool) -> PackagedFile:
    path = root / relative
    if path.is_symlink():
        there = path.is_file()
        return PackagedFile(
            path=relative,
            sha256=sha256_file(path) if there else None,
            size=path.stat().st_size if there else None,
            link=str(path.readlink()),
        )
    status = path.stat()
    mode = None
    if holds_placeholder:
        data = path.read_bytes()
        if PREFIX_PLACEHOLDER.encode() not in data:
            raise ValueError(f"{relative} does not hold the prefix placeholder")
        mode = "binary" if b"\0" in data else "text"
    return PackagedFile(
        path=relative,
        sha256=sha256_file(path),
        size=status.st_size,
        executable=bool(status.st_mode & stat.S_IXUSR),
        file_mode=mode,
    )


def _plain(metadata: PackageMetadata) -> Sequence[object]:
    """Return what the build string's digest covers; license texts by their digest."""
    texts = [(license.name, sha256_bytes(license.text)) for license in metadata.licenses]
    bare = replace(metadata, licenses=(), extra=None)
    return (bare, texts, json.dumps(metadata.extra, sort_keys=True))


def _write_payload(payload: Payload, member: IO[bytes]) -> None:
    with _compressed_tar(member) as tar:
        for file in payload.files:
            info = _tar_member(file.path, 0o755 if file.executable else 0o644)
            if file.link is not None:
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, file.link, 0o777
                tar.addfile(info)
                continue
            with (payload.root / file.path).open("rb") as source:
                info.size = file.size or 0
                tar.addfile(info, source)


def _write_info(files: Mapping[str, bytes], member: IO[bytes]) -> None:
    with _compressed_tar(member) as tar:
        for name, data in sorted(files.items()):
            info = _tar_member(name, 0o644)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@contextmanager
def _compressed_tar(member: IO[bytes]) -> Iterator[tarfile.TarFile]:
    """Open a tar through zstd into a zip member: no package is ever whole in memory."""
    # One thread: the frames would otherwise depend on the number of cores.
    compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, threads=0)
    with (
        compressor.stream_writer(member, closefd=False) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        yield tar


def _tar_member(name: str, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)  # owner 0, no names
    info.mtime, info.mode = EPOCH, mode
    return info


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _ZIP_TIME)
    info.create_system = 3  # Unix, on every system
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    return info


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()

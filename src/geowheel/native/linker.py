"""The linker: places the files of unpacked conda packages in a prefix, and records their owner.

The only code that writes a prefix, whoever downloaded and unpacked. Walks each package's
info/paths.json (conda's package specification, "info/paths.json"), checks every file's sha256,
writes the fixed prefix string over placeholders, and hard-links nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final

from geowheel.digest import digest, sha256_bytes
from geowheel.errors import IntegrityError

from .pixi_lock import Package

MANIFEST: Final = "native.json"


@dataclass(frozen=True, kw_only=True)
class PlacedFile:
    """One file or link of a prefix, as it lies there."""

    path: str
    sha256: str
    """Of the placed bytes, the prefix string included; of the target's text for a link."""
    size: int
    link: str | None = None


@dataclass(frozen=True, kw_only=True)
class PlacedPackage:
    """A package and the files it owns."""

    package: Package
    files: tuple[PlacedFile, ...]


@dataclass(frozen=True, kw_only=True)
class NativeManifest:
    """What a prefix consists of: every file with its package."""

    platform: str
    prefix_string: str
    packages: tuple[PlacedPackage, ...]
    """Each with the URL that it was locked under: that is where the stack comes from."""

    @cached_property
    def owners(self) -> Mapping[str, Package]:
        """Path in the prefix to the package that owns it."""
        return {file.path: placed.package for placed in self.packages for file in placed.files}

    @property
    def gdal_version(self) -> str:
        """Version of libgdal-core."""
        return next(p.package.version for p in self.packages if p.package.name == "libgdal-core")

    def content(self) -> str:
        """The digest of the prefix's content and of who owns what."""
        return digest((self.platform, self.prefix_string, self.packages))

    def write(self, folder: Path) -> None:
        """Write it as native.json."""
        text = json.dumps(asdict(self), indent=1, sort_keys=True)
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_native_manifest(folder: Path) -> NativeManifest:
    """The manifest beside a prefix."""
    data = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return NativeManifest(
        platform=data["platform"],
        prefix_string=data["prefix_string"],
        packages=tuple(
            PlacedPackage(
                package=Package(**{**p["package"], "depends": tuple(p["package"]["depends"])}),
                files=tuple(PlacedFile(**file) for file in p["files"]),
            )
            for p in data["packages"]
        ),
    )


def place(
    package: Package, unpacked: Path, prefix: Path, *, prefix_string: str, consume: bool
) -> PlacedPackage:
    """Place one package's files; with `consume` they are moved out of `unpacked`, else copied.

    Raises IntegrityError, naming package and file, when a file is missing, altered, outside the
    prefix, or there already with other content.
    """
    files = tuple(
        _place_file(entry, package, unpacked, prefix, prefix_string, consume)
        for entry in _entries(package, unpacked)
    )
    return PlacedPackage(package=package, files=tuple(sorted(files, key=lambda f: f.path)))


def _entries(package: Package, unpacked: Path) -> Iterator[Mapping[str, Any]]:
    path = unpacked / "info" / "paths.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        entries: Sequence[Mapping[str, Any]] = data["paths"]
        for entry in entries:
            parts = PurePosixPath(entry["_path"])
            if parts.is_absolute() or ".." in parts.parts:
                raise IntegrityError(f"{package}: path {entry['_path']!r} leaves the prefix")
            yield entry
    except FileNotFoundError:
        raise IntegrityError(
            f"{package} has no info/paths.json",
            cause="it was made by a conda older than 4.3",
            fix="lock a newer build of it",
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{package}: info/paths.json is damaged: {error!r}") from None


def _place_file(
    entry: Mapping[str, Any],
    package: Package,
    unpacked: Path,
    prefix: Path,
    prefix_string: str,
    consume: bool,
) -> PlacedFile:
    relative = str(entry["_path"])
    source, goal = unpacked / relative, prefix / relative
    goal.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(goal):
        raise IntegrityError(
            f"{package} brings {relative}, which another package of the stack also brings",
            fix="leave one of the two out in pixi.toml",
        )
    if source.is_symlink():
        return _place_link(relative, package, source, goal)
    try:
        data = source.read_bytes()
    except OSError as error:
        raise IntegrityError(f"{package}: {relative} cannot be read: {error.strerror}") from None
    if (actual := sha256_bytes(data)) != entry.get("sha256", actual):
        raise IntegrityError(
            f"{package}: {relative} has sha256 {actual}, its own manifest says {entry['sha256']}",
            cause="the unpacked package was changed, or it was built wrongly",
            fix="run fetch again; if it stays, report it to the channel",
        )
    executable = bool(source.stat().st_mode & 0o100)
    placeholder = entry.get("prefix_placeholder")
    patched = data
    if placeholder:
        binary = entry.get("file_mode") == "binary"
        patched = replace_prefix(data, str(placeholder), prefix_string, binary=binary)
    if consume and patched is data:
        source.replace(goal)
    else:
        goal.write_bytes(patched)
    goal.chmod(0o755 if executable else 0o644)
    sha256 = actual if patched is data else sha256_bytes(patched)
    return PlacedFile(path=relative, sha256=sha256, size=len(patched))


def _place_link(relative: str, package: Package, source: Path, goal: Path) -> PlacedFile:
    link = os.fspath(source.readlink())
    inside = os.path.normpath(PurePosixPath(relative).parent / link)
    if PurePosixPath(link).is_absolute() or inside.startswith(".."):
        raise IntegrityError(f"{package}: the link {relative} -> {link} leaves the prefix")
    goal.symlink_to(link)
    return PlacedFile(path=relative, sha256=sha256_bytes(link.encode()), size=0, link=link)


def replace_prefix(data: bytes, placeholder: str, prefix: str, *, binary: bool) -> bytes:
    """`data` with the placeholder replaced, as conda does: a binary file keeps its length.

    In a binary file each C string that holds the placeholder is padded with NUL bytes at its end.
    Raises ValueError when `prefix` is longer than the placeholder there.
    """
    old, new = placeholder.encode(), prefix.encode()
    if not binary:
        return data.replace(old, new)
    if len(new) > len(old):
        raise ValueError(f"the prefix {prefix!r} is longer than the placeholder")
    pieces, start = [], 0
    while (found := data.find(old, start)) >= 0:
        end = data.find(b"\0", found)
        end = len(data) if end < 0 else end
        text = data[found:end].replace(old, new)
        pieces += [data[start:found], text, b"\0" * (end - found - len(text))]
        start = end
    return b"".join([*pieces, data[start:]]) if pieces else data

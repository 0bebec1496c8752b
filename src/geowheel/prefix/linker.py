"""The linker: places the files of unpacked conda packages in a prefix, and records their owner.

The only code that writes a prefix, whoever downloaded and unpacked. Walks each package's
info/paths.json (conda's package specification, "info/paths.json"), checks every file's sha256,
writes the fixed prefix string over placeholders, and hard-links nothing.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final

from geowheel.binary.formats import system_of
from geowheel.digest import TreeEntry, copy_hashed, sha256_bytes, sha256_file
from geowheel.errors import Fault, IntegrityError
from geowheel.locks.assets import Package
from geowheel.machine.bounds import TEXT
from geowheel.machine.files import from_json, to_json
from geowheel.targets import GDAL_PACKAGE, Platform, System

from .overwriting import ENCODINGS, build_paths, check_length, overwrite, prefixed_strings
from .unpacking import INFO, ListedPath, as_it_says, described, harmful, read_info

MANIFEST: Final = "native.json"
LICENSES: Final = "licenses"
"""Beside the prefix: each package's license texts, in a folder of its name."""


@dataclass(frozen=True, kw_only=True)
class PlacedPackage:
    """A package and the files it owns."""

    package: Package
    files: tuple[TreeEntry, ...]
    """As they lie in the prefix, the prefix string included."""


@dataclass(frozen=True, kw_only=True)
class NativeManifest:
    """What a prefix consists of: every file with its package."""

    platform: Platform
    prefix_string: str
    packages: tuple[PlacedPackage, ...]
    """Each with the URL that it was locked under: that is where the stack comes from."""
    contested: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Paths that several packages bring with different content, to their names; the first one's
    file lies there. On Windows and macOS paths that differ only by case are one."""

    @cached_property
    def owners(self) -> Mapping[str, Package]:
        """Path in the prefix to the package that owns it."""
        return {file.path: placed.package for placed in self.packages for file in placed.files}

    def refuse_contested(self, used: Iterable[str]) -> None:
        """Raise IntegrityError for what is used though nobody can say whose it is."""
        if faults := [
            Fault(
                what=f"{path} is brought by {' and '.join(self.contested[path])}, each with other "
                "content",
                cause="these builds do not fit together: conda and pixi would keep either",
                fix="leave one of them out in pixi.toml, or lock another build: `geowheel lock`",
            )
            for path in sorted(self.contested.keys() & set(used))
        ]:
            raise IntegrityError(faults)

    @property
    def gdal_version(self) -> str:
        """Version of libgdal-core."""
        return next(p.package.version for p in self.packages if p.package.name == GDAL_PACKAGE)

    def write(self, folder: Path) -> None:
        """Write it as native.json."""
        (folder / MANIFEST).write_bytes(to_json(self))


def read_native_manifest(folder: Path) -> NativeManifest:
    """Return the manifest beside a prefix."""
    return from_json((folder / MANIFEST).read_bytes(), NativeManifest)


@dataclass(frozen=True, kw_only=True)
class Placing:
    """A prefix while packages are placed in it, always in the same order."""

    prefix: Path
    """Without links in its path."""
    prefix_string: str
    platform: Platform
    placed: list[PlacedPackage] = field(default_factory=list)
    owners: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Each path as the platform compares it, to the path that lies there and its package."""
    contested: dict[str, list[str]] = field(default_factory=dict)

    def place(
        self, package: Package, unpacked: Path, *, digests: dict[str, str] | None = None
    ) -> PlacedPackage:
        """Place one package's files, and compare what it says of itself with the lock.

        They are copied, and hashed on the way; or moved, where `digests` has what `unpack_package`
        wrote a moment ago. What another package placed stays that package's. Raises IntegrityError,
        naming package and file, when a file is missing, altered or outside the prefix.
        """
        job = _Job(package=package, unpacked=unpacked.resolve(), digests=digests, there=self)
        package = as_it_says(package, unpacked)
        placed = (job.place(entry) for entry in described(package, unpacked))
        files = (file for file in placed if file is not None)
        item = PlacedPackage(package=package, files=tuple(sorted(files, key=lambda f: f.path)))
        _keep_licenses(package, unpacked, self.prefix.parent / LICENSES / package.name)
        self.placed.append(item)
        return item

    def manifest(self) -> NativeManifest:
        """Return the whole; raises IntegrityError when a link leads out by way of another."""
        for item in self.placed:
            for file in item.files:
                if file.link is not None and not _inside(self.prefix / file.path, self.prefix):
                    raise IntegrityError(
                        f"{item.package}: the link {file.path} -> {file.link} leaves the prefix"
                    )
        return NativeManifest(
            platform=self.platform,
            prefix_string=self.prefix_string,
            packages=tuple(self.placed),
            contested={path: tuple(names) for path, names in sorted(self.contested.items())},
        )

    def key(self, path: str) -> str:
        """Return the path as the platform's file system compares it."""
        return path if self.platform.system is System.LINUX else path.casefold()

    def contest(self, path: str, package: Package) -> None:
        """Note that the package brings other content for what is there."""
        there, owner = self.owners.get(self.key(path), (path, "another package"))
        names = self.contested.setdefault(there, [owner])
        if package.name not in names:
            names.append(package.name)


def _keep_licenses(package: Package, unpacked: Path, goal: Path) -> None:
    """Copy info/licenses (older packages: info/LICENSE*), where the texts of a package lie.

    Raises IntegrityError for a link among them: it could lead to any file of the user.
    """
    info = unpacked / INFO
    folder = info / "licenses"
    own = os.path.lexists(folder)
    for path in sorted(folder.rglob("*") if own else info.glob("LICENSE*")):
        if path.is_dir() and not path.is_symlink():
            continue
        data = read_info(package, unpacked, path.relative_to(info).as_posix())
        place = goal / path.relative_to(folder if own else info)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One package being placed."""

    package: Package
    unpacked: Path
    digests: dict[str, str] | None
    there: Placing
    safe: set[Path] = field(default_factory=set)
    """Folders that were found to be inside."""

    def place(self, entry: ListedPath) -> TreeEntry | None:
        """Place one entry of paths.json; None for a folder, or for what is there already."""
        relative = str(PurePosixPath(entry.path))
        key = self.there.key(relative)
        there, _ = self.there.owners.get(key, (relative, ""))
        source, goal = self.unpacked / relative, self.there.prefix / there
        self._check_folder(source.parent, self.unpacked, relative)
        self._check_folder(goal.parent, self.there.prefix, relative)
        is_folder = entry.path_type == "directory"
        try:
            (goal if is_folder else goal.parent).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):  # a file is in its way
            self.there.contest(relative, self.package)
            return None
        if is_folder:
            return None
        if source.is_symlink():
            placed = self._link(relative, os.fspath(source.readlink()), goal)
        else:
            placed = self._file(relative, entry, source, goal)
        if placed is not None:
            self.there.owners[key] = relative, self.package.name
        return placed

    def _file(self, relative: str, entry: ListedPath, source: Path, goal: Path) -> TreeEntry | None:
        file, original = self._taken(relative, source)
        if original != (entry.sha256 or original):
            raise IntegrityError(
                f"{self.package}: {relative} has sha256 {original}, "
                f"its own manifest says {entry.sha256}",
                cause="the unpacked package was changed, or it was built wrongly",
                fix="run fetch again; if it stays, report it to the channel",
            )
        mode = 0o755 if file.stat().st_mode & 0o100 else 0o644
        file.chmod(mode)
        sha256 = self._with_prefix(relative, entry, file) or original
        size = file.stat().st_size
        if os.path.lexists(goal):
            if goal.is_symlink() or not goal.is_file() or sha256_file(goal) != sha256:
                self.there.contest(relative, self.package)
            file.unlink()
            return None
        file.replace(goal)
        return TreeEntry(path=relative, sha256=sha256, size=size, executable=mode == 0o755)

    def _taken(self, relative: str, source: Path) -> tuple[Path, str]:
        """Return a file to be moved to its place, and the sha256 of the very bytes that it has."""
        try:
            if self.digests is not None:
                return source, self.digests.pop(relative)  # once
            copy = self.there.prefix.with_name(".placing")
            return copy, copy_hashed(source, copy)
        except (OSError, KeyError) as error:
            why = getattr(error, "strerror", None) or "it is not there"
            raise IntegrityError(
                f"{self.package}: {relative} cannot be read: {why}",
                cause="its own manifest names a file that it does not hold",
                fix="run fetch again; if it stays, report it to the channel",
            ) from None

    def _with_prefix(self, relative: str, entry: ListedPath, file: Path) -> str | None:
        """Write the prefix string over the placeholder, and over what a build left unregistered.

        Returns the new sha256, or None. A compiled file is changed where it lies: libraries are
        large, and few of their pages change.
        """
        placeholder, prefix = entry.prefix_placeholder, self.there.prefix_string
        changed = False
        try:
            if placeholder and entry.file_mode != "binary":
                check_length(placeholder, prefix)
                if file.stat().st_size > TEXT:
                    raise ValueError(f"a text of more than {TEXT:,} bytes is not rewritten")
                text = file.read_bytes()
                for encoding in ENCODINGS:
                    text = text.replace(placeholder.encode(encoding), prefix.encode(encoding))
                file.write_bytes(text)
                return sha256_bytes(text)
            if placeholder:
                changed = overwrite(file, lambda d: prefixed_strings(d, placeholder, prefix))
        except ValueError as error:
            raise IntegrityError(
                f"{self.package}: {relative}: {error}",
                cause="it was built wrongly, or with an old conda-build: its placeholder was short",
                fix="lock another build of it",
            ) from None
        if system_of(file) is not None:
            changed |= overwrite(file, lambda data: build_paths(data, prefix))
        return sha256_file(file) if changed else None

    def _link(self, relative: str, link: str, goal: Path) -> TreeEntry | None:
        # By the words alone, and by what the links that are there already make of them.
        words = os.path.normpath(PurePosixPath(relative).parent / link)
        leaves = PurePosixPath(link).is_absolute() or words.split("/")[0] == ".."
        if leaves or not _inside(goal.parent / link, self.there.prefix):
            raise harmful(self.package, f"the link {relative} -> {link} leaves the prefix")
        if os.path.lexists(goal):
            if not goal.is_symlink() or os.fspath(goal.readlink()) != link:
                self.there.contest(relative, self.package)
            return None
        goal.symlink_to(link)
        return TreeEntry(path=relative, sha256=sha256_bytes(link.encode()), size=0, link=link)

    def _check_folder(self, folder: Path, root: Path, relative: str) -> None:
        if folder in self.safe:
            return
        if not _inside(folder, root):
            raise harmful(self.package, f"{relative} leaves the prefix through a link")
        self.safe.add(folder)


def _inside(path: Path, root: Path) -> bool:
    """Return whether `path`, its links followed, is below the resolved `root`."""
    try:
        with suppress(FileNotFoundError):
            path.stat()  # the system follows 40 links; Python would any number
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a circle of links leads nowhere
        return False

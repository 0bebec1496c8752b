"""The linker: places the files of unpacked conda packages in a prefix, and records their owner.

The only code that writes a prefix, whoever downloaded and unpacked. Walks each package's
info/paths.json (conda's package specification, "info/paths.json"), checks every file's sha256,
writes the fixed prefix string over placeholders, and hard-links nothing.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from geowheel.binary.formats import system_of
from geowheel.digest import TreeEntry, digest, sha256_bytes, sha256_file
from geowheel.errors import Fault, IntegrityError
from geowheel.locks.assets import Package
from geowheel.machine.files import from_json
from geowheel.targets import GDAL_PACKAGE, Platform, System

from .overwriting import ENCODINGS, build_paths, overwrite, replace_in_binary

MANIFEST: Final = "native.json"
LICENSES: Final = "licenses"
"""Beside the prefix: each package's license texts, in a folder of its name."""


@dataclass(frozen=True, kw_only=True)
class PlacedPackage:
    """A package and the files it owns."""

    package: Package
    files: tuple[TreeEntry, ...]
    """As they lie in the prefix, the prefix string included."""
    licenses: tuple[TreeEntry, ...] = ()
    """Its license texts, by their path in `licenses/NAME` beside the prefix."""


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

    def content(self) -> str:
        """Return the digest of the prefix's content and of who owns what."""
        return digest((self.platform, self.prefix_string, self.packages, self.contested))

    def write(self, folder: Path) -> None:
        """Write it as native.json."""
        data = msgspec.json.encode(self)
        (folder / MANIFEST).write_bytes(msgspec.json.format(data, indent=1) + b"\n")


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
        self,
        package: Package,
        unpacked: Path,
        *,
        consume: bool,
        digests: Mapping[str, str] | None = None,
    ) -> PlacedPackage:
        """Place one package's files; with `consume` they are moved out of `unpacked`, else copied.

        `digests` are those of its files by path, where nobody can have changed them since: hashing
        is most of the work, and packages can be hashed side by side. What another package placed
        stays that package's. Raises IntegrityError, naming package and file, when a file is
        missing, altered or outside the prefix.
        """
        job = _Job(
            package=package,
            unpacked=unpacked.resolve(),
            consume=consume,
            digests=digests or {},
            there=self,
        )
        placed = (job.place(entry) for entry in _described(package, unpacked))
        files = (file for file in placed if file is not None)
        item = PlacedPackage(
            package=package if package.license else _with_license(package, unpacked),
            files=tuple(sorted(files, key=lambda f: f.path)),
            licenses=tuple(_keep_licenses(package, unpacked, self.prefix.parent / LICENSES)),
        )
        self.placed.append(item)
        return item

    def manifest(self) -> NativeManifest:
        """The whole; raises IntegrityError when a link leads out of it by way of another link."""
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
        """The path as the platform's file system compares it."""
        return path if self.platform.system is System.LINUX else path.casefold()

    def contest(self, path: str, package: Package) -> None:
        """Note that the package brings other content for what is there."""
        there, owner = self.owners.get(self.key(path), (path, "another package"))
        names = self.contested.setdefault(there, [owner])
        if package.name not in names:
            names.append(package.name)


class _Index(msgspec.Struct, frozen=True):
    """What is read of a package's info/index.json."""

    license: str | None = None


def _with_license(package: Package, unpacked: Path) -> Package:
    """Take the license from the package itself where the lock has none, as in conda-lock.yml.

    Without it the license gate would let everything through.
    """
    try:
        said = from_json((unpacked / "info" / "index.json").read_bytes(), _Index)
    except (OSError, msgspec.MsgspecError):
        return package
    return replace(package, license=said.license or None)


def _keep_licenses(package: Package, unpacked: Path, goal: Path) -> Iterator[TreeEntry]:
    """Copy info/licenses (older packages: info/LICENSE*), where the texts of a package lie."""
    info = unpacked / "info"
    folder = info / "licenses"
    paths = folder.rglob("*") if folder.is_dir() else info.glob("LICENSE*")
    root = folder if folder.is_dir() else info
    for path in sorted(paths):
        if path.is_symlink() or not path.is_file():
            continue  # a link could lead anywhere, and texts are files
        relative = path.relative_to(root).as_posix()
        data = path.read_bytes()
        place = goal / package.name / relative
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        yield TreeEntry(path=relative, sha256=sha256_bytes(data), size=len(data))


class _Described(msgspec.Struct, frozen=True, rename={"path": "_path"}):
    """One path of a package, as its info/paths.json has it."""

    path: str
    path_type: str = ""
    sha256: str = ""
    file_mode: str = ""
    prefix_placeholder: str | None = None


class _Paths(msgspec.Struct, frozen=True):
    paths: tuple[_Described, ...]


def _described(package: Package, unpacked: Path) -> tuple[_Described, ...]:
    try:
        data = (unpacked / "info" / "paths.json").read_bytes()
        every = from_json(data, _Paths).paths
    except FileNotFoundError:
        raise IntegrityError(
            f"{package} has no info/paths.json",
            cause="it was made by a conda older than 4.3",
            fix="lock a newer build of it",
        ) from None
    except msgspec.MsgspecError as error:
        raise IntegrityError(f"{package}: info/paths.json is damaged: {error}") from None
    for entry in every:
        parts = PurePosixPath(entry.path)
        if parts.is_absolute() or ".." in parts.parts or not parts.parts:
            raise _harmful(package, f"path {entry.path!r} leaves the prefix")
    return every


def _harmful(package: Package, what: str) -> IntegrityError:
    return IntegrityError(
        f"{package}: {what}",
        cause="the package is broken, or made to do harm",
        fix="lock another build of it, and tell the channel",
    )


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One package being placed."""

    package: Package
    unpacked: Path
    consume: bool
    digests: Mapping[str, str]
    there: Placing
    safe: set[Path] = field(default_factory=set)
    """Folders that were found to be inside."""
    made: set[Path] = field(default_factory=set)
    """Folders of the prefix that are there."""

    def place(self, entry: _Described) -> TreeEntry | None:
        """Place one entry of paths.json; None for a folder, or for what is there already."""
        relative = str(PurePosixPath(entry.path))
        key = self.there.key(relative)
        there, _ = self.there.owners.get(key, (relative, ""))
        source, goal = self.unpacked / relative, self.there.prefix / there
        self._check_folder(source.parent, self.unpacked, relative)
        self._check_folder(goal.parent, self.there.prefix, relative)
        is_folder = entry.path_type == "directory"
        if not self._make_folder(goal if is_folder else goal.parent):
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

    def _file(self, relative: str, entry: _Described, source: Path, goal: Path) -> TreeEntry | None:
        # Nobody else writes what is consumed, so what was hashed need not be read again.
        original = self.digests.get(relative) or self._digest(relative, source)
        if original != (entry.sha256 or original):
            raise IntegrityError(
                f"{self.package}: {relative} has sha256 {original}, "
                f"its own manifest says {entry.sha256}",
                cause="the unpacked package was changed, or it was built wrongly",
                fix="run fetch again; if it stays, report it to the channel",
            )
        status = source.stat()
        mode = 0o755 if status.st_mode & 0o100 else 0o644
        # A package may hold one file under two names: what is done to one is not done to the other.
        own = self.consume and status.st_nlink == 1
        file = source if own else self._copy(source)
        if not own or stat.S_IMODE(status.st_mode) != mode:
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

    def _digest(self, relative: str, source: Path) -> str:
        try:
            return sha256_file(source)
        except OSError as error:
            raise IntegrityError(
                f"{self.package}: {relative} cannot be read: {error.strerror}",
                cause="its own manifest names a file that it does not hold",
                fix="run fetch again; if it stays, report it to the channel",
            ) from None

    def _copy(self, source: Path) -> Path:
        """A copy beside the prefix, to be moved there."""
        return Path(shutil.copyfile(source, self.there.prefix.with_name(".placing")))

    def _with_prefix(self, relative: str, entry: _Described, file: Path) -> str | None:
        """Write the prefix string over the placeholder, and over what a build left unregistered.

        Returns the new sha256, or None. A compiled file is changed where it lies: libraries are
        large, and few of their pages change.
        """
        placeholder, prefix = entry.prefix_placeholder, self.there.prefix_string
        changed = False
        try:
            if placeholder and entry.file_mode != "binary":
                text = file.read_bytes()
                for encoding in ENCODINGS:
                    text = text.replace(placeholder.encode(encoding), prefix.encode(encoding))
                file.write_bytes(text)
                return sha256_bytes(text)
            if placeholder:
                changed = replace_in_binary(file, placeholder, prefix)
        except ValueError as error:
            raise IntegrityError(
                f"{self.package}: {relative}: {error}",
                cause="it was built with an old conda-build, whose placeholder was short",
                fix="lock a newer build of it",
            ) from None
        if system_of(file) is not None:
            changed |= overwrite(file, lambda data: build_paths(data, prefix))
        return sha256_file(file) if changed else None

    def _link(self, relative: str, link: str, goal: Path) -> TreeEntry | None:
        # By the words alone, and by what the links that are there already make of them.
        words = os.path.normpath(PurePosixPath(relative).parent / link)
        leaves = PurePosixPath(link).is_absolute() or words.split("/")[0] == ".."
        if leaves or not _inside(goal.parent / link, self.there.prefix):
            raise _harmful(self.package, f"the link {relative} -> {link} leaves the prefix")
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
            raise _harmful(self.package, f"{relative} leaves the prefix through a link")
        self.safe.add(folder)

    def _make_folder(self, folder: Path) -> bool:
        """Return whether the folder is there now; not where a file is in its way."""
        if folder not in self.made:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError):
                return False
            self.made.add(folder)
        return True


def _inside(path: Path, root: Path) -> bool:
    """Return whether `path`, its links followed, is below the resolved `root`."""
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a circle of links leads nowhere
        return False

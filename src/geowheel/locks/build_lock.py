"""The build lock, `pylock.geowheel.toml` (PEP 751): all that comes from the Python package index.

GDAL's sdist of exactly the locked libgdal's version, and the requirements of every target in three
dependency groups: `bindings` (NumPy's headers), `build` (the host's backend), `test`. Where the
host names peers for the lab, they are a fourth, `lab`, which only that stage downloads. Solved once
for all interpreters and platforms by `uv pip compile --universal`.
"""

import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final, cast
from urllib.parse import unquote

from packaging.markers import Environment
from packaging.pylock import Package as Locked
from packaging.pylock import PackageSdist, PackageWheel, Pylock, PylockValidationError
from packaging.pylock import PylockSelectError as SelectError
from packaging.requirements import Requirement
from packaging.tags import Tag, mac_platforms
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from geowheel.digest import digest, parse_sha256
from geowheel.errors import Fault, LockError
from geowheel.project.names import table_at
from geowheel.targets import OLDEST_MACOS, Platform, System, Target
from geowheel.wheel.tags import manylinux_tags, python_tags

from .assets import Asset
from .pixi_lock import refuse_unfit

FILE_NAME: Final = "pylock.geowheel.toml"
GROUPS: Final = ("bindings", "build", "test")
LAB: Final = "lab"  # the peers with what the tests need: one environment holds both
SERVER: Final = ("trustme",)  # certificates of the lab's HTTPS server
INTO_WHEEL: Final = ("bindings", "build")
"""Groups of which something may get into a wheel: their own floor would be the wheel's."""
TESTING_MACOS: Final = "13.0"  # of the machines that test a wheel
NEWEST_MACOS: Final = "30.0"  # any: the lock keeps them all, a run takes what its floor allows
ZIG: Final = "ziglang>=0.15,<0.16; sys_platform == 'linux'"  # the one whose options were tried
BINDINGS: Final = ("numpy>=2",)  # compiled against NumPy 2's headers it runs with 2.x, not 1.26's


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """What the build lock is solved from; its digest is written into the lock."""

    def digest(self) -> str:
        """Return the digest of all that is asked for, with geowheel's own part."""
        parts = (self.gdal_version, self.pythons, self.platforms, self.build, self.test)
        own = self.of("bindings")
        # The lock of a host that never runs the lab stays what it was.
        return digest((parts, own, self.peers) if self.peers else (parts, own))

    gdal_version: str
    pythons: tuple[str, ...]
    platforms: tuple[Platform, ...]
    build: tuple[str, ...]
    test: tuple[str, ...]
    peers: tuple[str, ...] = ()
    """Distributions that the lab installs beside the wheel."""
    zig: bool = False
    """Whether the compiler is a part of the lock."""

    @property
    def groups(self) -> tuple[str, ...]:
        """The dependency groups of the lock."""
        return (*GROUPS, LAB) if self.peers else GROUPS

    def of(self, group: str) -> tuple[str, ...]:
        lab = (*self.peers, *self.test, *SERVER) if self.peers else ()
        bindings = (*BINDINGS, ZIG) if self.zig else BINDINGS
        return {"bindings": bindings, "build": self.build, "test": self.test, LAB: lab}[group]


@dataclass(frozen=True, kw_only=True)
class BuildLock:
    """A parsed build lock."""

    path: Path
    pylock: Pylock
    macos: tuple[str, ...] = ()
    """Versions of macOS that the run's wheel may ask for, the wanted one first; none named: the
    oldest that conda-forge builds for."""

    @property
    def solved_from(self) -> str:
        """The digest of the Requirements that it was solved from."""
        return str(table_at(self.pylock.tool or {}, "geowheel").get("solved-from", ""))

    @property
    def gdal_sdist(self) -> Asset:
        """GDAL's own sdist; raises LockError when the lock has none."""
        for package in self.pylock.packages:
            if package.name == "gdal" and package.sdist is not None:
                return _asset(package, package.sdist, self.path)
        raise LockError("no sdist of GDAL in it", where=str(self.path), fix="run `geowheel lock`")

    def requirements(self, group: str, target: Target) -> tuple[Asset, ...]:
        """Return the wheels that `group` needs on `target`; raises LockError when one has no wheel.

        What may get into the wheel is taken for the target's floor, whatever this machine is.
        """
        tags = target_tags(target, macos=macos_of(group, target, self.macos))
        try:
            chosen = self._select(group, target, tags)
        except SelectError as error:
            if faults := self._too_new(group, target, tags):
                raise LockError(faults) from None
            raise LockError(
                f"{group} requirements of {target}: {error}",
                where=str(self.path),
                cause="no wheel of that version for this interpreter and platform",
                fix="ask for another version, then run `geowheel lock`",
            ) from None
        wheels = []
        for package, artefact in chosen:
            if not isinstance(artefact, PackageWheel):
                raise LockError(
                    f"{package.name} {package.version} has no wheel for {target}",
                    where=str(self.path),
                    fix="ask for a version that has one, then run `geowheel lock`",
                )
            wheels.append(_asset(package, artefact, self.path))
        return tuple(sorted(wheels))

    def _select(
        self, group: str, target: Target, tags: Sequence[Tag]
    ) -> list[tuple[Locked, object]]:
        environment = marker_environment(target)
        return list(
            self.pylock.select(environment=environment, tags=tags, dependency_groups=[group])
        )

    def _too_new(self, group: str, target: Target, tags: Sequence[Tag]) -> list[Fault]:
        """Return packages that have a wheel for the target's system, but only for a newer one."""
        if target.platform.system is not System.MACOS:
            return []
        try:
            chosen = self._select(group, target, target_tags(target, macos=(NEWEST_MACOS,)))
        except SelectError:
            return []  # something has no wheel at all, which says more
        floor = max(macos_of(group, target, self.macos), key=Version)
        return [
            Fault(
                what=f"{package.name} {package.version} has no wheel for macOS {floor}, only "
                f"{unquote(artefact.filename)}",
                where=str(self.path),
                cause=f"{target} is made for macOS {floor} and newer; a requirement for a newer "
                "one can raise that",
                fix=f"ask for another version of {package.name} and run `geowheel lock`, or raise "
                "[tool.geowheel.floor] macos",
            )
            for package, artefact in chosen
            if isinstance(artefact, PackageWheel) and not wheel_tags(artefact) & set(tags)
        ]

    def offered(self, group: str, target: Target) -> tuple[tuple[Asset, ...], tuple[str, ...]]:
        """Return the wheels of `group` on `target`, and the names of what has none there."""
        if group not in (self.pylock.dependency_groups or ()):
            return (), ()
        found: list[Asset] = []
        without: list[str] = []
        for package in self.pylock.packages:
            alone = replace(self, pylock=replace(self.pylock, packages=[package]))
            try:
                found += alone.requirements(group, target)
            except LockError:
                without.append(canonicalize_name(package.name))
        return tuple(sorted(found)), tuple(without)


def read_build_lock(path: Path) -> BuildLock:
    """Return the parsed lock; raises LockError when it is missing or not PEP 751.

    Raises ConfigError where it holds marks of a merge.
    """
    refuse_unfit(path)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return BuildLock(path=path, pylock=Pylock.from_dict(data))
    except FileNotFoundError:
        what, fix = "there is no build lock", "run `geowheel lock`"
        raise LockError(what, where=str(path), fix=fix) from None
    except (ValueError, RecursionError, PylockValidationError) as error:
        raise LockError(
            f"not a valid pylock file: {error}",
            where=str(path),
            fix="restore it, or run `geowheel lock`",
        ) from None


def marker_environment(target: Target) -> Environment:
    """Return the environment of PEP 508 markers on a target, which need not be this machine."""
    linux = target.platform.system is System.LINUX
    windows = target.platform.system is System.WINDOWS
    architecture = target.platform.architecture
    return Environment(
        implementation_name="cpython",
        implementation_version=f"{target.version}.0",
        os_name="nt" if windows else "posix",
        platform_machine=architecture.upper() if windows else architecture,
        platform_release="",
        platform_system="Linux" if linux else "Windows" if windows else "Darwin",
        platform_version="",
        python_full_version=f"{target.version}.0",
        platform_python_implementation="CPython",
        python_version=target.version,
        sys_platform="linux" if linux else "win32" if windows else "darwin",
    )


def unmet(
    texts: Iterable[str], names: Collection[str], environment: Mapping[str, object]
) -> list[str]:
    """Return the requirements whose markers hold there, and whose names are not among these.

    A marker that asks for an extra is left out: who solves them knows no extra.
    """
    found = [
        one
        for one in map(Requirement, texts)
        if canonicalize_name(one.name) not in names
        and (one.marker is None or one.marker.evaluate(cast("dict[str, str]", environment)))
    ]
    for one in found:
        one.marker = None if "extra" in str(one.marker) else one.marker
    return list(map(str, found))


def macos_of(group: str, target: Target, macos: tuple[str, ...]) -> tuple[str, ...]:
    """Return the versions of macOS that a wheel of a group may ask for, the wanted one first."""
    if group not in INTO_WHEEL:
        return (TESTING_MACOS,)
    return macos or (OLDEST_MACOS.get(target.platform, ""),)


@cache
def target_tags(target: Target, *, macos: tuple[str, ...] = ()) -> Sequence[Tag]:
    """Return wheel tags that a build on a target accepts, best first.

    Linux: manylinux up to 2_28, since newer ones would not install on every machine that builds.
    macOS: all up to the first version of `macos`, then those up to the next; by default up to the
    oldest one that conda-forge builds for.
    """
    machine = target.platform.architecture
    if target.platform.system is System.LINUX:
        choices = [[*manylinux_tags((2, 28), machine), f"linux_{machine}"]]
    elif target.platform.system is System.MACOS:
        versions = map(Version, macos or (OLDEST_MACOS[target.platform],))
        choices = [list(mac_platforms((v.major, v.minor), machine)) for v in versions]
    else:
        choices = [[f"win_{machine}"]]
    return list(
        dict.fromkeys(tag for names in choices for tag in python_tags(target.python, names))
    )


def wheel_tags(wheel: PackageWheel) -> frozenset[Tag]:
    try:
        return parse_wheel_filename(unquote(wheel.filename))[3]
    except InvalidWheelFilename:
        return frozenset()  # some indexes hold very old names


def _asset(package: Locked, artefact: PackageSdist | PackageWheel, where: Path) -> Asset:
    try:
        return Asset(
            name=canonicalize_name(package.name),
            version=str(package.version),
            url=artefact.url or "",
            sha256=parse_sha256(artefact.hashes.get("sha256")),
            size=artefact.size,
        )
    except ValueError as error:
        raise LockError(
            f"{package.name} {package.version}: {error}",
            where=str(where),
            cause="the lock was edited by hand, or an index handed out what it should not",
            fix="run `geowheel lock --upgrade " + canonicalize_name(package.name) + "`",
        ) from None

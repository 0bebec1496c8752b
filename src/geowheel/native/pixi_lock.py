"""pixi.lock, formats 5 to 7: the exact conda packages of every environment and platform.

Read and written by py-rattler, the library behind pixi's own. What comes out are frozen values.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rattler import (
    BuildString,
    LockChannel,
    LockFile,
    LockPlatform,
    MatchSpec,
    PackageRecord,
    RepoDataRecord,
)
from rattler.exceptions import ParseCondaLockError

from geowheel.errors import Fault, LockError
from geowheel.targets import Platform

from .manifest import EnvironmentSpec

GDAL = "libgdal-core"
ALWAYS = (GDAL, "ca-certificates")


@dataclass(frozen=True, kw_only=True, order=True)
class Package:
    """One locked conda package."""

    name: str
    version: str
    build: str
    subdir: str
    url: str
    sha256: str
    size: int | None
    """Bytes of the archive."""
    license: str | None
    depends: tuple[str, ...]

    @property
    def file_name(self) -> str:
        return urlsplit(self.url).path.rpartition("/")[2]

    @property
    def channel_url(self) -> str:
        """The channel's own URL, with a slash at its end."""
        return self.url.rsplit("/", 2)[0] + "/"

    def __str__(self) -> str:
        return f"{self.name} {self.version} {self.build}"


@dataclass(frozen=True, kw_only=True)
class NativeStack:
    """The closure of libgdal-core, the named plugins and ca-certificates on one platform."""

    platform: Platform
    packages: tuple[Package, ...]
    left_out: tuple[str, ...]
    """Names of the environment's other packages."""

    @property
    def gdal_version(self) -> str:
        """The one source of the GDAL version."""
        return next(p.version for p in self.packages if p.name == GDAL)


def read_lock(path: Path) -> LockFile:
    """The parsed lock; raises LockError when it is missing, broken or of a newer format."""
    if not path.is_file():
        raise LockError("there is no lock", where=str(path), fix="make one with `nox -s lock`")
    try:
        return LockFile.from_path(path)
    except (ParseCondaLockError, OSError) as error:
        message = str(error)
        newer = "newer" in message
        raise LockError(
            f"the lock cannot be read: {message}",
            where=str(path),
            cause="it was written by a newer pixi" if newer else "the file is damaged",
            fix="upgrade geowheel (py-rattler reads formats 5 to 7)"
            if newer
            else "restore it from version control or make it again with `nox -s lock`",
        ) from None


def records(
    lock: LockFile, environment: str, platform: Platform, path: Path
) -> list[RepoDataRecord]:
    """The conda records of one environment; raises LockError when the lock has none for it."""
    found = lock.environment(environment)
    if found is None:
        names = ", ".join(name for name, _ in lock.environments())
        raise LockError(
            f"environment {environment!r} is not in the lock (it has {names})",
            where=str(path),
            fix="run `nox -s lock`",
        )
    for locked in found.platforms():
        if locked.name == platform:
            return list(found.conda_repodata_records_for_platform(locked) or [])
    names = ", ".join(sorted(p.name for p in found.platforms()))
    raise LockError(
        f"platform {platform} is not locked (the lock has {names})",
        where=str(path),
        fix=f"add {platform} to platforms in pixi.toml, then run `nox -s lock`",
    )


def native_stack(
    every: Sequence[RepoDataRecord], platform: Platform, plugins: Iterable[str], path: Path
) -> NativeStack:
    """The part of an environment that goes into a wheel.

    Raises LockError when libgdal-core or a plugin is not there, or a record has no sha256:
    without one nothing could be verified.
    """
    by_name = {record.name.normalized: record for record in every}
    roots = (*ALWAYS, *plugins)
    missing = [name for name in roots if name not in by_name]
    if missing:
        raise LockError(
            [
                Fault(
                    what=f"no {name} in the environment for {platform}",
                    where=str(path),
                    cause="pixi.toml does not ask for it"
                    if name != GDAL
                    else "the environment holds no GDAL, or an old `libgdal` without the -core split",
                    fix=f"pixi add {name}, then `nox -s lock`",
                )
                for name in missing
            ]
        )
    closure = _closure(roots, by_name)
    unhashed = [record for record in closure if not record.sha256]
    if unhashed:
        raise LockError(
            [
                Fault(
                    what=f"{record.file_name} has no sha256",
                    where=str(path),
                    cause="the channel's index does not give one",
                    fix="index the channel again, then run `nox -s lock`",
                )
                for record in unhashed
            ]
        )
    kept = {record.name.normalized for record in closure}
    return NativeStack(
        platform=platform,
        packages=tuple(sorted(map(_package, closure))),
        left_out=tuple(sorted(set(by_name) - kept)),
    )


def check_satisfies(
    every: Sequence[RepoDataRecord], spec: EnvironmentSpec, path: Path
) -> list[Fault]:
    """Every way in which locked records do not give what the manifest asks for."""
    by_name = {record.name.normalized: record for record in every}
    faults = []
    for wanted in spec.specs:
        record = by_name.get(wanted.name.lower())
        if record is None:
            what = f"{wanted.text} is not locked"
        elif not MatchSpec(wanted.text).matches(record):
            what = f"locked {record.name.normalized} {record.version} is not {wanted.text}"
        else:
            continue
        faults.append(
            Fault(
                what=f"{spec.platform}: {what}",
                where=str(path),
                cause="pixi.toml was edited after the lock was made",
                fix="run `nox -s lock`, or `pixi lock`",
            )
        )
    return faults


def write_lock(
    path: Path,
    solved: Mapping[str, Mapping[Platform, Sequence[RepoDataRecord]]],
    *,
    channels: Sequence[str],
    virtual_packages: Mapping[Platform, tuple[str, ...]],
) -> None:
    """Write a format-7 lock (pixi 0.68 and newer) in one step; `solved` is by environment."""
    platforms = {
        platform: LockPlatform(str(platform), virtual_packages=list(virtual))
        for platform, virtual in virtual_packages.items()
    }
    lock = LockFile(list(platforms.values()))
    for environment, by_platform in solved.items():
        lock.set_channels(environment, [LockChannel(url) for url in channels])
        for platform, solution in by_platform.items():
            for record in solution:
                lock.add_conda_package(environment, platforms[platform], record)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".lock-") as scratch:
        lock.to_path(Path(scratch, "pixi.lock"))
        Path(scratch, "pixi.lock").replace(path)


def write_packages(
    path: Path, packages: Sequence[Package], platform: Platform, channels: Sequence[str]
) -> None:
    """Write a lock whose default environment is just these packages."""
    every = [
        RepoDataRecord(
            PackageRecord(
                package.name, package.version, BuildString(package.build), 0, package.subdir,
                depends=list(package.depends), sha256=bytes.fromhex(package.sha256),
                size=package.size, license=package.license,
            ),
            package.file_name, package.url, package.channel_url,
        )
        for package in packages
    ]  # fmt: skip
    write_lock(
        path, {"default": {platform: every}}, channels=channels, virtual_packages={platform: ()}
    )


def _closure(roots: Iterable[str], by_name: Mapping[str, RepoDataRecord]) -> list[RepoDataRecord]:
    seen: dict[str, RepoDataRecord] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in seen or name not in by_name:  # not there: a virtual package such as __glibc
            continue
        seen[name] = by_name[name]
        waiting += [dependency.split()[0].lower() for dependency in by_name[name].depends]
    return list(seen.values())


def _package(record: RepoDataRecord) -> Package:
    return Package(
        name=record.name.normalized,
        version=str(record.version),
        build=str(record.build),
        subdir=record.subdir,
        url=record.url,
        sha256=(record.sha256 or b"").hex(),
        size=record.size,
        license=record.license,
        depends=tuple(record.depends),
    )

"""pixi.lock, formats 5 to 7: the exact conda packages of every environment and platform.

Read and written by py-rattler, the library behind pixi's own. What comes out are frozen values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from geowheel.errors import ConfigError, Fault, LockError
from geowheel.machine import files
from geowheel.project.manifest import EnvironmentSpec
from geowheel.project.pyproject import refuse_login
from geowheel.targets import Platform

from .assets import Package
from .channels import named_channel

if TYPE_CHECKING:
    from rattler import LockFile, MatchSpec, RepoDataRecord

FORMAT: Final = 7
"""What py-rattler 0.28 writes; so does pixi since 0.68. Older ones cannot read it."""


class NewerLockError(LockError):
    """The lock is of a format that this py-rattler does not know."""


def refuse_unfit(path: Path) -> None:
    """Raise ConfigError where a lock holds git's marks of a merge, or a login.

    It is no LockError: what makes a lock anew from a broken one would let go of every pin.
    """
    data = path.read_bytes() if path.is_file() else b""
    refuse_login(data, path)
    if re.search(rb"^(<{7} |>{7} )", data, re.MULTILINE):
        raise ConfigError(
            "holds the marks of a merge (<<<<<<<)",
            where=str(path),
            cause="two branches changed the lock, and git left the choice to you",
            fix=f"`git checkout --theirs {path.name}` or `--ours`, then `geowheel lock`",
        )


def read_lock(path: Path) -> LockFile:
    """Return the parsed lock; raises LockError when it is missing, broken or of a newer format.

    Raises ConfigError where it holds marks of a merge.
    """
    from rattler import LockFile
    from rattler.exceptions import ParseCondaLockError

    if not path.is_file():
        raise LockError("there is no lock", where=str(path), fix="make one with `geowheel lock`")
    refuse_unfit(path)
    try:
        return LockFile.from_path(path)
    except (ParseCondaLockError, OSError) as error:
        message = " ".join(str(error).split())
        if "newer" in message:
            raise NewerLockError(
                f"the lock cannot be read: {message}",
                where=str(path),
                cause="it was written by a newer pixi",
                fix="upgrade geowheel (py-rattler reads formats 5 to 7)",
            ) from None
        raise LockError(
            f"the lock cannot be read: {message}",
            where=str(path),
            cause="the file is damaged",
            fix="restore it from version control, or make it again with `geowheel lock`",
        ) from None


def lock_format(path: Path) -> int | None:
    """Return the format that a lock says it is of; None where there is none, or it says nothing.

    pixi writes `version: 7` as the first line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    said = re.search(r"^version:\s*(\d+)\s*$", text, re.MULTILINE)
    return int(said[1]) if said else None


def locked_channels(lock: LockFile, environment: str) -> tuple[str, ...]:
    """Return the URLs of an environment's channels, ending in a slash; empty for an unknown one.

    conda-lock writes a channel's name where it was configured by one.
    """
    found = lock.environment(environment)
    # py-rattler shows a locked channel's URL only in its representation.
    texts = [repr(channel).split('"')[1] for channel in found.channels()] if found else []
    return tuple(
        text.rstrip("/") + "/" if "://" in text else named_channel(text).url for text in texts
    )


def locked_names(lock: LockFile) -> dict[str, set[str]]:
    """Name of every locked conda package with the versions and builds that are locked of it."""
    found: dict[str, set[str]] = {}
    for _, _, record in _every(lock):
        versions = found.setdefault(record.name.normalized, set())
        versions.add(f"{record.version} {record.build}")
    return found


def differing(one: LockFile, other: LockFile) -> list[str]:
    """Return names of the packages in which two locks differ."""
    before, after = (
        {(where, subdir, r.name.normalized, r.url, r.sha256) for where, subdir, r in _every(lock)}
        for lock in (one, other)
    )
    return sorted({name for _, _, name, _, _ in before ^ after})


def _every(lock: LockFile) -> Iterator[tuple[str, str, RepoDataRecord]]:
    """Yield each record with the names of its environment and platform."""
    for name, environment in lock.environments():
        for platform in environment.platforms():
            for record in environment.conda_repodata_records_for_platform(platform) or []:
                yield name, str(platform.subdir), record


def records(
    lock: LockFile, environment: str, platform: Platform, path: Path
) -> list[RepoDataRecord]:
    """Return the conda records of an environment; raises LockError when the lock has none."""
    found = lock.environment(environment)
    if found is None:
        names = ", ".join(name for name, _ in lock.environments())
        raise LockError(
            f"environment {environment!r} is not in the lock (it has {names})",
            where=str(path),
            fix="run `geowheel lock`",
        )
    # pixi names a platform with system requirements of its own `p1`; its subdir says what it is.
    fitting = [locked for locked in found.platforms() if str(locked.subdir) == platform]
    for locked in sorted(fitting, key=lambda locked: (locked.name != platform, locked.name)):
        return list(found.conda_repodata_records_for_platform(locked) or [])
    names = ", ".join(sorted({str(p.subdir) for p in found.platforms()})) or "none"
    raise LockError(
        f"platform {platform} is not locked (the lock has {names})",
        where=str(path),
        fix=f"add {platform} to platforms in pixi.toml, then run `geowheel lock`",
    )


def check_satisfies(
    every: Sequence[RepoDataRecord], spec: EnvironmentSpec, path: Path
) -> list[Fault]:
    """Return every way in which locked records do not give what the manifest asks for."""
    from rattler import BuildString, PackageRecord
    from rattler.exceptions import InvalidVersionError

    by_name = {record.name.normalized: record for record in every}
    unmet = []
    for wanted in spec.specs:
        record = by_name.get(wanted.name)
        if wanted.from_source:
            continue  # from no channel, so in no record of one
        if record is None:
            unmet.append(f"{wanted.text} is not locked")
        elif not match_spec(wanted.text, path).matches(record):
            unmet.append(f"locked {record.name.normalized} {record.version} is not {wanted.text}")
    try:
        promised = {
            name: PackageRecord(name, version, BuildString(build), 0, str(spec.platform))
            for name, version, build in map(virtual_package, spec.virtual_packages)
        }
    except InvalidVersionError as error:
        raise LockError(f"system-requirements: {error}", where=str(path)) from None
    beyond = []
    for record in every:
        for need in (need for need in record.depends if need.startswith("__")):
            virtual = promised.get(need.split()[0])
            if virtual is None or not match_spec(need, path).matches(virtual):
                has = f"{virtual.version}" if virtual else "none of it"
                beyond.append(
                    f"locked {record.file_name} needs {need}, but the manifest promises {has}"
                )
    cause = "pixi.toml was edited after the lock was made"
    fix = "run `geowheel lock`, or `pixi lock`"
    system = "the manifest's system requirements were edited since"
    higher = "run `geowheel lock`, or raise them"
    return [
        Fault(what=f"{spec.platform}: {what}", where=str(path), cause=cause, fix=fix)
        for whats, cause, fix in ((unmet, cause, fix), (beyond, system, higher))
        for what in whats
    ]


def match_spec(text: str, where: object) -> MatchSpec:
    """Return py-rattler's form of a requirement; raises LockError for any other text."""
    from rattler import MatchSpec
    from rattler.exceptions import InvalidMatchSpecError

    try:
        return MatchSpec(text)
    except InvalidMatchSpecError as error:
        raise LockError(f"{text!r} is not a requirement: {error}", where=str(where)) from None


def virtual_package(text: str) -> tuple[str, str, str]:
    """Return name, version and build of `__glibc=2.28` or `__archspec=0=x86_64`."""
    name, _, rest = text.partition("=")
    version, _, build = rest.partition("=")
    return name, version, build or "0"


def check_channels(packages: Sequence[Package], urls: Sequence[str], path: Path) -> list[Fault]:
    """Return every package that does not come from one of the channels `urls`."""
    return [
        Fault(
            what=f"{package} is locked from {package.url}, which is in none of {', '.join(urls)}",
            where=str(path),
            cause="the lock was edited by hand, or channels were changed in pixi.toml",
            fix="run `geowheel lock`",
        )
        for package in packages
        if not any(package.url.startswith(url) for url in urls)
    ]


@dataclass(frozen=True, kw_only=True)
class Solved:
    """The records of one environment on one platform, and the virtual packages they rely on."""

    environment: str
    platform: Platform
    virtual_packages: tuple[str, ...]
    channels: tuple[str, ...]
    """The URLs of the environment's channels."""
    records: Sequence[RepoDataRecord]


def write_lock(path: Path, solved: Sequence[Solved]) -> None:
    """Write a format-7 lock (pixi 0.68 and newer) in one step."""
    from rattler import LockChannel, LockFile, LockPlatform, Subdir

    platforms: dict[tuple[Platform, tuple[str, ...]], LockPlatform] = {}
    for platform, virtual in dict.fromkeys(
        (each.platform, each.virtual_packages) for each in solved
    ):
        number = 1 + sum(known is platform for known, _ in platforms)
        platforms[platform, virtual] = LockPlatform(
            f"{platform}-{number}" if number > 1 else str(platform),
            subdir=Subdir(platform),
            virtual_packages=list(virtual),
        )
    lock = LockFile(list(platforms.values()))
    for item in solved:
        lock.set_channels(item.environment, [LockChannel(url) for url in item.channels])
        for record in item.records:
            lock.add_conda_package(
                item.environment, platforms[item.platform, item.virtual_packages], record
            )
    with files.whole(path) as part:
        lock.to_path(part)

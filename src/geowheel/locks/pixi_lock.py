"""pixi.lock, formats 5 to 7: the exact conda packages of every environment and platform.

Read and written by py-rattler, the library behind pixi's own. What comes out are frozen values.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from packaging.version import Version

from geowheel.errors import Fault, LockError
from geowheel.machine import files
from geowheel.project.manifest import EnvironmentSpec
from geowheel.targets import GDAL_PACKAGE, OLDEST_MACOS, Platform

from .channels import named_channel

if TYPE_CHECKING:
    from rattler import LockChannel, LockFile, RepoDataRecord

FORMAT: Final = 7
"""What py-rattler 0.28 writes; so does pixi since 0.68. Older ones cannot read it."""
BINDINGS: Final = "gdal"
"""conda-forge's package of GDAL's Python bindings."""
ALWAYS = (GDAL_PACKAGE, "ca-certificates")


class NewerLockError(LockError):
    """The lock is of a format that this py-rattler does not know."""


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
    def gdal(self) -> Package:
        """libgdal itself."""
        return next(package for package in self.packages if package.name == GDAL_PACKAGE)

    @property
    def gdal_version(self) -> str:
        """The one source of the GDAL version."""
        return self.gdal.version


def stack_from(data: Mapping[str, Any]) -> NativeStack:
    """The stack of these plain values, which dataclasses.asdict made."""
    packages = (Package(**{**p, "depends": tuple(p["depends"])}) for p in data["packages"])
    return NativeStack(
        platform=Platform(data["platform"]),
        packages=tuple(packages),
        left_out=tuple(data["left_out"]),
    )


def oldest_macos(stack: NativeStack) -> str | None:
    """The oldest macOS that the native stack runs on: its newest `__osx >=VERSION`; None elsewhere.

    At least what the platform's packages are built for by conda-forge.
    """
    if stack.platform not in OLDEST_MACOS:
        return None
    needs = (need for package in stack.packages for need in package.depends)
    found = (re.match(r"__osx\s*>=\s*(\d+(?:\.\d+)*)", need) for need in needs)
    return max([OLDEST_MACOS[stack.platform], *(match[1] for match in found if match)], key=Version)


def read_lock(path: Path) -> LockFile:
    """The parsed lock; raises LockError when it is missing, broken or of a newer format."""
    from rattler import LockFile
    from rattler.exceptions import ParseCondaLockError

    if not path.is_file():
        raise LockError("there is no lock", where=str(path), fix="make one with `geowheel lock`")
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
    """The format that a lock says it is of; None where there is no lock, or nothing that says it.

    pixi writes `version: 7` as the first line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    said = re.search(r"^version:\s*(\d+)\s*$", text, re.MULTILINE)
    return int(said[1]) if said else None


def locked_channels(lock: LockFile, environment: str) -> tuple[str, ...]:
    """The URLs of an environment's channels, with a slash at their end; empty for an unknown one.

    conda-lock writes a channel's name where it was configured by one.
    """
    found = lock.environment(environment)
    texts = [_text(channel) for channel in found.channels()] if found else []
    return tuple(
        text.rstrip("/") + "/" if "://" in text else named_channel(text).url for text in texts
    )


def _text(channel: LockChannel) -> str:
    """py-rattler shows a locked channel's URL only in its representation."""
    return repr(channel).partition('"')[2].partition('"')[0]


def locked_names(lock: LockFile) -> dict[str, set[str]]:
    """Name of every locked conda package with the versions and builds that are locked of it."""
    found: dict[str, set[str]] = {}
    for _, environment in lock.environments():
        for platform in environment.platforms():
            for record in environment.conda_repodata_records_for_platform(platform) or []:
                versions = found.setdefault(record.name.normalized, set())
                versions.add(f"{record.version} {record.build}")
    return found


def differing(lock: LockFile, solved: Sequence[Solved]) -> list[str]:
    """Names of the packages in which a lock and newly solved environments differ."""
    before: set[tuple[str, str, str, str, bytes | None]] = set()
    for name, environment in lock.environments():
        for platform in environment.platforms():
            for record in environment.conda_repodata_records_for_platform(platform) or []:
                before.add(_identity(name, str(platform.subdir), record))
    after = {
        _identity(item.environment, str(item.platform), record)
        for item in solved
        for record in item.records
    }
    return sorted({name for _, _, name, _, _ in before ^ after})


def _identity(
    environment: str, platform: str, record: RepoDataRecord
) -> tuple[str, str, str, str, bytes | None]:
    return environment, platform, record.name.normalized, record.url, record.sha256


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


def native_stack(
    every: Sequence[RepoDataRecord], platform: Platform, plugins: Iterable[str], path: Path
) -> NativeStack:
    """The part of an environment that goes into a wheel.

    Raises LockError when libgdal-core, a plugin or something that they need is not there, or a
    record has no sha256: without one nothing could be verified.
    """
    by_name = {record.name.normalized: record for record in every}
    roots = (*ALWAYS, *plugins)
    if missing := [name for name in roots if name not in by_name]:
        raise LockError([_absent(name, platform, by_name, path) for name in missing])
    closure = _closure(roots, by_name)
    if faults := _incomplete(closure, by_name, path):
        raise LockError(faults)
    unhashed = [record for record in closure if not record.sha256]
    if unhashed:
        raise LockError(
            [
                Fault(
                    what=f"{record.file_name} has no sha256",
                    where=str(path),
                    cause="the channel's index does not give one",
                    fix="index the channel again, then run `geowheel lock`",
                )
                for record in unhashed
            ]
        )
    kept = {record.name.normalized for record in closure}
    return NativeStack(
        platform=platform,
        packages=tuple(sorted(map(package_of, closure))),
        left_out=tuple(sorted(set(by_name) - kept)),
    )


def _absent(name: str, platform: Platform, by_name: Mapping[str, object], path: Path) -> Fault:
    """A root of the native stack that is not locked; names that are nearly the same are told."""
    what = f"no {name} in the environment for {platform}"
    if name == GDAL_PACKAGE:
        cause = "no GDAL is asked for, or an old `libgdal` without the -core split"
    elif near := difflib.get_close_matches(
        name, [n for n in by_name if n != GDAL_PACKAGE], cutoff=0.75
    ):
        cause = f"pixi.toml does not ask for it, but for {', '.join(near)}"
    else:
        cause = "pixi.toml does not ask for it"
    fix = f"pixi add {name}, then `geowheel lock`"
    if name not in ALWAYS:
        fix += "; or leave it out of plugins (data.grids, for proj-data) in [tool.geowheel]"
    return Fault(what=what, where=str(path), cause=cause, fix=fix)


def check_satisfies(
    every: Sequence[RepoDataRecord], spec: EnvironmentSpec, path: Path
) -> list[Fault]:
    """Every way in which locked records do not give what the manifest asks for."""
    from rattler import MatchSpec

    by_name = {record.name.normalized: record for record in every}
    faults = []
    for wanted in spec.specs:
        record = by_name.get(wanted.name)
        if wanted.from_source:
            continue  # from no channel, so in no record of one
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
                fix="run `geowheel lock`, or `pixi lock`",
            )
        )
    return faults + _beyond_the_system(every, spec, path)


def _beyond_the_system(
    every: Sequence[RepoDataRecord], spec: EnvironmentSpec, path: Path
) -> list[Fault]:
    """Records that need a newer system than the manifest promises."""
    from rattler import BuildString, MatchSpec, PackageRecord

    promised = {}
    for text in spec.virtual_packages:
        name, _, rest = text.partition("=")
        version, _, build = rest.partition("=")
        promised[name] = PackageRecord(
            name, version, BuildString(build or "0"), 0, str(spec.platform)
        )
    faults = []
    for record in every:
        for need in (need for need in record.depends if need.startswith("__")):
            virtual = promised.get(need.split()[0])
            if virtual is None or not MatchSpec(need).matches(virtual):
                has = f"{virtual.version}" if virtual else "none of it"
                faults.append(
                    Fault(
                        what=f"{spec.platform}: locked {record.file_name} needs {need}, but the "
                        f"manifest promises {has}",
                        where=str(path),
                        cause="the manifest's system requirements were edited since",
                        fix="run `geowheel lock`, or raise them",
                    )
                )
    return faults


def check_channels(stack: NativeStack, urls: Sequence[str], path: Path) -> list[Fault]:
    """Every package that does not come from one of the channels `urls`."""
    return [
        Fault(
            what=f"{package} is locked from {package.url}, which is in none of {', '.join(urls)}",
            where=str(path),
            cause="the lock was edited by hand, or channels were changed in pixi.toml",
            fix="run `geowheel lock`",
        )
        for package in stack.packages
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
    for item in solved:
        key = (item.platform, item.virtual_packages)
        number = 1 + sum(platform is item.platform for platform, _ in platforms)
        if key not in platforms:
            platforms[key] = LockPlatform(
                f"{item.platform}-{number}" if number > 1 else str(item.platform),
                subdir=Subdir(item.platform),
                virtual_packages=list(item.virtual_packages),
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


def write_packages(
    path: Path, packages: Sequence[Package], platform: Platform, channels: Sequence[str]
) -> None:
    """Write a lock whose default environment is just these packages."""
    from rattler import BuildString, PackageRecord, RepoDataRecord

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
    solved = Solved(
        environment="default",
        platform=platform,
        virtual_packages=(),
        channels=tuple(channels),
        records=every,
    )
    write_lock(path, [solved])


def closure_of(names: Iterable[str], every: Sequence[RepoDataRecord]) -> list[RepoDataRecord]:
    """The records that `names` need, themselves included, in the order of `every`."""
    by_name = {record.name.normalized: record for record in every}
    needed = {record.name.normalized for record in _closure(names, by_name)}
    return [record for record in every if record.name.normalized in needed]


def _incomplete(
    closure: Sequence[RepoDataRecord], by_name: Mapping[str, RepoDataRecord], path: Path
) -> list[Fault]:
    """Needs of the closure that the lock does not meet: it was cut or edited by hand."""
    from rattler import MatchSpec

    faults = []
    for record in closure:
        for need in record.depends:
            name = name_of(need)
            if name.startswith("__"):
                continue
            found = by_name.get(name)
            if found is None or not MatchSpec(need).matches(found):
                has = f"has {found.version}" if found else "does not have it"
                faults.append(
                    Fault(
                        what=f"{record.name.normalized} needs {need}, the lock {has}",
                        where=str(path),
                        cause="the lock was edited by hand, or merged wrongly",
                        fix="run `geowheel lock`",
                    )
                )
    return faults


def name_of(need: str) -> str:
    """`libfoo` of the dependency `libfoo >=1`, whatever follows the name."""
    return re.split(r"[\s=<>!~\[;]", need, maxsplit=1)[0].rpartition("::")[2].lower()


def _closure(roots: Iterable[str], by_name: Mapping[str, RepoDataRecord]) -> list[RepoDataRecord]:
    seen: dict[str, RepoDataRecord] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in seen or name not in by_name:  # not there: a virtual package such as __glibc
            continue
        seen[name] = by_name[name]
        waiting += map(name_of, by_name[name].depends)
    return list(seen.values())


def find_package(packages: Iterable[Package], name: str) -> Package | None:
    """The package of that name."""
    return next((package for package in packages if package.name == name), None)


def package_of(record: RepoDataRecord) -> Package:
    """What of a record is needed."""
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

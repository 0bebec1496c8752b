"""Which locks a run uses: the committed ones, or solved into the work folder and said aloud.

Only the command `lock` (see `geowheel.locks.locking`) writes beside pixi.toml.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from geowheel.digest import digest, sha256_file, toolkit_digest
from geowheel.errors import ChannelError, LockError
from geowheel.machine import files
from geowheel.machine.console import Console
from geowheel.machine.files import held, touch
from geowheel.project.config import Fallback
from geowheel.project.manifest import EnvironmentSpec
from geowheel.project.project import Project
from geowheel.targets import Platform, System

from .build_lock import FILE_NAME, BuildLock, Requirements, read_build_lock, solve_build_lock
from .channels import (
    DISTRO,
    Channel,
    Mirrors,
    configured_channels,
    folder_channel,
    parse_channel,
    read_mirrors,
)
from .pixi_lock import (
    NativeStack,
    Solved,
    check_channels,
    check_satisfies,
    locked_channels,
    native_stack,
    oldest_macos,
    read_lock,
    records,
    stack_from,
    write_lock,
)

if TYPE_CHECKING:
    from rattler import RepoDataRecord

SOURCE: Final = "source.json"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the native stack comes from, for people and for the wheel's records."""

    committed: bool
    """From the committed pixi.lock, or from conda-lock.yml in its place."""
    channels: tuple[str, ...]
    words: str


@dataclass(frozen=True, kw_only=True)
class Memo:
    """A file with the native stack that was read out of a lock: py-rattler takes its time."""

    path: Path
    key: str
    """The digest of the lock, and of all that was asked of it."""

    def read(self) -> NativeStack | None:
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
            return stack_from(data["stack"]) if data["key"] == self.key else None
        except (OSError, ValueError, KeyError, TypeError):
            return None  # none yet, or of another geowheel

    def write(self, stack: NativeStack) -> None:
        with suppress(OSError):  # on a full disk, the lock is read again the next time
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _write_json(self.path, {"key": self.key, "stack": asdict(stack)})


@dataclass(frozen=True, kw_only=True)
class Locks:
    """Everything that is locked for one platform."""

    stack: NativeStack
    build: BuildLock
    source: Source
    mirrors: Mirrors
    channels: tuple[Channel, ...]
    path: Path
    """The lock in use: pixi.lock or conda-lock.yml."""
    unwritten: Memo | None = None
    """What was read out of the lock just now, and not out of a memo."""


def locks_at_hand(project: Project, platform: Platform) -> Locks | None:
    """The locks that a run would use, when no solving is needed; None when it is.

    Raises LockError for a committed lock that cannot be used, or for none under --frozen.
    """
    native = _committed(project, platform)
    if native is None and project.frozen:
        raise _frozen(project)
    native = native or _solved_before(project, platform)
    return None if native is None else _with_build_lock(project, native)


def committed_locks(project: Project, platform: Platform) -> Locks:
    """The committed locks, whatever --channel says; raises LockError when they cannot be used."""
    native = _committed(replace(project, channel=None), platform)
    ready = None if native is None else _with_build_lock(project, native)
    if ready is None:
        raise _no_lock(project)
    return ready


def committed_stack(project: Project, platform: Platform) -> NativeStack:
    """The native stack of the committed lock, with or without a build lock; raises LockError."""
    native = _committed(replace(project, channel=None), platform)
    if native is None:
        raise _no_lock(project)
    return native.stack


def _no_lock(project: Project) -> LockError:
    return LockError(
        "there is no lock",
        where=str(project.manifest.lock_path),
        fix="run `geowheel lock` and commit pixi.lock",
    )


def _frozen(project: Project) -> LockError:
    """A lock that was solved into the work folder is no committed one: --frozen wants that."""
    if project.channel is not None:
        return LockError(
            f"--frozen wants the committed lock, --channel {project.channel} asks for another",
            where=str(project.manifest.lock_path),
            fix="leave out one of the two (GEOWHEEL_CHANNEL counts as --channel)",
        )
    return LockError(
        "no lock is committed, and --frozen forbids solving",
        where=str(project.manifest.lock_path),
        fix="run `geowheel lock` where the channel can be reached, and commit pixi.lock",
    )


def resolve(project: Project, platform: Platform, console: Console) -> Locks:
    """The locks for a run: at hand, or solved into the work folder.

    Raises LockError or ChannelError, with the ways on.
    """
    ready = locks_at_hand(project, platform) or _solve(project, platform, console)
    if ready.unwritten is not None:
        ready.unwritten.write(ready.stack)
    return ready


def _solve(project: Project, platform: Platform, console: Console) -> Locks:
    """The locks, once no other run solves them."""
    folder = project.work / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / ".lock", console.wait):
        native = _committed(project, platform) or _solved_before(project, platform)
        if native is None:
            native = _solve_native(project, platform, console)
        ready = _with_build_lock(project, native)
        if ready is None:
            wanted = requirements(project, native.stack)
            with console.step(
                "lock", f"GDAL {wanted.gdal_version}'s sdist and requirements", logs="lock"
            ) as step:
                solve_build_lock(
                    wanted,
                    _work_build_lock(project, wanted),
                    macos={platform: macos_versions(project, native.stack)},
                    environ=project.machine.environ,
                    step=step,
                )
            ready = _with_build_lock(project, native)
    if ready is None:
        raise LockError("the build lock was solved, but is not what was asked for")
    return ready


def requirements(project: Project, stack: NativeStack) -> Requirements:
    """What the build lock has to hold."""
    return Requirements(
        gdal_version=stack.gdal_version,
        pythons=project.config.pythons,
        platforms=project.manifest.platforms_of(project.config.environment),
        build=(*project.host.build_system.requires, *project.config.build.requires),
        test=project.config.test.requires,
        peers=project.config.lab.peers,
    )


def macos_versions(project: Project, stack: NativeStack) -> tuple[str, ...]:
    """The macOS that the stack itself asks for, then the one that [tool.geowheel.floor] allows.

    A wheel may ask for either, rather for the first. Empty for other systems.
    """
    oldest, allowed = oldest_macos(stack), project.config.floor.macos
    if oldest is None:
        return ()
    return (oldest, allowed) if allowed else (oldest,)


@dataclass(frozen=True, kw_only=True)
class _Native:
    stack: NativeStack
    source: Source
    mirrors: Mirrors
    channels: tuple[Channel, ...]
    path: Path
    unwritten: Memo | None


def _memo(project: Project, path: Path, spec: EnvironmentSpec, *asked: object) -> Memo:
    what = digest((project.host.name, spec.platform, path.parent.name))
    return Memo(
        path=project.work / "locks" / f"read-{what[:16]}.json",
        key=digest((sha256_file(path), toolkit_digest(), spec, asked)),
    )


def _committed(project: Project, platform: Platform) -> _Native | None:
    """What the committed pixi.lock says, or conda-lock.yml where there is no pixi.lock."""
    path = project.manifest.committed_lock
    if project.channel is not None or path is None:
        return None
    if path == project.manifest.lock_path:
        return _checked(project, platform, path, project.config.environment)
    from . import conda_lock

    try:
        return _checked(project, platform, path, conda_lock.ENVIRONMENT)
    except LockError as error:
        fix = (
            "lock again with conda-lock; or remove the file and run `geowheel lock` for a pixi.lock"
        )
        raise LockError([replace(fault, fix=fix) for fault in error.faults]) from None


def _checked(project: Project, platform: Platform, path: Path, environment: str) -> _Native:
    """The native stack of a committed lock; raises LockError where it is not what is asked for."""
    spec = project.manifest.environment(project.config.environment, platform)
    channels = configured_channels(spec.channels, project.manifest.path.parent)
    wanted = tuple(channel.url for channel in channels)
    memo = _memo(project, path, spec, environment, wanted, project.config.wanted_packages)
    stack = memo.read()
    return _Native(
        stack=stack or _read(project, spec, path, environment, wanted),
        source=Source(
            committed=True,
            channels=spec.channels,
            words=f"{path.name}, locked from {', '.join(spec.channels)}",
        ),
        mirrors=read_mirrors(project.machine.environ).plus(channels),
        channels=channels,
        path=path,
        unwritten=None if stack else memo,
    )


def _read(
    project: Project, spec: EnvironmentSpec, path: Path, environment: str, wanted: tuple[str, ...]
) -> NativeStack:
    lock = read_lock(path)
    every = records(lock, environment, spec.platform, path)
    if faults := check_satisfies(every, spec, path):
        raise LockError(faults)
    urls = locked_channels(lock, environment)
    if urls != wanted:
        raise LockError(
            f"locked from {', '.join(urls)}, but pixi.toml asks for {', '.join(wanted)}",
            where=str(path),
            cause="the channels were edited after the lock was made",
            fix="run `geowheel lock`",
        )
    stack = native_stack(every, spec.platform, project.config.wanted_packages, path)
    elsewhere = {item.name for item in spec.specs if item.from_source}
    checked = replace(stack, packages=tuple(p for p in stack.packages if p.name not in elsewhere))
    if faults := check_channels(checked, wanted, path):
        raise LockError(faults)
    return stack


def _solved_before(project: Project, platform: Platform) -> _Native | None:
    spec = project.manifest.environment(project.config.environment, platform)
    folder = _work_lock(project, spec)
    try:
        said = json.loads((folder / SOURCE).read_text(encoding="utf-8"))
        channels = tuple(
            Channel(name=c["name"], url=c["url"], folder=Path(c["folder"]) if c["folder"] else None)
            for c in said["channels"]
        )
        if said["states"] != [channel.state(platform) for channel in channels]:
            return None  # the folder's index changed: what it offers now is not what was locked
        path = folder / "pixi.lock"
        memo = _memo(project, path, spec, project.config.wanted_packages)
        stack = memo.read()
        every = records(read_lock(path), spec.name, platform, path) if stack is None else []
    except (OSError, ValueError, KeyError, TypeError, LockError):
        return None  # not whole, or of another geowheel: it is solved again
    return _Native(
        stack=stack or native_stack(every, platform, project.config.wanted_packages, path),
        source=Source(
            committed=False, channels=tuple(c.name for c in channels), words=said["words"]
        ),
        mirrors=read_mirrors(project.machine.environ).plus(channels),
        channels=tuple(channels),
        path=path,
        unwritten=None if stack else memo,
    )


def _solve_native(project: Project, platform: Platform, console: Console) -> _Native:
    spec = project.manifest.environment(project.config.environment, platform)
    if project.channel is not None:
        channel = chosen_channel(project, platform, console)
        _solve_into_work(
            project, spec, (channel,), f"{channel.name}, not locked (--channel)", console
        )
    else:
        try:
            channels = configured_channels(spec.channels, project.manifest.path.parent)
            _solve_into_work(
                project,
                spec,
                channels,
                f"{', '.join(spec.channels)}, not locked: no lock is committed",
                console,
            )
        except ChannelError as error:
            falls_back = project.config.channel_fallback is Fallback.DISTRO
            if not falls_back or platform.system is not System.LINUX:
                raise
            console.warn(error.faults[0].what)
            console.warn(
                f"no lock is committed and {', '.join(spec.channels)} cannot be reached: using "
                'this distribution\'s own packages instead, as channel-fallback = "distro" allows'
            )
            channel = distro_channel(project, platform, console)
            _solve_into_work(
                project,
                spec,
                (channel,),
                f"{channel.name}, INSTEAD OF {', '.join(spec.channels)}, which was out of reach",
                console,
            )
    native = _solved_before(project, platform)
    if native is None:
        raise LockError("the solved lock was changed while it was read", fix="run it again")
    return native


def _solve_into_work(
    project: Project,
    spec: EnvironmentSpec,
    channels: tuple[Channel, ...],
    words: str,
    console: Console,
) -> None:
    mirrors = read_mirrors(project.machine.environ).plus(channels)
    names = ", ".join(channel.name for channel in channels)
    from .solving import solve_environment

    with console.step(
        "lock", f"solving for {spec.platform} against {names}, into the work folder", logs="lock"
    ):
        found = solve_environment(
            spec,
            channels,
            mirrors=mirrors,
            cache=project.machine.cache / "repodata",
            strict=project.manifest.strict_priority,
        )
    folder = _work_lock(project, spec)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SOURCE).unlink(missing_ok=True)  # never the words of another lock
    write_lock(folder / "pixi.lock", [solved(spec, channels, found)])
    _write_json(
        folder / SOURCE,
        {
            "words": words,
            "channels": [
                {"name": c.name, "url": c.url, "folder": str(c.folder) if c.folder else None}
                for c in channels
            ],
            "states": [channel.state(spec.platform) for channel in channels],
        },
    )


def solved(
    spec: EnvironmentSpec, channels: Sequence[Channel], found: Sequence[RepoDataRecord]
) -> Solved:
    """What a lock says of one environment on one platform."""
    return Solved(
        environment=spec.name,
        platform=spec.platform,
        virtual_packages=spec.virtual_packages,
        channels=tuple(channel.url for channel in channels),
        records=found,
    )


def chosen_channel(project: Project, platform: Platform, console: Console) -> Channel:
    """The channel of --channel or GEOWHEEL_CHANNEL, made first when it is the distro channel."""
    if project.channel == DISTRO:
        return distro_channel(project, platform, console)
    return parse_channel(project.channel or "", project.root)


def distro_channel(
    project: Project, platform: Platform, console: Console, *, refresh: bool = False
) -> Channel:
    """The channel of this distribution's packages, made when it is not there (or refreshed).

    It has the platform; others are in it when they were asked for.
    """
    from geowheel.distro import channel as distro  # only where needed

    distribution = distro.read_distribution()
    name = distro.channel_name(distribution)
    folder = distro.channel_folder(project.machine.cache, distribution)
    if refresh or not (folder / platform / "repodata.json").is_file():
        with console.step(
            "channel",
            f"{name}: conda packages for {platform} from this distribution's own",
            logs="channel",
        ) as step:
            made = distro.make_distro_channel(
                folder, platform=platform, environ=project.machine.environ, step=step
            )
            step.say(f"{made.packages} packages, {made.converted} of them converted now")
    touch(folder)
    return folder_channel(folder, name)


def _with_build_lock(project: Project, native: _Native) -> Locks | None:
    wanted = requirements(project, native.stack)
    committed = project.folder / FILE_NAME
    path = committed if native.source.committed else _work_build_lock(project, wanted)
    if not path.is_file() and not native.source.committed:
        return None
    lock = read_build_lock(path)
    if lock.solved_from != digest(wanted):
        if not native.source.committed:
            return None
        raise LockError(
            "the build lock is not of this GDAL version, pythons and requirements",
            where=str(path),
            cause=f"pixi.lock has GDAL {wanted.gdal_version}; or pythons, requirements or "
            "platforms were edited since it was made",
            fix="run `geowheel lock`",
        )
    return Locks(
        stack=native.stack,
        build=replace(lock, macos=macos_versions(project, native.stack)),
        source=native.source,
        mirrors=native.mirrors,
        channels=native.channels,
        path=native.path,
        unwritten=native.unwritten,
    )


def _work_lock(project: Project, spec: EnvironmentSpec) -> Path:
    key = digest((spec, project.channel or "configured"))
    return project.work / "locks" / key[:16]


def _work_build_lock(project: Project, wanted: Requirements) -> Path:
    return project.work / "locks" / digest(wanted)[:16] / FILE_NAME


def _write_json(path: Path, data: object) -> None:
    files.write(path, json.dumps(data, indent=1) + "\n")

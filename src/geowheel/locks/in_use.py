"""Which locks a run uses: the committed ones, or solved into the work folder and said aloud.

Only the command `lock` (see `geowheel.locks.locking`) writes beside pixi.toml.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from geowheel.digest import digest, toolkit_digest
from geowheel.errors import BuildError, ChannelError, LockError
from geowheel.machine import files
from geowheel.machine.console import Console
from geowheel.machine.interpreters import Interpreter, ask_this
from geowheel.project.manifest import EnvironmentSpec
from geowheel.project.project import Project
from geowheel.targets import Platform, System

from . import channels as offered
from . import conda_lock, pixi_lock
from .build_lock import FILE_NAME, BuildLock, Requirements, read_build_lock
from .channels import Channel, Mirrors
from .native_stack import NativeStack, native_stack, oldest_macos

if TYPE_CHECKING:
    from rattler import RepoDataRecord

_SOURCE: Final = "source.json"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the native stack comes from, for people and for the wheel's records."""

    committed: bool
    """From the committed pixi.lock, or from conda-lock.yml in its place."""
    channels: tuple[str, ...]
    words: str


@dataclass(frozen=True, kw_only=True)
class LockedStack:
    """The native stack of one platform, and what it was read from."""

    stack: NativeStack
    source: Source
    mirrors: Mirrors
    channels: tuple[Channel, ...]
    path: Path
    """The lock in use: pixi.lock or conda-lock.yml."""


@dataclass(frozen=True, kw_only=True)
class Locks(LockedStack):
    """Everything that is locked for one platform."""

    build: BuildLock


@dataclass(frozen=True, kw_only=True)
class _SolvedFrom:
    """What is kept beside a lock in the work folder."""

    words: str
    channels: tuple[Channel, ...]
    states: tuple[str, ...]
    """Of the channels, when it was solved."""


def locks_at_hand(project: Project, platform: Platform) -> Locks | None:
    """Return the locks that a run would use, when no solving is needed; None when it is.

    Raises LockError for a committed lock that cannot be used, or for none under --frozen.
    """
    native = _committed(project, platform)
    if native is None and project.frozen:
        raise _frozen(project)
    native = native or _solved_before(project, platform)
    return None if native is None else _with_build_lock(project, native)


def committed_locks(project: Project, platform: Platform) -> Locks:
    """Return the committed locks, whatever --channel says; raises LockError for unusable ones."""
    locks = _with_build_lock(project, committed_stack(project, platform))
    if locks is None:
        raise no_lock(project)
    return locks


def committed_stack(project: Project, platform: Platform) -> LockedStack:
    """Return the native stack of the committed lock, whether there is a build lock or not."""
    native = _committed(replace(project, channel=None), platform)
    if native is None:
        raise no_lock(project)
    return native


def no_lock(project: Project) -> LockError:
    """Return the error that says that nothing is committed."""
    return LockError(
        "there is no lock",
        where=str(project.manifest.lock_path),
        fix="run `geowheel lock` and commit pixi.lock",
    )


def _frozen(project: Project) -> LockError:
    """Return the error for no committed lock: --frozen takes none from the work folder."""
    what = "no lock is committed, and --frozen forbids solving"
    fix = "run `geowheel lock` where the channel can be reached, and commit pixi.lock"
    if project.channel is not None:
        what = f"--frozen wants the committed lock, --channel {project.channel} asks for another"
        fix = "leave out one of the two (GEOWHEEL_CHANNEL counts as --channel)"
    return LockError(what, where=str(project.manifest.lock_path), fix=fix)


def resolve(project: Project, platform: Platform, console: Console) -> Locks:
    """Return the locks for a run: at hand, or solved once no other run solves them.

    Raises LockError or ChannelError, with the ways on.
    """
    if ready := locks_at_hand(project, platform):
        return ready
    with files.held(project.work / "locks" / ".lock", console.wait):
        native = (
            _committed(project, platform)
            or _solved_before(project, platform)
            or _solve_native(project, platform, console)
        )
        if ready := _with_build_lock(project, native):
            return ready
        from .build_solving import solve_build_lock

        wanted = requirements(project, native.stack)
        what = f"GDAL {wanted.gdal_version}'s sdist and requirements"
        if project.unlisted:
            what += f"; the wheel requires {', '.join(project.unlisted)} as well"
        with console.step("lock", what, logs="lock") as step:
            solve_build_lock(
                wanted,
                _work_build_lock(project, wanted),
                macos={platform: macos_versions(project, native.stack)},
                environ=project.machine.environ,
                step=step,
            )
        if ready := _with_build_lock(project, native):
            return ready
    raise LockError("the build lock was solved, but is not what was asked for")


def requirements(project: Project, stack: NativeStack) -> Requirements:
    """Return what the build lock has to hold."""
    platforms = project.manifest.platforms_of(project.config.environment)
    return Requirements(
        gdal_version=stack.gdal_version,
        pythons=project.config.pythons,
        platforms=platforms,
        build=(*project.host.build_system.requires, *project.config.build.requires),
        test=(*project.host.test_requires, *project.unlisted),
        peers=project.config.lab.peers,
        zig=any(map(project.headers, platforms)),
    )


def macos_versions(project: Project, stack: NativeStack) -> tuple[str, ...]:
    """Return the macOS that the stack asks for, then the one that [tool.geowheel.floor] allows.

    A wheel may ask for either, and the first is better. Empty for other systems.
    """
    oldest = oldest_macos(stack)
    return tuple(filter(None, (oldest, project.config.floors.macos))) if oldest else ()


def _committed(project: Project, platform: Platform) -> LockedStack | None:
    """Return what the committed pixi.lock says, or conda-lock.yml where there is no pixi.lock."""
    path = project.manifest.committed_lock
    if project.channel is not None or path is None:
        return None
    if path == project.manifest.lock_path:
        return _read(project, platform, path, project.config.environment)
    try:
        return _read(project, platform, path, conda_lock.ENVIRONMENT)
    except LockError as error:
        fix = (
            "lock again with conda-lock; or remove the file and run `geowheel lock` for a pixi.lock"
        )
        raise LockError([replace(fault, fix=fix) for fault in error.faults]) from None


def _read(project: Project, platform: Platform, path: Path, environment: str) -> LockedStack:
    """Read a committed native stack; raises LockError where it is not what is asked for."""
    spec = project.manifest.environment(project.config.environment, platform)
    channels = offered.configured_channels(spec.channels, project.manifest.path.parent)
    lock = pixi_lock.read_lock(path)
    every = pixi_lock.records(lock, environment, platform, path)
    if faults := pixi_lock.check_satisfies(every, spec, path):
        raise LockError(faults)
    wanted = tuple(channel.url for channel in channels)
    urls = pixi_lock.locked_channels(lock, environment)
    if urls != wanted:
        raise LockError(
            f"locked from {', '.join(urls)}, but pixi.toml asks for {', '.join(wanted)}",
            where=str(path),
            cause="the channels were edited after the lock was made",
            fix="run `geowheel lock`",
        )
    stack = native_stack(every, platform, project.wanted_packages(platform), path)
    elsewhere = {item.name for item in spec.specs if item.from_source}
    checked = [package for package in stack.packages if package.name not in elsewhere]
    if faults := pixi_lock.check_channels(checked, wanted, path):
        raise LockError(faults)
    words = f"{path.name}, locked from {', '.join(spec.channels)}"
    source = Source(committed=True, channels=spec.channels, words=words)
    return _locked(project, stack, source, channels, path)


def _solved_before(project: Project, platform: Platform) -> LockedStack | None:
    spec = project.manifest.environment(project.config.environment, platform)
    folder = _work_lock(project, spec)
    path = folder / "pixi.lock"
    try:
        data = (folder / _SOURCE).read_bytes()
        said = files.from_json(data, _SolvedFrom, lambda kind, text: kind(text))
        if said.states != _states(said.channels, platform):
            return None  # the folder's index changed: what it offers now is not what was locked
        every = pixi_lock.records(pixi_lock.read_lock(path), spec.name, platform, path)
    except (OSError, msgspec.MsgspecError, LockError):
        return None  # not whole, or of another geowheel: it is solved again
    names = tuple(channel.name for channel in said.channels)
    source = Source(committed=False, channels=names, words=said.words)
    stack = native_stack(every, platform, project.wanted_packages(platform), path)
    return _locked(project, stack, source, said.channels, path)


def _locked(
    project: Project, stack: NativeStack, source: Source, channels: tuple[Channel, ...], path: Path
) -> LockedStack:
    mirrors = _mirrors(project).plus(channels)
    return LockedStack(stack=stack, source=source, mirrors=mirrors, channels=channels, path=path)


def _mirrors(project: Project) -> Mirrors:
    return offered.read_mirrors(project.machine, project.manifest.path.parent)


def _states(channels: Sequence[Channel], platform: Platform) -> tuple[str, ...]:
    return tuple(channel.state(platform) for channel in channels)


def _solve_native(project: Project, platform: Platform, console: Console) -> LockedStack:
    spec = project.manifest.environment(project.config.environment, platform)
    names = ", ".join(spec.channels)
    if project.channel is None:
        try:
            channels = offered.configured_channels(spec.channels, project.manifest.path.parent)
            words = f"{names}, not locked: no lock is committed"
            return _solve_into_work(project, spec, channels, words, console)
        except ChannelError as error:
            if not project.config.fallbacks or platform.system is not System.LINUX:
                raise
            console.warn(error.faults[0].what)
            console.warn(
                f"no lock is committed and {names} cannot be reached: using this distribution's "
                f"own packages instead, as channel-fallback = {project.config.channel_fallback!r} "
                "allows"
            )
            channel = _first_of(project.config.fallbacks, project, platform, console)
    elif (suite := offered.distro_suite(project.channel)) is not None:
        channel = distro_channel(project, platform, console, suite)
    else:
        channel = offered.parse_channel(project.channel, project.root)
    instead = f", INSTEAD OF {names}, which was out of reach"
    words = channel.name + (", not locked (--channel)" if project.channel else instead)
    return _solve_into_work(project, spec, (channel,), words, console, configured=False)


def _first_of(
    texts: Sequence[str], project: Project, platform: Platform, console: Console
) -> Channel:
    """Return the first of several distro channels that is whole; a suite may be in flux."""
    from geowheel.distro.channel import check_whole  # only where needed

    *others, last = texts
    own = ask_this() if platform is project.machine.platform else ""
    python = own.python if isinstance(own, Interpreter) and not own.headers else ""
    for text in others:
        try:
            channel = distro_channel(project, platform, console, offered.distro_suite(text) or "")
            check_whole(channel.folder or Path(), platform, project.config.floors.glibc, python)
            return channel
        except (ChannelError, BuildError) as error:
            console.warn(f"{text} cannot be used, the next one is: {error.faults[0].what}")
    return distro_channel(project, platform, console, offered.distro_suite(last) or "")


def _solve_into_work(
    project: Project,
    spec: EnvironmentSpec,
    channels: tuple[Channel, ...],
    words: str,
    console: Console,
    *,
    configured: bool = True,
) -> LockedStack:
    """Solve from channels that pixi.toml names (`configured`), or from another in their place."""
    from .solving import solve_environment

    mirrors = _mirrors(project).plus(channels)
    names = ", ".join(channel.name for channel in channels)
    what = f"solving for {spec.platform} against {names}, into the work folder"
    with console.step("lock", what, logs="lock") as step:
        elsewhere = None if configured else step
        found = solve_environment(project, spec, channels, mirrors, elsewhere=elsewhere)
    folder = _work_lock(project, spec)
    (folder / _SOURCE).unlink(missing_ok=True)  # never the words of another lock
    pixi_lock.write_lock(folder / "pixi.lock", [solved(spec, channels, found)])
    said = _SolvedFrom(words=words, channels=channels, states=_states(channels, spec.platform))
    files.write(folder / _SOURCE, msgspec.json.encode(said, enc_hook=os.fspath))
    native = _solved_before(project, spec.platform)
    if native is None:
        raise LockError("the solved lock was changed while it was read", fix="run it again")
    return native


def solved(
    spec: EnvironmentSpec, channels: Sequence[Channel], found: Sequence[RepoDataRecord]
) -> pixi_lock.Solved:
    """Return what a lock says of one environment on one platform."""
    return pixi_lock.Solved(
        environment=spec.name,
        platform=spec.platform,
        virtual_packages=spec.virtual_packages,
        channels=tuple(channel.url for channel in channels),
        records=found,
    )


def distro_channel(
    project: Project, platform: Platform, console: Console, suite: str, *, refresh: bool = False
) -> Channel:
    """Return the channel of this distribution's packages, made when it is not there (or refreshed).

    It has the platform; others are in it when they were asked for. `suite` is empty for the
    machine's own.
    """
    from geowheel.distro import channel as distro  # only where needed

    distribution = distro.read_distribution(suite)
    name = distro.channel_name(distribution)
    folder = distro.channel_folder(project.machine.cache, distribution)
    if refresh or not distro.is_made(folder, platform):
        whose = f"{suite}'s" if suite else "this distribution's own"
        what = f"{name}: conda packages for {platform} from {whose}"
        with console.step("channel", what, logs="channel") as step:
            made = distro.make_distro_channel(
                folder, distribution, platform=platform, environ=project.machine.environ, step=step
            )
            step.say(f"{made.packages} packages, {made.converted} of them converted now")
    files.touch(folder)
    return offered.folder_channel(folder, name)


def _with_build_lock(project: Project, native: LockedStack) -> Locks | None:
    """Return None where nothing is committed, and the build lock has to be solved."""
    wanted = requirements(project, native.stack)
    committed = native.source.committed
    if committed and project.unlisted:
        raise LockError(
            f"the wheel requires {', '.join(project.unlisted)}, which the build lock does not have",
            where=str(project.folder / FILE_NAME),
            cause="[project] does not list it: the build backend found it elsewhere (setup.py)",
            fix=f"[tool.geowheel.test] requires = {json.dumps(project.unlisted)}, then "
            "`geowheel lock`",
        )
    path = project.folder / FILE_NAME if committed else _work_build_lock(project, wanted)
    if not committed and not path.is_file():
        return None
    lock = read_build_lock(path)
    if lock.solved_from == digest(wanted):
        build = replace(lock, macos=macos_versions(project, native.stack))
        return Locks(**vars(native), build=build)
    if not committed:
        return None
    raise LockError(
        "the build lock is not of this GDAL version, pythons and requirements",
        where=str(path),
        cause=f"pixi.lock has GDAL {wanted.gdal_version}; or pythons, requirements or "
        "platforms were edited since it was made",
        fix="run `geowheel lock`",
    )


def _work_lock(project: Project, spec: EnvironmentSpec) -> Path:
    headers = project.headers(spec.platform)
    own = offered.distro_suite(project.channel) is not None or project.config.fallbacks
    made_by = (toolkit_digest(), project.config.floors.glibc) if own else ""  # both decide
    key = digest((spec, project.channel or "configured", headers, made_by))
    return project.work / "locks" / key[:16]


def _work_build_lock(project: Project, wanted: Requirements) -> Path:
    return project.work / "locks" / digest(wanted)[:16] / FILE_NAME

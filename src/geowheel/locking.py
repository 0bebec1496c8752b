"""The command `lock`: the only one that writes pixi.lock and the build lock into the source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rattler import LockFile, RepoDataRecord

from geowheel.console import Console, Step
from geowheel.digest import digest
from geowheel.errors import ConfigError, Fault, GeowheelError, LockError, UsageError
from geowheel.native import pixi
from geowheel.native.build_lock import FILE_NAME, BuildLock, read_build_lock, solve_build_lock
from geowheel.native.channels import (
    MIRRORS_VARIABLE,
    Channel,
    Mirrors,
    configured_channels,
    read_mirrors,
)
from geowheel.native.locks import committed_locks, requirements, solved
from geowheel.native.manifest import EnvironmentSpec, Manifest
from geowheel.native.pixi_lock import (
    NativeStack,
    NewerLockError,
    Solved,
    closure_of,
    native_stack,
    read_lock,
    records,
    write_lock,
)
from geowheel.native.solve import solve_environment
from geowheel.project import Project
from geowheel.targets import Platform


def lock(project: Project, *, check: bool, console: Console) -> dict[str, Any]:
    """Solve, write what changed, show the difference by package; with `check` only compare.

    Raises LockError when `check` finds a lock missing or stale, or when nothing satisfies the
    specs; ChannelError when a channel or the index cannot be reached; UsageError for --channel.
    """
    _refuse_other_channel(project)
    if check:
        return _check(project, console)
    if not project.manifest.platforms_of(project.config.environment):
        raise _no_platform(project)
    path = project.manifest.lock_path
    before = _stacks_before(project, path)
    with console.step("lock", f"pixi.lock for {', '.join(project.manifest.platforms)}") as step:
        _lock_native(project, path, step)
    after = _stacks(project, path)
    changes = _show_difference(before, after, console)
    _lock_build(project, next(iter(after.values())), console)
    return {"lock": str(path), "changes": changes}


def _no_platform(project: Project) -> ConfigError:
    return ConfigError(
        f"environment {project.config.environment!r} has no platform that geowheel knows",
        where=str(project.manifest.path),
        fix=f"use some of {', '.join(Platform)}",
    )


def _check(project: Project, console: Console) -> dict[str, Any]:
    if not project.manifest.lock_path.is_file():
        raise LockError(
            "there is no lock",
            where=str(project.manifest.lock_path),
            fix="run `nox -s lock` and commit pixi.lock",
        )
    faults: list[Fault] = []
    for platform in project.manifest.platforms_of(project.config.environment):
        try:
            committed_locks(project, platform)
        except GeowheelError as error:
            faults += error.faults
    if faults:
        raise LockError(list(dict.fromkeys(faults)))
    if not project.manifest.platforms_of(project.config.environment):
        raise _no_platform(project)
    console.line("pixi.lock and the build lock satisfy pixi.toml and pyproject.toml")
    return {"satisfied": True}


def _refuse_other_channel(project: Project) -> None:
    """A lock of another channel than pixi.toml's would be refused by every later run."""
    if project.channel is None:
        return
    manifest = project.manifest
    raise UsageError(
        f"a lock holds what the manifest's channels offer: {', '.join(manifest.channels)}, "
        f"not {project.channel}",
        where=str(manifest.path),
        cause="--channel or GEOWHEEL_CHANNEL is set; it is for runs without a lock",
        fix="write the channel into the manifest; or give a mirror of its channel with "
        f"GEOWHEEL_MIRRORS=URL=PLACE; or run `fetch -- --channel {project.channel}` without a lock",
    )


def _lock_native(project: Project, path: Path, step: Step) -> None:
    environ, manifest = project.machine.environ, project.manifest
    channels = _all_channels(manifest)
    mirrors = read_mirrors(environ)
    program = pixi.find_pixi(environ, step)
    reason = _not_for_pixi(channels, environ)
    if program is not None and reason is None:
        step.say(f"solving with pixi {program.version}")
        pixi.lock(program, manifest.path, environ=environ, step=step)
        return
    step.say("solving with py-rattler" + (f": {reason}" if program and reason else ""))
    _refuse_what_only_pixi_can(manifest)
    if manifest.unknown_platforms:
        step.console.warn(
            f"left out of the lock: {', '.join(manifest.unknown_platforms)}; pixi will want them"
        )
    solved = _solve_all(project, path, mirrors.plus(channels))
    write_lock(path, solved)


def _not_for_pixi(channels: Sequence[Channel], environ: Mapping[str, str]) -> str | None:
    """Why pixi would lock something else than what is meant."""
    mirrors = Mirrors() if not environ.get(MIRRORS_VARIABLE) else read_mirrors(environ)
    if any(channel.folder is not None for channel in channels):
        return "pixi would write the path of a folder channel into the lock"
    if any(mirrors.changes(channel.url) for channel in channels):
        return f"{MIRRORS_VARIABLE} is set, which pixi does not know"
    return None


def _all_channels(manifest: Manifest) -> tuple[Channel, ...]:
    """The channels of all environments, each once."""
    names = dict.fromkeys(
        name
        for environment in manifest.environments
        for platform in manifest.platforms_of(environment)
        for name in manifest.environment(environment, platform).channels
    )
    return configured_channels(names, manifest.path.parent)


def _solve_all(project: Project, path: Path, mirrors: Mirrors) -> list[Solved]:
    """Every environment on every platform: pixi accepts a lock only when it is complete."""
    manifest = project.manifest
    before = _lock_before(path)
    found: list[Solved] = []
    together: dict[tuple[str, Platform], list[RepoDataRecord]] = {}
    for environment in manifest.environments:
        for platform in manifest.platforms_of(environment):
            spec = manifest.environment(environment, platform)
            channels = configured_channels(spec.channels, manifest.path.parent)
            group = manifest.solve_group(environment) or f"environment {environment}"
            if (group, platform) not in together:
                together[group, platform] = solve_environment(
                    _with_group(manifest, spec),
                    channels,
                    mirrors=mirrors,
                    cache=project.machine.cache / "repodata",
                    keep=_locked_now(before, spec, path),
                    strict=manifest.strict_priority,
                )
            names = [wanted.name for wanted in spec.specs]
            found.append(solved(spec, channels, closure_of(names, together[group, platform])))
    return found


def _with_group(manifest: Manifest, spec: EnvironmentSpec) -> EnvironmentSpec:
    """The wishes of a whole solve-group, which have to hold together."""
    group = manifest.solve_group(spec.name)
    if group is None:
        return spec
    wishes = {
        wanted
        for name in manifest.environments
        if manifest.solve_group(name) == group and spec.platform in manifest.platforms_of(name)
        for wanted in manifest.environment(name, spec.platform).specs
    }
    return replace(spec, specs=tuple(sorted(wishes, key=lambda s: (s.name, s.text))))


def _lock_before(path: Path) -> LockFile | None:
    try:
        return read_lock(path)
    except NewerLockError:
        raise  # never overwritten by an older program
    except LockError:
        return None  # none yet, or one that has to be made anew


def _locked_now(before: LockFile | None, spec: EnvironmentSpec, path: Path) -> list[RepoDataRecord]:
    """What is locked stays locked where it still fits, as pixi has it."""
    if before is None:
        return []
    try:
        return records(before, spec.name, spec.platform, path)
    except LockError:
        return []  # that environment or platform is new


def _refuse_what_only_pixi_can(manifest: Manifest) -> None:
    if found := manifest.only_for_pixi():
        raise LockError(
            f"only pixi itself can solve {', '.join(found)}",
            where=str(manifest.path),
            fix=f"install pixi {pixi.OLDEST} or newer (pixi.sh) and run `nox -s lock` again",
        )


def _lock_build(project: Project, stack: NativeStack, console: Console) -> None:
    path = project.folder / FILE_NAME
    wanted = requirements(project, stack)
    before = read_build_lock(path) if path.is_file() else None
    if before is not None and before.solved_from == digest(wanted):
        console.line(f"  {path.name} is current")
        return
    with console.step(
        "lock", f"{path.name}: GDAL {wanted.gdal_version}'s sdist and requirements", logs="lock"
    ) as step:
        solve_build_lock(wanted, path, environ=project.machine.environ, step=step)
    _show_build_difference(before, read_build_lock(path), console)


def _stacks_before(project: Project, path: Path) -> dict[Platform, NativeStack]:
    """What the old lock held; nothing where it is missing or not usable: it is made anew."""
    before = _lock_before(path)
    found: dict[Platform, NativeStack] = {}
    for platform in project.manifest.platforms_of(project.config.environment):
        if before is None:
            break
        try:
            found[platform] = _stack(project, before, platform, path)
        except LockError:
            continue  # that platform is new, or lacked something: the difference shows it
    return found


def _stacks(project: Project, path: Path) -> dict[Platform, NativeStack]:
    """The native stack of every platform of the new lock; raises LockError when it has none."""
    lock = read_lock(path)
    return {
        platform: _stack(project, lock, platform, path)
        for platform in project.manifest.platforms_of(project.config.environment)
    }


def _stack(project: Project, lock: LockFile, platform: Platform, path: Path) -> NativeStack:
    every = records(lock, project.config.environment, platform, path)
    return native_stack(every, platform, project.config.wanted_packages, path)


def _show_difference(
    before: Mapping[Platform, NativeStack], after: Mapping[Platform, NativeStack], console: Console
) -> list[dict[str, str]]:
    changes = [
        {"platform": str(platform), "package": name, "before": old, "after": new}
        for platform in sorted({*before, *after})
        for name, old, new in difference(before.get(platform), after.get(platform))
    ]
    if not changes:
        console.line("  pixi.lock: the native stack did not change")
    elif not before:
        counts = ", ".join(f"{p} {len(s.packages)}" for p, s in after.items())
        console.line(f"  pixi.lock: new; packages of the native stack: {counts}")
    else:
        console.table(
            "native stack",
            ["platform", "package", "before", "after"],
            [list(change.values()) for change in changes],
        )
    return changes


def difference(before: NativeStack | None, after: NativeStack | None) -> list[tuple[str, str, str]]:
    """Name, old and new version with build of every package that differs; sorted by name."""

    def versions(stack: NativeStack | None) -> dict[str, str]:
        return {p.name: f"{p.version} {p.build}" for p in stack.packages} if stack else {}

    old, new = versions(before), versions(after)
    return [
        (name, old.get(name, "-"), new.get(name, "-"))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def _show_build_difference(before: BuildLock | None, after: BuildLock, console: Console) -> None:
    def versions(lock: BuildLock | None) -> set[tuple[str, str]]:
        return {(p.name, str(p.version)) for p in lock.pylock.packages} if lock else set()

    gone, come = versions(before) - versions(after), versions(after) - versions(before)
    for sign, packages in (("-", gone), ("+", come)):
        for name, version in sorted(packages):
            console.line(f"    {sign} {name} {version}")

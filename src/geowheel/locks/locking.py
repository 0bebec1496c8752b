"""The command `lock`: the only one that writes locks into the source.

They are pixi.lock, conda-lock.yml beside it (the same packages; see `native.conda_lock`) and the
build lock.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from rattler import LockFile, RepoDataRecord

from geowheel.digest import digest
from geowheel.errors import ConfigError, Fault, GeowheelError, LockError, UsageError
from geowheel.machine import files
from geowheel.machine.console import Console, Step
from geowheel.project.manifest import EnvironmentSpec, Manifest
from geowheel.project.project import Project
from geowheel.targets import Platform

from . import conda_lock, pixi
from .build_lock import BINDINGS, FILE_NAME, BuildLock, read_build_lock, solve_build_lock
from .channels import MIRRORS_VARIABLE, Channel, Mirrors, configured_channels, read_mirrors
from .locks import committed_locks, committed_stack, macos_versions, requirements, solved
from .pixi_lock import (
    FORMAT,
    NativeStack,
    NewerLockError,
    Solved,
    closure_of,
    differing,
    lock_format,
    locked_names,
    native_stack,
    read_lock,
    records,
    write_lock,
)
from .solving import solve_environment
from .upgrades import Upgrade, choose


def lock(
    project: Project,
    *,
    check: bool,
    console: Console,
    asked: Sequence[str] = (),
    new_format: bool = False,
) -> dict[str, Any]:
    """Solve, write what changed, show the difference by package; with `check` only compare.

    What is locked stays locked where it still fits, but for the packages `asked`. Where somebody
    else's conda-lock.yml is the only lock, just the build lock is written. Raises LockError
    when `check` finds a lock missing or stale, when nothing satisfies the specs, or when the lock's
    format would change without `new_format`; ChannelError when a channel or the index cannot be
    reached; UsageError for --channel and for a package that nobody knows; MachineError for a
    conda-lock.yml that cannot be renewed.
    """
    _refuse_other_channel(project)
    if check:
        if asked or new_format:
            raise UsageError("--check writes nothing, --upgrade does", fix="leave out one of them")
        return _check(project, console)
    if not project.manifest.platforms_of(project.config.environment):
        raise _no_platform(project)
    if _is_of_conda_lock(project):
        return _lock_build_only(project, asked, new_format, console)
    conda_lock.refuse_what_would_be_lost(project.manifest)
    path = project.manifest.lock_path
    before = _stacks_before(project, path)
    upgrade, names = _upgrade(project, path, asked, new_format)
    with console.step("lock", f"pixi.lock for {', '.join(project.manifest.platforms)}") as step:
        _lock_native(project, path, upgrade, step)
    after = _stacks(project, path)
    changes = _show_difference(before, after, console)
    _say_what_stayed(upgrade, names, locked_names(read_lock(path)), console)
    _write_conda_lock(project, console)
    _lock_build(project, after, upgrade, console)
    return {"lock": str(path), "changes": changes}


def _is_of_conda_lock(project: Project) -> bool:
    """Whether conda-lock itself made the only lock that is here."""
    path = project.manifest.committed_lock
    return path == project.manifest.conda_lock_path and not conda_lock.is_ours(path)


def _lock_build_only(
    project: Project, asked: Sequence[str], new_format: bool, console: Console
) -> dict[str, Any]:
    """The build lock for the GDAL that conda-lock locked; its own file stays as it is."""
    path = project.manifest.conda_lock_path
    if new_format:
        raise UsageError("--upgrade-format is about pixi.lock, and there is none", where=str(path))
    platforms = project.manifest.platforms_of(project.config.environment)
    stacks = {platform: committed_stack(project, platform) for platform in platforms}
    # All index packages are known to `choose`; conda's are not, since only conda-lock changes them.
    upgrade, _ = _upgrade(project, path, asked, new_format)
    if upgrade.conda:
        raise UsageError(
            f"--upgrade {', '.join(sorted(upgrade.conda))}: locked by conda-lock, not by geowheel",
            where=str(path),
            fix="run `conda-lock lock --update PKG`; or remove the file, and `geowheel lock` "
            "writes pixi.lock",
        )
    console.result(f"  {path.name} is the lock here; no pixi.lock is written while it is")
    _lock_build(project, stacks, upgrade, console)
    return {"lock": str(path), "changes": []}


def _write_conda_lock(project: Project, console: Console) -> None:
    """Render the finished pixi.lock; say in one line when that is left out."""
    manifest = project.manifest
    path = manifest.conda_lock_path
    if reason := conda_lock.lacking():
        console.result(f"  {path.name} is not written: {reason} ({conda_lock.INSTALL})")
        return
    before = path.read_bytes() if path.is_file() else None
    try:
        conda_lock.write(path, read_lock(manifest.lock_path), manifest, project.config.environment)
    except LockError as error:
        if before is not None:
            raise  # it would stay, and be stale
        console.warn(f"{path.name} is not written: {error.faults[0].what}")
        return
    if before != path.read_bytes():
        console.result(f"  {path.name}: written from pixi.lock")


def _upgrade(
    project: Project, path: Path, asked: Sequence[str], new_format: bool
) -> tuple[Upgrade, dict[str, set[str]]]:
    """What is let go of, and all conda packages that are locked now with their versions."""
    before = _lock_before(path)
    names = locked_names(before) if before else {}
    manifest = project.manifest
    specs = {
        wanted.name
        for environment in manifest.environments
        for platform in manifest.platforms_of(environment)
        for wanted in manifest.environment(environment, platform).specs
    }
    build = _build_lock_before(project)
    wishes = (
        *BINDINGS,
        *project.host.build_system.requires,
        *project.config.build.requires,
        *project.config.test.requires,
    )
    index = {Requirement(text).name for text in wishes}
    if build is not None:
        index |= {str(package.name) for package in build.pylock.packages}
    upgrade = choose(asked, conda={*names, *specs}, index=index, new_format=new_format)
    # A new wish is solved anyway, and pixi knows only what is locked.
    return replace(upgrade, conda=upgrade.conda & set(names)), names


def _say_what_stayed(
    upgrade: Upgrade,
    before: Mapping[str, set[str]],
    after: Mapping[str, set[str]],
    console: Console,
) -> None:
    for name in sorted(upgrade.conda):
        if before[name] == after.get(name):
            console.result(
                f"  {name} stays at {', '.join(sorted(before[name]))}: nothing newer fits"
            )


def _no_platform(project: Project) -> ConfigError:
    return ConfigError(
        f"environment {project.config.environment!r} has no platform that geowheel knows",
        where=str(project.manifest.path),
        fix=f"use some of {', '.join(Platform)}",
    )


def _check(project: Project, console: Console) -> dict[str, Any]:
    used = project.manifest.committed_lock
    if used is None:
        raise LockError(
            "there is no lock",
            where=str(project.manifest.lock_path),
            fix="run `geowheel lock` and commit pixi.lock",
        )
    faults: list[Fault] = []
    for platform in project.manifest.platforms_of(project.config.environment):
        try:
            committed_locks(project, platform)
        except GeowheelError as error:
            faults += error.faults
    if used == project.manifest.lock_path:
        faults += conda_lock.stale(project.manifest, project.config.environment)
    if faults:
        raise LockError(list(dict.fromkeys(faults)))
    if not project.manifest.platforms_of(project.config.environment):
        raise _no_platform(project)
    console.result(f"{used.name} and the build lock satisfy pixi.toml and pyproject.toml")
    return {"satisfied": True}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if names[5:] else "")


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
        "GEOWHEEL_MIRRORS=URL=PLACE; or make a wheel without a lock: "
        f"`geowheel wheel --channel {shlex.quote(project.channel)}`",
    )


def _lock_native(project: Project, path: Path, upgrade: Upgrade, step: Step) -> None:
    environ, manifest = project.machine.environ, project.manifest
    channels = _all_channels(manifest)
    mirrors = read_mirrors(environ)
    program = pixi.find_pixi(environ, step)
    reason = _not_for_pixi(channels, environ)
    if program is not None and reason is None:
        step.say(f"solving with pixi {program.version}")
        _lock_with_pixi(program, project, path, upgrade, step)
        return
    step.say("solving with py-rattler" + (f": {reason}" if program and reason else ""))
    _refuse_what_only_pixi_can(manifest)
    if manifest.unknown_platforms:
        step.console.warn(
            f"left out of the lock: {', '.join(manifest.unknown_platforms)}; pixi will want them"
        )
    found = _solve_all(project, path, upgrade, mirrors.plus(channels))
    if _keeps_format(path, upgrade):
        changed = differing(read_lock(path), found)
        if changed:
            raise _other_format(path, changed)
        step.say(f"pixi.lock stays as it is, in format {lock_format(path)}")
        return
    write_lock(path, found)


def _lock_with_pixi(
    program: pixi.Pixi, project: Project, path: Path, upgrade: Upgrade, step: Step
) -> None:
    """pixi writes its newest format whatever was there, even with `lock --check` (0.77)."""
    manifest, environ = project.manifest.path, project.machine.environ
    if _keeps_format(path, upgrade):
        changed = pixi.would_change(program, manifest, upgrade, environ=environ, step=step)
        if changed:
            raise _other_format(path, changed)
        step.say(f"pixi.lock stays as it is, in format {lock_format(path)}")
        return
    with _format_kept(path, upgrade):
        pixi.lock(program, manifest, upgrade, environ=environ, step=step)


def _keeps_format(path: Path, upgrade: Upgrade) -> bool:
    """Whether the lock is of an older format than what would be written, and has to stay so."""
    if upgrade.new_format or _lock_before(path) is None:
        return False
    return (lock_format(path) or FORMAT) < FORMAT


@contextmanager
def _format_kept(path: Path, upgrade: Upgrade) -> Iterator[None]:
    """Puts the lock back if a pixi newer than we know of wrote a newer format; raises LockError."""
    before = lock_format(path)
    if before is None or upgrade.new_format:
        yield
        return
    old = path.read_bytes()
    try:
        yield
    finally:
        changed = (lock_format(path) or 0) > before
        if changed:
            files.write(path, old)
    if changed:
        raise _other_format(path, ())


def _other_format(path: Path, changed: Sequence[str]) -> LockError:
    return LockError(
        f"the lock is of format {lock_format(path)}, and would be written in a newer one"
        + (f" (to change: {_some(changed)})" if changed else ""),
        where=str(path),
        cause="it was made by an older pixi; colleagues' pixi may be as old, and could not read it",
        fix=f"make sure that everybody has pixi {pixi.OLDEST} or newer, then run "
        "`geowheel lock --upgrade-format`",
    )


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


def _solve_all(project: Project, path: Path, upgrade: Upgrade, mirrors: Mirrors) -> list[Solved]:
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
                    keep=[
                        record
                        for record in _locked_now(before, spec, path)
                        if upgrade.keeps_conda(record.name.normalized)
                    ],
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
            fix=f"install pixi {pixi.OLDEST} or newer (pixi.sh) and run `geowheel lock` again",
        )


def _build_lock_before(project: Project) -> BuildLock | None:
    """The build lock as it is; None where it is missing or not usable: it is made anew."""
    try:
        return read_build_lock(project.folder / FILE_NAME)
    except LockError:
        return None


def _lock_build(
    project: Project, stacks: Mapping[Platform, NativeStack], upgrade: Upgrade, console: Console
) -> None:
    path = project.folder / FILE_NAME
    wanted = requirements(project, next(iter(stacks.values())))
    before = _build_lock_before(project)
    current = before is not None and before.solved_from == digest(wanted)
    if current and not upgrade.of_index:
        console.result(f"  {path.name} is current")
        return
    locked = before.pylock.packages if before else ()
    with console.step(
        "lock", f"{path.name}: GDAL {wanted.gdal_version}'s sdist and requirements", logs="lock"
    ) as step:
        solve_build_lock(
            wanted,
            path,
            keep=[package for package in locked if upgrade.keeps_index(package.name)],
            macos={p: macos_versions(project, stack) for p, stack in stacks.items()},
            environ=project.machine.environ,
            step=step,
        )
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
        console.result("  pixi.lock: the native stack did not change")
    elif not before:
        counts = ", ".join(f"{p} {len(s.packages)}" for p, s in after.items())
        console.result(f"  pixi.lock: new; packages of the native stack: {counts}")
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
            console.result(f"    {sign} {name} {version}")

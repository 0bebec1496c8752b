"""The command `lock`: the only one that writes locks into the source.

They are pixi.lock, conda-lock.yml beside it (the same packages; see `conda_lock`) and the build
lock.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement

from geowheel.digest import digest
from geowheel.errors import ConfigError, Fault, GeowheelError, LockError, UsageError
from geowheel.machine import files
from geowheel.machine.console import Console
from geowheel.project.project import Project
from geowheel.targets import Platform

from . import conda_lock
from .build_lock import BINDINGS, FILE_NAME, BuildLock, read_build_lock
from .build_solving import solve_build_lock
from .in_use import committed_locks, committed_stack, macos_versions, no_lock, requirements
from .native_locking import lock_before, lock_native
from .native_stack import NativeStack, native_stack
from .pixi_lock import locked_names, read_lock, records
from .upgrades import Upgrade, choose

if TYPE_CHECKING:
    from rattler import LockFile


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
    manifest = project.manifest
    platforms = manifest.platforms_of(project.config.environment)
    if check and (asked or new_format):
        raise UsageError("--check writes nothing, --upgrade does", fix="leave out one of them")
    if check:
        _check(project)
    if not platforms:
        raise ConfigError(
            f"environment {project.config.environment!r} has no platform that geowheel knows",
            where=str(manifest.path),
            fix=f"use some of {', '.join(Platform)}",
        )
    path = manifest.committed_lock or manifest.lock_path
    if check:
        console.result(f"{path.name} and the build lock satisfy pixi.toml and pyproject.toml")
        return {"satisfied": True}
    # conda-lock itself may have made the only lock that is here.
    if path == manifest.conda_lock_path and not conda_lock.is_ours(path):
        return _lock_build_only(project, asked, new_format, console)
    conda_lock.refuse_what_would_be_lost(manifest)
    path = manifest.lock_path
    old = lock_before(path)
    before = _stacks(project, old, whole=False)
    names = locked_names(old) if old else {}
    upgrade = _upgrade(project, names, asked, new_format)
    with console.step("lock", f"pixi.lock for {', '.join(manifest.platforms)}") as step:
        lock_native(project, upgrade, step)
    new = read_lock(path)
    after = _stacks(project, new, whole=True)
    changes = _show_difference(before, after, console)
    now = locked_names(new)
    for name in sorted(upgrade.conda):
        if names[name] == now.get(name):
            versions = ", ".join(sorted(names[name]))
            console.result(f"  {name} stays at {versions}: nothing newer fits")
    _write_conda_lock(project, console)
    _lock_build(project, after, upgrade, console)
    return {"lock": str(path), "changes": changes}


def _lock_build_only(
    project: Project, asked: Sequence[str], new_format: bool, console: Console
) -> dict[str, Any]:
    """Return the build lock for the GDAL that conda-lock locked; its own file stays as it is."""
    path = project.manifest.conda_lock_path
    if new_format:
        what = "--upgrade-format is about pixi.lock, and there is none"
        raise UsageError(what, where=str(path), fix="leave it out, or remove this file first")
    platforms = project.manifest.platforms_of(project.config.environment)
    stacks = {platform: committed_stack(project, platform).stack for platform in platforms}
    # All index packages are known to `choose`; conda's are not, since only conda-lock changes them.
    upgrade = _upgrade(project, locked_names(read_lock(path)), asked, new_format)
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
        lock = read_lock(manifest.lock_path)
        text = conda_lock.render(lock, manifest, project.config.environment)
    except LockError as error:
        if before is not None:
            raise  # it would stay, and be stale
        console.warn(f"{path.name} is not written: {error.faults[0].what}")
        return
    if before != text.encode():
        files.write(path, text)
        console.result(f"  {path.name}: written from pixi.lock")


def _upgrade(
    project: Project, locked: Mapping[str, object], asked: Sequence[str], new_format: bool
) -> Upgrade:
    """Return what is let go of, given the names of all conda packages that are locked now."""
    manifest = project.manifest
    specs = {
        wanted.name
        for environment in manifest.environments
        for platform in manifest.platforms_of(environment)
        for wanted in manifest.environment(environment, platform).specs
    }
    wishes = (
        *BINDINGS,
        *project.host.build_system.requires,
        *project.config.build.requires,
        *project.host.test_requires,
    )
    index = {Requirement(text).name for text in wishes}
    if (build := usable_build_lock(project)) is not None:
        index |= {str(package.name) for package in build.pylock.packages}
    upgrade = choose(asked, conda={*locked, *specs}, index=index, new_format=new_format)
    # A new wish is solved anyway, and pixi knows only what is locked.
    return replace(upgrade, conda=upgrade.conda & set(locked))


def _check(project: Project) -> None:
    """Raise LockError where a committed lock is missing, or is not what is asked for."""
    manifest, environment = project.manifest, project.config.environment
    if manifest.committed_lock is None:
        raise no_lock(project)
    faults: list[Fault] = []
    for platform in manifest.platforms_of(environment):
        try:
            committed_locks(project, platform)
        except GeowheelError as error:
            faults += error.faults
    if manifest.committed_lock == manifest.lock_path:
        faults += conda_lock.stale(manifest, environment)
    if faults:
        raise LockError(list(dict.fromkeys(faults)))


def _refuse_other_channel(project: Project) -> None:
    """Refuse another channel than pixi.toml's: every later run would refuse the lock."""
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


def usable_build_lock(project: Project) -> BuildLock | None:
    """Return the build lock as it is; None where it is missing or not usable: it is made anew."""
    try:
        return read_build_lock(project.folder / FILE_NAME)
    except LockError:
        return None


def _lock_build(
    project: Project, stacks: Mapping[Platform, NativeStack], upgrade: Upgrade, console: Console
) -> None:
    path = project.folder / FILE_NAME
    wanted = requirements(project, next(iter(stacks.values())))
    before = usable_build_lock(project)
    if before is not None and before.solved_from == digest(wanted) and not upgrade.of_index:
        console.result(f"  {path.name} is current")
        return
    locked = before.pylock.packages if before else ()
    what = f"{path.name}: GDAL {wanted.gdal_version}'s sdist and requirements"
    with console.step("lock", what, logs="lock") as step:
        solve_build_lock(
            wanted,
            path,
            keep=[package for package in locked if upgrade.keeps_index(package.name)],
            macos={p: macos_versions(project, stack) for p, stack in stacks.items()},
            environ=project.machine.environ,
            step=step,
        )
    old, new = (
        {(p.name, str(p.version)) for p in packages}
        for packages in (locked, read_build_lock(path).pylock.packages)
    )
    for sign, packages in (("-", old - new), ("+", new - old)):
        for name, version in sorted(packages):
            console.result(f"    {sign} {name} {version}")


def _stacks(project: Project, lock: LockFile | None, *, whole: bool) -> dict[Platform, NativeStack]:
    """Return the native stack of every platform; raises LockError when a `whole` lock lacks one."""
    path = project.manifest.lock_path
    found: dict[Platform, NativeStack] = {}
    for platform in project.manifest.platforms_of(project.config.environment):
        if lock is None:
            break
        try:
            every = records(lock, project.config.environment, platform, path)
            found[platform] = native_stack(every, platform, project.wanted_packages(platform), path)
        except LockError:
            if whole:
                raise
            # That platform is new, or lacked something: the difference shows it.
    return found


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
        headings = ["platform", "package", "before", "after"]
        console.table("native stack", headings, [list(change.values()) for change in changes])
    return changes


def difference(before: NativeStack | None, after: NativeStack | None) -> list[tuple[str, str, str]]:
    """Return name, old and new version with build of every package that differs; sorted by name."""
    old, new = (
        {p.name: f"{p.version} {p.build}" for p in stack.packages} if stack else {}
        for stack in (before, after)
    )
    return [
        (name, old.get(name, "-"), new.get(name, "-"))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]

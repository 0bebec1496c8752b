"""The command `lock`: the only one that writes pixi.lock and the build lock into the source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rattler import RepoDataRecord

from .console import Console, Step
from .digest import digest
from .errors import Fault, GeowheelError, LockError
from .native import pixi
from .native.build_lock import FILE_NAME, BuildLock, read_build_lock, solve_build_lock
from .native.channels import Channel, named_channel, read_mirrors
from .native.locks import chosen_channel, locks_at_hand, requirements
from .native.manifest import EnvironmentSpec, Manifest
from .native.pixi_lock import NativeStack, native_stack, read_lock, records, write_lock
from .native.solve import solve_environment
from .project import Project
from .targets import Platform


def lock(project: Project, *, check: bool, console: Console) -> dict[str, Any]:
    """Solve, write what changed, show the difference by package; with `check` only compare.

    Raises LockError when `check` finds a lock missing or stale, or when nothing satisfies the
    specs; ChannelError when a channel or the index cannot be reached.
    """
    if check:
        return _check(project, console)
    path = project.manifest.lock_path
    before = _stacks(project, path)
    with console.step("lock", f"pixi.lock for {', '.join(project.manifest.platforms)}") as step:
        _lock_native(project, path, console, step)
    after = _stacks(project, path)
    if not after:
        raise LockError("the lock holds no platform that geowheel knows", where=str(path))
    changes = _show_difference(before, after, console)
    _lock_build(project, next(iter(after.values())), console)
    return {"lock": str(path), "changes": changes}


def _check(project: Project, console: Console) -> dict[str, Any]:
    if not project.manifest.lock_path.is_file():
        raise LockError(
            "there is no lock",
            where=str(project.manifest.lock_path),
            fix="run `nox -s lock` and commit pixi.lock",
        )
    faults: list[Fault] = []
    for platform in project.manifest.platforms:
        try:
            locks_at_hand(project, platform)
        except GeowheelError as error:
            faults += error.faults
    if faults:
        raise LockError(list(dict.fromkeys(faults)))
    console.line("pixi.lock and the build lock satisfy pixi.toml and pyproject.toml")
    return {"satisfied": True}


def _lock_native(project: Project, path: Path, console: Console, step: Step) -> None:
    environ = project.machine.environ
    program = pixi.find_pixi(environ, step) if project.channel is None else None
    if program is not None:
        step.say(f"solving with pixi {program.version}")
        pixi.lock(program, project.manifest.path, environ=environ, step=step)
        return
    step.say("solving with py-rattler")
    _refuse_python_packages(project.manifest)
    if project.channel is None:
        channels = tuple(map(named_channel, project.manifest.channels))
        platforms: Sequence[Platform] = project.manifest.platforms
    else:
        channels = (chosen_channel(project, console),)
        platforms = _platforms_of(channels[0], project.manifest.platforms)
    _solve_all(project, path, channels, platforms)


def _solve_all(
    project: Project, path: Path, channels: Sequence[Channel], platforms: Sequence[Platform]
) -> None:
    """Every environment on every platform: pixi accepts a lock only when it is complete."""
    manifest = project.manifest
    mirrors = read_mirrors(project.machine.environ).plus(tuple(channels))
    solved: dict[str, dict[Platform, Sequence[RepoDataRecord]]] = {}
    virtual: dict[Platform, tuple[str, ...]] = {}
    for environment in manifest.environments:
        for platform in platforms:
            spec = manifest.environment(environment, platform)
            virtual[platform] = spec.virtual_packages
            solved.setdefault(environment, {})[platform] = solve_environment(
                spec,
                channels,
                mirrors=mirrors,
                cache=project.machine.cache / "repodata",
                keep=_locked_now(path, spec),
            )
    write_lock(
        path, solved, channels=[channel.url for channel in channels], virtual_packages=virtual
    )


def _locked_now(path: Path, spec: EnvironmentSpec) -> list[RepoDataRecord]:
    """What is locked stays locked where it still fits, as pixi has it."""
    if not path.is_file():
        return []
    try:
        return records(read_lock(path), spec.name, spec.platform, path)
    except LockError:
        return []  # that environment or platform is new


def _platforms_of(channel: Channel, wanted: Sequence[Platform]) -> list[Platform]:
    """A folder channel may hold one platform only: those are what can be locked from it."""
    if channel.folder is None:
        return list(wanted)
    return [p for p in wanted if (channel.folder / p / "repodata.json").is_file()]


def _refuse_python_packages(manifest: Manifest) -> None:
    tables = [manifest.data, *manifest.data.get("feature", {}).values()]
    if any(table.get("pypi-dependencies") for table in tables):
        raise LockError(
            "pixi.toml has pypi-dependencies, which only pixi itself can solve",
            where=str(manifest.path),
            fix=f"install pixi {pixi.OLDEST} or newer and run `nox -s lock` again",
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


def _stacks(project: Project, path: Path) -> dict[Platform, NativeStack]:
    """The native stack of every locked platform; none where the lock is missing or unreadable."""
    found: dict[Platform, NativeStack] = {}
    if not path.is_file():
        return found
    parsed = read_lock(path)
    for platform in project.manifest.platforms:
        try:
            every = records(parsed, project.config.environment, platform, path)
        except LockError:
            continue  # not locked: the difference shows it
        found[platform] = native_stack(every, platform, project.config.plugins, path)
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

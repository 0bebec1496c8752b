"""Writing pixi.lock: by pixi where it is installed, else by py-rattler."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from geowheel.errors import LockError, some
from geowheel.machine import files
from geowheel.machine.console import Step
from geowheel.project.manifest import EnvironmentSpec, Manifest
from geowheel.project.project import Project
from geowheel.targets import Platform

from . import pixi, pixi_lock
from .channels import MIRRORS_VARIABLE, Channel, Mirrors, configured_channels, read_mirrors
from .in_use import solved
from .native_stack import closure_of
from .pixi_config import config_at, project_file
from .solving import solve_environment
from .upgrades import Upgrade

if TYPE_CHECKING:
    from rattler import LockFile, RepoDataRecord


def lock_native(project: Project, upgrade: Upgrade, step: Step) -> None:
    """Bring pixi.lock up to date; raises LockError or ChannelError where that cannot be.

    What is written is of the newest format, even by `pixi lock --check` (0.77). A lock of an older
    one is put back unless that was asked for.
    """
    path = project.manifest.lock_path
    before, had = lock_before(path), pixi_lock.lock_format(path) or 0
    old = b"" if before is None else path.read_bytes()
    newer, changed = False, list[str]()
    try:
        _write(project, before, upgrade, step)
    finally:
        newer = (pixi_lock.lock_format(path) or 0) > had
        if before is not None and newer and not upgrade.new_format:
            with suppress(LockError):  # of a format that is newer than we know
                changed = pixi_lock.differing(before, pixi_lock.read_lock(path))
                newer = bool(changed)
            files.write(path, old)
    if before is None or upgrade.new_format or path.read_bytes() != old:
        return
    if newer:
        raise LockError(
            f"the lock is of format {had}, and would be written in a newer one"
            + (f" (to change: {some(changed)})" if changed else ""),
            where=str(path),
            cause="it was made by an older pixi; colleagues' pixi may be as old, and could not "
            "read it",
            fix=f"make sure that everybody has pixi {pixi.OLDEST} or newer, then run "
            "`geowheel lock --upgrade-format`",
        )
    if had < pixi_lock.FORMAT:
        step.say(f"pixi.lock stays as it is, in format {had}")


def _write(project: Project, before: LockFile | None, upgrade: Upgrade, step: Step) -> None:
    """Let pixi write the lock, or do so."""
    manifest = project.manifest
    channels = _all_channels(manifest)
    mirrors = read_mirrors(project.machine, manifest.path.parent)
    program = pixi.find_pixi(project.machine.environ, step)
    reason = _not_for_pixi(project, channels, mirrors)
    if program is not None and reason is None:
        step.say(f"solving with pixi {program.version}")
        asked = {c.url: mirrors.of(c.url) for c in channels if mirrors.changes(c.url)}
        pixi.lock(program, manifest.path, upgrade, asked, step)
        return
    step.say("solving with py-rattler" + (f": {reason}" if program and reason else ""))
    if found := manifest.only_for_pixi():
        raise LockError(
            f"only pixi itself can solve {', '.join(found)}",
            where=str(manifest.path),
            fix=f"install pixi {pixi.OLDEST} or newer (pixi.sh) and run `geowheel lock` again",
        )
    if manifest.unknown_platforms:
        names = ", ".join(manifest.unknown_platforms)
        step.console.warn(f"left out of the lock: {names}; pixi will want them")
    new = _solve_all(project, before, upgrade, mirrors.plus(channels))
    pixi_lock.write_lock(manifest.lock_path, new)


def lock_before(path: Path) -> LockFile | None:
    """Return the lock as it is; None where there is none yet, or one that has to be made anew."""
    try:
        return pixi_lock.read_lock(path)
    except pixi_lock.NewerLockError:
        raise  # never overwritten by an older program
    except LockError:
        return None


def _not_for_pixi(project: Project, channels: Sequence[Channel], mirrors: Mirrors) -> str | None:
    """Return why pixi would lock something else than what is meant."""
    if any(channel.folder is not None for channel in channels):
        return "pixi would write the path of a folder channel into the lock"
    if not pixi.can_reach([channel.url for channel in channels], mirrors):
        return "a mirror is a folder, which pixi does not take for one"
    environ, file = project.machine.environ, project_file(project.manifest.path.parent)
    alone = [name for name in ("PIXI_CONFIG_FILE", "PIXI_NO_CONFIG") if environ.get(name)]
    if environ.get(MIRRORS_VARIABLE) and (alone or "mirrors" in config_at(file)):
        return f"pixi would go by {' '.join(alone) or file}, not by {MIRRORS_VARIABLE}"
    return None


def _all_channels(manifest: Manifest) -> tuple[Channel, ...]:
    """Return the channels of all environments, each once."""
    names = dict.fromkeys(
        name
        for environment in manifest.environments
        for platform in manifest.platforms_of(environment)
        for name in manifest.environment(environment, platform).channels
    )
    return configured_channels(names, manifest.path.parent)


def _solve_all(
    project: Project, before: LockFile | None, upgrade: Upgrade, mirrors: Mirrors
) -> list[pixi_lock.Solved]:
    """Return every environment on every platform: pixi accepts a lock only when it is complete."""
    manifest = project.manifest
    found: list[pixi_lock.Solved] = []
    together: dict[tuple[str, Platform], list[RepoDataRecord]] = {}
    for environment in manifest.environments:
        for platform in manifest.platforms_of(environment):
            spec = manifest.environment(environment, platform)
            channels = configured_channels(spec.channels, manifest.path.parent)
            group = manifest.solve_group(environment) or f"environment {environment}"
            if (group, platform) not in together:
                # What is locked stays locked where it still fits, as pixi has it.
                locked: list[RepoDataRecord] = []
                with suppress(LockError):  # that environment or platform is new
                    if before is not None:
                        path = manifest.lock_path
                        locked = pixi_lock.records(before, environment, platform, path)
                together[group, platform] = solve_environment(
                    project,
                    _with_group(manifest, spec),
                    channels,
                    mirrors,
                    keep=[r for r in locked if upgrade.keeps_conda(r.name.normalized)],
                )
            names = [wanted.name for wanted in spec.specs]
            found.append(solved(spec, channels, closure_of(names, together[group, platform])))
    return found


def _with_group(manifest: Manifest, spec: EnvironmentSpec) -> EnvironmentSpec:
    """Return the wishes of a whole solve-group, which have to hold together."""
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

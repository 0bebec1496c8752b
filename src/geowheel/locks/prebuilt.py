"""Prebuilt bindings: the channel's own `gdal` package, for targets that nothing here compiles for.

Only that one record is taken, from an environment that holds an interpreter beside the native
stack; everything else of it stays where it is. The prefix is the same for every interpreter.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rattler import RepoDataRecord

from geowheel.digest import digest
from geowheel.errors import LockError
from geowheel.machine.console import Console
from geowheel.project.manifest import EnvironmentSpec
from geowheel.project.pixi_tables import Spec
from geowheel.project.project import Project
from geowheel.targets import GDAL_PACKAGE, Target

from .assets import Package
from .channels import Channel
from .conda_lock import FILE_NAME as CONDA_LOCK
from .in_use import Locks, solved
from .native_stack import BINDINGS
from .pixi_lock import read_lock, records, write_lock
from .solving import solve_environment


def environment_of(target: Target) -> str:
    """Return the pixi environment that a committed lock has the bindings in: `gdal-py312`."""
    return f"{BINDINGS}-py{target.python.replace('.', '')}"


def prebuilt_at_hand(project: Project, target: Target, locks: Locks) -> Package | None:
    """Return the package of the bindings, when no solving is needed; None when it is.

    Raises LockError for a committed lock that has none that fits the native stack.
    """
    if locks.source.committed:
        return _committed(target, locks)
    path = _work_lock(project, _spec(project, target, locks), locks.channels)
    try:
        every = records(read_lock(path), project.config.environment, target.platform, path)
    except LockError:
        return None
    return _fitting(every, target, locks, path)


def resolve_prebuilt(project: Project, target: Target, locks: Locks, console: Console) -> Package:
    """Return the package of the bindings, solved into the work folder where none is at hand.

    Raises LockError when the channel has no bindings for the target, ChannelError when it cannot
    be reached.
    """
    if (ready := prebuilt_at_hand(project, target, locks)) is not None:
        return ready
    spec = _spec(project, target, locks)
    with console.step("lock", f"prebuilt bindings for {target}", logs="lock"):
        found = solve_environment(project, spec, locks.channels, locks.mirrors)
    path = _work_lock(project, spec, locks.channels)
    write_lock(path, [solved(spec, locks.channels, found)])
    return _fitting(found, target, locks, path)


def _committed(target: Target, locks: Locks) -> Package:
    name = environment_of(target)
    lock = read_lock(locks.path)
    if locks.path.name == CONDA_LOCK:
        raise LockError(
            f"no prebuilt bindings for {target} can be in it",
            where=str(locks.path),
            cause="conda-lock's format has one environment, each interpreter needs its own",
            fix="remove it and run `geowheel lock` for a pixi.lock, or compile the bindings",
        )
    if lock.environment(name) is None:
        raise LockError(
            f"no environment {name!r} with prebuilt bindings for {target}",
            where=str(locks.path),
            cause="a lock has one environment for each interpreter whose bindings are prebuilt",
            fix="add it to pixi.toml, then run `geowheel lock`:\n" + _snippet(target),
        )
    return _fitting(records(lock, name, target.platform, locks.path), target, locks, locks.path)


def _snippet(target: Target) -> str:
    """Return what a pixi.toml needs for it."""
    name = environment_of(target)
    return (
        f'[feature.{name}.dependencies]\n{BINDINGS} = "*"\npython = "{target.python}.*"\n\n'
        f'[environments]\n{name} = {{ features = ["{name}"], solve-group = "default" }}'
    )


def _spec(project: Project, target: Target, locks: Locks) -> EnvironmentSpec:
    """Return an environment of the host's platform with this interpreter's bindings and exactly the
    libgdal that the native stack has. What else pixi.toml asks for has no part in them."""
    library = locks.stack.gdal
    specs = (
        Spec(name=BINDINGS, text=f"{BINDINGS} =={library.version}"),
        Spec(name=GDAL_PACKAGE, text=f"{GDAL_PACKAGE} =={library.version} {library.build}"),
        Spec(name="python", text=f"python {target.version}.*"),
    )
    spec = project.manifest.environment(project.config.environment, target.platform)
    return replace(spec, specs=specs)


def _work_lock(project: Project, spec: EnvironmentSpec, channels: Sequence[Channel]) -> Path:
    key = digest((spec, tuple((c.url, c.state(spec.platform)) for c in channels)))
    return project.work / "locks" / key[:16] / "pixi.lock"


def _fitting(every: Sequence[RepoDataRecord], target: Target, locks: Locks, path: Path) -> Package:
    """Return the bindings' record; raises LockError when its libgdal is not the native stack's."""
    named = [record for record in every if record.name.normalized in (BINDINGS, GDAL_PACKAGE)]
    packages = {package.name: package for package in map(Package.of, named)}
    bindings = packages.get(BINDINGS)
    library, wanted = packages.get(GDAL_PACKAGE), locks.stack.gdal
    if bindings is None:
        raise LockError(
            f"the environment has no package {BINDINGS} for {target}",
            where=str(path),
            fix="add it to pixi.toml, then run `geowheel lock`:\n" + _snippet(target),
        )
    if library is None or library.sha256 != wanted.sha256:
        raise LockError(
            f"the bindings for {target} are locked with {library}, the native stack has {wanted}",
            where=str(path),
            cause="their environments were solved apart",
            fix="give both one solve-group in pixi.toml, then run `geowheel lock`",
        )
    return bindings

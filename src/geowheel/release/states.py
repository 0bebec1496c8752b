"""Where each target of a host stands on the way to a release, for `status`."""

from dataclasses import dataclass, replace

from geowheel.errors import GeowheelError
from geowheel.project.project import Project
from geowheel.targets import Target

from .subject import ReleaseSubject
from .world import OnIndex, Repaired, World, read_world


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where one target stands."""

    wheel: str
    """`missing`, `built`, or why the newest wheel is not what would be released: `stale: ...`."""
    released: str
    """`yes`, `no`, or why that is not known."""


def states(project: Project) -> dict[Target, Standing]:
    """Find where each target of a release stands; reads git, ledger, locks and index."""
    subject = ReleaseSubject(
        name=project.host.name,
        folder=project.folder,
        root=project.root,
        settings=project.config.release,
        machine=project.machine,
        static_version="",
        project=replace(project, channel=None),  # --channel has no say in what is released
    )
    world, unknown = _read(subject)
    return {target: state(world, target, unknown) for target in world.targets}


def _read(subject: ReleaseSubject) -> tuple[World, str]:
    """Read the world; without an index where the configured one is none, and say why."""
    try:
        return read_world(subject, None), "no index is named"
    except GeowheelError as error:
        settings = replace(subject.settings, index=None)
        return read_world(replace(subject, settings=settings), None), error.faults[0].what


def state(world: World, target: Target, unknown: str) -> Standing:
    """Say where one target stands; `unknown` is why no index was asked."""
    wheel = next((item for item in world.wheels if item.target == target), None)
    return Standing(wheel=_wheel(wheel), released=_released(wheel, world.on_index, unknown))


def _wheel(wheel: Repaired | None) -> str:
    if wheel is None:
        return "missing"
    if not wheel.of_files:
        return "stale: other host files"
    if not wheel.locked:
        return "not from a committed lock"
    return "built" if wheel.of_lock else "stale: another lock"


def _released(wheel: Repaired | None, on_index: OnIndex | None, unknown: str) -> str:
    if on_index is None:
        return unknown
    if on_index.faults:
        return on_index.faults[0].what
    there = None if wheel is None else on_index.files.get(wheel.filename)
    if wheel is None or there is None:
        return "no"
    return "yes" if there == wheel.sha256 else "other bytes"

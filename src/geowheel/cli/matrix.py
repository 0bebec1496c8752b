"""The command `matrix`: every target, what this machine can do for it, and why not the rest.

Nothing is made, fetched or solved: it asks the modules that a run asks before it begins.
"""

import enum
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from geowheel import systems
from geowheel.errors import GeowheelError
from geowheel.locks.in_use import locks_at_hand
from geowheel.locks.prebuilt import prebuilt_at_hand
from geowheel.machine.console import Console
from geowheel.machine.interpreters import find_interpreter, running_interpreter
from geowheel.project.config import Bindings
from geowheel.project.project import Project, wants_prebuilt
from geowheel.stages.context import compiles_by_zig
from geowheel.targets import Platform, Target, is_emulated


class Method(enum.StrEnum):
    """How a wheel for a target comes about."""

    NATIVE = "native"
    """Compiled here, for this machine's own platform."""
    CROSS = "cross-compiled"
    PREBUILT = "prebuilt"
    """Assembled from the channel's own bindings."""
    NONE = "no"


@dataclass(frozen=True, kw_only=True)
class Row:
    """What can be done for a target here."""

    platform: Platform
    python: str
    way: Method
    tests: str
    """`here`, `emulated`, or `no` where this machine cannot run what is in the wheel."""
    why: tuple[str, ...]
    """What stands against a better way, and against running it."""


def matrix(project: Project, console: Console) -> dict[str, Any]:
    """Show a table of all platforms and configured interpreters; the same as plain values."""
    here = {python: _no_interpreter(project, python) for python in project.config.pythons}
    rows = [
        look(project, Target(python=python, platform=platform), reason)
        for platform in Platform
        for python, reason in here.items()
    ]
    console.table(
        f"wheels of {project.host.name}, made on {project.machine.platform}",
        ["platform", "Python", "wheel", "tests", "why not more"],
        [[r.platform, r.python, r.way, r.tests, "\n".join(r.why)] for r in together(rows)],
    )
    return {"targets": [asdict(r) for r in rows]}


def look(project: Project, target: Target, no_interpreter: str | None) -> Row:
    """Return what can be done for one target.

    `no_interpreter` is why no interpreter of the target's version is here for the host's build;
    None where there is one.
    """
    machine = project.machine.platform
    emulated = is_emulated(target.platform, machine)
    lacking = _no_emulation(project, target) if emulated else no_interpreter
    way, why = _way(project, target)
    if (
        way in (Method.NATIVE, Method.CROSS) and lacking
    ):  # compiled for the target's own interpreter
        way, why = _prebuilt(project, target, (lacking,))
    if way is Method.PREBUILT and no_interpreter:
        way, why = Method.NONE, (*why, no_interpreter)
    tests = "no"
    if way is not Method.NONE and target.platform is machine:
        tests = "here"
    elif way is not Method.NONE and emulated and not lacking:
        tests = "emulated"
    elif way is not Method.NONE:
        why = (*why, lacking or f"{machine} cannot run it")
    return Row(
        platform=target.platform, python=target.python, way=way, tests=tests,
        why=tuple(dict.fromkeys(why)),
    )  # fmt: skip


def _way(project: Project, target: Target) -> tuple[Method, tuple[str, ...]]:
    """Return the best way, and what stands against better ones."""
    manifest, platform = project.manifest, target.platform
    if platform not in manifest.platforms_of(project.config.environment):
        return Method.NONE, (f"{manifest.path.name} does not name the platform",)
    try:
        locks_at_hand(project, platform)
        if project.bindings is Bindings.COMPILED:
            if not compiles_by_zig(project, platform):
                systems.of(platform).find_toolchain(platform, project.machine.environ)
            native = platform is project.machine.platform
            return Method.NATIVE if native else Method.CROSS, ()
    except GeowheelError as error:
        return _prebuilt(project, target, (_what(error),))
    return _prebuilt(project, target, ())


def _prebuilt(
    project: Project, target: Target, why: tuple[str, ...]
) -> tuple[Method, tuple[str, ...]]:
    """Return whether the channel's bindings will do, and `why` nothing better does."""
    try:
        if not wants_prebuilt(replace(project, asked_bindings=Bindings.PREBUILT)):
            return Method.NONE, why
        locks = locks_at_hand(project, target.platform)
        if locks is not None:
            prebuilt_at_hand(project, target, locks)
    except GeowheelError as error:
        return Method.NONE, tuple(dict.fromkeys((*why, _what(error))))
    return Method.PREBUILT, why


def _no_emulation(project: Project, target: Target) -> str | None:
    """Return why the target's interpreter cannot be run here; None where it can."""
    from geowheel.distro import emulated  # only where needed

    try:
        emulated.find_emulated(
            target.python, target.platform, cache=project.machine.cache,
            environ=project.machine.environ,
        )  # fmt: skip
    except GeowheelError as error:
        return _what(error)
    return None


def _no_interpreter(project: Project, python: str) -> str | None:
    try:
        find_interpreter(python, environ=project.machine.environ, running=running_interpreter())
    except GeowheelError as error:
        return _what(error)
    return None


def _what(error: GeowheelError) -> str:
    return error.faults[0].what.splitlines()[0]


def together(rows: Sequence[Row]) -> list[Row]:
    """Return one row for the interpreters of a platform between which nothing differs."""
    groups: dict[Row, list[str]] = {}
    for row in rows:
        groups.setdefault(replace(row, python=""), []).append(row.python)
    return [replace(row, python=", ".join(pythons)) for row, pythons in groups.items()]

"""Why pip takes no wheel on a system, and what to do about it."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from packaging.version import Version

from .user_systems import (
    Base,
    Family,
    Place,
    UserSystems,
    platforms,
    tags,
)
from .wheel_names import (
    Wheel,
    best_platform,
    pick,
)


class Obstacle(enum.StrEnum):
    """Why no wheel matches."""

    SYSTEM = "system"
    """No wheel for that kind of system at all."""
    MUSL = "musl"
    """Wheels for glibc, and the system has musl."""
    ARCHITECTURE = "architecture"
    PYTHON = "python"
    TOO_OLD = "too old"
    """The system's glibc, musl or macOS is older than each wheel asks for."""
    PIP = "pip"
    """A wheel would run, but the system's pip does not know its tag."""
    TAG = "tag"
    """No pip accepts the wheel's tag there, for another reason."""


@dataclass(frozen=True, kw_only=True)
class Reason:
    """One thing in the way, and what to do about it."""

    obstacle: Obstacle
    what: str
    fix: str


def reasons(wheels: Sequence[Wheel], at: Place, table: UserSystems) -> tuple[Reason, ...]:
    """Everything in the way, where none of one project's wheels matches; at least one thing."""
    found = tuple(_known_reasons(wheels, at, table))
    return found or (_no_tag(wheels),)


def _known_reasons(wheels: Sequence[Wheel], at: Place, table: UserSystems) -> Iterator[Reason]:
    here = [wheel for wheel in wheels if _is_for(wheel, at)]
    if not here:
        yield _not_for_the_machine(wheels, at)
        return
    usable = [wheel for wheel in here if _is_for_python(wheel, at.interpreter.python)]
    if not usable:
        yield _not_for_the_python(here)
    yield from _too_old(usable or here, at)
    yield from _old_pip(here, at, table)


def _floors(wheel: Wheel, at: Place) -> tuple[tuple[int, int], ...]:
    """The versions of the place's own libc or macOS that a wheel asks for, by its tags."""
    return tuple(
        need.base.version
        for need in wheel.needs
        if need.base.family is at.system.base.family and at.architecture in need.architectures
    )


def _is_for(wheel: Wheel, at: Place) -> bool:
    """Whether a wheel is for the place's kind of machine, of whatever age."""
    return bool(_floors(wheel, at)) or "any" in wheel.platforms


def _is_for_python(wheel: Wheel, python: str) -> bool:
    """Whether an interpreter can import what is in a wheel, wherever that is for."""
    return not wheel.tags.isdisjoint(tags(python, sorted(wheel.platforms - {"any"})))


def _not_for_the_machine(wheels: Sequence[Wheel], at: Place) -> Reason:
    own = at.system.base.family
    needs = [need for wheel in wheels for need in wheel.needs]
    same = {name for n in needs if n.base.family is own for name in n.architectures}
    if same:
        return Reason(
            obstacle=Obstacle.ARCHITECTURE,
            what=f"no wheel for {at.architecture}, only for {_listed(same)}",
            fix=f"build for {at.architecture}: `geowheel matrix` says how",
        )
    if own is Family.MUSL and any(n.base.family is Family.GLIBC for n in needs):
        return Reason(
            obstacle=Obstacle.MUSL,
            what="the wheels are for glibc, this system has musl",
            fix="use an image with glibc: python:3.x-slim in place of python:3.x-alpine",
        )
    kinds = {_named(need.base.family) for need in needs}
    return Reason(
        obstacle=Obstacle.SYSTEM,
        what=f"no wheel for {_named(own)}, only for {_listed(kinds) or 'unknown systems'}",
        fix=f"build for {_named(own)}: `geowheel matrix` says how",
    )


def _not_for_the_python(wheels: Sequence[Wheel]) -> Reason:
    names = {tag.interpreter for wheel in wheels for tag in wheel.tags}
    found = [re.fullmatch(r"cp(\d)(\d+)", name) for name in names]
    offered = sorted((f"{match[1]}.{match[2]}" for match in found if match), key=Version)
    return Reason(
        obstacle=Obstacle.PYTHON,
        what=f"no wheel for this Python, only for {', '.join(offered or sorted(names))}",
        fix="install a Python that has a wheel there, or add the missing one to pythons in "
        "[tool.geowheel]",
    )


def _too_old(wheels: Sequence[Wheel], at: Place) -> Iterator[Reason]:
    base, floors = at.system.base, [floor for wheel in wheels for floor in _floors(wheel, at)]
    if not floors or min(floors) <= base.version:
        return
    lowest = Base(family=base.family, version=min(floors))
    key = {Family.GLIBC: "glibc", Family.MACOS: "macos"}.get(base.family)
    hold = f", and hold it there with [tool.geowheel.floor] {key}" if key else ""
    yield Reason(
        obstacle=Obstacle.TOO_OLD,
        what=f"needs {lowest}, this system has {base.version[0]}.{base.version[1]}",
        fix=f"use a system with {lowest} or newer; or build against an older {base.family}{hold}",
    )


def _old_pip(wheels: Sequence[Wheel], at: Place, table: UserSystems) -> Iterator[Reason]:
    """Where a newer pip would take a wheel."""
    accepted = tags(at.interpreter.python, platforms(at.system.base, at.architecture))
    picked = pick(wheels, accepted)
    if picked is None:
        return
    platform = best_platform(picked, accepted)
    kind = platform.removesuffix(f"_{at.architecture}")
    yield Reason(
        obstacle=Obstacle.PIP,
        what=f"pip {at.interpreter.pip} does not know {kind}",
        fix="upgrade pip first, in a virtual environment: "
        f"python -m pip install --upgrade 'pip>={table.needed_pip(platform)}'",
    )


def _no_tag(wheels: Sequence[Wheel]) -> Reason:
    """As for macosx_12_3: pip counts whole versions of macOS since 11."""
    names = {platform for wheel in wheels for platform in wheel.platforms}
    return Reason(
        obstacle=Obstacle.TAG,
        what=f"pip accepts none of {_listed(names)} there",
        fix="name the wheel after a platform that pip knows",
    )


def _named(family: Family) -> str:
    return f"Linux with {family}" if family in (Family.GLIBC, Family.MUSL) else family.value


def _listed(texts: set[str]) -> str:
    return ", ".join(sorted(texts))

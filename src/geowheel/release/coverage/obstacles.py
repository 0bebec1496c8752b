"""Why pip takes no wheel on a system, and what to do about it."""

import enum
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from packaging.version import Version

from geowheel.wheel.tags import python_tags
from geowheel.wheel.user_systems import Base, Family, UserPlace, UserSystems, platforms

from .wheel_names import NamedWheel, best_platform, pick


class HindranceKind(enum.StrEnum):
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
class Hindrance:
    """One thing in the way, and what to do about it."""

    obstacle: HindranceKind
    what: str
    fix: str


def hindrances(
    wheels: Sequence[NamedWheel], at: UserPlace, table: UserSystems
) -> tuple[Hindrance, ...]:
    """List everything in the way where none of one project's wheels matches; at least one thing."""
    if found := tuple(_known(wheels, at, table)):
        return found
    names = {platform for wheel in wheels for platform in wheel.platforms}
    return (
        Hindrance(  # as for macosx_12_3: pip counts whole versions of macOS since 11
            obstacle=HindranceKind.TAG,
            what=f"pip accepts none of {_listed(names)} there",
            fix="name the wheel after a platform that pip knows",
        ),
    )


def _known(wheels: Sequence[NamedWheel], at: UserPlace, table: UserSystems) -> Iterator[Hindrance]:
    here = [wheel for wheel in wheels if _floors(wheel, at) or "any" in wheel.platforms]
    if not here:
        yield _not_for_the_system(wheels, at)
        return
    python = at.interpreter.python
    usable = [w for w in here if w.tags & set(python_tags(python, sorted(w.platforms - {"any"})))]
    if not usable:
        yield _not_for_the_python(here)
    yield from _too_old(usable or here, at)
    accepted = python_tags(python, platforms(at.system.base, at.architecture))
    if (picked := pick(here, accepted)) is not None:  # by a newer pip
        platform = best_platform(picked, accepted)
        kind = platform.removesuffix(f"_{at.architecture}")
        yield Hindrance(
            obstacle=HindranceKind.PIP,
            what=f"pip {at.interpreter.pip} does not know {kind}",
            fix="upgrade pip first, in a virtual environment: "
            f"python -m pip install --upgrade 'pip>={table.needed_pip(platform)}'",
        )


def _floors(wheel: NamedWheel, at: UserPlace) -> list[tuple[int, int]]:
    """Return the versions of the place's own libc or macOS that a wheel asks for, by its tags."""
    family = at.system.base.family
    return [
        base.version
        for base, architecture in wheel.needs
        if (base.family, architecture) == (family, at.architecture)
    ]


def _not_for_the_system(wheels: Sequence[NamedWheel], at: UserPlace) -> Hindrance:
    own = at.system.base.family
    needs = {(base.family, name) for wheel in wheels for base, name in wheel.needs}
    if same := {name for family, name in needs if family is own}:
        return Hindrance(
            obstacle=HindranceKind.ARCHITECTURE,
            what=f"no wheel for {at.architecture}, only for {_listed(same)}",
            fix=f"build for {at.architecture}: `geowheel matrix` says how",
        )
    families = {family for family, _ in needs}
    if own is Family.MUSL and Family.GLIBC in families:
        return Hindrance(
            obstacle=HindranceKind.MUSL,
            what="the wheels are for glibc, this system has musl",
            fix="use an image with glibc: python:3.x-slim in place of python:3.x-alpine",
        )
    kinds = set(map(_named, families))
    return Hindrance(
        obstacle=HindranceKind.SYSTEM,
        what=f"no wheel for {_named(own)}, only for {_listed(kinds) or 'unknown systems'}",
        fix=f"build for {_named(own)}: `geowheel matrix` says how",
    )


def _not_for_the_python(wheels: Sequence[NamedWheel]) -> Hindrance:
    tags = {tag for wheel in wheels for tag in wheel.tags}
    names = {tag.interpreter + " and newer" * (tag.abi == "abi3") for tag in tags}
    found = [re.fullmatch(r"cp(\d)(\d+)(.*)", name) for name in names]
    every = ((f"{match[1]}.{match[2]}", match[3]) for match in found if match)
    offered = ["".join(pair) for pair in sorted(every, key=lambda pair: Version(pair[0]))]
    return Hindrance(
        obstacle=HindranceKind.PYTHON,
        what=f"no wheel for this Python, only for {', '.join(offered or sorted(names))}",
        fix="install a Python that has a wheel there, or add the missing one to pythons in "
        "[tool.geowheel]",
    )


def _too_old(wheels: Sequence[NamedWheel], at: UserPlace) -> Iterator[Hindrance]:
    base, floors = at.system.base, [floor for wheel in wheels for floor in _floors(wheel, at)]
    if floors and min(floors) > base.version:
        lowest = Base(family=base.family, version=min(floors))
        key = {Family.GLIBC: "glibc", Family.MACOS: "macos"}.get(base.family)
        hold = f", and hold it there with [tool.geowheel.floor] {key}" if key else ""
        yield Hindrance(
            obstacle=HindranceKind.TOO_OLD,
            what=f"needs {lowest}, this system has {base.version[0]}.{base.version[1]}",
            fix=f"use a system with {lowest} or newer; or build against an older {base.family}"
            + hold,
        )


def _named(family: Family) -> str:
    return f"Linux with {family}" if family in (Family.GLIBC, Family.MUSL) else family.value


def _listed(texts: set[str]) -> str:
    return ", ".join(sorted(texts))

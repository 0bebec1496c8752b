"""The systems that people install wheels on, as data, and the tags that pip accepts on them.

A described system decides, never this machine. So packaging's functions are given platforms, ABIs
and versions; those that look at the running interpreter are not used.
"""

import datetime
import enum
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec
from packaging.tags import Tag, mac_platforms
from packaging.version import Version

from geowheel.errors import UsageError
from geowheel.machine.files import text_of

from .tags import manylinux_tags, python_tags

_BUNDLED: Final = "bundled"
_BASE: Final = re.compile(r"Windows|(glibc|musl|macOS) (\d+)\.(\d+)")


class Family(enum.StrEnum):
    """What a platform tag counts versions of."""

    GLIBC = "glibc"
    MUSL = "musl"
    MACOS = "macOS"
    WINDOWS = "Windows"


@dataclass(frozen=True, kw_only=True, order=True)
class Base:
    """What a binary runs on: `glibc 2.36`, `macOS 14.0`, `Windows`."""

    family: Family
    version: tuple[int, int] = (0, 0)
    """Of the C library, or of macOS; (0, 0) for Windows, whose tags have none."""

    def __str__(self) -> str:
        if self.family is Family.WINDOWS:
            return self.family
        return f"{self.family} {self.version[0]}.{self.version[1]}"


@dataclass(frozen=True, kw_only=True)
class UserPython:
    """A CPython that people have on a system."""

    python: str
    """`3.12`"""
    pip: str
    """The version of the pip that comes with it; empty when not known."""


@dataclass(frozen=True, kw_only=True)
class UserSystem:
    """A row of systems.toml."""

    name: str
    group: str
    base: Base
    architectures: tuple[str, ...]
    """As platform tags of that system spell them."""
    interpreters: tuple[UserPython, ...]
    end_of_life: datetime.date | None
    """The last day of free, regular support; None when none is announced."""
    source: str
    """Where the facts were read."""


@dataclass(frozen=True, kw_only=True)
class UserPlace:
    """A system with one of its architectures and one of its interpreters."""

    system: UserSystem
    architecture: str
    interpreter: UserPython


@dataclass(frozen=True, kw_only=True)
class UserSystems:
    """All of systems.toml."""

    systems: tuple[UserSystem, ...]
    first_pip: Mapping[str, str]
    """The first pip that knows a kind of platform tag."""

    def known(self, platform: str, pip: str) -> bool:
        """Return whether a pip knows a platform tag; one of an unknown version does."""
        first = self.needed_pip(platform)
        return not pip or first is None or Version(pip) >= Version(first)

    def needed_pip(self, platform: str) -> str | None:
        """Return the first pip that knows a platform tag; None when every pip does."""
        kind = platform.partition("_")[0]
        if found := re.match(r"macosx_(\d+)_", platform):
            kind = "macosx-11" if int(found[1]) >= 11 else kind
        return self.first_pip.get(kind)

    def accepted(self, at: UserPlace) -> tuple[Tag, ...]:
        """Return the tags that pip accepts at a place, best first."""
        names = platforms(at.system.base, at.architecture)
        own = [name for name in names if self.known(name, at.interpreter.pip)]
        return python_tags(at.interpreter.python, own)

    def places(self) -> Iterator[UserPlace]:
        """Yield every system with each of its architectures and interpreters."""
        for system in self.systems:
            for architecture in system.architectures:
                for interpreter in system.interpreters:
                    yield UserPlace(
                        system=system, architecture=architecture, interpreter=interpreter
                    )

    def named(self, wanted: Sequence[str]) -> "UserSystems":
        """Return those with one of the texts in their name, all without a text.

        Raises UsageError for a text that no name has.
        """
        found: dict[str, list[UserSystem]] = {
            text: [s for s in self.systems if text.casefold() in s.name.casefold()]
            for text in wanted
        }
        for text, named in found.items():
            if not named:
                raise UsageError(
                    f"no system has {text!r} in its name",
                    fix="see their names with `geowheel coverage`",
                )
        chosen = [s for s in self.systems if not wanted or any(s in f for f in found.values())]
        return replace(self, systems=tuple(chosen))


class _SystemRow(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    base: str
    architectures: str
    pythons: dict[str, str] | list[str]
    source: str
    end_of_life: datetime.date | None = None


class _SystemsTable(msgspec.Struct, rename="kebab"):
    first_pip: dict[str, str]
    bundled: dict[str, str]
    systems: dict[str, dict[str, _SystemRow]]


def load_user_systems() -> UserSystems:
    """Return the table that geowheel ships."""
    return parse_user_systems(text_of("wheel", "systems.toml"))


def parse_user_systems(text: str | bytes) -> UserSystems:
    """Return a table from TOML; raises ValueError or KeyError when a part is misshapen."""
    table = msgspec.toml.decode(text, type=_SystemsTable)
    return UserSystems(
        systems=tuple(
            UserSystem(
                name=name,
                group=group,
                base=parse_base(row.base),
                architectures=tuple(row.architectures.split()),
                interpreters=tuple(_pythons(row, table.bundled)),
                end_of_life=row.end_of_life,
                source=row.source,
            )
            for group, rows in table.systems.items()
            for name, row in rows.items()
        ),
        first_pip=table.first_pip,
    )


def _pythons(row: _SystemRow, bundled: Mapping[str, str]) -> Iterator[UserPython]:
    known = row.pythons if isinstance(row.pythons, dict) else dict.fromkeys(row.pythons, _BUNDLED)
    for python, pip in known.items():
        yield UserPython(python=python, pip=bundled[python] if pip == _BUNDLED else pip)


def parse_base(text: str) -> Base:
    """Return `glibc 2.36` as a value; raises ValueError when it is not of that form."""
    found = _BASE.fullmatch(text)
    if found is None:
        raise ValueError(f"not a base: {text!r}")
    if found[1] is None:
        return Base(family=Family.WINDOWS)
    return Base(family=Family(found[1]), version=(int(found[2]), int(found[3])))


def platforms(base: Base, architecture: str) -> tuple[str, ...]:
    """Return the platform tags that a system accepts, best first, as packaging does for its own."""
    if base.family is Family.MACOS:
        return tuple(mac_platforms(base.version, architecture))
    if base.family is Family.WINDOWS:
        return (f"win_{architecture}",)
    named = manylinux_tags if base.family is Family.GLIBC else _musllinux
    return (f"linux_{architecture}", *named(base.version, architecture))


def _musllinux(version: tuple[int, int], architecture: str) -> Iterator[str]:
    """Follow PEP 656, as packaging._musllinux.platform_tags: versions of the same major one."""
    major, newest = version
    for minor in range(newest, -1, -1):
        yield f"musllinux_{major}_{minor}_{architecture}"

"""distros.toml as typed values: how packages of Debian and Ubuntu become conda packages."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Final

from geowheel.errors import MachineError
from geowheel.machine.files import table_of
from geowheel.targets import Platform

from .debian import Deb, conda_name

TABLE: Final = "distros.toml"


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What differs between two architectures of a distribution."""

    platform: Platform
    multiarch: str
    """The folder of libraries below usr/lib: `x86_64-linux-gnu`."""
    loader: str
    """What of them starts programs: `ld-linux-x86-64.so.2`."""


@dataclass(frozen=True, kw_only=True)
class DriverPackage:
    """A driver package of conda-forge: how to see whether a libgdal has that driver."""

    formats: tuple[str, ...]
    """In gdal-config's list, in any case."""
    files: tuple[str, ...]
    """Names of its loadable form."""
    links: str = ""
    """A library that libgdal needs for this driver alone: autotools lists no vector drivers."""

    def is_built_in(self, formats: frozenset[str], needs: Sequence[str]) -> bool:
        """Return whether a libgdal with these formats (lower case) and DT_NEEDED has it."""
        linked = bool(self.links) and any(name.startswith(self.links) for name in needs)
        return linked or any(name.lower() in formats for name in self.formats)


@dataclass(frozen=True, kw_only=True)
class Closure:
    """Which packages a libgdal is converted with."""

    development: str
    library: str
    walked: tuple[str, ...]
    alone: tuple[str, ...]
    compiling: tuple[str, ...]
    headers: tuple[str, ...]
    texts: str
    documents: tuple[str, ...]
    sections: tuple[str, ...]
    followed: tuple[str, ...]
    cut: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Which files are taken, and where they go."""

    flat: tuple[str, ...]
    left_out: tuple[str, ...]
    share: tuple[str, ...]
    programs: tuple[str, ...]
    headers: dict[str, str]
    pkgconfig: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class InterpreterPackages:
    """The packages of a CPython; `{v}` is its version."""

    whole: tuple[str, ...]
    """Taken with all that apt installs for them."""
    alone: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """distros.toml; its comments say what each part is for."""

    architectures: dict[str, Architecture]
    closure: Closure
    interpreter: InterpreterPackages
    packages: dict[str, tuple[str, ...]]
    plugins: dict[str, DriverPackage]
    layout: Placement
    licenses: dict[str, str]

    @cached_property
    def _patterns(self) -> tuple[tuple[str, str, int], ...]:
        """Pattern, conda name and rank."""
        every = (
            (pattern, name, rank)
            for name, patterns in self.packages.items()
            for rank, pattern in enumerate(patterns)
        )
        # A pattern without a wildcard is meant before one that happens to match as well.
        return tuple(sorted(every, key=lambda row: ("*" in row[0], -len(row[0]), row)))

    def conda_name(self, deb: str) -> str:
        """Return conda-forge's name of what a .deb holds, or its own in conda's alphabet."""
        for pattern, name, _ in self._patterns:
            if fnmatchcase(deb, pattern):
                return name
        return conda_name(deb)

    def rank(self, deb: str) -> int:
        """Return its place among the .debs of its conda package: 0 gives the version."""
        return next((rank for pattern, _, rank in self._patterns if fnmatchcase(deb, pattern)), 0)

    def only_documents(self, deb: str) -> bool:
        """Return whether a .deb holds nothing but what others' doc folders link to."""
        return any(fnmatchcase(deb, pattern) for pattern in self.closure.documents)

    def leaves_out(self, deb: Deb) -> bool:
        """Return whether the closure stops before this package."""
        if any(fnmatchcase(deb.name, pattern) for pattern in self.closure.cut):
            return True
        if any(fnmatchcase(deb.name, pattern) for pattern in self.closure.followed):
            return False
        return deb.section.rpartition("/")[2] not in self.closure.sections


def load_table() -> Table:
    """Return the table that geowheel ships."""
    return table_of("distro", TABLE, Table)


def architecture_of(platform: Platform, table: Table) -> tuple[str, Architecture]:
    """Return the distribution's name of a platform's architecture, and what goes with it.

    Raises MachineError for a platform that the distribution has no packages for.
    """
    for name, architecture in table.architectures.items():
        if architecture.platform is platform:
            return name, architecture
    known = ", ".join(row.platform for row in table.architectures.values())
    raise MachineError(
        f"there is no distro channel for {platform}",
        cause=f"it is made of a distribution's own packages, which are for {known}",
        fix="use --channel conda-forge, a mirror's URL or a folder",
    )

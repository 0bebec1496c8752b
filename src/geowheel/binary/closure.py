"""Whether a wheel brings every library that it needs, but for the system's own: one walk for all.

PEP 600 leaves to each manylinux policy which libraries a wheel may take from the system, delocate
and delvewheel have lists of their own. Here it is one list a system (`system_libraries.toml`). Only
the rules of a format and of its system's dynamic loader differ: see the subclasses of `Loader`.
"""

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Generic, Protocol, TypeVar

from geowheel.errors import Fault
from geowheel.targets import System

from .system_libraries import has_library


class Binary(Protocol):
    """What every format says of itself; Elf, MachO and Pe say more."""

    @property
    def architectures(self) -> tuple[str, ...]:
        """As `Platform.architecture` names them (`x86_64`, `aarch64`, `arm64`, `amd64`), or as the
        format does where no platform has it; more than one only in a fat Mach-O file."""
        ...

    @property
    def needed(self) -> tuple[str, ...]:
        """The libraries that have to be loaded with it, as it names them."""
        ...

    @property
    def leftovers(self) -> tuple[str, ...]:
        """Parts that no loader reads and strip takes away, by the format's own names."""
        ...


B = TypeVar("B", bound=Binary)


@dataclass(frozen=True, kw_only=True)
class Loader(Generic[B]):
    """How the loader of one system finds libraries.

    Paths are relative to the wheel's root; those of files of the native stack are absolute.
    """

    title: ClassVar[str]
    system: ClassVar[System]
    origins: ClassVar[tuple[str, ...]] = ()
    """How a search path spells the folder of the file that has it."""

    stack: tuple[str, ...] = ()
    """Before a repair, the native stack's library folders, where all is found by name."""

    def key(self, path: str) -> str:
        """Return by what two paths or names are the same: Windows has one case."""
        return path

    def is_system(self, library: str) -> bool:
        """Return whether it comes from the system, which always has it."""
        return has_library(self.system, library)

    def wanted(self, path: str, binary: B) -> tuple[str, ...]:
        """Return the libraries to look for, for the file at `path`."""
        del path
        return binary.needed

    def places(
        self, path: str, binary: B, library: str, inherited: tuple[str, ...]
    ) -> tuple[str, ...]:
        """Return where a library that the file at `path` needs is looked for, in this order.

        `inherited` are the folders that the file's own loaders passed on.
        """
        raise NotImplementedError

    def passed_on(self, path: str, binary: B, inherited: tuple[str, ...]) -> tuple[str, ...]:
        """Return the folders that are searched for what the file loads in turn, nearest first."""
        del path, binary
        return inherited

    def strays(self, path: str, binary: B) -> Iterator[tuple[str, Fault]]:
        """Return how the file looks for libraries outside the wheel, and what is wrong."""
        del path, binary
        return iter(())

    def folder(self, path: str, entry: str) -> str | None:
        """Return the folder that the search path of a file means; None outside of the wheel."""
        for origin in self.origins:
            if entry == origin or entry.startswith(f"{origin}/"):
                parent = posixpath.dirname(path) or "."
                found = posixpath.normpath(parent + entry.removeprefix(origin))
                return None if found == ".." or found.startswith("../") else found
        return None

    def folders(self, path: str, entries: Iterable[str]) -> tuple[str, ...]:
        """Return the folders of the wheel that search paths of the file at `path` lead to."""
        found = (self.folder(path, entry) for entry in entries)
        return tuple(folder for folder in found if folder is not None)


Outside = Callable[[str], tuple[str, B] | None]
"""The path of the file at an absolute place, and what it holds; None where there is none."""


@dataclass(frozen=True, kw_only=True)
class Walk(Generic[B]):
    """What each file would load, by the rules of its loader; `follow` makes it."""

    loader: Loader[B]
    binaries: dict[str, B]
    """By path: those of the wheel, and those of the native stack that were found."""
    outside: Outside[B]
    paths: Mapping[str, str]
    """The loader's key to the path, of the wheel's files."""
    links: dict[str, dict[str, str]] = field(default_factory=dict)
    """Path of a file to the libraries that it names, each with the path that was found."""
    missing: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """Path of a file and the library that it names to the places that were searched."""
    visited: set[tuple[str, tuple[str, ...]]] = field(default_factory=set)

    def visit(self, path: str) -> None:
        """Follow a file and all that it loads."""
        waiting: list[tuple[str, tuple[str, ...]]] = [(path, ())]
        while waiting:
            step = waiting.pop()
            if step not in self.visited:
                self.visited.add(step)
                waiting += self._loaded(*step)

    def _loaded(
        self, path: str, inherited: tuple[str, ...]
    ) -> Iterator[tuple[str, tuple[str, ...]]]:
        binary, links = self.binaries[path], self.links.setdefault(path, {})
        passed_on = tuple(dict.fromkeys(self.loader.passed_on(path, binary, inherited)))
        for library in self.loader.wanted(path, binary):
            if self.loader.is_system(library):
                continue
            places = self.loader.places(path, binary, library, inherited)
            found = next(filter(None, map(self._find, places)), None)
            if found is None:
                self.missing[path, library] = places
            else:
                links[library] = found
                yield found, () if posixpath.isabs(found) else passed_on

    def _find(self, place: str) -> str | None:
        if (path := self.paths.get(self.loader.key(posixpath.normpath(place)))) is not None:
            return path
        found = self.outside(place)
        if found is None:
            return None
        self.binaries.setdefault(*found)
        return found[0]


def _nothing(_: str) -> None:
    return None


def follow(binaries: Mapping[str, B], loader: Loader[B], outside: Outside[B] = _nothing) -> Walk[B]:
    """Follow what the binaries of an unpacked wheel load, given by their relative paths.

    What a file has searched may count for what it loads as well (DT_RPATH, LC_RPATH). So the walk
    starts at the extensions, plugins and programs, which no other file of the wheel needs, and then
    takes what is left.
    """
    walk = Walk(
        loader=loader,
        binaries=dict(binaries),
        outside=outside,
        paths={loader.key(path): path for path in binaries},
    )
    needed = {
        loader.key(posixpath.basename(library))
        for binary in binaries.values()
        for library in binary.needed
    }
    first = [path for path in binaries if loader.key(posixpath.basename(path)) not in needed]
    for path in (*sorted(first), *sorted(binaries)):
        if path in first or path not in walk.links:
            walk.visit(path)
    return walk


def closure_faults(binaries: Mapping[str, B], loader: Loader[B]) -> list[Fault]:
    """Return what is wrong with the binaries of an unpacked wheel, given by their relative paths.

    One fault for each library that no file of the wheel provides where the loader would look for
    it, and for each search path that leads out of the wheel; sorted by file, empty when the wheel
    is closed.
    """
    walk = follow(binaries, loader)
    faults = {
        (path, library): _missing(walk, path, library, places)
        for (path, library), places in walk.missing.items()
    }
    for path, library, found, words in foreign(walk):
        what = f"needs {found}, which is for another architecture ({words})"
        faults[path, library] = Fault(what=what, where=path)
    for path, binary in binaries.items():
        for entry, fault in loader.strays(path, binary):
            faults[path, entry] = fault
    return [fault for _, fault in sorted(faults.items(), key=lambda item: item[0])]


def foreign(walk: Walk[B]) -> Iterator[tuple[str, str, str, str]]:
    """Yield file, library, what was found and for which processor, where that is not the file's."""
    for path, links in sorted(walk.links.items()):
        for library, found in links.items():
            has = walk.binaries[found].architectures
            if lacking := sorted({*walk.binaries[path].architectures} - {*has}):
                yield path, library, found, f"{', '.join(has)}, not {', '.join(lacking)}"


def _missing(walk: Walk[B], path: str, library: str, places: tuple[str, ...]) -> Fault:
    key = walk.loader.key
    name = key(posixpath.basename(library))
    elsewhere = sorted(other for other in walk.binaries if key(posixpath.basename(other)) == name)
    if not elsewhere:
        return Fault(
            what=f"needs {library}, which the wheel does not provide",
            where=path,
            cause="it was not bundled, and not every system has it",
        )
    folders = dict.fromkeys(posixpath.dirname(place) or "." for place in places)
    return Fault(
        what=f"needs {library}, which {walk.loader.title} would not find",
        where=path,
        cause=f"it is {elsewhere[0]}, but searched is {', '.join(folders) or 'no folder'}",
    )

"""The static check that an unpacked wheel brings every library it needs, but for the system's own.

PEP 600 leaves to each manylinux policy which libraries a wheel may take from the system, delocate
and delvewheel have lists of their own. Here it is one list a system (`system_libraries.toml`).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from geowheel.errors import BuildError, Fault

from .loading import Binary, Loader

B = TypeVar("B", bound=Binary)


def check_closure(binaries: Mapping[str, B], loader: Loader[B]) -> None:
    """Check the binaries of an unpacked wheel, given by their relative paths.

    Raises BuildError with one fault for each library that no file of the wheel provides where
    the loader would look for it, and for each search path that leads out of the wheel.
    """
    if faults := closure_faults(binaries, loader):
        raise BuildError(faults)


def closure_faults(binaries: Mapping[str, B], loader: Loader[B]) -> list[Fault]:
    """What `check_closure` would raise, sorted by file; empty when the wheel is closed.

    What a file has searched may count for what it loads as well (DT_RPATH, LC_RPATH). So the walk
    starts at the extensions, plugins and programs, which no other file of the wheel needs, and then
    takes what is left.
    """
    walk = _Walk(
        binaries=binaries, loader=loader, paths={loader.key(path): path for path in binaries}
    )
    needed = {
        loader.key(posixpath.basename(library))
        for binary in binaries.values()
        for library in binary.needed
    }
    for path in sorted(binaries):
        if loader.key(posixpath.basename(path)) not in needed:
            walk.visit(path, ())
    for path in sorted(set(binaries) - {visited for visited, _ in walk.visited}):
        walk.visit(path, ())
    for path, binary in binaries.items():
        for entry, fault in loader.strays(path, binary):
            walk.faults[path, entry] = fault
    return [fault for _, fault in sorted(walk.faults.items())]


@dataclass(kw_only=True)
class _Walk(Generic[B]):
    binaries: Mapping[str, B]
    loader: Loader[B]
    paths: Mapping[str, str]
    """The loader's key to the path."""
    visited: set[tuple[str, tuple[str, ...]]] = field(default_factory=set)
    faults: dict[tuple[str, str], Fault] = field(default_factory=dict)

    def visit(self, path: str, inherited: tuple[str, ...]) -> None:
        """Check a file and all that it loads; `inherited` are folders that its loaders pass on."""
        waiting = [(path, inherited)]
        while waiting:
            step = waiting.pop()
            if step not in self.visited:
                self.visited.add(step)
                waiting += self._loaded(*step)

    def _loaded(
        self, path: str, inherited: tuple[str, ...]
    ) -> Iterator[tuple[str, tuple[str, ...]]]:
        binary = self.binaries[path]
        passed_on = self.loader.passed_on(path, binary, inherited)
        for library in binary.needed:
            if self.loader.is_system(library):
                continue
            places = self.loader.places(path, binary, library, inherited)
            keys = (self.loader.key(posixpath.normpath(place)) for place in places)
            found = next((self.paths[key] for key in keys if key in self.paths), None)
            if found is None:
                self.faults[path, library] = self._missing(path, library, places)
            elif lacking := sorted({*binary.architectures} - {*self.binaries[found].architectures}):
                self.faults[path, library] = _foreign(path, found, self.binaries[found], lacking)
            else:
                yield found, tuple(dict.fromkeys(passed_on))

    def _missing(self, path: str, library: str, places: tuple[str, ...]) -> Fault:
        name = self.loader.key(posixpath.basename(library))
        elsewhere = sorted(
            other for other in self.binaries if self.loader.key(posixpath.basename(other)) == name
        )
        if not elsewhere:
            return Fault(
                what=f"needs {library}, which the wheel does not provide",
                where=path,
                cause="it was not bundled, and not every machine has it",
            )
        folders = dict.fromkeys(posixpath.dirname(place) or "." for place in places)
        return Fault(
            what=f"needs {library}, which {self.loader.title} would not find",
            where=path,
            cause=f"it is {elsewhere[0]}, but searched is {', '.join(folders) or 'no folder'}",
        )


def _foreign(path: str, found: str, binary: Binary, lacking: list[str]) -> Fault:
    return Fault(
        what=f"needs {found}, which is for another machine ({', '.join(binary.architectures)}, "
        f"not {', '.join(lacking)})",
        where=path,
    )

"""The static check that an unpacked wheel brings every library it needs, but for the C runtimes.

PEP 600 leaves to each manylinux policy which libraries a wheel may take from the system.
auditwheel's policies (auditwheel/policy/manylinux-policy.json) also allow libz, libexpat, libglib,
libX11, libGL and others, which slim images lack. The list here holds what every glibc system has.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from geowheel.binary.elf import Elf
from geowheel.errors import BuildError, Fault

SYSTEM_LIBRARIES: Final = frozenset(
    {
        # glibc itself. libnsl is left out: since 2.32 most distributions package it on its own.
        "ld-linux-aarch64.so.1",
        "ld-linux-x86-64.so.2",
        "libanl.so.1",
        "libc.so.6",
        "libdl.so.2",
        "libm.so.6",
        "libmvec.so.1",
        "libpthread.so.0",
        "libresolv.so.2",
        "librt.so.1",
        "libutil.so.1",
        # GCC's runtimes: two copies of them in one process break exceptions across libraries.
        "libgcc_s.so.1",
        "libstdc++.so.6",
    }
)
"""What a repaired wheel takes from the system, by DT_NEEDED name."""

_ORIGINS: Final = ("$ORIGIN", "${ORIGIN}")


def check_closure(elves: Mapping[str, Elf]) -> None:
    """Check the ELF files of an unpacked wheel, given by their relative paths.

    Raises BuildError with one fault for each library that no file of the wheel provides where
    ld.so would look for it, and for each search path that leads out of the wheel.
    """
    if faults := closure_faults(elves):
        raise BuildError(faults)


def closure_faults(elves: Mapping[str, Elf]) -> list[Fault]:
    """What `check_closure` would raise, sorted by file; empty when the wheel is closed.

    As ld.so does it (man 8 ld.so): DT_RUNPATH counts for a file's own needs; DT_RPATH, where there
    is no DT_RUNPATH, also for what its needs need in turn. So the walk starts at the extensions,
    plugins and programs, which no other file of the wheel needs, and then takes what is left.
    """
    walk = _Walk(elves=elves)
    needed = {library for elf in elves.values() for library in elf.needed}
    for path in sorted(elves):
        if posixpath.basename(path) not in needed:
            walk.visit(path, ())
    for path in sorted(set(elves) - {visited for visited, _ in walk.visited}):
        walk.visit(path, ())
    for path, elf in elves.items():
        for entry in (*elf.rpath, *elf.runpath):
            if not is_inside(path, entry):
                walk.faults[path, entry] = _stray(path, entry)
    return [fault for _, fault in sorted(walk.faults.items())]


@dataclass(kw_only=True)
class _Walk:
    elves: Mapping[str, Elf]
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
        elf = self.elves[path]
        own = tuple(folder for entry in elf.search_path if (folder := _folder(path, entry)))
        passed_on = inherited if elf.runpath else (*own, *inherited)
        folders = own if elf.runpath else passed_on
        for library in elf.needed:
            if library in SYSTEM_LIBRARIES:
                continue
            places = (posixpath.normpath(f"{folder}/{library}") for folder in folders)
            found = next((place for place in places if place in self.elves), None)
            if found is None:
                self.faults[path, library] = _missing(path, library, folders, self.elves)
            elif (self.elves[found].machine, self.elves[found].bits) != (elf.machine, elf.bits):
                self.faults[path, library] = _foreign(path, found, self.elves[found])
            else:
                yield found, tuple(dict.fromkeys(passed_on))


def is_inside(path: str, entry: str) -> bool:
    """Whether a search path entry of the file at `path` leads to a folder of the wheel."""
    return _folder(path, entry) is not None


def _folder(path: str, entry: str) -> str | None:
    """The folder inside the wheel that `entry` names, or None when it leads anywhere else."""
    origin = next((o for o in _ORIGINS if entry == o or entry.startswith(f"{o}/")), None)
    if origin is None:
        return None
    parent = posixpath.dirname(path) or "."
    folder = posixpath.normpath(parent + entry.removeprefix(origin))
    return None if folder == ".." or folder.startswith("../") else folder


def _stray(path: str, entry: str) -> Fault:
    return Fault(
        what=f"searches {entry or 'the current folder'} for libraries, which is not in the wheel",
        where=path,
        cause="a link flag of the interpreter or of the build left an rpath",
    )


def _foreign(path: str, found: str, elf: Elf) -> Fault:
    return Fault(
        what=f"needs {found}, which is for another machine ({elf.machine}, {elf.bits} bit)",
        where=path,
    )


def _missing(path: str, library: str, folders: tuple[str, ...], elves: Mapping[str, Elf]) -> Fault:
    elsewhere = sorted(other for other in elves if posixpath.basename(other) == library)
    if not elsewhere:
        return Fault(
            what=f"needs {library}, which the wheel does not provide",
            where=path,
            cause="it was not bundled, and slim systems lack it",
        )
    return Fault(
        what=f"needs {library}, which ld.so would not find",
        where=path,
        cause=f"it is {elsewhere[0]}, but searched is {', '.join(folders) or 'no folder'}",
    )

"""What the dynamic loader sees in an ELF file, as one frozen value.

Everything is read through the program headers, as ld.so does; section headers are only asked for
what nothing else tells: symbol versions, symbols and debugging information. Names follow the
System V ABI (https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html) and the LSB's symbol
versioning (https://refspecs.linuxfoundation.org/LSB_5.0.0/LSB-Core-generic/LSB-Core-generic/symversion.html).
"""

from __future__ import annotations

import enum
import itertools
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.dynamic import DynamicSegment, DynamicTag
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from elftools.elf.sections import Section

from .reading import (
    damaged,
    opened,
    regular_files,
    shown_name,
)

MAGIC: Final = b"\x7fELF"
LIMIT: Final = 1 << 12
"""Tags, sections or version records in one file: linkers stay far below, damage does not."""

_ARCHITECTURES: Final = {("EM_X86_64", 64): "x86_64", ("EM_AARCH64", 64): "aarch64"}
_PF_X: Final = 1
_DF_BIND_NOW: Final = 0x8
_DF_1_NOW: Final = 0x1
# What pyelftools lets escape on damaged input, besides its own error.
_DAMAGE: Final = (
    ELFError,
    ConstructError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


class Relro(enum.StrEnum):
    """How much of the relocated data is read-only once the file is loaded."""

    NONE = "none"
    PARTIAL = "partial"
    FULL = "full"


@dataclass(frozen=True, kw_only=True)
class Elf:
    """One ELF file, as far as loading it goes."""

    machine: str
    """`EM_X86_64`: e_machine by its ABI name."""
    bits: int
    soname: str | None
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    """DT_RPATH's entries; ld.so ignores them where DT_RUNPATH exists."""
    runpath: tuple[str, ...]
    versions: Mapping[str, tuple[str, ...]]
    """Needed library to the symbol versions required of it, both sorted."""
    bind_now: bool
    relro: Relro
    executable_stack: bool
    symbols: bool
    """Whether a symbol table that no loader reads (.symtab) is left."""
    debug: bool
    """Whether DWARF sections are left."""

    @property
    def architectures(self) -> tuple[str, ...]:
        """The one that it is for: `x86_64`; `EM_386` and the like where no platform has it."""
        return (_ARCHITECTURES.get((self.machine, self.bits), f"{self.machine}, {self.bits} bit"),)

    @property
    def leftovers(self) -> tuple[str, ...]:
        """The sections that strip takes away."""
        return (*[".debug_*"] * self.debug, *[".symtab"] * self.symbols)

    @property
    def search_path(self) -> tuple[str, ...]:
        """The entries that ld.so searches for this file's own needs, unresolved."""
        return self.runpath or self.rpath


def is_elf(path: Path) -> bool:
    """Whether `path` is a regular file that starts as ELF files do; OSError if unreadable."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_elf(source: Path | bytes, *, name: str = "") -> Elf:
    """The ELF file at a path or in memory.

    Raises IntegrityError, naming the file (or `name`), when it is damaged or no ELF at all, and
    OSError when it cannot be read.
    """
    shown = shown_name(source, name)
    with opened(source) as stream:
        try:
            return _read(ELFFile(stream))
        except _DAMAGE as error:
            raise damaged("ELF", shown, error) from error


def read_elves(tree: Path) -> dict[str, Elf]:
    """Every ELF file below `tree` by its relative path, in sorted order; links are not followed.

    Raises what `read_elf` raises, at the first damaged file.
    """
    paths = sorted(path for path in regular_files(tree) if is_elf(path))
    return {path.relative_to(tree).as_posix(): read_elf(path) for path in paths}


def _read(elf: ELFFile) -> Elf:
    dynamic = _Dynamic()
    relro = executable_stack = False
    if elf.num_segments() > LIMIT or elf.num_sections() > LIMIT:
        raise ELFError("more headers than any linker writes")
    for segment in elf.iter_segments():
        kind = segment["p_type"]
        if isinstance(segment, DynamicSegment):
            dynamic = _read_dynamic(segment)
        elif kind == "PT_GNU_RELRO":
            relro = True
        elif kind == "PT_GNU_STACK":
            executable_stack = bool(segment["p_flags"] & _PF_X)
    sections = list(elf.iter_sections())
    names = {section.name for section in sections}
    full = Relro.FULL if dynamic.bind_now else Relro.PARTIAL
    return Elf(
        machine=str(elf["e_machine"]),
        bits=elf.elfclass,
        soname=dynamic.soname,
        needed=dynamic.needed,
        rpath=dynamic.rpath,
        runpath=dynamic.runpath,
        versions=_read_versions(sections),
        bind_now=dynamic.bind_now,
        relro=full if relro else Relro.NONE,
        executable_stack=executable_stack,
        symbols=".symtab" in names,
        debug=any(name.startswith((".debug_", ".zdebug_")) for name in names),
    )


@dataclass(frozen=True, kw_only=True)
class _Dynamic:
    soname: str | None = None
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    bind_now: bool = False


def _read_dynamic(segment: DynamicSegment) -> _Dynamic:
    soname: str | None = None
    needed: list[str] = []
    paths: dict[str, tuple[str, ...]] = {}
    bind_now = False
    for number, tag in enumerate(segment.iter_tags()):
        if number > LIMIT:
            raise ELFError("the dynamic section does not end")
        match tag.entry.d_tag:
            case "DT_NEEDED":
                needed.append(_text(tag))
            case "DT_SONAME":
                soname = _text(tag)
            case "DT_RPATH":
                paths["rpath"] = _entries(_text(tag))
            case "DT_RUNPATH":
                paths["runpath"] = _entries(_text(tag))
            case "DT_BIND_NOW":
                bind_now = True
            case "DT_FLAGS":
                bind_now |= bool(tag.entry.d_val & _DF_BIND_NOW)
            case "DT_FLAGS_1":
                bind_now |= bool(tag.entry.d_val & _DF_1_NOW)
    return _Dynamic(soname=soname, needed=tuple(needed), bind_now=bind_now, **paths)


def _text(tag: DynamicTag) -> str:
    """The string of DT_NEEDED and its kin, which pyelftools keeps under the tag's own name."""
    return str(getattr(tag, tag.entry.d_tag.removeprefix("DT_").lower()))


def _entries(text: str) -> tuple[str, ...]:
    return tuple(text.split(":")) if text else ()


def _read_versions(sections: Iterable[Section]) -> dict[str, tuple[str, ...]]:
    versions: dict[str, set[str]] = {}
    for section in sections:
        if not isinstance(section, GNUVerNeedSection):
            continue
        for number, (need, auxiliaries) in enumerate(section.iter_versions()):
            if number > LIMIT:
                raise ELFError("the required versions do not end")
            names = versions.setdefault(str(need.name), set())
            names.update(item.name for item in itertools.islice(auxiliaries, LIMIT))
    return {library: tuple(sorted(names)) for library, names in sorted(versions.items())}

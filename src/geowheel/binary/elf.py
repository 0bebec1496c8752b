"""What the dynamic loader sees in an ELF file, as one frozen value.

Everything is read through the program headers, as ld.so does; section headers are only asked for
what nothing else tells: symbol versions, symbols and debugging information. Names follow the
System V ABI (https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html) and the LSB's symbol
versioning (https://refspecs.linuxfoundation.org/LSB_5.0.0/LSB-Core-generic/LSB-Core-generic/symversion.html).
"""

import enum
import itertools
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.dynamic import DynamicTag
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from elftools.elf.sections import Section
from elftools.elf.segments import Segment

from .reading import damage_named, opened, read_tree

MAGIC: Final = b"\x7fELF"
LIMIT: Final = 1 << 12
"""Tags, sections or version records in one file: linkers stay far below, damage does not."""

_ARCHITECTURES: Final = {
    ("EM_X86_64", 64): "x86_64", ("EM_AARCH64", 64): "aarch64", ("EM_386", 32): "i686",
    ("EM_ARM", 32): "armv7l", ("EM_PPC64", 64): "ppc64le", ("EM_RISCV", 64): "riscv64",
    ("EM_S390", 64): "s390x",
}  # fmt: skip
ARCHITECTURES: Final = frozenset(_ARCHITECTURES.values())
_PF_X: Final = 1
_DF_TEXTREL: Final = 0x4
_DF_BIND_NOW: Final = 0x8
_DF_1_NOW: Final = 0x1
_LEVELS: Final = ("", "x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4")
"""The bits of the two properties about x86's instruction sets
(https://gitlab.com/x86-psABIs/x86-64-ABI, Program Property)."""
OLDEST_CPUS: Final = frozenset(_LEVELS[:2])
"""What a platform tag promises, x86's first processors; none is said of AArch64's."""
_X86_NEEDED, _X86_USED = 0xC0008002, 0xC0010002
_PAUTH: Final = 0xC0000001
"""Pointers signed by armv8.3-a; what BTI and PAC need, older processors take as hints
(https://github.com/ARM-software/abi-aa, pauthabielf64 and sysvabi64)."""
_PROPERTIES: Final = 5  # NT_GNU_PROPERTY_TYPE_0
_NOTES: Final = 1 << 16  # bytes; linkers write some hundred
_TEXTS: Final = ("DT_NEEDED", "DT_SONAME", "DT_RPATH", "DT_RUNPATH")


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
    text_relocations: bool
    """Whether ld.so has to write into its code."""
    executable_stack: bool
    """Whether it asks for one, or says nothing, which on most processors asks as well."""
    symbols: bool
    """Whether a symbol table that no loader reads (.symtab) is left."""
    debug: bool
    """Whether DWARF sections are left."""
    cpu: str = ""
    """The processor that it needs, as its notes say: `x86-64-v3`; empty where they say nothing."""
    cpu_used: str = ""
    """The newest that code in it is for, perhaps behind a question to the processor."""

    @property
    def architectures(self) -> tuple[str, ...]:
        """The one that it is for: `x86_64`; `EM_MIPS` and the like where no tag has it."""
        return (_ARCHITECTURES.get((self.machine, self.bits), f"{self.machine}, {self.bits} bit"),)

    @property
    def leftovers(self) -> tuple[str, ...]:
        """The sections that strip takes away."""
        return (*[".debug_*"] * self.debug, *[".symtab"] * self.symbols)

    @property
    def search_path(self) -> tuple[str, ...]:
        """The entries that ld.so searches for this file's own needs, unresolved."""
        return self.runpath or self.rpath


class _Sections(ELFFile):
    """A file whose sections are read once: its dynamic segment asks for all of them again.

    Without its hash tables: nobody asks for them, and reading them takes longest.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._read_once: dict[int, Any] = {}
        super().__init__(stream)

    def get_section(self, n: int, type: Any = None) -> Any:
        if type is not None:  # a damaged file's may be of another one, which is refused there
            return super().get_section(n, type)
        if n not in self._read_once:
            self._read_once[n] = super().get_section(n)
        return self._read_once[n]

    def _make_gnu_hash_section(self, section_header: Any, name: str) -> Any:
        return Section(section_header, name, self)

    def _make_elf_hash_section(self, section_header: Any, name: str) -> Any:
        return Section(section_header, name, self)


def is_elf(path: Path) -> bool:
    """Return whether a regular file starts as ELF files do; raises OSError if unreadable."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_elf(source: Path | bytes, *, name: str = "") -> Elf:
    """Return the ELF file at a path or in memory.

    Raises IntegrityError, naming the file (or `name`), when it is damaged or no ELF at all, and
    OSError when it cannot be read.
    """
    named = damage_named("ELF", source, name, ELFError, ConstructError)
    with opened(source) as stream, named:
        return _read(_Sections(stream))


def read_elves(tree: Path) -> dict[str, Elf]:
    """Return every ELF file below `tree`, as `read_tree` does it."""
    return read_tree(tree, is_elf, read_elf)


def _read(elf: ELFFile) -> Elf:
    if elf.num_segments() > LIMIT or elf.num_sections() > LIMIT:
        raise ELFError("more headers than any linker writes")
    every = list(elf.iter_segments())
    segments: dict[str, Any] = {segment["p_type"]: segment for segment in every}
    dynamic = segments.get("PT_DYNAMIC")
    texts, numbers = _read_dynamic(dynamic.iter_tags() if dynamic is not None else ())
    stack = segments.get("PT_GNU_STACK")
    sections = list(elf.iter_sections())
    names = {section.name for section in sections}
    bind_now = (
        "DT_BIND_NOW" in numbers
        or bool(numbers.get("DT_FLAGS", 0) & _DF_BIND_NOW)
        or bool(numbers.get("DT_FLAGS_1", 0) & _DF_1_NOW)
    )
    cpu, cpu_used = _instruction_sets(elf, every)
    musl = any(library.startswith("libc.musl-") for library in texts["DT_NEEDED"])
    full = Relro.FULL if bind_now else Relro.PARTIAL
    return Elf(
        machine=str(elf["e_machine"]),
        bits=elf.elfclass,
        soname=next(iter(texts["DT_SONAME"]), None),
        needed=tuple(texts["DT_NEEDED"]),
        rpath=_entries(texts["DT_RPATH"]),
        runpath=_entries(texts["DT_RUNPATH"]),
        versions=_read_versions(sections, relative="DT_RELR" in numbers and not musl),
        bind_now=bind_now,
        relro=full if "PT_GNU_RELRO" in segments else Relro.NONE,
        text_relocations="DT_TEXTREL" in numbers or bool(numbers.get("DT_FLAGS", 0) & _DF_TEXTREL),
        executable_stack=stack is None or bool(stack["p_flags"] & _PF_X),
        symbols=".symtab" in names,
        debug=any(name.startswith((".debug_", ".zdebug_")) for name in names),
        cpu=cpu,
        cpu_used=cpu_used,
    )


def _instruction_sets(elf: ELFFile, segments: Iterable[Segment]) -> tuple[str, str]:
    """Return the one that is needed, and the newest that is used."""
    found: dict[int, int] = {}
    for segment in (segment for segment in segments if segment["p_type"] == "PT_NOTE"):
        elf.stream.seek(segment["p_offset"])
        data = elf.stream.read(min(segment["p_filesz"], _NOTES))
        found |= dict(_properties(data, max(segment["p_align"], 4)))
    if elf["e_machine"] == "EM_AARCH64":
        return "armv8.3-a" if _PAUTH in found else "", ""
    needed, used = (found.get(kind, 0).bit_length() for kind in (_X86_NEEDED, _X86_USED))
    return _LEVELS[min(needed, 4)], _LEVELS[min(used, 4)]


def _properties(data: bytes, alignment: int) -> Iterator[tuple[int, int]]:
    """Yield type and beginning of each property in notes: pyelftools reads on past their end."""
    at = 0
    while at + 16 <= len(data):
        name, size, kind = struct.unpack_from("<3I", data, at)
        at += 12 + -(-name // 4) * 4
        end = min(at + size, len(data))
        while kind == _PROPERTIES and at + 12 <= end:
            kind_of, length, value = struct.unpack_from("<3I", data, at)
            yield kind_of, value
            at += 8 + -(-length // 8) * 8
        at = -(-end // alignment) * alignment


def _read_dynamic(tags: Iterable[DynamicTag]) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Return the strings of the dynamic section by tag, and the numbers of its other tags."""
    texts: dict[str, list[str]] = {tag: [] for tag in _TEXTS}
    numbers: dict[str, int] = {}
    for number, tag in enumerate(tags):
        if number > LIMIT:
            raise ELFError("the dynamic section does not end")
        name = str(tag.entry.d_tag)
        if name in texts:  # pyelftools keeps the string under the tag's own name
            texts[name].append(str(getattr(tag, name.removeprefix("DT_").lower())))
        else:
            numbers[name] = tag.entry.d_val
    return texts, numbers


def _entries(search_paths: list[str]) -> tuple[str, ...]:
    return tuple(search_paths[-1].split(":")) if search_paths and search_paths[-1] else ()


def _read_versions(sections: Iterable[Section], *, relative: bool) -> dict[str, tuple[str, ...]]:
    """Add, for relative relocations, the version of glibc that knows them, asked for or not."""
    versions: dict[str, set[str]] = {"libc.so.6": {"GLIBC_ABI_DT_RELR"}} if relative else {}
    records = itertools.count(1)
    for section in sections:
        if not isinstance(section, GNUVerNeedSection):
            continue
        for need, auxiliaries in section.iter_versions():
            names = versions.setdefault(str(need.name), set())
            for item in auxiliaries:
                names.add(item.name)
                if next(records) > LIMIT:
                    raise ELFError("the required versions do not end")
    return {library: tuple(sorted(names)) for library, names in sorted(versions.items())}

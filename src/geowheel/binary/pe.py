"""What the Windows loader sees in a PE file, as one frozen value.

Names and layout follow Microsoft's PE format
(https://learn.microsoft.com/en-us/windows/win32/debug/pe-format). pefile reads the headers, and
only those: its walks over imports and exports swallow damage, so that half of a list looks like the
whole of it, and go on through a damaged file for minutes.
"""

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pefile

from .reading import damage_named, read_tree

MAGIC: Final = b"MZ"
LIMIT: Final = 1 << 12
"""Libraries that one file imports: linkers stay far below, damage does not."""

_NAMES: Final = 1 << 16
"""Functions that one file imports or exports: ordinals have no more."""
_SIGNATURE: Final = b"PE\0\0"
_MOST_SECTIONS: Final = 96  # of an image; the loader takes no more
_LONGEST_NAME: Final = 1 << 16
_ARCHITECTURES: Final = {
    "IMAGE_FILE_MACHINE_AMD64": "amd64", "IMAGE_FILE_MACHINE_ARM64": "arm64",
    "IMAGE_FILE_MACHINE_I386": "x86",
}  # fmt: skip
# IMAGE_DLLCHARACTERISTICS_*.
_HIGH_ENTROPY, _DYNAMIC_BASE, _NX, _GUARD = 0x20, 0x40, 0x100, 0x4000
_EXPORT, _IMPORT, _DELAYED = 0, 1, 13  # data directories, by number


@dataclass(frozen=True, kw_only=True)
class Pe:
    """One PE file, as far as loading it goes."""

    machine: str
    """`IMAGE_FILE_MACHINE_AMD64`: the header's machine by Microsoft's name."""
    needed: tuple[str, ...]
    """The import table's libraries, as it spells them."""
    delayed: tuple[str, ...]
    """The delay-load import table's, which are loaded when the first function is called."""
    nx: bool
    """Whether it says that its data is never executed (/NXCOMPAT)."""
    dynamic_base: bool
    """Whether it may be loaded anywhere (/DYNAMICBASE)."""
    high_entropy: bool
    """Whether it may be loaded above 4 GB (/HIGHENTROPYVA)."""
    control_flow_guard: bool
    """Whether it says that it checks its indirect calls (/GUARD:CF)."""
    symbols: bool
    """Whether a COFF symbol table that no loader reads is left."""
    debug: bool
    """Whether DWARF sections are left."""

    @property
    def architectures(self) -> tuple[str, ...]:
        """The one that it is for: `amd64`; the machine's name where no platform has it."""
        return (_ARCHITECTURES.get(self.machine, self.machine),)

    @property
    def leftovers(self) -> tuple[str, ...]:
        """The parts that strip takes away."""
        return (*[".debug_*"] * self.debug, *["COFF symbols"] * self.symbols)


def is_pe(path: Path) -> bool:
    """Return whether `path` is a regular file that starts as PE files do; OSError if unreadable.

    Every DOS program starts with the two letters, and so may a text: PE files have an offset and a
    signature as well.
    """
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(64)
        if len(head) < 64 or not head.startswith(MAGIC):
            return False
        file.seek(int.from_bytes(head[60:64], "little"))
        return file.read(len(_SIGNATURE)) == _SIGNATURE


def read_pe(source: Path | bytes, *, name: str = "") -> Pe:
    """Return the PE file at a path or in memory.

    Raises IntegrityError, naming the file (or `name`), when it is damaged or no PE at all, and
    OSError when it cannot be read.
    """
    named = damage_named("PE", source, name, pefile.PEFormatError)
    with _opened(source) as data, named:
        return _read(data)


def function_names(source: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Return what a PE file takes from the libraries of its import table, and what it exports.

    Raises IntegrityError for a damaged table.
    """
    with _opened(source) as data, damage_named("PE", source, "", pefile.PEFormatError):
        image = _Image(pefile.PE(data=data, fast_load=True), data)
        return frozenset(image.taken()), frozenset(image.given())


def read_pes(tree: Path) -> dict[str, Pe]:
    """Return every PE file below `tree`, as `read_tree` does it.

    What has a library's name counts as one, whatever it starts with: delvewheel goes by the names.
    """
    return read_tree(
        tree, lambda path: path.suffix.lower() in (".dll", ".pyd") or is_pe(path), read_pe
    )


@contextmanager
def _opened(source: Path | bytes) -> Iterator[bytes | mmap.mmap]:
    """Yield the bytes, mapped rather than read: some libraries are larger than 100 MB."""
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:  # which cannot be mapped
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            yield view


def _read(data: bytes | mmap.mmap) -> Pe:
    # Not closed: close() runs the garbage collector, and there is nothing to close.
    image = _Image(pefile.PE(data=data, fast_load=True), data)
    optional, header = image.optional, image.header
    flags = optional.DllCharacteristics
    return Pe(
        machine=str(pefile.MACHINE_TYPE.get(header.Machine, f"machine {header.Machine:#x}")),
        needed=tuple(dict.fromkeys(image.imports())),
        delayed=tuple(dict.fromkeys(image.delayed())),
        nx=bool(flags & _NX),
        dynamic_base=bool(flags & _DYNAMIC_BASE),
        high_entropy=bool(flags & _HIGH_ENTROPY),
        control_flow_guard=bool(flags & _GUARD),
        symbols=header.NumberOfSymbols > 0,
        debug=any(name.startswith(".debug_") for name in image.section_names()),
    )


class _Image:
    """A file as the loader maps it: every part is asked for by its relative virtual address."""

    def __init__(self, pe: Any, data: bytes | mmap.mmap) -> None:
        self.optional, self.header = pe.OPTIONAL_HEADER, pe.FILE_HEADER
        self._sections, self._data = pe.sections, data
        if pe.PE_TYPE is None:
            raise pefile.PEFormatError("neither PE32 nor PE32+")
        if not 0 < self.header.NumberOfSections <= _MOST_SECTIONS:
            raise pefile.PEFormatError(f"{self.header.NumberOfSections} sections")
        if len(self._sections) != self.header.NumberOfSections:
            raise pefile.PEFormatError("the section table is cut off")
        for section in self._sections:
            if section.PointerToRawData + section.SizeOfRawData > len(data):
                raise pefile.PEFormatError("a section is cut off")

    def directory(self, number: int) -> tuple[int, int]:
        """Return address and size of a data directory; zeros where it has none."""
        every = self.optional.DATA_DIRECTORY
        if number >= len(every):
            return 0, 0
        return every[number].VirtualAddress, every[number].Size

    def imports(self) -> Iterator[str]:
        """Return the libraries of the import table: 20 bytes each, the name's address at 12."""
        for fields in self._descriptors(_IMPORT, "<5I"):
            yield self._library(fields[3])

    def delayed(self) -> Iterator[str]:
        """Return those of the delay-load table: 32 bytes, attributes at 0, the name at 4."""
        for attributes, address, *_ in self._descriptors(_DELAYED, "<8I"):
            # Without the first attribute, which old 32-bit linkers did not set, it is absolute.
            yield self._library(address if attributes & 1 else address - self.optional.ImageBase)

    def taken(self) -> Iterator[str]:
        """Yield the names in the lookup tables, each entry an ordinal or where the name is."""
        size = 8 if self.optional.Magic == 0x20B else 4
        left = _NAMES
        for lookup, _, _, _, bound in self._descriptors(_IMPORT, "<5I"):
            for place in range(lookup or bound, 1 << 32, size):
                entry = int.from_bytes(self._bytes(place, size), "little")
                left -= 1
                if not entry or left < 0:
                    break
                if not entry >> (8 * size - 1):
                    yield self._text(entry + 2)  # behind a hint

    def given(self) -> Iterator[str]:
        """Yield the names of the export directory: their number at 24, where they are at 32."""
        address, _ = self.directory(_EXPORT)
        if address:
            count, _, names = struct.unpack("<3I", self._bytes(address + 24, 12))
            for (name,) in struct.iter_unpack("<I", self._bytes(names, 4 * min(count, _NAMES))):
                yield self._text(name)

    def section_names(self) -> Iterator[str]:
        """Return the names; longer than 8 bytes they lie behind the symbol table: `/OFFSET`."""
        behind = self.header.PointerToSymbolTable + 18 * self.header.NumberOfSymbols
        for section in self._sections:
            name = section.Name.rstrip(b"\0")
            if name.startswith(b"/") and name[1:].isdigit() and self.header.PointerToSymbolTable:
                start = behind + int(name[1:])
                name = bytes(self._data[start : start + 64]).partition(b"\0")[0]
            yield name.decode("ascii", "replace")

    def _descriptors(self, number: int, layout: str) -> Iterator[tuple[int, ...]]:
        """Yield the directory's records up to the one that is all zeros."""
        address, _ = self.directory(number)
        if not address:
            return
        size = struct.calcsize(layout)
        for place in range(address, address + size * LIMIT, size):
            fields = struct.unpack(layout, self._bytes(place, size))
            if not any(fields):
                return
            yield fields
        raise pefile.PEFormatError("the list of imported libraries does not end")

    def _library(self, address: int) -> str:
        name = self._text(address)
        if not name or any(character in name for character in '/\\:*?"<>|'):
            raise pefile.PEFormatError(f"imports a library named {name!r}")
        return name

    def _text(self, address: int) -> str:
        start, end = self._span(address)
        # Names of C++ templates are thousands of letters long; a section may have no NUL at all.
        stop = self._data.find(b"\0", start, min(end, start + _LONGEST_NAME))
        text = bytes(self._data[start : max(stop, start)])
        if stop < 0 or not text.isascii() or not text.decode("ascii").isprintable():
            raise pefile.PEFormatError(f"no name at {address:#x}")
        return text.decode("ascii")

    def _bytes(self, address: int, length: int) -> bytes:
        start, end = self._span(address)
        if start + length > end:
            raise pefile.PEFormatError(f"less than {length} bytes at {address:#x}")
        return bytes(self._data[start : start + length])

    def _span(self, address: int) -> tuple[int, int]:
        """Return the offset of an address, and that of the end of its section."""
        for section in self._sections:
            inside = address - section.VirtualAddress
            if 0 <= inside < section.SizeOfRawData:
                start = section.PointerToRawData
                return start + inside, start + section.SizeOfRawData
        raise pefile.PEFormatError(f"nothing at {address:#x}")

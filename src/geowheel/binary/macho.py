"""What dyld sees in a Mach-O file, thin or fat, as one frozen value.

The structures are macholib's, which are those of Apple's <mach-o/loader.h> and <mach-o/fat.h>; the
walk over them is here, because macholib's own reads every section into memory and follows whatever
a damaged file says. What a signature holds is in `geowheel.binary.macho_signature`.
"""

from __future__ import annotations

import enum
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from macholib import mach_o  # type: ignore[import-untyped]

from .reading import (
    damaged,
    opened,
    regular_files,
    shown_name,
)

LIMIT: Final = 1 << 12
"""Load commands or sections of one slice: linkers stay far below, damage does not."""
COMMANDS_LIMIT: Final = 1 << 22
"""Bytes of all load commands together."""
FAT_LIMIT: Final = 30
"""Slices of a fat file. Java's class files have the same magic number, and a version of 45 or more
where a fat file has this count; file(1) tells them apart in the same way."""

_THIN: Final = {
    b"\xfe\xed\xfa\xce": (">", 32),
    b"\xce\xfa\xed\xfe": ("<", 32),
    b"\xfe\xed\xfa\xcf": (">", 64),
    b"\xcf\xfa\xed\xfe": ("<", 64),
}
_FAT: Final = {
    b"\xca\xfe\xba\xbe": mach_o.fat_arch,
    b"\xca\xfe\xba\xbf": mach_o.fat_arch64,
}
# <mach/machine.h>: CPU type and subtype, without the subtype's bits for capabilities.
_ARCHITECTURES: Final = {
    (0x01000007, 3): "x86_64",
    (0x01000007, 8): "x86_64h",
    (0x0100000C, 0): "arm64",
    (0x0100000C, 2): "arm64e",
    (7, 3): "i386",
}
_SUBTYPE: Final = 0x00FFFFFF
# LC_BUILD_VERSION's platforms, <mach-o/loader.h>.
_PLATFORMS: Final = {
    1: "macOS", 2: "iOS", 3: "tvOS", 4: "watchOS", 5: "bridgeOS", 6: "Mac Catalyst",
    7: "the iOS simulator", 8: "the tvOS simulator", 9: "the watchOS simulator", 10: "DriverKit",
    11: "visionOS", 12: "the visionOS simulator",
}  # fmt: skip
_VERSION_MINIMA: Final = {
    mach_o.LC_VERSION_MIN_MACOSX: "macOS",
    mach_o.LC_VERSION_MIN_IPHONEOS: "iOS",
    mach_o.LC_VERSION_MIN_TVOS: "tvOS",
    mach_o.LC_VERSION_MIN_WATCHOS: "watchOS",
}
_MH_PIE: Final = 0x200000
_MH_ALLOW_STACK_EXECUTION: Final = 0x20000
_VM_PROT_WRITE_EXECUTE: Final = 0x2 | 0x4
_SECTION_TYPE: Final = 0xFF
_ZEROFILL: Final = (0x1, 0xC, 0x12)  # S_ZEROFILL, S_GB_ZEROFILL, S_THREAD_LOCAL_ZEROFILL
_N_STAB: Final = 0xE0  # <mach-o/nlist.h>: any of these bits: a symbol for debuggers
_CS_ADHOC: Final = 0x2  # xnu's <kern/cs_blobs.h>
_CS_SLOT_CMS: Final = 0x10000
# What a damaged file makes of the readers below, besides their own ValueError.
_DAMAGE: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
    struct.error,
)


class Kind(enum.StrEnum):
    """What a load command with a path in it is for."""

    ID = "LC_ID_DYLIB"
    LOAD = "LC_LOAD_DYLIB"
    WEAK = "LC_LOAD_WEAK_DYLIB"
    REEXPORT = "LC_REEXPORT_DYLIB"
    UPWARD = "LC_LOAD_UPWARD_DYLIB"
    LAZY = "LC_LAZY_LOAD_DYLIB"
    RPATH = "LC_RPATH"

    @property
    def loads(self) -> bool:
        """Whether it names a library that dyld loads."""
        return self not in (Kind.ID, Kind.RPATH)


_KINDS: Final = {getattr(mach_o, kind.value): kind for kind in Kind}


class Signature(enum.StrEnum):
    """Who signed a slice. macOS on arm64 loads nothing that nobody signed."""

    NONE = "none"
    ADHOC = "ad hoc"
    IDENTITY = "identity"


@dataclass(frozen=True, kw_only=True)
class PathCommand:
    """A load command with a path: an install name, a needed library, a search path."""

    kind: Kind
    path: str
    size: int
    """Bytes of the whole command, padding included."""
    current_version: str = ""
    """`36.3.10`, of a library's commands."""
    compatibility_version: str = ""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """The file for one architecture: all of a thin file, one part of a fat one."""

    architecture: str
    """As lipo names it: `x86_64`, `arm64`; `CPU type 18, subtype 0` where it has no platform."""
    bits: int
    offset: int
    """In the file, in bytes."""
    size: int
    file_type: str
    """`dylib`, `bundle`, `execute`; macholib's short names."""
    commands: tuple[PathCommand, ...]
    """In the file's order."""
    platform: str
    """`macOS`; empty where the file does not say."""
    minimum: tuple[int, int, int] | None
    """The oldest version of the platform that it runs on, its deployment target."""
    sdk: tuple[int, int, int] | None
    signature: Signature
    signature_at: tuple[int, int] | None
    """Offset in the slice and size, in bytes."""
    header_room: int
    """Bytes that load commands can grow by."""
    pie: bool
    """Loaded at an address of its own each time; of programs, libraries always are."""
    executable_stack: bool
    writable_code: bool
    """Whether a segment is mapped writable and executable at once."""
    dwarf: bool
    stabs: bool

    @property
    def install_name(self) -> str | None:
        """By what the linker records it in its users; only dylibs have one."""
        return next((c.path for c in self.commands if c.kind is Kind.ID), None)

    @property
    def rpaths(self) -> tuple[str, ...]:
        """Where it has `@rpath` looked for, unresolved."""
        return tuple(c.path for c in self.commands if c.kind is Kind.RPATH)

    @property
    def libraries(self) -> tuple[PathCommand, ...]:
        """The commands that load libraries, weak ones included."""
        return tuple(c for c in self.commands if c.kind.loads)


@dataclass(frozen=True, kw_only=True)
class MachO:
    """One Mach-O file, as far as loading it goes."""

    slices: tuple[Slice, ...]
    """One in a thin file."""
    fat: bool

    @property
    def architectures(self) -> tuple[str, ...]:
        """Those that it has a slice for, in the file's order."""
        return tuple(part.architecture for part in self.slices)

    @property
    def needed(self) -> tuple[str, ...]:
        """The libraries that dyld has to find; the weak ones, which may be missing, are not."""
        return _distinct(c.path for c in self._loads() if c.kind is not Kind.WEAK)

    @property
    def weak(self) -> tuple[str, ...]:
        """The libraries that may be missing (and that no slice insists on)."""
        needed = self.needed
        return _distinct(c.path for c in self._loads() if c.path not in needed)

    @property
    def libraries(self) -> tuple[str, ...]:
        """All that dyld looks for."""
        return _distinct(c.path for c in self._loads())

    @property
    def rpaths(self) -> tuple[str, ...]:
        """The search paths of all slices, unresolved."""
        return _distinct(path for part in self.slices for path in part.rpaths)

    @property
    def install_names(self) -> tuple[str, ...]:
        """One, unless slices differ or have none."""
        return _distinct(part.install_name for part in self.slices if part.install_name)

    @property
    def leftovers(self) -> tuple[str, ...]:
        """DWARF sections, which `strip -S` takes away.

        Stabs are not counted: they are a few names in a table that dyld reads, and nothing but a
        Mac's own strip takes them away without harm.
        """
        return ("__DWARF",) if any(part.dwarf for part in self.slices) else ()

    def minimum(self, architecture: str) -> tuple[int, int, int] | None:
        """The deployment target of the slices for `architecture`; None where they state none."""
        parts = [part for part in self.slices if part.architecture == architecture]
        return max((part.minimum for part in parts if part.minimum), default=None)

    def _loads(self) -> Iterator[PathCommand]:
        for part in self.slices:
            yield from part.libraries


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def is_macho(path: Path) -> bool:
    """Whether `path` is a regular file that starts as Mach-O files do; OSError if unreadable."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(8)
    if start[:4] in _FAT:
        return len(start) == 8 and int.from_bytes(start[4:], "big") < FAT_LIMIT
    return start[:4] in _THIN


def read_macho(source: Path | bytes, *, name: str = "") -> MachO:
    """The Mach-O file at a path or in memory.

    Raises IntegrityError, naming the file (or `name`), when it is damaged or no Mach-O at all, and
    OSError when it cannot be read.
    """
    shown = shown_name(source, name)
    with opened(source) as stream:
        try:
            return _read(stream)
        except _DAMAGE as error:
            raise damaged("Mach-O", shown, error) from error


def read_machos(tree: Path) -> dict[str, MachO]:
    """Every Mach-O file below `tree` by its relative path, in sorted order; links are not followed.

    Raises what `read_macho` raises, at the first damaged file.
    """
    paths = sorted(path for path in regular_files(tree) if is_macho(path))
    return {path.relative_to(tree).as_posix(): read_macho(path) for path in paths}


# --- reading ---------------------------------------------------------------------------------


def _read(stream: IO[bytes]) -> MachO:
    size = stream.seek(0, os.SEEK_END)
    magic = _bytes(stream, 0, 4, size)
    if magic not in _FAT:
        return MachO(slices=(_Reader(stream=stream, start=0, size=size).slice(),), fat=False)
    count = int.from_bytes(_bytes(stream, 4, 4, size), "big")
    if not 0 < count < FAT_LIMIT:
        raise ValueError(f"{count} architectures")
    kind = _FAT[magic]
    rows = [
        kind.from_str(_bytes(stream, 8 + number * kind._size_, kind._size_, size))
        for number in range(count)
    ]
    for row in rows:
        if row.offset + row.size > size:
            raise ValueError("a slice ends behind the file")
    slices = [
        _Reader(stream=stream, start=int(row.offset), size=int(row.size)).slice() for row in rows
    ]
    if len({part.architecture for part in slices}) < count:
        raise ValueError("two slices for one architecture")
    return MachO(slices=tuple(slices), fat=True)


def _bytes(stream: IO[bytes], offset: int, count: int, end: int) -> bytes:
    if offset + count > end:
        raise ValueError("it ends too early")
    stream.seek(offset)
    data = stream.read(count)
    if len(data) != count:
        raise ValueError("it ends too early")
    return data


@dataclass(kw_only=True)
class _Reader:
    """Reads one slice; what is known so far."""

    stream: IO[bytes]
    start: int
    size: int
    endian: str = ""
    bits: int = 0
    commands_end: int = 0
    platform: str = ""
    minimum: tuple[int, int, int] | None = None
    sdk: tuple[int, int, int] | None = None
    signature_at: tuple[int, int] | None = None
    writable_code: bool = False
    dwarf: bool = False
    stabs: bool = False
    lowest: int | None = None
    """Where the first section's bytes are: up to there, load commands can grow."""

    def slice(self) -> Slice:
        magic = self._at(0, 4)
        if magic not in _THIN:
            raise ValueError(f"begins with {magic.hex()}")
        self.endian, self.bits = _THIN[magic]
        kind = mach_o.mach_header_64 if self.bits == 64 else mach_o.mach_header
        header = self._structure(kind, self._at(0, kind._size_))
        if header.ncmds > LIMIT or header.sizeofcmds > COMMANDS_LIMIT:
            raise ValueError("more load commands than any linker writes")
        self.commands_end = kind._size_ + int(header.sizeofcmds)
        data = self._at(kind._size_, int(header.sizeofcmds))
        commands = tuple(c for c in self._walk(data, int(header.ncmds)) if c is not None)
        flags = int(header.flags)
        return Slice(
            architecture=_architecture(int(header.cputype), int(header.cpusubtype)),
            bits=self.bits,
            offset=self.start,
            size=self.size,
            file_type=mach_o.MH_FILETYPE_SHORTNAMES.get(int(header.filetype), "unknown"),
            commands=commands,
            platform=self.platform,
            minimum=self.minimum,
            sdk=self.sdk,
            signature=self._signature(),
            signature_at=self.signature_at,
            header_room=max((self.lowest or 0) - self.commands_end, 0),
            pie=bool(flags & _MH_PIE),
            executable_stack=bool(flags & _MH_ALLOW_STACK_EXECUTION),
            writable_code=self.writable_code,
            dwarf=self.dwarf,
            stabs=self.stabs,
        )

    def _at(self, offset: int, count: int) -> bytes:
        return _bytes(self.stream, self.start + offset, count, self.start + self.size)

    def _structure(self, kind: Any, data: bytes) -> Any:
        return kind.from_str(data[: kind._size_], _endian_=self.endian)

    def _walk(self, data: bytes, count: int) -> Iterator[PathCommand | None]:
        """Take every load command; the ones with a path are given back."""
        position = 0
        for _ in range(count):
            command, size = struct.unpack_from(f"{self.endian}II", data, position)
            if size < 8 or position + size > len(data):
                raise ValueError("a load command ends behind the others")
            yield self._take(command, data[position + 8 : position + size])
            position += size
        if position != len(data):
            raise ValueError("the load commands are of another size than the header says")

    def _take(self, command: int, body: bytes) -> PathCommand | None:
        if command in _KINDS:
            return self._path(command, body)
        if command in (mach_o.LC_SEGMENT, mach_o.LC_SEGMENT_64):
            self._segment(command, body)
        elif command == mach_o.LC_SYMTAB:
            self._symbols(self._structure(mach_o.symtab_command, body))
        elif command == mach_o.LC_CODE_SIGNATURE:
            place = self._structure(mach_o.linkedit_data_command, body)
            self.signature_at = (int(place.dataoff), int(place.datasize))
        elif command == mach_o.LC_BUILD_VERSION:
            version = self._structure(mach_o.build_version_command, body)
            number = int(version.platform)
            self.platform = _PLATFORMS.get(number, f"platform {number}")
            self.minimum, self.sdk = _triple(version.minos), _triple(version.sdk)
        elif command in _VERSION_MINIMA:
            version = self._structure(mach_o.version_min_command, body)
            self.platform = _VERSION_MINIMA[command]
            self.minimum, self.sdk = _triple(version.version), _triple(version.sdk)
        return None

    def _path(self, command: int, body: bytes) -> PathCommand:
        kind = _KINDS[command]
        if kind is Kind.RPATH:
            versions: tuple[str, str] = ("", "")
            offset = int(self._structure(mach_o.rpath_command, body).path)
        else:
            library = self._structure(mach_o.dylib_command, body)
            offset = int(library.name)
            versions = (_dotted(library.current_version), _dotted(library.compatibility_version))
        start = offset - 8  # counted from the command's own start
        if not 0 < start < len(body):
            raise ValueError("a path lies outside of its load command")
        text = body[start:].partition(b"\0")[0]
        return PathCommand(
            kind=kind,
            path=text.decode(),
            size=len(body) + 8,
            current_version=versions[0],
            compatibility_version=versions[1],
        )

    def _segment(self, command: int, body: bytes) -> None:
        wide = command == mach_o.LC_SEGMENT_64
        kind = mach_o.segment_command_64 if wide else mach_o.segment_command
        inner = mach_o.section_64 if wide else mach_o.section
        segment = self._structure(kind, body)
        count = int(segment.nsects)
        if count > LIMIT or len(body) != kind._size_ + count * inner._size_:
            raise ValueError("a segment's sections do not fit into its load command")
        if segment.fileoff + segment.filesize > self.size:
            raise ValueError("a segment ends behind the file")
        both = int(segment.initprot) & _VM_PROT_WRITE_EXECUTE
        self.writable_code |= both == _VM_PROT_WRITE_EXECUTE
        if count == 0 and segment.filesize:
            self._first(int(segment.fileoff))
        for number in range(count):
            start = kind._size_ + number * inner._size_
            section = self._structure(inner, body[start:])
            zerofill = (int(section.flags) & _SECTION_TYPE) in _ZEROFILL
            if section.offset and section.size and not zerofill:
                self._first(int(section.offset))
            self.dwarf |= section.segname.rstrip(b"\0") == b"__DWARF"

    def _first(self, offset: int) -> None:
        self.lowest = offset if self.lowest is None else min(self.lowest, offset)

    def _symbols(self, table: Any) -> None:
        # struct nlist: 4 bytes of string index, then n_type; 12 bytes in all, 16 with 64 bits.
        width = 16 if self.bits == 64 else 12
        data = self._at(int(table.symoff), int(table.nsyms) * width)
        self.stabs |= any(kind & _N_STAB for kind in set(data[4::width]))

    def _signature(self) -> Signature:
        """By the superblob's slots and the first code directory's flags."""
        if self.signature_at is None:
            return Signature.NONE
        offset, size = self.signature_at
        head = self._at(offset, 12)
        count = int.from_bytes(head[8:], "big")
        if size < 12 or count > LIMIT:
            raise ValueError("the signature has no slots")
        self._at(offset + size, 0)
        rows = [struct.unpack(">II", self._at(offset + 12 + 8 * n, 8)) for n in range(count)]
        if any(slot == _CS_SLOT_CMS and self._blob(offset + at) > 8 for slot, at in rows):
            return Signature.IDENTITY
        first = next((at for slot, at in rows if slot == 0), None)
        if first is None:
            raise ValueError("the signature has no code directory")
        flags = int.from_bytes(self._at(offset + first + 12, 4), "big")
        return Signature.ADHOC if flags & _CS_ADHOC else Signature.IDENTITY

    def _blob(self, offset: int) -> int:
        """The length that a blob of the signature states."""
        return int.from_bytes(self._at(offset + 4, 4), "big")


def _architecture(cpu: int, subtype: int) -> str:
    kind, plain = cpu & 0xFFFFFFFF, subtype & _SUBTYPE
    return _ARCHITECTURES.get((kind, plain), f"CPU type {kind}, subtype {plain}")


def _triple(version: int) -> tuple[int, int, int]:
    """X.Y.Z, which is packed as xxxx.yy.zz (<mach-o/loader.h>)."""
    return int(version) >> 16, int(version) >> 8 & 0xFF, int(version) & 0xFF


def _dotted(version: Any) -> str:
    return ".".join(map(str, _triple(version._version)))

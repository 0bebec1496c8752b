"""What dyld sees in a Mach-O file, thin or fat, as one frozen value.

The structures are those of Apple's <mach-o/loader.h> and <mach-o/fat.h>, their numbers macholib's;
the walk is here, because macholib's own reads every section into memory and follows whatever a
damaged file says. What a signature holds is in `geowheel.binary.macho_signature`.
"""

import enum
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from macholib import mach_o

from .reading import damage_named, opened, read_tree

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
_FAT: Final = {b"\xca\xfe\xba\xbe": ">iiIII", b"\xca\xfe\xba\xbf": ">iiQQII"}
"""The magic number and struct fat_arch: CPU type and subtype, offset, size."""
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
_ZEROFILL: Final = (0x1, 0xC, 0x12)  # S_ZEROFILL, S_GB_ZEROFILL, S_THREAD_LOCAL_ZEROFILL
_SEGMENTS: Final = {
    mach_o.LC_SEGMENT: ("16s4IiiII", "16s16s7I8x"),
    mach_o.LC_SEGMENT_64: ("16s4QiiII", "16s16sQQ5I12x"),
}
"""struct segment_command and struct section, from the segment's name on."""


class PathUse(enum.StrEnum):
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
        return self not in (PathUse.ID, PathUse.RPATH)


_KINDS: Final = {getattr(mach_o, kind.value): kind for kind in PathUse}


@dataclass(frozen=True, kw_only=True)
class PathCommand:
    """A load command with a path: an install name, a needed library, a search path."""

    kind: PathUse
    path: str
    size: int
    """Bytes of the whole command, padding included."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """The file for one architecture: all of a thin file, one part of a fat one."""

    architecture: str
    """As lipo names it: `x86_64`, `arm64`; `CPU type 18, subtype 0` where it has no platform."""
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
    signature_at: tuple[int, int] | None
    """Offset in the slice and size, in bytes."""
    symbols_at: tuple[int, int, int, int] | None
    """LC_SYMTAB: where the table is and its rows, where its texts are and their size."""
    header_room: int
    """Bytes that load commands can grow by."""
    dwarf: bool

    @property
    def rpaths(self) -> tuple[str, ...]:
        """Where it has `@rpath` looked for, unresolved."""
        return tuple(c.path for c in self.commands if c.kind is PathUse.RPATH)

    @property
    def libraries(self) -> tuple[PathCommand, ...]:
        """The commands that load libraries, weak ones included."""
        return tuple(c for c in self.commands if c.kind.loads)


@dataclass(frozen=True, kw_only=True)
class MachO:
    """One Mach-O file, as far as loading it goes."""

    slices: tuple[Slice, ...]
    """One in a thin file."""

    @property
    def architectures(self) -> tuple[str, ...]:
        """Those that it has a slice for, in the file's order."""
        return tuple(part.architecture for part in self.slices)

    @property
    def needed(self) -> tuple[str, ...]:
        """The libraries that dyld has to find; the weak ones, which may be missing, are not."""
        return _distinct(c.path for c in self._loads() if c.kind is not PathUse.WEAK)

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
        commands = (command for part in self.slices for command in part.commands)
        return _distinct(command.path for command in commands if command.kind is PathUse.ID)

    @property
    def leftovers(self) -> tuple[str, ...]:
        """DWARF sections, which `strip -S` takes away.

        Stabs are not counted: they are a few names in a table that dyld reads, and nothing but a
        Mac's own strip takes them away without harm.
        """
        return ("__DWARF",) if any(part.dwarf for part in self.slices) else ()

    def minimum(self, architecture: str) -> tuple[int, int, int] | None:
        """Return the deployment target of the slices for `architecture`; None where unsaid."""
        parts = [part for part in self.slices if part.architecture == architecture]
        return max((part.minimum for part in parts if part.minimum), default=None)

    def _loads(self) -> Iterator[PathCommand]:
        for part in self.slices:
            yield from part.libraries


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def is_macho(path: Path) -> bool:
    """Return whether a regular file starts as Mach-O files do; raises OSError if unreadable."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(8)
    if start[:4] in _FAT:
        return len(start) == 8 and int.from_bytes(start[4:], "big") < FAT_LIMIT
    return start[:4] in _THIN


def read_macho(source: Path | bytes, *, name: str = "") -> MachO:
    """Return the Mach-O file at a path or in memory.

    Raises IntegrityError, naming the file (or `name`), when it is damaged or no Mach-O at all, and
    OSError when it cannot be read.
    """
    with opened(source) as stream, damage_named("Mach-O", source, name):
        return _read(stream)


def read_machos(tree: Path) -> dict[str, MachO]:
    """Return every Mach-O file below `tree`, as `read_tree` does it."""
    return read_tree(tree, is_macho, read_macho)


def symbol_names(source: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Return what the slices of 64 bits take from libraries, and what they give them.

    Without the underscore of C's names; from struct nlist_64: where a name is, its kind, and 11
    bytes more. Raises IntegrityError for a damaged table.
    """
    found: dict[bool, set[bytes]] = {True: set(), False: set()}
    with source.open("rb") as stream, damage_named("Mach-O", source, ""):
        for part in _read(stream).slices:
            if part.symbols_at is None or not part.architecture.startswith(("arm64", "x86_64")):
                continue
            at, count, start, size = part.symbols_at
            end = part.offset + part.size
            rows = _bytes(stream, part.offset + at, 16 * count, end)
            texts, left = _bytes(stream, part.offset + start, size, end), 8 * size
            for place, kind in struct.iter_unpack("<IB11x", rows):
                if kind & 0xF1 == 1:  # N_EXT, neither N_STAB nor N_PEXT
                    name = texts[place : texts.index(b"\0", place)]
                    found[kind & 0xE == 0].add(name)  # N_UNDF
                    left -= len(name)
                    if left < 0:
                        raise ValueError("the names of its symbols do not end")
    taken, given = (
        frozenset(name.decode("utf-8", "replace").removeprefix("_") for name in names)
        for names in found.values()
    )
    return taken, given


def _read(stream: IO[bytes]) -> MachO:
    size = stream.seek(0, os.SEEK_END)
    magic = _bytes(stream, 0, 4, size)
    if magic not in _FAT:
        return MachO(slices=(_SliceReader(stream=stream, start=0, size=size).slice(),))
    count = int.from_bytes(_bytes(stream, 4, 4, size), "big")
    if not 0 < count < FAT_LIMIT:
        raise ValueError(f"{count} architectures")
    row = struct.Struct(_FAT[magic])
    places = [fields[2:4] for fields in row.iter_unpack(_bytes(stream, 8, count * row.size, size))]
    if any(start + length > size for start, length in places):
        raise ValueError("a slice ends behind the file")
    slices = tuple(_SliceReader(stream=stream, start=at, size=long).slice() for at, long in places)
    if len({part.architecture for part in slices}) < count:
        raise ValueError("two slices for one architecture")
    return MachO(slices=slices)


def _bytes(stream: IO[bytes], offset: int, count: int, end: int) -> bytes:
    stream.seek(offset)
    data = stream.read(count) if offset + count <= end else b""
    if len(data) != count:
        raise ValueError("it ends too early")
    return data


@dataclass(kw_only=True)
class _SliceReader:
    """Reads one slice; what is known so far."""

    stream: IO[bytes]
    start: int
    size: int
    endian: str = ""
    platform: str = ""
    minimum: tuple[int, int, int] | None = None
    signature_at: tuple[int, int] | None = None
    symbols_at: tuple[int, int, int, int] | None = None
    dwarf: bool = False
    lowest: int | None = None
    """Where the first section's bytes are: up to there, load commands can grow."""

    def slice(self) -> Slice:
        magic = self._at(0, 4)
        if magic not in _THIN:
            raise ValueError(f"begins with {magic.hex()}")
        self.endian, bits = _THIN[magic]
        cpu, subtype, file_type, count, length = self._fields("iiIII", self._at(4, 20))
        if count > LIMIT or length > COMMANDS_LIMIT:
            raise ValueError("more load commands than any linker writes")
        begin, key = 32 if bits == 64 else 28, (cpu & 0xFFFFFFFF, subtype & _SUBTYPE)
        commands = tuple(filter(None, self._walk(self._at(begin, length), count)))
        return Slice(
            architecture=_ARCHITECTURES.get(key, "CPU type {}, subtype {}".format(*key)),
            offset=self.start,
            size=self.size,
            file_type=mach_o.MH_FILETYPE_SHORTNAMES.get(file_type, "unknown"),
            commands=commands,
            platform=self.platform,
            minimum=self.minimum,
            signature_at=self.signature_at,
            symbols_at=self.symbols_at,
            header_room=max((self.lowest or 0) - begin - length, 0),
            dwarf=self.dwarf,
        )

    def _at(self, offset: int, count: int) -> bytes:
        return _bytes(self.stream, self.start + offset, count, self.start + self.size)

    def _fields(self, layout: str, data: bytes, at: int = 0) -> tuple[int, ...]:
        return struct.unpack_from(self.endian + layout, data, at)

    def _walk(self, data: bytes, count: int) -> Iterator[PathCommand | None]:
        """Take every load command; the ones with a path are given back."""
        position = 0
        for _ in range(count):
            command, size = self._fields("II", data, position)
            if size < 8 or position + size > len(data):
                raise ValueError("a load command ends behind the others")
            yield self._take(command, data[position + 8 : position + size])
            position += size
        if position != len(data):
            raise ValueError("the load commands are of another size than the header says")

    def _take(self, command: int, body: bytes) -> PathCommand | None:
        if command in _KINDS:
            (offset,) = self._fields("I", body)
            start = offset - 8  # counted from the command's own start
            if not 0 < start < len(body):
                raise ValueError("a path lies outside of its load command")
            path = body[start:].partition(b"\0")[0].decode()
            return PathCommand(kind=_KINDS[command], path=path, size=len(body) + 8)
        if command in _SEGMENTS:
            self._segment(*_SEGMENTS[command], body)
        elif command == mach_o.LC_CODE_SIGNATURE:
            at, size = self._fields("II", body)
            self.signature_at = (at, size)
            self._at(at + size, 0)
        elif command == mach_o.LC_SYMTAB:
            at, count, texts, size = self._fields("4I", body)
            self.symbols_at = (at, count, texts, size)
        elif command == mach_o.LC_BUILD_VERSION:
            number, version = self._fields("II", body)
            self.platform = _PLATFORMS.get(number, f"platform {number}")
            self.minimum = _triple(version)
        elif command in _VERSION_MINIMA:
            self.platform = _VERSION_MINIMA[command]
            self.minimum = _triple(*self._fields("I", body))
        return None

    def _segment(self, segment: str, section: str, body: bytes) -> None:
        _, _, _, offset, size, _, _, count, _ = self._fields(segment, body)
        begin, each = (struct.calcsize(self.endian + layout) for layout in (segment, section))
        if count > LIMIT or len(body) != begin + count * each:
            raise ValueError("a segment's sections do not fit into its load command")
        if offset + size > self.size:
            raise ValueError("a segment ends behind the file")
        if count == 0 and size:
            self._first(offset)
        for at in range(begin, len(body), each):
            _, name, _, size, offset, _, _, _, flags = struct.unpack_from(
                self.endian + section, body, at
            )
            if offset and size and flags & 0xFF not in _ZEROFILL:
                self._first(offset)
            self.dwarf |= name.rstrip(b"\0") == b"__DWARF"

    def _first(self, offset: int) -> None:
        self.lowest = offset if self.lowest is None else min(self.lowest, offset)


def _triple(version: int) -> tuple[int, int, int]:
    """Return X.Y.Z, which is packed as xxxx.yy.zz (<mach-o/loader.h>)."""
    return version >> 16, version >> 8 & 0xFF, version & 0xFF

"""Linux: a wheel's libraries bind to each other, whatever else the process has loaded.

ld.so finds a symbol by its name, and looks first in what is loaded for all: the program, LD_PRELOAD
and every library that came with RTLD_GLOBAL. So another GDAL in front answers in place of ours.
Symbol versions do not help: a library that has none satisfies all of them. Here

- what one file of a wheel takes from another has a second name there, and is asked for by that;
- DF_SYMBOLIC lets a library find in itself what it defines itself;
- STB_GNU_UNIQUE, which is one in the process whatever the scope, becomes STB_WEAK, or gets another
  name where several files of the wheel define it.

The formats are those of `geowheel.binary.elf`; DT_GNU_HASH is described in
https://sourceware.org/gnu-gabi/program-loading-and-dynamic-linking.txt, and what ld.so makes of all
of it stands in glibc's elf/dl-lookup.c.
"""

from __future__ import annotations

import functools
import io
import re
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

from geowheel.binary.closure import follow
from geowheel.binary.elf import read_elves
from geowheel.binary.elf_loading import ElfLoader
from geowheel.digest import sha256_bytes

_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_TAG: Final = struct.Struct("<qQ")
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_RELA, _HASH, _DYNAMIC, _DYNSYM = 4, 5, 6, 11  # sections
_GNU_HASH, _VERSYM = 0x6FFFFFF6, 0x6FFFFFFF
_DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ, _DT_FLAGS = 4, 5, 6, 10, 30
_DT_GNU_HASH, _DT_VERSYM = 0x6FFFFEF5, 0x6FFFFFF0
_ALLOC, _DF_SYMBOLIC = 2, 2
_WEAK, _UNIQUE, _OBJECT = 2, 10, 1
_FOR_ALL: Final = frozenset({b"malloc", b"_Znwm"})
"""A library that defines these stands in for the system's: all have to find it, or nobody."""
_OF_THE_SYSTEM: Final = re.compile(rb"_Z(GV)?N(Ss|SbIwSt|St.*2idE$)")
"""Of libstdc++, which has them as well: locale facets and the strings of its older ABI."""


def bind(tree: Path, distribution: str) -> None:
    """Bind the ELF files of an unpacked wheel to each other, once all have their final names."""
    elves = read_elves(tree)
    links = follow(elves, ElfLoader()).links
    images = {path: image for path in elves if (image := _Editable(tree / path)).symbols}
    # The names of copies hold their content's hash.
    mark = b"." + sha256_bytes("\0".join([distribution, *sorted(images)]).encode())[:8].encode()
    unique = Counter(name for image in images.values() for name in image.unique)
    # Variables of a program may be copies of a library's, which must not prefer its own.
    programs = (symbol for image in images.values() if image.program for symbol in image.symbols)
    variables = {
        symbol.name for symbol in programs if symbol.defined and symbol.info & 15 == _OBJECT
    }
    alone = {name for name in variables if not name.startswith(b"_ZT")} | _FOR_ALL
    for path, image in images.items():
        loaded = [other for other in _loaded(path, links) if other in images]
        for at, symbol in enumerate(image.symbols):
            if unique[symbol.name] > 1:
                image.symbols[at] = symbol.called(symbol.name + mark)
            elif symbol.name in image.unique:
                image.symbols[at] = symbol._replace(info=_WEAK << 4 | symbol.info & 15)
            elif not symbol.defined:
                file = image.files.get(symbol.version & 0x7FFF)
                asked = [o for o in loaded if file is None or o == links[path].get(file)]
                exporting = (images[o] for o in asked if symbol.name in images[o].exported)
                if (library := next(exporting, None)) and not library.exported & _FOR_ALL:
                    image.symbols[at] = symbol.called(symbol.name + mark)
                    library.asked.add(symbol.name)
        if not (image.program or image.exported & alone):
            image.set_tag(_DT_FLAGS, dict(image.tags).get(_DT_FLAGS, 0) | _DF_SYMBOLIC)
    for image in images.values():
        image.write(mark)


def _loaded(path: str, links: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What ld.so loads with a file, in its order, without the file itself."""
    found = [path]
    for other in found:
        found += [new for new in dict.fromkeys(links.get(other, {}).values()) if new not in found]
    return found[1:]


def gnu_hash(name: bytes) -> int:
    """The hash of a name that DT_GNU_HASH holds."""
    value = 5381
    for byte in name:
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value


class _Symbol(NamedTuple):
    text: int
    info: int
    other: int
    section: int
    value: int
    size: int
    name: bytes
    version: int

    @property
    def defined(self) -> bool:
        return bool(self.section and self.info >> 4)

    def called(self, name: bytes) -> _Symbol:
        return self._replace(name=name, text=-1)  # which has no place yet


class _Editable:
    """An ELF file and the changes to it, which `write` makes."""

    def __init__(self, path: Path) -> None:
        self.path, self.data = path, bytearray(path.read_bytes())
        self.headers, self.table = struct.unpack_from("<QQ", self.data, 32)
        segments, _, sections = struct.unpack_from("<3H", self.data, 56)
        self.segments = self._read(_SEGMENT, self.headers, segments)
        self.sections = self._read(_SECTION, self.table, sections)
        self.of = {section[1]: section for section in reversed(self.sections)}
        self.program = any(segment[0] == _PT_INTERP for segment in self.segments)
        self.symbols = list[_Symbol]()
        if not {_DYNSYM, _DYNAMIC} <= self.of.keys():
            return  # an object file or a static program
        self.strings = self.sections[self.of[_DYNSYM][6]]
        self.tags = [row for row in _TAG.iter_unpack(self._bytes(self.of[_DYNAMIC])) if row[0]]
        self.symbols = list(self._symbols())
        self.exported = {symbol.name for symbol in self.symbols if symbol.defined}
        unique = {s.name for s in self.symbols if s.defined and s.info >> 4 == _UNIQUE}
        self.unique = {name for name in unique if not _OF_THE_SYSTEM.match(name)}
        self.asked = set[bytes]()
        # What grows goes behind the last segment; what is zero at run time then lies in the file.
        last = max((row for row in self.segments if row[0] == _PT_LOAD), key=lambda row: row[3])
        self.last, self.end = last, last[2] + last[5]
        self.gap = last[6] - last[5] + -(last[3] + last[6]) % 16
        self.room = bytearray()
        self.behind = [row for row in self.sections if row[4] >= self.end and not row[2] & _ALLOC]

    def _read(self, shape: struct.Struct, at: int, count: int) -> list[list[int]]:
        return [list(shape.unpack_from(self.data, at + n * shape.size)) for n in range(count)]

    def _bytes(self, section: list[int] | None) -> bytes:
        return b"" if section is None else bytes(self.data[section[4] : section[4] + section[5]])

    def _symbols(self) -> Iterator[_Symbol]:
        strings, versions = self._bytes(self.strings), self._bytes(self.of.get(_VERSYM))
        for at, row in enumerate(_SYMBOL.iter_unpack(self._bytes(self.of[_DYNSYM]))):
            version = int.from_bytes(versions[2 * at : 2 * at + 2], "little")
            name = strings[row[0] : strings.index(b"\0", row[0])]
            yield _Symbol._make((*row, name, version))

    @functools.cached_property
    def files(self) -> dict[int, str]:
        """The libraries that the versions of undefined symbols name, by the versions' indices."""
        return {
            part["vna_other"]: str(need.name)
            for section in ELFFile(io.BytesIO(self.data)).iter_sections()
            if isinstance(section, GNUVerNeedSection)
            for need, parts in section.iter_versions()
            for part in parts
        }

    def set_tag(self, tag: int, value: int) -> None:
        self.tags = [row for row in self.tags if row[0] != tag] + [(tag, value)]

    def write(self, mark: bytes) -> None:
        asked = [symbol for symbol in self.symbols if symbol.defined and symbol.name in self.asked]
        symbols = [*self.symbols, *(symbol.called(symbol.name + mark) for symbol in asked)]
        strings, places = bytearray(self._bytes(self.strings)), dict[bytes, int]()
        hashed = [bool(symbol.info >> 4 and (symbol.section or symbol.value)) for symbol in symbols]
        moves = any(symbol.text < 0 for symbol, known in zip(symbols, hashed, strict=True) if known)
        for at, symbol in enumerate(symbols):
            if symbol.text < 0:
                if symbol.name not in places:
                    places[symbol.name] = len(strings)
                    strings += symbol.name + b"\0"
                symbols[at] = symbol._replace(text=places[symbol.name])
        self._place(self.strings, bytes(strings), _DT_STRTAB)
        self.set_tag(_DT_STRSZ, len(strings))
        if moves:
            symbols = self._in_order(symbols, hashed)
        table = b"".join(_SYMBOL.pack(*symbol[:6]) for symbol in symbols)
        self._place(self.of[_DYNSYM], table, _DT_SYMTAB)
        if _VERSYM in self.of:
            versions = struct.pack(f"<{len(symbols)}H", *(symbol.version for symbol in symbols))
            self._place(self.of[_VERSYM], versions, _DT_VERSYM)
        self._place(self.of[_DYNAMIC], b"".join(_TAG.pack(*row) for row in [*self.tags, (0, 0)]))
        self._finish()

    def _in_order(self, symbols: Sequence[_Symbol], hashed: Sequence[bool]) -> list[_Symbol]:
        """Return the symbols as DT_GNU_HASH wants them, which is made, as relocations are."""
        hashes = [gnu_hash(symbol.name) for symbol in symbols]
        buckets = sum(hashed) // 2 + 1
        order = sorted(range(len(symbols)), key=lambda at: (hashes[at] % buckets + 1) * hashed[at])
        section = self.of.get(_GNU_HASH) or self.of[_HASH]
        section[1] = _GNU_HASH
        known = [hashes[at] for at in order if hashed[at]]
        self._place(section, hash_table(known, buckets, hashed.count(False)), _DT_GNU_HASH)
        self.tags = [row for row in self.tags if row[0] != _DT_HASH]
        places = {at: new for new, at in enumerate(order)}
        for _, kind, flags, _, offset, size, *_ in self.sections:
            dynamic = kind == _RELA and flags & _ALLOC  # --emit-relocs leaves others
            for at in range(offset + 8, offset + size, 24) if dynamic else ():
                (info,) = struct.unpack_from("<Q", self.data, at)
                moved = places[info >> 32] << 32 | info & 0xFFFFFFFF
                struct.pack_into("<Q", self.data, at, moved)
        return [symbols[at] for at in order]

    def _place(self, section: list[int], content: bytes, tag: int = 0) -> None:
        """Put a section's content where it was, or into the room; the tag says where it is."""
        offset, size = section[4:6]
        self.data[offset : offset + size] = content[:size].ljust(size, b"\0")
        if len(content) > size:
            self.data[offset : offset + size] = bytes(size)
            self.room += bytes(-len(self.room) % 8)
            at = self.gap + len(self.room)
            section[3:6] = self.last[3] + self.last[5] + at, self.end + at, len(content)
            self.room += content
        if tag:
            self.set_tag(tag, section[3])

    def _finish(self) -> None:
        """Make the last segment longer, and move what lies behind it, the section headers too."""
        if self.room:
            self.room += bytes(-(self.gap + len(self.room)) % 16)
            added = bytes(self.gap) + self.room
            self.data[self.end : self.end] = added
            self.last[5] = self.last[6] = self.last[5] + len(added)
            for section in self.behind:
                section[4] += len(added)
            self.table += len(added) * (self.table >= self.end)
        _, _, _, address, offset, size, *_ = self.of[_DYNAMIC]
        for segment in self.segments:
            if segment[0] == _PT_DYNAMIC:
                segment[2:7] = offset, address, address, size, size
        parts = (_SEGMENT, self.headers, self.segments), (_SECTION, self.table, self.sections)
        for shape, at, rows in parts:
            self.data[at : at + shape.size * len(rows)] = b"".join(shape.pack(*row) for row in rows)
        struct.pack_into("<Q", self.data, 40, self.table)
        self.path.write_bytes(self.data)


def hash_table(hashes: Sequence[int], buckets: int, first: int) -> bytes:
    """The content of DT_GNU_HASH, for hashes of symbols from `first` on in the order of buckets."""
    words = 1 << (len(hashes) * 12 // 64).bit_length()
    shift = words.bit_length() + 5
    bloom, starts = [0] * words, [0] * buckets
    for at, value in enumerate(hashes, first):
        bloom[value // 64 % words] |= 1 << value % 64 | 1 << (value >> shift) % 64
        starts[value % buckets] = starts[value % buckets] or at
    then = [*(value % buckets for value in hashes[1:]), -1]
    chain = [h & ~1 | (h % buckets != end) for h, end in zip(hashes, then, strict=False)]
    header = struct.pack("<4I", buckets, first, words, shift)
    return header + struct.pack(f"<{words}Q{buckets}I{len(chain)}I", *bloom, *starts, *chain)

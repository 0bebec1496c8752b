"""An ELF file whose symbols, versions and libraries change, while its code and data stay in place.

What grows goes behind the last segment. The formats are those of `geowheel.binary.elf`;
DT_GNU_HASH is described in
https://sourceware.org/gnu-gabi/program-loading-and-dynamic-linking.txt.
"""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

GLOBAL: Final = 1
"""The version index of a symbol that has no version."""
OBJECT, TLS = 1, 6
WEAK, UNIQUE, PROTECTED = 2, 10, 3
DT_FLAGS: Final = 30
_DT_NEEDED, _DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ = 1, 4, 5, 6, 10
_DT_RPATH, _DT_RUNPATH = 15, 29
_DT_GNU_HASH, _DT_VERSYM = 0x6FFFFEF5, 0x6FFFFFF0
_DT_VERNEED, _DT_VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_TAG: Final = struct.Struct("<qQ")
_NEED: Final = struct.Struct("<HHIII")
_NEEDED_VERSION: Final = struct.Struct("<IHHII")
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_PROGBITS, _RELA, _HASH, _DYNAMIC, _DYNSYM = 1, 4, 5, 6, 11  # sections
_GNU_HASH, _VERDEF, _VERNEED, _VERSYM = 0x6FFFFFF6, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
_ALLOC, _EXECINSTR = 2, 4
_COPY: Final = frozenset({5, 1024})  # R_X86_64_COPY, R_AARCH64_COPY


class Symbol(NamedTuple):
    """A row of the dynamic symbol table, with its name and the index of its version."""

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

    @property
    def number(self) -> int:
        """The version's index, without the mark of those that only dlvsym finds."""
        return self.version & 0x7FFF

    def called(self, name: bytes) -> "Symbol":
        return self._replace(name=name, text=-1)  # which has no place yet


class NeededVersion(NamedTuple):
    """A version that a library has to have."""

    library: str
    name: str
    flags: int = 0


class EditableElf:
    """An ELF file of 64 bits and the changes to it, which `write` makes."""

    def __init__(self, path: Path) -> None:
        self.path, self.data = path, bytearray(path.read_bytes())
        self.headers, self.table = struct.unpack_from("<QQ", self.data, 32)
        segments, _, sections, self.names = struct.unpack_from("<4H", self.data, 56)
        self.segments = self._read(_SEGMENT, self.headers, segments)
        self.sections = self._read(_SECTION, self.table, sections)
        self.of = {section[1]: section for section in reversed(self.sections)}
        self.program = any(segment[0] == _PT_INTERP for segment in self.segments)
        self.symbols = list[Symbol]()
        if not {_DYNSYM, _DYNAMIC} <= self.of.keys():
            return  # an object file or a static program
        self.strings = self.sections[self.of[_DYNSYM][6]]
        self._texts, self._places = bytearray(self._bytes(self.strings)), dict[bytes, int]()
        self.tags = [row for row in _TAG.iter_unpack(self._bytes(self.of[_DYNAMIC])) if row[0]]
        self.symbols = list(self._symbols())
        self.needs = dict(self._needs())
        self._needed_before = dict(self.needs)
        self.exported = {symbol.name for symbol in self.symbols if symbol.defined}
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

    def own_data(self) -> Iterator[bytes]:
        """Yield the data that is the program's own; the rest is code, or for ld.so."""
        names = self._bytes(self.sections[self.names]) if self.sections else b""
        for section in self.sections:
            name = names[section[0] : names.find(b"\0", section[0])]
            data = section[1] == _PROGBITS and section[2] & (_ALLOC | _EXECINSTR) == _ALLOC
            if data and name not in (b".dynstr", b".interp"):
                yield self._bytes(section)

    def _text_at(self, at: int) -> bytes:
        return bytes(self._texts[at : self._texts.index(b"\0", at)])

    def _symbols(self) -> Iterator[Symbol]:
        strings, versions = bytes(self._texts), self._bytes(self.of.get(_VERSYM))
        left = 8 * len(strings)  # names share their ends; damage would make them endless
        for at, row in enumerate(_SYMBOL.iter_unpack(self._bytes(self.of[_DYNSYM]))):
            version = int.from_bytes(versions[2 * at : 2 * at + 2], "little")
            name = strings[row[0] : strings.index(b"\0", row[0])]
            left -= len(name)
            if left < 0:
                raise ValueError("the names of its symbols do not end")
            yield Symbol._make((*row, name, version))

    def _needs(self) -> Iterator[tuple[int, NeededVersion]]:
        section = self._bytes(self.of.get(_VERNEED))
        at, more = 0, bool(section)
        while more:
            _, count, file, first, step = _NEED.unpack_from(section, at)
            part = at + first
            for _ in range(count):
                _, flags, number, name, then = _NEEDED_VERSION.unpack_from(section, part)
                library, version = (self._text_at(text).decode() for text in (file, name))
                yield number, NeededVersion(library, version, flags)
                part += then
            at, more = at + step, bool(step)

    def set_tag(self, tag: int, value: int) -> None:
        self.tags = [row for row in self.tags if row[0] != tag] + [(tag, value)]

    def add_library(self, name: str, folder: str = "") -> None:
        """Have a library loaded with the file, after all others; found in a folder, where given."""
        needed = [value for tag, value in self.tags if tag == _DT_NEEDED]
        if name.encode() not in map(self._text_at, needed):
            self.tags.insert(len(needed), (_DT_NEEDED, self._text(name.encode())))
            self.tags.sort(key=lambda row: row[0] != _DT_NEEDED)
        tags = dict(self.tags)
        kind = _DT_RUNPATH if _DT_RUNPATH in tags else _DT_RPATH
        entries = self._text_at(tags[kind]).split(b":") if kind in tags else []
        if folder and folder.encode() not in entries:
            self.set_tag(kind, self._text(b":".join([*entries, folder.encode()])))

    def drop_library(self, name: str) -> None:
        """Have a library no longer loaded with the file."""
        self.tags = [
            (tag, value)
            for tag, value in self.tags
            if tag != _DT_NEEDED or self._text_at(value) != name.encode()
        ]

    def version_of(self, library: str, name: str) -> int:
        """Return the index of a version that the file needs, from now on at the latest."""
        for number, need in self.needs.items():
            if need[:2] == (library, name):  # before glibc 2.30 ld.so asks that library alone
                return number
        used = [symbol.number for symbol in self.symbols]
        own = self.of[_VERDEF][7] + 1 if _VERDEF in self.of else GLOBAL
        number = max([own, *used, *self.needs]) + 1
        self.needs[number] = NeededVersion(library, name)
        return number

    def drop_copy(self, at: int) -> None:
        """Leave a variable of a program as it is, and copy no library's value into it."""
        for where, info in self._relocations():
            if info >> 32 == at and info & 0xFFFFFFFF in _COPY:
                struct.pack_into("<Q", self.data, where, 0)

    def _relocations(self) -> Iterator[tuple[int, int]]:
        """Place and value of what says symbol and kind of each relocation that ld.so makes."""
        for _, kind, flags, _, offset, size, *_ in self.sections:
            dynamic = kind == _RELA and flags & _ALLOC  # --emit-relocs leaves others
            for at in range(offset + 8, offset + size, 24) if dynamic else ():
                yield at, struct.unpack_from("<Q", self.data, at)[0]

    def _text(self, text: bytes) -> int:
        """Return where a text is among the strings, at whose end it is added."""
        if text not in self._places:
            self._places[text] = len(self._texts)
            self._texts += text + b"\0"
        return self._places[text]

    def write(self, mark: bytes) -> None:
        """Write the file; what others have `asked` for gets a second name, with the mark."""
        asked = [symbol for symbol in self.symbols if symbol.defined and symbol.name in self.asked]
        symbols = [*self.symbols, *(symbol.called(symbol.name + mark) for symbol in asked)]
        hashed = [bool(symbol.info >> 4 and (symbol.section or symbol.value)) for symbol in symbols]
        moves = any(symbol.text < 0 for symbol, known in zip(symbols, hashed, strict=True) if known)
        symbols = [
            symbol._replace(text=self._text(symbol.name)) if symbol.text < 0 else symbol
            for symbol in symbols
        ]
        needs = self._packed_needs() if self.needs != self._needed_before else None
        self._place(self.strings, bytes(self._texts), _DT_STRTAB)
        self.set_tag(_DT_STRSZ, len(self._texts))
        if moves:
            symbols = self._in_order(symbols, hashed)
        table = b"".join(_SYMBOL.pack(*symbol[:6]) for symbol in symbols)
        self._place(self.of[_DYNSYM], table, _DT_SYMTAB)
        if _VERSYM in self.of:
            versions = struct.pack(f"<{len(symbols)}H", *(symbol.version for symbol in symbols))
            self._place(self.of[_VERSYM], versions, _DT_VERSYM)
        if needs:
            self._place(self.of[_VERNEED], needs, _DT_VERNEED)
            self.of[_VERNEED][7] = len(self.needs)
            self.set_tag(_DT_VERNEEDNUM, len(self.needs))
        elif needs is not None:
            self.tags = [row for row in self.tags if row[0] not in (_DT_VERNEED, _DT_VERNEEDNUM)]
        self._place(self.of[_DYNAMIC], b"".join(_TAG.pack(*row) for row in [*self.tags, (0, 0)]))
        self._finish()

    def _packed_needs(self) -> bytes:
        """Return the content of DT_VERNEED: each version by itself."""
        packed, size = bytearray(), _NEED.size + _NEEDED_VERSION.size
        for at, (number, need) in enumerate(self.needs.items(), 1):
            library, name = need.library.encode(), need.name.encode()
            step = size if at < len(self.needs) else 0
            packed += _NEED.pack(1, 1, self._text(library), _NEED.size, step)
            version = elf_hash(name), need.flags, number, self._text(name), 0
            packed += _NEEDED_VERSION.pack(*version)
        return bytes(packed)

    def _in_order(self, symbols: Sequence[Symbol], hashed: Sequence[bool]) -> list[Symbol]:
        """Return the symbols as DT_GNU_HASH wants them, which is made, as relocations are."""
        hashes = [gnu_hash(s.name) if h else 0 for s, h in zip(symbols, hashed, strict=True)]
        buckets = sum(hashed) // 2 + 1
        order = sorted(range(len(symbols)), key=lambda at: (hashes[at] % buckets + 1) * hashed[at])
        section = self.of.get(_GNU_HASH) or self.of[_HASH]
        section[1] = _GNU_HASH
        known = [hashes[at] for at in order if hashed[at]]
        self._place(section, hash_table(known, buckets, hashed.count(False)), _DT_GNU_HASH)
        self.tags = [row for row in self.tags if row[0] != _DT_HASH]
        places = {at: new for new, at in enumerate(order)}
        for where, info in self._relocations():
            struct.pack_into("<Q", self.data, where, places[info >> 32] << 32 | info & 0xFFFFFFFF)
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


def gnu_hash(name: bytes) -> int:
    """Return the hash of a name that DT_GNU_HASH holds."""
    value = 5381
    for byte in name:
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value


def elf_hash(name: bytes) -> int:
    """Return the hash of a version's name (System V ABI, figure 5-13)."""
    value = 0
    for byte in name:
        value = (value << 4) + byte
        value = (value ^ (value & 0xF0000000) >> 24) & 0x0FFFFFFF
    return value


def hash_table(hashes: Sequence[int], buckets: int, first: int) -> bytes:
    """Return DT_GNU_HASH's content, for hashes of symbols from `first` on, ordered by bucket."""
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

"""Mach-O files crafted byte by byte: a header, load commands, a page of code, a signature."""

import hashlib
import struct

MAGIC_64 = b"\xcf\xfa\xed\xfe"
X86_64, ARM64 = (0x01000007, 3), (0x0100000C, 0)
REQUIRED = 0x80000000
ID, LOAD, LAZY = 0xD, 0xC, 0x20
WEAK, RPATH, REEXPORT, UPWARD = (REQUIRED | number for number in (0x18, 0x1C, 0x1F, 0x23))
CODE = b"code" * 512
PAGE = 4096
FAT_ALIGNMENT = 1 << 14


def path_command(number: int, path: str) -> bytes:
    """LC_ID_DYLIB, LC_LOAD_DYLIB and the like, or LC_RPATH."""
    fixed = b"" if number == RPATH else struct.pack("<III", 2, 0x00240102, 0x00010000)
    offset = 12 + len(fixed)
    text = path.encode() + b"\0"
    text += bytes(-(offset + len(text)) % 8)
    return struct.pack("<III", number, offset + len(text), offset) + fixed + text


def build_version(minimum: tuple[int, int, int], *, platform: int = 1) -> bytes:
    packed = minimum[0] << 16 | minimum[1] << 8 | minimum[2]
    return struct.pack("<6I", 0x32, 24, platform, packed, 15 << 16 | 5 << 8, 0)


def version_min(minimum: tuple[int, int, int]) -> bytes:
    packed = minimum[0] << 16 | minimum[1] << 8 | minimum[2]
    return struct.pack("<4I", 0x24, 16, packed, 0)


def segment(
    name: bytes, offset: int, size: int, sections: tuple[tuple[bytes, int, int], ...] = (),
    *, protection: int = 5,
) -> bytes:  # fmt: skip
    body = struct.pack("<16sQQQQIIII", name, 0, size, offset, size, 7, protection, len(sections), 0)
    for section, at, length in sections:
        body += struct.pack("<16s16sQQIIIIIIII", section, name, 0, length, at, 0, 0, 0, 0, 0, 0, 0)
    return struct.pack("<II", 0x19, 8 + len(body)) + body


def make_macho(
    *commands: bytes,
    machine: tuple[int, int] = ARM64,
    file_type: int = 6,
    room: int = 64,
    signed: bool = True,
    code: bytes = CODE,
    symbols: tuple[tuple[str, int], ...] = (),
) -> bytes:
    """A little-endian 64-bit file; `room` is after the commands, `symbols` have their n_type."""
    count = len(commands) + 3 + signed
    size = sum(map(len, commands)) + (72 + 80) + 72 + 24 + 16 * signed
    text_at = 32 + size + room
    symbols_at = text_at + len(code)
    rows, texts = b"", b"\0"
    for name, kind in symbols:
        rows += struct.pack("<IB11x", len(texts), kind)
        texts += name.encode() + b"\0"
    texts_at = symbols_at + len(rows)
    end = texts_at + len(texts) if symbols else symbols_at
    end += -end % 16
    blob_size = signature_size(end) if signed else 0
    parts = [
        struct.pack("<4s7I", MAGIC_64, *machine, file_type, count, size, 0x85, 0),
        segment(b"__TEXT", 0, symbols_at, ((b"__text", text_at, len(code)),)),
        segment(b"__LINKEDIT", symbols_at, end + blob_size - symbols_at, protection=1),
        struct.pack("<6I", 0x2, 24, symbols_at, len(symbols), texts_at, len(texts)),
        *commands,
    ]
    if signed:
        parts.append(struct.pack("<4I", 0x1D, 16, end, blob_size))
    data = b"".join([*parts, bytes(room), code, rows, texts if symbols else b""])
    data += bytes(end - len(data))
    return data + signature(data) if signed else data


def signature_size(end: int) -> int:
    return 12 + 8 + 44 + len(b"name\0") + 32 * -(-end // PAGE)


def signature(data: bytes) -> bytes:
    """What `codesign --sign -` appends, without the parts that no page depends on."""
    pages = [data[at : at + PAGE] for at in range(0, len(data), PAGE)]
    hashes = b"".join(hashlib.sha256(page).digest() for page in pages)
    ident = b"name\0"
    directory = struct.pack(
        ">9I4BI", 0xFADE0C02, 44 + len(ident) + len(hashes), 0x20001, 2, 44 + len(ident), 44,
        0, len(pages), len(data), 32, 2, 0, 12, 0,
    )  # fmt: skip
    blob = directory + ident + hashes
    return struct.pack(">IIIII", 0xFADE0CC0, 20 + len(blob), 1, 0, 20) + blob


def make_fat(*parts: tuple[tuple[int, int], bytes]) -> bytes:
    """A fat file (FAT_MAGIC) of thin ones, each at a multiple of 16 KiB."""
    rows, body = b"", b""
    for machine, data in parts:
        body += bytes(-len(body) % FAT_ALIGNMENT)
        rows += struct.pack(">5I", *machine, FAT_ALIGNMENT + len(body), len(data), 14)
        body += data
    head = struct.pack(">II", 0xCAFEBABE, len(parts)) + rows
    return head + bytes(FAT_ALIGNMENT - len(head)) + body

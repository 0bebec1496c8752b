"""Whether the signature in a Mach-O file still fits its bytes.

macOS ends a process that touches a page whose hash does not fit (on arm64 always, elsewhere for
hardened programs), so a file that was changed has to be signed anew. Structures are those of xnu's
<kern/cs_blobs.h>; Apple describes the hashes in technote TN3126.
"""

import hashlib
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from geowheel.errors import Fault

from .macho import Slice, read_macho
from .reading import damage_named, shown_name

_SUPERBLOB: Final = 0xFADE0CC0
_CODE_DIRECTORY: Final = 0xFADE0C02
_ALTERNATES: Final = range(0x1000, 0x1005)
"""Slots of further code directories: the same pages with other hashes."""
_HASHES: Final[dict[int, Callable[[bytes | memoryview], bytes]]] = {
    1: lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    2: lambda data: hashlib.sha256(data).digest(),
    3: lambda data: hashlib.sha256(data).digest(),
    4: lambda data: hashlib.sha384(data).digest(),
}
_HEADER: Final = struct.Struct(">7I4B")
"""From hashOffset's predecessor on: version, flags, hashOffset, identOffset, nSpecialSlots,
nCodeSlots, codeLimit, hashSize, hashType, platform, pageSize."""


def signature_faults(source: Path | bytes, *, name: str = "") -> tuple[Fault, ...]:
    """Yield what is wrong with the signatures of slices; nothing when every page's hash fits.

    Raises what `read_macho` raises.
    """
    shown = shown_name(source, name)
    macho = read_macho(source, name=shown)
    data = memoryview(source.read_bytes() if isinstance(source, Path) else source)
    faults = []
    for part in macho.slices:
        with damage_named("Mach-O", source, name):
            wrong = list(_wrong(part, data[part.offset : part.offset + part.size]))
        faults += [
            Fault(what=f"{part.architecture}: {what}", where=shown, cause=_CAUSE, fix=_FIX)
            for what in wrong
        ]
    return tuple(faults)


_CAUSE: Final = "the file was changed after it was signed"
_FIX: Final = "sign it anew: `codesign --force --sign - FILE` on a Mac, or repair the wheel again"


def _wrong(part: Slice, data: memoryview) -> Iterator[str]:
    if part.signature_at is None:
        yield "it has no signature"
        return
    offset, size = part.signature_at
    directories = list(_directories(data[offset : offset + size]))
    if not directories:
        yield "its signature has no code directory"
    for directory in directories:
        yield from _wrong_pages(directory, data[:offset])


def _directories(blob: memoryview) -> Iterator[memoryview]:
    """Yield the code directories of a signature, each from its own start on."""
    magic, length, count = struct.unpack_from(">III", blob)
    if magic != _SUPERBLOB or length > len(blob) or 12 + 8 * count > length:
        raise ValueError("the signature is cut off")
    for number in range(count):
        slot, at = struct.unpack_from(">II", blob, 12 + 8 * number)
        if slot == 0 or slot in _ALTERNATES:
            magic, size = struct.unpack_from(">II", blob, at)
            if magic != _CODE_DIRECTORY or at + size > length:
                raise ValueError("a code directory is cut off")
            yield blob[at : at + size]


def _wrong_pages(blob: memoryview, signed: memoryview) -> Iterator[str]:
    """Yield what differs between the hashes of a code directory and what has to be signed."""
    _, _, start, _, _, count, limit, width, kind, _, shift = _HEADER.unpack_from(blob, 8)
    if start + count * width > len(blob) or kind not in _HASHES or width == 0:
        raise ValueError("a code directory's hashes cannot be read")
    page = 1 << shift if shift else max(limit, 1)  # 0: all is one page
    if limit != len(signed) or count != -(-limit // page):
        yield f"its signature is for {limit} bytes, not for {len(signed)}"
        return
    wrong = sum(
        _HASHES[kind](signed[number * page : (number + 1) * page])[:width]
        != blob[start + number * width : start + (number + 1) * width]
        for number in range(count)
    )
    if wrong:
        yield f"{wrong} of {count} pages differ from what was signed"

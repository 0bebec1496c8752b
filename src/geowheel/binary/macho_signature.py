"""Whether the signature in a Mach-O file still fits its bytes.

macOS ends a process that touches a page whose hash does not fit (on arm64 always, elsewhere for
hardened programs), so a file that was changed has to be signed anew. Structures are those of xnu's
<kern/cs_blobs.h>; Apple describes the hashes in technote TN3126.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
    """What is wrong with the signatures of a file's slices; empty when every page's hash fits.

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


@dataclass(frozen=True, kw_only=True)
class _Directory:
    limit: int
    page: int
    """Bytes; 0: all is one page."""
    count: int
    kind: int
    width: int
    hashes: memoryview


def _wrong(part: Slice, data: memoryview) -> Iterator[str]:
    if part.signature_at is None:
        yield "it has no signature"
        return
    offset, size = part.signature_at
    directories = list(_directories(data[offset : offset + size]))
    if not directories:
        yield "its signature has no code directory"
    for directory in directories:
        yield from _wrong_pages(directory, data, offset)


def _directories(blob: memoryview) -> Iterator[_Directory]:
    magic, length, count = struct.unpack_from(">III", blob)
    if magic != _SUPERBLOB or length > len(blob) or 12 + 8 * count > length:
        raise ValueError("the signature is cut off")
    for number in range(count):
        slot, at = struct.unpack_from(">II", blob, 12 + 8 * number)
        if slot == 0 or slot in _ALTERNATES:
            yield _directory(blob[at:length])


def _directory(blob: memoryview) -> _Directory:
    magic, length = struct.unpack_from(">II", blob)
    if magic != _CODE_DIRECTORY or length > len(blob):
        raise ValueError("a code directory is cut off")
    _, _, hashes, _, _, count, limit, width, kind, _, page = _HEADER.unpack_from(blob, 8)
    if hashes + count * width > length or kind not in _HASHES or width == 0:
        raise ValueError("a code directory's hashes cannot be read")
    return _Directory(
        limit=limit,
        page=1 << page if page else 0,
        count=count,
        kind=kind,
        width=width,
        hashes=blob[hashes : hashes + count * width],
    )


def _wrong_pages(directory: _Directory, data: memoryview, end: int) -> Iterator[str]:
    """`end` is where the signature begins: all before it has to be signed."""
    page = directory.page or max(directory.limit, 1)
    if directory.limit != end or directory.count != -(-end // page):
        yield f"its signature is for {directory.limit} bytes, not for {end}"
        return
    digest, width = _HASHES[directory.kind], directory.width
    wrong = [
        number
        for number in range(directory.count)
        if digest(data[number * page : min((number + 1) * page, end)])[:width]
        != directory.hashes[number * width : (number + 1) * width]
    ]
    if wrong:
        yield f"{len(wrong)} of {directory.count} pages differ from what was signed"

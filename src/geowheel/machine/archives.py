"""Archives that others made, read strictly: every reader sees the same in them, and it has an end.

The one place for what is taken of a zip or a tar: how many members, how long, with which names.
A zip's two lists of its members (the central directory, and a header before each member) have to
agree and to cover the file without a gap: else two programs see two contents in it
(https://blog.pypi.org/posts/2025-08-07-wheel-archive-confusion-attacks/).
"""

from __future__ import annotations

import copy
import gzip
import hashlib
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, NoReturn, cast

from geowheel.digest import open_regular
from geowheel.errors import IntegrityError

from .bounds import MEMBERS, TAR_HEADER, TEXT, ZIP_DIRECTORY, may_grow_to

if TYPE_CHECKING:
    from _typeshed import SupportsRead

BLOCK: Final = 1 << 17
"""Bytes that are read at a time."""
_LINK: Final = r"[^\x00-\x1f\x7f\ud800-\udfff]{1,1000}"  # as short as macOS wants a path
_ENCRYPTED: Final = 0x1 | 0x20 | 0x40 | 0x2000  # also patched data, and masked headers
_DESCRIPTOR: Final = 0x8  # the sizes follow the member
_UTF8: Final = 0x800
_ZIP64, _OTHER_NAME = 0x1, 0x7075  # fields of a header
_EXTENDED: Final = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip
_KINDS: Final = (
    tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE,
)  # fmt: skip
DAMAGE: Final = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, struct.error, EOFError,
    NotImplementedError, ValueError, RecursionError,
)  # fmt: skip
"""What the readers of the standard library raise of an archive that is damaged, or is none."""


@contextmanager
def damage_named(what: str, path: Path, *, cause: str = "", fix: str) -> Iterator[None]:
    """Turn whatever is wrong with the archive at `path` into an IntegrityError."""
    try:
        yield
    except (OSError, *DAMAGE) as error:
        said = str(error).strip() or type(error).__name__
        if isinstance(error, FileExistsError | NotADirectoryError):
            said = f"{error.filename} is in it twice"
        elif isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk; those of gzip and bz2 have no number
        raise IntegrityError(f"{what}: {said}", where=str(path), cause=cause, fix=fix) from error


def is_unsafe(name: str, *, colons: bool = False) -> bool:
    """Return whether a member's name could lead out of a folder, on this system or another one.

    `colons`: whether they are allowed; on Windows they name drives and streams.
    """
    parts = name.split("/")
    return (
        not {"", ".", ".."}.isdisjoint(parts)
        or re.search(r"[\\\x00-\x1f\x7f\ud800-\udfff]", name) is not None
        or (":" in name and (not colons or re.match("[A-Za-z]:", name) is not None))
        or max(len(name) - 768, *(len(part.encode()) for part in parts)) > 255
    )


# --- zip -------------------------------------------------------------------------------------
# Its parts are those of APPNOTE.TXT: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT


@contextmanager
def open_zip(
    path: Path,
    what: str = "damaged, or no zip that all programs read alike",
    *,
    cause: str = "",
    fix: str = "make it again, or fetch it again",
) -> Iterator[zipfile.ZipFile]:
    """Open a zip that every reader reads alike, its members stored or deflated.

    Raises IntegrityError, in these words, for any other, and for damage that is met later.
    """
    with damage_named(what, path, cause=cause, fix=fix), open_regular(path) as file:
        length = file.seek(0, 2)
        file.seek(max(0, length - 42))
        *before, mark, disk, first, here, count, size, start, comment = struct.unpack(
            "<4s16x4s4H2IH", file.read().rjust(42)
        )
        if mark != b"PK\5\6" or (disk, first, comment) != (0, 0, 0) or start + size != length - 22:
            raise zipfile.BadZipFile("bytes before its central directory, or after it")
        if before == [b"PK\6\7"] or here != count or size > ZIP_DIRECTORY:
            raise zipfile.BadZipFile(f"it has more than {MEMBERS:,} members, or says so")
        with zipfile.ZipFile(file) as archive:
            infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
            places = [*(info.header_offset for info in infos), start]
            if places[0] != 0 or len({info.filename for info in infos}) != count:
                raise zipfile.BadZipFile("bytes before its first member, or a member twice")
            limit = may_grow_to(start)
            for info, end in zip(infos, places[1:], strict=True):
                limit -= info.file_size
                if limit < 0:
                    raise zipfile.BadZipFile(
                        f"with {info.filename!r}, of {info.file_size:,} bytes, it has more than "
                        f"{may_grow_to(start):,}"
                    )
                if not _is_alike(file, info, end):
                    raise zipfile.BadZipFile(
                        f"{info.filename!r} is encrypted or packed in another way than deflate, or "
                        "its own header is not what the directory says, or bytes lie after it"
                    )
            yield archive


def _is_alike(file: IO[bytes], info: zipfile.ZipInfo, end: int) -> bool:
    """Return whether a member's own header says what the directory does, and it ends at `end`."""
    file.seek(info.header_offset)
    mark, flags, method, crc, packed, size, named, more = struct.unpack(
        "<4s2xHH4x3I2H", file.read(30)
    )
    name, extra = file.read(named), _fields(file.read(more))
    if 0xFFFFFFFF in (packed, size):  # too long for the header: they stand in the field of zip64
        size, packed = struct.unpack_from("<QQ", extra.pop(_ZIP64, b""))
    true = info.CRC, info.compress_size, info.file_size
    forms = {b""}
    if flags & _DESCRIPTOR:  # they follow the member
        long = struct.pack("<IQQ", *true)
        short = struct.pack("<III", *true) if max(true) < 1 << 32 else long
        forms = {long, short, b"PK\7\x08" + long, b"PK\7\x08" + short}
        true = true if (crc, packed, size) != (0, 0, 0) else (0, 0, 0)
    after = file.seek(info.compress_size, 1)
    folder, stored = info.is_dir(), method == zipfile.ZIP_STORED
    return (
        not {_ZIP64, _OTHER_NAME} & {*extra, *_fields(info.extra)}
        and (mark, flags, method) == (b"PK\3\4", info.flag_bits, info.compress_type)
        and (crc, packed, size) == true
        and name == info.filename.encode("utf-8" if flags & _UTF8 else "cp437", "replace")
        and method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        and not flags & _ENCRYPTED
        and not (folder and info.file_size)
        and not (stored and info.compress_size != info.file_size)
        and 0 <= end - after <= 24
        and file.read(end - after) in forms
    )


def _fields(extra: bytes) -> dict[int, bytes]:
    found = {}
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<2H", extra)
        found[kind], extra = extra[4 : 4 + size], extra[4 + size :]
    return found


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return the bytes of a member; raises BadZipFile where they are more than TEXT."""
    info = archive.getinfo(name)
    if info.file_size > TEXT:
        raise zipfile.BadZipFile(f"{name} has more than {TEXT:,} bytes")
    return b"".join(unpacked(archive, info))


def unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield a member's bytes; raises BadZipFile unless they end where the directory says.

    Python's own reader stops at the size that is stated, others at the end of what deflate packed.
    """
    raw = copy.copy(info)
    raw.compress_type, raw.file_size = zipfile.ZIP_STORED, info.compress_size
    del raw.CRC  # it is of what comes out
    crc, left = 0, info.file_size
    with archive.open(raw) as packed:
        for block in _blocks(packed) if not info.compress_type else _inflated(_blocks(packed)):
            crc, left = zlib.crc32(block, crc), left - len(block)
            if left < 0:
                break
            yield block
    if left or crc != info.CRC:
        raise zipfile.BadZipFile(f"{info.filename!r} is not what the directory says")


def _inflated(packed: Iterator[bytes]) -> Iterator[bytes]:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    for data in packed:
        yield inflate.decompress(data, BLOCK)
        while rest := inflate.unconsumed_tail:
            yield inflate.decompress(rest, BLOCK)
    yield inflate.flush()
    if inflate.unused_data or not inflate.eof:
        raise zipfile.BadZipFile("a member ends before its packed bytes do, or after them")


class _TarHeader(tarfile.TarInfo):
    """Of a file, a folder or a link; tarfile reads into memory what a long header announces."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _TarHeader:
        header = super().frombuf(buf, encoding, errors)
        if header.type in _EXTENDED:
            if header.size > TAR_HEADER:
                raise tarfile.ReadError(f"a header of {header.size:,} bytes")
        elif header.type not in _KINDS or (header.size and header.type not in _KINDS[:2]):
            raise tarfile.ReadError(f"{header.name!r} is neither a file, nor a folder, nor a link")
        return header

    def _proc_gnusparse_10(self, *_: object) -> NoReturn:  # a list of holes without end
        raise tarfile.ReadError(f"{self.name!r} has holes")


class _Limited:
    """What a decompressor gives: `left` bytes at most."""

    def __init__(self, stream: SupportsRead[bytes], left: int) -> None:
        self.stream, self.left = stream, left

    def read(self, size: int) -> bytes:
        return self.counted(self.stream.read(size))

    def counted(self, data: bytes) -> bytes:
        self.left -= len(data)
        if self.left < 0:
            raise tarfile.ReadError("it unpacks to more bytes than are taken of its size")
        return data


def unpack_tar(
    stream: SupportsRead[bytes], limit: int, goal: Path, expect: Callable[[tarfile.TarInfo], None]
) -> tuple[dict[str, str], dict[str, str]]:
    """Unpack a tar below `goal`; the sha256 of its files, and where its links lead, by path.

    `expect` refuses a member by raising. Links are not made, so nothing is written through one: the
    caller judges them. Raises TarError for what is no tar or longer than `limit`, for a name that
    leads out, for a device, a pipe or a file with holes; FileExistsError for a name that is there.
    """
    source, digests, links = _Limited(stream, limit), dict[str, str](), dict[str, str]()
    with tarfile.open(
        fileobj=cast("IO[bytes]", source), mode="r|", tarinfo=_TarHeader, encoding="utf-8"
    ) as archive:
        for number, member in enumerate(archive):
            name = member.name.removeprefix("./")
            if number >= MEMBERS or member.issparse():
                raise tarfile.ReadError(f"{name} has holes, or it is beyond {MEMBERS:,} members")
            if member.isdir() and name in ("", "."):
                continue
            if is_unsafe(name, colons=True):
                raise tarfile.ReadError(f"{member.name!r} leads out of its folder")
            member.name, path = name, goal / name
            expect(member)
            (path if member.isdir() else path.parent).mkdir(parents=True, exist_ok=True)
            if member.issym():
                if not re.fullmatch(_LINK, member.linkname):
                    raise tarfile.ReadError(f"{name} is a link to {member.linkname[:99]!r}")
                links[name] = member.linkname
            elif member.islnk():
                # Two files: what is done to one under its name is not done to the other.
                first = member.linkname.removeprefix("./")
                if first not in digests:
                    raise tarfile.ReadError(f"{name} is a link to {first!r}, no file before it")
                with (goal / first).open("rb") as file:
                    blocks = (source.counted(block) for block in _blocks(file))
                    digests[name] = _write(path, blocks, (goal / first).stat().st_mode)
            elif (content := archive.extractfile(member)) is not None:
                digests[name] = _write(path, _blocks(content), member.mode)
    return digests, links


def unpack_gz(path: Path, goal: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Unpack a .tar.gz as `unpack_tar` does; raises IntegrityError for anything else."""
    with (
        damage_named("not an sdist", path, fix="make it again, or take another version"),
        open_regular(path) as file,
        gzip.open(file) as stream,
    ):
        return unpack_tar(stream, may_grow_to(path.stat().st_size), goal, lambda _: None)


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.read(BLOCK), b"")


def _write(path: Path, blocks: Iterable[bytes], mode: int) -> str:
    found = hashlib.sha256()
    with path.open("xb") as file:
        for block in blocks:
            found.update(block)
            file.write(block)
    path.chmod(0o755 if mode & 0o100 else 0o644)
    return found.hexdigest()

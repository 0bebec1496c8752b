"""Wheels, written in exactly one way.

What the format (see `wheel`) leaves open is fixed here, so that the same files give the same bytes
in any folder, as any user and with any number of threads: the order of the members, their times and
modes, the text of WHEEL and RECORD, and where the deflate stream of a large member is cut. Only the
zlib in use is left, whose version is in the key of `repair`.
"""

from __future__ import annotations

import csv
import email.parser
import hashlib
import io
import os
import stat
import struct
import time
import zipfile
import zlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from geowheel import __version__
from geowheel.digest import Artefact
from geowheel.errors import BuildError
from geowheel.machine.environments import EPOCH

from .reading import (
    UNSIGNED,
    find_dist_info,
    identity_faults,
    parse_filename,
    record_digest,
    split_dist_info,
    threads_of,
    unpack_wheel,
)

LEVEL: Final = 6
CHUNK: Final = 1 << 17
"""Bytes of a member that one thread deflates at a time; a part of the format, not a tunable."""

_OLDEST: Final = 315532800  # 1980-01-01, the first day that a zip file can state
_WINDOW: Final = 1 << 15  # how far back deflate looks (RFC 1951)
_AHEAD: Final = 64 << 20  # bytes read but not yet written


def repack(wheel: Path, destination: Path, *, folder: Path, filename: str = "") -> Artefact:
    """The wheel in its canonical form, below `destination`; unpacked on the way into `folder`.

    Repacking what this made gives the same bytes. Raises what `unpack_wheel` and `write_wheel` do.
    """
    unpack_wheel(wheel, folder)
    return write_wheel(folder, destination, filename=filename or wheel.name)


def write_wheel(
    tree: Path,
    destination: Path,
    *,
    filename: str,
    epoch: int = EPOCH,
    level: int = LEVEL,
    threads: int | None = None,
) -> Artefact:
    """Pack an unpacked wheel as `destination/filename`, in one rename; `tree` is not changed.

    RECORD is made anew, WHEEL gets the tags of `filename`, and signatures that no longer hold are
    left out. `epoch` is in seconds, `threads` (all cores) does not change a byte. Raises
    BuildError when `tree` is not one wheel's, is not what `filename` states or does not fit into a
    plain zip file, OSError when files cannot be read or written.
    """
    parts = _sources(tree, filename)
    destination.mkdir(parents=True, exist_ok=True)
    final = destination / filename
    partial = destination / f".{filename}.part"
    try:
        with partial.open("wb") as file:
            archive = _Archive(file=file, stamp=_dos_time(epoch))
            members = _pack(parts.sources, level=level, threads=threads_of(threads))
            with closing(members):  # ends its threads at once, whatever happens here
                for packed in members:
                    archive.add(packed)
            archive.add(_packed_record(archive.record, parts.dist_info, level))
            archive.finish(filename)
        partial.chmod(0o644)
        partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)
    return Artefact(path=final, sha256=archive.digest.hexdigest())


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A member to be: a file, or bytes made here."""

    path: str
    executable: bool
    origin: Path | bytes

    def read(self) -> bytes:
        return self.origin if isinstance(self.origin, bytes) else self.origin.read_bytes()


@dataclass(frozen=True, kw_only=True)
class _Sources:
    dist_info: str
    sources: tuple[_Source, ...]


def _sources(tree: Path, filename: str) -> _Sources:
    name, version, build, tags = parse_filename(filename)
    sources = {path: _source(tree, path) for path in _walk(tree)}
    dist_info = find_dist_info(sources, str(tree), ("METADATA", "WHEEL"))
    if faults := list(identity_faults(name, version, *split_dist_info(dist_info), dist_info)):
        raise BuildError(faults)
    path = f"{dist_info}/WHEEL"
    text = _wheel_text(sources[path].read(), build=build, tags=tags, where=path)
    sources[path] = _Source(path=path, executable=False, origin=text)
    for part in UNSIGNED:
        sources.pop(f"{dist_info}/{part}", None)
    order = sorted(sources, key=lambda path: (path.startswith(f"{dist_info}/"), path))
    return _Sources(dist_info=dist_info, sources=tuple(sources[path] for path in order))


def _walk(tree: Path) -> Iterator[str]:
    for folder, _, names in os.walk(tree):
        for name in names:
            yield Path(folder, name).relative_to(tree).as_posix()


def _source(tree: Path, path: str) -> _Source:
    mode = (tree / path).lstat().st_mode
    if not stat.S_ISREG(mode):
        raise BuildError("a wheel holds regular files only", where=str(tree / path))
    return _Source(path=path, executable=bool(mode & 0o100), origin=tree / path)


def _wheel_text(old: bytes, *, build: str, tags: Iterable[str], where: str) -> bytes:
    """WHEEL anew: the order of PEP 427's example, the tags sorted."""
    try:
        headers = email.parser.HeaderParser().parsestr(old.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BuildError(f"not UTF-8 ({error})", where=where) from error
    pure = str(headers.get("Root-Is-Purelib", "false")).lower() == "true"
    lines = [
        "Wheel-Version: 1.0",
        f"Generator: geowheel {__version__}",
        f"Root-Is-Purelib: {'true' if pure else 'false'}",
        *([f"Build: {build}"] if build else []),
        *(f"Tag: {tag}" for tag in sorted(tags)),
    ]
    return "".join(line + "\n" for line in lines).encode()


@dataclass(frozen=True, kw_only=True)
class _Packed:
    """A member ready to be written."""

    path: str
    executable: bool
    size: int
    crc: int
    sha256: str
    stored: bool
    data: tuple[bytes, ...]


def _pack(
    sources: Iterable[_Source], *, level: int, threads: int
) -> Generator[_Packed, None, None]:
    """The members in the order of `sources`, deflated side by side, with bounded memory."""
    pool = ThreadPoolExecutor(threads)
    waiting: deque[_Pending] = deque()
    ahead = 0
    try:
        for source in sources:
            pending = _submit(pool, source, source.read(), level)
            waiting.append(pending)
            ahead += len(pending.data)
            while ahead > _AHEAD:
                ahead -= len(waiting[0].data)
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C, only the chunks in work are finished


@dataclass(frozen=True, kw_only=True)
class _Pending:
    source: _Source
    data: bytes
    sums: Future[tuple[int, str]]
    chunks: tuple[Future[bytes], ...]

    def result(self) -> _Packed:
        crc, sha256 = self.sums.result()
        chunks = tuple(chunk.result() for chunk in self.chunks)
        stored = sum(map(len, chunks)) >= len(self.data)
        return _Packed(
            path=self.source.path,
            executable=self.source.executable,
            size=len(self.data),
            crc=crc,
            sha256=sha256,
            stored=stored,
            data=(self.data,) if stored else chunks,
        )


def _submit(pool: ThreadPoolExecutor, source: _Source, data: bytes, level: int) -> _Pending:
    starts = range(0, len(data), CHUNK)
    return _Pending(
        source=source,
        data=data,
        sums=pool.submit(_sums, data),
        chunks=tuple(pool.submit(_deflate, data, start, level) for start in starts),
    )


def _sums(data: bytes) -> tuple[int, str]:
    return zlib.crc32(data), hashlib.sha256(data).hexdigest()


def _deflate(data: bytes, start: int, level: int) -> bytes:
    """One chunk of a raw deflate stream, joined as pigz does it (https://zlib.net/pigz/).

    The text before the chunk is its dictionary, so cutting costs next to nothing; all but the last
    chunk end on a byte boundary.
    """
    view = memoryview(data)
    before = view[max(0, start - _WINDOW) : start]
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=before)
    last = start + CHUNK >= len(data)
    body = packer.compress(view[start : start + CHUNK])
    return body + packer.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


def _packed_record(record: Mapping[str, tuple[str, int]], dist_info: str, level: int) -> _Packed:
    path = f"{dist_info}/RECORD"
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    for name, (sha256, size) in record.items():
        writer.writerow((name, record_digest(sha256), size))
    writer.writerow((path, "", ""))
    source = _Source(path=path, executable=False, origin=text.getvalue().encode())
    (packed,) = _pack((source,), level=level, threads=1)
    return packed


@dataclass(kw_only=True)
class _Archive:
    """A zip file being written: no folders, no extra fields, no zip64 (APPNOTE.TXT 4.3)."""

    file: IO[bytes]
    stamp: tuple[int, int]
    record: dict[str, tuple[str, int]] = field(default_factory=dict)
    directory: list[bytes] = field(default_factory=list)
    offset: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def add(self, packed: _Packed) -> None:
        name = packed.path.encode()
        length = sum(map(len, packed.data))
        if self.offset + length > 0xFFFFFFFF or packed.size > 0xFFFFFFFF:
            raise BuildError("the wheel is larger than 4 GiB", where=packed.path)
        common = struct.pack(
            "<HHHHHIIIHH",
            20,
            0 if packed.path.isascii() else 0x800,
            zipfile.ZIP_STORED if packed.stored else zipfile.ZIP_DEFLATED,
            *self.stamp,
            packed.crc,
            length,
            packed.size,
            len(name),
            0,
        )
        mode = stat.S_IFREG | (0o755 if packed.executable else 0o644)
        place = struct.pack("<HHHII", 0, 0, 0, mode << 16, self.offset)
        made_by = struct.pack("<H", 3 << 8 | 20)  # Unix: the modes count
        self.directory.append(b"PK\1\2" + made_by + common + place + name)
        self.record[packed.path] = (packed.sha256, packed.size)
        self._write(b"PK\3\4" + common + name)
        for data in packed.data:
            self._write(data)

    def finish(self, filename: str) -> None:
        if len(self.directory) > 0xFFFF:
            raise BuildError("the wheel has more than 65535 files", where=filename)
        start = self.offset
        for entry in self.directory:
            self._write(entry)
        count, size = len(self.directory), self.offset - start
        self._write(b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, size, start, 0))

    def _write(self, data: bytes) -> None:
        self.file.write(data)
        self.digest.update(data)
        self.offset += len(data)


def _dos_time(epoch: int) -> tuple[int, int]:
    """Time and date as zip files hold them: UTC, even seconds, from 1980 on."""
    moment = time.gmtime(max(epoch, _OLDEST))
    return (
        moment[3] << 11 | moment[4] << 5 | moment[5] // 2,
        (moment[0] - 1980) << 9 | moment[1] << 5 | moment[2],
    )

"""Wheels, written in exactly one way.

What the format (see `wheel`) leaves open is fixed here, so that the same files give the same bytes
in any folder, as any user and with any number of threads: the order of the members, their times and
modes, the text of WHEEL and RECORD. Only libdeflate is left, which comes with PyPI's `deflate` and
not with the machine; its version is in the key of `repair`. Its level 10 makes wheels 3 %
smaller than its level 6, in six times the time; so what it made of large files is kept.
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
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import IO, Final, TypeAlias

from deflate import deflate_compress

from geowheel import __version__
from geowheel.digest import Artefact
from geowheel.errors import BuildError
from geowheel.machine import files
from geowheel.machine.environments import EPOCH

from .reading import (
    UNSIGNED,
    find_dist_info,
    identity_faults,
    parse_filename,
    record_digest,
    split_dist_info,
)

LEVEL: Final = 10
_LARGE: Final = 1 << 16  # bytes of a file that is worth to be kept deflated
# Date and time as zip files hold them: UTC, even seconds, years from 1980 on.
_NOW: Final = time.gmtime(EPOCH)
_STAMP: Final = (
    _NOW.tm_hour << 11 | _NOW.tm_min << 5 | _NOW.tm_sec // 2,
    (_NOW.tm_year - 1980) << 9 | _NOW.tm_mon << 5 | _NOW.tm_mday,
)
_AHEAD: Final = 64 << 20  # bytes read but not yet written


def write_wheel(
    tree: Path, destination: Path, *, filename: str, level: int = LEVEL,
    threads: int | None = None, kept: Path | None = None,
) -> Artefact:  # fmt: skip
    """Pack an unpacked wheel as `destination/filename`, in one rename; `tree` is not changed.

    RECORD is made anew, WHEEL gets the tags of `filename`, and signatures that no longer hold are
    left out. `threads` (all cores) does not change a byte, nor does `kept`, a folder of what was
    deflated before. Raises BuildError when `tree` is not one wheel's, is not what `filename` states
    or does not fit into a plain zip file, OSError when files cannot be read or written.
    """
    dist_info, sources = _sources(tree, filename)
    final = destination / filename
    with files.whole(final) as part, part.open("wb") as file:
        archive = _Archive(file=file)
        deflate = partial(_deflate, level=level, kept=kept)
        members = _pack(sources, deflate, threads=threads or os.cpu_count() or 1)
        with closing(members):  # ends its threads at once, whatever happens here
            for packed in members:
                archive.add(packed)
        record = _Source(path=f"{dist_info}/RECORD", executable=False, origin=archive.record_text())
        for packed in _pack((record,), deflate, threads=1):
            archive.add(packed)
        archive.finish(filename)
        part.chmod(0o644)
    return Artefact(path=final, sha256=archive.digest.hexdigest())


_Deflated: TypeAlias = tuple[int, str, bytes]
"""CRC and sha256 of a file, and its deflated bytes."""


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A member to be: a file, or bytes made here."""

    path: str
    executable: bool
    origin: Path | bytes

    def read(self) -> bytes:
        return self.origin if isinstance(self.origin, bytes) else self.origin.read_bytes()


def _sources(tree: Path, filename: str) -> tuple[str, list[_Source]]:
    """Return the .dist-info folder, and all members but RECORD in their order."""
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
    return dist_info, [sources[path] for path in order]


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
    """Write WHEEL anew: in the order of PEP 427's example, the tags sorted."""
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
    data: bytes


def _pack(
    sources: Iterable[_Source], deflate: Callable[[bytes], _Deflated], *, threads: int
) -> Generator[_Packed, None, None]:
    """Return the members in the order of `sources`, deflated side by side, with bounded memory."""
    pool = ThreadPoolExecutor(threads)
    waiting: deque[tuple[_Source, bytes, Future[_Deflated]]] = deque()
    ahead = 0
    try:
        for source in sources:
            data = source.read()
            waiting.append((source, data, pool.submit(deflate, data)))
            ahead += len(data)
            while ahead > _AHEAD:
                ahead -= len(waiting[0][1])
                yield _packed(*waiting.popleft())
        while waiting:
            yield _packed(*waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C, only the members in work are finished


def _packed(source: _Source, data: bytes, deflating: Future[_Deflated]) -> _Packed:
    crc, sha256, deflated = deflating.result()
    stored = len(deflated) >= len(data)
    return _Packed(
        path=source.path,
        executable=source.executable,
        size=len(data),
        crc=crc,
        sha256=sha256,
        stored=stored,
        data=data if stored else deflated,
    )


def _deflate(data: bytes, *, level: int, kept: Path | None) -> _Deflated:
    """Return the sums of a file, and what it is deflated, made before or now."""
    crc, sha256 = zlib.crc32(data), hashlib.sha256(data).hexdigest()
    if not level or kept is None or len(data) < _LARGE:
        return crc, sha256, bytes(deflate_compress(data, level)) if level else data
    path = kept / f"{sha256}-{level}-{version('deflate')}"
    with suppress(OSError, zlib.error):  # none, or one that is damaged
        found = path.read_bytes()
        if zlib.decompress(found, -zlib.MAX_WBITS, len(data)) == data:
            files.touch(path)
            return crc, sha256, found
    made = bytes(deflate_compress(data, level))
    with suppress(OSError):  # it is made again, then
        files.write(path, made)
    return crc, sha256, made


@dataclass(kw_only=True)
class _Archive:
    """A zip file being written: no folders, no extra fields, no zip64 (APPNOTE.TXT 4.3)."""

    file: IO[bytes]
    record: dict[str, tuple[str, int]] = field(default_factory=dict)
    directory: list[bytes] = field(default_factory=list)
    offset: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def add(self, packed: _Packed) -> None:
        name = packed.path.encode()
        length = len(packed.data)
        if self.offset + length > 0xFFFFFFFF or packed.size > 0xFFFFFFFF:
            raise BuildError("the wheel is larger than 4 GiB", where=packed.path)
        common = struct.pack(
            "<HHHHHIIIHH",
            20,
            0 if packed.path.isascii() else 0x800,
            zipfile.ZIP_STORED if packed.stored else zipfile.ZIP_DEFLATED,
            *_STAMP,
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
        self._write(packed.data)

    def record_text(self) -> bytes:
        """Return RECORD of what was added, with a line for itself."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        for name, (sha256, size) in self.record.items():
            writer.writerow((name, record_digest(sha256), size))
        writer.writerow((find_dist_info(self.record, "", ()) + "/RECORD", "", ""))
        return text.getvalue().encode()

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

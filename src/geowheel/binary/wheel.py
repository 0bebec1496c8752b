"""Wheels: read and checked as frozen values, and written in exactly one way.

The format is PEP 427's, as the packaging guide keeps it up to date
(https://packaging.python.org/en/latest/specifications/binary-distribution-format/). What it leaves
open is fixed here, so that the same files give the same bytes in any folder, as any user and with
any number of threads: the order of the members, their times and modes, the text of WHEEL and
RECORD, and where the deflate stream of a large member is cut. Only the zlib in use is left, whose
version belongs to what a rebuild must hold equal (`zlib_version`).
"""

from __future__ import annotations

import base64
import csv
import email.parser
import errno
import hashlib
import io
import os
import re
import stat
import struct
import time
import zipfile
import zlib
from collections import Counter, deque
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Final

from packaging.utils import (
    InvalidWheelFilename,
    canonicalize_name,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from geowheel import __version__
from geowheel.digest import Artefact
from geowheel.environments import EPOCH
from geowheel.errors import BuildError, Fault, IntegrityError

LEVEL: Final = 6
CHUNK: Final = 1 << 17
"""Bytes of a member that one thread deflates at a time; a part of the format, not a tunable."""

_OLDEST: Final = 315532800  # 1980-01-01, the first day that a zip file can state

_WINDOW: Final = 1 << 15  # how far back deflate looks (RFC 1951)
_AHEAD: Final = 64 << 20  # bytes read but not yet written
_PARTS: Final = ("METADATA", "WHEEL", "RECORD")
_UNSIGNED: Final = ("RECORD", "RECORD.jws", "RECORD.p7s")
_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    LookupError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)


@dataclass(frozen=True, kw_only=True)
class Member:
    """One file of a wheel."""

    path: str
    size: int
    """Bytes, once unpacked."""
    packed: int
    """Bytes in the wheel."""
    sha256: str
    executable: bool


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A wheel whose parts agree with each other."""

    filename: str
    name: str
    """Normalised, as PEP 503 says."""
    version: str
    build: str
    """The build tag, or nothing."""
    tags: tuple[str, ...]
    """`cp312-cp312-linux_x86_64` and the like, sorted."""
    dist_info: str
    """The name of the .dist-info folder, which keeps the spelling of name and version."""
    pure: bool
    metadata: str
    """The text of METADATA."""
    members: tuple[Member, ...]
    """Every file, in the order in which it lies in the wheel."""

    @property
    def installed_size(self) -> int:
        """Bytes of all files, once installed and before anything is compiled."""
        return sum(member.size for member in self.members)


def zlib_version() -> str:
    """The zlib that packs: another version may give other bytes for the same files."""
    return zlib.ZLIB_RUNTIME_VERSION


# --- reading ---------------------------------------------------------------------------------


def read_wheel(path: Path) -> Wheel:
    """The wheel at `path`, every byte of it compared with its RECORD.

    Raises IntegrityError when it is damaged or differs from its RECORD, BuildError when its name,
    METADATA, WHEEL and RECORD contradict each other or a path leads out of it, each with all
    faults found; OSError when it cannot be read.
    """
    return _read(path, None)


def unpack_wheel(path: Path, folder: Path) -> Wheel:
    """Read and check as `read_wheel` does, and leave the files below `folder`, which is made.

    Files get mode 0755 where the wheel says executable, else 0644.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return _read(path, folder)


def _read(path: Path, folder: Path | None) -> Wheel:
    name, version, build, tags = parse_filename(path.name)
    members, dist_info, texts = _content(path, folder)
    _check_record(members, texts["RECORD"], dist_info=dist_info, where=str(path))
    headers = email.parser.HeaderParser()
    metadata, wheel = headers.parsestr(texts["METADATA"]), headers.parsestr(texts["WHEEL"])
    faults = [
        *_identity_faults(name, version, metadata.get("Name"), metadata.get("Version"), "METADATA"),
        *_identity_faults(name, version, *_split(dist_info), dist_info),
    ]
    if not str(wheel.get("Wheel-Version", "")).startswith("1."):
        faults.append(Fault(what="WHEEL does not say Wheel-Version 1.x", where=path.name))
    if sorted(wheel.get_all("Tag", [])) != list(tags):
        faults.append(Fault(what="WHEEL lists other tags than the file name", where=path.name))
    if faults:
        raise BuildError(faults)
    return Wheel(
        filename=path.name,
        name=name,
        version=version,
        build=build,
        tags=tags,
        dist_info=dist_info,
        pure=str(wheel.get("Root-Is-Purelib", "")).lower() == "true",
        metadata=texts["METADATA"],
        members=members,
    )


def _content(path: Path, folder: Path | None) -> tuple[tuple[Member, ...], str, dict[str, str]]:
    """The members, the .dist-info folder and its texts; the files go below `folder`, if given."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = _files(archive, path)
            with ThreadPoolExecutor(_threads(None)) as pool:
                members = tuple(pool.map(lambda info: _take(archive, info, folder), infos))
            dist_info = _dist_info({m.path for m in members}, path.name, _PARTS)
            return (
                members,
                dist_info,
                {part: archive.read(f"{dist_info}/{part}").decode() for part in _PARTS},
            )
    except OSError as error:
        if error.errno != errno.EINVAL:  # from a seek to where a damaged directory points
            raise
        raise _damaged(path, error) from error
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> IntegrityError:
    return IntegrityError(
        f"damaged or no wheel ({str(error).strip() or type(error).__name__})",
        where=str(path),
        fix="build it again, or fetch it again",
    )


def parse_filename(filename: str) -> tuple[str, str, str, tuple[str, ...]]:
    """The normalised name, version, build tag and sorted tags that a wheel's file name states.

    Raises BuildError when it is not a wheel's file name.
    """
    try:
        name, version, build, tags = parse_wheel_filename(filename)
    except (InvalidWheelFilename, InvalidVersion) as error:
        raise BuildError(str(error), where=filename, cause="not a wheel's file name") from error
    return name, str(version), "".join(map(str, build)), tuple(sorted(map(str, tags)))


def with_platform(filename: str, platform_tag: str) -> str:
    """The wheel's file name with `platform_tag` in the place of all its platform tags."""
    parse_filename(filename)
    return f"{filename.rpartition('-')[0]}-{platform_tag}.whl"


def _files(archive: zipfile.ZipFile, path: Path) -> list[zipfile.ZipInfo]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    names = [info.filename for info in infos]
    if any(i.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for i in infos):
        raise zipfile.BadZipFile("a member is packed in a way that wheels are not")
    folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    faults = [
        Fault(what=f"unsafe member {info.orig_filename!r}", where=path.name)
        for info in infos
        if info.filename in folders or _unsafe(info)
    ]
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    faults += [Fault(what=f"{name} is in it twice", where=path.name) for name in twice]
    if faults:
        raise BuildError(faults)
    return infos


def _unsafe(info: zipfile.ZipInfo) -> bool:
    name = info.orig_filename
    parts = name.split("/")
    return (
        "" in parts
        or "." in parts
        or ".." in parts
        or re.search(r"[\\:\x00-\x1f]", name) is not None
        or stat.S_ISLNK(info.external_attr >> 16)
    )


def _take(archive: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path | None) -> Member:
    executable = bool((info.external_attr >> 16) & 0o100)
    content = hashlib.sha256()
    size = 0
    with archive.open(info) as source, _sink(folder, info.filename, executable) as sink:
        while block := source.read(CHUNK):
            content.update(block)
            sink.write(block)
            size += len(block)
    return Member(
        path=info.filename,
        size=size,
        packed=info.compress_size,
        sha256=content.hexdigest(),
        executable=executable,
    )


def _sink(folder: Path | None, relative: str, executable: bool) -> IO[bytes]:
    if folder is None:
        return Path(os.devnull).open("wb")
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("xb")
    path.chmod(0o755 if executable else 0o644)
    return file


def _dist_info(paths: Collection[str], where: str, parts: Iterable[str]) -> str:
    found = sorted({path.partition("/")[0] for path in paths if ".dist-info/" in path})
    found = [name for name in found if name.endswith(".dist-info")]
    if len(found) != 1:
        raise BuildError(
            f"a wheel holds one .dist-info folder, here are {', '.join(found) or 'none'}",
            where=where,
        )
    if missing := [part for part in parts if f"{found[0]}/{part}" not in paths]:
        raise BuildError(
            [Fault(what=f"{found[0]}/{part} is missing", where=where) for part in missing]
        )
    return found[0]


def _split(dist_info: str) -> tuple[str, str]:
    name, _, version = dist_info.removesuffix(".dist-info").partition("-")
    return name, version


def _identity_faults(
    name: str, version: str, other: str | None, other_version: str | None, where: str
) -> Iterator[Fault]:
    if canonicalize_name(other or "") != name:
        yield Fault(what=f"names the distribution {other!r}, the file name {name!r}", where=where)
    try:
        same = Version(other_version or "") == Version(version)
    except InvalidVersion:
        same = False
    if not same:
        yield Fault(what=f"has version {other_version!r}, the file name {version}", where=where)


def _check_record(members: Iterable[Member], text: str, *, dist_info: str, where: str) -> None:
    rows = _record_rows(text, where)
    faults = []
    for member in members:
        if member.path in {f"{dist_info}/{name}" for name in _UNSIGNED}:
            rows.pop(member.path, None)
            continue
        wanted = rows.pop(member.path, None)
        if wanted is None:
            faults.append(Fault(what=f"{member.path} is not in RECORD", where=where))
        elif wanted != (_record_digest(member.sha256), str(member.size)):
            faults.append(Fault(what=f"{member.path} differs from its RECORD line", where=where))
    faults += [Fault(what=f"{name} is in RECORD only", where=where) for name in rows]
    if faults:
        raise IntegrityError(faults)


def _record_rows(text: str, where: str) -> dict[str, tuple[str, str]]:
    try:
        rows = [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    except csv.Error as error:
        raise IntegrityError(f"RECORD cannot be read: {error}", where=where) from error
    if any(len(row) != 3 for row in rows):
        raise IntegrityError("RECORD has lines of other than three fields", where=where)
    return {row[0]: (row[1], row[2]) for row in rows}


def _record_digest(sha256: str) -> str:
    digest = base64.urlsafe_b64encode(bytes.fromhex(sha256)).rstrip(b"=")
    return "sha256=" + digest.decode("ascii")


# --- writing ---------------------------------------------------------------------------------


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
            members = _pack(parts.sources, level=level, threads=_threads(threads))
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
    dist_info = _dist_info(sources, str(tree), ("METADATA", "WHEEL"))
    if faults := list(_identity_faults(name, version, *_split(dist_info), dist_info)):
        raise BuildError(faults)
    path = f"{dist_info}/WHEEL"
    text = _wheel_text(sources[path].read(), build=build, tags=tags, where=path)
    sources[path] = _Source(path=path, executable=False, origin=text)
    for part in _UNSIGNED:
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
        writer.writerow((name, _record_digest(sha256), size))
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


def _threads(wanted: int | None) -> int:
    if wanted is not None:
        return wanted
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

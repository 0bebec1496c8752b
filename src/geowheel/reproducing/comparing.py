"""How two packed files differ: in which members, where, and the likely cause.

For wheels, sdists and conda packages. The causes are those of https://reproducible-builds.org/docs/.
"""

import gzip
import re
import struct
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Final, TypeAlias, cast

import zstandard
from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from geowheel.digest import sha256_file
from geowheel.machine.archives import open_zip, unpacked

_Parts: TypeAlias = Mapping[str, tuple[Mapping[str, object], bytes]]
_TIME: Final = "a time stamp that does not go by SOURCE_DATE_EPOCH"
_SAID: Final = {"mode": "the umask", "time": _TIME, "owner": "the user who built it"}
_FOLLOWS: Final = "a digest: it follows from another difference"
_ORDER: Final = "an order that nobody sorted: of a folder's listing, a set, threads"
UNKNOWN: Final = "not known: random numbers, addresses, cores, another tool's version"
_CAUSES: Final = {
    # As mkdtemp of Python, mktemp, gcc and pip name them.
    "a random build path: a temporary folder": r"\btmp[.\w]\w{5,9}\b|\bcc\w{6}\.\w|\bpip-\S+-\w{8}",
    "an absolute path: of the build, or of the user": r"(?:\b[A-Z]:)?(?:[/\\][\w.+@~-]+){2,}",
    _FOLLOWS: r"\b[0-9a-f]{40,}\b|sha256=[\w-]{43}",
    _TIME: r"\b(?:19|20)\d\d[-/.]?[01]\d[-/.]?[0-3]\d|\b\d?\d:[0-5]\d\b|\b1\d{9}\b",
}
"""The first that finds other things in one text than in the other."""
_REACH: Final = 200  # bytes on either side of where two contents part
_EPOCHS: Final = range(1_300_000_000, 2_200_000_000)  # seconds: from 2011 to 2039
_WEEK: Final = 7 * 86400
_BUILD_ID: Final = ".note.gnu.build-id"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One place in which two files differ: a member, where in it, and the likely cause."""

    member: str
    where: str
    """`line 7`, `offset 0x40`, `.rodata+0x1f0`."""
    why: str
    texts: tuple[str, ...] = ()
    """What each has there."""

    def __str__(self) -> str:
        said = ", ".join(repr(text[:100]) for text in self.texts if text)
        return f"{self.member}: {self.where}: {self.why}{said and ': ' + said}"


def compare(one: Path, two: Path) -> tuple[Difference, ...]:
    """Return how two files differ, what only follows last; nothing for the same bytes.

    Raises IntegrityError for a damaged file.
    """
    if sha256_file(one) == sha256_file(two):
        return ()
    both = ({name: (said, data) for name, said, data in _parts(path)} for path in (one, two))
    packing = Difference(member="the file", where="how it is packed", why="another compressor")
    found = [*_differences(*both)] or [packing]
    return tuple(sorted(found, key=lambda difference: difference.why == _FOLLOWS))


def _differences(parts: _Parts, others: _Parts) -> Iterator[Difference]:
    for name in sorted(parts.keys() ^ others.keys()):
        which = "first" if name in parts else "second"
        yield Difference(member=name, where=f"only in the {which}", why=UNKNOWN)
    both = [name for name in parts if name in others]
    if both != [name for name in others if name in parts]:
        yield Difference(member="the file", where="the order of its members", why=_ORDER)
    for name in both:
        (said, content), (others_said, other) = parts[name], others[name]
        for what in said:
            if said[what] != others_said[what]:
                where = f"{what} {said[what]}, {others_said[what]}"
                yield Difference(member=name, where=where, why=_SAID[what])
        if content != other:
            yield from explain(name, content, other)


def explain(member: str, one: bytes, two: bytes) -> Iterator[Difference]:
    """Yield how each section of an ELF file differs, or the whole of another file."""
    parts, others = _sections(one), _sections(two)
    named = [name for name in {**parts, **others} if parts.get(name) != others.get(name)]
    # The build id is a digest of the rest: it is told where nothing else differs.
    for name in [name for name in named if name != _BUILD_ID] or named or [""]:
        pair = (parts.get(name, b""), others.get(name, b"")) if name else (one, two)
        parted = (n for n, (a, b) in enumerate(zip(*pair, strict=False)) if a != b)
        at = next(parted, min(map(len, pair)))
        texts = [_around(data, at) for data in pair]
        place, line = f"offset {at:#x}", pair[0].count(b"\n", 0, at) + 1
        yield Difference(
            member=member,
            where=f"{name} {place}" if name else place if b"\0" in one else f"line {line}",
            why=_FOLLOWS if name == _BUILD_ID else _why(pair, texts, at),
            texts=tuple(texts),
        )


def _around(data: bytes, at: int) -> str:
    """Return the line, or the printable text, that something lies in."""
    before = re.split(rb"[^ -~\x80-\xff]", data[max(0, at - _REACH) : at])[-1]
    after = re.split(rb"[^ -~\x80-\xff]", data[at : at + _REACH])[0]
    return (before + after).decode("utf-8", "replace")


def _why(pair: tuple[bytes, bytes], texts: list[str], at: int) -> str:
    words = [sorted(re.findall(rb"[^\s,;:\0\"'(){}\[\]]+", data)) for data in pair]
    if words[0] == words[1] != []:
        return _ORDER
    for why, pattern in _CAUSES.items():
        found = [re.findall(pattern, text) for text in texts]
        if found[0] != found[1]:
            return why
    # Seconds since 1970, of the same week, in what is no text.
    for start in range(max(0, at - 3), at + 1) if b"\0" in pair[0] else ():
        for order in ("<I", ">I"):
            fours = [data[start : start + 4].ljust(4, b"\0") for data in pair]
            first, second = (struct.unpack(order, four)[0] for four in fours)
            if first in _EPOCHS and second in _EPOCHS and abs(first - second) < _WEEK:
                return _TIME
    return UNKNOWN


def _sections(data: bytes) -> dict[str, bytes]:
    try:
        found = [*ELFFile(BytesIO(data)).iter_sections()]
    except ELFError:  # no ELF file
        return {}
    return {s.name: s.data() for s in found if s["sh_type"] not in ("SHT_NOBITS", "SHT_NULL")}


def _parts(path: Path) -> Iterator[tuple[str, Mapping[str, object], bytes]]:
    if path.name.endswith(".tar.gz"):
        yield "the header", {"time": path.read_bytes()[4:8].hex()}, b""  # RFC 1952
        with gzip.open(path) as stream:
            yield from _of_tar(cast("IO[bytes]", stream))
        return
    with open_zip(path) as archive:
        for info in archive.infolist():
            content = b"".join(unpacked(archive, info))
            if info.filename.endswith(".tar.zst"):
                yield from _of_tar(zstandard.ZstdDecompressor().stream_reader(content))
            else:
                said = {"mode": oct(info.external_attr >> 16 & 0o7777), "time": str(info.date_time)}
                yield info.filename, said, content


def _of_tar(stream: IO[bytes]) -> Iterator[tuple[str, Mapping[str, object], bytes]]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for info in archive:
            file = archive.extractfile(info) if info.isreg() else None
            owner = (info.uid, info.gid, info.uname, info.gname)
            said = {"mode": oct(info.mode), "time": info.mtime, "owner": owner}
            yield info.name, said, info.linkname.encode() if file is None else file.read()

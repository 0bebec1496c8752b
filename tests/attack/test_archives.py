"""Packages, wheels and sdists that were made to do harm: links, bombs, two contents in one."""

import bz2
import io
import json
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import zstandard

from geowheel.digest import sha256_bytes
from geowheel.locks.assets import Package
from geowheel.prefix.linker import Placing
from geowheel.prefix.unpacking import unpack_package
from geowheel.stages.bindings import unpack_sdist
from geowheel.targets import Platform
from geowheel.wheel.reading import read_wheel, unpack_wheel
from tests.support.attack import attack
from tests.support.damage import damaged
from tests.support.hosts import make_package, wheel_bytes
from tests.unit.stages.test_sdist import SDIST, store_with

INDEX: Final = {"name": "a", "version": "1", "build": "b", "license": "MIT"}
PACKAGE: Final = make_package("a", version="1", build="b", license="MIT")
FILES: Final = {"lib/a": b"a", "lib/b": b"b" * 600}
ZEROS: Final = bytes(1 << 20)
Members = list[tuple[tarfile.TarInfo, bytes]]


def member(name: str, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def link(
    name: str, target: str, kind: bytes = tarfile.SYMTYPE, **fields: Any
) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=kind, linkname=target, **fields)


def listing(files: Mapping[str, bytes], **more: Any) -> dict[str, Any]:
    """What paths.json says of files."""
    rows = [
        {"_path": name, "path_type": "hardlink", "sha256": sha256_bytes(data),
         "size_in_bytes": len(data)}
        for name, data in files.items()
    ]  # fmt: skip
    return {"paths": [*rows, *({"_path": name, **fields} for name, fields in more.items())]}


def info(paths: object, *more: tuple[tarfile.TarInfo, bytes]) -> Members:
    texts = {"index.json": INDEX, "paths.json": paths}
    own = [member(f"info/{n}", json.dumps(t).encode()) for n, t in texts.items()]
    return [*own, *more]


def tar(members: Members) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for about, content in members:
            archive.addfile(about, io.BytesIO(content))
    return data.getvalue()


def conda(path: Path, *parts: bytes) -> Path:
    """A .conda of an info part and a payload, which are tars or what stands in for them."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", "{}")
        for name, part in zip(("info", "pkg"), parts, strict=True):
            packed = zstandard.compress(part, 1) if part[:4] != b"\x28\xb5\x2f\xfd" else part
            archive.writestr(f"{name}-a.tar.zst", packed)
    return path


def bomb(count: int) -> bytes:
    """So many megabytes of zeros, packed as one file of a tar."""
    head = tarfile.TarInfo("lib/a")
    head.size = count << 20
    packer = zstandard.ZstdCompressor(1).compressobj()
    blocks = [packer.compress(head.tobuf()), *(packer.compress(ZEROS) for _ in range(count))]
    return b"".join([*blocks, packer.compress(bytes(1024)), packer.flush()])


def header(kind: bytes, size: int, name: str = "x") -> bytes:
    block = member(name, type=kind)[0].tobuf()
    return block[:124] + b"%011o\0" % size + block[136:]


def summed(block: bytes) -> bytes:
    """A tar's header with its checksum."""
    block = block[:148] + b" " * 8 + block[156:]
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def records(**fields: str) -> bytes:
    """A pax header with these records."""
    rows = b""
    for key, value in fields.items():
        row = f" {key.replace('_', '.')}={value}\n".encode()
        length = len(row) + 2 if len(row) + 2 < 100 else len(row) + 3
        rows += str(length).encode() + row
    return summed(header(tarfile.XHDTYPE, len(rows))) + rows.ljust(512, b"\0")


GOOD: Final = [member(name, data) for name, data in FILES.items()]
LISTED: Final = listing(FILES)


def payload(*members: tuple[tarfile.TarInfo, bytes]) -> Callable[[], tuple[bytes, bytes]]:
    """The good package with more in its payload, all of it listed."""
    more = {about.name: {"path_type": "softlink"} for about, _ in members}
    return lambda: (tar(info(listing(FILES, **more))), tar([*GOOD, *members]))


def about(*members: tuple[tarfile.TarInfo, bytes], paths: object = LISTED) -> Any:
    """The good package with more in its info."""
    return lambda: (tar(info(paths, *members)), tar(GOOD))


def raw(*blocks: bytes, times: int = 1) -> Callable[[], tuple[bytes, bytes]]:
    """The good package with other bytes for its payload, the last of them so many times."""
    return lambda: (tar(info(LISTED)), b"".join(blocks[:-1]) + b"".join(blocks[-1:]) * times)


PACKAGES: Final[dict[str, Callable[[], tuple[bytes, bytes]]]] = {
    "info/licenses leads out": about(link("info/licenses", "/etc")),
    "a text leads out": about(link("info/licenses/x", "/etc/passwd")),
    "a text is a hard link": about(link("info/licenses/x", "info/index.json", tarfile.LNKTYPE)),
    "info is a link": payload(link("info", "/etc")),
    "a link leads out": payload(link("lib/x", "../../../x")),
    "a link is absolute": payload(link("lib/x", "/etc/passwd")),
    "links that lead out together": payload(link("p/d", "../x/y"), link("e", "p/d/../../..")),
    "through a link": payload(link("out", ".."), member("out/evil", b"x")),
    "no list has it": lambda: (tar(info(LISTED)), tar([*GOOD, member("lib/c", b"x")])),
    "no list has the link": lambda: (tar(info(LISTED)), tar([*GOOD, link("lib/c", "a")])),
    "longer than said": lambda: (tar(info(LISTED)), tar([member("lib/a", b"aa"), GOOD[1]])),
    "other bytes": lambda: (tar(info(LISTED)), tar([member("lib/a", b"x"), GOOD[1]])),
    "lacks a file": lambda: (tar(info(LISTED)), tar(GOOD[:1])),
    "3 GB of zeros": lambda: (tar(info(listing({}, **{"lib/a": {}}))), bomb(3000)),
    "3 GB that no list has": lambda: (tar(info(listing({"b": b""}))), bomb(3000)),
    "a list of 20 MB": about(paths={"paths": [], "x": "x" * (20 << 20)}),
    "a list of 200,000": about(paths={"paths": [{"_path": "a"}] * 200_000}),
    "a list names a file twice": about(paths={"paths": LISTED["paths"] * 2}),
    "a list twice": about(member("info/paths.json", b"{}")),
    "200,000 members": raw(member("lib", type=tarfile.DIRTYPE)[0].tobuf(), times=200_000),
    "a device": payload(member("dev", type=tarfile.CHRTYPE)),
    "a pipe": payload(member("pipe", type=tarfile.FIFOTYPE)),
    "a header of 1.5 GB": raw(summed(header(tarfile.XHDTYPE, 1_500_000_000)), ZEROS),
    "a name of 1.5 GB": raw(summed(header(tarfile.GNUTYPE_LONGNAME, 1_500_000_000)), ZEROS),
    "holes": raw(
        records(GNU_sparse_major="1", GNU_sparse_minor="0", GNU_sparse_name="lib/a"),
        summed(header(tarfile.REGTYPE, 60 << 20, "lib/a")), b"90000000\n", b"1\n", times=30 << 20,
    ),
    "old holes": raw(summed(header(tarfile.GNUTYPE_SPARSE, 600, "lib/b")), bytes(1024)),
    "a size of its own": raw(records(size="-1"), summed(header(tarfile.REGTYPE, 1, "lib/a"))),
    "no number of holes": raw(
        records(GNU_sparse_map="0,x"), summed(header(tarfile.REGTYPE, 1, "lib/a")), bytes(512)
    ),
    "headers without end": raw(records(path="lib/a"), times=3000),
    "a header of 5,000 digits": raw(
        summed(header(tarfile.XHDTYPE, 5010)), b"9" * 5000 + b" path=x\n", bytes(504)
    ),
    "an empty link": payload(link("lib/x", "")),
    "a long link": payload(link("lib/x", "x/" * 2500)),
    "a link with NUL": payload(link("lib/x", "a\0b", pax_headers={"linkpath": "a\0b"})),
    "a link of no text": payload(link("lib/x", "a\udcff")),
    "links in a chain": payload(*(link(f"l/{n}", str(n + 1)) for n in reversed(range(60)))),
    "hard link to outside": payload(link("lib/x", "/etc/passwd", tarfile.LNKTYPE)),
    "hard link upwards": payload(link("lib/x", "../../x", tarfile.LNKTYPE)),
    "many hard links": lambda: (
        tar(info(LISTED)),
        tar([member("lib/a", ZEROS * 8), *(link(f"l/{n}", "lib/a", tarfile.LNKTYPE)
                                           for n in range(900))]),
    ),
    "a file twice": payload(member("lib/a", b"a")),
    "below a file": payload(member("lib/a/b", b"a")),
    "a file for a folder": payload(member("lib", b"a")),
    **{f"a name: {name!r}": payload(member(name, b"x"))
       for name in ("../x", "/x", "a\\b", "a/../x", "C:x", "a\x01b", "x" * 300, "./../x")},
    "cut off": lambda: (tar(info(LISTED)), tar(GOOD)[:1000]),
    "no tar": raw(b"no tar"),
    "nothing": raw(),
    "a window of 2 GB": lambda: (tar(info(LISTED)), wide(tar(GOOD))),
}  # fmt: skip


def wide(data: bytes) -> bytes:
    """Packed so that its reader has to look back 2 GB."""
    settings = zstandard.ZstdCompressionParameters(window_log=31, write_content_size=0)
    packer = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    return packer.compress(data) + packer.flush()


def place(archive: Path, folder: Path, package: Package = PACKAGE) -> list[str]:
    digests = unpack_package(archive, folder / "unpacked", package)
    (folder / "prefix").mkdir()
    placing = Placing(prefix=folder / "prefix", prefix_string="/p", platform=Platform.LINUX_64)
    placed = placing.place(package, folder / "unpacked", digests=digests)
    placing.manifest()
    return [file.path for file in placed.files]


@attack("packages", list(PACKAGES))
def test_packages(case: str, folder: Path) -> None:
    place(conda(folder / "a-1-b.conda", *PACKAGES[case]()), folder)


@attack("packages of one tar", [c for c in PACKAGES if not re.search("GB|MB|000|^holes", c)])
def test_packages_of_one_tar(case: str, folder: Path) -> None:
    about, files = PACKAGES[case]()
    path = folder / "a-1-b.tar.bz2"
    length = len(about.rstrip(b"\0"))
    path.write_bytes(bz2.compress(about[: length + -length % 512] + files, 1))
    place(path, folder)


@attack("packages that are damaged", range(400), refused=250)
def test_damaged_packages(seed: int, folder: Path) -> None:
    path = conda(folder / "a-1-b.conda", tar(info(LISTED)), tar(GOOD))
    path.write_bytes(damaged(path.read_bytes(), seed))
    place(path, folder)


@attack("a package with all that may be in one", [0], refused=0)
def test_good_packages(_: int, folder: Path) -> None:
    long, odd = "x" * 250 + "/" + "y" * 250, "share/man/Foo::Bar.3"
    files = FILES | {long: b"l", odd: b"o", "lib/c": b"a", "bin/d": b"d"}
    members = [
        *GOOD, member(long, b"l"), member(odd, b"o"), link("lib/c", "lib/a", tarfile.LNKTYPE),
        member("bin/d", b"d", mode=0o6755), member("lib", type=tarfile.DIRTYPE), link("lib/e", "a"),
    ]  # fmt: skip
    listed = listing(files, **{"lib/e": {"path_type": "softlink"}})
    archive = conda(folder / "a-1-b.conda", tar(info(listed)), tar(members))
    assert len(place(archive, folder)) == len(files) + 1
    assert (folder / "prefix" / "bin" / "d").stat().st_mode & 0o7777 == 0o755


NAME: Final = "a-1-cp311-cp311-win_amd64.whl"
METADATA: Final = "a-1.dist-info/METADATA"
WHEEL: Final = wheel_bytes(NAME, {"a/b.py": "b = 1\n"})


def rewritten(find: bytes, place: int, new: bytes, *, last: bool = False) -> bytes:
    """The good wheel with other bytes so far behind a mark."""
    at = (WHEEL.rindex(find) if last else WHEEL.index(find)) + place
    return WHEEL[:at] + new + WHEEL[at + len(new) :]


def wheel(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = 8) -> bytes:
    data = io.BytesIO(WHEEL)
    with zipfile.ZipFile(data, "a") as archive:
        for name, content in members:
            archive.writestr(name, content, method)
    return data.getvalue()


def hidden() -> bytes:
    """A member that has a header, and no row in the central directory."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("a/hidden.py", "evil")
    extra = data.getvalue()[: data.getvalue().index(b"PK\1\2")]
    start = WHEEL.index(b"PK\1\2")
    moved = WHEEL[:start] + extra + WHEEL[start:-6]
    return moved + struct.pack("<IH", start + len(extra), 0)


def directories() -> bytes:
    """Two central directories, each with its end: the second stands in the first one's comment."""
    start = WHEEL.index(b"PK\1\2")
    return WHEEL[:-2] + struct.pack("<H", len(WHEEL) - start) + WHEEL[start:]


def zeros(name: str, megabytes: int) -> bytes:
    """The good wheel, with zeros in the place of one member."""
    data = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(WHEEL)) as old, zipfile.ZipFile(data, "w", 8) as archive:
        for about in old.infolist():
            if about.filename != name:
                archive.writestr(about, old.read(about))
        with archive.open(name, "w") as stream:
            for _ in range(megabytes):
                stream.write(ZEROS)
    return data.getvalue()


def deflated(*blocks: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return b"".join(map(packer.compress, blocks)) + packer.flush()


def repacked(
    name: str, packed: bytes | None = None, size: int = 6, flags: int = 0, extra: bytes = b""
) -> bytes:
    """The good wheel, with other packed bytes for a member than those that it says it has."""
    body, rows = b"", b""
    with zipfile.ZipFile(io.BytesIO(WHEEL)) as good:
        for about in good.infolist():
            data, own = good.read(about), about.filename == name
            if own:
                data = data[:size].ljust(size, b"\0")
            inside = packed if own and packed is not None else deflated(data)
            sums, first = struct.pack("<3I", zlib.crc32(data), len(inside), len(data)), len(body)
            flag, field = (flags, extra) if own else (0, b"")
            head = struct.pack("<5H", 20, flag, 8, 0, 33)
            names = struct.pack("<2H", len(about.filename), len(field))
            called = about.filename.encode()
            body += b"PK\3\4" + head + (bytes(12) if flag & 8 else sums) + names + called + field
            body += inside + (b"PK\7\x08" + sums if flag & 8 else b"")
            rows += b"PK\1\2" + struct.pack("<H", 20) + head + sums + names
            rows += struct.pack("<3H2I", 0, 0, 0, 0, first) + called + field
    number = rows.count(b"PK\1\2")
    end = struct.pack("<4H2IH", 0, 0, number, number, len(rows), len(body), 0)
    return body + rows + b"PK\5\6" + end


def recorded_twice() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(WHEEL)) as old, zipfile.ZipFile(data, "w", 8) as archive:
        for about in old.infolist():
            more = b"a/b.py,sha256=x,6\n" if about.filename.endswith("RECORD") else b""
            archive.writestr(about, more + old.read(about))
    return data.getvalue()


def wheels() -> Iterator[tuple[str, Callable[[], bytes]]]:
    yield "bytes before", lambda: b"#!/bin/sh\n" + WHEEL
    yield "bytes after", lambda: WHEEL + b"x"
    yield "a comment", lambda: WHEEL[:-2] + b"\1\0x"
    yield "hides in a local header", hidden
    yield "two central directories", directories
    yield "another name in front", lambda: rewritten(b"PK\3\4", 30, b"a/c")
    yield "another size in front", lambda: rewritten(b"PK\3\4", 22, b"\7")
    yield "another method in front", lambda: rewritten(b"PK\3\4", 8, b"\x08")
    yield "encrypted", lambda: rewritten(b"PK\1\2", 8, b"\1")
    yield "another method", lambda: rewritten(b"PK\1\2", 10, b"\x0c")
    yield "one row too few", lambda: rewritten(b"PK\5\6", 8, b"\3\0\3\0", last=True)
    yield "several disks", lambda: rewritten(b"PK\5\6", 4, b"\1", last=True)
    yield "zip64 beside it", lambda: WHEEL[:-22] + zip64() + WHEEL[-22:]
    yield "zip64 alone", lambda: rewritten(b"PK\5\6", 8, b"\xff" * 4, last=True)
    yield "a folder with bytes", lambda: wheel(("a/x/", b"x"))
    yield "by bzip2", lambda: wheel(("a/x", b"x"), method=zipfile.ZIP_BZIP2)
    yield "not in RECORD", lambda: wheel(("a/x", b"x"))
    names = ("../x", "/x", "a\\x", "C:x", "a/./x", "a//x", "a/b.py/x", "A/B.py", "a\nb", "a/b.py")
    for name in names:
        yield f"a name: {name!r}", partial(wheel, (name, b"x"))
    for kind in (0o120777, 0o010644, 0o020666):
        about = zipfile.ZipInfo("a/link")
        about.external_attr = kind << 16
        yield f"a file of kind {kind:o}", partial(wheel, (about, b"/etc/passwd"))
    yield "METADATA of 300 MB", lambda: zeros(METADATA, 300)
    yield "METADATA of 20 MB", lambda: zeros(METADATA, 20)
    yield "RECORD of 20 MB", lambda: zeros("a-1.dist-info/RECORD", 20)
    yield "METADATA that lies", partial(repacked, METADATA, deflated(*[ZEROS] * 300), 10)
    good, other = deflated(b"b = 1\n"), struct.pack("<2HBI", 0x7075, 11, 1, zlib.crc32(b"a/b.py"))
    hidden_member = zip_of(iter([b"a/c.py"]))
    yield "deflate goes on", partial(repacked, "a/b.py", deflated(b"b = 1\n", b"evil"))
    yield "deflate ends early", partial(repacked, "a/b.py", good, 600)
    yield "bytes after deflate", partial(repacked, "a/b.py", good + b"evil")
    yield "a member after deflate", partial(repacked, "a/b.py", good + hidden_member, flags=8)
    yield "another name beside it", partial(repacked, "a/b.py", extra=other + b"a/c.py")
    yield "a field of zip64", partial(repacked, "a/b.py", extra=struct.pack("<2HQQ", 1, 16, 9, 9))
    yield "a file twice in RECORD", recorded_twice
    for name in ("a/CON.py", "nul", "a/com1", "COM\u00b9", "conin$", "aux .c", "a/x.", "a/x /y",
                 "a/x?.py", "A", "a-1.DIST-INFO/x",
                 "a-1.data/purelib/evil-2.dist-info/METADATA"):  # fmt: skip
        yield f"for Windows: {name!r}", partial(wheel_bytes, NAME, {"a/b.py": "b = 1\n", name: "x"})
    twice = {"a/\u00e9.py": "", "a/e\u0301.py": ""}
    yield "a name spelled twice", partial(wheel_bytes, NAME, twice)
    yield "65,000 members", lambda: zip_of(b"a/%d" % number for number in range(65_000))
    yield "a directory of 16 MB", lambda: zip_of(b"a/%0200d" % number for number in range(65_000))


def zip_of(names: Iterator[bytes]) -> bytes:
    """Empty members of these names."""
    rows, heads, at = [], [], 0
    for name in names:
        fields = bytes(20) + struct.pack("<HH", len(name), 0)
        heads.append(b"PK\3\4\x14\0" + fields + name)
        row = b"PK\1\2\x14\0\x14\0" + fields + bytes(10) + struct.pack("<I", at)
        rows.append(row + name)
        at += 30 + len(name)
    directory = b"".join(rows)
    end = struct.pack("<4H2IH", 0, 0, len(rows), len(rows), len(directory), at, 0)
    return b"".join(heads) + directory + b"PK\5\6" + end


def zip64() -> bytes:
    end = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 9, 9, 9, 9)
    return end + struct.pack("<4sIQI", b"PK\6\7", 0, len(WHEEL) - 22, 1)


WHEELS: Final = dict(wheels())


@attack("wheels", list(WHEELS))
def test_wheels(case: str, folder: Path) -> None:
    path = folder / NAME
    path.write_bytes(WHEELS[case]())
    if len(path.name) % 2:
        read_wheel(path)
    unpack_wheel(path, folder / "tree")


@attack("sdists", ["../evil", "/tmp-evil", "GDAL-1/../../evil", "link"])
def test_sdists(case: str, folder: Path) -> None:
    evil = ("GDAL-1/x", None, "/etc") if case == "link" else (case, b"x", "")
    store = store_with(folder, ("GDAL-1/PKG-INFO", b"x", ""), evil)
    unpack_sdist(store, SDIST, folder / "out")

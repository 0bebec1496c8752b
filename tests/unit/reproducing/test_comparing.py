"""Two files that differ in one planted thing: the member, the place and the cause are named."""

import gzip
import io
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from geowheel.reproducing.comparing import compare, explain

A, B = "/root/a/project", "/var/lib/another/project"
DIGEST = "0123456789abcdef" * 4


def elf(note: bytes, text: bytes) -> bytes:
    """Return an ELF file with a build id and a section of constants."""
    names = b"\0.note.gnu.build-id\0.rodata\0.shstrtab\0"
    parts = [(1, note), (20, text), (28, names)]
    start, data, headers = 64, b"", bytes(64)
    for name, content in parts:
        place = start + len(data)
        headers += struct.pack("<IIQQQQIIQQ", name, 1, 0, 0, place, len(content), 0, 0, 1, 0)
        data += content
    ident = b"\x7fELF\2\1\1" + bytes(9)
    table = (3, 62, 1, 0, 0, start + len(data), 0, 64, 0, 0, 64, 4, 3)
    return ident + struct.pack("<HHIQQQIHHHHHH", *table) + data + headers


@pytest.mark.parametrize(
    ("one", "two", "where", "why"),
    [
        (f"x = 1\ny = '{A}'\n", f"x = 1\ny = '{B}'\n", "line 2", "an absolute path"),
        ("at 2026-11-29\n", "at 2026-11-30\n", "line 1", "a time stamp"),
        ("made 12:31\n", "made 12:32\n", "line 1", "a time stamp"),
        ("seconds=1790000000", "seconds=1790000777", "line 1", "a time stamp"),
        ("b\na\n", "a\nb\n", "line 1", "an order that nobody sorted"),
        ("{'b', 'a'}", "{'a', 'b'}", "line 1", "an order that nobody sorted"),
        ("in /tmp/tmpab12cd34/x", "in /tmp/tmpzz98yy76/x", "line 1", "a random build path"),
        ("in build/tmpab12cd34", "in build/tmpzz98yy76", "line 1", "a random build path"),
        (f"a,{DIGEST}", f"a,{DIGEST[::-1]}", "line 1", "a digest"),
        ("seed 7", "seed 8", "line 1", "not known"),
        (b"\0\1" + struct.pack("<I", 1_790_000_000), b"\0\1" + struct.pack("<I", 1_790_000_999),
         "offset 0x2", "a time stamp"),
        (b"\0\1\2\3\4\5", b"\0\1\2\7\4\5", "offset 0x3", "not known"),
        (elf(b"n1", A.encode() + b"\0"), elf(b"n2", B.encode() + b"\0"), ".rodata offset 0x1",
         "an absolute path"),
        (elf(b"n1", b"the same"), elf(b"n2", b"the same"), ".note.gnu.build-id", "a digest"),
    ],
)  # fmt: skip
def test_a_planted_difference_has_a_place_and_a_cause(
    one: str | bytes, two: str | bytes, where: str, why: str
) -> None:
    both = [each.encode() if isinstance(each, str) else each for each in (one, two)]
    (found,) = explain("pkg/a.py", *both)
    assert str(found).startswith(f"pkg/a.py: {where}")
    assert found.why.startswith(why)


def packed(
    path: Path, names: tuple[str, ...], mode: int, time: int, content: bytes, stamp: int = 0
) -> Path:
    """Write a wheel, an sdist or a conda package, by the name."""
    path.parent.mkdir(exist_ok=True)
    if path.name.endswith(".tar.gz"):
        with (
            gzip.GzipFile(path, "wb", mtime=stamp) as file,
            tarfile.open(fileobj=file, mode="w") as tar,
        ):
            for name in names:
                info = tarfile.TarInfo(name)
                info.size, info.mode, info.mtime = len(content), mode, time
                tar.addfile(info, io.BytesIO(content))
        return path
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            about = zipfile.ZipInfo(name, (2020 + time, 1, 1, 0, 0, 0))
            about.external_attr = mode << 16
            archive.writestr(about, content)
    return path


@pytest.mark.parametrize("name", ["a-1-py3-none-any.whl", "a-1.tar.gz"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({"mode": 0o100600}, "a: mode 0o644, 0o600: the umask"),
        ({"time": 9}, "a: time"),
        ({"names": ("b", "a")}, "the file: the order of its members: an order that nobody sorted"),
        ({"names": ("a",)}, "b: only in the first"),
        ({"content": b"other"}, "a: line 1: not known"),
        ({"stamp": 1}, "the header: time"),  # of an sdist alone
    ],
)
def test_what_a_package_says_of_a_member_is_compared(
    tmp_path: Path, name: str, change: dict[str, object], said: str | None
) -> None:
    usual: dict[str, object] = {"names": ("a", "b"), "mode": 0o100644, "time": 0, "content": b"x"}
    one = packed(tmp_path / "1" / name, **usual)  # type: ignore[arg-type]
    two = packed(tmp_path / "2" / name, **{**usual, **change})  # type: ignore[arg-type]
    found = compare(one, two)
    same = said is None or ("stamp" in change and name.endswith(".whl"))
    assert not found if same else str(found[0]).startswith(str(said))


def test_how_it_is_packed_is_told_where_nothing_else_is(tmp_path: Path) -> None:
    paths = [tmp_path / f"{level}.whl" for level in (0, 9)]
    for path, level in zip(paths, (0, 9), strict=True):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
            archive.writestr(zipfile.ZipInfo("a"), b"text" * 99, zipfile.ZIP_DEFLATED, level)
    (found,) = compare(*paths)
    assert str(found) == "the file: how it is packed: another compressor"

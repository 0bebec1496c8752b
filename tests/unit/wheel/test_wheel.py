"""Wheels: one canonical form, and every contradiction named."""

import base64
import csv
import hashlib
import io
import itertools
import os
import random
import stat
import zipfile
import zlib
from pathlib import Path

import installer.sources
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.files import write_zip

from geowheel import __version__
from geowheel.digest import Artefact
from geowheel.errors import BuildError, GeowheelError, IntegrityError
from geowheel.wheel.reading import parse_filename, read_wheel, unpack_wheel, with_platform
from geowheel.wheel.writing import write_wheel

LARGE = 1 << 18
FILENAME = "Some_Pkg-1.0-cp312-cp312-manylinux_2_35_x86_64.whl"
INFO = "Some_Pkg-1.0.dist-info"
METADATA = b"Metadata-Version: 2.1\nName: Some-Pkg\nVersion: 1.0\n\nText.\n"
WHEEL = (
    b"Wheel-Version: 1.0\nGenerator: other\nRoot-Is-Purelib: false\nTag: cp312-cp312-linux_x86_64\n"
)
PARTS = {f"{INFO}/METADATA": METADATA, f"{INFO}/WHEEL": WHEEL}


def make_tree(root: Path, files: dict[str, bytes], executable: tuple[str, ...] = ()) -> Path:
    for name, data in (PARTS | files).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o755 if name in executable else 0o600)
    return root


def raw_members(files: dict[str, bytes]) -> dict[str, bytes]:
    """A wheel as another tool would write it: its own order, a RECORD that is right."""
    wheel = WHEEL.replace(b"linux_x86_64", b"manylinux_2_35_x86_64")
    every = PARTS | {f"{INFO}/WHEEL": wheel} | files
    text = io.StringIO()
    writer = csv.writer(text)
    for name, data in every.items():
        writer.writerow(record_row(name, data))
    writer.writerow((f"{INFO}/RECORD", "", ""))
    return {**every, f"{INFO}/RECORD": text.getvalue().encode()}


def record_row(name: str, data: bytes) -> tuple[str, str, str]:
    value = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return name, f"sha256={value}", str(len(data))


def noise(size: int) -> bytes:
    """Bytes that deflate neither fails on nor shortens to nothing: half random, half repeats."""
    random_ = random.Random(size)
    block = random_.randbytes(997)
    return b"".join(block[: random_.randrange(997)] for _ in range(size // 400))[:size]


def test_the_canonical_form(tmp_path: Path) -> None:
    files = {"zeta.py": b"z = 1\n" * 99, "pkg/lib.so": noise(5000), "pkg/é.txt": b"", "a": b"x"}
    tree = make_tree(tmp_path / "tree", files, executable=("pkg/lib.so",))
    (tree / "empty").mkdir()
    artefact = write_wheel(tree, tmp_path / "out", filename=FILENAME)
    with zipfile.ZipFile(artefact.path) as archive:
        assert archive.testzip() is None
        infos = archive.infolist()
        text = archive.read(f"{INFO}/WHEEL").decode()
        assert all(archive.read(name) == data for name, data in files.items())
    assert [info.filename for info in infos] == [
        "a", "pkg/lib.so", "pkg/é.txt", "zeta.py", f"{INFO}/METADATA", f"{INFO}/WHEEL",
        f"{INFO}/RECORD",
    ]  # fmt: skip
    assert {info.date_time for info in infos} == {(2020, 1, 1, 0, 0, 0)}
    modes = {info.filename: info.external_attr >> 16 for info in infos}
    assert modes.pop("pkg/lib.so") == stat.S_IFREG | 0o755
    assert set(modes.values()) == {stat.S_IFREG | 0o644}
    assert text == (
        f"Wheel-Version: 1.0\nGenerator: geowheel {__version__}\nRoot-Is-Purelib: false\n"
        "Tag: cp312-cp312-manylinux_2_35_x86_64\n"
    )
    assert list((tmp_path / "out").iterdir()) == [artefact.path]


def test_other_readers_accept_it(tmp_path: Path) -> None:
    filename = "Some_Pkg-1.0-7b-py3.py2-none-win_amd64.any.whl"
    artefact = write_wheel(make_tree(tmp_path / "t", {}), tmp_path, filename=filename)
    wheel = read_wheel(artefact.path)
    assert wheel.build == "7b"
    assert wheel.tags == tuple(
        sorted(f"{py}-none-{plat}" for py in ("py2", "py3") for plat in ("any", "win_amd64"))
    )
    tree = make_tree(tmp_path / "tree", {"pkg/__init__.py": b"", "pkg/data": noise(LARGE)})
    artefact = write_wheel(tree, tmp_path, filename=FILENAME)
    with installer.sources.WheelFile.open(artefact.path) as source:
        source.validate_record(validate_contents=True)
        assert {record[0] for record, _, _ in source.get_contents()} == set(
            zipfile.ZipFile(artefact.path).namelist()
        )


def test_what_other_backends_write_is_read(tmp_path: Path) -> None:
    """Compressed tags in WHEEL, a better hash than sha256, no size: PEP 427 allows each."""
    name, data = "pkg/__init__.py", b"x = 1\n"
    wheel = WHEEL.replace(b"cp312-cp312-linux_x86_64", b"py2.py3-none-any")
    files = PARTS | {f"{INFO}/WHEEL": wheel, name: data}
    better = base64.urlsafe_b64encode(hashlib.sha512(data).digest()).rstrip(b"=").decode()
    rows = [record_row(*item) for item in files.items() if item[0] != name]
    rows += [(name, f"sha512={better}", ""), (f"{INFO}/RECORD", "", "")]
    record = "".join(",".join(row) + "\n" for row in rows)
    path = tmp_path / "Some_Pkg-1.0-py2.py3-none-any.whl"
    write_zip(path, files | {f"{INFO}/RECORD": record.encode()})
    assert read_wheel(path).tags == ("py2-none-any", "py3-none-any")
    damaged = record.replace(better[:5], "AAAAA")
    write_zip(path, files | {f"{INFO}/RECORD": damaged.encode()})
    with pytest.raises(IntegrityError, match="differs from its RECORD"):
        read_wheel(path)


def test_neither_place_nor_umask_nor_threads_change_a_byte(tmp_path: Path) -> None:
    files = {"pkg/big": noise(LARGE), "pkg/small.py": b"x = 1\n", "pkg/none": b""}
    first = write_wheel(
        make_tree(tmp_path / "one", files), tmp_path / "o1", filename=FILENAME, threads=1
    )
    before = os.umask(0o077)
    try:
        tree = make_tree(tmp_path / "deep" / "two", dict(reversed(files.items())))
        second = write_wheel(tree, tmp_path / "o2", filename=FILENAME, threads=5)
    finally:
        os.umask(before)
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.sha256 == second.sha256
    assert stat.S_IMODE(second.path.stat().st_mode) == 0o644


def test_what_was_deflated_before_is_used_unless_it_is_damaged(tmp_path: Path) -> None:
    tree, kept = (
        make_tree(tmp_path / "tree", {"pkg/data": bytes(range(256)) * 8192}),
        tmp_path / "k",
    )
    wheel = write_wheel(tree, tmp_path, filename=FILENAME, kept=kept)
    (path,) = kept.iterdir()
    for damaged in (b"", b"no deflate", path.read_bytes()[:-1], zlib.compress(b"x", wbits=-15)):
        path.write_bytes(damaged)
        again = write_wheel(tree, tmp_path / "again", filename=FILENAME, kept=kept)
        assert again.sha256 == wheel.sha256
    path.write_bytes(mine := zlib.compress((tree / "pkg/data").read_bytes(), 1, wbits=-15))
    used = write_wheel(tree, tmp_path / "used", filename=FILENAME, kept=kept).path
    with zipfile.ZipFile(used) as archive:
        assert archive.getinfo("pkg/data").compress_size == len(mine)
        assert archive.testzip() is None


def test_what_does_not_shrink_is_stored(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(LARGE)
    tree = make_tree(tmp_path / "tree", {"pkg/data": data})
    with zipfile.ZipFile(write_wheel(tree, tmp_path, filename=FILENAME).path) as archive:
        assert archive.getinfo("pkg/data").compress_type == zipfile.ZIP_STORED
        assert archive.read("pkg/data") == data


@pytest.mark.parametrize(
    ("filename", "said"),
    [
        ("other-1.0-cp312-cp312-linux_x86_64.whl", "names the distribution"),
        ("Some_Pkg-2.0-cp312-cp312-linux_x86_64.whl", "has version"),
        ("Some_Pkg.whl", "Invalid wheel filename"),
    ],
)
def test_a_tree_of_another_wheel_is_refused(tmp_path: Path, filename: str, said: str) -> None:
    tree = make_tree(tmp_path / "tree", {})
    with pytest.raises(BuildError, match=said):
        write_wheel(tree, tmp_path / "out", filename=filename)
    assert not (tmp_path / "out").exists()


def test_links_are_refused_and_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", {"pkg/a": b"a"})
    with pytest.raises(ValueError, match="level"):
        write_wheel(tree, tmp_path / "out", filename=FILENAME, level=77)
    assert not list((tmp_path / "out").iterdir())
    tree = make_tree(tmp_path / "tree", {"libz.so.1.3": b"z"})
    (tree / "libz.so").symlink_to("libz.so.1.3")
    with pytest.raises(BuildError, match=r"libz\.so"):
        write_wheel(tree, tmp_path / "out", filename=FILENAME)


names = st.text("abcXYZ_é0", min_size=1, max_size=5)
trees = st.dictionaries(
    st.lists(names, min_size=1, max_size=3).map("/".join), st.binary(max_size=3000), max_size=8
).filter(lambda files: not any(a.startswith(f"{b}/") for a in files for b in files))
unhurried = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
numbers = itertools.count()


def repack(wheel: Path, destination: Path, *, folder: Path) -> Artefact:
    unpack_wheel(wheel, folder)
    return write_wheel(folder, destination, filename=wheel.name)


@unhurried
@given(files=trees, seed=st.integers(0, 99))
def test_repacking_changes_nothing(tmp_path: Path, files: dict[str, bytes], seed: int) -> None:
    here = tmp_path / str(next(numbers))
    members = raw_members(files)
    raw = write_zip(here / FILENAME, members)
    once = repack(raw, here / "once", folder=here / "f1")
    twice = repack(once.path, here / "twice", folder=here / "f2")
    assert once.path.read_bytes() == twice.path.read_bytes()
    order = random.Random(seed).sample(list(members), len(members))
    shuffled = write_zip(here / "other" / FILENAME, {name: members[name] for name in order})
    assert repack(shuffled, here / "third", folder=here / "f3").sha256 == once.sha256


def test_what_is_read(tmp_path: Path) -> None:
    members = raw_members({"pkg/a.py": b"a = 1\n"})
    raw = write_zip(tmp_path / FILENAME, members)
    wheel = unpack_wheel(raw, tmp_path / "tree")
    assert (wheel.name, wheel.version, wheel.dist_info) == ("some-pkg", "1.0", INFO)
    assert wheel.tags == ("cp312-cp312-manylinux_2_35_x86_64",)
    assert (wheel.pure, wheel.metadata) == (False, METADATA.decode())
    assert {member.path for member in wheel.members} == {*PARTS, "pkg/a.py", f"{INFO}/RECORD"}
    assert wheel.installed_size == sum(map(len, members.values()))
    assert (tmp_path / "tree" / "pkg" / "a.py").read_bytes() == b"a = 1\n"
    assert wheel == read_wheel(raw)


@pytest.mark.parametrize(
    ("change", "said", "kind"),
    [
        ({"pkg/a.py": b"b = 1\n"}, "pkg/a.py differs", IntegrityError),
        ({"pkg/new.py": b""}, "pkg/new.py is not in RECORD", IntegrityError),
        ({"pkg/a.py": None}, "pkg/a.py is in RECORD only", IntegrityError),
        ({f"{INFO}/RECORD": b"a,b\n"}, "three fields", IntegrityError),
        ({f"{INFO}/RECORD": b"\xff"}, "damaged", IntegrityError),
        ({f"{INFO}/WHEEL": None}, "WHEEL is missing", BuildError),
        ({"other-1.dist-info/METADATA": b""}, "one .dist-info", BuildError),
        ({"../evil": b""}, "unsafe member '../evil'", BuildError),
        ({"/evil": b""}, "unsafe member '/evil'", BuildError),
        ({"a\\b": b""}, "unsafe member", BuildError),
        ({"c:evil": b""}, "unsafe member", BuildError),
        ({"pkg/a.py/b": b""}, "unsafe member 'pkg/a.py'", BuildError),
    ],
)
def test_contradictions_are_named(
    tmp_path: Path, change: dict[str, bytes | None], said: str, kind: type[GeowheelError]
) -> None:
    members = raw_members({"pkg/a.py": b"a = 1\n"}) | change
    kept = {name: data for name, data in members.items() if data is not None}
    raw = write_zip(tmp_path / FILENAME, kept)
    with pytest.raises(kind, match=said):
        read_wheel(raw)
    with pytest.raises(kind):
        unpack_wheel(raw, tmp_path / "inner" / "tree")
    assert not (tmp_path / "inner" / "evil").exists()


@pytest.mark.parametrize(
    ("part", "data", "said"),
    [
        ("METADATA", METADATA.replace(b"Some-Pkg", b"Else"), "names the distribution 'Else'"),
        ("METADATA", METADATA.replace(b"1.0", b"1.1"), "has version '1.1'"),
        ("METADATA", b"", "names the distribution None"),
        ("WHEEL", WHEEL, "other tags"),
        ("WHEEL", b"Wheel-Version: 2.0\n", "Wheel-Version 1.x"),
    ],
)
def test_metadata_agrees_with_the_name(tmp_path: Path, part: str, data: bytes, said: str) -> None:
    raw = write_zip(tmp_path / FILENAME, raw_members({f"{INFO}/{part}": data}))
    with pytest.raises(BuildError, match=said):
        read_wheel(raw)


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("pkg/link", stat.S_IFLNK, "unsafe member 'pkg/link'"),
        ("pkg/pipe", stat.S_IFIFO, "unsafe member 'pkg/pipe'"),
        (f"{INFO}/WHEEL", stat.S_IFREG, "a member twice"),
        ("PKG/A.py", stat.S_IFREG, "pkg/a.py is in it twice"),
        ("Some_Pkg-1.0.data/platlib/pkg/a.py", stat.S_IFREG, "pkg/a.py is in it twice"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate")
def test_a_member_twice_and_a_link_are_refused(
    tmp_path: Path, name: str, kind: int, said: str
) -> None:
    where = tmp_path / FILENAME.replace("manylinux_2_35_x86_64", "win_amd64")
    raw = write_zip(where, raw_members({"pkg/a.py": b""}))
    member = zipfile.ZipInfo(name)
    member.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(raw, "a") as archive:
        archive.writestr(member, b"/etc/passwd")
    with pytest.raises((BuildError, IntegrityError), match=said):
        read_wheel(raw)


def test_the_platform_tag_is_replaced_whole() -> None:
    raw = "GDAL-3.6.2-1-cp311-cp311-linux_x86_64.manylinux1_x86_64.whl"
    repaired = with_platform(raw, "manylinux_2_35_x86_64")
    assert repaired == "GDAL-3.6.2-1-cp311-cp311-manylinux_2_35_x86_64.whl"
    assert parse_filename(repaired) == (
        "gdal", "3.6.2", "1", ("cp311-cp311-manylinux_2_35_x86_64",),
    )  # fmt: skip
    with pytest.raises(BuildError, match="GDAL"):
        with_platform("GDAL-3.6.2.tar.gz", "any")

"""Paths of the machine in a wheel are found by file and string; those of the prefix are listed."""

import re
import tempfile
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geowheel.errors import BuildError
from geowheel.wheel.leaks import (
    Found,
    check_leaks,
    in_words,
    machine_paths,
    overridden_by,
    prefix_strings,
)

PREFIX = "/usr/lib/native-prefix"
CHECKOUT = machine_paths([Path("/home/me/work/checkout")])


def write(tree: Path, name: str, data: bytes) -> Path:
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return tree


@pytest.mark.parametrize(
    "data",
    [
        b"/home/me/work/checkout/src/a.c",
        b"\x7fELF\0\0x=/home/me/work/checkout/a\0\xff",
        b"\n".join([b"plain"] * 500) + b"\nfile:///home/me/work/checkout/b\n",
        b'"bom-ref": "path+file:///home/me/work/checkout#host@1.0"',
        b"\0/home/me/work/checkout\0",
    ],
)
def test_a_path_of_the_checkout_is_named_with_its_file(tmp_path: Path, data: bytes) -> None:
    write(write(tmp_path, "pkg/clean.py", b"/usr/share/x"), "pkg/data.bin", data)
    with pytest.raises(BuildError) as caught:
        check_leaks(tmp_path, CHECKOUT)
    (fault,) = caught.value.faults
    assert fault.where == "pkg/data.bin"
    text = re.search(rb"[\x20-\x7e]*/home/me/work/checkout[\x20-\x7e]*", data)
    assert text is not None and text[0].decode() in fault.what


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_it_is_found_wherever_it_stands(before: bytes, after: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree = write(Path(folder), "a", before + b"/home/me/work/checkout/x" + after)
        with pytest.raises(BuildError, match="/home/me/work/checkout/x"):
            check_leaks(tree, CHECKOUT)


def test_many_strings_of_a_file_are_named_in_part(tmp_path: Path) -> None:
    data = b"\0".join(b"/home/me/work/checkout/%d" % number for number in range(8))
    with pytest.raises(BuildError, match="and 3 more"):
        check_leaks(write(tmp_path, "a", data), CHECKOUT)


def test_other_paths_are_no_leak(tmp_path: Path) -> None:
    longer = b"/home/me/work/checkout-2/x /home/me/work/checkout.zip /home/me/work/checkouts"
    write(tmp_path, "a", longer + b" /home/me/work /tmp/tkt /usr/lib")
    check_leaks(write(tmp_path, "empty", b""), CHECKOUT)
    texts = [f"-O2 -isystem {PREFIX}/include", f"-I{PREFIX}/include", f"{PREFIX}/include/x.inl",
             f'DIR: "{PREFIX}/ssl"', f"{PREFIX}/a:{PREFIX}/b", f"FILE:{PREFIX}/x.conf"]  # fmt: skip
    write(tmp_path, "a.so", "\0".join(texts).encode())
    assert [found.text for found in prefix_strings(tmp_path, PREFIX)] == texts[4:]


def test_of_a_home_at_the_top_only_hidden_names_count(tmp_path: Path) -> None:
    paths = machine_paths([Path("/root"), Path("/home/me")])
    assert paths == ("/home/me", "/root/.")
    windows = machine_paths([PureWindowsPath("C:/Users/me")])
    assert windows == ("C:/Users/me", "C:\\Users\\me")
    check_leaks(write(tmp_path, "a", b"/root/element[1]"), paths)
    with pytest.raises(BuildError, match=r"/root/\.pyenv/versions"):
        check_leaks(write(tmp_path, "b", b"/root/.pyenv/versions/3.12/lib"), paths)


def test_strings_of_the_prefix_are_listed_by_file(tmp_path: Path) -> None:
    data = f"\0{PREFIX}/share/proj\0{PREFIX}/lib/engines-3\0{PREFIX}/share/proj\0".encode()
    write(write(tmp_path, "b.so", data), "a.so", b"nothing")
    assert prefix_strings(tmp_path, PREFIX) == [
        Found(path="b.so", text=f"{PREFIX}/share/proj"),
        Found(path="b.so", text=f"{PREFIX}/lib/engines-3"),
    ]


def test_all_of_them_are_one_line() -> None:
    found = [Found(path="a.so", text=f"{PREFIX}/share/proj"), Found(path="a.so", text=PREFIX),
             Found(path="b.so", text=f"{PREFIX}///lib\\engines-3")]  # fmt: skip
    words = in_words(found, PREFIX)
    assert words.startswith("3 paths below ") and "in 2 files; nothing is asked before 2" in words


def test_what_a_locked_package_holds_is_not_of_this_machine(tmp_path: Path) -> None:
    write(tmp_path, "host.libs/libkrb5.so", data := b"/Users/runner/miniforge3/conda-bld/krb5/work")
    machine = machine_paths([Path("/Users/runner")])
    check_leaks(tmp_path, machine, {"host.libs/libkrb5.so"})
    with pytest.raises(BuildError) as caught:
        check_leaks(write(tmp_path, "terrain/_x.so", data), machine, {"host.libs/libkrb5.so"})
    assert [fault.where for fault in caught.value.faults] == ["terrain/_x.so"]


@pytest.mark.parametrize(
    ("text", "words"),
    [("/share/proj", "PROJ"), ("/share/gdal/x", "GDAL_DATA"), ("/ssl/cacert.pem", "CA"),
     ("/lib/gdalplugins", "GDAL_DRIVER_PATH"), ("//\\Library\\share/gdal", "GDAL_DATA"),
     ("/lib/engines-3", ""), ("", "")],
)  # fmt: skip
def test_what_is_asked_before_a_path_of_the_prefix(text: str, words: str) -> None:
    found = overridden_by(f"x={PREFIX}{text}", PREFIX)
    assert words in found and bool(words) == bool(found)

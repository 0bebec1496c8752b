"""Paths of code in a library's data, and what is written over them."""

from pathlib import Path

import pytest

from geowheel.errors import BuildError
from geowheel.systems.module_folders import CodeText, code_texts, overwrite

PREFIX = "/usr/lib/geowheel-native-prefix"
DEBIAN = "/usr/lib/x86_64-linux-gnu"


def found(*texts: str) -> list[CodeText]:
    return code_texts([b"\0" + b"\0".join(map(str.encode, texts)) + b"\0"], PREFIX)


@pytest.mark.parametrize(
    ("text", "begins", "ends"),
    [
        ("/usr/lib/ogdi/4.1/lib%s.so", "$ORIGIN/", "/ogdi/4.1/lib%s.so"),
        (f"{DEBIAN}/libmariadb3/plugin", "$ORIGIN/", "/libmariadb3/plugin"),
        (f"{PREFIX}/lib/ossl-modules", "$ORIGIN/", "/ossl-modules"),
        (f"{PREFIX}/lib/engines-3", "/sys/", "/engines-3"),
        ("/etc/sasl2:/usr/lib/sasl2", "/etc/sasl2:/sys/", "/sasl2"),
        ("/usr/local/hdf5/lib/plugin", "/sys/", "/plugin"),
        ("/usr/lib////////lib/plugin", "/sys/", "/lib/plugin"),  # as the linker writes it
        ("/usr/share/p11-kit/modules", "/sys/", "/modules"),
        ("/usr/lib64/odbc", "/usr/lib64/odbc", ""),
    ],
)
def test_a_known_path_leads_into_the_wheel_or_nowhere(text: str, begins: str, ends: str) -> None:
    (item,) = found(text)
    assert item.text == text and len(item.written) == len(text)
    assert item.written.startswith(begins) and item.written.endswith(ends)
    assert item.paths[0].known is not None


def test_an_unknown_one_is_told_and_what_is_no_code_is_none() -> None:
    unknown = (
        "/opt/toy/libtoy.so.1",
        "/usr/lib/toys/1.0",
        f"{PREFIX}/lib/toys/%s",
        "/lib/ogdi/4.1",
    )
    items = found(*unknown, "lib%s.so", "/usr/share/proj", "see /usr/lib/toys", "/usr/lib/a.conf")
    assert {item.text for item in items} == set(unknown)
    assert all(path.known is None for item in items for path in item.paths)


def test_only_the_whole_string_is_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "lib.so"
    file.write_bytes(b"\0-I/usr/lib/sasl2\0/usr/lib/sasl2\0")
    overwrite(file, {"/usr/lib/sasl2": "/sys/////sasl2"})
    assert file.read_bytes() == b"\0-I/usr/lib/sasl2\0/sys/////sasl2\0"
    with pytest.raises(BuildError, match="has no /usr/lib/sasl2 any more"):
        overwrite(file, {"/usr/lib/sasl2": "/sys/////sasl2"})


def test_a_library_that_is_opened_by_a_name_alone_is_closed_in_as_many_letters() -> None:
    (closed,) = found("libharfbuzz.so.0", "libharfbuzz.so", "libgdal.so.39")
    assert (closed.text, closed.written) == ("libharfbuzz.so.0", "/ibharfbuzz.so.0")
    assert closed.paths[0].known is not None and closed.paths[0].known.closed

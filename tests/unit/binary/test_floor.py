"""The newest runtime versions that a bundle needs, and what forces them."""

import pytest
from tests.support.binaries import elf

from geowheel.binary.floor import floor, parse_version

C, M, CXX, Z = "libc.so.6", "libm.so.6", "libstdc++.so.6", "libz-1.so.1"
BUNDLE = {
    "b.so": elf(versions={C: ("GLIBC_2.9", "GLIBC_2.35"), CXX: ("GLIBCXX_3.4.30", "CXXABI_1.3.9")}),
    "a.so": elf(versions={M: ("GLIBC_2.35",), CXX: ("GLIBCXX_3.4.9", "CXXABI_FLOAT128")}),
    "c.so": elf(versions={C: ("GLIBC_2.4", "GLIBC_PRIVATE"), Z: ("GLIBC_9.9",)}),
}


def test_the_newest_of_each_family_and_who_forces_it() -> None:
    found = floor(BUNDLE)
    assert [str(requirement) for requirement in found] == [
        "GLIBC_2.35",
        "GLIBCXX_3.4.30",
        "CXXABI_1.3.9",
    ]
    assert found[0].paths == ("a.so", "b.so")


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("GLIBC_2.2.5", ("GLIBC", (2, 2, 5))),
        ("GCC_12.0.0", ("GCC", (12, 0, 0))),
        ("GLIBC_ABI_DT_RELR", ("GLIBC", (2, 36))),
        ("GLIBC_PRIVATE", None),
        ("GLIBCXX_LDBL_3.4", None),
        ("ZLIB_1.2.9", None),
    ],
)
def test_version_names(name: str, parsed: tuple[str, tuple[int, ...]] | None) -> None:
    assert parse_version(name) == parsed

"""The newest runtime versions that a bundle needs, and what forces them."""

from __future__ import annotations

import pytest

from geowheel.binary.elf import Elf, Relro
from geowheel.binary.floor import floor, parse_version


def elf(**versions: tuple[str, ...]) -> Elf:
    return Elf(
        machine="EM_X86_64",
        bits=64,
        soname=None,
        needed=(),
        rpath=(),
        runpath=(),
        versions={LIBRARIES[key]: names for key, names in versions.items()},
        bind_now=True,
        relro=Relro.FULL,
        executable_stack=False,
        symbols=False,
        debug=False,
    )


LIBRARIES = {"c": "libc.so.6", "m": "libm.so.6", "cxx": "libstdc++.so.6", "z": "libz-1.so.1"}
BUNDLE = {
    "b.so": elf(c=("GLIBC_2.9", "GLIBC_2.35"), cxx=("GLIBCXX_3.4.30", "CXXABI_1.3.9")),
    "a.so": elf(m=("GLIBC_2.35",), cxx=("GLIBCXX_3.4.9", "CXXABI_FLOAT128")),
    "c.so": elf(c=("GLIBC_2.4", "GLIBC_PRIVATE"), z=("GLIBC_9.9",)),
}


def test_the_newest_of_each_family_and_who_forces_it() -> None:
    found = floor(BUNDLE, {"a.so": "proj"})
    assert [str(requirement) for requirement in found] == [
        "GLIBC_2.35",
        "GLIBCXX_3.4.30",
        "CXXABI_1.3.9",
    ]
    assert [(f.path, f.package) for f in found[0].forced_by] == [("a.so", "proj"), ("b.so", "")]
    assert found[0].packages == ("b.so", "proj")


def test_nothing_needed_is_no_floor() -> None:
    assert floor({"x.so": elf()}) == ()


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

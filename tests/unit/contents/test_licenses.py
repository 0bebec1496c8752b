"""Packages under the GPL: named with what brings them in, refused, or accepted with a reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.support.hosts import make_package, make_step

from geowheel.contents.licenses import LicenseGate
from geowheel.contents.restricted import Restricted, by_driver, license_faults, unaccepted
from geowheel.contents.ways import LoadWay, brought_by, find_ways
from geowheel.errors import BuildError
from geowheel.locks.assets import Package
from geowheel.systems.contract import Bundled, RepairedTree

PLUGINS = "osgeo/_plugins"


@dataclass(frozen=True)
class Needing:
    """A compiled file that needs others."""

    needed: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ("x86_64",)
    leftovers: tuple[str, ...] = ()


def tree(files: Mapping[str, Sequence[str]]) -> RepairedTree:
    """A wheel of these files, each with what it needs; a library's copy is named `LIB-0.so.1`."""
    return RepairedTree(
        tree=Path("tree"), filename="host-1.0-py3-none-any.whl", platform_tag="any",
        bundled=tuple(
            Bundled(soname=f"{path[10:-7]}.so.1", source=f"{path[10:-7]}.so.1.2", path=path)
            for path in files if path.startswith("host.libs/")
        ),
        binaries={path: Needing(tuple(needed)) for path, needed in files.items()},
    )  # fmt: skip


def lib(name: str) -> str:
    return f"host.libs/{name}-0.so.1"


WHEEL = tree(
    {
        "osgeo/_gdal.so": ["libgdal-0.so.1", "libc.so.6"],
        "osgeo/_extra.so": ["@loader_path/../host.libs/libown-0.so.1"],
        f"{PLUGINS}/gdal_HDF5.so": ["libgdal-0.so.1", "libhdf5-0.so.1"],
        f"{PLUGINS}/ogr_PG.so": ["libgdal-0.so.1", "libpq-0.so.1"],
        lib("libgdal"): [
            "libpoppler-0.so.1", "libheif-0.so.1", "libtiff-0.so.1", "libproj-0.so.1",
        ],
        lib("libpoppler"): ["LIBTIFF-0.so.1", "liblcms2-0.so.1", "libpoppler-0.so.1"],
        lib("libheif"): ["libx265-0.so.1"],
        lib("libtiff"): ["libjbig-0.so.1"],
        lib("libproj"): ["libtiff-0.so.1"],
        lib("libhdf5"): ["libsz-0.so.1"],
        lib("libpq"): ["libgdal-0.so.1"],
        **{lib(name): [] for name in ("liblcms2", "libx265", "libjbig", "libsz", "libown")},
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([lib("libpoppler")], "driver PDF"),
        ([lib("libx265")], "driver HEIF"),
        ([lib("liblcms2"), lib("libx265")], "drivers HEIF, PDF"),
        ([lib("libjbig")], "through libgdal > libtiff"),  # the driver PDF is not alone with it
        ([lib("libjbig"), lib("libx265")], "through libgdal > libtiff"),
        ([lib("libsz")], "drivers HDF5, HDF5Image"),
        ([f"{PLUGINS}/ogr_PG.so", lib("libpq")], "driver PG"),  # its package is in no table
        ([lib("libown")], "through _extra"),
        ([lib("libgdal"), "osgeo/gdal.py"], "through libgdal"),
        (["osgeo/_data/z.txt", "osgeo/_data/cacert.pem"], "osgeo/_data/cacert.pem"),
    ],
)
def test_what_brings_a_package_in(files: Sequence[str], expected: str) -> None:
    ways = find_ways(WHEEL, PLUGINS, {f"{PLUGINS}/gdal_HDF5.so": "libgdal-hdf5"})
    assert brought_by(files, ways) == expected


def package(name: str, license: str) -> Package:
    return replace(make_package(name), license=license)


STACK = {
    package("zlib", "Zlib"): ["z"],
    package("poppler", "GPL-2.0-only OR GPL-3.0-only"): ["poppler"],
    package("x265", "GPL-2.0"): ["x265"],
    package("jbig", "AGPL-3.0-only AND MIT"): ["jbig"],
    package("lcms2", "GPL-3.0-only"): ["lcms2"],
}
WAYS = {
    "z": [LoadWay(1, "through libgdal > libz", ())],
    "poppler": [LoadWay(1, "through libgdal > libpoppler", ("PDF",))],
    "x265": [LoadWay(2, "through libgdal > libheif", ("AVIF", "HEIF"))],
    "jbig": [
        LoadWay(3, "through libgdal > libproj", ()),
        LoadWay(2, "through libgdal > libtiff", ()),
    ],
    "lcms2": [LoadWay(2, "through libgdal > libpoppler", ("PDF",))],
}


def gate(*accept: str, refuse: tuple[str, ...] | None = None, locked: bool = False) -> LicenseGate:
    return LicenseGate(refuse=refuse, accept=accept, locked=locked)


def test_one_warning_names_them_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = gate("x2*").check(STACK, WAYS, make_step(tmp_path))
    assert [item.name for item in found] == ["jbig", "lcms2", "poppler", "x265"]
    assert by_driver(found) == (
        "driver PDF: lcms2 1 (GPL-3.0-only), poppler 1 (GPL-2.0-only)",
        "drivers AVIF, HEIF: x265 1 (GPL-2.0)",
        "through libgdal > libtiff: jbig 1 (AGPL-3.0-only)",
    )
    said = capsys.readouterr().err
    assert said.count("warning: packages under the GPL or a refused license") == 1
    assert "that nobody has accepted: 3\n" in said
    assert "driver PDF: lcms2 1" in said and "x265" not in said
    assert 'jbig = "the reason"' in said


def test_the_fix_names_every_build_that_does_without() -> None:
    fields = {"version": "1", "terms": "GPL-2.0-or-later", "brought_by": "driver SQLite"}
    (fault,) = license_faults([Restricted(name=name, **fields) for name in ("lzo", "librttopo")])
    assert [name for name in ("libspatialite", "libarchive") if name not in fault.fix] == []


@pytest.mark.parametrize(
    ("refuse", "locked", "accept", "named"),
    [
        (None, True, (), ["jbig", "lcms2", "poppler", "x265"]),
        (None, True, ("jbig", "*2*"), ["poppler"]),
        (None, True, ("*",), []),
        (None, False, (), []),
        (("GPL-*",), False, (), ["lcms2", "poppler", "x265"]),
        (("Zlib",), True, ("*e*",), ["zlib"]),
        ((), True, (), []),
    ],
)
def test_the_gate_is_strict_where_it_matters_or_was_asked_to_be(
    tmp_path: Path, refuse: tuple[str, ...] | None, locked: bool, accept: Sequence[str],
    named: Sequence[str],
) -> None:  # fmt: skip
    asked = gate(*accept, refuse=refuse, locked=locked)
    try:
        asked.check(STACK, WAYS, make_step(tmp_path))
        said = ""
    except BuildError as error:
        said = str(error)
    assert sorted(p.name for p in STACK if f"{p.name} 1 (" in said) == named


def test_refusing_nothing_accepts_nothing(tmp_path: Path) -> None:
    """`refuse` says what ends a build; only a reason settles what is open."""
    asked = gate(refuse=(), locked=True)
    found = asked.check(STACK, WAYS, make_step(tmp_path))
    assert [item.name for item in unaccepted(found, ())] == ["jbig", "lcms2", "poppler", "x265"]

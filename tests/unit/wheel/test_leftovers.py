"""The gate against what no user of a wheel needs: planted files and sections are named."""

from pathlib import Path

import pytest
from tests.support.binaries import elf

from geowheel.binary.elf import Elf
from geowheel.errors import BuildError
from geowheel.wheel.leftovers import check_leftovers

CONTENT = {".a": b"!<arch>\n", ".o": b"\x7fELF\2\1\1\0\0", ".obj": b"d\x86\2\0\0"}


def tree(root: Path, *paths: str) -> Path:
    for path in ("osgeo/__init__.py", "osgeo/_data/gdal/gdalvrt.xsd", *paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(CONTENT.get(Path(path).suffix, b"text"))
    return root


def test_a_wheel_as_it_should_be_passes(tmp_path: Path) -> None:
    # The name of a license, a shape, and what is no archive in spite of its name.
    licenses = "x-1.dist-info/licenses/bundled/libiconv/COPYING.LIB", "x-1.dist-info/licenses/a.h"
    check_leftovers(tree(tmp_path, *licenses, "x/y.lib"), {"host.libs/libgdal.so": elf()}, ())
    (tmp_path / "x/teapot.obj").write_text("v 0 0 0")
    check_leftovers(tmp_path, {}, ())


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("osgeo/_data/gdal/gdal.h", "a header"), ("osgeo/_data/gdal/cpl_port.HPP", "a header"),
        ("osgeo/_data/proj/libproj.a", "a static library"), ("x/y.obj", "an object file"),
        ("host.libs/libx.la", "a libtool archive"), ("osgeo/_plugins/x.o", "an object file"),
        ("osgeo/_data/gdal/gdal.pc", "a pkg-config file"),
    ],
)  # fmt: skip
def test_a_planted_file_is_named(tmp_path: Path, path: str, kind: str) -> None:
    with pytest.raises(BuildError, match=f"is {kind}") as caught:
        check_leftovers(tree(tmp_path, path), {}, ())
    (fault,) = caught.value.faults
    assert fault.where == path and f'exclude = ["{path}"]' in fault.fix


def test_a_hosts_own_headers_are_its_own_business(tmp_path: Path) -> None:
    own = ("terrain/include/terrain.h", "terrain/libterrain.a")
    with pytest.raises(BuildError) as caught:
        check_leftovers(tree(tmp_path, *own), {}, own)
    assert [fault.where for fault in caught.value.faults] == ["terrain/libterrain.a"]
    assert "the build backend has a setting" in caught.value.faults[0].fix


@pytest.mark.parametrize(
    ("planted", "left"),
    [
        (elf(debug=True), r"\.debug_\*"),
        (elf(symbols=True), r"\.symtab"),
        (elf(symbols=True, debug=True), r"\.debug_\* and \.symtab"),
    ],
)
@pytest.mark.parametrize("path", ["host.libs/libgdal-1.so", "terrain/_core.so"])
def test_an_unstripped_file_is_named(tmp_path: Path, planted: Elf, left: str, path: str) -> None:
    with pytest.raises(BuildError, match=f"still has {left}, which") as caught:
        check_leftovers(tree(tmp_path), {path: planted, "host.libs/libproj.so": elf()}, (path,))
    assert [fault.where for fault in caught.value.faults] == [path]


def test_all_of_it_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(BuildError) as caught:
        check_leftovers(tree(tmp_path, "a.a", "osgeo/b.la"), {"c.so": elf(debug=True)}, ())
    assert [fault.where for fault in caught.value.faults] == ["a.a", "osgeo/b.la", "c.so"]

"""The payload: the bootstrap's place in osgeo/__init__.py, and what is laid out or left out."""

import ast
import json
from pathlib import Path

import pytest
from tests.support.files import write_files, write_tar
from tests.support.hosts import make_native, make_places, make_step

from geowheel.digest import sha256_file
from geowheel.errors import BuildError
from geowheel.locks.assets import Asset
from geowheel.locks.channels import Mirrors
from geowheel.prefix.store import Store
from geowheel.project.places import patterns_of
from geowheel.records.ledger import MadeFolder
from geowheel.stages.inputs import ORIGINS, VendorInputs
from geowheel.stages.vendor import run, with_bootstrap
from geowheel.targets import Platform


def is_bootstrap(node: ast.stmt) -> bool:
    return ast.unparse(node) in ("from . import _geowheel", "_geowheel.configure()")


@pytest.mark.parametrize(
    "source",
    [
        "",
        "import sys, os\n",
        '#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n\n"""doc"""\n\nfrom . import _gdal\n',
        "'doc'\n# why\nfrom __future__ import annotations  # why\n\n__version__ = '3.10.2'\n",
        "from __future__ import (\n    annotations,\n    division,\n)  # two\na = 1; b = 2\n",
        "import sys\n'''a string, but no docstring'''\n",
        "\n   \n# a comment\nx = '''\n# no comment\n'''\nclass A: pass\n",
        "@property\ndef f(self):\n    '''doc'''\n",
        "try:\n    from . import _gdal\nexcept ImportError:\n    raise\n",
        '"""a\x0cb\n\n\x0cc\n"""\nimport sys\n',
        '"""no newline at the end"""',
        '"""a\u2028b"""\nimport sys\n',
        '"""\x1ex"""\nfrom __future__ import annotations\n',
    ],
)
def test_the_bootstrap_is_the_first_to_act_and_nothing_else_changes(source: str) -> None:
    text = with_bootstrap(source)
    compile(text, "osgeo/__init__.py", "exec")  # minds __future__'s place
    tree = ast.parse(text)
    assert ast.get_docstring(tree) == ast.get_docstring(ast.parse(source))
    before = tree.body[: [is_bootstrap(node) for node in tree.body].index(True)]
    if ast.get_docstring(tree) is not None:
        before = before[1:]
    assert all(isinstance(n, ast.ImportFrom) and n.module == "__future__" for n in before)
    assert [is_bootstrap(node) for node in tree.body].count(True) == 2
    tree.body = [node for node in tree.body if not is_bootstrap(node)]
    assert ast.dump(tree) == ast.dump(ast.parse(source))


SDIST = {
    "PKG-INFO": "Name: GDAL\n",
    "osgeo/__init__.py": '"""osgeo"""\nimport sys\n',
    "osgeo/gdal.py": "from osgeo import gdalconst\n",
    "gdal-utils/osgeo_utils/gdal_calc.py": "def main(): pass\n",
    "gdal-utils/scripts/gdal_calc.py": "from osgeo_utils.gdal_calc import main\n",
    "gdal-utils/osgeo_utils/__init__.py": "",
    "gdal-utils/osgeo_utils/samples/big.py": "import osgeo\n",
    "extensions/gdal_wrap.cpp": "",
}
STACK = {
    "share/gdal/gdalvrt.xsd": "libgdal-core",
    "share/gdal/header.dxf": "libgdal-core",
    "share/proj/proj.db": "proj",
    "ssl/cacert.pem": "ca-certificates",
    "lib/gdalplugins/gdal_HDF5.so": "libgdal-hdf5",
    "lib/gdalplugins/gdal_PDF.so": "libgdal-pdf",
    "lib/gdalplugins/drivers.ini": "libgdal-core",
    "bin/gdalinfo": "libgdal-core",
    "bin/ogr2ogr": "libgdal-core",
    "bin/gdal-config": "libgdal-core",
    "bin/projinfo": "proj",
}
GRID = "share/proj/us_noaa_alaska.tif"


def make_inputs(root: Path, *, exclude: tuple[str, ...] = (), stack: set[str] | None = None,
                import_package: str = "osgeo", programs: tuple[str, ...] | None = None,
                grids: tuple[str, ...] | None = None, **places: str) -> VendorInputs:  # fmt: skip
    """A prefix, bindings and a store with GDAL's sdist; grids in the prefix unless None."""
    files = {path: name for path, name in STACK.items() if stack is None or path in stack}
    files |= {} if grids is None else {GRID: "proj-data"}
    # gdal-config is a script, the others are compiled.
    text = {path: "\x7fELF" if path.startswith("bin/") else "content" for path in files}
    write_files(root / "fetch" / "prefix", text | {"bin/gdal-config": "#!/bin/sh"})
    owned: dict[str, list[str]] = {"libgdal-core": []}
    for path, name in files.items():
        owned.setdefault(name, []).append(path)
    make_native(owned).write(root / "fetch")
    write_files(root / "modules", {"_gdal.cpython-312.so": "elf"})
    packed = write_tar(root / "sdist", {f"gdal-3.10.2/{path}": SDIST[path] for path in SDIST})
    url = "https://x.invalid/gdal-3.10.2.tar.gz"
    sdist = Asset(name="gdal", version="3.10.2", url=url, sha256=sha256_file(packed))
    store = Store(folder=root / "store", mirrors=Mirrors())
    write_files(store.path(sdist).parent, {store.path(sdist).name: packed.read_bytes()})
    made = make_places(import_package, **places)
    return VendorInputs(
        platform=Platform.LINUX_64,
        prefix=MadeFolder(folder=root / "fetch" / "prefix", content=""),
        bindings=MadeFolder(folder=root / "modules", content=""),
        gdal_sdist=sdist, places=made, plugins=("libgdal-hdf5",),
        programs=patterns_of(programs, made.layout), grids=grids or (), exclude=exclude,
        store=store,
    )  # fmt: skip


def payload(inputs: VendorInputs, root: Path) -> list[str]:
    """The payload's files."""
    commands(inputs, root)
    folder = root / "made"
    assert [path.name for path in sorted(folder.iterdir())] == [ORIGINS, "payload"]
    paths = (folder / "payload").rglob("*")
    return sorted(p.relative_to(folder / "payload").as_posix() for p in paths if p.is_file())


def commands(inputs: VendorInputs, root: Path) -> dict[str, str]:
    """The payload's console commands."""
    folder = root / "made"
    folder.mkdir()
    return dict(run(inputs, folder, make_step(root)).facts.commands)


EVERYTHING = [
    "osgeo/__init__.py", "osgeo/_data/cacert.pem",
    "osgeo/_data/gdal/gdalvrt.xsd", "osgeo/_data/gdal/header.dxf", "osgeo/_data/proj/proj.db",
    "osgeo/_gdal.cpython-312.so", "osgeo/_geowheel.py", "osgeo/_plugins/drivers.ini",
    "osgeo/_plugins/gdal_HDF5.so", "osgeo/_programs/gdalinfo", "osgeo/_programs/ogr2ogr",
    "osgeo/_pyinstaller/hook-osgeo._geowheel.py", "osgeo/gdal.py", "osgeo_utils/__init__.py",
    "osgeo_utils/_geowheel_programs.py",
    "osgeo_utils/gdal_calc.py", "osgeo_utils/samples/big.py",
]  # fmt: skip
WITHOUT_PROGRAMS = [path for path in EVERYTHING if "_programs" not in path]


def test_the_payload_is_modules_data_plugins_and_bootstrap(tmp_path: Path) -> None:
    assert payload(make_inputs(tmp_path), tmp_path) == EVERYTHING
    init = (tmp_path / "made" / "payload" / "osgeo" / "__init__.py").read_text()
    assert init.splitlines()[1].startswith("from . import _geowheel")
    program = tmp_path / "made" / "payload" / "osgeo" / "_programs" / "gdalinfo"
    assert program.stat().st_mode & 0o777 == 0o755


def test_what_each_file_is_from_stands_beside_the_payload(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path, grids=("proj-data",), exclude=("*/gdal.py",))
    (inputs.prefix.folder / "share/gdal/mine.csv").write_text("put there by hand")
    found = payload(inputs, tmp_path)
    assert json.loads((tmp_path / "made" / ORIGINS).read_text()) == {
        **dict.fromkeys(found, "libgdal-core"),
        **dict.fromkeys((path for path in found if path.endswith((".py", "_gdal.cpython-312.so"))),
                        "GDAL bindings"),
        "osgeo/_pyinstaller/hook-osgeo._geowheel.py": "geowheel",
        "osgeo/_geowheel.py": "geowheel", "osgeo_utils/_geowheel_programs.py": "geowheel",
        "osgeo/_data/cacert.pem": "ca-certificates", "osgeo/_data/proj/proj.db": "proj",
        f"osgeo/_data/proj/{GRID.rpartition('/')[2]}": "proj-data",
        "osgeo/_plugins/gdal_HDF5.so": "libgdal-hdf5",
    }  # fmt: skip
    assert "osgeo/_data/gdal/mine.csv" not in found


def test_the_package_may_lie_deeper_and_imports_itself(tmp_path: Path) -> None:
    found = payload(make_inputs(tmp_path, import_package="a.b.osgeo"), tmp_path)
    deeper = (f"a/b/{path.replace('k-o', 'k-a.b.o')}" for path in WITHOUT_PROGRAMS)
    assert found == sorted(["a/b/__init__.py", *deeper])
    made = tmp_path / "made" / "payload" / "a" / "b"
    assert (made / "osgeo" / "gdal.py").read_text() == "from ..osgeo import gdalconst\n"
    assert (made / "osgeo_utils/samples/big.py").read_text() == "from ... import osgeo\n"


def test_layout_none_has_data_and_bootstrap_only(tmp_path: Path) -> None:
    made = make_inputs(tmp_path, import_package="pkg", proj_data="pkg/proj_data")
    assert payload(made, tmp_path) == [
        "pkg/_data/cacert.pem", "pkg/_data/gdal/gdalvrt.xsd", "pkg/_data/gdal/header.dxf",
        "pkg/_geowheel.py", "pkg/_plugins/drivers.ini", "pkg/_plugins/gdal_HDF5.so",
        "pkg/_pyinstaller/hook-pkg._geowheel.py", "pkg/proj_data/proj.db",
    ]  # fmt: skip


def test_what_is_not_private_may_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SDIST, "gdal-utils/osgeo_utils/odd.py", "\n__import__('osgeo.gdal')\n")
    with pytest.raises(BuildError, match=r"osgeo_utils/odd\.py:2") as caught:
        payload(make_inputs(tmp_path / "1", import_package="a.b.osgeo"), tmp_path / "1")
    (fault,) = caught.value.faults
    said = fault.fix.split('"')[1]  # what the message suggests does it
    inputs = make_inputs(tmp_path / "2", import_package="a.b.osgeo", exclude=(said,))
    assert "a/b/osgeo_utils/odd.py" not in payload(inputs, tmp_path / "2")


@pytest.mark.parametrize(
    ("patterns", "gone"),
    [
        (("osgeo_utils/samples/*",), {"osgeo_utils/samples/big.py"}),
        (("*.dxf", "osgeo/_data/*.pem"), {"osgeo/_data/gdal/header.dxf", "osgeo/_data/cacert.pem"}),
        (("osgeo/gdal.p[xy]",), {"osgeo/gdal.py"}),
        (("gdal.py", "nothing/*"), set()),
    ],
)
def test_patterns_drop_files(tmp_path: Path, patterns: tuple[str, ...], gone: set[str]) -> None:
    found = payload(make_inputs(tmp_path, exclude=patterns), tmp_path)
    assert set(EVERYTHING) - set(found) == gone


@pytest.mark.parametrize("missing", ["share/gdal/gdalvrt.xsd", "share/proj/proj.db"])
def test_a_stack_without_its_data_is_named(tmp_path: Path, missing: str) -> None:
    inputs = make_inputs(tmp_path, stack=set(STACK) - {missing})
    with pytest.raises(BuildError, match=f"the native stack has no {missing}"):
        payload(inputs, tmp_path)


def test_a_stack_without_certificates_or_plugins_has_a_payload(tmp_path: Path) -> None:
    # Without plugins, their order is nobody's business.
    stack = {path for path in STACK if path.startswith("share/") or path.endswith(".ini")}
    found = payload(make_inputs(tmp_path, stack=stack), tmp_path)
    assert set(EVERYTHING) - set(found) == {
        "osgeo/_data/cacert.pem", "osgeo/_plugins/drivers.ini", "osgeo/_plugins/gdal_HDF5.so",
        "osgeo/_programs/gdalinfo", "osgeo/_programs/ogr2ogr",
        "osgeo_utils/_geowheel_programs.py",
    }  # fmt: skip


LAUNCHER = "osgeo_utils._geowheel_programs"


@pytest.mark.parametrize(
    ("package", "patterns", "expected"),
    [
        ("osgeo", None, {
            "gdal_calc": "osgeo_utils.gdal_calc:main", "gdal_calc.py": "osgeo_utils.gdal_calc:main",
            "gdalinfo": f"{LAUNCHER}:gdalinfo", "ogr2ogr": f"{LAUNCHER}:ogr2ogr",
        }),
        ("a.b.osgeo", None, {}),
        ("pkg", None, {}),
        ("osgeo", ("ogr*",), {"ogr2ogr": f"{LAUNCHER}:ogr2ogr"}),
        ("osgeo", (), {}),
        ("a.b.osgeo", ("gdalinfo", "gdal_calc"), {
            "gdalinfo": f"a.b.{LAUNCHER}:gdalinfo", "gdal_calc": "a.b.osgeo_utils.gdal_calc:main",
        }),
        ("pkg", ("gdalinfo",), {"gdalinfo": "pkg._geowheel_programs:gdalinfo"}),
    ],
)  # fmt: skip
def test_patterns_choose_commands_in_every_layout(
    tmp_path: Path, package: str, patterns: tuple[str, ...] | None, expected: dict[str, str]
) -> None:
    inputs = make_inputs(tmp_path, import_package=package, programs=patterns)
    assert commands(inputs, tmp_path) == expected
    made = tmp_path / "made" / "payload"
    programs = {path.name for path in made.rglob("_programs/*")}
    assert programs == {name for name, where in expected.items() if "_geowheel" in where}


@pytest.mark.parametrize(
    ("pattern", "remedy"),
    [
        ("gdalifno", "did you mean gdalinfo?"),
        ("raster*", "name some of these: gdal_calc, gdal_calc.py, gdalinfo, ogr2ogr"),
    ],
)
def test_a_pattern_without_a_match(tmp_path: Path, pattern: str, remedy: str) -> None:
    with pytest.raises(BuildError, match="is not one of GDAL's commands") as caught:
        commands(make_inputs(tmp_path, programs=("ogr*", pattern)), tmp_path)
    assert repr(pattern) in str(caught.value) and remedy in str(caught.value)
    assert "projinfo" not in str(caught.value) and "gdal-config" not in str(caught.value)


def test_what_is_excluded_is_no_command(tmp_path: Path) -> None:
    exclude = ("osgeo/_programs/ogr2ogr", "osgeo_utils/gdal_calc.py")
    found = commands(make_inputs(tmp_path, exclude=exclude), tmp_path)
    assert found == {"gdalinfo": f"{LAUNCHER}:gdalinfo"}
    without_launcher = make_inputs(tmp_path / "2", exclude=("osgeo_utils/*",))
    assert commands(without_launcher, tmp_path / "2") == {}


@pytest.mark.parametrize(
    ("grids", "there"), [(("proj-data",), True), (("own", "us_*"), True), (("own",), False)]
)
def test_grids_come_when_asked_for(tmp_path: Path, grids: tuple[str, ...], there: bool) -> None:
    found = payload(make_inputs(tmp_path, grids=grids), tmp_path)
    assert ("osgeo/_data/proj/us_noaa_alaska.tif" in found) is there
    assert "osgeo/_data/proj/proj.db" in found


def test_a_grid_that_is_nowhere_is_told(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"no grid de_\*[\s\S]*it has us_noaa_alaska.tif"):
        payload(make_inputs(tmp_path, grids=("de_*",)), tmp_path)

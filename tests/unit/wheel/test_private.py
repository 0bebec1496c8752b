"""Imports made relative: what they bind, what stays as it was, what is refused."""

import contextlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.files import write_files

from geowheel.errors import BuildError
from geowheel.wheel.private import make_private, rewritten, verify

INIT = PurePosixPath("osgeo/__init__.py")
MODULE = PurePosixPath("osgeo/gdal.py")
DEEP = PurePosixPath("osgeo_utils/samples/deep.py")

# osgeo/__init__.py of GDAL 3.6 to 3.13, shortened.
SWIG_HELPER = """
from sys import platform, version_info
def swig_import_helper():
    import importlib
    from os.path import dirname, basename
    mname = basename(dirname(__file__)) + '._gdal'
    try:
        return importlib.import_module(mname)
    except ImportError:
        return importlib.import_module('_gdal')


_gdal = swig_import_helper()
del swig_import_helper
"""
SWIG_MODULE = """
if __package__ or "." in __name__:
    from . import _gdal
else:
    import _gdal
"""


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import osgeo", "from .. import osgeo"),
        ("import osgeo as o", "from .. import osgeo as o"),
        ("import osgeo.gdal as g", "from ..osgeo import gdal as g"),
        ("import osgeo.gdal",
         "from ..osgeo.gdal import __name__ as osgeo; from .. import osgeo"),
        ("from osgeo import gdal", "from ..osgeo import gdal"),
        ("from osgeo.gdal import *  # all", "from ..osgeo.gdal import *  # all"),
        ("from osgeo.gdal_array import x as y, z", "from ..osgeo.gdal_array import x as y, z"),
        ("from osgeo_utils.a.b import c", "from ..osgeo_utils.a.b import c"),
        ("import os, osgeo, sys as s, re", "import os; from .. import osgeo; import sys as s, re"),
        ("if x: import osgeo; y = 1", "if x: from .. import osgeo; y = 1"),
        ("é = 'é'; from osgeo import ogr", "é = 'é'; from ..osgeo import ogr"),
        ("from osgeo import (\n    gdal,  # one\n    ogr,\n)",
         "from ..osgeo import (\n    gdal,  # one\n    ogr,\n)"),
        ("from \\\n  osgeo import gdal", "from \\\n  ..osgeo import gdal"),
        ("import os, \\\n   osgeo  # why\nx = 1",
         "import \\\nos; from .. import osgeo  # why\nx = 1"),
        ("def f():\n  try:\n    from osgeo import gdal\n  except ImportError:\n    pass",
         "def f():\n  try:\n    from ..osgeo import gdal\n  except ImportError:\n    pass"),
        ("x = 1\r\nfrom osgeo import gdal\r\n", "x = 1\r\nfrom ..osgeo import gdal\r\n"),
        ("'''a\x0cb'''\nfrom osgeo import gdal", "'''a\x0cb'''\nfrom ..osgeo import gdal"),
        ("import importlib\nimportlib.import_module('osgeo.ogr')",
         "import importlib\nimportlib.import_module('..osgeo.ogr', package=__package__)"),
        ("x = importlib.util.find_spec('osgeo.gdal_array')",
         "x = importlib.util.find_spec('..osgeo.gdal_array', package=__package__)"),
        ("x.__module__ == 'osgeo.gdal' or __package__ == 'osgeo'",
         "x.__module__ == (__package__ + '.gdal') or __package__ == (__package__)"),
        ("import_module(name=f'osgeo.{\"gdal\"}')",
         "import_module(name='..osgeo.gdal', package=__package__)"),
    ],
)  # fmt: skip
def test_an_absolute_import_becomes_relative(source: str, expected: str) -> None:
    assert rewritten(source, MODULE) == expected
    verify(expected, MODULE)


@pytest.mark.parametrize(
    "source",
    [
        SWIG_MODULE,
        "from . import _gdal",
        "from .gdal import Open",
        "import os.path, numpy",
        "import osgeography",
        "from osgeo4w import x",
        "'''\n>>> from osgeo import gdal\n'''",
        "# import osgeo\nosgeo = 3",
        "import importlib\nimportlib.import_module('numpy')",
        "import importlib\nimportlib.import_module(__package__ + '._gdal')",
        "import importlib\nimportlib.import_module('._gdal', __package__)",
        "__import__('numpy')",
        "sys.modules['numpy']; sys.modules.get('numpy')",
    ],
)
def test_what_is_no_absolute_import_of_osgeo_stays(source: str) -> None:
    assert rewritten(source, MODULE) == source


def test_the_helper_of_swig_imports_its_own_module() -> None:
    found = rewritten(SWIG_HELPER, INIT)
    call = "importlib.import_module('..osgeo._gdal', package=__package__)"
    assert found.count(call) == 2
    assert found.count("\n") == SWIG_HELPER.count("\n")


@pytest.mark.parametrize(
    "source",
    [
        "__import__('osgeo.gdal')",
        "builtins.__import__('osgeo')",
        "for name in ('osgeo.gdal', 'numpy'):\n importlib.import_module(name)",
        "def f(name):\n return importlib.import_module(name)",
        "name = 'numpy'\nname = 'osgeo'\nimportlib.import_module(name)",
        "import_module('.gdal', 'osgeo')",
        "import_module('.gdal', package)",
        "import_module('osgeo.gdal', None)",
        "import_module()",
        "from importlib import import_module as load\nload(x)",
        "map(importlib.import_module, names)",
        "load = __import__",
        "importlib.util.find_spec('osgeo', None)",
        "PathFinder.find_spec('osgeo')",
        "x.__module__ == 'osgeo_utils.a'",
        "runpy.run_module('osgeo_utils.gdal_calc')",
        "sys.modules['osgeo.gdal']",
        "sys.modules.get('osgeo')",
        "name = name + 'x'\nimport_module(name)",
    ],
)
def test_what_cannot_be_made_relative_is_refused_with_its_line(source: str) -> None:
    lines = source.count("\n") + 3
    with pytest.raises(BuildError) as caught:
        rewritten(f"import os\n\n{source}\n", MODULE)
    (fault,) = caught.value.faults
    assert fault.where == f"osgeo/gdal.py:{lines}"
    assert fault.cause and "exclude" in fault.fix


@pytest.mark.parametrize(
    "source",
    ["import osgeo", "import a, osgeo.gdal", "from osgeo import x", "import_module('osgeo')"],
)
def test_the_verifier_finds_what_is_left(source: str) -> None:
    with pytest.raises(BuildError, match=r"osgeo/gdal\.py:2: an absolute import of osgeo is left"):
        verify(f"\n{source}\n", MODULE)


def test_a_folder_is_rewritten_byte_by_byte(tmp_path: Path) -> None:
    latin = "# -*- coding: latin-1 -*-\n# é\nfrom osgeo import gdal\n".encode("latin-1")
    marked = b"\xef\xbb\xbffrom osgeo import gdal\r\n"
    root = write_files(
        tmp_path, {"osgeo/latin.py": latin, "osgeo/gdal.pyi": marked, "osgeo/a.py": b"\f"}
    )
    assert make_private(root) == 2
    expected = latin.replace(b"from osgeo", b"from ..osgeo")
    assert (root / "osgeo/latin.py").read_bytes() == expected
    assert (root / "osgeo/gdal.pyi").read_bytes() == b"\xef\xbb\xbffrom ..osgeo import gdal\r\n"
    assert make_private(root) == 0


def test_every_fault_is_reported_and_nothing_changed(tmp_path: Path) -> None:
    files = {
        "osgeo/a.py": b"import osgeo\n",
        "osgeo/b.py": b"__import__('osgeo')\n",
        "osgeo_utils/c.py": b"\nprint 'old'\n",
        "osgeo_utils/d.py": b"# \xff\n",
    }
    root = write_files(tmp_path, files)
    with pytest.raises(BuildError) as caught:
        make_private(root)
    assert [fault.where for fault in caught.value.faults] == [
        "osgeo/b.py:1", "osgeo_utils/c.py:2", "osgeo_utils/d.py",
    ]  # fmt: skip
    assert {path: (root / path).read_bytes() for path in files} == files


MODULES = ("osgeo", "osgeo.gdal", "osgeo.ogr", "osgeo_utils", "osgeo_utils.samples",
           "osgeo_utils.samples.one", "osgeo_utils.auxiliary.base")  # fmt: skip
OTHERS = ("math", "os.path", "json.decoder")
ALIASES = st.sampled_from(["", " as g", " as osgeo", " as other"])
SPACE = st.sampled_from([" ", "  ", " \\\n ", "\t"])


@st.composite
def plain_imports(draw: st.DrawFn) -> str:
    names = draw(st.lists(st.tuples(st.sampled_from(MODULES + OTHERS), ALIASES), min_size=1))
    comma = "," + draw(SPACE)
    return f"import{draw(SPACE)}{comma.join(name + alias for name, alias in names)}"


@st.composite
def from_imports(draw: st.DrawFn) -> str:
    module = draw(st.sampled_from(MODULES))
    below = [name.rpartition(".")[2] for name in MODULES if name.rpartition(".")[0] == module]
    names = ["here", "there", *below]
    chosen = draw(st.lists(st.tuples(st.sampled_from(names), ALIASES), min_size=1))
    listed = [name + alias for name, alias in chosen]
    what = draw(
        st.sampled_from(["*", ", ".join(listed), "(\n  " + ",  # why\n  ".join(listed) + ",\n)"])
    )
    return f"from{draw(SPACE)}{module}{draw(SPACE)}import{draw(SPACE)}{what}"


STATEMENTS = st.lists(plain_imports() | from_imports(), min_size=1, max_size=4)


@contextlib.contextmanager
def loadable(root: Path) -> Iterator[None]:
    """Fake packages can be imported from `root`; nothing of them stays."""
    before = set(sys.modules)
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(root))
        for name in set(sys.modules) - before:
            del sys.modules[name]


@pytest.fixture(scope="module")
def fakes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same modules twice: at the top level, and below host._vendor."""
    root = tmp_path_factory.mktemp("fakes")
    files = {"host/__init__.py": b"", "host/_vendor/__init__.py": b""}
    folders = {name for name in MODULES if any(m.startswith(name + ".") for m in MODULES)}
    for name in (*MODULES, "osgeo_utils.auxiliary"):
        place = name.replace(".", "/")
        package = name in folders or name == "osgeo_utils.auxiliary"
        path = f"{place}/__init__.py" if package else f"{place}.py"
        text = f"here = 'here of {name}'\nthere = 'there of {name}'\n".encode()
        files |= {path: text, f"host/_vendor/{path}": text}
    return write_files(root, files)


def bound(root: Path, source: str, package: str) -> dict[str, object]:
    """What running a module in a package binds: modules by name, as if not vendored."""
    with loadable(root):
        importlib.import_module(package)
        module = types.ModuleType(package + ".deep")
        module.__package__ = package
        exec(compile(source, "deep.py", "exec"), vars(module))
        return {
            name: value.__name__.removeprefix("host._vendor.")
            if isinstance(value, types.ModuleType)
            else value
            for name, value in vars(module).items()
            if not name.startswith("__")
        }


@given(STATEMENTS)
def test_the_same_names_are_bound_to_the_same_things(fakes: Path, statements: list[str]) -> None:
    source = "\n".join(statements)
    found = rewritten(source, DEEP)
    package = "osgeo_utils.samples"
    with_host = bound(fakes, found, f"host._vendor.{package}")
    assert with_host == bound(fakes, source, package)

"""The texts that `geowheel init` writes. Pure; every line ends with a plain newline."""

import json
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from packaging.version import Version

from geowheel.contents.restricted import lgpl_builds
from geowheel.project.config import LIBSTDCXX
from geowheel.project.places import Layout
from geowheel.targets import Platform

# The first nox that makes an environment for a noxfile's own dependencies:
# https://nox.thea.codes/en/stable/CHANGELOG.html, 2025.02.09.
OLDEST_NOX: Final = "2025.2.9"
PREFIX: Final = "geowheel-"
IGNORED: Final = (".geowheel", ".nox", "dist")
_PLATFORMS: Final = (
    Platform.LINUX_64,
    Platform.LINUX_AARCH64,
    Platform.OSX_64,
    Platform.OSX_ARM64,
    Platform.WIN_64,
)

_PROBED_WITH_NUMPY: Final = "# NumPy, so that GDAL's arrays are probed as well.\n"
# docs/layouts.md shows this very module.
OSGEO_HELPER: Final = '''\
"""The one place where this package gets GDAL from: its own, or in a checkout the environment's."""

from importlib import import_module
from importlib.util import find_spec

_PRIVATE = find_spec(__package__ + "._vendor") and find_spec(__package__ + "._vendor.osgeo")
PACKAGE = __package__ + "._vendor.osgeo" if _PRIVATE else "osgeo"
gdal, ogr, osr = (import_module(PACKAGE + "." + name) for name in ("gdal", "ogr", "osr"))
'''


def geowheel_requirement(version: str) -> str:
    """Ask for this geowheel, or one that only mends: another one builds another wheel."""
    return f"geowheel~={Version(version).public}"


def script_metadata(version: str) -> str:
    """Return the PEP 723 block from which nox makes the environment that the noxfile runs in."""
    dependencies = toml_list([geowheel_requirement(version), f"nox>={OLDEST_NOX}"])
    return f'# /// script\n# requires-python = ">=3.11"\n# dependencies = {dependencies}\n# ///\n'


def noxfile(version: str) -> str:
    """Return a noxfile for a project that has none."""
    return script_metadata(version) + (
        '"""The sessions that make wheels with GDAL inside: `nox -l` lists them."""\n\n'
        "from geowheel.nox import sessions\n\nsessions()\n"
    )


def pixi(name: str) -> str:
    """Return a manifest for a project that has none."""
    return (
        f"[workspace]\nname = {toml_string(name)}\n"
        'channels = ["conda-forge"]\n'
        f"platforms = {toml_list(_PLATFORMS)}\n"
        'requires-pixi = ">=0.68"\n\n'
        "# The native stack of the wheel: libgdal-core and what it needs, the CA bundle. Add GDAL\n"
        "# driver plugins here and to plugins in [tool.geowheel].\n"
        '[dependencies]\nlibgdal-core = ">=3.6"\nca-certificates = "*"\n\n'
        "# The builds of these that do without libraries under the GPL.\n"
        + "".join(f"{line}\n" for line in lgpl_builds())
        + "\n# GCC's C++ headers, which the locked compiler compiles with on Linux."
        + "".join(
            f'\n[target.{platform}.dependencies]\n{LIBSTDCXX}_{platform} = "*"\n'
            for platform in _PLATFORMS[:2]
        )
    )


def tool_table(
    *,
    pythons: Iterable[str],
    layout: Layout,
    package: str,
    environment: str = "default",
    plugins: Sequence[str] = (),
    data: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return `[tool.geowheel]`; what has a fitting default is left to it."""
    lines = ["[tool.geowheel]", f"pythons = {toml_list(pythons)}"]
    lines.append(f"layout = {toml_string(layout)}")
    lines.append(f"import-package = {toml_string(package)}")
    if environment != "default":
        lines.append(f"environment = {toml_string(environment)}")
    if plugins:
        lines.append(f"plugins = {toml_list(plugins)}")
    if data:
        lines += ["", "# Where the package itself looks for them.", "[tool.geowheel.data]"]
        lines += [f"{key} = {toml_string(folder)}" for key, folder in data.items()]
    return "\n".join(lines) + "\n"


def build_table(requires: Sequence[str], sources: Sequence[str], switches: Sequence[str]) -> str:
    """Return `[tool.geowheel.build]`; nothing where nothing is required or set, and all is read."""
    lines = []
    if requires:
        lines += ["# What the build backend asks for when it is called."]
        lines += [f"requires = {toml_list(requires)}"]
    if sources:
        lines += ["# What the build does not read: a change of it compiles nothing."]
        lines += [f"sources = {toml_list(sources)}"]
    if switches:
        lines += ["# Without it the build makes a wheel of one Python, and no stable ABI."]
        values = ", ".join(f'{name} = "1"' for name in switches)
        lines += [f"environment = {{ {values} }}"]
    return "\n".join(["", "[tool.geowheel.build]", *lines, ""]) if lines else ""


def suggested_tests(requires: Iterable[str], folder: str) -> str:
    """Return `[tool.geowheel.test]` as a comment: only the project knows how its tests are run."""
    return (
        "\n# What the finished wheel has to pass in a clean environment, beside geowheel's own "
        "probes:\n# [tool.geowheel.test]\n"
        f"# requires = {toml_list(requires)}\n"
        f'# command = ["python", "-m", "pytest", "{{host}}/{folder}"]\n'
    )


def new_pyproject(name: str, package: str, table: str) -> str:
    """Return pyproject.toml of a package with a private GDAL."""
    return (
        '[build-system]\nrequires = ["hatchling>=1.27"]\nbuild-backend = "hatchling.build"\n\n'
        f'[project]\nname = {toml_string(name)}\nversion = "0.1.0"\nrequires-python = ">=3.11"\n\n'
        "[tool.hatch.build.targets.wheel]\n"
        f"packages = {toml_list([f'src/{package}'])}\n\n{table}\n"
        f'{_PROBED_WITH_NUMPY}[tool.geowheel.test]\nrequires = ["numpy>=2", "pytest>=8"]\n'
        'command = ["python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "{host}/tests"]\n'
    )


def new_gdal_pyproject(name: str, table: str) -> str:
    """Return pyproject.toml of a distribution that is GDAL itself and has no code of its own."""
    return (
        '[build-system]\nrequires = ["hatchling>=1.27"]\nbuild-backend = "hatchling.build"\n\n'
        f'[project]\nname = {toml_string(name)}\ndynamic = ["version"]\n'
        'requires-python = ">=3.11"\n\n'
        "# The version is the locked libgdal's: geowheel hands it over.\n"
        '[tool.hatch.version]\nsource = "env"\nvariable = "GEOWHEEL_HOST_VERSION"\n\n'
        "# There is nothing here for hatchling to pack: geowheel adds GDAL.\n"
        f"[tool.hatch.build.targets.wheel]\nbypass-selection = true\n\n{table}\n"
        '[tool.geowheel.release]\nversion = "gdal"\n\n'
        f'{_PROBED_WITH_NUMPY}[tool.geowheel.test]\nrequires = ["numpy>=2"]\n'
    )


def new_init(name: str) -> str:
    """Return `__init__.py` of a new package."""
    return (
        f'"""{name}: a package that carries a GDAL of its own."""\n\n'
        "from ._osgeo import gdal\n\n\n"
        "def gdal_version() -> str:\n"
        '    """The version of that GDAL, such as 3.12.3."""\n'
        '    return str(gdal.VersionInfo("RELEASE_NAME"))\n'
    )


def new_test(package: str) -> str:
    """Return the first test of a new package's wheel."""
    return (
        '"""What the finished wheel has to do; geowheel runs this in a clean environment."""\n\n'
        f"import {package}\nfrom {package} import _osgeo\n\n\n"
        "def test_its_gdal_is_its_own_and_finds_its_data() -> None:\n"
        f'    assert _osgeo.PACKAGE == "{package}._vendor.osgeo"\n'
        f'    assert {package}.gdal_version().startswith("3.")\n'
        "    reference = _osgeo.osr.SpatialReference()\n"
        "    assert reference.ImportFromEPSG(4326) == 0\n"
    )


def toml_list(items: Iterable[str]) -> str:
    """Return an array of strings."""
    return f"[{', '.join(toml_string(item) for item in items)}]"


def toml_string(text: str) -> str:
    """Return a basic string (https://toml.io/en/v1.0.0#string): JSON's, but for DEL."""
    return json.dumps(str(text), ensure_ascii=False).replace("\x7f", "\\u007f")

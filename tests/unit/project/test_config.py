from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.hosts import make_project

from geowheel.errors import ConfigError
from geowheel.project.config import Config
from geowheel.project.manifest import find_manifest
from geowheel.project.pyproject import read_host
from geowheel.targets import Platform

HEADERS = ("libstdcxx-devel_linux-64", "python-headers")
MINIMAL = """
[project]
name = "host"
requires-python = ">=3.11"
[tool.geowheel]
pythons = ["3.12"]
"""


def host(tmp_path: Path, text: str) -> Path:
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    return tmp_path


def faults(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_host(host(tmp_path, text))
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("table", "pixi", "channel", "wanted"),
    [
        ("", "", None, ()),
        ('plugins = ["libgdal-pg"]', "", "conda-forge", ("libgdal-pg",)),
        ("data = { grids = ['own', 'us_*'] }", "", None, ("proj-data",)),
        ("", f"{HEADERS[0]} = '*'", None, HEADERS),
        ("", "", "distro:forky", HEADERS),
        ("toolchain = 'zig'", "", None, HEADERS),
        ("toolchain = 'machine'", f"{HEADERS[0]} = '*'", "distro", ()),
    ],
)
def test_what_a_native_stack_has_beside_gdal(
    tmp_path: Path, table: str, pixi: str, channel: str | None, wanted: tuple[str, ...]
) -> None:
    project = replace(make_project(tmp_path, more=table), channel=channel)
    with project.manifest.path.open("a", encoding="utf-8") as file:
        file.write(pixi)
    project = replace(project, manifest=find_manifest(project.folder))
    assert project.wanted_packages(Platform.LINUX_64) == wanted
    assert not set(HEADERS) & {*replace(project, channel="distro").headers(Platform.OSX_64)}


def test_several_faults_are_reported_at_once(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        """
[project]
name = "host"
requires-python = ">=3.11"
[tool.geowheel]
layout = "sideways"
environment = 3
[tool.geowheel.budget]
whel-mb = 3
""",
    )
    text = "\n".join(found)
    for expected in (
        "'sideways' is not one of toplevel, private",
        "environment] must be a string",
        "did you mean wheel-mb?",
        "pythons is missing",
    ):
        assert expected in text


def test_every_kind_of_value_is_read(tmp_path: Path) -> None:
    text = (
        MINIMAL
        + """
channel-fallback = "distro"
drivers = ["GTiff"]
programs = []
layout = "private"
import-package = "a.b.c.osgeo"
[tool.geowheel.budget]
wheel-mb = 12
[tool.geowheel.test]
timeout-seconds = 5
[tool.geowheel.floor]
glibc = "2.28"
[tool.geowheel.licenses]
accept = { poppler = "we share ours", "x26*" = "so too" }
"""
    )
    read = read_host(host(tmp_path, text)).config
    assert read.fallbacks == ("distro",)
    assert (read.drivers, read.programs) == (("GTiff",), ())
    assert (read.budget.wheel_mb, read.floors.glibc, read.test.timeout_seconds) == (12.0, "2.28", 5)
    assert read.licenses.accept == {"poppler": "we share ours", "x26*": "so too"}


WRONG = {
    'plugin = ["x"]': "unknown key 'plugin'; did you mean plugins?",
    "data.grids = true": "data.grids] must be a list of strings",
    "test.timeout-seconds = true": "must be a whole number",
    'licenses.accept = ["poppler"]': 'must be a table with a reason for each: NAME = "the reason"',
    'licenses.accept = { poppler = " " }': "licenses.accept] must be a table with a reason",
    "licenses.accept = { poppler = true }": "licenses.accept] must be a table with a reason",
    'floor.glibc = "manylinux_2_28"': "floor.glibc: 'manylinux_2_28' is not a version",
    'floor = "2.28"': "floor: '2.28' is not a tag such as manylinux_2_28",
    "floor = 2.28": "floor] must be a string",
    'floor.glibc = ""': "floor.glibc: '' is not a version",
    'import-package = "terrain._vendor.osgeo"': 'set layout = "private"',
    'import-package = "gdal"': "import-package: 'gdal' does not fit",
    'layout = "private"': 'such as "terrain._vendor.osgeo"',
    'layout = "private"\nimport-package = "terrain.osgeo"': "is not HOST_PACKAGE._vendor.osgeo",
    'layout = "private"\nimport-package = "terrain._vendor.gdal"': "is not HOST_PACKAGE",
    'layout = "private"\nimport-package = "osgeo._vendor.osgeo"': "is below GDAL's own osgeo",
    'layout = "private"\nimport-package = "a.class.osgeo"': "is not the name of a package",
    'layout = "private"\nimport-package = "a..osgeo"': "is not the name of a package",
    'lab.peers = ["geopandas"]': "lab.peers: the lab has no work for geopandas",
    'lab.peers = ["fiona ="]': "'fiona ='",
    'build.environment = { CFLAGS = "-O2 -march=native" }': "build, CFLAGS: -march=native is the",
    'build.environment = { RUSTFLAGS = "-C target-cpu=native" }': "RUSTFLAGS: target-cpu=native",
    'build.config-settings = { args = ["-O2", "-mcpu=native"] }': "build, args: -mcpu=native",
}


@pytest.mark.parametrize(("addition", "expected"), WRONG.items(), ids=WRONG)
def test_what_is_wrong_is_named_with_its_file(tmp_path: Path, addition: str, expected: str) -> None:
    (fault,) = faults(tmp_path, MINIMAL + addition)
    assert expected in fault and str(tmp_path / "pyproject.toml") in fault


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MINIMAL.replace('["3.12"]', "[]"), "is empty"),
        (MINIMAL.replace('"3.12"', '"3.x"'), "not a CPython version"),
        (MINIMAL.replace('"3.12"', '"3.9"'), "outside requires-python"),
        (MINIMAL + '[build-system]\nrequires = ["hatchling >"]', "hatchling >"),
        ('[project]\nname = "host"', "next: run `geowheel init`"),
        (MINIMAL + 'channel-fallback = ["distro", "Trixie"]', "'Trixie' is not one"),
        (MINIMAL + "channel-fallback = 3", "must be a string or a list of strings"),
        ("[project", "not valid TOML"),
        ("tool = 3", "tool must be a table"),
        (MINIMAL + "[[build-system]]", "build-system must be a table"),
        ('project = []\n[tool.geowheel]\npythons = ["3.12"]', "project must be a table"),
    ],
)
def test_a_file_that_cannot_be_followed(tmp_path: Path, text: str, expected: str) -> None:
    (fault,) = faults(tmp_path, text)
    assert expected in fault and str(tmp_path / "pyproject.toml") in fault


def test_the_smallest_configuration_has_defaults(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        read_host(tmp_path / "nowhere")
    read = read_host(host(tmp_path, MINIMAL))
    assert read.config == Config(pythons=("3.12",))
    assert read.config.fallbacks == ()
    assert read.build_system.backend == "setuptools.build_meta:__legacy__"

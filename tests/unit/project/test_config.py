from __future__ import annotations

from pathlib import Path

import pytest

from geowheel.errors import ConfigError
from geowheel.project.config import Config, Fallback
from geowheel.project.pyproject import read_host

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


def test_the_smallest_configuration_has_defaults(tmp_path: Path) -> None:
    read = read_host(host(tmp_path, MINIMAL))
    assert read.config == Config(pythons=("3.12",))
    assert read.config.channel_fallback is Fallback.NONE
    assert read.build_system.backend == "setuptools.build_meta:__legacy__"


def test_programs_may_be_all_none_or_some(tmp_path: Path) -> None:
    assert read_host(host(tmp_path, MINIMAL)).config.programs is None
    assert read_host(host(tmp_path, MINIMAL + "programs = []\n")).config.programs == ()
    some = read_host(host(tmp_path, MINIMAL + 'programs = ["ogr*"]\n')).config
    assert some.programs == ("ogr*",)


def test_grids_are_one_more_package_of_the_native_stack(tmp_path: Path) -> None:
    text = MINIMAL + 'plugins = ["libgdal-pg"]\n'
    assert read_host(host(tmp_path, text)).config.wanted_packages == ("libgdal-pg",)
    asked = read_host(host(tmp_path, text + "[tool.geowheel.data]\ngrids = true\n")).config
    assert asked.wanted_packages == ("libgdal-pg", "proj-data")


@pytest.mark.parametrize("value", ["1", '"yes"'])
def test_grids_are_asked_for_with_true_or_false(tmp_path: Path, value: str) -> None:
    (fault,) = faults(tmp_path, MINIMAL + f"[tool.geowheel.data]\ngrids = {value}\n")
    assert "data.grids] must be true or false" in fault


LICENSES = MINIMAL + "[tool.geowheel.licenses]\n"


def test_a_license_is_accepted_with_its_reason(tmp_path: Path) -> None:
    text = LICENSES + 'accept = { poppler = "we share ours", "x26*" = "so too" }\n'
    read = read_host(host(tmp_path, text)).config.licenses
    assert read.accept == {"poppler": "we share ours", "x26*": "so too"}


@pytest.mark.parametrize("value", ['["poppler"]', '{ poppler = " " }', "{ poppler = true }"])
def test_a_license_without_a_reason_is_not_accepted(tmp_path: Path, value: str) -> None:
    (fault,) = faults(tmp_path, f"{LICENSES}accept = {value}\n")
    assert 'licenses.accept] must be a table with a reason for each: NAME = "the reason"' in fault


def test_every_kind_of_value_is_read(tmp_path: Path) -> None:
    read = read_host(
        host(
            tmp_path,
            MINIMAL
            + """
channel-fallback = "distro"
drivers = ["GTiff"]
[tool.geowheel.budget]
wheel-mb = 12
[tool.geowheel.test]
requires = ["numpy>=2"]
command = ["python", "-m", "pytest"]
timeout-seconds = 5
[tool.geowheel.floor]
glibc = "2.28"
""",
        )
    ).config
    assert read.channel_fallback is Fallback.DISTRO
    assert (read.drivers, read.budget.wheel_mb, read.floor.glibc) == (("GTiff",), 12.0, "2.28")
    assert read.test.timeout_seconds == 5


def test_an_unknown_key_names_the_nearest_known_one(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, MINIMAL + 'plugin = ["x"]')
    assert "unknown key 'plugin'; did you mean plugins?" in fault
    assert str(tmp_path / "pyproject.toml") in fault


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


@pytest.mark.parametrize(
    ("addition", "expected"),
    [
        ("pythons = []", "is empty"),
        ('pythons = ["3.x"]', "not a CPython version"),
        ('pythons = ["3.9"]', "outside requires-python"),
    ],
)
def test_pythons_are_checked(tmp_path: Path, addition: str, expected: str) -> None:
    text = MINIMAL.replace('pythons = ["3.12"]', addition)
    assert expected in "\n".join(faults(tmp_path, text))


def test_no_table_says_what_to_add(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, '[project]\nname = "host"')
    assert "no [tool.geowheel] table" in fault and 'pythons = ["3.12"]' in fault
    assert "next: run `geowheel init`" in fault


def test_broken_toml_names_the_file(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, "[project")
    assert "not valid TOML" in fault and "pyproject.toml" in fault


@pytest.mark.parametrize("name", ["project", "build-system", "tool"])
@pytest.mark.parametrize("value", ["3", "[]"])
def test_what_has_to_be_a_table_is_one(tmp_path: Path, name: str, value: str) -> None:
    lines = [f"{name} = {value}"]
    if name != "tool":
        lines += ["[tool.geowheel]", 'pythons = ["3.12"]']
    (fault,) = faults(tmp_path, "\n".join(lines))
    assert f"{name} must be a table" in fault and "pyproject.toml" in fault


def test_a_boolean_is_no_number(tmp_path: Path) -> None:
    text = MINIMAL + "[tool.geowheel.test]\ntimeout-seconds = true"
    assert "must be a whole number" in "\n".join(faults(tmp_path, text))


@pytest.mark.parametrize(
    ("layout", "package"),
    [("toplevel", "osgeo"), ("private", "terrain._vendor.osgeo"), ("private", "a.b.c.osgeo")],
)
def test_an_import_package_that_fits_its_layout(tmp_path: Path, layout: str, package: str) -> None:
    text = MINIMAL + f'layout = "{layout}"\nimport-package = "{package}"'
    assert read_host(host(tmp_path, text)).config.import_package == package


@pytest.mark.parametrize(
    ("addition", "expected"),
    [
        ('import-package = "terrain._vendor.osgeo"', 'set layout = "private"'),
        ('import-package = "gdal"', "which is osgeo itself"),
        ('layout = "private"', 'such as "terrain._vendor.osgeo"'),
        (
            'layout = "private"\nimport-package = "terrain.osgeo"',
            "is no HOST_PACKAGE._vendor.osgeo",
        ),
        ('layout = "private"\nimport-package = "terrain._vendor.gdal"', "is no HOST_PACKAGE"),
        ('layout = "private"\nimport-package = "osgeo._vendor.osgeo"', "is below GDAL's own osgeo"),
        ('layout = "private"\nimport-package = "a.class.osgeo"', "is not the name of a package"),
        ('layout = "private"\nimport-package = "a..osgeo"', "is not the name of a package"),
    ],
)
def test_an_import_package_that_does_not_fit(tmp_path: Path, addition: str, expected: str) -> None:
    (fault,) = faults(tmp_path, MINIMAL + addition)
    assert "[tool.geowheel] import-package: " in fault and expected in fault


def test_peers_of_the_lab_are_those_that_it_has_work_for(tmp_path: Path) -> None:
    text = MINIMAL + '[tool.geowheel.lab]\npeers = ["pyproj>=3", "geopandas", "fiona ="]\n'
    found = faults(tmp_path, text)
    assert len(found) == 2
    assert "lab.peers: the lab has no work for geopandas" in found[0]
    assert "next: use some of pyproj, shapely" in found[0]
    assert "'fiona ='" in found[1]

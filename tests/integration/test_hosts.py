"""Hosts other than hosts/gdal: another backend, a version from git, and what goes wrong there."""

import json
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

from tests.support.files import git
from tests.support.private_hosts import PrivateHosts
from tests.support.project_copy import PYTHON, ProjectCopy, not_passed

PYPROJECT = """
[build-system]
requires = {requires}
build-backend = "{backend}"
[project]
name = "some-host"
{version}
requires-python = ">=3.11"
[tool.geowheel]
pythons = ["{python}"]
plugins = ["libgdal-grib", "libgdal-hdf4", "libgdal-hdf5", "libgdal-netcdf"]
{extra}
"""
# No package of its own: the payload is all that such a wheel has.
EMPTY = "[tool.setuptools]\npackages = []\n"


def make_host(project: ProjectCopy, **parts: str) -> ProjectCopy:
    """A host of its own in the project, which shares what was compiled already."""
    folder = project.root / "hosts" / "some"
    folder.mkdir()
    known = {
        "requires": '["setuptools>=77"]',
        "backend": "setuptools.build_meta",
        "version": 'version = "1.0"',
        "python": PYTHON,
        "extra": EMPTY,
    }
    text = PYPROJECT.format(**{**known, **parts})
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return replace(project, host="hosts/some")


def raw_wheels(host: ProjectCopy) -> list[Path]:
    return list(host.root.glob(".geowheel/*/build/*/some_host-*.whl"))


def test_setuptools_and_the_bindings_of_another_host(second: ProjectCopy) -> None:
    host = make_host(second)
    result = host.good("repair", "--json")
    assert "bindings   cached" in result.stderr, "bindings do not depend on the host"
    (summary,) = json.loads(result.stdout)["targets"]
    assert Path(summary["wheel"]).name.startswith(f"some_host-1.0-cp{PYTHON.replace('.', '')}-")
    with zipfile.ZipFile(summary["wheel"]) as archive:
        assert "osgeo/_data/proj/proj.db" in archive.namelist()


def test_a_version_from_git_is_computed_in_the_checkout(second: ProjectCopy) -> None:
    """By one backend; test_host_trees.py has the others."""
    host = make_host(
        second,
        version='dynamic = ["version"]',
        requires='["setuptools>=77", "setuptools-scm>=8"]',
        extra=EMPTY + "[tool.setuptools_scm]\nroot = '../..'",
    )
    git(second.root, "add", "-A")
    git(second.root, "commit", "-qm", "all")
    git(second.root, "tag", "v4.5.6")
    host.good("build")
    assert [wheel.name.split("-")[1] for wheel in raw_wheels(host)] == ["4.5.6"]
    git(second.root, "tag", "-am", "the next one", "v5.0.0")
    again = host.run("build")
    assert "changed: git" in again.stderr and "some_host-5.0.0" in again.stderr


def test_no_backend_and_no_ignore_file_keeps_the_payload_out(second: ProjectCopy) -> None:
    host = make_host(second)
    (second.root / "hosts" / "some" / ".gitignore").write_text("osgeo/\n*.so\n", encoding="utf-8")
    host.good("build", "--python", PYTHON)
    (raw,) = raw_wheels(host)
    with zipfile.ZipFile(raw) as archive:
        names = set(archive.namelist())
    assert {"osgeo/__init__.py", "osgeo/_data/gdal/gdalvrt.xsd", "osgeo/_geowheel.py"} <= names


def test_a_host_with_an_osgeo_folder_of_its_own(second: ProjectCopy) -> None:
    host = make_host(second, extra='[tool.setuptools]\npackages = ["osgeo"]')
    (second.root / "hosts" / "some" / "osgeo").mkdir()
    (second.root / "hosts" / "some" / "osgeo" / "__init__.py").write_text("", encoding="utf-8")
    result = host.run("build", "--python", PYTHON)
    assert result.returncode == 8
    assert "osgeo/__init__.py, which the payload brings as well" in result.stderr


def test_a_floor_that_the_native_stack_does_not_keep(second: ProjectCopy) -> None:
    extra = EMPTY + '[tool.geowheel.floor]\nglibc = "2.5"'
    result = make_host(second, extra=extra).run("repair", "--python", PYTHON)
    assert result.returncode == 8
    assert (
        "newer than the floor manylinux_2_5_x86_64" in result.stderr and "GLIBC_2." in result.stderr
    )
    assert not list(second.root.glob("dist/*"))


def test_a_failed_stage_is_kept_and_can_be_entered(second: ProjectCopy) -> None:
    host = make_host(second)
    setup = second.root / "hosts" / "some" / "setup.py"
    setup.write_text('raise RuntimeError("planted fault")', encoding="utf-8")
    assert host.run("build", "--python", PYTHON).returncode == 8
    assert not host.scratch("build"), "nobody asked to keep it"
    result = host.run("build", "--python", PYTHON, "--keep-work")
    assert result.returncode == 8
    (kept,) = host.scratch("build")
    assert f"kept for you to look into: {kept}" in result.stderr
    place = (kept / "elsewhere").resolve() / "host" / "hosts" / "some"
    assert (place / "setup.py").is_file()
    again = subprocess.run(
        ["sh", kept / "enter.sh", "again"], env={}, capture_output=True, text=True, check=False
    )
    assert "planted fault" in again.stderr
    inside = subprocess.run(
        ["sh", kept / "enter.sh"], env={}, input="python -c 'import setuptools'; pwd; env\n",
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert str(place) in inside.stdout
    assert "GEOWHEEL_GDAL_VERSION=" in inside.stdout and "GEOWHEEL_CACHE" not in inside.stdout
    setup.unlink()
    assert host.run("build", "--python", PYTHON, "--keep-work").returncode == 0
    assert host.run("clean").returncode == 0
    assert not host.scratch("build")


def test_the_environment_of_a_failed_test_is_kept(second: ProjectCopy) -> None:
    failing = (
        '[tool.geowheel.test]\ncommand = ["python", "-c", "import osgeo; raise SystemExit(3)"]'
    )
    host = make_host(second, extra=EMPTY + failing)
    result = host.run("test", "--python", PYTHON, "--keep-work")
    assert result.returncode == 10, result.stderr
    (kept,) = host.scratch("test")
    environment = (kept / "elsewhere").resolve()
    inside = subprocess.run(
        ["sh", kept / "enter.sh"], env={}, input="python -c 'from osgeo import gdal; print(gdal)'",
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert str(environment) in inside.stdout
    assert host.run("clean").returncode == 0
    assert not kept.exists() and not environment.exists()


def test_terrain_with_a_private_gdal_passes_its_own_tests(private_hosts: PrivateHosts) -> None:
    summary = private_hosts.made_by_terrain
    assert Path(summary["wheel"]).name.startswith("terrain_gdal-")
    assert not_passed(summary) == []
    with zipfile.ZipFile(summary["wheel"]) as archive:
        names = archive.namelist()
    assert "terrain/_vendor/osgeo/_data/proj/proj.db" in names
    assert not [name for name in names if name.startswith(("osgeo/", "osgeo_utils/"))]

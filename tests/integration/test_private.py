"""Two private copies of osgeo and the plain one in one process: each with a GDAL of its own."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import venv
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.project_copy import PYTHON, Built, ProjectCopy

# Three wheels are made before the first test: two of them compile bindings of their own.
pytestmark = pytest.mark.timeout(1200)

PYPROJECT = """
[build-system]
requires = {requires}
build-backend = "{backend}"
[project]
name = "{name}-host"
version = "1.0"
requires-python = ">=3.11"
[tool.geowheel]
pythons = ["{python}"]
layout = "private"
import-package = "{name}._vendor.osgeo"
plugins = ["libgdal-hdf4", "libgdal-hdf5", "libgdal-netcdf"]  # as hosts/gdal: the same prefix
[tool.geowheel.test]
requires = ["numpy>=2"]
{extra}
"""
SETUPTOOLS = """
[tool.setuptools.packages.find]
include = ["alpha*"]
"""
HATCHLING = """
[tool.hatch.build.targets.wheel]
packages = ["src/beta"]
"""
# As docs/configuration.md gives it.
WHEREVER = """
from importlib import import_module
from importlib.util import find_spec

_PRIVATE = find_spec(__package__ + "._vendor") and find_spec(__package__ + "._vendor.osgeo")
PACKAGE = __package__ + "._vendor.osgeo" if _PRIVATE else "osgeo"
gdal, ogr, osr = (import_module(PACKAGE + "." + name) for name in ("gdal", "ogr", "osr"))
"""
PACKAGES = {
    "osgeo": "gdal.libs",
    "alpha._vendor.osgeo": "alpha_host.libs",
    "beta._vendor.osgeo": "beta_host.libs",
}
# Imports all, then works in all, in the given order; twice, so that the first is also the last.
WORK = """
import gc, importlib, json, os, sys, tempfile
packages = sys.argv[1].split(",")
found = {}
load = lambda package, name: importlib.import_module(package + "." + name)
for package in packages:
    load(package, "gdal").SetConfigOption("WHO", package)
for package in packages * 2:
    gdal, ogr, osr = (load(package, name) for name in ("gdal", "ogr", "osr"))
    for module in (gdal, ogr, osr):
        module.UseExceptions()
    folder = tempfile.mkdtemp()
    raster = gdal.GetDriverByName("GTiff").Create(folder + "/r.tif", 8, 8, 1, gdal.GDT_Byte)
    raster.GetRasterBand(1).Fill(7)
    reference, goal = osr.SpatialReference(), osr.SpatialReference()
    reference.ImportFromEPSG(4326)
    goal.ImportFromEPSG(32633)
    raster.SetSpatialRef(reference)
    raster = None
    raster = gdal.Open(folder + "/r.tif")
    x, y, _ = osr.CoordinateTransformation(reference, goal).TransformPoint(52, 15)
    source = ogr.GetDriverByName("GPKG").CreateDataSource(folder + "/v.gpkg")
    layer = source.CreateLayer("places", reference, ogr.wkbPoint)
    feature = ogr.Feature(layer.GetLayerDefn())
    feature.SetGeometry(ogr.CreateGeometryFromWkt("POINT (1 2)", reference))
    layer.CreateFeature(feature)
    back = layer.GetFeature(1)
    geometry = back.GetGeometryRef()
    things = (raster, raster.GetRasterBand(1), raster.GetSpatialRef(), reference, source, layer,
              feature, back, geometry, geometry.GetSpatialReference(), gdal.GetDriver(0))
    found[package] = {
        "classes": [type(thing).__module__ for thing in things],
        "numbers": [raster.GetRasterBand(1).Checksum(), round(x, 3), round(y, 3), geometry.GetX()],
        "names": [geometry.GetSpatialReference().GetName(), raster.GetSpatialRef().GetName()],
        "who": gdal.GetConfigOption("WHO"),
        "data": [gdal.FindFile("gdal", "gdalvrt.xsd"), osr.GetPROJSearchPaths()[0]],
        "plugins": gdal.GetConfigOption("GDAL_DRIVER_PATH"),
        "hdf5": gdal.GetDriverByName("HDF5").GetMetadataItem("DMD_LONGNAME"),
    }
    del raster, source, layer, feature, back, geometry, things
    gc.collect()
found["maps"] = sorted({line.split(None, 5)[5].strip() for line in open("/proc/self/maps")
                        if line.count("/") and ".so" in line})
opened = {os.path.realpath("/proc/self/fd/" + fd) for fd in os.listdir("/proc/self/fd")}
found["databases"] = sorted(path for path in opened if path.endswith("/proj.db"))
print(json.dumps(found))
"""


def make_host(project: ProjectCopy, name: str, *, source: str = "", **parts: str) -> ProjectCopy:
    """A host with a package of its own, which shares what was fetched already."""
    folder = project.root / "hosts" / name
    package = folder / source / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f'"""{name}."""\n', encoding="utf-8")
    (package / "_osgeo.py").write_text(WHEREVER, encoding="utf-8")
    text = PYPROJECT.format(name=name, python=PYTHON, **parts)
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return replace(project, host=f"hosts/{name}")


@dataclass(frozen=True, kw_only=True)
class Hosts:
    """Two private hosts' wheels, and the plain one's, in one environment."""

    alpha: dict[str, Any]
    beta: dict[str, Any]
    project: ProjectCopy
    python: Path
    site: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, *arguments], env={"PATH": os.environ["PATH"]}, cwd=self.site.parent,
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip


@pytest.fixture(scope="module")
def hosts(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Hosts:
    root = tmp_path_factory.mktemp("private") / "project"
    shutil.copytree(built.project.root, root, symlinks=True)
    project = replace(built.project, root=root)
    alpha = make_host(project, "alpha", requires='["setuptools>=77"]',
                      backend="setuptools.build_meta", extra=SETUPTOOLS)  # fmt: skip
    beta = make_host(project, "beta", source="src", requires='["hatchling>=1.27"]',
                     backend="hatchling.build", extra=HATCHLING)  # fmt: skip
    (made_by_alpha,), (made_by_beta,) = (h.json("wheel")["targets"] for h in (alpha, beta))
    folder = tmp_path_factory.mktemp("three")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    wheels = [built.wheel, made_by_alpha["wheel"], made_by_beta["wheel"]]
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", *wheels], check=True
    )
    site = folder / "lib" / f"python{PYTHON}" / "site-packages"
    return Hosts(alpha=made_by_alpha, beta=made_by_beta, project=beta, python=python, site=site)


def plain_name(library: str) -> str:
    """`libgdal.so.32.3.6.2` of `libgdal-1a2b3c4d.so.32.3.6.2`."""
    return re.sub(r"-[0-9a-f]{8}\.", ".", Path(library).name, count=1)


def check_alike(found: Mapping[str, Any]) -> None:
    first = found["osgeo"]
    for package in PACKAGES:
        for part in ("numbers", "names", "hdf5"):
            assert found[package][part] == first[part]
    assert first["names"] == ["WGS 84", "WGS 84"]
    assert first["numbers"][1:] == [500000.0, pytest.approx(5761038.213, abs=0.01), 1.0]


@pytest.mark.parametrize("order", list(itertools.permutations(PACKAGES)), ids="-".join)
def test_three_hosts_in_one_process(hosts: Hosts, order: tuple[str, ...]) -> None:
    result = hosts.run("-c", WORK, ",".join(order))
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    check_alike(found)
    for package in PACKAGES:
        own = str(hosts.site.joinpath(*package.split("."))) + "/"
        assert {name.rpartition(".")[0] for name in found[package]["classes"]} == {package}
        assert found[package]["who"] == package, "a setting reached another one's libgdal"
        assert [path for path in found[package]["data"] if not path.startswith(own)] == []
        # Debian's GDAL has no plugins; then no other one's may be looked for.
        assert found[package]["plugins"] in (f"{own}_plugins", "disable")
        assert f"{own}_data/proj/proj.db" in found["databases"]
    assert len(found["databases"]) == 3


def test_no_library_is_shared(hosts: Hosts) -> None:
    result = hosts.run("-c", WORK, ",".join(PACKAGES))
    assert result.returncode == 0, result.stderr
    maps = json.loads(result.stdout)["maps"]
    loaded = {
        folder: {plain_name(path) for path in maps if path.startswith(f"{hosts.site}/{folder}/")}
        for folder in PACKAGES.values()
    }
    first, *others = loaded.values()
    assert any(name.startswith("libgdal.so") for name in first)
    assert [other for other in others if other != first] == []


def test_each_wheel_passed_its_own_probes(hosts: Hosts) -> None:
    for summary in (hosts.alpha, hosts.beta):
        assert len(summary["probes"]) == 10
        assert [probe for probe in summary["probes"] if not probe["passed"]] == []


def test_a_private_wheel_has_nothing_at_the_top_level(hosts: Hosts) -> None:
    with zipfile.ZipFile(hosts.alpha["wheel"]) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
        assert tops == {"alpha", "alpha_host.libs", "alpha_host-1.0.dist-info"}
        assert "alpha/_vendor/osgeo_utils/gdal_calc.py" in archive.namelist()


def test_the_documented_helper_finds_gdal(hosts: Hosts) -> None:
    code = "from {0}._osgeo import gdal, PACKAGE; print(PACKAGE, gdal.__name__)"
    for name in ("alpha", "beta"):
        package = f"{name}._vendor.osgeo"
        assert hosts.run("-c", code.format(name)).stdout.split() == [package, f"{package}.gdal"]
    shutil.copytree(hosts.site / "alpha", hosts.site / "gamma",
                    ignore=shutil.ignore_patterns("_vendor"))  # fmt: skip
    assert hosts.run("-c", code.format("gamma")).stdout.split() == ["osgeo", "osgeo.gdal"]


def test_utilities_run_in_the_private_package(hosts: Hosts) -> None:
    made = hosts.run(
        "-c", "import sys; from beta._vendor.osgeo_utils import gdal_merge, ogrmerge; "
        "print(sorted(n for n in sys.modules if n.split('.')[0] in ('osgeo', 'osgeo_utils')))",
    )  # fmt: skip
    assert made.stdout == "[]\n", made.stderr
    usage = hosts.run("-m", "beta._vendor.osgeo_utils.gdal_merge", "--version")
    assert "GDAL 3." in usage.stdout + usage.stderr


def test_the_same_bytes_again(hosts: Hosts) -> None:
    hosts.project.forget("repair")
    (again,) = hosts.project.json("repair")["targets"]
    assert again["sha256"] == hosts.beta["sha256"]


def test_a_host_without_the_package_that_it_names(hosts: Hosts) -> None:
    package = hosts.project.root / "hosts" / "beta" / "src" / "beta"
    moved = package.rename(package.with_name("other"))
    result = hosts.project.run("build")
    moved.rename(package)
    assert result.returncode == 8, result.stderr
    assert "the wheel has no package 'beta'" in result.stderr

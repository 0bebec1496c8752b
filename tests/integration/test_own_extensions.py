"""Hosts whose own extensions link libgdal (layout none), and raw wheels made elsewhere."""

import json
import os
import shlex
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.planted_faults import NO_SPAWN
from tests.support.project_copy import PYTHON, ProjectCopy, not_passed

HOSTS = "tests/data/hosts"
TAG = "cp" + PYTHON.replace(".", "")


def host(project: ProjectCopy, name: str) -> ProjectCopy:
    return replace(project, host=f"{HOSTS}/{name}")


def members(wheel: str | Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def all_passed(summary: dict[str, Any]) -> bool:
    names = {probe["name"] for probe in summary["probes"]}
    return {"every compiled module loads", "driver GTiff"} <= names and not not_passed(summary)


def test_a_cython_host_in_a_folder_with_spaces(second: ProjectCopy) -> None:
    assert " " in str(second.root), "build scripts split what gdal-config answers at spaces"
    path = second.root / HOSTS / "cymini" / "pyproject.toml"
    # Cython's C is packed as well, with the paths of the include folders that it wrote into it.
    path.write_text(path.read_text("utf-8").replace("exclude-package-data", "package-data"))
    (summary,) = host(second, "cymini").json("wheel", "--python", PYTHON)["targets"]
    assert all_passed(summary)
    wheel = Path(summary["wheel"])
    with zipfile.ZipFile(wheel) as archive:
        assert b'"/native/prefix/include/gdal.h"' in archive.read("cymini/_core.c")
    assert wheel.name.startswith(f"cymini-1.0-{TAG}-{TAG}-manylinux")
    found = members(wheel)
    assert {"cymini/_geowheel.py", "cymini/_geowheel.json"} <= found
    assert {"cymini/_data/proj/proj.db", "cymini/_data/gdal/gdalvrt.xsd"} <= found
    assert not [name for name in found if name.startswith("osgeo")]
    assert [name for name in found if name.startswith("cymini.libs/libgdal-")]
    logs = second.root.glob(".geowheel/logs/*/build/*.log")
    compiled = [line for log in logs for line in log.read_text().splitlines() if "_core.c" in line]
    assert any("-O2" in line and "-DNDEBUG" in line and " -c " in line for line in compiled)


def test_a_cmake_host_for_the_stable_abi_with_data_of_its_own_place(second: ProjectCopy) -> None:
    (summary,) = host(second, "skbmini").json("wheel", "--python", PYTHON)["targets"]
    assert all_passed(summary)
    assert Path(summary["wheel"]).name.startswith("skbmini-1.0-cp311-abi3-manylinux")
    found = members(summary["wheel"])
    assert {"skbmini/proj_data/proj.db", "skbmini/gdal_data/gdalvrt.xsd"} <= found
    assert not [name for name in found if "_data/gdal/" in name or "_data/proj/" in name]


def test_the_lab_tries_a_host_without_osgeo_by_import_and_libgdal(second: ProjectCopy) -> None:
    init = second.root / HOSTS / "cymini" / "src" / "cymini" / "__init__.py"
    init.write_text(f"{init.read_text()}\n{NO_SPAWN}\n")  # the planted fault
    result = host(second, "cymini").run("lab", "--python", PYTHON, "--json")
    assert result.returncode == 10, result.stderr
    cases = json.loads(result.stdout)["targets"][0]["lab"]["cases"]
    assert [c["name"] for c in cases if c["result"] == "failed"] == ["children by spawn"]
    skipped = {c["name"] for c in cases if c["result"] == "skipped" and c["group"] != "https"}
    assert skipped == {"every plugin loads and registers", "every program answers and works"}


@pytest.mark.pypi
def test_a_raw_wheel_made_by_pip_is_repaired(second: ProjectCopy, tmp_path: Path) -> None:
    cymini = host(second, "cymini")
    printed = cymini.good("env", "--toolchain")
    exports = dict(
        shlex.split(line)[1].split("=", 1) for line in printed.stdout.splitlines() if line
    )
    assert subprocess.check_output([exports["GDAL_CONFIG"], "--version"], text=True) == (
        exports["GDAL_VERSION"] + "\n"
    )
    assert "-fno-omit-frame-pointer" in exports["CFLAGS"].split()
    version = subprocess.check_output([exports["CC"], "--version"], text=True)
    assert version.startswith("clang ") and Path(exports["AR"]).is_file()
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path / "build",
         second.root / HOSTS / "cymini"],
        env=os.environ | exports, check=True,
    )  # fmt: skip
    (raw,) = (tmp_path / "build").glob("*-linux_x86_64.whl")
    assert "cymini/_geowheel.py" not in members(raw)
    result = cymini.good("repair-wheel", str(raw), str(tmp_path / "wheelhouse"), "--json")
    (repaired,) = (tmp_path / "wheelhouse").iterdir()
    assert json.loads(result.stdout)["targets"][0]["wheel"] == str(repaired)
    assert repaired.name.startswith(f"cymini-1.0-{TAG}-{TAG}-manylinux")
    assert "cymini/_data/proj/proj.db" in members(repaired)
    assert not (second.root / "dist").exists(), "only what the project built itself goes there"
    again = cymini.run("repair-wheel", str(repaired), str(tmp_path / "wheelhouse"))
    assert again.returncode == 2
    assert "it was repaired already" in again.stderr


def test_env_gives_one_value_for_an_environment_line(second: ProjectCopy) -> None:
    project = host(second, "cymini")
    result = project.run("env", "GDAL_CONFIG")
    config = result.stdout.removesuffix("\n")
    libs = subprocess.check_output([config, "--libs"], text=True).split()
    assert libs[1] == "-lgdal"
    assert Path(libs[0].removeprefix("-L"), "libgdal.so").exists()
    refused = project.run("env", "GDAL_KONFIG")
    assert refused.returncode == 2
    assert "GDAL_KONFIG" in refused.stderr and "CMAKE_PREFIX_PATH" in refused.stderr
    found = host(second, "cymini").json("env")
    flags = subprocess.check_output(
        ["pkg-config", "--libs", "--cflags", "gdal"], env=os.environ | found, text=True
    )
    words = {word[:2]: word[2:] for word in shlex.split(flags)}
    assert Path(words["-L"], "libgdal.so").exists()
    assert Path(words["-I"], "gdal.h").exists()


OTHER_GDAL = """
import os, subprocess
from setuptools import Extension, setup
folder = os.path.abspath("other")
os.makedirs(folder, exist_ok=True)  # a backend runs setup.py several times
with open("other/gdal.c", "w") as file:
    file.write("int GDALAllRegister(void) { return 99; }")
subprocess.check_call(["gcc", "-shared", "-fPIC", "-Wl,-soname,libgdal.so.99", "other/gdal.c",
                       "-o", "other/libgdal.so"])
with open("core.c", "w") as file:
    file.write('''#include <Python.h>
int GDALAllRegister(void);
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_core", 0, -1, 0};
PyMODINIT_FUNC PyInit__core(void) { GDALAllRegister(); return PyModule_Create(&module); }
''')
setup(ext_modules=[Extension("cymini._core", ["core.c"], library_dirs=[folder],
                             libraries=["gdal"])])
"""


ALONE = OTHER_GDAL.replace('libraries=["gdal"]', "libraries=[]").replace(
    "{ GDALAllRegister();", "{"
)


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        (OTHER_GDAL, ("libgdal.so.99, needed by cymini/_core", "is not in the native stack",
                      "GDAL_CONFIG")),
        (ALONE, ("no extension module of the host is linked",)),
        (None, ("holds no compiled file", 'layout = "private"')),
    ],
    ids=["another libgdal", "no libgdal", "pure"],
)  # fmt: skip
def test_other_libgdals(second: ProjectCopy, setup: str | None, words: tuple[str, ...]) -> None:
    path = second.root / HOSTS / "cymini" / "setup.py"
    path.write_text(setup, encoding="utf-8") if setup else path.unlink()
    result = host(second, "cymini").run("repair", "--python", PYTHON)
    assert result.returncode == 8, result.stderr
    for text in words:
        assert text in result.stderr

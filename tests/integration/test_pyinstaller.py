"""A program that PyInstaller packs: GDAL works from what the wheel's own hook collects."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project_copy import Built

PYINSTALLER = "pyinstaller==6.22.3"
PROGRAM = """
import os
from osgeo import gdal, osr
gdal.UseExceptions(), osr.UseExceptions()
reference = osr.SpatialReference()
reference.ImportFromEPSG(4326)
found = [gdal.FindFile("gdal", "gdalvrt.xsd"), osr.GetPROJSearchPaths()[0]]
print(reference.GetName(), gdal.GetDriverCount() > 100, os.path.commonpath(found))
"""


@pytest.fixture(scope="module")
def packed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a packed program."""
    folder = tmp_path_factory.mktemp("packed")
    subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
    python = folder / "env/bin/python"
    subprocess.run([python, "-m", "pip", "install", "-q", PYINSTALLER, built.wheel], check=True)
    (folder / "ask.py").write_text(PROGRAM, encoding="utf-8")
    command = (python, "-m", "PyInstaller", "--log-level", "WARN", "ask.py")
    subprocess.run(command, cwd=folder, check=True)
    shutil.rmtree(folder / "env")
    return folder / "dist/ask"


def test_a_packed_program_has_its_data(packed: Path) -> None:
    done = subprocess.run([packed / "ask"], env={}, capture_output=True, text=True, check=False)
    data = (packed / "_internal/osgeo/_data").resolve()
    assert done.stdout.split() == ["WGS", "84", "True", str(data)], done.stderr


@pytest.mark.parametrize("gone", ["_geowheel.json", "_data/proj/proj.db"])
def test_without_its_data_it_says_so(packed: Path, tmp_path: Path, gone: str) -> None:
    copy = shutil.copytree(packed, tmp_path / "copy", symlinks=True)
    (copy / "_internal/osgeo" / gone).unlink()
    done = subprocess.run([copy / "ask"], env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"ImportError: {copy / '_internal/osgeo' / gone} is gone" in done.stderr

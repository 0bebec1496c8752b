"""geowheel's own wheel: built, installed and called as an adopter's environment has it."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import geowheel
from tests.integration.project_copy import REPOSITORY

pytestmark = pytest.mark.pypi


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "build", "-q", "--wheel", "--out-dir", folder, REPOSITORY], check=True)
    (made,) = folder.glob("*.whl")
    return made


def test_it_holds_the_toolkit_and_its_tables_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    source = REPOSITORY / "src"
    wanted = {
        path.relative_to(source).as_posix()
        for path in (source / "geowheel").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert names == wanted
    assert {"geowheel/py.typed", "geowheel/resources/distros.toml"} <= names


def test_it_installs_and_runs(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "v", with_pip=True)
    programs = tmp_path / "v" / "bin"
    subprocess.run([programs / "pip", "install", "-q", wheel], check=True)
    version = subprocess.run(
        [programs / "geowheel", "--version"], capture_output=True, text=True, check=True
    )
    assert version.stdout == f"geowheel {geowheel.__version__}\n"
    empty = subprocess.run(
        [programs / "geowheel", "plan"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert empty.returncode == 3
    assert "pyproject.toml: there is no such file" in empty.stderr

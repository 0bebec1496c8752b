"""geowheel's own wheel: built, installed and called as an adopter's environment has it."""

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import geowheel
from tests.support.project_copy import REPOSITORY

pytestmark = pytest.mark.pypi


def build(kind: str, source: Path, folder: Path) -> Path:
    """The one sdist or wheel that is made from a folder or an sdist."""
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "build", "-q", f"--{kind}", "--out-dir", folder, source], check=True)
    (made,) = folder.glob("geowheel-*")
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", REPOSITORY, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", REPOSITORY, tmp_path_factory.mktemp("sdist"))


def stray(names: set[str]) -> set[str]:
    """What an sdist should not hold; pyproject.toml names what it should."""
    kept = {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "PKG-INFO"}
    inside = ("src/geowheel/", "docs/")
    return {
        name
        for name in names
        if name not in kept and (not name.startswith(inside) or "__pycache__" in name)
    }


def test_the_sdist_holds_sources_and_documents_and_nothing_else(
    sdist: Path, wheel: Path, tmp_path: Path
) -> None:
    top = f"geowheel-{geowheel.__version__}/"
    with tarfile.open(sdist) as archive:
        members = archive.getnames()
    assert all(name.startswith(top) for name in members)
    names = {name.removeprefix(top) for name in members}
    # hatchling adds the ignore file that its own patterns came from.
    assert stray(names - {".gitignore"}) == set()
    listed = subprocess.run(
        ["git", "ls-files", "src", "docs", "README.md", "LICENSE", "pyproject.toml"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert set(listed) <= names
    assert build("wheel", sdist, tmp_path).read_bytes() == wheel.read_bytes()


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
    assert {"geowheel/py.typed", "geowheel/distro/distros.toml"} <= names


def test_it_installs_and_runs(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "v", with_pip=True)
    programs = tmp_path / "v" / "bin"
    subprocess.run([programs / "pip", "install", "-q", wheel], check=True)
    version = subprocess.run(
        [programs / "geowheel", "--version"], capture_output=True, text=True, check=True
    )
    assert version.stdout == f"geowheel {geowheel.__version__}\n"
    # As editors' plugins find it, without a checkout.
    subprocess.run([programs / "pip", "install", "-q", "validate-pyproject"], check=True)
    host = REPOSITORY / "hosts" / "gdal" / "pyproject.toml"
    check = programs / "validate-pyproject"
    subprocess.run([check, host], capture_output=True, check=True)
    wrong = tmp_path / "pyproject.toml"
    wrong.write_text(host.read_text().replace("pythons", "pithons"), encoding="utf-8")
    refused = subprocess.run([check, wrong], capture_output=True, text=True, check=False)
    assert refused.returncode != 0 and "tool.geowheel" in refused.stdout + refused.stderr
    wrong.unlink()
    empty = subprocess.run(
        [programs / "geowheel", "plan"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert empty.returncode == 3
    assert "pyproject.toml: there is no such file" in empty.stderr

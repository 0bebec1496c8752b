"""`geowheel init` as adopters use it: outside this repository, with nothing of it at hand."""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from geowheel.project.pyproject import read_host
from tests.support import adopters
from tests.support.files import git, write_files
from tests.support.fixture_channel import Sandbox
from tests.support.project_copy import PYTHON, REPOSITORY, Built, ProjectCopy, not_passed


@pytest.fixture(scope="module")
def toolkit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[adopters.ToolkitIndex]:
    """An index with geowheel."""
    base = tmp_path_factory.mktemp("toolkit")
    index = adopters.ToolkitIndex(adopters.build_toolkit(base / "wheel"), base / "index")
    yield index
    index.close()


@pytest.fixture(scope="module")
def adopter(
    built: Built, toolkit: adopters.ToolkitIndex, tmp_path_factory: pytest.TempPathFactory
) -> adopters.Adopter:
    """Somebody with nox, and with packages that another project has downloaded before."""
    nox = adopters.make_nox(tmp_path_factory.mktemp("nox") / "only")
    return adopters.Adopter(index=toolkit, cache=built.project.cache, nox=nox)


def succeeded(result: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    assert result.returncode == 0, result.stdout + result.stderr
    return result


OWN = """\
# /// script
# dependencies = ["nox", "geowheel~=0.1.0"]
# ///
import nox
from geowheel.nox import sessions

@nox.session(python=False)
def tests(session):
    session.log("own tests")

@nox.session(python=False, default=False)
def build(session):
    session.log("own build")

sessions({prefix})
"""


def test_an_own_noxfile_keeps_its_sessions(adopter: adopters.Adopter, tmp_path: Path) -> None:
    write_files(tmp_path, adopters.PURE["hatchling"] | {"noxfile.py": OWN.format(prefix="")})
    told = succeeded(adopter.geowheel(tmp_path, "init", "--yes"))
    assert 'sessions(prefix="geowheel-")' not in told.stdout, "it calls geowheel already"
    taken = adopter.run(tmp_path, "nox", "-l")
    assert taken.returncode != 0
    assert "session names taken: build" in taken.stderr
    assert 'next: give sessions(prefix="geowheel-")' in taken.stderr
    assert "Traceback" not in taken.stderr

    write_files(tmp_path, {"noxfile.py": OWN.format(prefix='prefix="geowheel-"')})
    listed = succeeded(adopter.run(tmp_path, "nox", "-l")).stdout
    assert f"- geowheel-wheel-{PYTHON} ->" in listed and "- build" in listed
    assert [line for line in listed.splitlines() if line.startswith("* ")] == ["* tests"]
    assert "own tests" in succeeded(adopter.run(tmp_path, "nox")).stderr


def project_of(built: Built, folder: Path, files: Mapping[str, str]) -> ProjectCopy:
    """A project outside the repository, with what is downloaded already."""
    write_files(folder, files)
    if "scm" in files["pyproject.toml"]:
        git(folder, "init", "-q")
        commit(folder, "v1.0")
    return ProjectCopy(
        root=folder,
        cache=built.project.cache,
        extra={**built.project.extra, "PYTHONPATH": str(REPOSITORY / "src")},
        host=".",
    )


def commit(folder: Path, tag: str) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", tag)
    git(folder, "tag", tag)


def init(project: ProjectCopy, *arguments: str) -> subprocess.CompletedProcess[str]:
    """geowheel init, which knows no --host."""
    return subprocess.run(
        [sys.executable, "-m", "geowheel", "init", *arguments], cwd=project.root,
        env=project.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def compiled(built: Built, tmp_path_factory: pytest.TempPathFactory) -> ProjectCopy:
    """The bindings of `adopted._vendor.osgeo`, which do not depend on the backend."""
    folder = tmp_path_factory.mktemp("compiled") / "project"
    project = project_of(built, folder, adopters.PURE["hatchling"])
    succeeded(init(project, "--yes"))
    project.json("vendor", "--python", PYTHON)
    return project


@pytest.mark.parametrize("files", adopters.PURE.values(), ids=adopters.PURE)
def test_a_pure_project_builds_as_init_left_it(
    built: Built, compiled: ProjectCopy, tmp_path: Path, files: Mapping[str, str]
) -> None:
    project = project_of(built, tmp_path / "project", files)
    succeeded(init(project, "--yes"))
    if "scm" in files["pyproject.toml"]:
        commit(project.root, "v4.5.6")  # and what init has ignored leaves the checkout clean
    shutil.copytree(compiled.root / ".geowheel", project.root / ".geowheel", symlinks=True)
    succeeded(project.run("build", "--python", PYTHON))
    (raw,) = project.root.glob(".geowheel/*/build/*/*.whl")
    version = "4.5.6" if "scm" in files["pyproject.toml"] else "1.0"
    assert raw.name.startswith(f"adopted-{version}-")
    with zipfile.ZipFile(raw) as archive:
        names = set(archive.namelist())
    assert {"adopted/__init__.py", "adopted/_vendor/osgeo/_data/proj/proj.db"} <= names


@pytest.mark.parametrize("files", adopters.COMPILING.values(), ids=adopters.COMPILING)
def test_a_compiling_project_passes(built: Built, tmp_path: Path, files: Mapping[str, str]) -> None:
    project = project_of(built, tmp_path / "project", files)
    succeeded(init(project, "--yes"))
    (summary,) = project.json("wheel", "--python", PYTHON)["targets"]
    assert summary["probes"] and not not_passed(summary)
    with zipfile.ZipFile(summary["wheel"]) as archive:
        names = archive.namelist()
    assert "adopted/_geowheel.py" in names
    assert any(name.startswith("adopted.libs/libgdal-") for name in names)


def test_gdal_itself_from_nothing(built: Built, tmp_path: Path) -> None:
    project = project_of(built, tmp_path / "gdal", {"pyproject.toml": ""})
    (project.root / "pyproject.toml").unlink()
    succeeded(init(project, "--name", "GDAL", "--layout", "toplevel", "--yes"))
    (summary,) = project.json("repair", "--python", PYTHON)["targets"]
    assert Path(summary["wheel"]).name.startswith("gdal-3.")


HOST = """\
[build-system]
requires = ["tiny-backend"]
build-backend = "tiny_backend"
[project]
name = "host"
requires-python = ">=3.11"
"""
MANIFEST = """\
[workspace]
name = "everything"
channels = ["{channel}"]
platforms = ["linux-64", "osx-arm64"]
conda-pypi-map = false  # pixi would ask the internet which conda package is which PyPI one

[dependencies]
python = "*"

[feature.gis.dependencies]
libgdal-core = "*"
ca-certificates = "*"
libgdal-hdf5 = "*"

[feature.web.pypi-dependencies]
tiny-backend = "*"

[environments]
gis = ["gis"]
web = ["web"]

[pypi-options]
index-url = "{index}"
"""


@pytest.fixture
def pixi_user(sandbox: Sandbox) -> Sandbox:
    """A project that pixi manages: one environment with GDAL among others, one with PyPI's."""
    (sandbox.root / "pixi.toml").unlink()
    text = MANIFEST.format(channel=sandbox.channel, index=f"{sandbox.server.url}/simple")
    files = {"pyproject.toml": HOST, "pixi.toml": text, "src/host/__init__.py": ""}
    write_files(sandbox.root, files)
    return sandbox


def test_a_pixi_environment_is_used_as_it_is(pixi_user: Sandbox, pixi_cli: Path) -> None:
    sandbox, manifest = pixi_user, pixi_user.root / "pixi.toml"
    before = manifest.read_bytes()
    sandbox.good("init", "--yes", "--python", PYTHON)
    assert manifest.read_bytes() == before
    config = read_host(sandbox.root).config
    assert (config.environment, config.plugins) == ("gis", ("libgdal-hdf5",))

    refused = sandbox.run("lock")
    assert refused.code == 4
    assert "only pixi itself can solve pypi-dependencies" in refused.flat

    pixi = {"GEOWHEEL_PIXI": str(pixi_cli), "PIXI_HOME": str(sandbox.home / "pixi")}
    sandbox.good("lock", **pixi)
    assert "tiny_backend-1.0" in sandbox.pixi_lock.read_text()
    for environ in ({}, pixi):
        shutil.rmtree(sandbox.root / ".geowheel", ignore_errors=True)
        sandbox.good("fetch", "--frozen", **environ)
        assert (sandbox.prefix() / "lib" / "libgdal.so.36").is_file()
        assert not (sandbox.prefix() / "bin" / "python").exists()
        assert (sandbox.prefix() / "lib" / "gdalplugins" / "gdal_HDF5.so").is_file()
    assert manifest.read_bytes() == before


def test_an_environment_without_gdal_is_told_what_to_add(pixi_user: Sandbox) -> None:
    result = pixi_user.good("init", "--yes", "--environment", "web")
    assert "pixi add --feature web libgdal-core ca-certificates" in result.out

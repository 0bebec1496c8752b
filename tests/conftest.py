"""Markers by place and by fixture: a test says what it needs by asking for it."""

import lzma
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.attack import pytest_terminal_summary as pytest_terminal_summary
from tests.support.made_once import SEVERAL, made_once
from tests.support.project_copy import PYTHON, Built, ProjectCopy, copy_repository

# An example takes as long as a busy machine takes: no property has a deadline.
settings.register_profile(
    "geowheel", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("geowheel")

TESTS = Path(__file__).parent
BY_FIXTURE = {
    "clean_environment": "pypi",
    "peers_environment": "pypi",
    "distro_channel": "distro",
    "built_once": "distro",
    "cross": "emulated",
    "pixi_cli": "pixi",
    "toolkit": "pypi",
    "windows_stacks": "cross",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if TESTS / "integration" in item.path.parents:
            item.add_marker("integration")
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in BY_FIXTURE:
                item.add_marker(BY_FIXTURE[fixture])


@pytest.fixture(scope="session")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The main job from nothing: empty cache and work folder, this Python, the distro channel.

    Not to be changed: every module has a copy of it, `built`. Where tests run in several workers,
    one of them makes it, and each has a cache of its own.
    """
    extra = {"GEOWHEEL_CHANNEL": "distro"}

    def make(folder: Path) -> object:
        project = ProjectCopy(root=folder / "project", cache=folder / "cache", extra=extra)
        copy_repository(project.root)
        return project.json("wheel", "--python", PYTHON)["targets"][0]

    folder, summary = made_once(tmp_path_factory, "built", make)
    cache = folder / "cache"
    if SEVERAL in os.environ:
        cache = shutil.copytree(cache, tmp_path_factory.mktemp("cache") / "own", symlinks=True)
    project = ProjectCopy(root=folder / "project", cache=cache, extra=extra)
    return Built(project=project, summary=summary)


@pytest.fixture(scope="module")
def built(built_once: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """A module's own copy of it, in the same cache: what its tests leave there meets no other's."""
    root = tmp_path_factory.mktemp("built") / "project"
    shutil.copytree(built_once.project.root, root, symlinks=True)
    yield replace(built_once, project=replace(built_once.project, root=root))
    shutil.rmtree(root)


@pytest.fixture
def second(built: Built, tmp_path: Path) -> ProjectCopy:
    """Another checkout in another folder, with everything that the first one made."""
    root = tmp_path / "a folder with späces"
    shutil.copytree(built.project.root, root, symlinks=True)
    shutil.rmtree(root / "dist")
    return ProjectCopy(root=root, cache=built.project.cache, extra=built.project.extra)


@pytest.fixture(scope="session")
def conda_forge_lock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real conda-forge lock, unpacked."""
    packed = (TESTS / "data" / "conda-forge-gdal.pixi.lock.xz").read_bytes()
    path = tmp_path_factory.mktemp("lock") / "pixi.lock"
    path.write_bytes(lzma.decompress(packed))
    return path


@pytest.fixture
def pixi_cli() -> Path:
    """A pixi of 0.68 or newer; no package index offers one, so this may say: not run."""
    found = os.environ.get("GEOWHEEL_PIXI") or shutil.which("pixi")
    if not found or found == "none":
        pytest.skip("NOT RUN: no pixi CLI on PATH or in GEOWHEEL_PIXI (get it from pixi.sh)")
    return Path(found)

"""What was read out of a lock is kept, and read again as soon as anything of it changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.hosts import make_package, make_project

from geowheel.locks import locks as module
from geowheel.locks import pixi_lock
from geowheel.locks.locks import committed_stack
from geowheel.locks.pixi_lock import NativeStack, write_packages
from geowheel.project.project import Project
from geowheel.targets import Platform

PLATFORM = Platform.LINUX_64
CHANNEL = "https://conda.anaconda.org/conda-forge/"


def write_lock(project: Project, version: str = "3.10.2", *more: str) -> None:
    packages = [
        replace(
            make_package(name),
            version=version,
            url=f"{CHANNEL}linux-64/{name}-{version}-0.conda",
            sha256="ab" * 32,
        )
        for name in ("libgdal-core", "ca-certificates", *more)
    ]
    write_packages(project.manifest.lock_path, packages, PLATFORM, [CHANNEL])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = make_project(tmp_path)
    write_lock(made)
    return made


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The locks that py-rattler was asked to read."""
    asked: list[Path] = []
    read_lock = pixi_lock.read_lock

    def reading(path: Path) -> object:
        asked.append(path)
        return read_lock(path)

    monkeypatch.setattr(module, "read_lock", reading)
    return asked


def remembered(project: Project) -> NativeStack:
    """The stack, as a run gets it and keeps it."""
    native = module._committed(project, PLATFORM)
    assert native is not None
    if native.unwritten:
        native.unwritten.write(native.stack)
    return native.stack


def test_a_lock_is_read_once(project: Project, reads: list[Path]) -> None:
    first = remembered(project)
    assert [package.name for package in first.packages] == ["ca-certificates", "libgdal-core"]
    assert len(reads) == 1
    assert remembered(project) == first
    assert len(reads) == 1


def test_who_only_looks_writes_nothing(project: Project, reads: list[Path]) -> None:
    before = sorted(project.root.rglob("*"))
    for _ in range(2):
        committed_stack(project, PLATFORM)
    assert sorted(project.root.rglob("*")) == before
    assert len(reads) == 2


def test_another_lock_is_read(project: Project, reads: list[Path]) -> None:
    remembered(project)
    write_lock(project, "3.11.0")
    assert remembered(project).gdal_version == "3.11.0"
    assert len(reads) == 2


def test_other_wishes_are_asked_of_the_lock(project: Project, reads: list[Path]) -> None:
    write_lock(project, "3.10.2", "libgdal-netcdf")
    assert "libgdal-netcdf" in remembered(project).left_out
    config = replace(project.config, plugins=("libgdal-netcdf",))
    asked = replace(project, host=replace(project.host, config=config))
    assert "libgdal-netcdf" in {package.name for package in remembered(asked).packages}
    assert len(reads) == 2


def test_another_geowheel_reads_for_itself(
    project: Project, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    remembered(project)
    monkeypatch.setattr(module, "toolkit_digest", lambda: "another")
    remembered(project)
    assert len(reads) == 2


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"key": 1, "stack": {}}'])
def test_what_is_damaged_is_read_again(project: Project, reads: list[Path], text: str) -> None:
    first = remembered(project)
    (memo,) = (project.work / "locks").glob("read-*.json")
    memo.write_text(text)
    assert remembered(project) == first
    assert len(reads) == 2
    assert memo.read_text() != text


def test_what_cannot_be_kept_is_read_again(project: Project, reads: list[Path]) -> None:
    project.work.mkdir()
    (project.work / "locks").write_text("a file where the folder would be")
    assert remembered(project) == remembered(project)
    assert len(reads) == 2

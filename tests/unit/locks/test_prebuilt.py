"""Prebuilt bindings: of which record they are, and when they cannot be had."""

from dataclasses import replace
from pathlib import Path

import pytest
from rattler import BuildString, PackageRecord, RepoDataRecord
from tests.support.hosts import make_locks, make_project

from geowheel.errors import LockError, UsageError
from geowheel.locks.assets import Package
from geowheel.locks.in_use import Locks
from geowheel.locks.native_stack import NativeStack
from geowheel.locks.pixi_lock import Solved, write_lock
from geowheel.locks.prebuilt import prebuilt_at_hand
from geowheel.project.config import Bindings
from geowheel.project.project import wants_prebuilt
from geowheel.targets import Platform, Target

TARGET = Target(python="3.12", platform=Platform.WIN_64)
URL = "https://conda.invalid/"


def record(name: str, *, build: str = "0") -> RepoDataRecord:
    file = f"{name}-3.12.3-{build}.conda"
    sha256 = f"{name}{build}".encode().ljust(32, b".")[:32]
    return RepoDataRecord(
        PackageRecord(name, "3.12.3", BuildString(build), 0, "win-64", sha256=sha256),
        file, f"{URL}win-64/{file}", URL,
    )  # fmt: skip


def locks(path: Path, **environments: list[RepoDataRecord]) -> Locks:
    """A committed lock of these environments, whose native stack is build 0 of libgdal-core."""
    solved = [
        Solved(
            environment=name.replace("_", "-"), platform=Platform.WIN_64, virtual_packages=(),
            channels=(URL,), records=every,
        )
        for name, every in {"default": [record("libgdal-core")], **environments}.items()
    ]  # fmt: skip
    write_lock(path / "pixi.lock", solved)
    packages = (Package.of(record("libgdal-core")),)
    stack = NativeStack(platform=Platform.WIN_64, packages=packages, left_out=())
    return replace(make_locks(), stack=stack, path=path / "pixi.lock")


def test_the_bindings_are_those_beside_the_same_libgdal(tmp_path: Path) -> None:
    made = locks(tmp_path, gdal_py312=[record("libgdal-core"), record("gdal", build="py312_0")])
    found = prebuilt_at_hand(make_project(tmp_path), TARGET, made)
    assert found is not None
    assert (found.name, found.build) == ("gdal", "py312_0")


def test_what_is_refused_says_why(tmp_path: Path) -> None:
    with pytest.raises(LockError, match="no environment 'gdal-py312'") as caught:
        prebuilt_at_hand(make_project(tmp_path), TARGET, locks(tmp_path))
    assert "[feature.gdal-py312.dependencies]" in str(caught.value)
    assert 'python = "3.12.*"' in str(caught.value)
    other = [record("libgdal-core", build="1"), record("gdal")]
    with pytest.raises(LockError, match=r"libgdal-core 3\.12\.3 1, the native stack has") as caught:
        prebuilt_at_hand(make_project(tmp_path), TARGET, locks(tmp_path, gdal_py312=other))
    assert "solve-group" in str(caught.value)
    with pytest.raises(LockError, match="has no package gdal"):
        prebuilt_at_hand(
            make_project(tmp_path), TARGET, locks(tmp_path, gdal_py312=[record("libgdal-core")])
        )


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ("", False),
        ('bindings = "prebuilt"\n', True),
        ('bindings = "prebuilt"\nlayout = "none"\nimport-package = "pkg"\n', False),
    ],
)
def test_only_a_host_with_bindings_wants_them(tmp_path: Path, more: str, wanted: bool) -> None:
    assert wants_prebuilt(make_project(tmp_path, more=more)) is wanted
    more = 'layout = "private"\nimport-package = "pkg._vendor.osgeo"\n'
    project = replace(make_project(tmp_path, more=more), asked_bindings=Bindings.PREBUILT)
    with pytest.raises(UsageError, match='do not fit layout = "private"') as caught:
        wants_prebuilt(project)
    assert "SWIG type table" in str(caught.value)

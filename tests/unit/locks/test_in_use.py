"""Which locks a run uses."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.hosts import make_package, make_project

from geowheel.errors import LockError
from geowheel.locks.in_use import committed_stack, locks_at_hand
from geowheel.locks.pixi_lock import Solved, write_lock
from geowheel.targets import Platform

CHANNEL = "https://conda.anaconda.org/conda-forge/"


def test_the_committed_lock_is_asked_what_the_host_wishes(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    packages = [
        replace(make_package(name), url=f"{CHANNEL}linux-64/{name}-1-0.conda", sha256="ab" * 32)
        for name in ("libgdal-core", "ca-certificates", "libgdal-netcdf")
    ]
    solved = Solved(
        environment="default", platform=Platform.LINUX_64, virtual_packages=(),
        channels=(CHANNEL,), records=[package.record() for package in packages],
    )  # fmt: skip
    write_lock(project.manifest.lock_path, [solved])
    before = sorted(project.root.rglob("*"))
    assert committed_stack(project, Platform.LINUX_64).stack.left_out == ("libgdal-netcdf",)
    config = replace(project.config, plugins=("libgdal-netcdf",))
    asked = replace(project, host=replace(project.host, config=config))
    assert committed_stack(asked, Platform.LINUX_64).stack.left_out == ()
    with pytest.raises(LockError, match="the wheel requires affine, which the build lock") as said:
        locks_at_hand(replace(project, unlisted=("affine",)), Platform.LINUX_64)
    assert 'requires = ["affine"], then `geowheel lock`' in str(said.value)
    assert sorted(project.root.rglob("*")) == before

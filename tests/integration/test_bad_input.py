"""Hosts that are not as one expects: a clear error before any work, or it works."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from geowheel.digest import sha256_file
from tests.support.private_hosts import PrivateHosts
from tests.support.project_copy import PYTHON, ProjectCopy, not_passed


@pytest.fixture
def atlas(private_hosts: PrivateHosts, tmp_path: Path) -> ProjectCopy:
    """A checkout in which atlas' wheel was made."""
    root = tmp_path / "project"
    shutil.copytree(private_hosts.atlas.root, root, symlinks=True)
    return replace(private_hosts.atlas, root=root)


def test_a_folder_of_spaces_and_umlauts(atlas: ProjectCopy, private_hosts: PrivateHosts) -> None:
    """Everything but the compilation is done again there, and gives the same bytes."""
    moved = replace(atlas, host="hosts/mein hóst")
    (atlas.root / atlas.host).rename(moved.root / moved.host)
    for stage in ("vendor", "build", "repair", "size", "test"):
        moved.forget(stage)
    shutil.rmtree(moved.root / "dist")
    (summary,) = moved.json("wheel", "--python", PYTHON)["targets"]
    assert summary["stages"]["build"]["passed"] and summary["stages"]["test"]["passed"]
    assert not_passed(summary) == []
    wheel = Path(summary["wheel"])
    assert wheel.is_relative_to(moved.root)
    assert sha256_file(wheel) == private_hosts.made_by_atlas["sha256"]

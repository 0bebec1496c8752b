"""Hosts that are not as one expects: a clear error before any work, or it works."""

import re
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


def test_two_hosts_of_one_name(atlas: ProjectCopy) -> None:
    (wheel,) = atlas.root.glob("dist/atlas_host-*.whl")
    copied = replace(atlas, host="hosts/copied")
    shutil.copytree(atlas.root / atlas.host, atlas.root / copied.host)
    for command in ("wheel", "plan"):
        result = copied.run(command, "--python", PYTHON)
        assert result.returncode == 3, result.stderr
        assert "distribution name atlas-host: hosts/copied and hosts/atlas" in result.stderr
    assert wheel.is_file() and not list(atlas.root.glob(".geowheel/dist-*"))
    assert atlas.run("plan", "--python", PYTHON).returncode == 0, "the one that was there goes on"


def test_a_host_without_the_table(atlas: ProjectCopy) -> None:
    path = atlas.root / atlas.host / "pyproject.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.partition("[tool.geowheel]")[0], encoding="utf-8")
    result = atlas.run("wheel", "--python", PYTHON)
    assert result.returncode == 3, result.stderr
    assert "Traceback" not in result.stderr
    assert f"{path}: no [tool.geowheel] table" in result.stderr
    assert "next: run `geowheel init`" in result.stderr


def test_a_host_without_the_package_that_it_names(atlas: ProjectCopy) -> None:
    package = atlas.root / atlas.host / "atlas"
    package.rename(package.with_name("other"))
    before = set(atlas.root.glob("dist/*"))
    result = atlas.run("wheel", "--python", PYTHON)
    assert result.returncode == 8, result.stderr
    assert "Traceback" not in result.stderr
    assert re.search("the (host|wheel) has no package 'atlas'", result.stderr)
    assert "next: name the host's own import package" in result.stderr
    assert set(atlas.root.glob("dist/*")) == before and not atlas.scratch("build")

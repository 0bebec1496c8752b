"""The hosts of the tests: hosts/gdal, hosts/terrain and a second private one, tests/data/atlas.

atlas has a GDAL of another build than the other two (see another_build).
"""

import os
import shutil
import subprocess
import venv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from platform import machine
from typing import Any

from tests.support.another_build import write_another_build
from tests.support.project_copy import PYTHON, REPOSITORY, Built, ProjectCopy

ATLAS = REPOSITORY / "tests" / "data" / "atlas"
ANOTHER_BUILD = "another-build"


@dataclass(frozen=True, kw_only=True)
class PrivateHosts:
    """Two private hosts, each with the GDAL build of its own, and what was made of them."""

    terrain: ProjectCopy
    atlas: ProjectCopy
    made_by_terrain: dict[str, Any]
    made_by_atlas: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Installed:
    """The wheels of all three hosts in one environment."""

    python: Path
    site: Path

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, *map(str, arguments)], env={"PATH": os.environ["PATH"]},
            cwd=self.site.parent, capture_output=True, text=True, check=False,
        )  # fmt: skip


def make_private_hosts(built: Built, folder: Path) -> dict[str, Any]:
    """What was made of each host in `folder`/project; what `built` fetched is not fetched again."""
    root = folder / "project"
    shutil.copytree(built.project.root, root, symlinks=True)
    add_atlas(root, "hosts/atlas")
    (distro,) = built.project.cache.glob("channels/distro-*[0-9]")
    write_another_build(distro, folder / ANOTHER_BUILD, folder / "scratch")
    hosts = _projects(built, folder, root)
    return {
        name: project.json("wheel", "--python", PYTHON)["targets"][0]
        for name, project in hosts.items()
    }


def private_hosts_of(
    built: Built, folder: Path, root: Path, made: Mapping[str, dict[str, Any]]
) -> PrivateHosts:
    """The hosts in the checkout `root`, with the channel in `folder`."""
    hosts = _projects(built, folder, root)
    return PrivateHosts(
        terrain=hosts["terrain"],
        atlas=hosts["atlas"],
        made_by_terrain=made["terrain"],
        made_by_atlas=made["atlas"],
    )


def _projects(built: Built, folder: Path, root: Path) -> dict[str, ProjectCopy]:
    extra = {**built.project.extra, "GEOWHEEL_CHANNEL": str(folder / ANOTHER_BUILD)}
    return {
        "terrain": replace(built.project, root=root, host="hosts/terrain"),
        "atlas": replace(built.project, root=root, host="hosts/atlas", extra=extra),
    }


def add_atlas(root: Path, place: str) -> Path:
    """Put a copy of atlas into a checkout."""
    return Path(shutil.copytree(ATLAS, root / place))


def install(built: Built, private: PrivateHosts, folder: Path) -> Installed:
    """An environment with the three wheels, and the NumPy that terrain was tested with."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    tag = f"cp{PYTHON.replace('.', '')}"
    (numpy,) = built.project.cache.glob(f"store/??/*/numpy-*-{tag}-{tag}-*_{machine()}.whl")
    wheels = [numpy, built.wheel, private.made_by_terrain["wheel"], private.made_by_atlas["wheel"]]
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", *wheels], check=True
    )
    return Installed(python=python, site=folder / "lib" / f"python{PYTHON}" / "site-packages")

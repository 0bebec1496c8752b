"""Both hosts in a bare root of the Debian release that this machine is not, as a newcomer there."""

import re
import shutil
from pathlib import Path

import pytest

from tests.support.debian_root import DebianRoot
from tests.support.project_copy import copy_repository

# A compiler is installed, a tool environment made, and GDAL compiled and tested twice.
pytestmark = pytest.mark.timeout(1800)

# The first requirement of the README: headers and venv included, gcc and g++.
REQUIRED = ("python3", "python3-venv", "python3-dev", "gcc", "g++")
CHECKOUT = "/home/person/geowheel"


@pytest.fixture(scope="module")
def newcomer(debian_root: DebianRoot, tmp_path_factory: pytest.TempPathFactory) -> DebianRoot:
    """A root with what the README asks for, and a checkout that is no git repository."""
    install = ["apt-get", "install", "-qq", "--no-install-recommends", *REQUIRED]
    installed = debian_root.run(install, user="root")
    assert installed.returncode == 0, installed.stdout + installed.stderr
    copy = tmp_path_factory.mktemp("checkout") / "geowheel"
    copy_repository(copy)
    shutil.rmtree(copy / ".git")
    debian_root.copy_in(copy, CHECKOUT)
    return debian_root


@pytest.mark.parametrize(
    ("host", "arguments"),
    [("gdal", ()), ("terrain_gdal", ("--", "--host", "hosts/terrain"))],
    ids=["gdal", "terrain"],
)
def test_newcomers_get_a_wheel(newcomer: DebianRoot, host: str, arguments: tuple[str, ...]) -> None:
    done = newcomer.run(
        ["python3", "ci/nox.py", "-s", "wheel", *arguments],
        cwd=CHECKOUT,
        env={"GEOWHEEL_CHANNEL": "distro", "COLUMNS": "200"},
    )
    written = done.stdout + done.stderr
    assert done.returncode == 0, written
    folder = Path(f"{newcomer.path}{CHECKOUT}") / "dist"
    (wheel,) = folder.glob(f"{host}-*.whl")
    assert f"dist/{wheel.name}" in done.stdout
    assert re.search(r"^native stack: distro-debian-\d+", done.stdout, re.MULTILINE)
    assert "FAILED" not in written and "the whole run took" in written.splitlines()[-1]

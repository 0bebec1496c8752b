"""Wheels for Windows in a CPython for Windows, under wine.

The wheel of conda-forge's own binaries is made and tried where GEOWHEEL_TEST_CHANNEL names a folder
channel that has them.
"""

import json
import os
import zipfile
from pathlib import Path

import pytest

from geowheel.lab.running import PROBES, copy_probes
from geowheel.targets import Platform
from tests.support.foreign_channels import write_channel
from tests.support.project_copy import ProjectCopy, copy_repository
from tests.support.windows_fixtures import ANSWER
from tests.support.windows_python import WindowsPython, shown_to_windows, unpack_windows_python

pytestmark = [pytest.mark.integration, pytest.mark.cross, pytest.mark.pypi]

SMALL = """
import ctypes, json, os, sys
sys.path.insert(0, os.path.join(sys.argv[1], "osgeo"))
import _geowheel
assert _geowheel.configure()
with open(os.path.join(sys.path[0], "_geowheel.json")) as file:
    gdal = ctypes.CDLL(os.path.normpath(os.path.join(sys.path[0], json.load(file)["gdal"])))
print(gdal.plugin_answer(os.fsencode(os.path.join(sys.path[0], "_plugins", "gdal_HDF5.dll"))))
"""
REAL = """
import sys
sys.path.insert(0, sys.argv[1])
from osgeo import gdal
print([gdal.GetDriver(n).ShortName for n in range(gdal.GetDriverCount())])
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> WindowsPython:
    return unpack_windows_python(tmp_path_factory.mktemp("python"))


def installed(channel: Path, root: Path) -> tuple[Path, str]:
    """The unpacked wheel of hosts/gdal from a channel, and what making it printed."""
    copy_repository(root / "project")
    project = ProjectCopy(root=root / "project", cache=root / "cache")
    made = project.run("wheel", "--python", "3.12", "--bindings", "prebuilt", "--platform",
                       "win-64", "--channel", str(channel))  # fmt: skip
    assert made.returncode == 0, made.stderr
    (wheel,) = project.root.glob("dist/*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(root / "site")
    return root / "site", made.stdout + made.stderr


def test_the_bootstrap_finds_libraries_and_plugins(python: WindowsPython, tmp_path: Path) -> None:
    site, _ = installed(write_channel(tmp_path / "channel", Platform.WIN_64), tmp_path)
    done = python.run("-c", SMALL, site, cwd=tmp_path)
    assert done.stdout.split() == [str(ANSWER)], done.stderr
    told = site / "osgeo" / "_geowheel.json"
    every = json.loads(told.read_text("utf-8")).items()
    told.write_text(json.dumps({k: v for k, v in every if not k.startswith("preload-")}), "utf-8")
    lost = python.run("-c", SMALL, site, cwd=tmp_path)
    assert lost.stdout.split() == ["-126"], "the plugin's libraries are loaded by the bootstrap"


def test_a_wheel_of_conda_forges_own_binaries(python: WindowsPython, tmp_path: Path) -> None:
    channel = os.environ.get("GEOWHEEL_TEST_CHANNEL")
    if channel is None:
        pytest.skip("NOT RUN: GEOWHEEL_TEST_CHANNEL names no channel of real binaries")
    site, said = installed(Path(channel), tmp_path)
    slow = (" still running after ", " done in ")
    assert sum(not any(s in line for s in slow) for line in said.splitlines()) <= 36, said
    done = python.run("-c", REAL, site, cwd=tmp_path)
    drivers = json.loads(done.stdout.replace("'", '"'))
    order = (site / "osgeo/_plugins/drivers.ini").read_text("utf-8").partition("[order]")[2]
    known = [line for line in order.upper().splitlines() if line and line[0] != "#"]
    assert len(drivers) > 200
    assert [n for n in known if n in (d.upper() for d in drivers)] == [d.upper() for d in drivers]
    copy_probes(tmp_path)
    asked, report = tmp_path / "asked.json", tmp_path / "report.json"
    asked.write_text(json.dumps({"package": "osgeo", "layout": "toplevel", "version": "3.13.3",
                                 "function": "wheel:probe", "site": shown_to_windows(site),
                                 "folder": shown_to_windows(tmp_path)}))  # fmt: skip
    done = python.run(tmp_path / PROBES / "probe.py", asked, report, cwd=tmp_path)
    rows = json.loads(report.read_text("utf-8"))
    assert [row for row in rows if row["passed"] is False] == [] and len(rows) > 5, done.stderr

"""Wheels with a private copy of osgeo. Three of them in one process: test_three_hosts.py."""

import shutil
import zipfile

from tests.support.private_hosts import Installed, PrivateHosts
from tests.support.project_copy import PYTHON, not_passed


def test_a_private_wheel_has_nothing_at_the_top_level(private_hosts: PrivateHosts) -> None:
    for summary in (private_hosts.made_by_terrain, private_hosts.made_by_atlas):
        assert not_passed(summary) == []
    with zipfile.ZipFile(private_hosts.made_by_atlas["wheel"]) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
        assert tops == {"atlas", "atlas_host.libs", "atlas_host-1.0.dist-info"}
        assert "atlas/_vendor/osgeo_utils/gdal_calc.py" in archive.namelist()


def test_the_documented_helper_finds_gdal(three_hosts: Installed) -> None:
    code = "from {0}._osgeo import gdal, PACKAGE; print(PACKAGE, gdal.__name__)"
    private = three_hosts.run("-c", code.format("atlas"))
    assert private.stdout.split() == ["atlas._vendor.osgeo", "atlas._vendor.osgeo.gdal"]
    bare = three_hosts.site / "bare"
    shutil.copytree(three_hosts.site / "atlas", bare, ignore=shutil.ignore_patterns("_vendor"))
    (bare / "__init__.py").write_text("", encoding="utf-8")  # atlas' own imports atlas
    assert three_hosts.run("-c", code.format("bare")).stdout.split() == ["osgeo", "osgeo.gdal"]
    made = three_hosts.run(
        "-c", "import sys; from atlas._vendor.osgeo_utils import gdal_merge, ogrmerge; "
        "print(sorted(n for n in sys.modules if n.split('.')[0] in ('osgeo', 'osgeo_utils')))",
    )  # fmt: skip
    assert made.stdout == "[]\n", made.stderr
    usage = three_hosts.run("-m", "atlas._vendor.osgeo_utils.gdal_merge", "--version")
    assert "GDAL 3." in usage.stdout + usage.stderr


def test_the_same_bytes_again(private_hosts: PrivateHosts) -> None:
    private_hosts.atlas.forget("repair")
    (again,) = private_hosts.atlas.json("repair", "--python", PYTHON)["targets"]
    assert again["sha256"] == private_hosts.made_by_atlas["sha256"]

"""HTTPS from a server on loopback, by GDAL (/vsicurl/) and by PROJ (grids): whom they trust."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import Any, Iterator

from . import ours, probe

GRID = "lab_grid.tif"
SHIFT = 12.5


def by(asked: dict[str, Any]) -> dict[str, Any]:
    """GDAL or PROJ reads where it is to trust the server, and gets no byte where it is not."""
    with server(asked) as port:
        variables = dict(_proj_network(asked, port))
        if "variable" in asked:
            variables[asked["variable"]] = os.path.join(asked["folder"], asked["bundle"])
        return probe.again(
            asked, "net:reads", port=port, served=asked["folder"], variables=variables
        )


def own_bundle(asked: dict[str, Any]) -> dict[str, Any]:
    """Without any variable GDAL and PROJ trust whom the wheel's bundle names, and only them."""
    bundle = ours.bundle(asked)["ca_bundle"]
    if not os.path.exists(bundle):
        return {"skipped": "no certificates in this wheel"}
    site = os.path.join(asked["folder"], "site")
    inside = os.path.relpath(bundle, ours.site_of(asked))
    ours.copy_site(asked, site)
    with server(asked) as port:
        copied = os.path.join(site, inside)
        os.unlink(copied)  # it may be a hard link: the installed one must stay as it is
        shutil.copyfile(os.path.join(asked["folder"], "ca.pem"), copied)
        reports = [
            probe.again(asked, "net:reads", who=who, site=site, port=port, trusted=True,
                        served=asked["folder"], variables=_proj_network(asked, port))
            for who in ("GDAL", "PROJ")
        ]  # fmt: skip
    return max(reports, key=len)  # one that was skipped says why


def by_dap(asked: dict[str, Any]) -> dict[str, Any]:
    """netCDF's own remote access, by a libcurl of its own: whom it asks is up to .ncrc."""
    if ours.module(asked, "gdal").GetDriverByName("netCDF") is None:
        return {"skipped": "no driver netCDF in this wheel"}
    with server(asked) as port:
        if asked["trusted"]:
            with open(os.path.join(asked["folder"], ".ncrc"), "w", encoding="utf-8") as file:
                file.write("HTTP.SSL.CAINFO=%s\n" % os.path.join(asked["folder"], "ca.pem"))
        probe.again(asked, "net:dap_asks", port=port, served=asked["folder"],
                   variables={"HOME": asked["folder"]})  # fmt: skip
    return {}


def dap_asks(asked: dict[str, Any]) -> None:
    """What the server would answer is no data set: whether it was asked is what counts."""
    try:
        ours.module(asked, "gdal").OpenEx('NETCDF:"https://localhost:%d/data"' % asked["port"])
    except RuntimeError:
        assert bool(_requests(asked, "data.dds")) == asked["trusted"]
        return
    raise AssertionError("a page that says 404 was taken for a data set")


def _proj_network(asked: dict[str, Any], port: int) -> dict[str, str]:
    return {
        "PROJ_NETWORK": "ON",
        "PROJ_NETWORK_ENDPOINT": "https://localhost:%d" % port,
        "PROJ_USER_WRITABLE_DIRECTORY": os.path.join(asked["folder"], "proj"),
    }


@contextmanager
def server(asked: dict[str, Any]) -> Iterator[int]:
    """Yield the server with its files; its port."""
    folder = asked["folder"]
    os.makedirs(os.path.join(folder, "files"))
    os.makedirs(os.path.join(folder, "proj"))
    ours.write_raster(asked, os.path.join(folder, "files", "a.tif"))
    _write_grid(asked, os.path.join(folder, "files", GRID))
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "server.py")
    process = subprocess.Popen(
        [asked["peers"], "-I", script, folder],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdin and process.stdout
        yield int(process.stdout.readline())
    finally:
        process.communicate()  # closes its input, which ends it


def _write_grid(asked: dict[str, Any], path: str) -> None:
    """A vertical shift grid as PROJ reads it: https://proj.org/specifications/geodetictiffgrids.html"""
    gdal = ours.module(asked, "gdal")
    made = gdal.GetDriverByName("GTiff").Create(path, 8, 8, 1, gdal.GDT_Float32)
    made.SetGeoTransform((0.0, 10.0, 0.0, 70.0, 0.0, -10.0))  # whichever axis comes first
    made.SetSpatialRef(ours.geographic(asked, 4326))
    made.SetMetadataItem("TYPE", "VERTICAL_OFFSET_GEOGRAPHIC_TO_VERTICAL")
    made.SetMetadataItem("AREA_OR_POINT", "Point")
    band = made.GetRasterBand(1)
    band.SetDescription("geoid_undulation")
    band.Fill(SHIFT)
    made.FlushCache()


def reads(asked: dict[str, Any]) -> dict[str, Any]:
    """In a process of its own; skipped where the host itself says whom its libraries trust."""
    wanted, found = asked["variables"], ours.environment(asked)
    names = sorted(n for n in found if "CA_BUNDLE" in n and found[n] != wanted.get(n))
    if names:
        return {"skipped": "the host sets %s at import" % ", ".join(names)}
    (_gdal_reads if asked["who"] == "GDAL" else _proj_reads)(asked)
    return {}


def _gdal_reads(asked: dict[str, Any]) -> None:
    gdal = ours.module(asked, "gdal")
    gdal.SetConfigOption("GDAL_DISABLE_READDIR_ON_OPEN", "EMPTY_DIR")
    gdal.SetConfigOption("GDAL_HTTP_MAX_RETRY", "0")
    if asked.get("option"):
        gdal.SetConfigOption("GDAL_CURL_CA_BUNDLE", os.path.join(asked["served"], asked["option"]))
    url = "/vsicurl/https://localhost:%d/a.tif" % asked["port"]
    if asked["trusted"]:
        read = gdal.OpenEx(url)
        assert bytes(read.GetRasterBand(1).ReadRaster()) == ours.VALUES
        assert _requests(asked, "a.tif")
        return
    try:
        gdal.OpenEx(url)
    except RuntimeError:
        assert not _requests(asked, "a.tif"), "refused only after the server was asked"
        return
    raise AssertionError("a server that nobody trusts was read")


def _proj_reads(asked: dict[str, Any]) -> None:
    osr = ours.module(asked, "osr")
    options = osr.CoordinateTransformationOptions()
    options.SetOperation(
        "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad "
        "+step +proj=vgridshift +multiplier=1 +grids=%s "
        "+step +proj=unitconvert +xy_in=rad +xy_out=deg" % GRID
    )
    if not asked["trusted"]:
        refused = _height(asked, options)
        assert refused is None, "a grid came from a server that nobody trusts: %r" % refused
        assert not _requests(asked, GRID), "refused only after the server was asked"
        return
    height = _height(asked, options)
    assert height is not None, "no grid from a server that is to be trusted"
    assert abs(height - (100.0 + SHIFT)) < 1e-6, height
    assert _requests(asked, GRID)


def _height(asked: dict[str, Any], options: Any) -> float | None:
    """Return what becomes of 100 m; None where the operation cannot be made."""
    reference = ours.geographic(asked, 4979)
    try:
        change = ours.module(asked, "osr").CoordinateTransformation(reference, reference, options)
        height: float = change.TransformPoint(13.0, 52.0, 100.0)[2]
    except RuntimeError:
        return None
    return height if abs(height) < 1e6 else None  # infinite: PROJ's own word for an error


def _requests(asked: dict[str, Any], name: str) -> list[str]:
    path = os.path.join(asked["served"], "requests.txt")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [line for line in file if name in line]

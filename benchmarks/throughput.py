"""What a wheel of this repository costs at work, against the distribution's own GDAL, in one run.

`python3 ci/nox.py -s benchmark_throughput` (or this file with a wheel's path; default: the one that
`wheel` left in dist/ for the system's Python). The distribution's python3-gdal and gdal-bin have to
be there. Both sides run in one interpreter, /usr/bin/python3, each time in a fresh process; they
take turns, and the first pair does not count. What counts is processors' time, user and system: of
the work alone, for an import and a command of the whole process. The ratio is the median of the
pairs'. Prints a Markdown table, and fails over the limit.

A second wheel's path puts that wheel in the distribution's place, with NumPy on both sides: the
stable ABI against the full one, for one.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[1]
PYTHON: Final = "/usr/bin/python3"
PAIRS: Final = 9
LIMIT: Final = 1.05

START: Final = """
import os, sys, time
from osgeo import gdal, ogr, osr
for module in (gdal, ogr, osr):
    module.UseExceptions()
DEFLATE = ["COMPRESS=DEFLATE", "TILED=YES"]
def made(path, size, options=()):
    data = bytes((x * x // 97 + y * y // 89) % 251 for y in range(64) for x in range(64))
    source = gdal.GetDriverByName("MEM").Create("", 64, 64, 1)
    source.GetRasterBand(1).WriteRaster(0, 0, 64, 64, data)
    source.SetGeoTransform((10, 1 / size, 0, 50, 0, -1 / size))
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(4326)
    source.SetProjection(reference.ExportToWkt())
    gdal.Translate(path, source, width=size, height=size, creationOptions=list(options))
"""
END: Final = "print(time.process_time() - before)"
IMPORT: Final = "import osgeo.gdal"
MAKE: Final = """
made("large.tif", 3000, DEFLATE)
for number in range(40):
    made(f"small{number}.tif", 64)
"""
WORK: Final[Mapping[str, str]] = {
    "import": "",
    "read": """
for _ in range(4):
    dataset = gdal.Open("large.tif")
    dataset.ReadRaster(0, 0, 3000, 3000)
    dataset = None
""",
    "write": """
data = gdal.Open("large.tif").ReadRaster(0, 0, 3000, 3000)
made = gdal.GetDriverByName("GTiff").Create("/vsimem/made.tif", 3000, 3000, 1, 1, DEFLATE)
made.WriteRaster(0, 0, 3000, 3000, data)
made = None
""",
    "warp": 'gdal.Warp("", "large.tif", format="MEM", dstSRS="EPSG:32632", resampleAlg="bilinear")',
    "features": """
made = ogr.GetDriverByName("GPKG").CreateDataSource("/vsimem/places.gpkg")
layer = made.CreateLayer("places", geom_type=ogr.wkbPoint)
layer.CreateField(ogr.FieldDefn("name", ogr.OFTString))
layer.StartTransaction()
for number in range(8000):
    feature = ogr.Feature(layer.GetLayerDefn())
    feature["name"] = str(number)
    feature.SetGeometry(ogr.CreateGeometryFromWkt(f"POINT ({number % 100} {number // 100})"))
    layer.CreateFeature(feature)
layer.CommitTransaction()
layer.SetSpatialFilterRect(10, 10, 60, 60)
for _ in range(3):
    assert sum(1 for _ in layer) == 51 * 51
""",
    "geometry": """
whole = ogr.Geometry(ogr.wkbPolygon)
for number in range(120):
    point = ogr.CreateGeometryFromWkt(f"POINT ({number % 12} {number // 12})")
    whole = whole.Union(point.Buffer(0.7, 40))
assert whole.Area() > 100
""",
    "small files": """
for _ in range(20):
    for number in range(40):
        gdal.Open(f"small{number}.tif").ReadRaster(0, 0, 64, 64)
""",
}


ARRAYS: Final[Mapping[str, str]] = {
    "ReadAsArray, large": """
dataset = gdal.Open("large.tif")
for _ in range(8):
    dataset.ReadAsArray()
""",
    "ReadAsArray, small": """
dataset = gdal.Open("large.tif")
for number in range(20000):
    dataset.ReadAsArray(number % 2000, 8, 4, 4)
""",
    "features by field": """
places = ogr.GetDriverByName("MEM").CreateDataSource("")
layer = places.CreateLayer("places")
for name in "abcdefgh":
    layer.CreateField(ogr.FieldDefn(name, ogr.OFTReal))
feature = ogr.Feature(layer.GetLayerDefn())
for number in range(4000):
    for field in range(8):
        feature.SetField(field, number / 7)
    layer.CreateFeature(feature.Clone())
for _ in range(5):
    for feature in layer:
        for field in range(8):
            feature.GetField(field)
""",
    "small geometries": """
for number in range(60000):
    point = ogr.Geometry(ogr.wkbPoint)
    point.AddPoint_2D(number, 1.5)
    point.GetX(), point.GetY(), point.ExportToWkb()
""",
}


def main() -> int:
    """Measure and print; 1 where a ratio is over the limit."""
    wheel, *others = map(Path, sys.argv[1:] or [str(_built())])
    with tempfile.TemporaryDirectory(prefix="geowheel-benchmark-") as scratch:
        ours, work = Path(scratch, "ours"), Path(scratch, "work")
        work.mkdir()
        sides: dict[Path, dict[str, str]] = {ours / "bin": _installed(wheel, ours, *others)}
        for path in others:
            there = Path(scratch, "other")
            sides[there / "bin"] = _installed(path, there, *others)
        if not others:
            sides[Path("/usr/bin")] = {}
        if len({_version(sides[side], work) for side in sides}) != 1:
            sys.exit("the distribution's python3-gdal is not of the wheel's version, or not there")
        _seconds([PYTHON, "-c", START + MAKE], sides[ours / "bin"], work)
        ratios = {}
        for name, code in {**WORK, **(ARRAYS if others else {})}.items():
            text = f"{START}before = time.process_time()\n{code}\n{END}" if code else IMPORT
            command_of = {side: [PYTHON, "-c", text] for side in sides}
            ratios[name] = _ratio(command_of, sides, work)
        for name in () if others else ("--version", "large.tif"):
            command_of = {side: [str(side / "gdalinfo"), name] for side in sides}
            ratios[f"`gdalinfo {name}`"] = _ratio(command_of, sides, work)
    against = "other wheel" if others else "distribution"
    lines = [f"| work | milliseconds | of the {against}'s |", "| --- | --- | --- |"]
    lines += [
        f"| {what} | {own * 1000:.0f} | {ratio:.2f} |" for what, (own, ratio) in ratios.items()
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return int(any(ratio > LIMIT for _, ratio in ratios.values()))


def _installed(wheel: Path, folder: Path, *others: Path) -> dict[str, str]:
    """Install a wheel, with NumPy where two are compared, and return the variables for it."""
    what = [str(wheel.resolve()), *(["numpy"] if others else [])]
    pip = [PYTHON, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), *what]
    subprocess.run(pip, check=True)
    return {"PYTHONPATH": str(folder)}


def _built() -> Path:
    code = "import sys; print('cp%d%d' % sys.version_info[:2])"
    tag = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout
    wheels = sorted((REPOSITORY / "dist").glob(f"[Gg][Dd][Aa][Ll]-*-{tag.strip()}-*.whl"))
    if not wheels:
        sys.exit(f"no wheel of hosts/gdal for {PYTHON} in dist/: run `nox -s wheel` first")
    return wheels[-1]


def _version(environ: Mapping[str, str], folder: Path) -> str:
    code = "from osgeo import gdal; print(gdal.VersionInfo())"
    done = subprocess.run(
        [PYTHON, "-c", code], env=dict(environ), cwd=folder, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return done.stdout or done.stderr


def _ratio(
    commands: Mapping[Path, Sequence[str]], sides: Mapping[Path, Mapping[str, str]], folder: Path
) -> tuple[float, float]:
    """The seconds of ours, and the ratio to the other's."""
    pairs = [
        [_seconds(commands[side], sides[side], folder) for side in sides] for _ in range(PAIRS + 1)
    ][1:]
    return statistics.median(own for own, _ in pairs), statistics.median(o / t for o, t in pairs)


def _seconds(command: Sequence[str], environ: Mapping[str, str], folder: Path) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, env={"PATH": os.defpath, **environ}, cwd=folder, check=True, text=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.stdout and str(command[-1]).endswith(END):
        return float(done.stdout.split()[0])  # newer wrappers of SWIG print more as they end
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main())

"""The command line, from file to file."""

import csv
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import terrain
from terrain import _files, _gdal
from terrain._gradient import Method
from terrain._standard_error import without_libtiff
from terrain._surface import Slope
from terrain._vendor.osgeo import gdal, osr
from terrain.cli import main

pytestmark = pytest.mark.core

PLACE = (2600000.0, 10.0, 0.0, 1200000.0, 0.0, -10.0)


@pytest.fixture
def dem(tmp_path: Path) -> terrain.Raster:
    array = np.random.default_rng(8).normal(500, 20, (30, 40)).astype(np.float32)
    array[4, 5] = -1
    raster = terrain.Raster(array=array, geotransform=PLACE, nodata=-1)
    raster.write(tmp_path / "dem.tif")
    return raster


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_slope(tmp_path: Path, dem: terrain.Raster) -> None:
    source, out = str(tmp_path / "dem.tif"), tmp_path / "slope.tif"
    assert main(["slope", source, str(out), "--units", "percent", "--compute-edges"]) == 0
    expected = terrain.slope(dem.array, 10.0, units="percent", nodata=-1, compute_edges=True)
    result = terrain.Raster.read(out)
    assert result.nodata == -9999
    assert result.geotransform == PLACE
    np.testing.assert_array_equal(result.array, dem.like(expected, -9999).array)


def test_aspect(tmp_path: Path, dem: terrain.Raster) -> None:
    source, out = str(tmp_path / "dem.tif"), tmp_path / "aspect.tif"
    assert main(["aspect", source, str(out), "--method", "zevenbergen-thorne"]) == 0
    expected = terrain.aspect(dem.array, 10.0, method="zevenbergen-thorne", nodata=-1)
    np.testing.assert_array_equal(terrain.Raster.read(out).array, dem.like(expected, -9999).array)


def test_hillshade(tmp_path: Path, dem: terrain.Raster) -> None:
    source, out = str(tmp_path / "dem.tif"), tmp_path / "shade.tif"
    arguments = ["--azimuth", "-45", "--altitude", "30", "--z-factor", "2", "--scale", "3"]
    assert main(["hillshade", source, str(out), *arguments]) == 0
    shade = terrain.hillshade(dem.array, 30.0, azimuth=-45, altitude=30, z_factor=2, nodata=-1)
    result = terrain.Raster.read(out)
    assert result.array.dtype == np.uint8
    assert result.nodata == 0
    expected = np.where(np.isnan(shade), 0, shade)
    assert np.abs(result.array - expected).max() <= 0.5 + 1e-4
    assert ((result.array == 0) == np.isnan(shade)).all()


def test_zonal(tmp_path: Path, dem: terrain.Raster) -> None:
    zones = np.arange(dem.array.size).reshape(dem.array.shape) // 400
    zones[4, 5] = 9
    dem.like(zones.astype(np.int16), None).write(tmp_path / "zones.tif")
    out = tmp_path / "table.csv"
    source, zone_file = str(tmp_path / "dem.tif"), str(tmp_path / "zones.tif")
    assert main(["zonal", source, str(out), "--zones", zone_file]) == 0
    with out.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    expected = list(terrain.zonal_statistics(dem.array, zones, nodata=-1).rows())
    assert [int(row["zone"]) for row in rows] == [0, 1, 2, 9]
    for row, numbers in zip(rows[:-1], expected[:-1], strict=True):
        assert {name: float(text) for name, text in row.items()} == numbers
    assert rows[-1]["count"] == "0"
    assert rows[-1]["mean"] == ""


def test_degrees(tmp_path: Path) -> None:
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(4326)
    rows, _ = np.mgrid[0:20, 0:20]
    raster = terrain.Raster(
        array=(100.0 * rows).astype(np.float32),
        geotransform=(8.0, 0.001, 0.0, 47.0, 0.0, -0.001),
        crs=reference.ExportToWkt(),
    )
    raster.write(tmp_path / "dem.tif")
    out = tmp_path / "slope.tif"
    assert main(["slope", str(tmp_path / "dem.tif"), str(out), "--units", "percent"]) == 0
    slope = terrain.Raster.read(out).array[1:-1, 1:-1]
    np.testing.assert_allclose(slope, 100 * 100 / 111.3195, rtol=1e-4)


@pytest.mark.usefixtures("dem")
@pytest.mark.parametrize("method", ["horn", "zevenbergen-thorne"])
def test_many_blocks_give_the_same_file(tmp_path: Path, method: Method) -> None:
    band = _files.Band(path=str(tmp_path / "dem.tif"))
    options = _files.Options(method=method, compute_edges=True)
    for name, cells in (("one.tif", 10**6), ("many.tif", 90)):
        _files.write_surface(band, str(tmp_path / name), Slope(), _files.REAL, options, cells)
    one, many = (terrain.Raster.read(tmp_path / name) for name in ("one.tif", "many.tif"))
    np.testing.assert_array_equal(one.array, many.array)


@pytest.mark.usefixtures("dem")
def test_the_output_may_be_the_input(tmp_path: Path) -> None:
    path = tmp_path / "dem.tif"
    assert main(["slope", str(path), str(path)]) == 0
    assert terrain.Raster.read(path).nodata == -9999
    assert names(tmp_path) == ["dem.tif"]


@pytest.mark.usefixtures("dem")
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["slope", "{t}/no.tif", "{t}/o.tif"], 3, "no.tif: there is no such file"),
        (["slope", "{t}", "{t}/o.tif"], 3, "is a folder"),
        (["slope", "{t}/text.tif", "{t}/o.tif"], 3, "not a raster"),
        (["slope", "{t}/half.tif", "{t}/o.tif"], 3, "half.tif: rows 0 to 30 cannot be read"),
        (["slope", "{t}/flat.tif", "{t}/o.tif"], 3, "not georeferenced"),
        (["slope", "{t}/turned.tif", "{t}/o.tif"], 3, "gdalwarp"),
        (["slope", "{t}/complex.tif", "{t}/o.tif"], 3, "CFloat32"),
        (["slope", "{t}/dem.tif", "{t}/o.tif", "--band", "2"], 3, "has no band 2; name one from 1"),
        (["slope", "{t}/dem.tif", "{t}/no/o.tif"], 4, "create it first"),
        (["slope", "{t}/dem.tif", "{t}"], 4, ".tif"),
        (["slope", "{t}/dem.tif", "{t}/folder.tif"], 4, "is a folder"),
        (["slope", "{t}/dem.tif", "{t}/o.png"], 4, "GeoTIFF"),
        (["zonal", "{t}/dem.tif", "{t}/o.tif", "--zones", "{t}/dem.tif"], 4, ".csv"),
        (["zonal", "{t}/dem.tif", "{t}/o.csv", "--zones", "{t}/dem.tif"], 3, "whole numbers"),
        (["zonal", "{t}/dem.tif", "{t}/o.csv", "--zones", "{t}/small.tif"], 3, "2 x 2"),
        (["zonal", "{t}/dem.tif", "{t}/o.csv", "--zones", "{t}/moved.tif"], 3, "not the place"),
    ],
)
def test_what_cannot_be_done(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    make_inputs(tmp_path)
    before = names(tmp_path)
    assert main([argument.replace("{t}", str(tmp_path)) for argument in arguments]) == code
    written = capfd.readouterr()
    assert words in written.err
    assert written.err.startswith("terrain: error: ")
    assert len(written.err.splitlines()) == 1
    assert written.out == ""
    assert names(tmp_path) == before


def make_inputs(folder: Path) -> None:
    """Files that are wrong in one way each."""
    (folder / "folder.tif").mkdir()
    whole = (folder / "dem.tif").read_bytes()
    (folder / "half.tif").write_bytes(whole[: len(whole) // 2])
    (folder / "text.tif").write_text("heights", encoding="utf-8")
    driver = gdal.GetDriverByName("GTiff")
    driver.Create(str(folder / "flat.tif"), 4, 4, 1, gdal.GDT_Float32)
    turned = driver.Create(str(folder / "turned.tif"), 4, 4, 1, gdal.GDT_Float32)
    turned.SetGeoTransform((0, 1, 0.5, 0, 0.5, -1))
    numbers = driver.Create(str(folder / "complex.tif"), 4, 4, 1, gdal.GDT_CFloat32)
    numbers.SetGeoTransform(PLACE)
    terrain.Raster(array=np.eye(2), geotransform=PLACE).write(folder / "small.tif")
    moved = (2600005.0, *PLACE[1:])
    terrain.Raster(array=np.ones((30, 40)), geotransform=moved).write(folder / "moved.tif")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "COMMAND"),
        (["slope", "a.tif"], "OUT"),
        (["slope", "a.tif", "b.tif", "--scale", "0"], "above 0"),
        (["slope", "a.tif", "b.tif", "--units", "radians"], "percent"),
        (["hillshade", "a.tif", "b.tif", "--altitude", "95"], "from 0 to 90"),
        (["zonal", "a.tif", "b.csv"], "--zones"),
    ],
)
def test_wrong_arguments(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["slope"], ["aspect"], ["hillshade"], ["zonal"]])
def test_help(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    assert "usage: terrain" in capsys.readouterr().out


def test_the_module_runs() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "terrain", "--version"], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["terrain", terrain.__version__]


def test_the_command_is_installed() -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="terrain")
    assert script.load() is main


def test_without_its_gdal() -> None:
    code = (
        "import sys; from terrain.cli import main; sys.modules['terrain._vendor.osgeo'] = None;"
        "sys.exit(main(['slope', 'dem.tif', 'out.tif']))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.startswith("terrain: error: terrain is installed without its GDAL")


COMMANDS = {
    "slope": ["slope", "dem.tif", "out.tif"],
    "aspect": ["aspect", "dem.tif", "out.tif"],
    "hillshade": ["hillshade", "dem.tif", "out.tif"],
    "zonal": ["zonal", "dem.tif", "out.csv", "--zones", "zones.tif"],
}

# A process for each limit, forked so that GDAL is loaded once. It prints the limit, the exit code,
# the lines of standard error, the files, and whether the output is the old or the whole one.
LIMITED = """
import json, os, pathlib, resource, sys
from terrain.cli import main

arguments = sys.argv[1:]
assert main(arguments) == 0
out = pathlib.Path(arguments[2])
whole = out.read_bytes()
size = len(whole)
tries = {0, 1, 8, 100, 384, 1000, *range(0, size, size // 9 + 1)}
for limit in sorted({n for n in tries if n < size} | {size - 1, size, size + 1, 2 * size}):
    out.write_bytes(b"old")
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writing, 2)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        code = 99
        try:
            code = main(arguments)
        finally:
            os._exit(code)
    os.close(writing)
    with open(reading, errors="replace") as stream:
        lines = stream.read().splitlines()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found = {b"old": "old", whole: "whole"}.get(out.read_bytes(), "damaged")
    print(json.dumps([limit < size, limit, code, lines, sorted(os.listdir()), found]))
"""


@pytest.mark.skipif(os.name != "posix", reason="file size limits are POSIX")
@pytest.mark.parametrize("cells", [30, 200])  # below and above the size of GDAL's write buffer
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, command: str, cells: int) -> None:
    array = np.random.default_rng(9).normal(500, 20, (cells, cells)).astype(np.float32)
    dem = terrain.Raster(array=array, geotransform=PLACE, crs=swiss())
    dem.write(tmp_path / "dem.tif")
    zones = np.arange(array.size).reshape(array.shape) // 90
    dem.like(zones.astype(np.int32), None).write(tmp_path / "zones.tif")
    # Freed memory is overwritten (by glibc), so that what uses it once more cannot go unnoticed.
    environ = os.environ | {"MALLOC_PERTURB_": "165"}
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, *COMMANDS[command]],
        capture_output=True, text=True, check=False, cwd=tmp_path, env=environ,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")
    out = COMMANDS[command][2]
    tries = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(tries) > 10
    for too_small, limit, code, lines, names_left, found in tries:
        assert names_left == ["dem.tif", out, "zones.tif"]
        if too_small:
            assert (limit, code, len(lines), found) == (limit, 4, 1, "old"), lines
            assert lines[0].startswith(f"terrain: error: {out}: cannot be"), limit
        else:
            assert (limit, code, lines, found) == (limit, 0, [], "whole")


def swiss() -> str:
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(2056)
    return str(reference.ExportToWkt())


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    layout = _gdal.Layout(
        rows=3, columns=4, dtype=np.dtype("f4"), geotransform=PLACE, crs="", nodata=None
    )
    with (
        pytest.raises(terrain.OutputError, match="rows 0 to 3 are not what was written"),
        _gdal.created(tmp_path / "out.tif", layout) as target,
    ):
        target.write(0, np.ones((3, 4), np.float32))
        target.dataset.GetRasterBand(1).WriteArray(np.zeros((1, 4), np.float32), 0, 2)
    assert names(tmp_path) == []


@pytest.mark.usefixtures("dem")
@pytest.mark.parametrize("message", ["one\ntwo", "one\r\n\r\n  two\n", "\none\n\n\n\ttwo"])
def test_an_error_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], message: str
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError(message)

    monkeypatch.setattr(gdal, "OpenEx", fails)
    assert main(["slope", str(tmp_path / "dem.tif"), str(tmp_path / "out.tif")]) == 3
    written = capfd.readouterr().err
    assert len(written.splitlines()) == 1
    assert written.endswith("damaged: one two\n")


@pytest.mark.usefixtures("dem")
@pytest.mark.parametrize(
    ("source", "out", "code"),
    [
        ("dem.tif", "n" * 300 + ".tif", 4),
        ("n" * 300 + ".tif", "out.tif", 3),
        ("dem.tif", "two\nlines.png", 4),
        ("two\nlines.tif", "out.tif", 3),
    ],
    ids=["long output", "long input", "lines in the output", "lines in the input"],
)
def test_names_that_cannot_be(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], source: str, out: str, code: int
) -> None:
    assert main(["slope", str(tmp_path / source), str(tmp_path / out)]) == code
    written = capfd.readouterr().err
    assert written.startswith("terrain: error: ")
    assert len(written.splitlines()) == 1
    assert names(tmp_path) == ["dem.tif"]


def test_other_lines_than_those_of_libtiff_pass(capfd: pytest.CaptureFixture[str]) -> None:
    with without_libtiff():
        os.write(2, b"Warning 1: something\n_tiffWriteProc: No space left on device.\nand\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "Warning 1: something\nand\nafter\n"


@pytest.mark.skipif(os.name != "posix", reason="how a shell closes standard error")
@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full"])
def test_the_exit_code_needs_no_standard_error(tmp_path: Path, where: str) -> None:
    if "/" in where and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    command = f'"{sys.executable}" -m terrain slope no.tif "{tmp_path}/no/out.tif" {where}'
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 3

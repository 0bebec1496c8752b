"""Agreement with GDAL's own DEM processing, and with it that the right GDAL is there."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import terrain
from terrain import _gdal
from terrain._vendor.osgeo import gdal, osr

pytestmark = pytest.mark.core

NODATA = -9999.0
CELL = 30.0
ALGORITHMS: dict[terrain.Method, str] = {"horn": "Horn", "zevenbergen-thorne": "ZevenbergenThorne"}
Array = npt.NDArray[Any]


def surface(seed: int, shape: tuple[int, int] = (83, 101)) -> terrain.Raster:
    """Random heights in steps of 1/64, whose sums float32 holds exactly, with holes."""
    generator = np.random.default_rng(seed)
    dem = np.round(generator.normal(800, 40, shape) * 64) / 64
    dem[generator.random(shape) < 0.01] = NODATA
    dem[10:14, 20:29] = NODATA
    dem[40:50, 40:50] = 812.5
    dem[0, 0:3] = NODATA
    dem[-1, -1] = NODATA
    return terrain.Raster(
        array=dem.astype(np.float32),
        geotransform=(2600000.0, CELL, 0.0, 1200000.0, 0.0, -CELL),
        nodata=NODATA,
    )


def processed(raster: terrain.Raster, folder: Path, mode: str, **options: Any) -> Array:
    """What GDAL makes of it; NaN where there is no data."""
    raster.write(folder / "dem.tif")
    source = gdal.Open(str(folder / "dem.tif"))
    result = gdal.DEMProcessing("", source, mode, format="MEM", **options)
    band = result.GetRasterBand(1)
    values: Array = band.ReadAsArray().astype(np.float64)
    values[values == band.GetNoDataValue()] = np.nan
    return values


@pytest.fixture(params=[False, True], ids=["border", "edges"])
def edges(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=ALGORITHMS)
def method(request: pytest.FixtureRequest) -> terrain.Method:
    name: terrain.Method = request.param
    return name


def test_the_gdal_is_terrains_own() -> None:
    assert gdal.__name__ == "terrain._vendor.osgeo.gdal"
    assert vars(_gdal)["gdal"] is gdal
    folder = Path(terrain.__path__[0])
    assert folder in Path(str(gdal.__file__)).parents
    assert folder in Path(str(osr.__file__)).parents


@pytest.mark.parametrize("units", ["degrees", "percent"])
def test_slope(tmp_path: Path, method: terrain.Method, edges: bool, units: Any) -> None:
    raster = surface(1)
    expected = processed(
        raster,
        tmp_path,
        "slope",
        slopeFormat="degree" if units == "degrees" else "percent",
        alg=ALGORITHMS[method],
        computeEdges=edges,
        scale=1,
    )
    ours = terrain.slope(
        raster.array, CELL, units=units, method=method, nodata=NODATA, compute_edges=edges
    )
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_aspect(tmp_path: Path, method: terrain.Method, edges: bool) -> None:
    raster = surface(2)
    expected = processed(raster, tmp_path, "aspect", alg=ALGORITHMS[method], computeEdges=edges)
    ours = terrain.aspect(raster.array, CELL, method=method, nodata=NODATA, compute_edges=edges)
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(expected))
    difference = (ours - expected + 180) % 360 - 180
    # One step of float32 between 256 and 360.
    assert np.nanmax(np.abs(difference)) < 4e-5


def test_aspect_zero_for_flat(tmp_path: Path, method: terrain.Method) -> None:
    raster = surface(3)
    expected = processed(raster, tmp_path, "aspect", alg=ALGORITHMS[method], zeroForFlat=True)
    ours = terrain.aspect(raster.array, CELL, method=method, nodata=NODATA, zero_for_flat=True)
    assert (ours[42:48, 42:48] == 0).all()
    # gdaldem has 0 for flat and for no data alike.
    np.testing.assert_allclose(np.nan_to_num(ours), np.nan_to_num(expected), rtol=1e-6, atol=4e-5)


@pytest.mark.parametrize(("azimuth", "altitude"), [(315, 45), (20, 70), (200, 5)])
def test_hillshade(
    tmp_path: Path, method: terrain.Method, edges: bool, azimuth: float, altitude: float
) -> None:
    raster = surface(4)
    expected = processed(
        raster,
        tmp_path,
        "hillshade",
        alg=ALGORITHMS[method],
        computeEdges=edges,
        azimuth=azimuth,
        altitude=altitude,
        zFactor=0.7,
        scale=1,
    )
    ours = terrain.hillshade(
        raster.array,
        CELL,
        azimuth=azimuth,
        altitude=altitude,
        z_factor=0.7,
        method=method,
        nodata=NODATA,
        compute_edges=edges,
    )
    # GDAL's are bytes: ours are what it rounded.
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(expected))
    assert np.nanmax(np.abs(ours - expected)) < 0.5 + 1e-3


@pytest.mark.parametrize("height", [-20.0, 45.0])
def test_cells_that_are_not_square(tmp_path: Path, edges: bool, height: float) -> None:
    base = surface(5)
    raster = terrain.Raster(
        array=base.array, geotransform=(0.0, CELL, 0.0, 9000.0, 0.0, height), nodata=NODATA
    )
    slope = processed(raster, tmp_path, "slope", computeEdges=edges, scale=2)
    shade = processed(raster, tmp_path, "hillshade", computeEdges=edges, scale=2)
    size = tuple(2 * length for length in raster.cell_size)
    assert len(size) == 2
    ours = terrain.slope(raster.array, size, nodata=NODATA, compute_edges=edges)
    np.testing.assert_allclose(ours, slope, rtol=1e-6)
    ours = terrain.hillshade(raster.array, size, nodata=NODATA, compute_edges=edges)
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(shade))
    assert np.nanmax(np.abs(ours - shade)) < 0.5 + 1e-3


@pytest.mark.parametrize("shape", [(2, 2), (2, 9), (9, 2), (3, 3)])
def test_small_rasters_at_the_edges(
    tmp_path: Path, method: terrain.Method, shape: tuple[int, int]
) -> None:
    dem = np.random.default_rng(6).integers(0, 100, shape).astype(np.float32)
    raster = terrain.Raster(array=dem, geotransform=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0))
    expected = processed(
        raster, tmp_path, "slope", alg=ALGORITHMS[method], computeEdges=True, scale=1
    )
    ours = terrain.slope(dem, 1.0, method=method, compute_edges=True)
    np.testing.assert_allclose(ours, expected, rtol=1e-6)

"""Surfaces whose slope and aspect are known exactly. No GDAL here."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import terrain
from terrain import _surface
from terrain._gradient import Stencil

pytestmark = pytest.mark.core

METHODS: list[terrain.Method] = ["horn", "zevenbergen-thorne"]
Array = npt.NDArray[Any]


def plane(east: float, north: float, cell: tuple[float, float] = (10.0, 10.0)) -> Array:
    """Heights that rise by `east` and `north` per unit."""
    rows, columns = np.mgrid[0:7, 0:9].astype(float)
    dem: Array = 100 + east * columns * cell[0] - north * rows * cell[1]
    return dem


def inner(array: Array) -> Array:
    return array[1:-1, 1:-1]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize(("east", "north"), [(1.0, 0.0), (0.0, -0.5), (0.3, 0.4), (-2.0, 1.0)])
def test_a_plane(method: terrain.Method, edges: bool, east: float, north: float) -> None:
    cell = (10.0, 25.0)
    dem = plane(east, north, cell)
    degrees = terrain.slope(dem, cell, method=method, compute_edges=edges)
    percent = terrain.slope(dem, cell, units="percent", method=method, compute_edges=edges)
    aspect = terrain.aspect(dem, cell, method=method, compute_edges=edges)
    # gdaldem repeats a column at the corners, which is not what a plane does there.
    known = np.isfinite(degrees)
    known[:: known.shape[0] - 1, :: known.shape[1] - 1] = False
    assert known.sum() == (dem.size - 4 if edges else inner(dem).size)
    steepness = np.hypot(east, north)
    np.testing.assert_allclose(degrees[known], np.degrees(np.arctan(steepness)), rtol=1e-12)
    np.testing.assert_allclose(percent[known], 100 * steepness, rtol=1e-12)
    downhill = np.degrees(np.arctan2(-east, -north)) % 360
    np.testing.assert_allclose(aspect[known], downhill, rtol=1e-12)


@pytest.mark.parametrize(
    ("east", "north", "expected"), [(0, -1, 0), (-1, 0, 90), (0, 1, 180), (1, 0, 270)]
)
def test_the_four_directions(east: float, north: float, expected: float) -> None:
    assert (inner(terrain.aspect(plane(east, north), 10.0)) == expected).all()


def test_a_flat_surface_has_no_aspect() -> None:
    flat = np.full((4, 4), 7)
    assert np.isnan(terrain.aspect(flat, 1.0)).all()
    assert (inner(terrain.aspect(flat, 1.0, zero_for_flat=True)) == 0).all()
    assert (inner(terrain.slope(flat, 1.0)) == 0).all()
    shade = inner(terrain.hillshade(flat, 1.0, altitude=30))
    np.testing.assert_allclose(shade, 1 + 254 * 0.5, rtol=1e-6)


def test_rows_from_south_to_north() -> None:
    dem = plane(0.25, 1.0)
    for function in (terrain.slope, terrain.aspect, terrain.hillshade):
        upright = function(dem, (10.0, 10.0))
        np.testing.assert_allclose(function(dem[::-1], (10.0, -10.0))[::-1], upright)


@pytest.mark.parametrize("method", METHODS)
def test_a_cone(method: terrain.Method) -> None:
    y, x = np.mgrid[50:-51:-1, -50:51].astype(float)
    radius = np.hypot(x, y)
    dem = 1000 - 0.5 * radius
    far = inner(radius) > 25
    slope = inner(terrain.slope(dem, 1.0, method=method))[far]
    np.testing.assert_allclose(slope, np.degrees(np.arctan(0.5)), atol=0.05)
    aspect = inner(terrain.aspect(dem, 1.0, method=method))[far]
    outward = np.degrees(np.arctan2(inner(x)[far], inner(y)[far]))
    assert np.abs((aspect - outward + 180) % 360 - 180).max() < 0.1


@pytest.mark.parametrize("method", METHODS)
def test_a_sphere(method: terrain.Method) -> None:
    y, x = np.mgrid[60:-61:-1, -60:61].astype(float)
    dem = np.sqrt(200.0**2 - x**2 - y**2)
    slope = terrain.slope(dem, 1.0, method=method)
    expected = np.degrees(np.arcsin(np.hypot(x, y) / 200))
    np.testing.assert_allclose(inner(slope), inner(expected), atol=0.01)
    # The light is a unit vector: a sphere's shade is its product with the normal.
    shade = terrain.hillshade(dem, 1.0, azimuth=315, altitude=45, method=method)
    light = np.array([-0.5, 0.5, np.sqrt(0.5)])
    normal = np.stack([x, y, dem]) / 200
    product = np.maximum(np.tensordot(light, normal, 1), 0)
    np.testing.assert_allclose(inner(shade), inner(1 + 254 * product), atol=0.05)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_turning_the_surface_turns_the_aspect(
    method: terrain.Method, edges: bool, seed: int
) -> None:
    dem = np.random.default_rng(seed).normal(0, 30, (17, 23))
    dem[5:7, 8] = np.nan
    aspect = terrain.aspect(dem, 10.0, method=method, compute_edges=edges)
    turned = terrain.aspect(np.rot90(dem), 10.0, method=method, compute_edges=edges)
    difference = (np.rot90(aspect) - turned - 90 + 180) % 360 - 180
    # The corners are extrapolated along the column only.
    difference[:: difference.shape[0] - 1, :: difference.shape[1] - 1] = 0
    np.testing.assert_array_equal(np.isnan(np.rot90(aspect)), np.isnan(turned))
    assert np.nanmax(np.abs(difference)) < 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_the_light_on_the_opposite_slope(seed: int) -> None:
    dem = np.random.default_rng(seed).normal(0, 3, (12, 12))
    one = terrain.hillshade(dem, 5.0, azimuth=40)
    np.testing.assert_allclose(terrain.hillshade(-dem, 5.0, azimuth=220), one)
    np.testing.assert_allclose(terrain.hillshade(dem, 5.0, azimuth=400), one)
    assert np.nanmin(one) >= 1
    assert np.nanmax(one) <= 255


def test_a_z_factor_is_the_heights_in_another_unit() -> None:
    dem = np.random.default_rng(1).normal(0, 30, (9, 9))
    for function in (terrain.slope, terrain.hillshade):
        np.testing.assert_allclose(
            function(dem, 10.0, z_factor=0.3048), function(dem * 0.3048, 10.0)
        )


@pytest.mark.parametrize("method", METHODS)
def test_no_data_spreads_to_the_neighbours_and_not_further(method: terrain.Method) -> None:
    dem = plane(0.3, 0.4)
    dem[3, 4] = -9999
    slope = terrain.slope(dem, 10.0, nodata=-9999, method=method)
    hole = np.zeros(dem.shape, bool)
    hole[2:5, 3:6] = True
    assert np.isnan(slope[hole]).all()
    assert np.isfinite(inner(slope)[~inner(hole)]).all()
    filled = terrain.slope(dem, 10.0, nodata=-9999, method=method, compute_edges=True)
    assert np.isnan(filled).sum() == 1
    assert np.isnan(filled[3, 4])


def test_every_way_to_have_no_data() -> None:
    dem = np.random.default_rng(2).normal(50, 3, (8, 8))
    hole = np.zeros(dem.shape, bool)
    hole[4, 4] = True
    expected = terrain.slope(np.where(hole, np.nan, dem), 1.0)
    assert np.isnan(expected).sum() > 28
    for array, nodata in (
        (np.where(hole, np.inf, dem), None),
        (np.where(hole, -1.0, dem), -1.0),
        (np.ma.array(dem, mask=hole), None),
    ):
        np.testing.assert_array_equal(terrain.slope(array, 1.0, nodata=nodata), expected)


def test_the_no_data_value_in_the_precision_of_the_heights() -> None:
    lowest = -3.4028234663852886e38
    dem = np.full((3, 3), lowest, np.float32)
    assert np.isnan(terrain.slope(dem, 1.0, nodata=lowest, compute_edges=True)).all()
    dem = np.full((3, 3), 5, np.uint8)
    assert terrain.slope(dem, 1.0, nodata=-9999)[1, 1] == 0
    assert terrain.slope(dem.astype(np.float32), 1.0, nodata=-1e300)[1, 1] == 0


@pytest.mark.parametrize(
    ("given", "expected"),
    [("uint8", "float32"), ("int16", "float32"), ("int32", "float64"), ("float32", "float32"),
     ("float64", "float64")],
)  # fmt: skip
def test_the_type_of_the_result(given: str, expected: str) -> None:
    dem = plane(0.5, 0.25).astype(given)
    assert terrain.slope(dem, 10.0).dtype == expected


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (1, 5), (5, 1), (2, 2), (2, 7), (3, 3)])
@pytest.mark.parametrize("edges", [False, True])
def test_small_rasters(shape: tuple[int, int], edges: bool) -> None:
    slope = terrain.slope(np.zeros(shape), 1.0, compute_edges=edges)
    assert slope.shape == shape
    if edges:
        expected = slope.size if min(shape) >= 2 else 0
    else:
        expected = max(shape[0] - 2, 0) * max(shape[1] - 2, 0)
    assert np.isfinite(slope).sum() == expected


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize("cells", [1, 60, 100, 10_000])
def test_blocks_leave_no_seams(method: terrain.Method, edges: bool, cells: int) -> None:
    dem = np.random.default_rng(3).normal(0, 30, (21, 30))
    dem[dem > 60] = np.nan
    stencil = Stencil.checked(10.0, method, edges)
    parts = _surface._of_array(dem, None, stencil, _surface.Slope(), cells)
    whole = terrain.slope(dem, 10.0, method=method, compute_edges=edges)
    np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda d: terrain.slope(d, 0.0), ValueError, "cell_size"),
        (lambda d: terrain.slope(d, float("nan")), ValueError, "cell_size"),
        (lambda d: terrain.slope(d, 1.0, method=cast(Any, "best")), ValueError, "zevenbergen"),
        (lambda d: terrain.slope(d, 1.0, units=cast(Any, "radians")), ValueError, "percent"),
        (lambda d: terrain.slope(d, 1.0, z_factor=0), ValueError, "z_factor"),
        (lambda d: terrain.hillshade(d, 1.0, altitude=91), ValueError, "altitude"),
        (lambda d: terrain.hillshade(d, 1.0, azimuth=float("inf")), ValueError, "azimuth"),
        (lambda d: terrain.slope(d[0], 1.0), ValueError, "dimensions"),
        (lambda d: terrain.slope(d + 1j, 1.0), TypeError, "complex128"),
    ],
)
def test_wrong_arguments(
    call: Callable[[Array], object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        call(np.zeros((4, 4)))


def test_the_argument_is_not_changed() -> None:
    dem = plane(1, 1)
    dem[2, 2] = -1
    before = dem.copy()
    terrain.slope(dem, 10.0, nodata=-1, compute_edges=True)
    np.testing.assert_array_equal(dem, before)


def test_arrays_need_no_gdal() -> None:
    code = (
        "import sys, numpy, terrain; terrain.slope(numpy.eye(5), 1.0);"
        "sys.exit(any('osgeo' in name for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

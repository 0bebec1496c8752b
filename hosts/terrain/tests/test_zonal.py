"""Zonal statistics against plain Python."""

import math
import statistics

import numpy as np
import pytest
import terrain

pytestmark = pytest.mark.core


def plain(
    values: list[float], zones: list[int], nodata: float, zones_nodata: int
) -> dict[int, dict[str, float]]:
    """The same, one cell after the other."""
    cells: dict[int, list[float]] = {}
    for value, zone in zip(values, zones, strict=True):
        if zone != zones_nodata:
            group = cells.setdefault(zone, [])
            if value != nodata and math.isfinite(value):
                group.append(value)
    return {
        zone: {
            "zone": zone,
            "count": len(group),
            "sum": math.fsum(group),
            "mean": statistics.fmean(group) if group else math.nan,
            "min": min(group, default=math.nan),
            "max": max(group, default=math.nan),
            "std": statistics.pstdev(group) if group else math.nan,
            "median": statistics.median(group) if group else math.nan,
        }
        for zone, group in sorted(cells.items())
    }


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
@pytest.mark.parametrize("seed", range(4))
def test_random_values_and_zones(seed: int, dtype: str) -> None:
    generator = np.random.default_rng(seed)
    values = generator.normal(500, 200, (40, 30)).astype(dtype)
    values[generator.random(values.shape) < 0.1] = -9999
    if dtype != "int16":
        values[generator.random(values.shape) < 0.05] = np.nan
    zones = generator.integers(-3, 60, values.shape)
    values[zones == 7] = -9999
    table = terrain.zonal_statistics(values, zones, nodata=-9999, zones_nodata=0)
    expected = plain(values.ravel().tolist(), zones.ravel().tolist(), -9999, 0)
    assert [row["zone"] for row in table.rows()] == list(expected)
    assert len(table) == len(expected)
    for row in table.rows():
        assert row == pytest.approx(expected[int(row["zone"])], rel=1e-9, nan_ok=True)
    assert table.count[table.zone == 7].item() == 0
    assert table.sum[table.zone == 7].item() == 0


def test_large_offsets_keep_the_deviation() -> None:
    values = 1e9 + np.array([[1.0, 2.0, 3.0, 4.0]])
    table = terrain.zonal_statistics(values, np.ones((1, 4), int))
    assert table.std[0] == pytest.approx(math.sqrt(1.25))


def test_zones_as_real_numbers_and_masked() -> None:
    zones = np.ma.array([[1.0, 2.0], [np.nan, 2.0]], mask=[[False, False], [False, True]])
    table = terrain.zonal_statistics([[1, 2], [3, 4]], zones)
    assert table.zone.tolist() == [1, 2]
    assert table.count.tolist() == [1, 1]
    assert table.zone.dtype == np.int64


def test_nothing_at_all() -> None:
    assert len(terrain.zonal_statistics(np.zeros((0, 3)), np.zeros((0, 3)))) == 0
    table = terrain.zonal_statistics(np.full((2, 2), np.nan), np.ones((2, 2), int))
    assert next(table.rows())["count"] == 0


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="same cells"):
        terrain.zonal_statistics(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"1\.5"):
        terrain.zonal_statistics(np.zeros((1, 2)), [[1.0, 1.5]])
    with pytest.raises(ValueError, match="whole"):
        terrain.zonal_statistics([[0]], np.array([[2**63]], np.uint64))

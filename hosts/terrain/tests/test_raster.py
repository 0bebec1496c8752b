"""Rasters to and from files."""

import math
from pathlib import Path

import numpy as np
import pytest
import terrain
from terrain import _gdal
from terrain._vendor.osgeo import osr

pytestmark = pytest.mark.core

PLACE = (2600000.0, 10.0, 0.0, 1200000.0, 0.0, -10.0)


def wkt(epsg: int) -> str:
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(epsg)
    text: str = reference.ExportToWkt()
    return text


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_there_and_back(tmp_path: Path, dtype: str) -> None:
    array = np.random.default_rng(0).integers(0, 200, (7, 5)).astype(dtype)
    raster = terrain.Raster(array=array, geotransform=PLACE, crs=wkt(2056), nodata=3)
    raster.write(tmp_path / "höhe n.tif")
    back = terrain.Raster.read(tmp_path / "höhe n.tif")
    np.testing.assert_array_equal(back.array, array)
    assert back.array.dtype == array.dtype
    assert back.geotransform == PLACE
    assert back.nodata == 3
    assert _gdal.same_crs(back.crs, raster.crs)
    assert "CH1903+" in back.crs
    assert [file.name for file in tmp_path.iterdir()] == ["höhe n.tif"]


def test_without_crs_and_no_data(tmp_path: Path) -> None:
    terrain.Raster(array=np.eye(3), geotransform=PLACE).write(tmp_path / "a.tif")
    back = terrain.Raster.read(tmp_path / "a.tif")
    assert back.crs == ""
    assert back.nodata is None
    assert back.ground_cell_size() == back.cell_size == (10.0, 10.0)


def test_like_stores_nan_as_no_data() -> None:
    raster = terrain.Raster(array=np.zeros((1, 2), np.int16), geotransform=PLACE, crs="x")
    values = raster.like(np.array([[1.5, np.nan]], np.float32), nodata=-9999)
    assert values.array.tolist() == [[1.5, -9999]]
    assert values.array.dtype == np.float32
    assert (values.geotransform, values.crs, values.nodata) == (PLACE, "x", -9999)
    assert math.isnan(raster.like(np.array([[1.5, np.nan]])).array[0, 1])
    with pytest.raises(ValueError, match="shape"):
        raster.like(np.zeros((2, 1)))


def test_degrees_become_metres() -> None:
    place = (8.0, 0.001, 0.0, 60.05, 0.0, -0.001)
    raster = terrain.Raster(array=np.zeros((100, 50)), geotransform=place, crs=wkt(4326))
    width, height = raster.ground_cell_size()
    assert height == pytest.approx(111.3195, abs=1e-3)
    assert width == pytest.approx(height / 2, rel=1e-6)
    assert raster.cell_size == (0.001, 0.001)


def test_a_place_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="geotransform"):
        terrain.Raster(array=np.eye(2), geotransform=(0, math.nan, 0, 0, 0, 1))
    rotated = terrain.Raster(array=np.eye(2), geotransform=(0, 1, 0.1, 0, 0, -1))
    with pytest.raises(ValueError, match="rotated"):
        _ = rotated.cell_size
    polar = terrain.Raster(array=np.eye(2), geotransform=(0, 1, 0, 95, 0, -1), crs=wkt(4326))
    with pytest.raises(terrain.InputError, match="latitude 94"):
        polar.ground_cell_size()


def test_masks_are_not_lost_silently() -> None:
    masked = np.ma.array(np.eye(2), mask=np.eye(2, dtype=bool))
    with pytest.raises(TypeError, match="masked"):
        terrain.Raster(array=masked, geotransform=PLACE)
    with pytest.raises(TypeError, match="masked"):
        terrain.Raster(array=np.eye(2), geotransform=PLACE).like(masked)


def test_a_coordinate_system_that_is_none(tmp_path: Path) -> None:
    raster = terrain.Raster(array=np.eye(2), geotransform=PLACE, crs="nonsense")
    with pytest.raises(terrain.InputError, match="coordinate system"):
        raster.ground_cell_size()
    with pytest.raises(terrain.OutputError, match=r"a\.tif: cannot be created"):
        raster.write(tmp_path / "a.tif")
    assert not list(tmp_path.iterdir())


def test_a_type_that_no_raster_has(tmp_path: Path) -> None:
    array = np.eye(2, dtype=np.longdouble)
    with pytest.raises(terrain.OutputError, match="float32"):
        terrain.Raster(array=array, geotransform=PLACE).write(tmp_path / "a.tif")
    assert not list(tmp_path.iterdir())


def test_another_files_leftovers_go(tmp_path: Path) -> None:
    for suffix in (".aux.xml", ".ovr"):
        (tmp_path / f"a.tif{suffix}").write_text("<PAMDataset/>", encoding="utf-8")
    terrain.Raster(array=np.eye(3), geotransform=PLACE).write(tmp_path / "a.tif")
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]

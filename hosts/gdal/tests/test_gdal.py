"""What a user of plain GDAL does first; run by geowheel from the installed wheel."""

from pathlib import Path

import numpy as np
import pytest
from osgeo import gdal, ogr, osr

gdal.UseExceptions()


def test_the_installed_wheel_is_tested_and_not_the_checkout() -> None:
    assert "site-packages" in Path(gdal.__file__).parts


def test_warp_keeps_the_mean_of_a_plane(tmp_path: Path) -> None:
    rows, columns = np.mgrid[0:64, 0:64].astype("float32")
    source = gdal.GetDriverByName("GTiff").Create(
        str(tmp_path / "plane.tif"), 64, 64, 1, gdal.GDT_Float32
    )
    source.SetGeoTransform((10.0, 0.01, 0, 50.0, 0, -0.01))
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(4326)
    source.SetProjection(reference.ExportToWkt())
    source.WriteArray(rows + 2 * columns)
    warped = gdal.Warp("", source, format="MEM", dstSRS="EPSG:32632", dstNodata=-1)
    values = warped.ReadAsArray()
    assert abs(values[values >= 0].mean() - (rows + 2 * columns).mean()) < 0.5


def test_geojson_to_geopackage(tmp_path: Path) -> None:
    text = (
        '{"type":"FeatureCollection","features":[{"type":"Feature","properties":{"n":3},'
        '"geometry":{"type":"Point","coordinates":[8.5,47.4]}}]}'
    )
    (tmp_path / "a.geojson").write_text(text, encoding="utf-8")
    gdal.VectorTranslate(
        str(tmp_path / "a.gpkg"),
        str(tmp_path / "a.geojson"),
        format="GPKG",
        dstSRS="EPSG:2056",
        reproject=True,
    )
    # Each object is kept: in GDAL 3.6 a layer does not keep its data source alive.
    source = ogr.Open(str(tmp_path / "a.gpkg"))
    feature = source.GetLayer(0).GetNextFeature()
    point = feature.GetGeometryRef()
    assert 2_680_000 < point.GetX() < 2_690_000
    assert 1_240_000 < point.GetY() < 1_260_000


def test_grids_of_the_stack_are_used() -> None:
    folders = [Path(folder) for folder in osr.GetPROJSearchPaths()]
    if not any((folder / "egm96_15.gtx").is_file() for folder in folders):
        pytest.skip("the stack has no grids of its own")
    references = [osr.SpatialReference(), osr.SpatialReference()]
    for reference, name in zip(references, ("EPSG:4326+5773", "EPSG:4979"), strict=True):
        reference.SetFromUserInput(name)
        reference.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    height = osr.CoordinateTransformation(*references).TransformPoint(10.0, 50.0, 0.0)[2]
    assert height == pytest.approx(48.03, abs=0.05)

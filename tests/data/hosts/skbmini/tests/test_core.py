from pathlib import Path

import skbmini


def test_names_come_from_the_wheels_own_database():
    assert skbmini.crs_name(32633) == "WGS 84 / UTM zone 33N"


def test_a_raster_is_written_and_read(tmp_path):
    assert skbmini.total(str(tmp_path / "a.tif"), 7) == 7 * 64 * 64


def test_data_is_where_the_package_always_had_it():
    found = Path(skbmini.data_file("gdalvrt.xsd"))
    assert found == Path(skbmini.__file__).parent / "gdal_data" / "gdalvrt.xsd"
    assert (found.parent.parent / "proj_data" / "proj.db").is_file()

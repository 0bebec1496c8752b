from pathlib import Path

import cymini
import pytest


def test_a_transform_from_the_wheels_own_database():
    x, y = cymini.transform(4326, 32633, 15.0, 52.0)
    assert x == pytest.approx(500000.0, abs=0.001)
    assert y == pytest.approx(5761038.213, abs=0.01)


def test_data_is_beside_the_package():
    found = Path(cymini.data_file("gdalvrt.xsd"))
    assert found == Path(cymini.__file__).parent / "_data" / "gdal" / "gdalvrt.xsd"

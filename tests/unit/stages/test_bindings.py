"""The bindings: the name of SWIG's type table."""

from hypothesis import given
from hypothesis import strategies as st

from geowheel.stages.bindings import type_table, with_own_imports

WRAPPER = """
PyObject* module = PyImport_ImportModule("osgeo.gdal_array");
"\\n" ":py:class:`osgeo.ogr.Layer`" "osgeo.ogr." "osgeography" "import osgeo"
"""


def test_a_wrapper_imports_from_its_own_package() -> None:
    found = with_own_imports(WRAPPER, "terrain._vendor.osgeo")
    assert found == WRAPPER.replace('"osgeo.gdal_array"', '"terrain._vendor.osgeo.gdal_array"')
    assert with_own_imports(WRAPPER, "osgeo") == WRAPPER
    assert type_table("osgeo") == "osgeo"
    assert type_table("terrain._vendor.osgeo") == "terrain_0__vendor_0osgeo"
    assert type_table("a.b_c.osgeo") != type_table("a_b.c.osgeo")


LETTERS = st.characters(categories=["L", "Nd", "Pc"])
NAMES = st.text(st.sampled_from("a_0.") | LETTERS, max_size=8).map(lambda text: "a" + text)


@given(NAMES, NAMES)
def test_two_packages_have_two_tables(one: str, other: str) -> None:
    assert (type_table(one) == type_table(other)) == (one == other)


@given(NAMES)
def test_the_name_is_an_identifier_of_c(name: str) -> None:
    table = type_table(name)
    assert table.isascii() and table.isidentifier()

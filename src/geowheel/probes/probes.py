"""Probes of an installed wheel: `probes.py ASKED REPORT`. Run in a clean environment, on its own.

ASKED is JSON: layout, import package, GDAL version. REPORT gets a JSON list of name, passed and
detail. What the drivers do is driver_probes.py's matter. Standard library only (NumPy where it is
installed), Python 3.9 and newer.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import math
import os
import sys
import tempfile
import traceback
import unittest
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from typing import Any

ASKED: dict[str, Any] = {"layout": "", "package": "osgeo", "version": ""}


def module(name: str) -> Any:
    return importlib.import_module(ASKED["package"] + "." + name)


def meridian_arc(latitude: float) -> float:
    """Metres from the equator to a latitude on WGS 84: Helmert's series in the third flattening."""
    n = 1 / (2 * 298.257223563 - 1)
    phi = math.radians(latitude)
    series = (
        (1 + n**2 / 4 + n**4 / 64) * phi
        - 1.5 * (n - n**3 / 8) * math.sin(2 * phi)
        + 15 / 16 * (n**2 - n**4 / 4) * math.sin(4 * phi)
        - 35 / 48 * n**3 * math.sin(6 * phi)
        + 315 / 512 * n**4 * math.sin(8 * phi)
    )
    return 6378137.0 / (1 + n) * series


class Probes(unittest.TestCase):
    def setUp(self) -> None:
        module("gdal").UseExceptions()
        module("ogr").UseExceptions()
        module("osr").UseExceptions()
        self.folder = tempfile.mkdtemp(prefix="probe-")

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def test_01_import_leaves_the_environment_alone(self) -> None:
        self.assertEqual(dict(os.environ), ENVIRONMENT)

    def test_02_version_is_the_locked_one(self) -> None:
        self.assertEqual(module("gdal").VersionInfo("RELEASE_NAME"), ASKED["version"])
        self.assertEqual(importlib.import_module(ASKED["package"]).__version__, ASKED["version"])

    def test_03_geotiff_round_trip(self) -> None:
        gdal = module("gdal")
        values = bytes(range(256)) * 4
        transform = (440720.0, 60.0, 0.0, 3751320.0, 0.0, -60.0)
        made = gdal.GetDriverByName("GTiff").Create(
            self.path("a.tif"), 32, 32, 1, gdal.GDT_Byte, ["COMPRESS=DEFLATE", "TILED=YES"]
        )
        made.SetGeoTransform(transform)
        made.GetRasterBand(1).WriteRaster(0, 0, 32, 32, values)
        made.GetRasterBand(1).SetNoDataValue(7)
        made.FlushCache()
        del made
        read = gdal.Open(self.path("a.tif"))
        self.assertEqual(bytes(read.GetRasterBand(1).ReadRaster()), values)
        self.assertEqual(read.GetGeoTransform(), transform)
        self.assertEqual(read.GetRasterBand(1).GetNoDataValue(), 7)

    def test_04_crs_from_epsg_and_transform_to_a_millimetre(self) -> None:
        osr = module("osr")
        source, goal = osr.SpatialReference(), osr.SpatialReference()
        source.ImportFromEPSG(4326)
        goal.ImportFromEPSG(32633)
        for reference in (source, goal):
            reference.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
        self.assertEqual(goal.GetAttrValue("PROJCS"), "WGS 84 / UTM zone 33N")
        x, y, _ = osr.CoordinateTransformation(source, goal).TransformPoint(15.0, 52.0)
        self.assertAlmostEqual(x, 500000.0, delta=0.001)
        self.assertAlmostEqual(y, 0.9996 * meridian_arc(52.0), delta=0.001)

    def test_05_vector_round_trip(self) -> None:
        ogr, osr = module("ogr"), module("osr")
        reference = osr.SpatialReference()
        reference.ImportFromEPSG(3857)
        made = ogr.GetDriverByName("GPKG").CreateDataSource(self.path("a.gpkg"))
        layer = made.CreateLayer("places", reference, ogr.wkbPolygon)
        layer.CreateField(ogr.FieldDefn("name", ogr.OFTString))
        feature = ogr.Feature(layer.GetLayerDefn())
        feature.SetField("name", "Zürich")
        feature.SetGeometry(ogr.CreateGeometryFromWkt("POLYGON ((0 0, 0 3, 4 3, 4 0, 0 0))"))
        layer.CreateFeature(feature)
        del feature, layer, made
        read = ogr.Open(self.path("a.gpkg"))
        found = read.GetLayer(0).GetNextFeature()
        self.assertEqual(found.GetField("name"), "Zürich")
        self.assertEqual(found.GetGeometryRef().GetArea(), 12.0)
        self.assertEqual(read.GetLayer(0).GetSpatialRef().GetAuthorityCode(None), "3857")

    def test_06_geos_buffer(self) -> None:
        circle = module("ogr").CreateGeometryFromWkt("POINT (0 0)").Buffer(1.0, 90)
        self.assertAlmostEqual(circle.GetArea(), math.pi, delta=0.001)

    def test_07_exceptions(self) -> None:
        with self.assertRaises(RuntimeError):
            module("gdal").Open(self.path("missing.tif"))

    def test_08_numpy_arrays(self) -> None:
        try:
            numpy: Any = importlib.import_module("numpy")
        except ImportError:
            self.skipTest("NumPy is not installed")
        array = numpy.arange(12, dtype="float32").reshape(3, 4)
        dataset = module("gdal_array").OpenArray(array)
        self.assertTrue((dataset.ReadAsArray() == array).all())

    def test_09_every_osgeo_is_the_packages_own(self) -> None:
        package = ASKED["package"]
        self.assertEqual(type(module("osr").SpatialReference()).__module__, package + ".osr")
        self.assertEqual(module("gdal").MajorObject.__module__, package + ".gdal")
        if package != "osgeo":
            importlib.import_module(package + "_utils")
            self.assertEqual([name for name in ("osgeo", "osgeo_utils") if find_spec(name)], [])
            tops = {name.partition(".")[0] for name in sys.modules}
            self.assertFalse(tops & {"osgeo", "osgeo_utils", "_gdal", "_ogr", "_osr"})


class LibraryProbes(unittest.TestCase):
    """Layout none: there is no osgeo, so the bundled libgdal is asked through its C functions."""

    def setUp(self) -> None:
        self.package = importlib.import_module(ASKED["package"])
        self.assertTrue(module("_geowheel").configure(), "the wheel bundles no GDAL")
        self.folder = os.path.dirname(str(module("_geowheel").__file__))
        with open(os.path.join(self.folder, "_geowheel.json"), encoding="utf-8") as file:
            self.bundle = {name: self.absolute(path) for name, path in json.load(file).items()}
        self.gdal = ctypes.CDLL(self.bundle["gdal"])
        self.gdal.GDALAllRegister()

    def absolute(self, path: str) -> str:
        return os.path.realpath(os.path.join(self.folder, path))

    def call(self, name: str, *arguments: Any, result: Any = ctypes.c_void_p) -> Any:
        """A function of the bundled GDAL; numbers and texts are passed as such, the rest as is."""
        function = getattr(self.gdal, name)
        function.restype = result
        return function(*arguments)

    def test_01_import_leaves_the_environment_alone(self) -> None:
        self.assertEqual(dict(os.environ), ENVIRONMENT)

    def test_02_version_is_the_locked_one(self) -> None:
        found = self.call("GDALVersionInfo", b"RELEASE_NAME", result=ctypes.c_char_p)
        self.assertEqual(found.decode(), ASKED["version"])

    def test_03_every_compiled_module_loads(self) -> None:
        # Loaded and not imported: what they do at import is a matter of the host's own tests.
        for place, _, names in os.walk(os.path.dirname(str(self.package.__file__))):
            for name in names:
                if name.endswith(tuple(EXTENSION_SUFFIXES)):
                    ctypes.CDLL(os.path.join(place, name), mode=os.RTLD_NOW)

    def test_04_data_is_the_wheels_own(self) -> None:
        found = self.call("CPLFindFile", b"gdal", b"gdalvrt.xsd", result=ctypes.c_char_p)
        self.assertIsNotNone(found)
        self.assertEqual(
            os.path.dirname(os.path.realpath(found.decode())), self.bundle["gdal_data"]
        )

    def test_05_crs_from_epsg_and_transform_to_a_millimetre(self) -> None:
        references = []
        for code in (4326, 32633):
            reference = ctypes.c_void_p(self.call("OSRNewSpatialReference", None))
            self.assertEqual(
                self.call("OSRImportFromEPSG", reference, code, result=ctypes.c_int), 0
            )
            self.call("OSRSetAxisMappingStrategy", reference, 0, result=None)  # x is the longitude
            references.append(reference)
        change = ctypes.c_void_p(self.call("OCTNewCoordinateTransformation", *references))
        self.assertTrue(change)
        x, y = ctypes.c_double(15.0), ctypes.c_double(52.0)
        done = self.call(
            "OCTTransform", change, 1, ctypes.byref(x), ctypes.byref(y), None, result=ctypes.c_int
        )
        self.assertEqual(done, 1)
        self.assertAlmostEqual(x.value, 500000.0, delta=0.001)
        self.assertAlmostEqual(y.value, 0.9996 * meridian_arc(52.0), delta=0.001)

    def test_06_every_gdal_and_proj_is_the_wheels_own(self) -> None:
        if not os.path.exists("/proc/self/maps"):
            self.skipTest("this system does not list what is loaded")
        with open("/proc/self/maps", encoding="utf-8") as file:
            loaded = {line.split(None, 5)[5].strip() for line in file if "/" in line}
        found = {
            path for path in loaded if os.path.basename(path).startswith(("libgdal", "libproj"))
        }
        self.assertEqual(found, {self.bundle["gdal"], self.bundle["proj"]})


PROBES = {"toplevel": Probes, "private": Probes, "none": LibraryProbes}


class Report(unittest.TestResult):
    """Collects one row for each probe."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, object]] = []

    def row(self, test: unittest.TestCase, passed: bool | None, detail: str = "") -> None:
        name = test.id().rpartition(".")[2]
        self.rows.append({"name": name[8:].replace("_", " "), "passed": passed, "detail": detail})

    def addSuccess(self, test: unittest.TestCase) -> None:
        self.row(test, True)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self.row(test, None, "not run: " + reason)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        self.row(test, False, "".join(traceback.format_exception(*err)))

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        self.addFailure(test, err)


if __name__ == "__main__":
    ASKED.update(json.loads(sys.argv[1]))
    ENVIRONMENT = dict(os.environ)
    report = Report()
    unittest.defaultTestLoader.loadTestsFromTestCase(PROBES[ASKED["layout"]]).run(report)
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump(report.rows, file, indent=1)

"""Probes of an installed wheel, whatever its drivers do: what they do is in drivers.py."""

from __future__ import annotations

import ctypes
import importlib
import math
import os
import sys
import tempfile
import traceback
import unittest
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from typing import Any

from . import ours
from .gdal import Gdal

# The loader makes the tests, so what they are asked is here.
ASKED: dict[str, Any] = {}
ENVIRONMENT: dict[str, str] = {}


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
        self.bundle = ours.configured(ASKED)
        self.gdal = Gdal(self.bundle["gdal"])
        self.gdal("GDALAllRegister")

    def test_01_the_bootstrap_leaves_the_environment_alone(self) -> None:
        self.assertEqual(dict(os.environ), ENVIRONMENT)

    def test_02_import_leaves_the_environment_alone(self) -> None:
        importlib.import_module(ASKED["package"])
        names = set(os.environ) | set(ENVIRONMENT)
        changed = {name for name in names if os.environ.get(name) != ENVIRONMENT.get(name)}
        if changed := changed - set(ASKED["may_set"]):
            # Some hosts do it on purpose, such as a path of certificates.
            self.skipTest("the host sets %s (may-set)" % ", ".join(sorted(changed)))

    def test_03_version_is_the_locked_one(self) -> None:
        self.assertEqual(self.gdal("GDALVersionInfo", "RELEASE_NAME"), ASKED["version"])

    def test_04_every_compiled_module_loads(self) -> None:
        # Loaded and not imported: what they do at import is a matter of the host's own tests.
        for place, _, names in os.walk(ours.home(ASKED)):
            for name in names:
                if name.endswith(tuple(EXTENSION_SUFFIXES)):
                    ctypes.CDLL(os.path.join(place, name), mode=os.RTLD_NOW)

    def test_05_data_is_the_wheels_own(self) -> None:
        found = self.gdal.need("CPLFindFile", "gdal", "gdalvrt.xsd")
        self.assertEqual(os.path.dirname(os.path.realpath(found)), self.bundle["gdal_data"])

    def test_06_crs_from_epsg_and_transform_to_a_millimetre(self) -> None:
        references = []
        for code in (4326, 32633):
            reference = self.gdal.need("OSRNewSpatialReference", None)
            self.gdal("OSRImportFromEPSG", reference, code)
            self.gdal("OSRSetAxisMappingStrategy", reference, 0)  # x is the longitude
            references.append(reference)
        change = self.gdal.need("OCTNewCoordinateTransformation", *references)
        x, y = ctypes.c_double(15.0), ctypes.c_double(52.0)
        done = self.gdal("OCTTransform", change, 1, ctypes.byref(x), ctypes.byref(y), None)
        self.assertEqual(done, 1)
        self.assertAlmostEqual(x.value, 500000.0, delta=0.001)
        self.assertAlmostEqual(y.value, 0.9996 * meridian_arc(52.0), delta=0.001)

    def test_07_every_gdal_and_proj_is_the_wheels_own(self) -> None:
        if not os.path.exists("/proc/self/maps"):
            self.skipTest("this system does not list what is loaded")
        importlib.import_module(ASKED["package"])
        ours.own_libraries(ASKED)


PROBES = {"toplevel": Probes, "private": Probes, "none": LibraryProbes}


class ProbeRows(unittest.TestResult):
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


def probe(asked: dict[str, Any]) -> list[dict[str, object]]:
    """A row for each probe of the wheel's layout: name, passed, detail."""
    ASKED.update(asked)
    ENVIRONMENT.update(os.environ)
    rows = ProbeRows()
    unittest.defaultTestLoader.loadTestsFromTestCase(PROBES[asked["layout"]]).run(rows)
    return rows.rows

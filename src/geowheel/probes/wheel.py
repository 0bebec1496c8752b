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

# The loader makes the tests, so what they are asked is here.
ASKED: dict[str, Any] = {}
ENVIRONMENT: dict[str, str] = {}


class Probes(unittest.TestCase):
    """What every wheel's GDAL has to do: osgeo's, or in layout none the libgdal itself."""

    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="probe-")

    @property
    def gdal(self) -> Any:
        return ours.module(ASKED, "gdal")

    def test_03_version_is_the_locked_one(self) -> None:
        self.assertEqual(self.gdal.VersionInfo("RELEASE_NAME"), ASKED["version"])

    def test_04_geotiff_round_trip(self) -> None:
        ours.raster_numbers(ASKED, self.folder)

    def test_05_crs_from_epsg_and_transform_to_a_millimetre(self) -> None:
        ours.transform_numbers(ASKED)

    def test_06_vector_round_trip_and_geos_buffer(self) -> None:
        count, last, area, code = ours.vector_numbers(ASKED, self.folder)
        self.assertEqual((count, last, code), (20, "place 19 Zürich", "4326"))
        # A circle of 120 corners.
        self.assertAlmostEqual(area, 60 * math.sin(math.pi / 60), delta=1e-9)

    def test_07_exceptions(self) -> None:
        with self.assertRaises(RuntimeError):
            self.gdal.OpenEx(os.path.join(self.folder, "missing.tif"))

    def test_08_data_is_the_wheels_own(self) -> None:
        ours.own_gdal_data(ASKED)

    # Under wine Linux' /proc is there, and lists other names.
    @unittest.skipUnless(sys.platform == "linux", "this system does not list what is loaded")
    def test_09_every_gdal_and_proj_is_the_wheels_own(self) -> None:
        importlib.import_module(ASKED["package"])
        ours.own_libraries(ASKED)


class OsgeoProbes(Probes):
    """Layouts with osgeo."""

    def test_01_import_leaves_the_environment_alone(self) -> None:
        self.assertTrue(self.gdal and ours.module(ASKED, "ogr") and ours.module(ASKED, "osr"))
        self.assertEqual(dict(os.environ), ENVIRONMENT)

    def test_10_numpy_arrays(self) -> None:
        try:
            numpy: Any = importlib.import_module("numpy")
        except ImportError:
            self.skipTest("NumPy is not installed")
        array = numpy.arange(12, dtype="float32").reshape(3, 4)
        arrays = importlib.import_module(ASKED["package"] + ".gdal_array")
        dataset = arrays.OpenArray(array)
        self.assertTrue((dataset.ReadAsArray() == array).all())

    def test_11_every_osgeo_is_the_packages_own(self) -> None:
        package = ASKED["package"]
        self.assertEqual(importlib.import_module(package).__version__, ASKED["version"])
        reference = ours.module(ASKED, "osr").SpatialReference()
        self.assertEqual(type(reference).__module__, package + ".osr")
        self.assertEqual(self.gdal.MajorObject.__module__, package + ".gdal")
        if package != "osgeo":
            importlib.import_module(package + "_utils")
            self.assertEqual([name for name in ("osgeo", "osgeo_utils") if find_spec(name)], [])
            tops = {name.partition(".")[0] for name in sys.modules}
            self.assertFalse(tops & {"osgeo", "osgeo_utils", "_gdal", "_ogr", "_osr"})

    if "t" in getattr(sys, "abiflags", ""):  # of a free-threaded interpreter

        def test_12_the_gil(self) -> None:
            # A module that does not say that it can do without the GIL switches it on (PEP 703).
            for name in ("gdal", "ogr", "osr"):
                ours.module(ASKED, name)
            state = "on" if getattr(sys, "_is_gil_enabled", bool)() else "off"
            self.said = f"the GIL is {state} after the import"


class LibraryProbes(Probes):
    """Layout none."""

    def test_01_the_bootstrap_leaves_the_environment_alone(self) -> None:
        ours.configured(ASKED)
        self.assertEqual(dict(os.environ), ENVIRONMENT)

    def test_02_import_leaves_the_environment_alone(self) -> None:
        importlib.import_module(ASKED["package"])
        names = set(os.environ) | set(ENVIRONMENT)
        changed = {name for name in names if os.environ.get(name) != ENVIRONMENT.get(name)}
        if changed := changed - set(ASKED["may_set"]):
            # Some hosts do it on purpose, such as a path of certificates.
            self.skipTest("the host sets %s (may-set)" % ", ".join(sorted(changed)))

    def test_10_every_compiled_module_loads(self) -> None:
        # Loaded and not imported: what they do at import is a matter of the host's own tests.
        for place, _, names in os.walk(ours.home(ASKED)):
            for name in names:
                if name.endswith(tuple(EXTENSION_SUFFIXES)):
                    ctypes.CDLL(os.path.join(place, name), mode=os.RTLD_NOW)


PROBES = {"toplevel": OsgeoProbes, "private": OsgeoProbes, "none": LibraryProbes}


class ProbeRows(unittest.TestResult):
    """Collects one row for each probe."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, object]] = []

    def row(self, test: unittest.TestCase, passed: bool | None, detail: str = "") -> None:
        name = getattr(test, "said", test.id().rpartition(".")[2][8:].replace("_", " "))
        self.rows.append({"name": name, "passed": passed, "detail": detail})

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

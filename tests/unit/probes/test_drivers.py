"""The drivers of a wheel beside those of its stack, and the table of the driver probes."""

import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.support.hosts import make_native

from geowheel.contents.drivers import (
    Driver,
    PackageOffer,
    not_in_wheel,
    package_of,
    plugin_packages,
)
from geowheel.prefix.linker import NativeManifest
from geowheel.probes import NAMED_BUT_GONE, drivers, gdal
from geowheel.probes.bindings import CLOSING, OTHERS, PREFIXES, PROPERTIES
from geowheel.probes.drivers import DriverRows, Raster, Vector
from geowheel.probes.gdal import Problem
from geowheel.project.pyproject import read_host

ROOT = Path(__file__).resolve().parents[3]
GTIFF = Driver(name="GTiff", kinds=("raster",))
TOY = Driver(name="TOY", kinds=("raster",), plugin="gdal_TOY.so")


def manifest() -> NativeManifest:
    return make_native({"libgdal-toy": ["lib/gdalplugins/gdal_TOY.so"]})


def test_what_the_stack_has_beyond_the_wheel_is_told_with_its_package() -> None:
    kea = Driver(name="KEA", kinds=("raster",))
    assert not_in_wheel([GTIFF, TOY, kea], [GTIFF, TOY, kea], manifest(), ["libgdal-kea"]) == ()
    (built_in,) = not_in_wheel([], [GTIFF], manifest(), [])
    assert str(built_in) == "GTiff (package libgdal-core)"
    (offer,) = not_in_wheel([GTIFF], [GTIFF, TOY], manifest(), [])
    assert offer == PackageOffer(package="libgdal-toy", drivers=("TOY",), in_stack=True)
    assert str(offer) == "TOY (package libgdal-toy, add it to plugins)"
    offers = not_in_wheel([GTIFF], [GTIFF], manifest(), ["libgdal-hdf5", "libgdal-new"])
    assert list(map(str, offers)) == [
        "HDF5, HDF5Image (package libgdal-hdf5, add it to plugins)",
        "package libgdal-new, add it to plugins",
    ]
    names = ["proj", "libgdal-core", "libgdal-pdf", "libgdal", "libgdal-hdf4"]
    assert plugin_packages(names) == ("libgdal-hdf4", "libgdal-pdf")


@pytest.mark.parametrize("host", ["gdal", "terrain"])
def test_the_hosts_of_this_repository_name_the_plugins_of_their_drivers(host: str) -> None:
    # Debian's libgdal has them built in, conda-forge's does not: no run here would tell.
    config = read_host(ROOT / "hosts" / host).config
    needed = {package for driver in config.drivers if (package := package_of(driver))}
    assert needed <= set(config.plugins)
    dependencies = tomllib.loads((ROOT / "pixi.toml").read_text("utf-8"))["dependencies"]
    assert set(config.plugins) <= set(dependencies)


@dataclass
class ToyGdal:
    """A libgdal of a few names, whose drivers do nothing."""

    names: tuple[str, ...]
    said: list[str] = field(default_factory=list)

    def __call__(self, function: str, *arguments: Any) -> Any:
        assert function == "GDALGetDriverByName"
        return 1 if arguments[0] in self.names else None


def rows_of(
    names: tuple[str, ...], named: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, dict[str, Any]]:
    def try_driver(_: object, probe: Raster | Vector, __: Path) -> str:
        if probe.name == "PNG":
            raise Problem("pixels of band 1 differ by up to 9")
        return "created, read back"

    monkeypatch.setattr(drivers, "try_driver", try_driver)
    report = DriverRows(path=folder / "report.json", rows=[], drivers=[])
    drivers.probe_drivers(ToyGdal(names=names), named, folder, report)  # type: ignore[arg-type]
    return {row["name"]: row for row in report.rows}


def test_each_driver_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(("GTiff", "PNG", "MEM"), ["GTiff", "JPEG", "MEM", "Foo"], tmp_path, monkeypatch)
    found = {name: row["passed"] for name, row in rows.items() if row["passed"] is not None}
    assert found == {
        "driver GTiff": True, "driver PNG": False, "driver JPEG": False, "driver MEM": True,
        "driver Foo": False,
    }  # fmt: skip
    assert "differ by up to 9" in rows["driver PNG"]["detail"]
    assert rows["driver JPEG"]["detail"] == NAMED_BUT_GONE
    assert rows["driver GPKG"]["detail"] == "not run: no such driver"


def test_a_row_is_on_disk_before_its_probe(tmp_path: Path) -> None:
    report = DriverRows(path=tmp_path / "report.json", rows=[], drivers=[])
    seen = []

    def probe() -> str:
        seen.extend(json.loads(report.path.read_text())["rows"])
        return "done"

    report.attempt("driver X", ToyGdal(names=()), probe)  # type: ignore[arg-type]
    assert [(row["name"], row["passed"]) for row in seen] == [("driver X", False)]
    assert report.rows == [{"name": "driver X", "passed": True, "detail": "done"}]


def test_every_function_that_is_called_has_its_signature() -> None:
    called, as_osgeo = {*CLOSING.values(), *OTHERS.values(), *PROPERTIES.values()}, set[str]()
    for path in drivers.HERE.glob("*.py"):
        text = path.read_text(encoding="utf-8").replace('f"GDALGetRaster{what}"', "")
        called |= set(re.findall(r'(?:gdal|self|\.call)(?:\.need)?\(\s*"(\w+)"', text))
        as_osgeo |= {start + name for name in re.findall(r"\.(\w+)", text) for start in PREFIXES}
    shape = {"GDALGetRasterXSize", "GDALGetRasterYSize", "GDALGetRasterCount"}
    assert called <= set(gdal.FUNCTIONS) <= called | shape | as_osgeo
    assert set("".join(gdal.FUNCTIONS.values())) <= set(gdal.TYPES)

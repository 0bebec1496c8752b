"""Which commands a wheel gets, and how the module behind them starts a program."""

import json
import os
import signal
import sys
import types
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from tests.support.files import write_files

from geowheel.contents.programs import scripts_of

SOURCE = files("geowheel.inside").joinpath("programs.py").read_text(encoding="utf-8")
BOOTSTRAP = files("geowheel.inside").joinpath("bootstrap.py").read_text(encoding="utf-8")
OF_OTHERS = {
    "PROJ_DATA": "/nonexistent", "PROJ_LIB": "/nonexistent", "GDAL_DATA": "/nonexistent",
    "GDAL_DRIVER_PATH": "/nonexistent", "HOME": "/home/me",
}  # fmt: skip


def test_scripts_are_those_of_the_sdist(tmp_path: Path) -> None:
    sdist = write_files(tmp_path, {
        "gdal-utils/scripts/gdal_calc.py": "",
        "gdal-utils/scripts/gone.py": "",
        "gdal-utils/osgeo_utils/gdal_calc.py": "",
        "gdal-utils/osgeo_utils/gdal_new.py": "",
        "gdal-utils/osgeo_utils/helper.py": "",
        "gdal-utils/GDAL.egg-info/entry_points.txt":
            "[console_scripts]\ngdal_new = osgeo_utils.gdal_new:main\nx = other.x:main\n"
            "odd = osgeo_utils.helper:run\n",
    })  # fmt: skip
    assert scripts_of(sdist) == {
        "gdal_calc": "gdal_calc", "gdal_calc.py": "gdal_calc",
        "gdal_new": "gdal_new", "gdal_new.py": "gdal_new",
    }  # fmt: skip


class World:
    """An installed package with gdalinfo, and what would have been executed."""

    def __init__(self, folder: Path, launcher: str) -> None:
        self.package = folder / "osgeo" if launcher == "osgeo_utils" else folder / "host"
        write_files(self.package, {
            "_geowheel.py": BOOTSTRAP,
            "_geowheel.json": json.dumps({
                "gdal": "g", "proj": "p", "gdal_data": "_data/gdal", "proj_data": "_data/proj",
                "ca_bundle": "_data/cacert.pem", "plugins": "_plugins",
            }),
            "_data/cacert.pem": "",
            "_programs/gdalinfo": "",
        })  # fmt: skip
        self.path = folder / launcher / "_geowheel_programs.py"
        write_files(folder, {f"{launcher}/_geowheel_programs.py": SOURCE})
        self.calls: list[tuple[str, Sequence[str], dict[str, str]]] = []
        self.restored: list[signal.Signals] = []
        self.failing: OSError | None = None

    def execve(self, path: str, arguments: Sequence[str], environment: dict[str, str]) -> None:
        if self.failing is not None:
            raise self.failing
        self.calls.append((path, arguments, environment))

    def load(self) -> types.ModuleType:
        module = types.ModuleType("_geowheel_programs")
        module.__file__ = str(self.path)
        exec(compile(SOURCE, str(self.path), "exec"), module.__dict__)
        return module

    def start(self, name: str) -> Any:
        function: Callable[[], int] = getattr(self.load(), name)
        return function()


@pytest.fixture(params=["osgeo_utils", "host"])
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> World:
    """The package where osgeo_utils starts programs, and in layout none, where the host's does."""
    for name in [name for name in os.environ if name.startswith(("GDAL_", "PROJ_", "GEOWHEEL_"))]:
        monkeypatch.delenv(name)
    for name in ("CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    made = World(tmp_path / "site", request.param)
    monkeypatch.setattr(os, "execve", made.execve)
    monkeypatch.setattr(signal, "signal", lambda number, _: made.restored.append(number))
    monkeypatch.setattr(sys, "argv", ["/bin/gdalinfo", "--version"])
    return made


def test_a_command_becomes_its_program(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OF_OTHERS.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    world.start("gdalinfo")
    ((path, arguments, environment),) = world.calls
    program, data = world.package / "_programs" / "gdalinfo", world.package / "_data"
    assert (path, arguments) == (str(program), [str(program), "--version"])
    certificates = str(data / "cacert.pem")
    assert environment == before | {
        "GDAL_DATA": str(data / "gdal"), "PROJ_DATA": str(data / "proj"),
        "PROJ_LIB": str(data / "proj"), "GDAL_DRIVER_PATH": "disable",
        "GDAL_CURL_CA_BUNDLE": certificates, "PROJ_CURL_CA_BUNDLE": certificates,
    }  # fmt: skip
    assert dict(os.environ) == before


def test_a_pipe_that_is_closed_ends_the_program(world: World) -> None:
    world.start("gdalinfo")
    assert signal.SIGPIPE in world.restored
    assert signal.SIGINT not in world.restored, "exec itself takes Python's handler away"


@pytest.mark.parametrize("name", ["ogrinfo", "__path__", "__wrapped__"])
def test_what_is_no_program_is_no_attribute(world: World, name: str) -> None:
    with pytest.raises(AttributeError, match=name):
        world.start(name)


def test_what_cannot_start_is_named(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.failing = PermissionError(13, "Permission denied")
    assert world.start("gdalinfo") == 126
    error = capsys.readouterr().err
    assert f"{world.package / '_programs' / 'gdalinfo'} cannot be started" in error
    assert "Permission denied" in error and "noexec" in error

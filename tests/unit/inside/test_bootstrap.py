"""The bootstrap, with stand-ins for the bundled libraries: what it tells them and what not."""

import ctypes
import json
import os
import sys
import types
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

SOURCE = files("geowheel.inside").joinpath("bootstrap.py").read_text(encoding="utf-8")
USER_FOLDER = b"/home/me/.local/share/proj"


class Function:
    """A function of a library: notes its calls."""

    def __init__(self, library: "Library", name: str) -> None:
        self.argtypes: list[object] | None = None
        self.restype: object = ctypes.c_int
        self._note: Callable[[tuple[object, ...]], None] = lambda arguments: library.calls.append(
            (name, tuple(map(plain, arguments)))
        )
        self._answer = library.answers.get(name)

    def __call__(self, *arguments: object) -> object:
        assert self.argtypes is not None, "a call without argtypes would pass pointers as int"
        assert len(self.argtypes) == len(arguments)
        assert self.restype is not ctypes.c_int, "and without restype return them so"
        self._note(arguments)
        return self._answer


class Library:
    """Stands in for a bundled library."""

    def __init__(self, path: str, calls: list[tuple[str, tuple[object, ...]]]) -> None:
        self.path = path
        self.calls = calls
        self.answers: dict[str, object] = {"proj_context_get_user_writable_directory": USER_FOLDER}
        self.functions: dict[str, Function] = {}

    def __getattr__(self, name: str) -> Function:
        return self.functions.setdefault(name, Function(self, name))


def plain(value: object) -> object:
    return list(value) if isinstance(value, ctypes.Array) else value


class World:
    """An installed package, and what its bootstrap told the libraries."""

    def __init__(self, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.package, self.monkeypatch = package, monkeypatch
        self.calls: list[tuple[str, tuple[object, ...]]] = []
        self.loaded: list[str] = []
        self.failing: str | None = None
        self.answers: dict[str, object] = {}
        self.configured: list[bool] = []

    def load(self, path: str) -> Library:
        if self.failing is not None and self.failing in path:
            raise OSError("cannot open shared object file")
        self.loaded.append(path)
        library = Library(path, self.calls)
        library.answers |= self.answers
        return library

    def run(self) -> dict[str, Any]:
        fake = types.ModuleType("ctypes")
        for name in ("c_char_p", "c_int", "c_void_p", "POINTER"):
            setattr(fake, name, getattr(ctypes, name))
        fake.CDLL = self.load  # type: ignore[attr-defined]
        path = str(self.package / "_geowheel.py")
        names: dict[str, Any] = {"__file__": path, "__name__": "osgeo._geowheel"}
        with self.monkeypatch.context() as patch:
            patch.setitem(sys.modules, "ctypes", fake)
            exec(compile(SOURCE, path, "exec"), names)
            self.configured.append(names["configure"]())
        return names

    def told(self, name: str) -> list[tuple[object, ...]]:
        return [arguments for called, arguments in self.calls if called == name]

    def options(self) -> dict[object, object]:
        return dict(self.told("CPLSetConfigOption"))  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A repaired package with certificates and plugins, and a user who names none."""
    for name in ("GDAL_CURL_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "PROJ_CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.startswith("GEOWHEEL_")]:
        monkeypatch.delenv(name)
    package = tmp_path / "site-packages" / "osgeo"
    (package / "_data").mkdir(parents=True)
    (package / "_plugins").mkdir()
    (package / "_data" / "cacert.pem").touch()
    bundle = {
        "gdal": "../host.libs/libgdal.so", "proj": "../host.libs/libproj.so",
        "gdal_data": "_data/gdal", "proj_data": "_data/proj",
        "ca_bundle": "_data/cacert.pem", "plugins": "_plugins",
    }  # fmt: skip
    (package / "_geowheel.json").write_text(json.dumps(bundle))
    return World(package, monkeypatch)


def test_an_installation_is_told_of_what_it_brings(world: World) -> None:
    made = world.run()
    libs, data = world.package.parent / "host.libs", world.package / "_data"
    assert world.loaded == [str(libs / "libgdal.so"), str(libs / "libproj.so")]
    # PROJ's data: ours first; the user's folder, which is asked for and not made, stays.
    ours = os.fsencode(data / "proj")
    assert world.told("proj_context_get_user_writable_directory") == [(None, 0)]
    assert world.told("proj_context_set_search_paths") == [(None, 2, [ours, USER_FOLDER])]
    assert world.told("OSRSetPROJSearchPaths") == [([ours, USER_FOLDER, None],)]
    certificates = os.fsencode(data / "cacert.pem")
    assert world.options() == {
        b"GDAL_DATA": os.fsencode(data / "gdal"),
        b"GDAL_DRIVER_PATH": os.fsencode(world.package / "_plugins"),
        b"GDAL_CURL_CA_BUNDLE": certificates,
    }
    assert world.told("proj_context_set_ca_bundle_path") == [(None, certificates)]
    names = [name for name, _ in world.calls]
    assert names.index("proj_context_set_search_paths") < names.index("CPLSetConfigOption")
    assert made["variables"]() == {  # what a program is told
        "GDAL_DATA": str(data / "gdal"), "PROJ_DATA": str(data / "proj"),
        "PROJ_LIB": str(data / "proj"), "GDAL_DRIVER_PATH": str(world.package / "_plugins"),
        "GDAL_CURL_CA_BUNDLE": str(data / "cacert.pem"),
        "PROJ_CURL_CA_BUNDLE": str(data / "cacert.pem"),
    }  # fmt: skip


def test_without_plugins_or_a_users_folder(world: World) -> None:
    world.answers["proj_context_get_user_writable_directory"] = None
    world.run()
    ours = os.fsencode(world.package / "_data" / "proj")
    assert world.told("proj_context_set_search_paths") == [(None, 1, [ours])]
    assert world.told("OSRSetPROJSearchPaths") == [([ours, None],)]
    (world.package / "_plugins").rmdir()
    world.run()
    assert world.options()[b"GDAL_DRIVER_PATH"] == b"disable"


@pytest.mark.parametrize(
    ("name", "file", "for_gdal", "for_proj"),
    [
        ("GDAL_CURL_CA_BUNDLE", "mine.pem", False, False),
        ("CURL_CA_BUNDLE", "mine.pem", False, False),
        ("SSL_CERT_FILE", "mine.pem", False, False),
        ("PROJ_CURL_CA_BUNDLE", "mine.pem", True, False),
        ("SSL_CERT_FILE", "cannot be read.pem", True, True),
        ("SSL_CERT_FILE", "", True, True),
    ],
)
def test_certificates_that_the_user_names_win(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, file: str,
    for_gdal: bool, for_proj: bool,
) -> None:  # fmt: skip
    (tmp_path / "mine.pem").touch()
    monkeypatch.setenv(name, file and str(tmp_path / file))
    world.run()
    assert (b"GDAL_CURL_CA_BUNDLE" in world.options()) is for_gdal
    assert bool(world.told("proj_context_set_ca_bundle_path")) is for_proj


def test_without_certificates_of_ours_none_are_set(world: World) -> None:
    (world.package / "_data" / "cacert.pem").unlink()
    world.run()
    assert b"GDAL_CURL_CA_BUNDLE" not in world.options()
    assert world.told("proj_context_set_ca_bundle_path") == []


def test_a_user_may_override(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("data", "grids", "more", "drivers"):
        (tmp_path / name).mkdir()
    (tmp_path / "mine.pem").touch()
    (tmp_path / "others.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "others.pem"))
    monkeypatch.setenv("GEOWHEEL_GDAL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("GEOWHEEL_PROJ_DATA", f"{tmp_path / 'grids'}:{tmp_path / 'more'}")
    monkeypatch.setenv("GEOWHEEL_GDAL_DRIVER_PATH", str(tmp_path / "drivers"))
    monkeypatch.setenv("GEOWHEEL_CA_BUNDLE", str(tmp_path / "mine.pem"))
    world.run()
    theirs = os.fsencode(tmp_path / "mine.pem")
    plugins = world.package / "_plugins"
    assert world.options() == {
        b"GDAL_DATA": os.fsencode(tmp_path / "data"),
        b"GDAL_DRIVER_PATH": os.fsencode(f"{tmp_path / 'drivers'}:{plugins}"),
        b"GDAL_CURL_CA_BUNDLE": theirs,
    }
    assert world.told("proj_context_set_ca_bundle_path") == [(None, theirs)]
    ((paths,),) = world.told("OSRSetPROJSearchPaths")
    ours = os.fsencode(world.package / "_data" / "proj")
    grids = [os.fsencode(tmp_path / name) for name in ("grids", "more")]
    assert paths == [*grids, ours, USER_FOLDER, None]


def test_the_user_may_switch_plugins_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOWHEEL_GDAL_DRIVER_PATH", "disable")
    world.run()
    assert world.options()[b"GDAL_DRIVER_PATH"] == b"disable"


@pytest.mark.parametrize("name", ["GDAL_DATA", "PROJ_DATA", "GDAL_DRIVER_PATH", "CA_BUNDLE"])
def test_a_missing_override(world: World, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    world.run()
    before = list(world.calls)
    world.calls.clear()
    monkeypatch.setenv(f"GEOWHEEL_{name}", "/nowhere/x")
    with pytest.warns(RuntimeWarning, match=f"GEOWHEEL_{name} names /nowhere/x, which is not"):
        world.run()
    assert world.calls == before
    monkeypatch.setenv(f"GEOWHEEL_{name}", "")  # none, and no warning
    world.run()
    assert world.calls == before + before


def test_without_the_file_of_repair_nothing_is_done(world: World) -> None:
    (world.package / "_geowheel.json").unlink()
    assert world.run()["variables"]() == {}
    assert (world.loaded, world.calls, world.configured) == ([], [], [False])


@pytest.mark.parametrize("gone", ["_geowheel.json", "_data/gdal", "_data/proj/proj.db"])
def test_without_its_data(world: World, monkeypatch: pytest.MonkeyPatch, gone: str) -> None:
    repaired = SOURCE.replace("_REPAIRED = False", "_REPAIRED = True")
    monkeypatch.setattr(sys.modules[__name__], "SOURCE", repaired)
    (world.package / "_data/gdal").mkdir()
    (world.package / "_data/proj/proj.db").mkdir(parents=True)
    world.run()
    (world.package / gone).rename(world.package / "elsewhere")
    with pytest.raises(ImportError, match=f"{gone} is gone") as caught:
        world.run()
    assert "PyInstaller" in str(caught.value)
    assert world.configured == [True]


def test_a_library_that_cannot_be_loaded_is_an_import_error_that_names_it(world: World) -> None:
    world.failing = "libproj"
    with pytest.raises(ImportError, match=r"libproj\.so cannot be loaded: cannot open") as caught:
        world.run()
    assert "Reinstall" in str(caught.value)
    assert world.calls == []


def test_a_second_call_leaves_later_settings_alone(world: World) -> None:
    names = world.run()
    before = list(world.calls)
    assert names["configure"]() is True
    assert (world.calls, world.configured) == (before, [True])

"""The bootstrap that a wheel of each system carries."""

import ast
import ctypes
import json
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from geowheel.systems.bootstrap import bootstrap_text
from geowheel.targets import System


@pytest.mark.parametrize("system", System)
def test_no_mark_is_left_and_python_3_9_reads_it(system: System) -> None:
    text = bootstrap_text(system)
    assert "# geowheel:" not in text
    ast.parse(text, feature_version=(3, 9))
    imported = {
        line.split()[1] for line in text.splitlines() if line.startswith(("import ", "from "))
    }
    assert imported <= sys.stdlib_module_names


@pytest.mark.parametrize("system", [System.LINUX, System.MACOS])
def test_other_systems_carry_nothing_of_windows(system: System) -> None:
    text = bootstrap_text(system)
    assert "dll_directory" not in text
    assert "Windows" not in text
    assert "_before_loading" not in text


class Windows:
    """What the bootstrap asked of Windows, in order."""

    def __init__(self, package: Path, lacking: str = "nothing") -> None:
        self.package, self.lacking = package, lacking
        self.asked: list[tuple[str, str]] = []

    def note(self, kind: str) -> Callable[[str], object]:
        def noted(path: str) -> object:
            if self.lacking in path:
                raise OSError("[WinError 126] The specified module could not be found")
            self.asked.append((kind, os.path.relpath(path, self.package.parent)))
            return _Functions()

        return noted

    def run(self, monkeypatch: pytest.MonkeyPatch) -> bool:
        fake = types.ModuleType("ctypes")
        fake.CDLL = self.note("load")  # type: ignore[attr-defined]
        for name in ("c_char_p", "c_int", "c_void_p", "POINTER"):
            setattr(fake, name, getattr(ctypes, name))
        path = str(self.package / "_geowheel.py")
        names: dict[str, Callable[[], bool]] = {"__file__": path, "__name__": "osgeo._geowheel"}  # type: ignore[dict-item]
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "ctypes", fake)
            patch.setattr(os, "add_dll_directory", self.note("add"), raising=False)
            exec(compile(bootstrap_text(System.WINDOWS), path, "exec"), names)
            return names["configure"]()


class _Functions:
    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """An installed package with a plugin that needs hdf5, which needs zlib."""
    (tmp_path / "GDAL.libs").mkdir()
    (tmp_path / "osgeo").mkdir()
    paths = {
        "gdal": "../GDAL.libs/gdal-1.dll", "proj": "../GDAL.libs/proj_9-1.dll",
        "gdal_data": "_data/gdal", "proj_data": "_data/proj", "ca_bundle": "_data/cacert.pem",
        "plugins": "_plugins", "libraries": "../GDAL.libs",
        "preload-001": "../GDAL.libs/hdf5-1.dll", "preload-000": "../GDAL.libs/zlib-1.dll",
    }  # fmt: skip
    (tmp_path / "osgeo" / "_geowheel.json").write_text(json.dumps(paths))
    return tmp_path / "osgeo"


def test_windows_knows_the_folder_first(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = Windows(package)
    assert windows.run(monkeypatch)
    assert windows.asked == [
        ("add", "GDAL.libs"), ("load", "GDAL.libs/zlib-1.dll"), ("load", "GDAL.libs/hdf5-1.dll"),
        ("load", "GDAL.libs/gdal-1.dll"), ("load", "GDAL.libs/proj_9-1.dll"),
    ]  # fmt: skip


def test_without_the_file_nothing_is_asked(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImportError, match=r"hdf5-1\.dll cannot be loaded: .*Reinstall"):
        Windows(package, lacking="hdf5").run(monkeypatch)
    (package.parent / "GDAL.libs").rmdir()
    with pytest.raises(ImportError, match=r"zlib-1\.dll cannot be loaded"):
        Windows(package, lacking="GDAL.libs").run(monkeypatch)
    (package / "_geowheel.json").unlink()
    windows = Windows(package)
    assert not windows.run(monkeypatch)
    assert windows.asked == []

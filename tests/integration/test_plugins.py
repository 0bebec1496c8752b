"""Driver plugins that are loadable files, from the channel into the wheel and at work there."""

import json
import os
import shutil
import subprocess
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from geowheel.binary.elf import read_elf
from geowheel.binary.system_libraries import system_libraries
from geowheel.lab.running import PROBES, copy_probes
from geowheel.targets import System
from tests.support.plugin_channel import (
    OF_ANOTHER_GDAL,
    SOUND,
    TRUNCATED,
    WITHOUT_LIBRARY,
    Toy,
    ask_for,
    name_in_plugins,
    write_plugin_channel,
)
from tests.support.project_copy import PYTHON, Built, ProjectCopy

CYMINI = "tests/data/hosts/cymini"
OPEN = """
import sys
from osgeo import gdal
gdal.UseExceptions()
dataset = gdal.Open(sys.argv[1])
print(dataset.GetDriver().ShortName, list(dataset.GetRasterBand(1).ReadRaster()))
"""
PIXELS = "TOY [42, 43, 44, 52, 53, 54, 62, 63, 64]\n"


@dataclass(frozen=True, kw_only=True)
class Plugged:
    """A wheel of hosts/gdal with a plugin, and an environment where it is installed."""

    project: ProjectCopy
    summary: dict[str, Any]
    python: Path
    site: Path

    @property
    def wheel(self) -> Path:
        return Path(self.summary["wheel"])

    @property
    def plugin(self) -> Path:
        return self.site / "osgeo" / "_plugins" / "gdal_TOY.so"

    def run(self, *arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, "-I", *map(str, arguments)], env={"PATH": os.environ["PATH"]} | environ,
            cwd=self.site.parent, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def probed(
        self, folder: Path, change: tuple[str, str] = ("", ""), **environ: str
    ) -> dict[str, dict[str, Any]]:
        """The rows of the driver probes, by name; a part of their text may be changed."""
        shutil.rmtree(folder / PROBES, ignore_errors=True)  # of an earlier call
        copy_probes(folder)
        text = (folder / PROBES / "drivers.py").read_text("utf-8")
        assert change[0] in text
        (folder / PROBES / "drivers.py").write_text(text.replace(*change), encoding="utf-8")
        asked, report = folder / "asked.json", folder / "report.json"
        function = {"function": "drivers:probe_wheel", "folder": str(folder)}
        runtimes = sorted(system_libraries(System.LINUX))
        asked.write_text(
            json.dumps({"package": "osgeo", "drivers": [], "runtimes": runtimes} | function)
        )
        self.run(folder / PROBES / "probe.py", asked, report, **environ)
        rows = json.loads(report.read_text(encoding="utf-8"))["rows"]
        return {row["name"]: row for row in rows}


@pytest.fixture(scope="module")
def toy_channel(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (distro,) = built.project.cache.glob("channels/distro-*[0-9]")
    (prefix,) = built.project.root.glob(".geowheel/linux-64/fetch/*/prefix")
    folder = tmp_path_factory.mktemp("toys")
    return write_plugin_channel(distro, prefix, folder, folder / "scratch")


def project_with(
    built: Built, channel: Path, root: Path, *locked: Toy, host: str = "hosts/gdal"
) -> ProjectCopy:
    """A checkout whose pixi.toml asks for toys; what `built` made is not made again."""
    shutil.copytree(built.project.root, root, symlinks=True)
    shutil.rmtree(root / "dist")
    ask_for(root / "pixi.toml", tuple(toy.package for toy in locked))
    return replace(built.project, root=root, host=host, extra={"GEOWHEEL_CHANNEL": str(channel)})


@pytest.fixture(scope="module")
def plugged(built: Built, toy_channel: Path, tmp_path_factory: pytest.TempPathFactory) -> Plugged:
    folder = tmp_path_factory.mktemp("plugged")
    project = project_with(built, toy_channel, folder / "project", SOUND)
    name_in_plugins(project.root / project.host / "pyproject.toml", SOUND.package)
    (summary,) = project.json("wheel", "--python", PYTHON)["targets"]
    venv.create(folder / "user", with_pip=True)
    python = folder / "user" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", summary["wheel"]]
    subprocess.run(pip, check=True)
    site = folder / "user" / "lib" / f"python{PYTHON}" / "site-packages"
    return Plugged(project=project, summary=summary, python=python, site=site)


@pytest.fixture
def toy_file(tmp_path: Path) -> Path:
    path = tmp_path / "a.toy"
    path.write_text("TOY and nothing else", encoding="utf-8")
    return path


def test_the_plugin_and_its_own_library_are_in_the_wheel(plugged: Plugged, toy_file: Path) -> None:
    with zipfile.ZipFile(plugged.wheel) as archive:
        names = archive.namelist()
    assert [name for name in names if "/_plugins/" in name] == [
        "osgeo/_plugins/drivers.ini", "osgeo/_plugins/gdal_TOY.so",
    ]  # fmt: skip
    (library,) = (name for name in names if "libtoy" in name)
    assert library.startswith("gdal.libs/libtoy-")
    elf = read_elf(plugged.plugin)
    assert Path(library).name in elf.needed and "libtoy.so.1" not in elf.needed
    assert elf.search_path[-1] == "$ORIGIN/../../gdal.libs"
    rows = {row["name"]: row for row in plugged.summary["probes"]}
    assert rows["plugin gdal_TOY.so"] == {
        "name": "plugin gdal_TOY.so", "passed": True, "detail": "loaded: TOY",
    }  # fmt: skip
    assert {"name": "TOY", "kinds": ["raster"], "plugin": "gdal_TOY.so"} in plugged.summary[
        "drivers"
    ]
    assert plugged.summary["not_in_wheel"] == []
    done = plugged.run("-c", OPEN, toy_file)
    assert (done.stdout, done.stderr) == (PIXELS, "")


def test_drivers_have_the_order_of_the_native_stacks_file(plugged: Plugged) -> None:
    """GDAL asks them in this order; one that drivers.ini does not name comes first."""
    code = "from osgeo import gdal; print([gdal.GetDriver(n).ShortName for n in range(5)])"
    assert plugged.run("-c", code).stdout.startswith("['TOY', 'VRT', ")
    order = plugged.plugin.with_name("drivers.ini")
    with set_aside(order) as sound:
        order.write_text(sound.read_text(encoding="utf-8").replace("\nGTiff\n", "\nGTiff\nTOY\n"))
        assert "'GTiff', 'TOY'" in plugged.run("-c", code).stdout


@contextmanager
def set_aside(path: Path) -> Iterator[Path]:
    kept = path.rename(path.with_name(f"{path.name}.kept"))
    try:
        yield kept
    finally:
        path.unlink(missing_ok=True)
        kept.rename(path)


@pytest.mark.parametrize("kept", [0, 100, 2000])
def test_a_truncated_plugin_fails_by_name(plugged: Plugged, tmp_path: Path, kept: int) -> None:
    """With 2000 bytes the loader itself is ended by a signal, as GDAL would be."""
    assert plugged.probed(tmp_path)["plugin gdal_TOY.so"]["passed"]
    with set_aside(plugged.plugin) as whole:
        plugged.plugin.write_bytes(whole.read_bytes()[:kept])
        row = plugged.probed(tmp_path)["plugin gdal_TOY.so"]
    assert row["passed"] is False
    assert "gdal_TOY.so" in row["detail"]


def test_a_plugin_that_is_lost_fails_by_name(plugged: Plugged, tmp_path: Path) -> None:
    (library,) = plugged.site.glob("gdal.libs/libtoy-*")
    with set_aside(library):
        row = plugged.probed(tmp_path)["plugin gdal_TOY.so"]
    assert row["passed"] is False and library.name in row["detail"]
    # Of a bootstrap that points GDAL to another folder: the file alone loads well.
    bootstrap = plugged.site / "osgeo" / "_geowheel.py"
    with set_aside(bootstrap) as sound:
        text = sound.read_text(encoding="utf-8")
        lost = text.replace('("GDAL_DATA", "GDAL_DRIVER_PATH", ', '("GDAL_DATA", ')
        assert lost != text
        bootstrap.write_text(lost, encoding="utf-8")
        rows = plugged.probed(tmp_path, GDAL_DRIVER_PATH="disable")
    assert rows["plugin gdal_TOY.so"]["passed"]
    assert "GDAL does not find TOY of gdal_TOY.so" in rows["all drivers register"]["detail"]


def failed(rows: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: row["detail"] for name, row in rows.items() if row["passed"] is False}


def test_a_driver_that_works_otherwise_fails_by_name(plugged: Plugged, tmp_path: Path) -> None:
    coarse = ('Raster("JPEG", ".jpg", ("QUALITY=95",)', 'Raster("JPEG", ".jpg", ("QUALITY=10",)')
    found = failed(plugged.probed(tmp_path, coarse))
    assert set(found) == {"driver JPEG"}
    assert "differ by up to" in found["driver JPEG"]
    off = ("x, y = mercator(longitude, latitude) if", "x, y = mercator(longitude, 0) if")
    assert set(failed(plugged.probed(tmp_path, off))) == {"driver MVT"}


def test_an_unasked_plugin_is_left_out(built: Built, toy_channel: Path, tmp_path: Path) -> None:
    project = project_with(built, toy_channel, tmp_path / "project", SOUND)
    (summary,) = project.json("wheel", "--python", PYTHON)["targets"]
    assert summary["sha256"] == built.summary["sha256"], "the very wheel of a lock without it"
    with zipfile.ZipFile(summary["wheel"]) as archive:
        assert not [name for name in archive.namelist() if "toy" in name.lower()]
    assert summary["not_in_wheel"] == [{"package": SOUND.package, "drivers": [], "in_stack": False}]
    said = project.run("wheel", "--python", PYTHON).stdout
    assert f"package {SOUND.package}, add it to plugins" in said


@pytest.mark.parametrize(
    ("toy", "command", "codes", "words"),
    [
        (WITHOUT_LIBRARY, "repair", (8,),
         ("libtoy.so.1, needed by cymini/_plugins/gdal_TOA.so", "is not in the native stack")),
        (TRUNCATED, "repair", (6, 8), ("gdal_TOT.so",)),
        (OF_ANOTHER_GDAL, "wheel", (10,),
         ("probe failed: plugin gdal_TON.so", "registers no driver", ".99")),
    ],
    ids=["without its library", "damaged", "for another GDAL"],
)  # fmt: skip
def test_a_plugin_that_cannot_work_is_refused_by_name(
    built: Built, toy_channel: Path, tmp_path: Path, toy: Toy, command: str,
    codes: tuple[int, ...], words: tuple[str, ...],
) -> None:  # fmt: skip
    """In a host without bindings, which is quickly made."""
    project = project_with(built, toy_channel, tmp_path / "project", toy, host=CYMINI)
    name_in_plugins(project.root / CYMINI / "pyproject.toml", toy.package)
    result = project.run(command, "--python", PYTHON)
    assert result.returncode in codes and "Traceback" not in result.stderr, result.stderr
    for text in words:
        assert text in result.stderr

"""The commands of the built wheel: installed in the ways that pip knows, run with nothing set."""

import json
import os
import shutil
import signal
import subprocess
import time
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from platform import machine
from typing import Any

import pytest

from geowheel.binary.elf import read_elf
from geowheel.project.entry_points import console_scripts
from geowheel.wheel.leftovers import KINDS
from geowheel.wheel.reading import read_wheel
from tests.support.private_hosts import Installed, PrivateHosts
from tests.support.project_copy import PYTHON, Built, ProjectCopy

OF_OTHERS = {
    "PROJ_DATA": "/nonexistent", "PROJ_LIB": "/nonexistent",
    "GDAL_DATA": "/nonexistent", "GDAL_DRIVER_PATH": "/nonexistent",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Commands:
    """Installed commands, and the variables without which Python would not find their package."""

    folder: Path
    site: Path
    python: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    def run(
        self, command: str, *arguments: object, cwd: Path | None = None, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as under `env -i`: no PATH, no HOME, nothing."""
        return subprocess.run(
            [self.folder / command, *map(str, arguments)], env={**self.environ, **environ},
            cwd=cwd, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def works(self, command: str, *arguments: object, **options: Any) -> str:
        """What a command says that must succeed without a word of complaint."""
        done = self.run(command, *arguments, **options)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def say(self, code: str, **environ: str) -> str:
        done = subprocess.run(
            [self.python, "-c", code], env={**self.environ, **environ}, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def waiting(self, **environ: str) -> Iterator[subprocess.Popen[str]]:
        """gdalinfo, started by its command and waiting for its input."""
        process = subprocess.Popen(
            [self.folder / "gdalinfo", "/vsistdin/"], env={**self.environ, **environ},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        program = self.site / "osgeo" / "_programs" / "gdalinfo"
        try:
            deadline = time.monotonic() + 20
            seen = Path(f"/proc/{process.pid}")
            # Its variables appear a moment after its name does.
            while not (seen / "exe").samefile(program) or not (seen / "environ").read_bytes():
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.01)
            yield process
        finally:
            process.kill()
            process.communicate()


def in_venv(folder: Path) -> Commands:
    venv.create(folder, with_pip=True)
    return Commands(
        folder=folder / "bin", python=folder / "bin" / "python",
        site=folder / "lib" / f"python{PYTHON}" / "site-packages",
    )  # fmt: skip


def in_target(folder: Path) -> Commands:
    made, site = in_venv(folder / "environment"), folder / "target"
    return replace(made, folder=site / "bin", site=site, environ={"PYTHONPATH": str(site)})


def in_user(folder: Path) -> Commands:
    # pip's --user is for environments that see the user's folder.
    venv.create(folder / "environment", with_pip=True, system_site_packages=True)
    base = folder / "user"
    return Commands(
        folder=base / "bin", python=folder / "environment" / "bin" / "python",
        site=base / "lib" / f"python{PYTHON}" / "site-packages",
        environ={"PYTHONUSERBASE": str(base)},
    )  # fmt: skip


def numpy_of(project: ProjectCopy) -> Path:
    """The wheel of NumPy that the host was tested with."""
    tag = f"cp{PYTHON.replace('.', '')}"
    (found,) = project.cache.glob(f"store/??/*/numpy-*-{tag}-{tag}-*_{machine()}.whl")
    return found


WAYS = {"venv": in_venv, "target": in_target, "user": in_user}


@pytest.fixture(scope="module", params=sorted(WAYS))
def commands(
    built: Built, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Commands:
    """The wheel and NumPy, in a folder whose name has spaces and letters that are not ASCII."""
    folder = tmp_path_factory.mktemp("commands") / f"ein Ordner für {request.param} 地図"
    made = WAYS[request.param](folder)
    how = {"venv": [], "target": ["--target", str(made.site)], "user": ["--user"]}[request.param]
    numpy = numpy_of(built.project)
    quiet = ["-q", "--no-deps", "--no-index", "--no-warn-script-location", "--ignore-installed"]
    subprocess.run(
        [made.python, "-m", "pip", "install", *quiet, *how, built.wheel, numpy],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **made.environ}, check=True,
    )  # fmt: skip
    return made


@pytest.fixture
def raster(commands: Commands, tmp_path: Path) -> Path:
    """40 by 20 pixels of 7, in UTM zone 33N."""
    path = tmp_path / "ein räster.tif"
    commands.works(
        "gdal_create", "-outsize", 40, 20, "-burn", 7, "-a_srs", "EPSG:32633",
        "-a_ullr", 500000, 5700000, 500400, 5699800, path,
    )  # fmt: skip
    return path


def described(commands: Commands, path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(commands.works("gdalinfo", "-json", "-stats", path))
    return data


def test_programs_do_their_work(commands: Commands, raster: Path, tmp_path: Path) -> None:
    half, warped = tmp_path / "half.tif", tmp_path / "warped.tif"
    commands.works("gdal_translate", "-q", "-outsize", "50%", "50%", raster, half)
    found = described(commands, half)
    assert (found["size"], found["bands"][0]["mean"]) == ([20, 10], 7.0)
    assert 'PROJCRS["WGS 84 / UTM zone 33N"' in found["coordinateSystem"]["wkt"]
    commands.works("gdalwarp", "-q", "-t_srs", "EPSG:4326", half, warped)
    assert 'GEOGCRS["WGS 84"' in described(commands, warped)["coordinateSystem"]["wkt"]


@pytest.mark.parametrize("command", ["gdal_calc", "gdal_calc.py"])
def test_scripts_do_work(commands: Commands, raster: Path, tmp_path: Path, command: str) -> None:
    goal = tmp_path / "calculated.tif"
    commands.works(command, "-A", raster, f"--outfile={goal}", "--calc=A*3", "--quiet")
    assert described(commands, goal)["bands"][0]["mean"] == 21.0


def test_a_failing_program_is_passed_through(commands: Commands, tmp_path: Path) -> None:
    program = commands.site / "osgeo" / "_programs" / "gdalinfo"
    itself = subprocess.run(
        [program, tmp_path / "missing.tif"], env={}, capture_output=True, text=True, check=False
    )
    done = commands.run("gdalinfo", tmp_path / "missing.tif")
    assert done.returncode == itself.returncode == 1
    assert done.stderr == itself.stderr and "missing.tif" in done.stderr
    assert done.stdout == itself.stdout


def test_interrupts_reach_the_program_itself(commands: Commands) -> None:
    with commands.waiting() as process:
        process.send_signal(signal.SIGINT)
        assert process.wait() == -signal.SIGINT
        assert process.stderr is not None and "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("grids", [True, False])  # with them Python starts it, else a shell
def test_a_program_alone_sees_its_values(commands: Commands, tmp_path: Path, grids: bool) -> None:
    (tmp_path / "grids").mkdir()
    more = {"GEOWHEEL_PROJ_DATA": str(tmp_path / "grids")} if grids else {}
    with commands.waiting(**more, **OF_OTHERS) as process:
        data = Path(f"/proc/{process.pid}/environ").read_text(encoding="utf-8")
    found = dict(line.split("=", 1) for line in data.split("\0") if line)
    ours = commands.site / "osgeo" / "_data"
    before = f"{tmp_path / 'grids'}:" if grids else ""
    assert found["PROJ_DATA"] == found["PROJ_LIB"] == f"{before}{ours / 'proj'}"
    certificates = str(ours / "cacert.pem")
    assert found["GDAL_CURL_CA_BUNDLE"] == found["PROJ_CURL_CA_BUNDLE"] == certificates
    assert found["GDAL_DATA"] == str(ours / "gdal")
    plugins = commands.site / "osgeo" / "_plugins"
    assert found["GDAL_DRIVER_PATH"] == (str(plugins) if plugins.is_dir() else "disable")


def test_programs_are_as_the_libraries_are(built: Built, tmp_path: Path) -> None:
    members = {member.path: member for member in read_wheel(built.wheel).members}
    programs = [path for path in members if path.startswith("osgeo/_programs/")]
    assert {"osgeo/_programs/gdalinfo", "osgeo/_programs/ogr2ogr"} < set(programs)
    assert "osgeo/_programs/gdal-config" not in programs
    assert not [path for path in members if Path(path).suffix in KINDS]
    shutil.unpack_archive(built.wheel, tmp_path, "zip")
    for path in programs:
        assert members[path].executable
        elf = read_elf(tmp_path / path)
        assert elf.search_path == ("$ORIGIN/../../gdal.libs",)
        assert not (elf.symbols or elf.debug)
    (sbom,) = tmp_path.glob("*.dist-info/sboms/geowheel.cdx.json")
    (gdal,) = [component for component in json.loads(sbom.read_text("utf-8"))["components"]
               if component["name"] == "libgdal-core"]  # fmt: skip
    assert set(programs) <= {file["name"] for file in gdal["components"]}
    text = next(tmp_path.glob("*.dist-info/entry_points.txt")).read_text("utf-8")
    scripts = {path.name: path for path in tmp_path.glob("*.data/scripts/*")}
    assert {Path(path).name for path in programs} == scripts.keys()
    assert not scripts.keys() & console_scripts(text).keys() and "gdal_calc" in text
    assert scripts["gdalinfo"].read_bytes().startswith(b"#!/bin/sh\n")


def test_a_command_finds_its_program(commands: Commands, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(commands.folder / "gdalinfo")
    for way in (link, "./gdalinfo", "../bin/gdalinfo"):
        done = subprocess.run(
            [way, "--version"], cwd=commands.folder, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout[:5], done.stderr) == (0, "GDAL ", "")


def test_the_commands_of_several_wheels_do_not_clash(three_hosts: Installed) -> None:
    (private,) = three_hosts.site.glob("terrain_gdal-*.dist-info")
    own = console_scripts((private / "entry_points.txt").read_text("utf-8"))
    assert own == {"terrain": "terrain.cli:main"}
    assert not list((three_hosts.site / "terrain").rglob("_programs"))
    found = Commands(folder=three_hosts.python.parent, site=three_hosts.site,
                     python=three_hosts.python)  # fmt: skip
    assert found.works("gdalinfo", "--version").startswith("GDAL 3.")


def test_a_private_host_may_ask_for_commands(private_hosts: PrivateHosts, tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(private_hosts.terrain.root, root, symlinks=True)
    config = root / "hosts" / "terrain" / "pyproject.toml"
    layout = 'layout = "private"\n'
    programs = 'programs = ["gdal?nfo", "gdal_merge"]\n'
    config.write_text(config.read_text("utf-8").replace(layout, layout + programs), "utf-8")
    host = replace(private_hosts.terrain, root=root)
    (summary,) = host.json("repair", "--python", PYTHON)["targets"]
    made = in_target(tmp_path)
    subprocess.run(
        [made.python, "-m", "pip", "install", "-q", "--no-deps", "--no-index",
         "--target", made.site, summary["wheel"], numpy_of(host)], check=True,
    )  # fmt: skip
    found = {path.name for path in made.folder.iterdir()}
    assert {"gdal_merge", "gdalinfo", "terrain"} <= found
    assert not {"ogr2ogr", "gdal_merge.py", "gdal_calc"} & found
    assert made.works("gdalinfo", "--version", **OF_OTHERS).startswith("GDAL 3.")
    assert "released" in made.run("gdal_merge", "--version").stdout

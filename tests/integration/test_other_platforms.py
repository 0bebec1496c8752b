"""Wheels for platforms that this machine is not: fetch, assemble, repair and check, on hosts/gdal.

Nothing of what is made can run here. What its loader would find is checked by the closure, and
here once more by independent readers of the wheel and of its binaries.
"""

import json
import subprocess
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import installer.utils
import pefile
import pytest
from installer.sources import WheelFile
from macholib.MachO import MachO

from geowheel.binary.macho_signature import signature_faults
from geowheel.targets import Platform
from tests.support.foreign_channels import PLUGINS, write_channel
from tests.support.project_copy import ProjectCopy, copy_repository
from tests.support.windows_fixtures import write_raw

pytestmark = [pytest.mark.integration, pytest.mark.cross, pytest.mark.pypi]

ASSEMBLE = ("wheel", "--python", "3.12", "--bindings", "prebuilt")


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """A wheel for another platform, and what it was made in."""

    project: ProjectCopy
    channel: Path
    platform: str
    wheel: Path
    said: str

    def members(self) -> dict[str, bytes]:
        with zipfile.ZipFile(self.wheel) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def bundle(self) -> Mapping[str, str]:
        """What the bootstrap reads."""
        data: Mapping[str, str] = json.loads(self.members()["osgeo/_geowheel.json"])
        return data

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command, with prebuilt bindings of the channel."""
        return self.project.run(
            *arguments, "--bindings", "prebuilt", "--channel", str(self.channel)
        )

    def repair_wheel(
        self, folder: Path, files: Mapping[str, bytes]
    ) -> subprocess.CompletedProcess[str]:
        raw = write_raw({"gdal_host/__init__.py": b"", **files}, folder, name="gdal")
        return self.run("repair-wheel", str(raw), str(folder / "out"))


def assemble(root: Path, channel: Path, platform: str, cache: Path) -> Foreign:
    project = ProjectCopy(root=root, cache=cache)
    copy_repository(root)
    result = project.good(*ASSEMBLE, "--platform", platform, "--channel", str(channel))
    (wheel,) = (root / "dist").glob("*.whl")
    return Foreign(
        project=project, channel=channel, platform=platform, wheel=wheel,
        said=result.stdout + result.stderr,
    )  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Foreign:
    base = tmp_path_factory.mktemp("windows")
    channel = write_channel(base / "channel", Platform.WIN_64)
    return assemble(base / "project", channel, "win-64", cache)


@pytest.fixture(scope="module")
def macos(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Foreign:
    base = tmp_path_factory.mktemp("macos")
    channel = write_channel(base / "channel", Platform.OSX_ARM64)
    return assemble(base / "project", channel, "osx-arm64", cache)


@pytest.mark.parametrize(
    ("name", "tag", "words"),
    [
        ("windows", "win_amd64", ()),
        ("macos", "macosx_11_0_arm64", ("experimental: not repaired on a Mac",)),
    ],
)
def test_one_wheel_comes_out(
    request: pytest.FixtureRequest, name: str, tag: str, words: tuple[str, ...]
) -> None:
    made: Foreign = request.getfixturevalue(name)
    assert made.wheel.name == f"gdal-3.10.3-cp312-cp312-{tag}.whl"
    for text in (
        f"test: not run, linux-64 cannot run what is made for {made.platform}",
        "not from a committed lock, so not for release", *words,
    ):  # fmt: skip
        assert text in made.said
    with WheelFile.open(made.wheel) as source:
        source.validate_record()
        found = installer.utils.parse_metadata_file(source.read_dist_info("WHEEL")).get("Tag")
    assert found == f"cp312-cp312-{tag}"


def test_every_import_of_windows_binaries_is_in_the_wheel(windows: Foreign) -> None:
    members = windows.members()
    binaries = {name: data for name, data in members.items() if name.endswith((".dll", ".pyd"))}
    there = {name.rpartition("/")[2].lower() for name in binaries}
    systems = {"kernel32.dll", "vcruntime140.dll", "python312.dll"}
    for name, data in binaries.items():
        read = pefile.PE(data=data)
        assert pefile.MACHINE_TYPE[read.FILE_HEADER.Machine] == "IMAGE_FILE_MACHINE_AMD64", name
        imports = {
            entry.dll.decode().lower() for entry in getattr(read, "DIRECTORY_ENTRY_IMPORT", ())
        }
        assert imports <= there | systems, name
    assert sum(name.startswith("gdal.libs/") for name in binaries) == 5
    assert sum(name.startswith("osgeo/_plugins/") for name in binaries) == PLUGINS
    assert "osgeo/_gdal.cp312-win_amd64.pyd" in binaries
    members, bundle = windows.members(), windows.bundle()
    assert b"add_dll_directory" in members["osgeo/_geowheel.py"]
    assert bundle["libraries"] == "../gdal.libs"
    inside = {Path("osgeo", path).as_posix() for path in bundle.values()}
    assert all(path.startswith(("osgeo/../gdal.libs", "osgeo/_")) for path in inside)
    # What plugins need; what that needs comes along.
    loaded = [path.rpartition("/")[2].partition("-")[0] for name, path in sorted(bundle.items())
              if name.startswith("preload-")]  # fmt: skip
    assert loaded[0] == "gdal" and "hdf5" in loaded and "sqlite3" not in loaded
    name = "gdal-3.10.3.dist-info/sboms/geowheel.cdx.json"
    sbom = json.loads(windows.members()[name])
    names = {component["name"] for component in sbom["components"]}
    assert {"gdal", "libgdal-core", "proj", "vc14_runtime", "libgdal-hdf4"} <= names


@pytest.mark.parametrize(
    ("command", "python", "words"),
    [
        ("test", "3.12", "linux-64 cannot run what is made for win-64"),
        ("wheel", "3.13", "python 3.13.*"),
    ],
)
def test_what_cannot_be_is_said(windows: Foreign, command: str, python: str, words: str) -> None:
    result = windows.run(command, "--python", python, "--platform", "win-64")
    assert result.returncode != 0 and words in result.stderr


def test_a_wheel_for_windows_from_elsewhere(windows: Foreign, tmp_path: Path) -> None:
    elf = b"\x7fELF" + bytes(60)
    (refused := tmp_path / "refused").mkdir()
    result = windows.repair_wheel(refused, {"gdal_host/_fast.pyd": elf})
    assert result.returncode == 8, result.stderr
    assert "gdal_host/_fast.pyd" in result.stderr
    assert "is compiled for linux, and the wheel is for win-64" in result.stderr
    assert not (refused / "out").exists()
    # Its own tag names delvewheel.
    result = windows.repair_wheel(tmp_path, {})
    assert result.returncode == 0, result.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == [
        "gdal-1.0-cp312-cp312-win_amd64.whl"
    ]
    result = windows.run("repair")
    assert result.returncode == 0, result.stderr
    assert "cp312-win-64" in result.stderr
    assert [path.name for path in (windows.project.root / "dist").iterdir()] == [windows.wheel.name]


def test_what_macos_binaries_need_is_there_and_signed(macos: Foreign, tmp_path: Path) -> None:
    with zipfile.ZipFile(macos.wheel) as archive:
        archive.extractall(tmp_path)
    paths = [path for path in sorted(tmp_path.rglob("*")) if path.suffix in (".dylib", ".so")]
    assert len(paths) == 4 + PLUGINS + 1
    for path in paths:
        (header,) = MachO(str(path)).headers
        needed = [
            text.rstrip(b"\0").decode()
            for load, _, text in header.commands
            if load.get_cmd_name() == "LC_LOAD_DYLIB"
        ]
        for name in needed:
            inside = (path.parent / name.removeprefix("@loader_path/")).resolve()
            assert name.startswith("/usr/lib/libSystem") or inside in paths, (path, name)
        assert signature_faults(path) == ()
        assert str(macos.project.root).encode() not in path.read_bytes()


def test_a_newer_macos_than_the_floor_is_refused(macos: Foreign, tmp_path: Path) -> None:
    project = ProjectCopy(root=tmp_path / "project", cache=macos.project.cache)
    copy_repository(project.root)
    config = project.root / "hosts/gdal/pyproject.toml"
    text = config.read_text().replace('floor = "manylinux_2_28"', 'floor.macos = "10.15"')
    config.write_text(text)
    result = project.run(*ASSEMBLE, "--platform", "osx-arm64", "--channel", str(macos.channel))
    assert result.returncode == 8, result.stderr
    assert "newer than the floor macos 10.15" in result.stderr
    assert not list(project.root.glob("dist/*"))

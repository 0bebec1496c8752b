"""The distro channel, made for real from this distribution's packages."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import rattler
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from rattler.package_streaming import extract

from geowheel.binary.elf import read_elf
from geowheel.binary.system_libraries import system_libraries
from geowheel.distro.channel import DistroChannel, make_distro_channel, read_distribution
from geowheel.errors import ChannelError
from geowheel.machine.console import Console
from geowheel.project.project import this_machine
from geowheel.targets import Platform, System

pytestmark = [pytest.mark.integration, pytest.mark.distro]

SPECS = ("libgdal-core", "ca-certificates", "libgdal-netcdf")


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """Packages of one solve, unpacked side by side and over one another."""

    root: Path
    unpacked: Mapping[str, Path]


def make(
    folder: Path,
    logs: Path,
    environ: Mapping[str, str] = os.environ,
    platform: Platform | None = None,
) -> DistroChannel:
    platform = platform or this_machine(os.environ).platform
    with Console(logs=logs, quiet=True).step("channel", "test") as step:
        return make_distro_channel(
            folder, read_distribution(), platform=platform, environ=environ, step=step
        )


@pytest.fixture(scope="session")
def channel(tmp_path_factory: pytest.TempPathFactory) -> DistroChannel:
    folder = tmp_path_factory.mktemp("distro") / "channel"
    return make(folder, folder.parent / "logs")


@pytest.fixture(scope="session")
def prefix(channel: DistroChannel, tmp_path_factory: pytest.TempPathFactory) -> Prefix:
    base = tmp_path_factory.mktemp("prefix")
    gateway = rattler.Gateway(cache_dir=base / "cache")
    records = asyncio.run(
        rattler.solve(
            [rattler.Channel(channel.folder.as_uri())],
            list(SPECS),
            platforms=[rattler.Subdir(str(channel.platform)), "noarch"],
            gateway=gateway,
        )
    )
    root, unpacked = base / "root", {}
    for record in records:
        package = channel.folder / record.subdir / record.file_name
        assert hashlib.sha256(package.read_bytes()).digest() == record.sha256
        target = base / "unpacked" / record.name.normalized
        extract(package, target)
        unpacked[record.name.normalized] = target
        for entry in entries(target):
            goal = root / entry["_path"]
            goal.parent.mkdir(parents=True, exist_ok=True)
            assert not os.path.lexists(goal), f"two packages bring {entry['_path']}"
            source = target / entry["_path"]
            if source.is_symlink():
                goal.symlink_to(source.readlink())
            else:
                os.link(source, goal)
    return Prefix(root=root, unpacked=unpacked)


def entries(unpacked: Path) -> list[dict[str, Any]]:
    data: dict[str, list[dict[str, Any]]] = json.loads((unpacked / "info/paths.json").read_text())
    return data["paths"]


def packages(folder: Path) -> dict[str, str]:
    """Every file of a channel with the digest of its bytes."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def elf_files(root: Path) -> list[Path]:
    regular = (p for p in sorted(root.rglob("*")) if p.is_file() and not p.is_symlink())
    return [p for p in regular if p.open("rb").read(4) == b"\x7fELF"]


def test_made_again_elsewhere_it_has_the_same_bytes(channel: DistroChannel, tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        again = make(tmp_path / "with space" / "other", tmp_path / "logs")
    finally:
        os.umask(old)
    assert again.converted == channel.converted
    assert packages(again.folder) == packages(channel.folder)


def test_a_second_run_converts_nothing(channel: DistroChannel, tmp_path: Path) -> None:
    before = packages(channel.folder)
    again = make(channel.folder, tmp_path)
    assert (again.packages, again.converted) == (channel.packages, 0)
    assert packages(channel.folder) == before
    assert make(channel.folder, tmp_path, unreachable(tmp_path)).converted == 0
    before = packages(channel.folder)
    (victim,) = channel.folder.rglob("libzlib-*.conda")
    victim.write_bytes(victim.read_bytes()[:-1])
    (victim.parent / "stale-1-0.conda").write_bytes(b"")
    assert make(channel.folder, tmp_path).converted == 1
    assert packages(channel.folder) == before


def test_without_a_network_and_lists_the_error_says_so(tmp_path: Path) -> None:
    with pytest.raises(ChannelError, match="reached no package source") as caught:
        make(tmp_path / "channel", tmp_path / "logs", unreachable(tmp_path))
    assert "next: make 'apt-get update' work" in str(caught.value)
    assert not (tmp_path / "channel").exists()


def unreachable(folder: Path) -> dict[str, str]:
    """An environment in which apt finds no mirror: its proxy answers nothing."""
    settings = folder / "apt.conf"
    proxy = "http://127.0.0.1:9"
    names = ("http", "https")
    lines = [f'Acquire::{name}::Proxy "{proxy}";\n' for name in names]
    settings.write_text("".join(lines))
    proxies = {f"{name}_proxy": proxy for name in names}
    return {**os.environ, **proxies, "APT_CONFIG": str(settings)}


def test_every_file_is_what_its_package_says(prefix: Prefix) -> None:
    assert set(SPECS) < prefix.unpacked.keys()
    for name, folder in prefix.unpacked.items():
        there = {
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if (path.is_file() or path.is_symlink())
            and "info" not in path.relative_to(folder).parts[:1]
        }
        assert there == {entry["_path"] for entry in entries(folder)}, name
        for entry in entries(folder):
            data = (folder / entry["_path"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == entry["sha256"], entry["_path"]
            assert len(data) == entry["size_in_bytes"]
    for name, folder in prefix.unpacked.items():
        index = json.loads((folder / "info/index.json").read_text())
        if entries(folder):
            assert index["license"], name
            assert list((folder / "info/licenses").glob("*.copyright")), name
        origin = json.loads((folder / "info/about.json").read_text())["extra"]["origin"]
        assert all(len(deb["sha256"]) == 64 for deb in origin["debs"])


def test_every_library_is_found_by_relative_paths(prefix: Prefix) -> None:
    there = {path.name for path in (prefix.root / "lib").iterdir()}
    for path in elf_files(prefix.root):
        elf = read_elf(path)
        for needed in elf.needed:
            runtime = needed in system_libraries(System.LINUX)
            assert runtime or needed in there, f"{path.name} needs {needed}"
        with path.open("rb") as file:
            segments = ELFFile(file).iter_segments()
            tags = [t for s in segments if isinstance(s, DynamicSegment) for t in s.iter_tags()]
        found = [str(vars(t)["rpath"]) for t in tags if t.entry.d_tag == "DT_RPATH"]
        assert found or not elf.needed, path
        assert all(rpath.startswith("$ORIGIN") for rpath in found)
        assert not [t for t in tags if t.entry.d_tag == "DT_RUNPATH"], path


def test_libgdal_loads_from_the_prefix_alone(prefix: Prefix) -> None:
    code = (
        "import ctypes, sys\n"
        "gdal = ctypes.CDLL(sys.argv[1])\n"
        "gdal.GDALVersionInfo.restype = ctypes.c_char_p\n"
        "gdal.GDALGetDriverByName.restype = ctypes.c_void_p\n"
        "gdal.GDALAllRegister()\n"
        "assert gdal.GDALGetDriverByName(b'netCDF')\n"
        "print(gdal.GDALVersionInfo(b'RELEASE_NAME').decode())\n"
        "lines = [line.split() for line in open('/proc/self/maps') if '.so' in line]\n"
        "print(*{words[-1] for words in lines}, sep='\\n')\n"
    )
    library = prefix.root / "lib" / "libgdal.so"
    argv = [sys.executable, "-c", code, str(library)]
    done = subprocess.run(argv, env={}, capture_output=True, text=True, check=True)
    version, *loaded = done.stdout.splitlines()
    index = json.loads((prefix.unpacked["libgdal-core"] / "info/index.json").read_text())
    assert version == index["version"]
    for name in ("libproj.so", "libnetcdf.so", "libcurl"):
        assert all(str(prefix.root) in path for path in loaded if f"/{name}" in path)


def converted(folder: Path) -> int:
    """Count the packages; os.walk, unlike rglob, allows that scratch folders go meanwhile."""
    return sum(name.endswith(".conda") for *_, names in os.walk(folder) for name in names)


def test_a_killed_run_leaves_nothing_half_made(tmp_path: Path, channel: DistroChannel) -> None:
    code = (
        "import os, sys; from pathlib import Path; from geowheel.machine.console import Console\n"
        "from geowheel.distro.channel import make_distro_channel, read_distribution\n"
        "from geowheel.project.project import this_machine\n"
        "folder = Path(sys.argv[1])\n"
        "with Console(logs=folder.with_name('logs'), quiet=True).step('channel', '') as step:\n"
        "    platform = this_machine(os.environ).platform\n"
        "    make_distro_channel(folder, read_distribution(), platform=platform, step=step,"
        " environ=os.environ)\n"
    )
    folder = tmp_path / "channel"
    argv = [sys.executable, "-c", code, str(folder)]
    running = subprocess.Popen(argv, start_new_session=True)
    while running.poll() is None and converted(folder) < 20:
        time.sleep(0.005)
    os.killpg(running.pid, signal.SIGKILL)  # with the programs that it called
    running.wait()
    expected = packages(channel.folder)
    made = {name: sha for name, sha in packages(folder).items() if name.endswith(".conda")}
    assert made.items() <= expected.items()
    resumed = make(folder, tmp_path / "logs")
    assert 0 < resumed.converted < channel.converted
    assert packages(folder) == expected

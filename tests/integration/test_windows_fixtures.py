"""The packages for Windows through the real linker of prefixes, and a wheel made of the result."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from rattler.package_streaming import extract

from geowheel.binary.pe import read_pe
from geowheel.distro.conda_package import PREFIX_PLACEHOLDER
from geowheel.locks.assets import Package
from geowheel.prefix.linker import PlacedPackage, place
from geowheel.targets import Platform
from tests.support.windows_fixtures import (
    PLUGIN,
    SOURCES,
    WindowsStack,
    repair_raw,
    write_raw,
    write_windows_channel,
)

PREFIX_STRING = "C:/Windows/geowheel"


def place_all(channel: Path, folder: Path) -> dict[str, PlacedPackage]:
    """Every package of a channel in `folder`/prefix."""
    placed = {}
    for archive in sorted(channel.glob("*/*.conda")):
        name, version, build = archive.stem.rsplit("-", 2)
        package = Package(
            name=name, version=version, build=build, subdir=archive.parent.name, sha256="0" * 64,
            size=1, url=f"https://example.invalid/c/{archive.parent.name}/{archive.name}",
            license=None, depends=(),
        )  # fmt: skip
        extract(archive, unpacked := folder / "unpacked" / archive.stem)
        placed[name] = place(
            package, unpacked, folder / "prefix", prefix_string=PREFIX_STRING, consume=False
        )
    return placed


def test_a_wheel_of_what_the_packages_bring(
    windows_stacks: Mapping[Platform, WindowsStack], tmp_path: Path
) -> None:
    stack = windows_stacks[Platform.WIN_64]
    write_windows_channel(stack, tmp_path / "channel")
    owners = {
        file.path: name
        for name, placed in place_all(tmp_path / "channel", tmp_path).items()
        for file in placed.files
    }
    prefix = tmp_path / "prefix"
    assert owners[f"Library/lib/gdalplugins/{PLUGIN}"] == "libgdal-hdf5"
    assert owners["Library/ssl/cacert.pem"] == "ca-certificates"
    assert owners[f"Lib/site-packages/osgeo/{stack.extension}"] == "gdal"
    pc = (prefix / "Library/lib/pkgconfig/gdal.pc").read_text()
    assert pc == f"prefix={PREFIX_STRING}/Library\n"
    assert all(PREFIX_PLACEHOLDER.encode() not in f.read_bytes() for f in prefix.rglob("*.dll"))
    files = {
        f"osgeo/{stack.extension}":
            (prefix / "Lib/site-packages/osgeo" / stack.extension).read_bytes(),
        f"osgeo/_plugins/{PLUGIN}":
            (prefix / "Library/lib/gdalplugins" / PLUGIN).read_bytes(),
        "osgeo/__init__.py": (prefix / "Lib/site-packages/osgeo/__init__.py").read_bytes(),
    }  # fmt: skip
    repaired = repair_raw(write_raw(files, tmp_path / "raw"), prefix, tmp_path)
    for item in repaired.bundled:
        assert os.path.normpath(f"Library/bin/{item.source}") in owners


@pytest.mark.parametrize("platform", [Platform.WIN_64, Platform.WIN_ARM64])
def test_the_compiled_files_are_what_they_stand_for(
    windows_stacks: Mapping[Platform, WindowsStack], platform: Platform
) -> None:
    stack = windows_stacks[platform]
    for name in (*set(SOURCES) - {"_gdal.cp312.pyd"}, stack.extension):
        pe = read_pe(stack.folder / name)
        assert pe.architectures == (platform.architecture,)
        assert (pe.nx, pe.dynamic_base, pe.high_entropy) == (True, True, True)
        assert pe.leftovers == ()
    gdal = read_pe(stack.folder / "gdal.dll")
    assert {"KERNEL32.dll", "VCRUNTIME140.dll", "msvcp140.dll", "proj_9.dll"} == set(gdal.needed)

"""The packages for Windows through the real linker of prefixes, and a wheel made of the result."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from rattler.package_streaming import extract

from geowheel.binary.pe import read_pe, read_pes
from geowheel.native.conda_package import PREFIX_PLACEHOLDER
from geowheel.native.linker import PlacedPackage, place
from geowheel.native.pixi_lock import Package
from geowheel.process import Runner
from geowheel.systems.contract import RepairedTree, RepairRequest
from geowheel.systems.delvewheel_repair import repair
from geowheel.targets import Platform

from .windows_fixtures import (
    PLUGIN,
    SOURCES,
    Source,
    WindowsStack,
    link,
    wheel_files,
    write_raw,
    write_windows_channel,
)

PREFIX_STRING = "C:/Windows/geowheel"
LIMIT = 10  # seconds
MEGABYTES = 50


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


def repair_raw(raw: Path, prefix: Path, folder: Path) -> RepairedTree:
    return repair(
        RepairRequest(
            raw=raw,
            library_folder=prefix / "Library" / "bin",
            more_folders=(prefix,),
            plugins="osgeo/_plugins",
            folder=folder / "work",
            platform=Platform.WIN_64,
            run=Runner(folder / "logs"),
            environ={"PATH": os.environ["PATH"]},
        )
    )


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
    exports = read_pe(stack.folder / "proj_9.dll").exports
    assert read_pes(prefix)["Library/bin/proj_9.dll"].exports == exports
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


def test_fifty_megabytes_are_repaired_in_time(
    windows_stacks: Mapping[Platform, WindowsStack], tmp_path: Path
) -> None:
    """40 libraries whose data does not compress, in a chain, below gdal.dll; 12 roots."""
    stack = windows_stacks[Platform.WIN_64]
    prefix = stack.prefix(tmp_path / "prefix")
    stack = WindowsStack(platform=stack.platform, folder=large_stack(stack, prefix, tmp_path))
    files = wheel_files(stack)
    for number in range(5):
        files[f"osgeo/_plugins/gdal_{number}.dll"] = stack.data(PLUGIN)
        files[f"osgeo/_more{number}.pyd"] = stack.data(stack.extension)
    raw = write_raw(files, tmp_path / "raw")
    begun = time.perf_counter()
    repaired = repair_raw(raw, prefix, tmp_path)
    assert time.perf_counter() - begun < LIMIT
    sizes = [(repaired.tree / item.path).stat().st_size for item in repaired.bundled]
    assert len(sizes) == 45
    assert sum(sizes) > MEGABYTES * 1_000_000


def large_stack(stack: WindowsStack, prefix: Path, scratch: Path) -> Path:
    """The linked files again, gdal.dll with 40 more libraries that come into the prefix."""
    folder = scratch / "large"
    folder.mkdir()
    for path in stack.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    blob = folder / "blob"
    blob.write_bytes(os.urandom(MEGABYTES * 1_000_000 // 40))
    before: tuple[str, ...] = ()
    for number in range(40):
        name = f"large{number:02}.dll"
        text = f"""
__asm__(".section .rdata\\n.global data\\ndata:\\n.incbin \\"{blob}\\"\\n.text\\n");
extern const char data[];
{f"FROM int large{number - 1}(void);" if before else ""}
API int large{number}(void) {{ return data[0]{f" + large{number - 1}()" if before else ""}; }}
"""
        link(stack.platform, folder, name, Source(text=text, needs=before))
        (prefix / "Library/bin" / name).write_bytes((folder / name).read_bytes())
        before = (name,)
    gdal = SOURCES["gdal.dll"]
    more = "FROM int large39(void); API int more(void) { return large39(); }"
    source = Source(text=gdal.text + more, needs=(*gdal.needs, *before), system=gdal.system)
    link(stack.platform, folder, "gdal.dll", source)
    (prefix / "Library/bin/gdal.dll").write_bytes((folder / "gdal.dll").read_bytes())
    return folder


@pytest.mark.parametrize("platform", [Platform.WIN_64, Platform.WIN_ARM64])
def test_the_compiled_files_are_what_they_stand_for(
    windows_stacks: Mapping[Platform, WindowsStack], platform: Platform
) -> None:
    stack = windows_stacks[platform]
    for name in (*set(SOURCES) - {"_gdal.cp312.pyd"}, stack.extension):
        pe = read_pe(stack.folder / name)
        assert pe.architectures == (platform.architecture,)
        assert pe.library
        assert (pe.nx, pe.dynamic_base, pe.high_entropy) == (True, True, True)
        assert pe.leftovers == ()
    gdal = read_pe(stack.folder / "gdal.dll")
    assert {"KERNEL32.dll", "VCRUNTIME140.dll", "msvcp140.dll", "proj_9.dll"} == set(gdal.needed)
    assert {"CPLSetConfigOption", "OSRSetPROJSearchPaths"} < set(gdal.exports)

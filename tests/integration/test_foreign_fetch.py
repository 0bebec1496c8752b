"""`fetch -- --platform P` for every platform on this one machine, from one lock."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from geowheel import systems
from geowheel.distro.conda_package import PREFIX_PLACEHOLDER
from geowheel.targets import Platform, System
from tests.support.fixture_channel import (
    GDAL,
    Sample,
    Sandbox,
    index,
    stack,
    write_sample,
    write_samples,
)

FIVE = tuple(platform for platform in Platform if platform is not Platform.WIN_ARM64)
FOREIGN = tuple(platform for platform in FIVE if platform is not Platform.LINUX_64)
HOLDER = PREFIX_PLACEHOLDER.encode()
MACH_O = {
    Platform.OSX_ARM64: b"\xcf\xfa\xed\xfe\x0c\0\0\1",
    Platform.OSX_64: b"\xcf\xfa\xed\xfe\7\0\0\1",
}


def of_platform(platform: Platform) -> list[Sample]:
    """The native stack in small, as conda-forge lays it out on that system."""
    match platform.system:
        case System.LINUX:
            return stack()
        case System.MACOS:
            return _of_macos(MACH_O[platform])
        case System.WINDOWS:
            return _of_windows()


def _of_macos(magic: bytes) -> list[Sample]:
    library = magic + b"\0@rpath/libgdal.36.dylib\0" + HOLDER + b"/share/gdal\0tail\0"
    return [
        Sample(name="libgdal-core", version=GDAL, depends=("libproj >=9", "__osx >=10.9"),
               files={"lib/libgdal.36.dylib": library},
               links={"lib/libgdal.dylib": "libgdal.36.dylib"},
               with_placeholder=("lib/libgdal.36.dylib",)),
        Sample(name="libgdal-hdf5", version=GDAL, files={"lib/gdalplugins/gdal_HDF5.dylib": magic}),
        Sample(name="libproj", version="9.5.0",
               files={"bin/proj-config": b"#!" + HOLDER + b"/bin/sh\n"},
               with_placeholder=("bin/proj-config",)),
        Sample(name="ca-certificates", version="2026.1", files={"ssl/cacert.pem": b"PEM"},
               noarch=True),
    ]  # fmt: skip


def _of_windows() -> list[Sample]:
    text = b"prefix=" + HOLDER + b"/Library\r\n"
    return [
        Sample(name="libgdal-core", version=GDAL, depends=("libproj >=9", "__win"),
               files={"Library/bin/gdal.dll": b"MZ\0" + HOLDER + b"/Library/share/gdal\0tail\0",
                      "Library/lib/pkgconfig/gdal.pc": text},
               with_placeholder=("Library/bin/gdal.dll", "Library/lib/pkgconfig/gdal.pc")),
        Sample(name="libgdal-hdf5", version=GDAL,
               files={"Library/lib/gdalplugins/gdal_HDF5.dll": b"MZ"}),
        Sample(name="libproj", version="9.5.0", files={"Library/bin/proj_9.dll": b"MZ proj"}),
        Sample(name="ca-certificates", version="2026.1", files={"Library/ssl/cacert.pem": b"PEM"}),
    ]  # fmt: skip


def folder_of(project: Sandbox) -> Path:
    return project.server.root / project.channel.rpartition("/")[2]


@pytest.fixture
def five(sandbox: Sandbox) -> Sandbox:
    """A project and a channel for five platforms, each laid out as its system has it."""
    channel = sandbox.server.root / f"foreign-{sandbox.root.parent.name}"
    for platform in FIVE:
        for sample in of_platform(platform):
            write_sample(channel, sample, None if sample.noarch else platform)
    index(channel)
    made = replace(sandbox, channel=f"{sandbox.server.url}/{channel.name}")
    made.write(platforms=FIVE)
    return made


def fetched(project: Sandbox, platform: Platform) -> tuple[Path, dict[str, Any]]:
    (entry,) = project.root.glob(f".geowheel/{platform}/fetch/*/native.json")
    return entry.parent / "prefix", json.loads(entry.read_text())


def test_every_platform_is_fetched_from_one_lock(five: Sandbox) -> None:
    five.good("lock")
    locks = {path: path.read_bytes() for path in five.root.glob("*lock*")}
    options = [part for platform in FIVE for part in ("--platform", platform)]
    five.good("fetch", "--frozen", *options)
    assert {path: path.read_bytes() for path in five.root.glob("*lock*")} == locks
    for platform in FIVE:
        prefix, native = fetched(five, platform)
        layout = systems.of(platform).layout
        assert native["platform"] == platform
        assert native["prefix_string"] == layout.prefix_string
        assert (prefix / layout.ca_bundle).read_bytes() == b"PEM"
        assert any((prefix / layout.libraries).iterdir())
        for path in prefix.rglob("*"):
            assert not path.is_file() or HOLDER not in path.read_bytes(), path
    numpys = {name for name in five.stored(".whl") if name.startswith("numpy-2.2.0-cp3")}
    assert not any("macosx_14" in name for name in numpys)
    assert len(numpys) == len(FIVE)
    five.server.reset()
    again = five.run("fetch", "--frozen", *options)
    assert again.code == 0 and not five.server.counts


@pytest.mark.parametrize("platform", [Platform.OSX_ARM64, Platform.OSX_64])
def test_a_mach_o_keeps_its_length_and_its_links(five: Sandbox, platform: Platform) -> None:
    five.good("lock")
    five.good("fetch", "--platform", platform)
    prefix, native = fetched(five, platform)
    string = native["prefix_string"].encode()
    before = MACH_O[platform] + b"\0@rpath/libgdal.36.dylib\0" + HOLDER + b"/share/gdal\0tail\0"
    after = (prefix / "lib/libgdal.36.dylib").read_bytes()
    assert len(after) == len(before) and after.endswith(b"\0tail\0")
    assert string + b"/share/gdal\0" in after
    assert (prefix / "lib/libgdal.dylib").readlink() == Path("libgdal.36.dylib")
    assert (prefix / "bin/proj-config").read_bytes() == b"#!" + string + b"/bin/sh\n"


def test_windows_files_lie_below_library(five: Sandbox) -> None:
    five.good("lock")
    five.good("fetch", "--platform", "win-64")
    prefix, native = fetched(five, Platform.WIN_64)
    string = native["prefix_string"].encode()
    library = (prefix / "Library/bin/gdal.dll").read_bytes()
    assert library.startswith(b"MZ\0" + string + b"/Library/share/gdal\0")
    assert len(library) == len(b"MZ\0" + HOLDER + b"/Library/share/gdal\0tail\0")
    text = (prefix / "Library/lib/pkgconfig/gdal.pc").read_bytes()
    assert text == b"prefix=" + string + b"/Library\r\n"  # line ends as the package has them


@pytest.mark.parametrize("platform", FIVE)
def test_of_names_that_differ_by_case_one_stays(five: Sandbox, platform: Platform) -> None:
    files = {"share/Readme": b"one", "share/README": b"two"}
    extra = Sample(name="libproj", version="9.6.0", files=files)
    write_samples(folder_of(five), [extra], [platform])
    five.good("lock")
    result = five.good("fetch", "--platform", platform)
    one = platform.system is not System.LINUX
    assert ("the first stays: share/README (libproj)" in result.err) is one
    prefix, native = fetched(five, platform)
    assert len(list((prefix / "share").glob("[Rr]*"))) == (1 if one else 2)
    assert native["contested"] == ({"share/README": ["libproj"]} if one else {})


def test_pixi_and_the_store_make_the_same_prefixes(five: Sandbox, pixi_cli: Path) -> None:
    five.good("lock")
    options = [part for platform in FOREIGN for part in ("--platform", platform)]
    five.good("fetch", *options)
    by_store = {platform: fetched(five, platform)[1] for platform in FOREIGN}
    shutil.rmtree(five.root / ".geowheel")
    extra = {"GEOWHEEL_PIXI": str(pixi_cli), "PIXI_HOME": str(five.home / "pixi")}
    result = replace(five, extra=extra).run("fetch", *options)
    assert result.code == 0, result.err
    assert result.err.count("through pixi") == 2  # none for a Mac's: that needs codesign
    assert {platform: fetched(five, platform)[1] for platform in FOREIGN} == by_store


def test_a_platform_that_is_not_locked_is_named(five: Sandbox) -> None:
    five.write(platforms=tuple(Platform))
    five.run("lock").refused(4, "has no packages for win-arm64", "take win-arm64 out of platforms")
    assert not five.pixi_lock.exists()
    five.write(platforms=(Platform.LINUX_64, Platform.OSX_64))
    five.good("lock")
    five.run("fetch", "--platform", "win-64").refused(3, "win-64 is not among the workspace's")
    five.run("fetch", "--platform", "win-32").refused(2, "unknown platform 'win-32'")
    five.edit("pixi.toml", '"osx-64"', '"osx-64", "win-64"')
    five.run("fetch", "--platform", "win-64").refused(4, "platform win-64 is not locked")


def test_a_folder_channel_serves_a_foreign_platform_without_a_lock(five: Sandbox) -> None:
    result = five.run("fetch", "--platform", "win-64", "--channel", str(folder_of(five)))
    assert result.code == 0, result.err
    assert not five.pixi_lock.exists() and fetched(five, Platform.WIN_64)

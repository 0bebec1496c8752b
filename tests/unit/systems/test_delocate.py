"""What surrounds delocate: the pinned releases, the room in headers; and tags."""

import importlib.metadata
from pathlib import Path

import pytest
from tests.support.macho_files import (
    ARM64,
    ID,
    LOAD,
    RPATH,
    X86_64,
    build_version,
    make_fat,
    make_macho,
    path_command,
)

from geowheel.binary.macho import read_macho
from geowheel.machine.process import Runner
from geowheel.systems.contract import RepairedTree, RepairRequest
from geowheel.systems.delocate_repair import DELOCATE, FileChange, MacosRepairer
from geowheel.systems.repairing import RefusedError, check_release
from geowheel.targets import Platform


def test_only_the_pinned_release_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RefusedError) as caught:
        check_release(nobodys_tool="1.0")
    assert caught.value.faults[0].what.startswith("nobodys_tool (no release) is installed")
    check_release(delocate=DELOCATE)
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "9.9")
    with pytest.raises(RefusedError) as caught:
        check_release(delocate=DELOCATE, repairwheel="0.8.0")
    assert [fault.what for fault in caught.value.faults] == [
        f"delocate 9.9 is installed, {DELOCATE} is needed",
        "repairwheel 9.9 is installed, 0.8.0 is needed",
    ]


CHANGE = FileChange(
    names={"@rpath/liba.dylib": "@loader_path/../Pkg.dylibs/liba.dylib"},
    install_id="/DLC/Pkg.dylibs/libb.dylib",
    rpaths=("/opt/build/lib",),
)


def test_how_much_longer_a_header_gets() -> None:
    """The sum of what the commands take, by their own sizes before and after."""
    before = (
        path_command(ID, "@rpath/libb.dylib"), path_command(LOAD, "@rpath/liba.dylib"),
        path_command(RPATH, "/opt/build/lib"), path_command(RPATH, "@loader_path/"),
    )  # fmt: skip
    after = (
        path_command(ID, CHANGE.install_id),
        path_command(LOAD, CHANGE.names["@rpath/liba.dylib"]),
        path_command(RPATH, "@loader_path/"),
    )
    growth = sum(map(len, after)) - sum(map(len, before))
    assert CHANGE.growth(read_macho(make_macho(*before)).slices[0]) == growth
    unsigned = read_macho(make_macho(*before, signed=False)).slices[0]
    assert CHANGE.growth(unsigned) == growth + 16, "LC_CODE_SIGNATURE"


@pytest.mark.parametrize("length", range(1, 18))
def test_paths_are_padded_as_the_linker_pads_them(length: int) -> None:
    (part,) = read_macho(make_macho(path_command(LOAD, "@rpath/liba.dylib"))).slices
    new = "x" * length
    grown = len(path_command(LOAD, new)) - len(path_command(LOAD, "@rpath/liba.dylib"))
    assert FileChange(names={"@rpath/liba.dylib": new}).growth(part) == grown


@pytest.mark.parametrize(
    ("minima", "architecture", "tag"),
    [
        (((11, 0, 0), (12, 3, 0)), "arm64", "macosx_12_0_arm64"),
        (((10, 9, 0), (10, 13, 4)), "x86_64", "macosx_10_13_x86_64"),
        (((10, 9, 0), (11, 3, 0)), "x86_64", "macosx_11_0_x86_64"),
        (((10, 6, 0),), "x86_64", "macosx_10_9_x86_64"),
        (((10, 12, 0),), "arm64", "macosx_11_0_arm64"),
        ((), "arm64", "macosx_11_0_arm64"),
    ],
)
def test_the_tag_is_the_newest_of_the_oldest(
    minima: tuple[tuple[int, int, int], ...], architecture: str, tag: str, tmp_path: Path
) -> None:
    machine = {"arm64": ARM64, "x86_64": X86_64}[architecture]
    machos = {
        str(number): read_macho(make_macho(build_version(minimum), machine=machine))
        for number, minimum in enumerate(minima)
    } | {"silent": read_macho(make_macho(machine=machine))}
    platform = {"arm64": Platform.OSX_ARM64, "x86_64": Platform.OSX_64}[architecture]
    request = RepairRequest(
        raw=tmp_path, library_folder=tmp_path, plugins="", folder=tmp_path, platform=platform,
        run=Runner(tmp_path), environ={},
    )  # fmt: skip
    assert MacosRepairer(request).tag(machos) == tag


def test_only_the_slice_of_the_tag_counts() -> None:
    fat = read_macho(
        make_fat(
            (X86_64, make_macho(build_version((14, 0, 0)), machine=X86_64)),
            (ARM64, make_macho(build_version((11, 0, 0)))),
        )
    )
    repaired = RepairedTree(
        tree=Path("/tree"), filename="x.whl", platform_tag="macosx_11_0_arm64", bundled=(),
        binaries={"a.dylib": fat, "text": fat},
    )  # fmt: skip
    (forced,) = MacosRepairer.forcing(repaired, {"a.dylib": "liba"})
    assert (forced.needs, forced.packages) == ("macOS 11.0", ("liba", "text"))

"""What surrounds delocate: its releases, its inside, the room in headers; and tags."""

from __future__ import annotations

import importlib.metadata
import sys
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
from geowheel.systems import _delocate, delocate_repair
from geowheel.systems.children import RefusedError
from geowheel.systems.contract import RepairedTree


def request(*, genuine: bool = False) -> _delocate.Request:
    return _delocate.Request(
        tree="/tree", bundle="Pkg.dylibs", library_folder="/prefix/lib",
        prefix_library_folder="/fixed/lib", genuine=genuine, threads=1,
    )  # fmt: skip


def refusal(*, genuine: bool = False) -> str:
    with pytest.raises(RefusedError) as caught:
        _delocate._check_releases(request(genuine=genuine))
    return "\n".join(map(str, caught.value.faults))


OFF_A_MAC = pytest.mark.skipif(
    sys.platform == "darwin", reason="repairwheel is not installed there"
)


@pytest.mark.parametrize("genuine", [pytest.param(False, marks=OFF_A_MAC), True])
def test_the_pinned_releases_have_what_is_replaced(genuine: bool) -> None:
    _delocate._check_releases(request(genuine=genuine))


def test_another_release_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "9.9")
    message = refusal()
    assert "delocate 9.9 is installed, 0.13.0 is needed" in message
    assert "repairwheel 9.9 is installed, 0.8.0 is needed" in message
    assert "repairwheel" not in refusal(genuine=True), "a Mac has Apple's tools"


def test_a_missing_tool_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "repairwheel":
            raise importlib.metadata.PackageNotFoundError(name)
        return _delocate.DELOCATE

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert "repairwheel (no release) is installed, 0.8.0 is needed" in refusal()


@OFF_A_MAC
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("delocate.libsana", "get_dependencies"),
        ("delocate.delocating", "set_install_id"),
        ("repairwheel.macos.machotools", "_delete_rpaths"),
    ],
)
def test_a_function_that_is_gone_is_named(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    monkeypatch.delattr(f"{module}.{name}")
    assert f"{module} has no {name}" in refusal()


PLAN = _delocate._Change(
    names=(("@rpath/liba.dylib", "@loader_path/../Pkg.dylibs/liba.dylib"),),
    install_id="/DLC/Pkg.dylibs/libb.dylib",
    rpaths=("/opt/build/lib",),
)


def test_how_much_longer_a_header_gets() -> None:
    """The sum of what the commands take, by their own sizes before and after."""
    before = (
        path_command(ID, "@rpath/libb.dylib"),
        path_command(LOAD, "@rpath/liba.dylib"),
        path_command(RPATH, "/opt/build/lib"),
        path_command(RPATH, "@loader_path/"),
    )
    after = (
        path_command(ID, PLAN.install_id),
        path_command(LOAD, PLAN.names[0][1]),
        path_command(RPATH, "@loader_path/"),
    )
    growth = sum(map(len, after)) - sum(map(len, before))
    assert PLAN.growth(read_macho(make_macho(*before)).slices[0]) == growth
    unsigned = read_macho(make_macho(*before, signed=False)).slices[0]
    assert PLAN.growth(unsigned) == growth + 16, "LC_CODE_SIGNATURE"


@pytest.mark.parametrize("length", range(1, 18))
def test_paths_are_padded_as_the_linker_pads_them(length: int) -> None:
    assert _delocate._command_size("x" * length) == len(path_command(LOAD, "x" * length))


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
    minima: tuple[tuple[int, int, int], ...], architecture: str, tag: str
) -> None:
    machine = {"arm64": ARM64, "x86_64": X86_64}[architecture]
    machos = {
        str(number): read_macho(make_macho(build_version(minimum), machine=machine))
        for number, minimum in enumerate(minima)
    } | {"silent": read_macho(make_macho(machine=machine))}
    oldest = delocate_repair._oldest(machos, architecture)
    assert delocate_repair._platform_tag(oldest, architecture) == tag


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
    (forced,) = delocate_repair.forcing(repaired, {"a.dylib": "liba"})
    assert (forced.needs, forced.packages) == ("macOS 11.0", ("liba", "text"))

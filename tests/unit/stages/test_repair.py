"""Repair, apart from the tools: the floor, the file for the bootstrap."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from tests.support.hosts import (
    make_context,
    make_interpreter,
    make_places,
    make_project,
    make_record,
)

from geowheel.digest import digest
from geowheel.errors import BuildError
from geowheel.locks.build_lock import BuildLock
from geowheel.project.places import Places
from geowheel.records.facts import BuildFacts, FetchFacts, VendorFacts
from geowheel.records.ledger import Ledger, Records
from geowheel.stages.inputs import repair as repair_inputs
from geowheel.stages.repair import check_floor, write_bundle
from geowheel.systems import linux
from geowheel.systems.contract import Bundled, Forcing, RepairedTree

GDAL = Bundled(
    soname="libgdal.so.36", source="libgdal.so.36.3.10.2",
    path="host.libs/libgdal-1a2b3c4d.so.36.3.10.2",
)  # fmt: skip
PROJ = Bundled(
    soname="libproj.so.25", source="libproj.so.25.9.5", path="host.libs/libproj-5e6f.so.25.9.5"
)
TOPLEVEL = make_places("osgeo")
PRIVATE = make_places("terrain._vendor.osgeo")
NONE = make_places("pkg", gdal_data="pkg/gdal_data")
FORCING = [
    Forcing(needs="GLIBC_2.35", packages=("libcurl 8", "libgdal-core 3", "proj 9", "zlib 1"),
            files=()),
    Forcing(needs="GLIBCXX_3.4.30", packages=("libgdal-core 3",), files=()),
]  # fmt: skip


def repaired(
    tree: Path, *, tag: str = "manylinux_2_35_x86_64", bundled: Sequence[Bundled] = (GDAL, PROJ)
) -> RepairedTree:
    return RepairedTree(
        tree=tree, filename=f"host-1.0-cp312-cp312-{tag}.whl", platform_tag=tag,
        bundled=tuple(bundled), binaries={},
    )  # fmt: skip


def test_a_wheel_within_the_floor_is_not_refused(tmp_path: Path) -> None:
    for newest in (None, "2.35", "2.36", "3.0"):
        check_floor(repaired(tmp_path), ("glibc", newest), FORCING)


@pytest.mark.parametrize("newest", ["2.34", "2.28", "2.5", "1.99"])
def test_a_wheel_beyond_the_floor_is_refused(tmp_path: Path, newest: str) -> None:
    with pytest.raises(BuildError, match="manylinux_2_35_x86_64, newer than the floor") as caught:
        check_floor(repaired(tmp_path), ("glibc", newest), FORCING)
    text = str(caught.value)
    assert f"glibc {newest}" in text
    assert "GLIBC_2.35 by libcurl 8, libgdal-core 3, proj 9; GLIBCXX_3.4.30 by" in text
    assert "zlib" not in text
    assert "[tool.geowheel.floor]" in text


@pytest.mark.parametrize("places", [TOPLEVEL, PRIVATE, NONE], ids=lambda p: p.layout)
def test_the_bootstrap_is_told_where_everything_is(tmp_path: Path, places: Places) -> None:
    package = tmp_path / places.package
    package.mkdir(parents=True)
    write_bundle(repaired(tmp_path), places, linux.FACTS.entry_libraries, {})
    found = json.loads((package / "_geowheel.json").read_text())
    absolute = {name: os.path.normpath(package / path) for name, path in found.items()}
    assert absolute == {
        "gdal": str(tmp_path / GDAL.path),
        "proj": str(tmp_path / PROJ.path),
        "gdal_data": str(tmp_path / places.gdal_data),
        "proj_data": str(tmp_path / places.proj_data),
        "ca_bundle": str(package / "_data" / "cacert.pem"),
        "plugins": str(package / "_plugins"),
    }


@pytest.mark.parametrize(
    ("bundled", "expected"),
    [((PROJ,), "no libgdal.so"), ((GDAL,), "no libproj.so"),
     ((), "no libgdal.so and no libproj.so")],
)  # fmt: skip
def test_a_bare_wheel_is_refused(tmp_path: Path, bundled: Sequence[Bundled], expected: str) -> None:
    (tmp_path / "osgeo").mkdir()
    with pytest.raises(BuildError, match=f"the wheel bundles {expected}$|{expected}\n"):
        write_bundle(repaired(tmp_path, bundled=bundled), TOPLEVEL, linux.FACTS.entry_libraries, {})
    assert list((tmp_path / "osgeo").iterdir()) == []


def test_a_host_that_links_no_libgdal_is_told_how_to(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no extension module of the host is linked") as caught:
        write_bundle(repaired(tmp_path, bundled=()), NONE, linux.FACTS.entry_libraries, {})
    assert "GDAL_CONFIG" in str(caught.value)


def test_only_the_package_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("geowheel.stages.inputs.tool_versions", lambda *_: {})
    made = Ledger(folder=tmp_path / "work", host="host")
    upstream = Records(
        fetch=make_record(made, FetchFacts(), "linux-64"),
        vendor=make_record(made, VendorFacts(), "cp398-linux-64"),
        build=make_record(made, BuildFacts(), "cp398-linux-64", files={"a.whl": b"x"}),
    )

    def key(accept: str) -> str:
        more = f"[tool.geowheel.licenses]\naccept = {accept}\n"
        context = make_context(make_project(tmp_path, more=more))
        build = cast(
            "BuildLock", SimpleNamespace(gdal_sdist="the sdist", requirements=lambda *_: ())
        )
        tools = replace(context.tools, interpreter=make_interpreter())
        context = replace(context, locks=replace(context.locks, build=build), tools=tools)
        return digest(repair_inputs(context, upstream).components())

    one = key('{ a = "because", b = "so" }')
    assert key('{ b = "another", a = "reason" }') == one
    assert key('{ a = "because" }') != one


@pytest.mark.parametrize("names", [[], ["a.whl", "b.whl"]], ids=["none", "two"])
def test_a_stage_makes_one_wheel(tmp_path: Path, names: list[str]) -> None:
    ledger = Ledger(folder=tmp_path, host="host")
    files = dict.fromkeys([*names, "notes.json"], b"x")
    record = make_record(ledger, BuildFacts(), "cp312-linux-64", files=files)
    with pytest.raises(BuildError, match=f"build made {len(names)} wheels instead of one"):
        _ = record.wheel

"""Repairing for Windows, apart from delvewheel: circles, and what the bootstrap is told."""

from __future__ import annotations

from dataclasses import replace
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.binaries import pe

from geowheel.binary.pe import Pe
from geowheel.systems.contract import Bundled, RepairedTree
from geowheel.systems.delvewheel_repair import WindowsRepairer, circles

GRAPHS = st.dictionaries(st.sampled_from("abcdefgh"), st.sets(st.sampled_from("abcdefgh")))


@given(GRAPHS)
def test_without_the_libraries_that_keep_their_names_there_is_no_circle(
    graph: dict[str, set[str]],
) -> None:
    kept = circles(graph)
    TopologicalSorter({n: graph[n] - {*kept} for n in graph if n not in kept}).prepare()
    assert kept == circles(dict(reversed(graph.items())))


def test_without_a_circle_every_library_is_renamed() -> None:
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    assert circles({"a": {"b"}, "b": {"a"}, "c": {"d"}, "d": {"c"}}) == ["a", "c"]


def repaired(binaries: dict[str, Pe]) -> RepairedTree:
    bundled = [path for path in binaries if path.startswith("GDAL.libs/")]
    return RepairedTree(
        tree=Path("tree"),
        filename="GDAL-1.0-cp312-cp312-win_amd64.whl",
        platform_tag="win_amd64",
        bundled=tuple(Bundled(soname=path, source=path, path=path) for path in bundled),
        binaries=binaries,
    )


WHEEL = {
    "osgeo/_gdal.pyd": pe("gdal-1.dll"),
    "osgeo/_plugins/gdal_X.dll": pe("GDAL-1.dll", "x-1.dll"),
    "GDAL.libs/gdal-1.dll": pe("proj-1.dll", delayed=("dbghelp.dll",)),
    "GDAL.libs/proj-1.dll": pe(),
    "GDAL.libs/unused-1.dll": pe("proj-1.dll"),
    "GDAL.libs/x-1.dll": pe("a-1.dll"),
    "GDAL.libs/a-1.dll": pe(),
}


def test_the_bootstrap_loads_what_plugins_need_in_order() -> None:
    assert WindowsRepairer.extras(repaired(WHEEL), "osgeo/_plugins") == {
        "libraries": "GDAL.libs",
        "preload-000": "GDAL.libs/a-1.dll",
        "preload-001": "GDAL.libs/proj-1.dll",
        "preload-002": "GDAL.libs/gdal-1.dll",
        "preload-003": "GDAL.libs/x-1.dll",
    }


def test_the_bootstrap_loads_what_is_loaded_on_first_use() -> None:
    lazy = replace(WHEEL["osgeo/_gdal.pyd"], delayed=("X-1.dll",))
    extras = WindowsRepairer.extras(repaired({**WHEEL, "osgeo/_gdal.pyd": lazy}), "none")
    assert [*extras.values()] == ["GDAL.libs", "GDAL.libs/a-1.dll", "GDAL.libs/x-1.dll"]


@pytest.mark.parametrize("plugins", ["osgeo/_plugins", "none"])
def test_without_bundled_libraries_the_bootstrap_is_told_nothing(plugins: str) -> None:
    only = {"osgeo/_gdal.pyd": pe("kernel32.dll")}
    assert WindowsRepairer.extras(repaired(only), plugins) == {}

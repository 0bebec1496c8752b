"""What a build that links libgdal is told."""

import os
import time
from pathlib import Path

import pytest
from tests.support.files import write_files

from geowheel.errors import MachineError
from geowheel.prefix.wrappers import build_variables, reachable, with_programs, write_wrappers
from geowheel.systems import linux

PREFIX = "/usr/lib/placed"
PC = f"prefix={PREFIX}\nName: libgdal\nLibs: -L{PREFIX}/lib -lgdal\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prefix = tmp_path / "prefix"
    script = f"#!/bin/sh\necho -L{PREFIX}/lib\n"
    pkg_config = {"lib/pkgconfig/gdal.pc": PC, "share/pkgconfig/proj.pc": PC}
    write_files(prefix, {"bin/gdal-config": script, **pkg_config})
    write_wrappers(prefix, PREFIX)
    return tmp_path


def test_no_wrapper_names_a_place(folder: Path) -> None:
    found = {p.name: p for p in (folder / "wrappers").rglob("*") if p.is_file()}
    assert set(found) == {"gdal-config", "gdal.pc", "proj.pc"}
    for path in found.values():
        assert str(folder) not in path.read_text()
    assert PREFIX not in found["gdal.pc"].read_text()
    assert "-L${pcfiledir}/../../../prefix/lib -lgdal" in found["gdal.pc"].read_text()
    assert found["gdal-config"].stat().st_mode & 0o111
    variables = build_variables(folder, "3.10.2", linux.FACTS)
    assert variables["GDAL_VERSION"] == "3.10.2"
    assert variables["GDAL_CONFIG"] == str(folder / "wrappers/bin/gdal-config")
    assert variables["CMAKE_PREFIX_PATH"] == str(folder / "prefix")
    assert Path(variables["PKG_CONFIG_PATH"], "gdal.pc").is_file()
    assert with_programs(variables, "/bin") == f"{folder}/wrappers/bin:/bin"


def test_a_cache_with_spaces_as_well_is_refused(tmp_path: Path) -> None:
    (tmp_path / "prefix").mkdir()
    write_wrappers(tmp_path / "prefix", PREFIX)
    found = build_variables(tmp_path, "3.10.2", linux.FACTS)
    assert "GDAL_CONFIG" not in found
    assert with_programs(found, "/bin") == "/bin"
    assert reachable(tmp_path / "ü", tmp_path / "cache") == tmp_path / "ü"
    assert not (tmp_path / "cache").exists()
    with pytest.raises(MachineError, match="GEOWHEEL_CACHE"):
        reachable(tmp_path / "a b", tmp_path / "c d")


@pytest.mark.parametrize("name", ["a b", "a\tb", "a\u00a0b"])
def test_a_folder_with_spaces_is_reached_by_a_link(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    link = reachable(tmp_path / name, tmp_path / "cache")
    assert " " not in str(link) and link.resolve() == tmp_path / name
    assert reachable(tmp_path / name, tmp_path / "cache") == link
    assert reachable(tmp_path / "c d", tmp_path / "cache") != link


def test_a_link_that_is_used_again_counts_as_new(tmp_path: Path) -> None:
    folder, then = tmp_path / "a b", time.time() - 1e7
    folder.mkdir()
    link = reachable(folder, tmp_path / "cache")
    for path in (folder, link):
        os.utime(path, (then, then), follow_symlinks=False)
    reachable(folder, tmp_path / "cache")
    assert time.time() - link.lstat().st_mtime < 3600
    assert folder.stat().st_mtime == pytest.approx(then), "what it leads to is left alone"

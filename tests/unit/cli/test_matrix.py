"""What can be made for which target on this machine, and why not."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import pytest
from tests.support.hosts import make_console, make_project

from geowheel.cli import matrix as module
from geowheel.cli.matrix import Method, Row, look
from geowheel.distro import emulated
from geowheel.errors import MachineError
from geowheel.project.manifest import find_manifest
from geowheel.project.project import Project
from geowheel.systems import linux, macos
from geowheel.targets import Platform, Target

pytestmark = pytest.mark.usefixtures("compilers")
EVERY = ", ".join(f'"{platform}"' for platform in Platform if platform is not Platform.WIN_ARM64)
PIXI = f"""\
[workspace]
channels = ["conda-forge"]
platforms = [{EVERY}]
[dependencies]
libgdal-core = "*"
"""
PRIVATE = 'layout = "private"\nimport-package = "pkg._vendor.osgeo"\n'


def project(root: Path, more: str = "") -> Project:
    made = make_project(root, more=more)
    made.manifest.path.write_text(PIXI, encoding="utf-8")
    return replace(made, manifest=find_manifest(made.folder))


def row(made: Project, platform: Platform, without: str | None = None) -> Row:
    return look(made, Target(python="3.12", platform=platform), without)


@pytest.fixture
def compilers(monkeypatch: pytest.MonkeyPatch) -> None:
    """gcc and an emulator for every Linux, and no clang."""
    refusing = Mock(side_effect=MachineError("no compiler for macOS"))
    for system, find in ((linux, lambda *_: None), (macos, refusing)):
        facts = replace(system.FACTS, find_toolchain=cast(Any, find))
        monkeypatch.setattr(system, "FACTS", facts)
    monkeypatch.setattr(emulated, "find_emulated", lambda *_, **__: None)


@pytest.mark.parametrize(
    ("platform", "way", "tests", "why"),
    [
        (Platform.LINUX_64, Method.NATIVE, "here", ""),
        (Platform.LINUX_AARCH64, Method.CROSS, "emulated", ""),
        (Platform.OSX_ARM64, Method.PREBUILT, "no", "no compiler for macOS"),
        (Platform.WIN_64, Method.PREBUILT, "no", "bindings for win-64 cannot be compiled yet"),
        (Platform.WIN_ARM64, Method.NONE, "no", "pixi.toml does not name the platform"),
    ],
)
def test_the_best_way_and_what_stands_against_a_better_one(
    tmp_path: Path, platform: Platform, way: Method, tests: str, why: str
) -> None:
    found = row(project(tmp_path), platform)
    assert (found.way, found.tests) == (way, tests)
    assert why in "; ".join(found.why)
    assert bool(found.why) == bool(why)


def test_what_stands_against_a_way_is_said(tmp_path: Path) -> None:
    found = row(project(tmp_path, PRIVATE), Platform.OSX_64)
    assert found.way is Method.NONE
    assert found.why == (
        "no compiler for macOS", 'prebuilt bindings do not fit layout = "private"',
    )  # fmt: skip
    found = row(project(tmp_path), Platform.LINUX_64, "CPython 3.12 is not on this machine")
    assert (found.way, found.tests) == (Method.NONE, "no")
    assert found.why == ("CPython 3.12 is not on this machine",)
    found = row(project(tmp_path, 'bindings = "prebuilt"\n'), Platform.LINUX_64)
    assert (found.way, found.tests, found.why) == (Method.PREBUILT, "here", ())
    made = project(tmp_path)
    made.manifest.lock_path.write_text("no lock")
    found = row(made, Platform.LINUX_64)
    assert found.way is Method.NONE
    assert found.why[0].startswith("the lock cannot be read")


def test_without_an_emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = Mock(side_effect=MachineError("no qemu-aarch64 on PATH"))
    monkeypatch.setattr(emulated, "find_emulated", refusing)
    found = row(project(tmp_path), Platform.LINUX_AARCH64)
    assert (found.way, found.tests) == (Method.PREBUILT, "no")
    assert found.why == ("no qemu-aarch64 on PATH",)


def test_like_interpreters_share_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_interpreter", lambda *_, **__: None)
    made = project(tmp_path)
    facts = module.matrix(made, make_console(tmp_path))
    pythons = made.config.pythons
    assert len(facts["targets"]) == len(Platform) * len(pythons)
    rows = [row(made, Platform.WIN_64), replace(row(made, Platform.WIN_64), python="3.13")]
    (one,) = module.together(rows)
    assert one.python == "3.12, 3.13"
    assert len(module.together([*rows, replace(rows[0], why=())])) == 2

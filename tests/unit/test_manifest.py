from __future__ import annotations

from pathlib import Path

import pytest

from geowheel.errors import ConfigError
from geowheel.native.manifest import find_manifest
from geowheel.targets import Platform

PIXI = """
[workspace]
channels = ["conda-forge", {channel = "https://example.invalid/x", priority = 1}]
platforms = ["linux-64", "osx-arm64", "emscripten-wasm32"]
[system-requirements]
libc = "2.17"
[dependencies]
libgdal-core = ">=3.10"
proj = {version = ">=9", build = "h*"}
[target.osx.dependencies]
libgdal-core = "3.12.*"
[target.unix.dependencies]
zlib = "*"
[feature.grids.dependencies]
proj-data = "*"
[environments]
wheel = ["grids"]
alone = {features = ["grids"], no-default-feature = true}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pixi.toml").write_text(PIXI, encoding="utf-8")
    return tmp_path


def specs(folder: Path, environment: str, platform: Platform) -> list[str]:
    spec = find_manifest(folder).environment(environment, platform)
    return [wanted.text for wanted in spec.specs]


def test_features_and_targets_are_merged(folder: Path) -> None:
    assert specs(folder, "wheel", Platform.OSX_ARM64) == [
        "libgdal-core 3.12.*",
        'proj >=9 [build="h*"]',
        "proj-data *",
        "zlib *",
    ]
    assert specs(folder, "alone", Platform.LINUX_64) == ["proj-data *"]


def test_system_requirements_become_virtual_packages(folder: Path) -> None:
    found = find_manifest(folder)
    assert found.environment("default", Platform.LINUX_64).virtual_packages == (
        "__unix=0=0",
        "__linux=4.18",
        "__glibc=2.17",
        "__archspec=0=x86_64",
    )
    assert "__osx=13.0" in found.environment("default", Platform.OSX_ARM64).virtual_packages


def test_channels_go_by_priority_and_unknown_platforms_are_left_out(folder: Path) -> None:
    found = find_manifest(folder)
    assert found.channels == ("https://example.invalid/x", "conda-forge")
    assert found.platforms == (Platform.LINUX_64, Platform.OSX_ARM64)


def test_it_is_found_from_below_and_in_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pixi.workspace]\nchannels = ["c"]\nplatforms = ["linux-64"]\n', encoding="utf-8"
    )
    below = tmp_path / "hosts" / "x"
    below.mkdir(parents=True)
    (below / "pyproject.toml").write_text("[project]\nname = 'x'\n", encoding="utf-8")
    assert find_manifest(below).lock_path == tmp_path / "pixi.lock"


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        ("nope", Platform.LINUX_64, "no environment 'nope'"),
        ("default", Platform.WIN_64, "not among the workspace's platforms"),
    ],
)
def test_what_is_not_there_is_named(
    folder: Path, environment: str, platform: Platform, expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        find_manifest(folder).environment(environment, platform)


def test_no_manifest_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pixi init"):
        find_manifest(tmp_path)

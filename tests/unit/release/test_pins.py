"""Pins are facts in one file: read with all their faults, shown, written the same way each time."""

import json
import re
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.hosts import make_project

from geowheel.errors import ConfigError
from geowheel.release.pins import Pin, parse_pins, pins_of
from geowheel.targets import Platform

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "src" / "geowheel" / "release" / "pins.toml"
GOOD = """\
[tools.pixi]
version = "1.0"
source = "a"
[actions."a/b"]
version = "v1.2.3"
source = "a"
[images."q/m"]
version = "2026"
digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
source = "a"
[runners.linux-64]
os = "ubuntu"
container = "q/m"
source = "a"
"""


def test_the_shipped_pins_are_sound() -> None:
    pins = parse_pins(SHIPPED.read_text(encoding="utf-8"), SHIPPED)
    assert set(pins.runners) == set(Platform)
    for table in (pins.tools, pins.actions, pins.images, pins.runners):
        assert all(re.search(r"\.\w+|runner", pin.source) for pin in table.values())
    compiled = (ROOT / "ci" / "requirements" / "tools.txt").read_text(encoding="utf-8")
    pins = parse_pins(SHIPPED.read_text(encoding="utf-8"), SHIPPED)
    assert f"\nnox=={pins.tool('nox')} " in compiled


def test_a_project_without_its_own_has_the_shipped_ones(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    assert pins_of(project).tools == parse_pins(SHIPPED.read_text("utf-8"), SHIPPED).tools
    (tmp_path / "ci").mkdir()
    (tmp_path / "ci" / "pins.toml").write_text(GOOD, encoding="utf-8")
    assert pins_of(project).tool("pixi") == "1.0"


def test_what_is_pinned_by_commit_is_named_by_it() -> None:
    pins = parse_pins(GOOD, SHIPPED)
    assert pins.uses("a/b") == "a/b@v1.2.3"
    exact = {"a/b": Pin(version="v1.2.3", commit="c" * 40, source="a")}
    assert replace(pins, actions=exact).uses("a/b") == f"a/b@{'c' * 40}  # v1.2.3"
    assert pins.image("q/m") == f"q/m@sha256:{'0' * 64}"
    pins = parse_pins(GOOD, SHIPPED)
    with pytest.raises(ConfigError, match=r"\[actions\] has no pin of x/y"):
        pins.uses("x/y")
    with pytest.raises(ConfigError, match=r"\[runners\] has no pin of osx-64"):
        pins.runner(Platform.OSX_64)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("[", "Invalid initial character"),
        ('[more]\nx = "1"', "unknown field `more`"),
        ('[tools.a]\nversion = "1"', r"required field `source` - at `\$\.tools"),
        ('[tools.a]\nversion = "1"\nsource = ""', "length >= 1"),
        ('[actions."c/d"]\nversion = "v1"\ncommit = "v1"\nsource = "a"', "matching regex"),
        ('[images.c]\nversion = "1"\ndigest = "sha256:1"\nsource = "a"', "matching regex"),
        ('[images.c]\nversion = "1"\nsource = "a"', r"\[images\] c:1 floats"),
        ('[runners.win-64]\nos = "w"\nbindings = "x"\nsource = "a"', "enum value 'x'"),
        ('[runners.win-65]\nos = "w"\nsource = "a"', "enum value 'win-65'"),
        ('[runners.win-64]\nos = "w"\ncontainer = "x"\nsource = "a"', "has no pin of x"),
    ],
)
def test_everything_wrong_is_said(wrong: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_pins(GOOD + wrong, SHIPPED)


def test_renovate_finds_every_action_and_image() -> None:
    managers = json.loads((ROOT / "renovate.json").read_text("utf-8"))["customManagers"]
    text = SHIPPED.read_text("utf-8")
    found = {
        match["depName"]
        for manager in managers
        for pattern in manager["matchStrings"]
        # Renovate's expressions are RE2's, which name groups as JavaScript does.
        for match in re.finditer(pattern.replace("(?<", "(?P<"), text)
    }
    pins = parse_pins(text, SHIPPED)
    assert found == {*pins.actions, *pins.images}

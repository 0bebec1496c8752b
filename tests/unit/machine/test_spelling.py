"""Commands are named in one form, and read as whoever reads them has to type them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import geowheel
from geowheel.command_table import COMMANDS
from geowheel.machine.spelling import (
    LAUNCHER,
    STANDALONE,
    VARIABLE,
    Spelling,
    called_as,
    chosen,
    read_spelling,
)

SOURCES = Path(geowheel.__file__).parent
NAMES = [command.name for command in COMMANDS]
PLAIN = Spelling()
NOX = Spelling(session="nox -s ")


@pytest.mark.parametrize(
    ("spelling", "text", "expected"),
    [
        (PLAIN, "`geowheel lock`", "`geowheel lock`"),
        (PLAIN, "`geowheel wheel --python 3.12`", "`geowheel wheel --python 3.12`"),
        (NOX, "`geowheel lock`", "`nox -s lock`"),
        (NOX, "`geowheel lock --upgrade proj`", "`nox -s lock -- --upgrade proj`"),
        (NOX, "`geowheel plan`, then `geowheel lock`.", "`nox -s plan`, then `nox -s lock`."),
        (NOX, "`geowheel wheel --python 3.12`", "`nox -s wheel-3.12`"),
        (NOX, "`geowheel lab --python 3.9 --seed 7`", "`nox -s lab-3.9 -- --seed 7`"),
        (NOX, "`geowheel lab --seed 7 --python 3.9`", "`nox -s lab-3.9 -- --seed 7`"),
        (NOX, "`geowheel wheel --python PATH`", "`nox -s wheel -- --python PATH`"),
        # No version has a session of its own there.
        (NOX, "`geowheel export --python 3.12 DIR`", "`nox -s export -- --python 3.12 DIR`"),
        (NOX, "`geowheel repair-wheel RAW DEST`", "`nox -s repair-wheel -- RAW DEST`"),
        (Spelling(session="python3 ci/nox.py -s my."), "`geowheel size`",
         "`python3 ci/nox.py -s my.size`"),
    ],
)  # fmt: skip
def test_a_command_is_spelled_as_called(spelling: Spelling, text: str, expected: str) -> None:
    assert spelling.of(text) == expected


@pytest.mark.parametrize("name", sorted(STANDALONE))
@pytest.mark.parametrize("spelling", [PLAIN, NOX, Spelling(options="--host a")])
def test_what_has_no_session_and_no_project_stays(spelling: Spelling, name: str) -> None:
    assert spelling.of(f"`geowheel {name} --json`") == f"`geowheel {name} --json`"


@pytest.mark.parametrize(
    "text",
    ["geowheel lock", "`geowheel`", "`geowheel --help`", "`geowheel 0.1.0`", "`geowheel.toml`",
     "`lock`", "nox -s lock"],
)  # fmt: skip
def test_other_text_stays(text: str) -> None:
    assert Spelling(session="nox -s ", options="--host a").of(text) == text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["wheel"], "`geowheel lock`"),
        (["wheel", "--all", "--json"], "`geowheel lock`"),
        (["wheel", "--root", "/a b", "--host", "hosts/x"],
         "`geowheel lock --root '/a b' --host hosts/x`"),
        (["--host=hosts/x", "wheel", "--channel", "distro"], "`geowheel lock --host=hosts/x`"),
        (["wheel", "--root=."], "`geowheel lock --root=.`"),
        (["wheel", "--rooted", "a"], "`geowheel lock`"),
        (["wheel", "--host"], "`geowheel lock --host`"),
    ],
)  # fmt: skip
def test_where_the_project_is_has_to_be_said_again(arguments: list[str], expected: str) -> None:
    assert read_spelling(arguments, {}).of("`geowheel lock`") == expected
    assert read_spelling(arguments, {}).of(expected) == expected, "not said twice"
    assert read_spelling(arguments, {"GEOWHEEL_CALLED_AS": ""}).of("`geowheel lock`") == expected


@pytest.mark.parametrize(
    ("prefix", "posargs", "text", "expected"),
    [
        ("", [], "`geowheel lock`", "`nox -s lock`"),
        ("my.", ["--all"], "`geowheel lock --check`", "`nox -s my.lock -- --check`"),
        ("", ["--host", "a b"], "`geowheel lock`", "`nox -s lock -- --host 'a b'`"),
        ("my.", ["--host=b", "--json"], "`geowheel wheel --python 3.12 --verify`",
         "`nox -s my.wheel-3.12 -- --verify --host=b`"),
    ],
)  # fmt: skip
def test_a_call_is_read_again(prefix: str, posargs: list[str], text: str, expected: str) -> None:
    # The session adds --root and --host itself; nobody has to type those.
    arguments = ["plan", "--root", "/x", "--host", ".", *posargs]
    said = {VARIABLE: called_as(prefix, posargs)}
    assert read_spelling(arguments, said).of(text) == expected


def test_a_launcher_stands_in_the_place_of_nox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LAUNCHER, "python3.13 ../ci/nox.py")
    said = {VARIABLE: called_as("", [])}
    assert read_spelling([], said).of("`geowheel wheel --python 3.13 --all`") == (
        "`python3.13 ../ci/nox.py -s wheel-3.13 -- --all`"
    )
    told = ["a", "--host", "x", "--root=y", "--host=z", "--hosted", "q"]
    assert chosen(told, "--host") == ["--host", "x", "--host=z"]
    assert chosen(told, "--host", "--root") == ["--host", "x", "--root=y", "--host=z"]


# What names commands as nox has them: its sessions are made there, and a project that is not
# geowheel's yet has nothing but the noxfile that it is given.
SPELLS = {SOURCES / "nox.py", SOURCES / "machine" / "spelling.py", *SOURCES.glob("adoption/*.py")}
# Examples in a shell.
HELP = SOURCES / "cli" / "command_help.py"
# `nox -s docs` is a session of geowheel's own repository, and no command.
OTHERWISE = re.compile(
    rf"nox -s (?:{{}}|{'|'.join(NAMES)})\b|\binvoke |ci/nox\.py|-m geowheel [a-z]"
)
BARE = re.compile(rf"(?<!`)\bgeowheel (?:{'|'.join(NAMES)})\b")
NAMED = re.compile(r"`geowheel ([a-z][a-z-]*)")


def literals(path: Path) -> Iterator[tuple[str, str]]:
    """Every string of a module with its place; `{}` for what an f-string fills in."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parts = {id(v) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for v in n.values}
    for node in ast.walk(tree):
        text = None
        if isinstance(node, ast.JoinedStr):
            text = "".join(
                str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value if id(node) not in parts else None
        if text is not None:
            yield f"{path.relative_to(SOURCES)}:{getattr(node, 'lineno', 0)}", text


def all_literals(*but: Path) -> list[tuple[str, str]]:
    paths = [path for path in sorted(SOURCES.rglob("*.py")) if path not in but]
    return [found for path in paths for found in literals(path)]


def test_the_sources_spell_commands_in_one_way() -> None:
    found = all_literals(*SPELLS)
    assert len(found) > 2000
    assert [(where, text) for where, text in found if OTHERWISE.search(text)] == []
    found = all_literals(*SPELLS, HELP)
    assert [(where, text) for where, text in found if BARE.search(text)] == []
    named = [(where, name) for where, text in all_literals() for name in NAMED.findall(text)]
    assert len(named) > 50
    assert [(where, name) for where, name in named if name not in NAMES] == []

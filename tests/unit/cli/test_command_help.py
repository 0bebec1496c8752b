"""Help and completions: every command is in them, and the examples are commands that exist."""

import argparse
import re
import shlex

import pytest

from geowheel.cli import main
from geowheel.cli.arguments import parser as make_parser
from geowheel.cli.command_help import EPILOG, SHELLS
from geowheel.cli.completion import script
from geowheel.command_table import COMMANDS, Command


@pytest.fixture
def commands() -> dict[str, argparse.ArgumentParser]:
    (found,) = (a.choices for a in make_parser()._actions if isinstance(a.choices, dict))
    return found


def test_the_overview_has_every_command_once(
    commands: dict[str, argparse.ArgumentParser], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    for name, parser in commands.items():
        rows = [line for line in lines if line.startswith(f"  {name} ")]
        assert len(rows) == 1 and rows[0].endswith(str(parser.description)), name
    assert max(map(len, lines)) <= 100


def test_a_command_of_the_table_is_shown_under_its_heading(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    added = Command(name="bake", summary="bake a wheel", group="in the oven")
    monkeypatch.setattr("geowheel.cli.command_help.COMMANDS", (*COMMANDS, added))
    main([])
    text = capsys.readouterr().err
    assert re.search(r"^in the oven:\n  bake +bake a wheel\n", text, re.MULTILINE)
    assert re.search(r"^the whole way:\n  wheel +make, repair", text, re.MULTILINE)


def test_the_examples_can_be_parsed(commands: dict[str, argparse.ArgumentParser]) -> None:
    parser, seen = make_parser(), 0
    for text in [EPILOG, *(p.epilog for p in commands.values() if p.epilog)]:
        for line in text.splitlines():
            if not line.startswith("  geowheel") or "COMMAND" in line:
                continue
            call = line[2:].partition("   ")[0].partition(" > ")[0]
            assert parser.parse_args(shlex.split(call)[1:]).run, line
            seen += 1
    assert seen > 10


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_a_script_with_every_command(
    shell: str, commands: dict[str, argparse.ArgumentParser], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert text == script(make_parser(), shell)
    assert all(name in text for name in commands)

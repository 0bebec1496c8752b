"""What is wrong with a command line: one message, the nearest right word, exit code 2."""

from pathlib import Path

import pytest
from tests.support.hosts import write_host

from geowheel.cli import main
from geowheel.cli.arguments import parser as make_parser
from geowheel.command_table import COMMANDS
from geowheel.errors import UsageError
from geowheel.machine.spelling import STANDALONE


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The message about these words, without `error: `."""
    assert main(words) == UsageError.exit_code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ") and captured.err.endswith("\n")
    assert "usage:" not in captured.err and captured.err.count("error") == 1
    return captured.err.removeprefix("error: ")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["wheel", "--pyton", "3.12"], "`geowheel wheel` has no option --pyton\n"
                                       "  next: did you mean --python?\n"),
        (["status", "--jsno"], "`geowheel status` has no option --jsno\n"
                               "  next: did you mean --json?\n"),
        (["status", "-json"], "`geowheel status` has no option -json\n"
                              "  next: did you mean --json?\n"),
        (["lock", "--chanel=distro"], "`geowheel lock` has no option --chanel\n"
                                      "  next: did you mean --channel?\n"),
        # Of another command.
        (["status", "--keep-work"], "`geowheel status` has no option --keep-work\n"
                                    "  next: `geowheel status --help` shows what it takes\n"),
        (["status", "3.12"], "`geowheel status` does not take '3.12'\n"
                             "  next: `geowheel status --help` shows what it takes\n"),
        (["whel"], "argument COMMAND: invalid choice: 'whel'\n  next: did you mean wheel?\n"),
        (["repair_wheel"], "argument COMMAND: invalid choice: 'repair_wheel'\n"
                           "  next: did you mean repair-wheel?\n"),
        (["wheel", "--bindings", "prebuild"],
         "argument --bindings: invalid choice: 'prebuild'\n  next: did you mean prebuilt?\n"),
        (["init", "--layout", "top-level"],
         "argument --layout: invalid choice: 'top-level'\n  next: did you mean toplevel?\n"),
        (["cache", "purne"],
         "argument action: invalid choice: 'purne'\n  next: did you mean prune?\n"),
        (["wheel", "--seed"], None),
        (["export"], "the following arguments are required: DIR\n"
                     "  next: `geowheel export --help` shows what it takes\n"),
        (["--verson"], "--verson stands before the command, or without one\n"
                       "  next: did you mean --version?\n"),
        (["--json", "status"], "--json stands before the command, or without one\n"
                               "  next: `geowheel COMMAND --json`\n"),
        (["--root", "/x", "status"], "--root stands before the command, or without one\n"
                                     "  next: `geowheel COMMAND --root`\n"),
        (["--xyz"], "--xyz stands before the command, or without one\n"
                    "  next: `geowheel --help` shows what there is\n"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_the_nearest_right_word(
    capsys: pytest.CaptureFixture[str], words: list[str], expected: str | None
) -> None:
    text = said(capsys, *words)
    if expected is not None:
        assert text == expected


def test_a_choice_that_is_near_to_none_has_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "xyz")
    assert text.startswith("argument COMMAND: invalid choice: 'xyz' (choose from ")
    assert all(command.name in text for command in COMMANDS)
    assert text.endswith("\n  next: `geowheel --help` shows what it takes\n")


@pytest.mark.parametrize(
    ("name", "near"), [("linux64", "linux-64"), ("osx-arm", "osx-arm64"), ("win32", None)]
)
def test_an_unknown_platform_has_the_nearest_one_and_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, near: str | None
) -> None:
    write_host(tmp_path)
    assert main(["build", "--root", str(tmp_path), "--platform", name]) == 2
    text = capsys.readouterr().err
    assert f"unknown platform '{name}'" in text
    if near:
        assert f"next: did you mean {near}? The platforms are linux-64, " in text


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_every_command_refuses_the_unknown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = {"repair-wheel": ["a", "b"], "export": ["a"], "collect": ["a"], "cache": ["list"],
              "completion": ["bash"], "root": ["a"], "rebuild": ["a"]}.get(name, [])  # fmt: skip
    assert f"`geowheel {name}` has no option --no-such\n" in said(
        capsys, name, *wanted, "--no-such"
    )


@pytest.mark.parametrize("name", sorted({c.name for c in COMMANDS} - STANDALONE))
def test_every_command_of_a_project_has_the_options_of_one(name: str) -> None:
    (commands,) = (a.choices for a in make_parser()._actions if isinstance(a.choices, dict))
    flags = commands[name]._option_string_actions
    assert {"--root", "--host", "--channel", "--frozen", "--json", "--quiet"} <= set(flags)

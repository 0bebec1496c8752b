"""ci/start_nox.py: options of geowheel that stand where nox looks for its own."""

import argparse
import runpy
import sys
from pathlib import Path

import pytest

START = Path(__file__).resolve().parents[3] / "ci" / "start_nox.py"


def answer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *told: str) -> str:
    """What nox's own parser makes of these words, where it refuses them."""
    monkeypatch.setattr(sys, "argv", [str(START), "-f", "/x/noxfile.py", *told])
    monkeypatch.setattr(argparse.ArgumentParser, "error", argparse.ArgumentParser.error)
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(START), run_name="__main__")
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "usage:" not in captured.err
    return captured.err


@pytest.mark.parametrize(
    ("told", "unknown", "right"),
    [
        (["-s", "wheel", "--all"], "--all", "-s wheel -- --all"),
        (["-s", "wheel", "--channel", "distro", "--json"], "--channel",
         "-s wheel -- --channel distro --json"),
        (["-s", "wheel", "--host=hosts/x", "--", "--all"], "--host=hosts/x",
         "-s wheel -- --host=hosts/x --all"),
        (["--frozen", "-s", "wheel-3.12"], "--frozen", "-s wheel-3.12 -- --frozen"),
        (["--frozen", "-s", "wheel", "--channel", "distro"], "--frozen --channel",
         "-s wheel -- --frozen --channel distro"),
        (["-s", "cache", "--older-than", "a b"], "--older-than",
         "-s cache -- --older-than 'a b'"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("launcher", [None, "python3.13 ../ci/nox.py"])
def test_the_same_command_is_shown_as_it_has_to_be_typed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    told: list[str],
    unknown: str,
    right: str,
    launcher: str | None,
) -> None:
    if launcher:
        monkeypatch.setenv("GEOWHEEL_LAUNCHER", launcher)
    assert answer(monkeypatch, capsys, *told) == (
        f"error: unrecognized arguments: {unknown}\n"
        "  likely cause: the options of a session stand after --\n"
        f"  next: {launcher or 'nox'} {right}\n"
    )


def test_what_else_nox_refuses_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = answer(monkeypatch, capsys, "--reuse-venv", "perhaps")
    assert text.startswith("error: argument --reuse-venv: invalid choice: 'perhaps'")
    assert "next:" not in text and text.count("\n") == 1

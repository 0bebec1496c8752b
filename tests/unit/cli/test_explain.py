"""The table of known failures against real logs, and the command that reads it."""

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from geowheel.cli import main
from geowheel.cli.explain import KnownFailure, explained, known_failures
from geowheel.errors import BuildError, ExplainError, UsageError

LOGS = sorted((Path(__file__).parents[2] / "data" / "failures").glob("*.log"))
HOW = re.compile(r"# (?:provoked: \w.*|quoted: https://\S+.*)")


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.stem)
def test_each_failure_is_known_by_a_real_log(log: Path) -> None:
    how, _, text = log.read_text("utf-8").partition("\n")
    assert HOW.fullmatch(how)
    first, *_ = explained(text)
    assert first["name"] == log.stem.partition("--")[0]
    assert "{" not in first["cause"] + first["remedy"] + first["command"]


@pytest.mark.parametrize(
    ("setting", "end", "line"),
    [
        ("  CIBW_ENVIRONMENT_MACOS: A=1", "Error: cibuildwheel: Command x failed with code 1.", 2),
        ("2026-11-28T10:00:00.1Z     CIBW_ENVIRONMENT: A=1", "cibuildwheel: error: Command", 2),
        ("  CIBW_ENVIRONMENT: A=1", "1 wheel produced in 2 minutes", None),
        ("  CIBW_ENVIRONMENT_PASS_LINUX: A", "cibuildwheel: error: Command", None),
        ("see CIBW_ENVIRONMENT: it replaces", "cibuildwheel: error: Command", None),
    ],
)
def test_a_variable_that_replaces_is_suspected_only_where_a_build_fails(
    setting: str, end: str, line: int | None
) -> None:
    found = list(explained(f"env:\n{setting}\nbuilding\n{end}\n"))
    assert [row["number"] for row in found] == [line] * (line is not None)


def test_one_long_line_takes_no_longer_than_many() -> None:
    for text in ("aB9/" * 250_000, "CIBW_ENVIRONMENT: A=1\n" * 45_000):
        assert list(explained(text)) == []  # minutes, were a signature quadratic


def test_every_failure_has_a_log() -> None:
    assert set(known_failures()) == {log.stem.partition("--")[0] for log in LOGS}
    assert len(known_failures()) >= 40


@pytest.mark.parametrize(
    "change",
    [{"cause": "no {group} of that name"}, {"source": "a book"}, {"signature": "("}, {"more": "x"}],
)
def test_a_row_that_cannot_be_used_is_refused(change: dict[str, str]) -> None:
    row = {"signature": "no such (?P<x>thing)", "cause": "a {x}", "remedy": "do it",
           "command": "true", "source": "https://example.org"}  # fmt: skip
    assert msgspec.convert(row, KnownFailure)
    with pytest.raises((msgspec.ValidationError, re.error)):
        msgspec.convert(row | change, KnownFailure)


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    stream = SimpleNamespace(isatty=lambda: False, buffer=io.BytesIO(data))
    monkeypatch.setattr("sys.stdin", stream)


SYMBOL = "ImportError: x.so: \x1b[31mundefined symbol: proj_create_from_wkt\x1b[0m\r\n"


@pytest.mark.parametrize("data", [SYMBOL.encode(), SYMBOL.encode("utf-16")])
def test_standard_input_is_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: bytes
) -> None:
    piped(monkeypatch, data)
    assert main(["explain"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("undefined-proj-symbol: standard input, line 1\n") and "\x1b" not in said
    assert "cause    nothing that was loaded defines proj_create_from_wkt" in said
    piped(monkeypatch, data)
    assert main(["explain", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["explained"]
    assert (row["name"], row["number"]) == ("undefined-proj-symbol", 1)


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"all is well\nfoo: error: odd\n", ExplainError.exit_code, "line 2 speaks first of an"),
        (b"\n", UsageError.exit_code, "next: `geowheel explain FILE`"),
    ],
)
def test_what_nobody_knows_has_a_next_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    data: bytes, code: int, words: str,
) -> None:  # fmt: skip
    piped(monkeypatch, data)
    assert main(["explain"]) == code
    assert words in capsys.readouterr().err


def test_a_log_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(tmp_path / "no.log")]) == UsageError.exit_code
    assert "No such file" in capsys.readouterr().err


def test_a_stage_that_fails_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "01-gcc.log"
    log.write_text("/usr/bin/ld: cannot find -lgdal: No such file or directory\n", "utf-8")

    def failing(*_: object) -> None:
        raise BuildError("gcc failed with exit code 1", fix=f"the whole output is in {log}")

    monkeypatch.setattr("geowheel.cli.explain.explain", failing)
    piped(monkeypatch, b"x")
    assert main(["explain", "--json"]) == BuildError.exit_code
    captured = capsys.readouterr()
    assert "known failure cannot-find-lgdal: the linker finds no libgdal.so" in captured.err
    assert json.loads(captured.out)["explained"][0]["source"].startswith("https://")

"""What a person sees: plain text as it is, steps with reason and time, and which stream has it."""

import re
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from geowheel.cli.commands import write_json
from geowheel.errors import BuildError
from geowheel.machine.console import Console, megabytes, seconds
from geowheel.machine.output import Log
from geowheel.machine.spelling import Spelling

Capsys = pytest.CaptureFixture[str]


def shown(capsys: Capsys) -> str:
    """What leads to a result; the result has a stream of its own."""
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


@pytest.mark.parametrize(
    "text",
    [
        "[tool.geowheel] key: [bold]no markup[/bold]",
        "[/]",
        "[red]",
        r"C:\folder\[x]",
        "[link=https://a.invalid]a[/link]",
        "host:100:/ GDAL:on:disk :x:",
        "C:\\",
        "x" * 300,
    ],
)
def test_text_is_printed_as_it_is(console: Console, capsys: Capsys, text: str) -> None:
    console.line(text)
    assert shown(capsys) == text + "\n"


@pytest.mark.parametrize(
    ("width", "expected"),
    [("99", "\nt\n  x\n    b  y\n"), ("100", "\nt\n  a  b\n  -  -\n  x  y\n")],
)
def test_a_table_goes_by_the_width_that_is_said(
    console: Console, monkeypatch: pytest.MonkeyPatch, capsys: Capsys, width: str, expected: str
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    console.table("t", ["a", "b"], [["x", "y"]])
    assert capsys.readouterr() == (expected, "")


def test_a_result_is_on_standard_output(console: Console, capsys: Capsys) -> None:
    console.header("a")
    console.wait("waiting")
    console.result("the result")
    console.result()
    console.warn("b")
    assert capsys.readouterr() == ("the result\n\n", "\na\n  waiting\nwarning: b\n")


def test_with_json_a_result_is_not_shown(tmp_path: Path, capsys: Capsys) -> None:
    console = Console(logs=tmp_path, json=True)
    console.result("the result")
    console.table("c", ["d"], [["e"]])
    assert capsys.readouterr() == ("", "")
    console.line("a line")
    console.warn("b")
    assert shown(capsys) == "a line\nwarning: b\n"


def test_commands_are_spelled_as_they_are_to_be_typed(tmp_path: Path, capsys: Capsys) -> None:
    console = Console(logs=tmp_path, spelling=Spelling(session="nox -s my."))
    console.line("run `geowheel lock`")
    console.result("run `geowheel plan`")
    console.table("t", ["next"], [["`geowheel test --python 3.12`"]])
    captured = capsys.readouterr()
    assert captured.err == "run `nox -s my.lock`\n"
    assert captured.out.startswith("run `nox -s my.plan`\n")
    assert "  `nox -s my.test-3.12`\n" in captured.out


def test_no_secret_is_shown(console: Console, capsys: Capsys) -> None:
    console.result("from https://me:secret@a.invalid/x")
    console.table("t", ["url"], [["https://me:secret@a.invalid/x"]])
    console.line("from https://me:secret@a.invalid/x")
    for said in capsys.readouterr():
        assert "a.invalid/x" in said and "secret" not in said


def test_a_step_prints_its_reason_and_its_time(
    console: Console, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geowheel.machine.console.SHORT", 0)
    with console.step("build", "changed: host files (a.py)") as step:
        step.say("calling [the backend]")
        step.say("which answers")
    first, second, third = shown(capsys).splitlines()
    assert first == "  build      changed: host files (a.py): calling [the backend]"
    assert second == "    which answers"
    assert re.fullmatch(r"  build      done in \d+\.\d s", third)
    monkeypatch.setattr("geowheel.machine.console.SHORT", 1e9)
    with console.step("build", "first run"):
        pass
    assert shown(capsys) == "  build      first run\n"


def test_a_step_that_fails_says_so_and_does_not_say_done(console: Console, capsys: Capsys) -> None:
    with pytest.raises(BuildError), console.step("build", "first run"):
        raise BuildError("no")
    text = shown(capsys)
    assert re.search(r"  build      not finished after \d+\.\d s", text)
    assert "done in" not in text


@pytest.mark.parametrize("error", [BuildError("no"), KeyboardInterrupt()], ids=repr)
def test_an_error_ends_the_runner(console: Console, tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), console.step("build", "first run") as step:
        raise error
    with pytest.raises(BuildError, match="cc was not started: the run is stopping"):
        step.run(["cc"], env={}, cwd=tmp_path)


def test_a_quiet_end_ends_the_runner(console: Console, tmp_path: Path, capsys: Capsys) -> None:
    with console.quiet_step("fetch") as step:
        pass
    assert shown(capsys) == ""
    with pytest.raises(BuildError, match="was not started"):
        step.run(["cc"], env={}, cwd=tmp_path)


def test_work_side_by_side_comes_back_in_the_order_of_the_items(console: Console) -> None:
    with console.step("bindings", "first run") as step:
        assert step.side_by_side(lambda item: item * 2, [3, 1, 2]) == [6, 2, 4]
        assert step.side_by_side(lambda item: item * 2, []) == []


@pytest.mark.parametrize("error", [BuildError("no"), KeyboardInterrupt()], ids=repr)
def test_the_first_error_side_by_side_stops_the_rest(
    console: Console, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr("geowheel.machine.console.os.cpu_count", lambda: 1)
    begun: list[int] = []
    last = threading.Event()

    def work(item: int) -> None:
        begun.append(item)
        if item == 1:
            raise error
        last.wait()  # until the runner is stopped

    with console.step("bindings", "first run") as step:
        monkeypatch.setattr(step.runner, "stop", last.set)
        with pytest.raises(type(error)):
            step.side_by_side(work, [1, 2, 3, 4, 5])
    assert last.is_set()
    assert len(begun) <= 2  # the one that failed, and the one that had begun by then


def test_work_on_consoles_side_by_side_stays_together(console: Console, capsys: Capsys) -> None:
    both = threading.Barrier(2)

    def work(item: str, own: Console) -> str:
        with own.step("test", "first run") as step:
            both.wait(60)
            step.say(f"of {item}")
            both.wait(60)
        own.line(f"end of {item}")
        return item

    assert console.side_by_side("targets", work, ["a", "b"]) == ["a", "b"]
    assert shown(capsys).splitlines() == [
        "  test       first run: of a", "end of a", "  test       first run: of b", "end of b",
    ]  # fmt: skip


def test_an_error_on_one_of_several_consoles_ends_the_others(
    console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = threading.Event(), threading.Event()
    refused: list[BuildError] = []

    def work(item: str, own: Console) -> None:
        with own.step("test", "first run") as step:
            if item == "bad":
                assert begun.wait(60)
                raise BuildError("no")
            stop = step.runner.stop

            def stop_and_say() -> None:
                stop()
                ended.set()

            monkeypatch.setattr(step.runner, "stop", stop_and_say)
            begun.set()
            assert ended.wait(60)
            with pytest.raises(BuildError, match="cc was not started: the run is stopping") as told:
                step.run(["cc"], env={}, cwd=tmp_path)
            refused.append(told.value)

    with pytest.raises(BuildError, match="no"):
        console.side_by_side("targets", work, ["bad", "good"])
    assert len(refused) == 1


def test_a_quiet_console_says_nothing(tmp_path: Path, capsys: Capsys) -> None:
    console = Console(logs=tmp_path, quiet=True)
    console.header("a")
    console.warn("b")
    console.result("b")
    console.table("c", ["d"], [["e"]])
    with console.step("build", "first run"):
        pass
    assert shown(capsys) == ""


@pytest.mark.parametrize(
    ("amount", "expected"),
    [(0.04, "0.0 s"), (4.24, "4.2 s"), (59.9, "59.9 s"), (60, "1 min 00 s"), (64.9, "1 min 04 s"),
     (3700, "61 min 40 s")],
)  # fmt: skip
def test_times_are_written_for_people(amount: float, expected: str) -> None:
    assert seconds(amount) == expected


@pytest.mark.parametrize(
    ("size", "expected"), [(0, "0.0 MB"), (61_749_999, "61.7 MB"), (1_000_000_000, "1000.0 MB")]
)
def test_megabytes_are_decimal(size: int, expected: str) -> None:
    assert megabytes(size) == expected


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=20))
@example("\x1b]0;x\x07\x1b[2J\r\x08\x9b1m\u202e\u2066\u200b\ud800")
def test_no_control_leaves_any_printer(tmp_path: Path, capsys: Capsys, text: str) -> None:
    console = Console(logs=tmp_path)
    printers = (console.line, console.result, console.warn, console.wait, console.header)
    for printer in printers:
        printer(text)
    console.table(text, [text], [[text]])
    console.cached(text, text)
    with console.step(text, text, logs="x") as step:
        step.say(text)
    Log(tmp_path / "log", tmp_path, [text]).close(text)
    write_json({text: text})
    captured, log = capsys.readouterr(), (tmp_path / "log").read_text("utf-8")
    for seen in (captured.out, captured.err, log):
        assert all(letter.isprintable() or letter in "\n\t" for letter in seen)

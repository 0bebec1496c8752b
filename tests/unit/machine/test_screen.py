"""What is shown while something takes its time; the clock is the test's, and nothing waits."""

import io
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from geowheel.errors import BuildError
from geowheel.machine import screen as module
from geowheel.machine.console import Console
from geowheel.machine.process import spoken
from geowheel.machine.screen import Screen, fitted

ERASE = "\r\x1b[K"


class Terminal(io.StringIO):
    """What standard error is: a terminal, or a file."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    def taken(self) -> str:
        """What was written since the last time."""
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """A screen whose time and ticks are the test's."""

    def __init__(self, out: Terminal) -> None:
        self.out = out
        self.clock = Clock()
        self.screen = Screen(quiet=False, clock=self.clock)

    def after(self, seconds: float) -> str:
        """What one look shows when so much time has gone by."""
        self.clock.now += seconds
        self.screen.tick()
        return self.out.taken()


@pytest.fixture(autouse=True)
def no_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that looks by itself never does: the tests look."""
    monkeypatch.setattr(module, "TICK", threading.TIMEOUT_MAX)


def watched(monkeypatch: pytest.MonkeyPatch, *, terminal: bool, columns: int = 80) -> Watched:
    out = Terminal(terminal=terminal)
    # Not sys.stderr itself, which pytest sets anew between the phases of a test.
    monkeypatch.setattr(module, "sys", SimpleNamespace(stderr=out))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(module, "terminal_columns", lambda: columns)
    return Watched(out)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return watched(monkeypatch, terminal=False)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return watched(monkeypatch, terminal=True)


def test_on_a_pipe_a_line_says_what_is_still_running(pipe: Watched) -> None:
    with pipe.screen.during("repair", lambda: "auditwheel repair"):
        assert pipe.after(3.9) == ""
        assert pipe.after(0.1) == "  repair     still running after 4 s: auditwheel repair"
        assert pipe.after(3.9) == ""
        assert pipe.after(0.2) == ", 8 s"
        assert pipe.after(120) == ", 2 min 08 s"
    assert pipe.out.taken() == "\n"
    with pipe.screen.during("build"):
        pipe.clock.now += 3
        pipe.screen.line("    something")
        assert pipe.after(3) == "    something\n"
        assert pipe.after(1) == "  build      still running after 7 s"
    assert pipe.out.taken() == "\n"
    with pipe.screen.during("doctor"):
        for _ in range(3):
            with pipe.screen.during("question"):
                assert pipe.after(1) == ""
        assert pipe.after(1) == "  doctor     still running after 4 s"


def test_a_line_that_grows_says_what_is_new_and_ends_before_it_is_long(pipe: Watched) -> None:
    words = ["unpacking"]
    with pipe.screen.during("repair", lambda: words[0]):
        assert pipe.after(4) == "  repair     still running after 4 s: unpacking"
        words[0] = "packing"
        assert pipe.after(4) == ", 8 s: packing"
        pipe.screen.line("    107 libraries")
        assert pipe.out.taken() == "\n    107 libraries\n"
        text = "".join(pipe.after(4) for _ in range(40))
    lines = text.splitlines()
    assert 1 < len(lines) < 10  # of 40
    assert all(60 < len(line) <= 100 for line in lines[:-1])
    assert all(line.startswith("  repair     still running after ") for line in lines)


def test_on_a_terminal_the_line_is_rewritten_and_leaves_no_trace(terminal: Watched) -> None:
    with terminal.screen.during("repair", lambda: "auditwheel"):
        assert terminal.after(1) == f"{ERASE}  repair      1 s  auditwheel"
        assert terminal.after(11) == f"{ERASE}  repair     12 s  auditwheel"
    assert terminal.out.taken() == ERASE
    with terminal.screen.during("repair"):
        terminal.after(1)
        terminal.screen.line("    107 libraries")
        assert terminal.out.taken() == f"{ERASE}    107 libraries\n"
        assert terminal.after(1).startswith(f"{ERASE}  repair      2 s")
    with terminal.screen.during("wheel"):
        with terminal.screen.during("fetch"):
            assert "fetch       2 s" in terminal.after(2)
        assert "wheel       3 s" in terminal.after(1)


def test_what_goes_on_is_the_share_then_the_command_then_the_last_words(terminal: Watched) -> None:
    commands = [""]
    with terminal.screen.during("channel", lambda: commands[0]):
        terminal.screen.now("solving")
        assert terminal.after(1).endswith("1 s  solving")
        commands[0] = "apt-get download"
        assert terminal.after(1).endswith("2 s  apt-get download")
        with terminal.screen.counting("9 packages", 200) as advance:
            assert terminal.after(1).endswith("channel     3 s  9 packages 0 %")
            advance(90)
            assert terminal.after(1).endswith("9 packages 45 %")
            advance(1000)
            assert terminal.after(1).endswith("9 packages 100 %")
        assert terminal.after(1).endswith("6 s  apt-get download")


@pytest.mark.parametrize(
    "words",
    ["x" * 300, "界" * 300, "a\nb\r\n" * 50, "\x1b[2J\x1b[H" * 40, "e\u0301" * 200, "\t" * 90],
    ids=ascii,
)
@pytest.mark.parametrize("columns", [20, 80])
def test_the_line_never_wraps(monkeypatch: pytest.MonkeyPatch, words: str, columns: int) -> None:
    terminal = watched(monkeypatch, terminal=True, columns=columns)
    with terminal.screen.during("repair", lambda: words):
        shown = terminal.after(1).removeprefix(ERASE)
    assert shown.isprintable()
    assert shown.isascii()  # nothing that takes two columns or none
    assert len(shown) < columns


def test_as_much_as_fits_is_shown() -> None:
    assert fitted("12345", 5) == "12345"
    assert fitted("123456", 5) == "12345"
    assert fitted("Zürich 界", 20) == "Zürich ?"


@pytest.mark.parametrize("variable", ["dumb", "unknown"])
def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    terminal = watched(monkeypatch, terminal=True)
    monkeypatch.setenv("TERM", variable)
    monkeypatch.delenv("WT_SESSION", raising=False)
    with terminal.screen.during("repair"):
        assert terminal.after(5) == "  repair     still running after 5 s"


def test_colours_are_for_terminals_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for is_terminal, variables, expected in (
        (True, {}, "\x1b[31mno\x1b[0m\n"),
        (False, {}, "no\n"),
        (True, {"NO_COLOR": "1"}, "no\n"),
        (False, {"FORCE_COLOR": "1"}, "\x1b[31mno\x1b[0m\n"),
    ):
        watch = watched(monkeypatch, terminal=is_terminal)
        for name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        watch.screen.line("no", "red")
        assert watch.out.taken() == expected


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("error", [None, BuildError("no"), KeyboardInterrupt()], ids=repr)
def test_no_thread_is_left(terminal: Watched, error: BaseException | None) -> None:
    before = threads()
    try:
        with terminal.screen.during("wheel"), terminal.screen.during("fetch"):
            assert len(threads() - before) == 1
            if error:
                raise error
    except (BuildError, KeyboardInterrupt):
        pass
    assert threads() == before


def test_the_thread_ends_by_itself(monkeypatch: pytest.MonkeyPatch, terminal: Watched) -> None:
    monkeypatch.setattr(module, "TICK", 0)
    looked = threading.Event()

    def tick() -> None:
        looked.set()
        raise BrokenPipeError

    monkeypatch.setattr(terminal.screen, "tick", tick)
    with terminal.screen.during("wheel"):
        assert looked.wait(timeout=60)


def test_lines_and_looks_of_many_threads_do_not_mix(terminal: Watched) -> None:
    def work(act: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            for _ in range(200):
                act()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    screen = terminal.screen
    with screen.during("bindings"):
        for thread in [work(lambda: screen.line("a whole line")), work(screen.tick),
                       work(lambda: screen.line("another one"))]:  # fmt: skip
            thread.join()
    *lines, last = terminal.out.taken().split("\n")
    assert len(lines) == 400
    assert {line.rpartition(ERASE)[2] for line in lines} == {"a whole line", "another one"}
    assert last.endswith(ERASE) or last == ""


def test_secrets_are_not_shown(tmp_path: Path, terminal: Watched) -> None:
    console = Console(logs=tmp_path)
    with console.step("lock", "why") as step:
        step.now("reading https://user:secret@host.invalid/x")
        console.screen.tick()
    assert "secret" not in terminal.out.taken()


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["/usr/bin/g++", "-O2", "-c", "a.cpp"], "g++"),
        (["/x/python", "-I", "-m", "pip", "install", "a"], "pip install"),
        (["/x/python3.12", "-m", "package._tool", "a.json"], "tool"),
        (["python", "-I", "/tmp/x/probe.py", "asked.json"], "probe"),
        (["python.exe", "-c", "print(1)"], "python"),
        (["python", "-m"], "python"),
        (["python"], "python"),
        (["apt-get", "download", "-q", "x"], "apt-get download"),
        (["/opt/uv", "pip", "compile"], "uv pip"),
        (["strip", "/a/b.so"], "strip"),
    ],
)
def test_a_command_is_named_as_a_person_would(argv: list[str], expected: str) -> None:
    assert spoken(argv) == expected

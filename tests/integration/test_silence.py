"""No silence: a command that takes long, on a real terminal and on a real pipe.

The planted commands wait for a file that the tests make once they have seen what they wait for.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from geowheel.machine.screen import SILENCE
from tests.support.files import write_program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX's")

SOURCES = Path(__file__).parents[2] / "src"
COLUMNS = 80
ERASE = "\r\x1b[K"
STEP = """
import os, sys
from pathlib import Path
from geowheel.machine.console import Console

folder = Path(sys.argv[1])
slow = ["sh", "-c", "until [ -e go ]; do sleep 0.05; done"]
try:
    with Console(logs=folder / "logs").step("repair", "first run") as step:
        step.say("said before")
        step.now("waiting " + "with many words " * 20)
        step.side_by_side(
            lambda _: step.run(slow, env={"PATH": os.environ["PATH"]}, cwd=folder), [1, 2]
        )
        step.say("said after")
except KeyboardInterrupt:
    print("interrupted", file=sys.stderr)
    sys.exit(130)
"""


def environ(folder: Path, **more: str) -> dict[str, str]:
    names = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(SOURCES)}
    return {**names, "GEOWHEEL_CACHE": str(folder / "cache"), "NO_COLOR": "1", **more}


class Output:
    """What a process writes, as it comes."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.text = ""

    def until(self, pattern: str) -> None:
        """Read on until it is there; a process that ends without it is a failure."""
        while not re.search(pattern, self.text):
            assert self.read(), f"it ended without {pattern}:\n{self.text}"

    def rest(self) -> str:
        while self.read():
            pass
        return self.text

    def read(self) -> bool:
        with contextlib.suppress(OSError):  # how Linux says that a terminal's other end is closed
            data = os.read(self.descriptor, 1 << 16)
            self.text += data.decode()
            return bool(data)
        return False


@pytest.fixture
def terminal() -> Iterator[tuple[Output, int]]:
    """A terminal of 80 columns: what appears on it, and the end that a process writes to."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, COLUMNS))
    yield Output(ours), theirs
    os.close(ours)


def start(folder: Path, stderr: int, **more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", STEP, folder], env=environ(folder, **more), stderr=stderr,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_on_a_terminal_one_line_is_rewritten(terminal: tuple[Output, int], tmp_path: Path) -> None:
    output, theirs = terminal
    child = start(tmp_path, theirs, TERM="xterm")
    os.close(theirs)
    output.until(r"  repair      [1-9]\d* s  sh")
    (tmp_path / "go").touch()
    text = output.rest()
    assert child.wait() == 0
    assert all(len(shown) < COLUMNS for shown in re.split(r"\r\x1b\[K|\r?\n", text))
    # What is left on the screen when everything that was taken back is gone.
    left = [line.rpartition(ERASE)[2] for line in text.replace("\r\n", "\n").split("\n")]
    assert left[:2] == ["  repair     first run: said before", "    said after"]
    assert re.fullmatch(r"(  repair     done in .*)?", "\n".join(left[2:]).rstrip("\n"))


def test_ctrl_c_leaves_a_clean_line(terminal: tuple[Output, int], tmp_path: Path) -> None:
    output, theirs = terminal
    child = start(tmp_path, theirs, TERM="xterm")
    os.close(theirs)
    output.until(r"  repair      [1-9]\d* s")
    child.send_signal(signal.SIGINT)
    text = output.rest()
    assert child.wait() == 130
    left = [line.rpartition(ERASE)[2] for line in text.replace("\r\n", "\n").split("\n")]
    assert re.fullmatch(r"  repair     not finished after .*", left[1])
    assert left[2:] == ["interrupted", ""]


def test_what_is_in_no_step_is_not_silent_either(tmp_path: Path) -> None:
    """A compiler that does not answer, asked by a command before any of its steps."""
    waits = "#!/bin/sh\nuntil [ -e go ]; do sleep 0.05; done\n"
    compiler = write_program(tmp_path / "slow-cc", waits)
    ours, theirs = os.pipe()
    started = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-m", "geowheel", "doctor", "--root", tmp_path], cwd=tmp_path,
        env=environ(tmp_path, CC=str(compiler), CXX=str(compiler)), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    output = Output(ours)
    output.until("  doctor     still running after 4 s")
    assert time.monotonic() - started >= SILENCE  # not because it says so all the time
    (tmp_path / "go").touch()
    output.rest()
    os.close(ours)
    child.wait()

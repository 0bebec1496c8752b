"""Commands as real processes: logs, exit codes, limits, and no survivors."""

import contextlib
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from geowheel.errors import BuildError
from geowheel.machine.process import TAIL, Runner

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX's")

ENV = {"PATH": os.environ.get("PATH", os.defpath)}
FOREVER = 600
# A shell that starts a child, says who it is, and waits.
FAMILY = f"sleep {FOREVER} & echo $! > child.part && mv child.part child && wait"


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    runner = Runner(tmp_path / "logs")
    yield runner
    runner.stop()


def until(happens: Callable[[], bool]) -> None:
    """Wait for something that is about to happen; a hang is a failure and not a verdict on time."""
    for _ in range(6000):
        if happens():
            return
        time.sleep(0.01)
    pytest.fail("it did not happen")


def is_gone(pid: int) -> bool:
    """No such process, or one that ended and that nobody has asked about."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/stat").read_text()
        return status.rpartition(")")[2].split()[0] in "ZX"
    return False


def child(folder: Path) -> int:
    until((folder / "child").exists)
    return int((folder / "child").read_text())


def test_output_and_exit_code_come_back_and_are_logged(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    command = ["sh", "-c", "echo to out; echo to err >&2; pwd -P"]
    done = runner(command, env=ENV, cwd=tmp_path / "sub")
    said = f"to out\n{(tmp_path / 'sub').resolve()}\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "to err\n")
    text = done.log.read_text()
    assert text.startswith(f"$ cd {tmp_path / 'sub'} && sh -c 'echo ")
    assert text.endswith("\n[exit 0]\n")
    assert sorted(text.splitlines()[1:-1]) == sorted(f"{said}to err".splitlines())
    runner([shutil.which("true") or "true"], env=ENV, cwd=tmp_path)
    names = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert names == ["01-sh.log", "02-true.log"]


def test_a_failure_names_program_exit_code_and_log(runner: Runner, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="sh failed with exit code 3") as caught:
        runner(["sh", "-c", "echo why >&2; exit 3"], env=ENV, cwd=tmp_path)
    assert "  why" in str(caught.value)
    log = tmp_path / "logs" / "01-sh.log"
    assert str(log) in str(caught.value)
    assert "[exit 3]" in log.read_text()


def test_a_failure_repeats_the_end_of_a_long_output(runner: Runner, tmp_path: Path) -> None:
    script = "i=1; while [ $i -le 200 ]; do echo line-$i; i=$((i+1)); done; exit 1"
    with pytest.raises(BuildError) as caught:
        runner(["sh", "-c", script], env=ENV, cwd=tmp_path)
    text = str(caught.value)
    assert "line-200" in text
    assert f"line-{200 - TAIL}\n" not in text
    assert "line-1\n" in (tmp_path / "logs" / "01-sh.log").read_text()


@pytest.mark.parametrize(("code", "end"), [("exit 3", 3), ("kill -SEGV $$", -signal.SIGSEGV)])
def test_a_failure_may_be_the_answer(runner: Runner, tmp_path: Path, code: str, end: int) -> None:
    assert runner(["sh", "-c", code], env=ENV, cwd=tmp_path, check=False).returncode == end


def test_a_program_that_is_not_there_is_an_os_error(runner: Runner, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        runner([tmp_path / "nothing"], env=ENV, cwd=tmp_path)


def test_environ_is_given(runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GDAL_DATA", "/of/this/process")
    program = shutil.which("env")
    assert program is not None
    done = runner([program], env={"A": "1", "B": "two words"}, cwd=tmp_path)
    assert sorted(done.stdout.splitlines()) == ["A=1", "B=two words"]


@pytest.mark.parametrize(
    ("argv", "stdout"),
    [
        (["sh", "-c", "read line || echo nothing can be typed"], "nothing can be typed\n"),
        (["sh", "-c", r"printf 'caf\351\n'"], "caf\ufffd\n"),
        (["printf", "%s|", "$HOME", "a b", "*"], "$HOME|a b|*|"),
    ],
    ids=["no input", "no text", "no shell"],
)
def test_what_goes_in_and_out(runner: Runner, tmp_path: Path, argv: list[str], stdout: str) -> None:
    done = runner(argv, env=ENV, cwd=tmp_path)
    assert done.stdout == stdout
    assert stdout in done.log.read_text(encoding="utf-8")


def test_a_limit_ends_a_command_with_its_children(runner: Runner, tmp_path: Path) -> None:
    done = runner(["sh", "-c", FAMILY], env=ENV, cwd=tmp_path, check=False, timeout=1)
    assert done.returncode == -signal.SIGKILL
    assert "[geowheel] stopped after 1 s" in done.stderr
    assert "stopped after" in done.log.read_text()
    until(lambda: is_gone(child(tmp_path)))
    with pytest.raises(BuildError, match="stopped after 0 s"):
        runner(["sleep", str(FOREVER)], env=ENV, cwd=tmp_path, timeout=0.1)


def test_another_command_s_children_live_on(runner: Runner, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(runner, ["sh", "-c", FAMILY], env=ENV, cwd=tmp_path, check=False)
        pid = child(tmp_path)
        runner(["sh", "-c", "setsid sleep 600 &"], env=ENV, cwd=tmp_path)
        assert not is_gone(pid)
        runner.stop()
        assert other.result().returncode == -signal.SIGKILL


def test_stop_ends_all_commands(runner: Runner, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(len(folders)) as pool:
        futures = [
            pool.submit(runner, ["sh", "-c", FAMILY], env=ENV, cwd=folder) for folder in folders
        ]
        pids = [child(folder) for folder in folders]
        runner.stop()
        for future in futures:
            assert isinstance(future.exception(), BuildError)
    for pid in pids:
        until(lambda pid=pid: is_gone(pid))  # type: ignore[misc]


def test_nothing_is_started_after_stop(runner: Runner, tmp_path: Path) -> None:
    runner.stop()
    runner.stop()  # may come twice
    with pytest.raises(BuildError, match="touch was not started: the run is stopping"):
        runner(["touch", "here"], env=ENV, cwd=tmp_path)
    assert not (tmp_path / "here").exists()


def test_an_interruption_ends_the_command_with_its_children(runner: Runner, tmp_path: Path) -> None:
    """Ctrl-C does not reach a command, which has a session of its own: the runner ends it."""
    ident = threading.get_ident()

    def interrupt() -> None:
        child(tmp_path)
        signal.pthread_kill(ident, signal.SIGINT)

    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            runner(["sh", "-c", FAMILY], env=ENV, cwd=tmp_path)
    finally:
        signal.signal(signal.SIGINT, previous)
        thread.join()
    until(lambda: is_gone(child(tmp_path)))


def test_commands_run_side_by_side(runner: Runner, tmp_path: Path) -> None:
    """Each waits for the other's file: one after the other they would never end."""
    script = "touch $0; until [ -e $1 ]; do sleep 0.01; done"
    with ThreadPoolExecutor(2) as pool:
        futures = [
            pool.submit(runner, ["sh", "-c", script, *pair], env=ENV, cwd=tmp_path, timeout=60)
            for pair in (("a", "b"), ("b", "a"))
        ]
        logs = {future.result().log.name for future in futures}
    assert logs == {"01-sh.log", "02-sh.log"}

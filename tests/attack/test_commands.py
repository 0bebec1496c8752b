"""Children that would outlive their step, output without end, and runs that are killed."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from geowheel.errors import BuildError
from geowheel.machine.files import temporary_folder
from geowheel.machine.output import HEAD, TAIL
from geowheel.machine.process import Runner
from tests.support.attack import attack

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux knows subreapers")

ENV = {"PATH": os.environ.get("PATH", os.defpath)}
LEAVES = [
    "sleep 600 &",
    "setsid sleep 600 &",
    "setsid sleep 600 >/dev/null 2>&1 &",
    "env -i /usr/bin/setsid sh -c 'sleep 600 & exec sleep 600' &",
    "trap '' TERM INT HUP; (trap '' TERM; setsid sh -c 'while :; do sleep 1; done') &",
    f"{sys.executable} -c 'import os,time;os.fork() and os._exit(0);os.setsid();"
    "os.fork() and os._exit(0);time.sleep(600)'",
    "kill -9 $PPID; sleep 600 & sleep 600",
    "for i in 1 2 3 4 5 6 7 8 9 10; do setsid sh -c 'sleep 600 & sleep 600' & done",
]
HELD = "exec 9>held\n"
"""Whatever a command starts is known by the file that it holds open."""


def holders(path: Path) -> list[str]:
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/9"):
        with contextlib.suppress(OSError):
            if link.samefile(path):
                found.append(link.parts[2])
    return found


def until_nobody_holds(path: Path) -> None:
    for _ in range(3000):
        if not holders(path):
            return
        time.sleep(0.01)
    raise AssertionError(f"still there: {holders(path)}")


@attack("commands that leave children behind", [(s, n) for s in LEAVES for n in (0, 3)], refused=7)
def test_children(case: tuple[str, int], folder: Path) -> None:
    script, code = case
    runner, argv = Runner(folder / "logs"), ["sh", "-c", f"{HELD}{script}\nexit {code}"]
    try:
        runner(argv, env=ENV, cwd=folder)
    finally:
        assert holders(folder / "held") == []


@attack("commands that exceed their time", [s for s in LEAVES if "PPID" not in s])
def test_late(script: str, folder: Path) -> None:
    argv = ["sh", "-c", f"{HELD}trap 'exit 0' TERM\n{script}\nsleep 600"]
    try:
        done = Runner(folder / "logs")(argv, env=ENV, cwd=folder, check=False, timeout=0.3)
    finally:
        until_nobody_holds(folder / "held")
    assert "stopped after" in done.log.read_text()
    if done.returncode:
        raise BuildError("it has failed, as it should")


FLOODS = {
    "lines": "yes 'one of many' | head -c 1000000000",
    "one line": "tr '\\0' x </dev/zero | head -c 100000000",
    "nothing readable": "head -c 100000000 /dev/urandom",
    "on standard error": "yes | head -c 100000000 >&2",
}


@attack("1 GB printed", list(FLOODS), refused=0)
def test_floods(name: str, folder: Path) -> None:
    to = ">&2" if "error" in name else ""
    script = f"echo the first {to}; {FLOODS[name]}; (echo; echo the last) {to}"
    done = Runner(folder / "logs")(["sh", "-c", script], env=ENV, cwd=folder)
    for text in (done.stderr if to else done.stdout, done.log.read_text()):
        assert "the first\n" in text[:300] and "\nthe last\n" in text[-300:]
        assert "[geowheel]" in text and len(text) < 2 * (HEAD + TAIL)


RUN = f"""
import sys, tempfile
from pathlib import Path
from geowheel.machine.files import temporary_folder
from geowheel.machine.process import Runner
tempfile.tempdir = sys.argv[1]
with temporary_folder():
    Path(tempfile.mkdtemp(), "big").write_bytes(bytes(1_000_000))
    Runner(Path("logs"))(["sh", "-c", sys.argv[2]], env={ENV!r}, cwd=Path())
"""
WRITES = f"{HELD}setsid sh -c 'while :; do mktemp -d; done' & touch go; sleep 600"


@attack("kill -9, ten times", [10], refused=0)
def test_kills(times: int, folder: Path) -> None:
    place = folder / "temporary"
    place.mkdir()
    for _ in range(times):
        argv = [sys.executable, "-c", RUN, str(place), WRITES]
        with subprocess.Popen(argv, cwd=folder) as run:
            while not (folder / "go").exists():
                time.sleep(0.01)
            run.kill()
        until_nobody_holds(folder / "held")
        (folder / "go").unlink()
    assert len(list(place.iterdir())) == 1, "each removes what the one before it left"
    tempfile.tempdir = str(place)
    with temporary_folder():
        assert shutil.disk_usage(place)
    assert list(place.iterdir()) == []

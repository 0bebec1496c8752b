"""Commands: argument list, explicit environment and folder, a log of each, and no survivors."""

import errno
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from geowheel.errors import BuildError

from .files import temporary_root
from .kept import FailedCommand, Kept
from .output import Log, Stream
from .sandbox import REFUSED, Enclosure

TAIL: Final = 25  # lines of a failed command's output that an error repeats
_GRACE: Final = 10  # seconds between the end of a command and that of what it started
_LEAVE_NOTHING: Final = ("patchelf", "dpkg-deb")  # run by the hundred: without a launcher
_OF_LINUX: Final = Path("/proc/self/stat")  # where the launcher looks
_LAUNCHER: Final = Path(__file__).with_name("launcher.py")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a command printed and how it ended."""

    returncode: int
    stdout: str
    stderr: str
    log: Path
    refused: tuple[str, ...] = ()
    """What the sandbox kept it from, in words."""


class Runner:
    """Runs commands and keeps a log of each below `logs`; safe to use from several threads.

    Those that fail are remembered in `kept` as well, where there is one.
    """

    def __init__(self, logs: Path, kept: Kept | None = None) -> None:
        self._logs = logs
        self._kept = kept
        self.enclosure = Enclosure()
        """The sandbox of all that is started from now on."""
        self._numbers = itertools.count(1)
        self._alive: dict[subprocess.Popen[bytes], tuple[str, ...]] = {}
        self._parts: list[Runner] = []
        self._guard = threading.Lock()
        self._stopped = False

    def __call__(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        cwd: Path,
        check: bool = True,
        timeout: float | None = None,
    ) -> Result:
        """Run one command to its end.

        Raises BuildError, naming the log, when `check` is set and it fails or takes longer than
        `timeout` seconds; OSError when the program cannot be started at all.
        """
        command = tuple(str(part) for part in argv)
        log = Log(self._log_of(command), cwd, command)
        env = _with_temporary_folder(env)
        more = [self._kept.place] if self._kept else []
        inside = self.enclosure.command(command, env, cwd, *more)
        process = self._start(command, inside, env, cwd)
        assert process.stdout is not None and process.stderr is not None  # as _start asks for
        streams = Stream(process.stdout, log), Stream(process.stderr, log)
        late = ""
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            late = f"\n[geowheel] stopped after {timeout:.0f} s\n"
        finally:
            with self._guard:
                self._alive.pop(process, None)
            _end(process)
            for stream in streams:  # something that cannot be found may hold it open
                stream.join(_GRACE)
        # It may have come to its own end in that moment: late it is all the same.
        code = process.returncode or (-int(signal.SIGKILL) if late else 0)
        if inside != command and 0 < code - 128 < signal.NSIG:
            code = 128 - code  # bubblewrap says a signal as shells do
        log.close(f"{late}[exit {code}]\n", *streams)
        if code != 0 and self._kept is not None:
            self._kept.failed(FailedCommand(argv=inside, env=dict(env), cwd=cwd, returncode=code))
        stdout, stderr = str(streams[0]), f"{streams[1]}{late}"
        refused = self.enclosure.refused(f"{stdout}{stderr}", cwd, failed=code != 0)
        if check and (code != 0 or refused):
            ended = f"failed with exit code {code}" if code else "went on without it"
            raise BuildError(
                f"{Path(command[0]).name} {ended}:\n{tail(stderr.strip() or stdout.strip())}",
                where=": ".join(filter(None, (self.enclosure.stage, "; ".join(refused)))),
                cause=f"the disk of {cwd} is full, or that of {tempfile.gettempdir()} (TMPDIR)"
                if "No space left on device" in f"{stderr}{stdout}"
                else REFUSED * bool(refused),
                fix=f"the whole output is in {log.path}",
            )
        return Result(returncode=code, stdout=stdout, stderr=stderr, log=log.path, refused=refused)

    def part(self, logs: Path, kept: Kept | None = None) -> "Runner":
        """Return another one that ends with this one."""
        made = Runner(logs, kept)
        with self._guard:
            made._stopped = self._stopped
            self._parts.append(made)
        return made

    def doing(self) -> str:
        """Return the command that has run longest, as a person calls it; empty without one."""
        with self._guard:
            parts = (words for part in self._parts if (words := part.doing()))
            return next(map(spoken, self._alive.values()), next(parts, ""))

    def stop(self) -> None:
        """Kill whatever still runs, with its children, and start nothing more."""
        with self._guard:
            self._stopped = True
            for process in self._alive:
                _kill(process)
            for part in self._parts:
                part.stop()

    def _start(
        self, command: tuple[str, ...], inside: tuple[str, ...], env: Mapping[str, str], cwd: Path
    ) -> subprocess.Popen[bytes]:
        start = _started(inside, env, cwd)
        launched = start != inside
        with self._guard:
            if self._stopped:
                raise BuildError(f"{Path(command[0]).name} was not started: the run is stopping")
            # A session of its own: the whole process group can be ended, children included.
            process = subprocess.Popen(
                start,
                env=None if launched else dict(env),
                cwd=cwd,
                stdin=subprocess.PIPE if launched else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
            self._alive[process] = command
            if process.stdin is not None:
                settings = b"\0".join(os.fsencode(f"{name}={env[name]}") for name in env)
                process.stdin.write(b"%d\n%b" % (len(settings), settings))
            return process

    def _log_of(self, command: tuple[str, ...]) -> Path:
        with self._guard:
            number = next(self._numbers)
        self._logs.mkdir(parents=True, exist_ok=True)
        return self._logs / f"{number:02}-{Path(command[0]).stem}.log"


def _with_temporary_folder(env: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment with this run's temporary folder, unless it names its own."""
    own = tempfile.gettempdir()
    none = Path(own) == temporary_root() or env.get("TMPDIR") != os.environ.get("TMPDIR")
    return env if none else {**env, "TMPDIR": own}


def tail(text: str, lines: int = TAIL) -> str:
    """Return the last lines of a command's output."""
    every = text.splitlines()
    kept = every[-lines:]
    return "\n".join(["  ..."] * (len(every) > len(kept)) + ["  " + line for line in kept])


def spoken(argv: Sequence[str]) -> str:
    """Return `g++`, `pip install`; of what Python runs, the name of the module or script."""
    name, rest = Path(argv[0]).name.removesuffix(".exe"), list(argv[1:])
    if name.startswith("python"):
        while rest and rest[0].startswith("-") and rest[0] not in ("-c", "-m"):
            del rest[0]
        if rest[:1] == ["-m"] and rest[1:]:
            name, rest = rest[1].rpartition(".")[2].lstrip("_"), rest[2:]
        elif rest and not rest[0].startswith("-"):
            name, rest = Path(rest[0]).stem.lstrip("_"), rest[1:]
    verb = rest[0] if rest and re.fullmatch("[a-z][a-z_-]*", rest[0]) else ""
    return f"{name} {verb}".strip()


def _started(command: tuple[str, ...], env: Mapping[str, str], cwd: Path) -> tuple[str, ...]:
    """Return the command, by way of a launcher where that is of use.

    Raises FileNotFoundError for a program that cannot be run.
    """
    name = command[0]
    program = str(cwd / name) if os.sep in name else shutil.which(name, path=env.get("PATH"))
    if program is None or not os.access(program, os.X_OK):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    if not _OF_LINUX.exists() or Path(name).name in _LEAVE_NOTHING:
        return command
    return (sys.executable, "-I", "-S", str(_LAUNCHER), program, *command)


def _kill(process: subprocess.Popen[bytes], at_last: bool = False) -> None:
    """Have a command end, with everything that it started; `at_last`, without its launcher."""
    if process.stdin is not None:
        process.stdin.close()  # its launcher does the rest
    if process.stdin is None or at_last:
        with suppress(ProcessLookupError, PermissionError):  # it ended by itself in between
            os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill it in the same way, and wait for it."""
    _kill(process)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    _kill(process, at_last=True)  # where something killed its launcher, or stopped it
    process.wait()

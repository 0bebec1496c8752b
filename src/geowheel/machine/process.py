"""Commands: argument list, explicit environment and folder, a log of each, and no survivors."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from geowheel.errors import BuildError

from .credentials import redact
from .kept import FailedCommand, Kept

TAIL = 25  # lines of a failed command's output that an error repeats


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a command printed and how it ended."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    log: Path


class Runner:
    """Runs commands and keeps a log of each below `logs`; safe to use from several threads.

    Those that fail are remembered in `kept` as well, where there is one.
    """

    def __init__(self, logs: Path, kept: Kept | None = None) -> None:
        self._logs = logs
        self._kept = kept
        self._numbers = itertools.count(1)
        self._alive: dict[subprocess.Popen[str], tuple[str, ...]] = {}
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
        log = self._log_of(command)
        process = self._start(command, env, cwd)
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            _kill(process)
            stdout, stderr = process.communicate()
            stderr += f"\n[geowheel] stopped after {timeout:.0f} s\n"
        finally:
            with self._guard:
                self._alive.pop(process, None)
            if process.poll() is None:
                _kill(process)
                process.wait()
        log.write_text(
            redact(
                f"$ cd {shlex.quote(str(cwd))} && {shlex.join(command)}\n"
                f"[exit {process.returncode}]\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
            ),
            encoding="utf-8",
        )
        if process.returncode != 0 and self._kept is not None:
            self._kept.failed(
                FailedCommand(argv=command, env=dict(env), cwd=cwd, returncode=process.returncode)
            )
        result = Result(
            argv=command, returncode=process.returncode, stdout=stdout, stderr=stderr, log=log
        )
        if check and result.returncode != 0:
            raise BuildError(
                f"{Path(command[0]).name} failed with exit code {result.returncode}:\n"
                + tail(stderr.strip() or stdout.strip()),
                fix=f"the whole output is in {log}",
            )
        return result

    def doing(self) -> str:
        """The command that has run longest, as a person would call it; empty when none runs."""
        with self._guard:
            return next(map(spoken, self._alive.values()), "")

    def stop(self) -> None:
        """Kill whatever still runs, with its children, and start nothing more."""
        with self._guard:
            self._stopped = True
            for process in self._alive:
                _kill(process)

    def _start(
        self, command: tuple[str, ...], env: Mapping[str, str], cwd: Path
    ) -> subprocess.Popen[str]:
        with self._guard:
            if self._stopped:
                raise BuildError(f"{Path(command[0]).name} was not started: the run is stopping")
            # A session of its own: the whole process group can be ended, children included.
            process = subprocess.Popen(
                command,
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
            self._alive[process] = command
            return process

    def _log_of(self, command: tuple[str, ...]) -> Path:
        with self._guard:
            number = next(self._numbers)
        self._logs.mkdir(parents=True, exist_ok=True)
        return self._logs / f"{number:02}-{Path(command[0]).stem}.log"


def tail(text: str, lines: int = TAIL) -> str:
    """Return the last lines of a command's output."""
    every = text.splitlines()
    kept = every[-lines:]
    return "\n".join(["  ..."] * (len(every) > len(kept)) + ["  " + line for line in kept])


def spoken(argv: Sequence[str]) -> str:
    """`g++`, `pip install`; of what Python runs, the name of the module or script."""
    name, rest = Path(argv[0]).name.removesuffix(".exe"), list(argv[1:])
    if name.startswith("python"):
        while rest and rest[0].startswith("-") and rest[0] not in ("-c", "-m"):
            del rest[0]
        if rest[:1] == ["-m"] and rest[1:]:
            name, rest = rest[1].rpartition(".")[2].lstrip("_"), rest[2:]
        elif rest and not rest[0].startswith("-"):
            name, rest = Path(rest[0]).stem, rest[1:]
    verb = rest[0] if rest and re.fullmatch("[a-z][a-z-]*", rest[0]) else ""
    return f"{name} {verb}".strip()


def _kill(process: subprocess.Popen[str]) -> None:
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except ProcessLookupError:
        pass  # it ended by itself in between

"""Plays a generated workflow on this machine: its Linux jobs in order, each in a clone of its own.

What a step `run`s is run, in bash; artefacts are copied, a staging index is a server on loopback.
Everything else is noted, with the reason why it was not run.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.support.files import write_program

_EXPRESSION: Final = re.compile(r"\$\{\{ matrix\.(\w+) \}\}")
_SESSION: Final = re.compile(r" -s ([a-z]+)")
_HERE: Final = {
    "actions/setup-python": "this machine has interpreters",
    "prefix-dev/setup-pixi": "no pixi is downloaded in a test",
    "actions/cache": "the cache of this machine stands in",
}


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What became of a step."""

    job: str
    step: str
    code: int | None
    """Its exit code; None where it was not run."""
    said: str
    """What it said, or why it was not run."""


@dataclass(frozen=True, kw_only=True)
class LocalRunner:
    """One target's way through a workflow."""

    project: Path
    """A git repository."""
    work: Path
    row: Mapping[str, str]
    environ: Mapping[str, str]
    reasons: Mapping[str, str]
    """Sessions that are not run here, and why."""
    warm: Path
    """A work folder from which the job `build` takes what was compiled before."""
    ran: list[Ran] = field(default_factory=list)

    def play(self, jobs: Mapping[str, Any]) -> None:
        """All jobs in order; ends at the first step that fails."""
        for name, job in jobs.items():
            checkout = self.work / name
            checkout.mkdir(parents=True)
            for step in job["steps"]:
                done = self._step(name, step, checkout)
                self.ran.append(done)
                if done.code:
                    return

    def _step(self, job: str, step: Mapping[str, Any], checkout: Path) -> Ran:
        if "shell" in step:
            why = "tests/attack/test_index.py runs it against an index on loopback"
            return Ran(job=job, step=step["name"], code=None, said=why)
        if "run" in step:
            return self._run(job, self._filled(step["run"]), checkout)
        action = step["uses"].partition("@")[0]
        settings = {k: self._filled(str(v)) for k, v in step.get("with", {}).items()}
        why, code = _HERE.get(action, "no server of GitHub's or PyPI's is asked here"), None
        if action == "actions/checkout":
            self._clone(checkout, warm=job == "build")
            why, code = "cloned", 0
        elif action.endswith("-artifact"):
            why, code = "copied", 0
            self._artefact(action, settings, checkout)
        elif action == "pypa/gh-action-pypi-publish" and job == "staging":
            why, code = "copied to the server on loopback", 0
            shutil.copytree(checkout / settings["packages-dir"], self.index, dirs_exist_ok=True)
        return Ran(job=job, step=action, code=code, said=why)

    @property
    def index(self) -> Path:
        """The folder of the staging index."""
        return self.work / "index"

    def _run(self, job: str, command: str, checkout: Path) -> Ran:
        match = _SESSION.search(command)
        session = match[1] if match else ""
        if session in self.reasons:
            return Ran(job=job, step=command, code=None, said=self.reasons[session])
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", command],
            cwd=checkout, env={**self.environ, "PYTHONPATH": str(checkout / "src")},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        return Ran(job=job, step=command, code=done.returncode, said=done.stdout)

    def _filled(self, text: str) -> str:
        return _EXPRESSION.sub(lambda match: self.row[match[1]], text)

    def _clone(self, checkout: Path, *, warm: bool) -> None:
        subprocess.run(["git", "clone", "-q", self.project, checkout], check=True)
        if warm:
            shutil.copytree(self.warm, checkout / ".geowheel", symlinks=True)

    def _artefact(self, action: str, settings: Mapping[str, str], checkout: Path) -> None:
        kept = self.work / "artefacts"
        if action == "actions/upload-artifact":
            goal = kept / settings["name"]
            for pattern in settings["path"].split():
                for path in checkout.glob(pattern):
                    if path.is_dir():
                        shutil.copytree(path, goal, dirs_exist_ok=True)
                    else:
                        goal.mkdir(parents=True, exist_ok=True)
                        shutil.copy(path, goal)
            assert any(goal.rglob("*")), settings
        elif "name" in settings:
            shutil.copytree(kept / settings["name"], checkout / settings["path"])
        else:
            for path in kept.glob(settings["pattern"]):
                shutil.copytree(path, checkout / settings["path"] / path.name)


def write_interpreters(folder: Path, *names: str) -> Path:
    """Programs of these names that are the Python which runs the tests, and its packages."""
    for name in names:
        write_program(folder / name, f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    return folder


@contextmanager
def package_index(folder: Path, log: Path) -> Iterator[str]:
    """A real package index, pypiserver, of what lies in a folder; the URL of its simple API."""
    folder.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "pypiserver", "run", "-i", "127.0.0.1", "-p", str(port),
             "--disable-fallback", folder],
            stdout=output, stderr=output, env=dict(os.environ),
        )  # fmt: skip
    try:
        _await(port, log)
        yield f"http://127.0.0.1:{port}/simple/"
    finally:
        server.terminate()
        server.wait(10)


def _await(port: int, log: Path) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text(encoding="utf-8"))

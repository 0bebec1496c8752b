"""Nox sessions for a host project: `geowheel.nox.sessions()` is all that a noxfile has to call.

Imports only the standard library and nox: `nox -l` needs nothing else installed. A session calls
`python -m geowheel STAGE` in the tool environment and hands over what it was given after `--`.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import nox

from .stages import STAGES, Scope

_SOURCES: Final = Path(__file__).resolve().parents[1]
# geowheel ends its own children and leaves no half-made output; nox has to give it that time.
_PATIENCE: Final = 10.0  # seconds


def sessions(
    *, host: str = ".", root: Path | None = None, python: Callable[[], Path] | None = None
) -> None:
    """Register all sessions for the host in `host`, a folder relative to the noxfile's.

    `python` gives the interpreter that geowheel runs in (default: the one that runs nox) when a
    session starts, so that nothing is installed before.
    """
    place = (root or Path.cwd()).resolve()

    def register(name: str, summary: str, *arguments: str) -> None:
        def run(session: nox.Session) -> None:
            _geowheel(session, python, place, host, arguments)

        run.__doc__ = summary
        nox.session(name=name, python=False, default=False)(run)

    register("lock", "solve; write pixi.lock and the build lock (-- --check for CI)", "lock")
    register("doctor", "what this machine lacks for a wheel, and what to install", "doctor")
    register("cache", "the user's cache: -- list, or -- prune what is old", "cache")
    register("channel", "make or refresh the channel of this distribution's packages", "channel")
    for stage in STAGES:
        register(stage.name, stage.summary, stage.name)
    register("wheel", "the main job: fetch to test, for the running interpreter", "wheel")
    register("plan", "what `wheel` would run and why, running nothing", "plan")
    configured = _pythons(place / host)
    for version in (*configured, *_asked_for(configured)):
        for stage in STAGES:
            if stage.scope is Scope.TARGET and stage.name not in {"repair", "size"}:
                register(f"{stage.name}-{version}", f"{stage.summary}, for CPython {version}",
                         stage.name, "--python", version)  # fmt: skip
        register(f"wheel-{version}", f"fetch to test, for CPython {version}",
                 "wheel", "--python", version)  # fmt: skip


def _geowheel(
    session: nox.Session,
    python: Callable[[], Path] | None,
    root: Path,
    host: str,
    arguments: tuple[str, ...],
) -> None:
    interpreter = python() if python else Path(sys.executable)
    # In a checkout geowheel is not installed anywhere: its sources come by path.
    installed = "site-packages" in _SOURCES.parts
    path = {} if installed else {"PYTHONPATH": os.fspath(_SOURCES)}
    command, *rest = arguments
    where = ["--root", os.fspath(root)]
    if "--host" not in session.posargs:
        where += ["--host", host]
    session.run(
        os.fspath(interpreter), "-m", "geowheel", command, *where, *rest, *session.posargs,
        env=path, external=True,
        interrupt_timeout=_PATIENCE, terminate_timeout=_PATIENCE,
    )  # fmt: skip


def _asked_for(configured: list[str]) -> list[str]:
    """Versions that the command line names and the host does not.

    nox would only say "Sessions not found"; with a session, geowheel says which there are.
    """
    pattern = re.compile(rf"(?:{'|'.join(stage.name for stage in STAGES)}|wheel)-(3\.\d+)")
    asked = [match[1] for word in sys.argv[1:] if (match := pattern.fullmatch(word))]
    return [version for version in dict.fromkeys(asked) if version not in configured]


def _pythons(host: Path) -> list[str]:
    """The configured versions; an unreadable configuration is reported by geowheel itself."""
    try:
        data = tomllib.loads((host / "pyproject.toml").read_text(encoding="utf-8"))
        return [str(version) for version in data["tool"]["geowheel"]["pythons"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []

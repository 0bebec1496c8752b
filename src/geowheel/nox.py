"""Nox sessions for a host project: `geowheel.nox.sessions()` is all that a noxfile has to call.

Imports only the standard library and nox: `nox -l` needs nothing else installed. A session calls
`python -m geowheel STAGE` in the tool environment and hands over what it was given after `--`.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nox.command
import nox.popen
import nox.registry

import nox
from geowheel.command_table import COMMANDS
from geowheel.errors import Fault
from geowheel.machine.obstacles import configured_pythons
from geowheel.machine.spelling import STANDALONE, STARTED, VARIABLE, VERSIONED, called_as, chosen

_SOURCES: Final = Path(__file__).resolve().parents[1]
# geowheel ends its own children and leaves no half-made output; nox has to give it that time.
_PATIENCE: Final = 10.0  # seconds
_USUAL_PREFIX: Final = "geowheel-"
_BROKEN_PIPE: Final = 141  # `| head` has seen enough
_BEGAN: Final = time.time()


def sessions(
    *,
    prefix: str = "",
    host: str = ".",
    root: Path | None = None,
    python: Callable[[], Path] | None = None,
) -> None:
    """Register all sessions for the host in `host`, a folder relative to the noxfile's.

    `prefix` comes before every name, for a noxfile with sessions of its own: `geowheel-` gives
    `geowheel-wheel-3.12`. None of them runs unless it is asked for by name. `python` gives the
    interpreter that geowheel runs in (default: the one that runs nox) when a session starts, so
    that nothing is installed before.

    Raises SystemExit when the noxfile has registered one of the names before: nox would only warn,
    and drop the older session.
    """
    place = (root or Path.cwd()).resolve()
    configured = configured_pythons(place / host)
    rows = list(_rows([*configured, *_asked_for(configured, prefix)]))
    _refuse_taken([prefix + row.name for row in rows], prefix)
    for row in rows:
        nox.session(name=prefix + row.name, python=False, default=False)(
            _session(row, prefix, place, host, python)
        )


@dataclass(frozen=True, kw_only=True)
class _Session:
    """One session: its name without the prefix, the line that `nox -l` shows, what it calls."""

    name: str
    summary: str
    arguments: tuple[str, ...]


def _rows(versions: Iterable[str]) -> Iterator[_Session]:
    rows = {command.name: command.summary for command in COMMANDS}
    for name, summary in rows.items():
        if name not in STANDALONE:
            yield _Session(name=name, summary=summary, arguments=(name,))
    for version in versions:
        for name in VERSIONED:
            summary = "make, repair and test the wheel" if name == "wheel" else rows[name]
            yield _Session(
                name=f"{name}-{version}",
                summary=f"{summary}, for CPython {version}",
                arguments=(name, "--python", version),
            )


def _refuse_taken(names: Iterable[str], prefix: str) -> None:
    taken = sorted(set(names) & set(nox.registry.get()))
    if not taken:
        return
    fix = "give sessions() another prefix"
    if prefix != _USUAL_PREFIX:
        fix = f'give sessions(prefix="{_USUAL_PREFIX}")'
    fault = Fault(
        what=f"session names taken: {', '.join(taken)}",
        where="noxfile",
        cause="it has sessions of these names, or calls geowheel.nox.sessions() twice",
        fix=fix,
    )
    # A noxfile is a program: nox shows what else it raises as a traceback.
    raise SystemExit(f"error: {fault}")


def _session(
    row: _Session, prefix: str, root: Path, host: str, python: Callable[[], Path] | None
) -> Callable[[nox.Session], None]:
    def run(session: nox.Session) -> None:
        # geowheel has said how long it took; nox would say another time, in words.
        done = f"Session {prefix}{row.name} was successful"
        logging.getLogger("nox").addFilter(lambda said: done not in said.getMessage())
        interpreter = python() if python else Path(sys.executable)
        command, *rest = row.arguments
        where = ["--root", os.fspath(root)]
        if not chosen(session.posargs, "--host"):
            where += ["--host", host]
        _become(
            [os.fspath(interpreter), "-m", "geowheel", command, *where, *rest, *session.posargs],
            prefix,
            session.posargs,
        )

    run.__doc__ = row.summary
    return run


def _become(argv: Sequence[str], prefix: str, told: Sequence[str]) -> None:
    """Run geowheel as if it had been called itself: on the terminal's own streams.

    Not by session.run(), which says the whole command before and after, and leads standard error
    into standard output. Raises CommandFailed, which ends the session as a failed one.
    """
    # In a checkout geowheel is not installed anywhere: its sources come by path.
    installed = "site-packages" in _SOURCES.parts
    environ = {**os.environ, VARIABLE: called_as(prefix, told)}
    environ.setdefault(STARTED, str(_BEGAN))
    if not installed:
        environ["PYTHONPATH"] = os.fspath(_SOURCES)
    code, _ = nox.popen.popen(
        argv, env=environ, stderr=None, interrupt_timeout=_PATIENCE, terminate_timeout=_PATIENCE
    )
    if code not in (0, _BROKEN_PIPE):
        raise nox.command.CommandFailed(f"geowheel ended with exit code {code}")


def _asked_for(configured: list[str], prefix: str) -> list[str]:
    """Return versions that the command line names and the host does not.

    nox would only say "Sessions not found"; with a session, geowheel says which there are.
    """
    names = "|".join(VERSIONED)
    pattern = re.compile(rf"{re.escape(prefix)}(?:{names})-(3\.\d+t?)")
    asked = [match[1] for word in sys.argv[1:] if (match := pattern.fullmatch(word))]
    return [version for version in dict.fromkeys(asked) if version not in configured]

"""Nox sessions for a host project: `geowheel.nox.sessions()` is all that a noxfile has to call.

Imports only the standard library and nox: `nox -l` needs nothing else installed. A session calls
`python -m geowheel STAGE` in the tool environment and hands over what it was given after `--`.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nox.registry

import nox

from .errors import Fault
from .stages import STAGES, Scope

_SOURCES: Final = Path(__file__).resolve().parents[1]
# geowheel ends its own children and leaves no half-made output; nox has to give it that time.
_PATIENCE: Final = 10.0  # seconds
_USUAL_PREFIX: Final = "geowheel-"


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
    configured = _pythons(place / host)
    rows = list(_rows([*configured, *_asked_for(configured, prefix)]))
    _refuse_taken([prefix + row.name for row in rows], prefix)
    for row in rows:
        nox.session(name=prefix + row.name, python=False, default=False)(
            _session(row, place, host, python)
        )


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One session: its name without the prefix, the line that `nox -l` shows, what it calls."""

    name: str
    summary: str
    arguments: tuple[str, ...]


def _rows(versions: Iterable[str]) -> Iterator[_Row]:
    def row(name: str, summary: str, *arguments: str) -> _Row:
        return _Row(name=name, summary=summary, arguments=arguments)

    yield row(
        "lock",
        "solve; write pixi.lock, conda-lock.yml and the build lock (-- --check for CI)",
        "lock",
    )
    yield row("doctor", "what this machine lacks for a wheel, and what to install", "doctor")
    yield row("cache", "the user's cache: -- list, or -- prune what is old", "cache")
    yield row("channel", "make or refresh the channel of this distribution's packages", "channel")
    for stage in STAGES:
        yield row(stage.name, stage.summary, stage.name)
    yield row("wheel", "the main job: fetch to test, for the running interpreter", "wheel")
    yield row("plan", "what `wheel` would run and why, running nothing", "plan")
    yield row("matrix", "every target: how its wheel can be made here, and why not", "matrix")
    yield row("workflow", "the workflow of GitHub Actions, from the configuration", "workflow")
    yield row("export", "what was made here, for another machine: -- DIR", "export")
    yield row("collect", "what other machines made, checked, into dist/: -- DIR...", "collect")
    yield row(
        "release", "publish dist/ (-- --dry-run: what would be, and what is missing)", "release"
    )
    for version in versions:
        for stage in STAGES:
            if stage.scope is Scope.TARGET and stage.name not in {"repair", "size"}:
                yield row(f"{stage.name}-{version}", f"{stage.summary}, for CPython {version}",
                          stage.name, "--python", version)  # fmt: skip
        yield row(f"wheel-{version}", f"fetch to test, for CPython {version}",
                  "wheel", "--python", version)  # fmt: skip


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
    row: _Row, root: Path, host: str, python: Callable[[], Path] | None
) -> Callable[[nox.Session], None]:
    def run(session: nox.Session) -> None:
        _geowheel(session, python, root, host, row.arguments)

    run.__doc__ = row.summary
    return run


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


def _asked_for(configured: list[str], prefix: str) -> list[str]:
    """Versions that the command line names and the host does not.

    nox would only say "Sessions not found"; with a session, geowheel says which there are.
    """
    names = "|".join([*(stage.name for stage in STAGES), "wheel"])
    pattern = re.compile(rf"{re.escape(prefix)}(?:{names})-(3\.\d+)")
    asked = [match[1] for word in sys.argv[1:] if (match := pattern.fullmatch(word))]
    return [version for version in dict.fromkeys(asked) if version not in configured]


def _pythons(host: Path) -> list[str]:
    """The configured versions; an unreadable configuration is reported by geowheel itself."""
    try:
        data = tomllib.loads((host / "pyproject.toml").read_text(encoding="utf-8"))
        return [str(version) for version in data["tool"]["geowheel"]["pythons"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []

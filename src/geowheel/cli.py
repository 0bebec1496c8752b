"""The command line: parse, dispatch, and the one place where errors are caught and shown."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from . import __version__
from .console import Console
from .errors import GeowheelError, MachineError, UsageError
from .interpreters import ask_interpreter
from .project import Project, open_project, this_machine
from .stages import STAGES, WHEEL, Scope, find
from .targets import PYTHON_VERSION, Target, parse_platform

INTERRUPTED: Final = 130  # 128 + SIGINT, as shells count
_LATER: Final = ("repair", "size", "test", "lab")
"""Bare, these mean the targets already built here."""


@dataclass(frozen=True, kw_only=True)
class _Call:
    """One parsed command line."""

    options: argparse.Namespace
    environ: Mapping[str, str]
    console: Console
    root: Path

    def project(self) -> Project:
        return open_project(
            root=self.root,
            host=self.options.host,
            machine=this_machine(self.environ),
            channel=self.options.channel,
            frozen=self.options.frozen,
        )


def entry() -> NoReturn:
    """The program `geowheel`: `main`, and an end that nothing can spoil."""
    # As Ctrl-C: what was started, in sessions of its own, is ended, and nothing half-made stays.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: py-rattler's threads, left from a channel that did not answer, have aborted the
    # interpreter while it was taken down. All that is ours is closed by now.
    os._exit(code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code (see `geowheel.errors` for the kinds)."""
    options = _parser().parse_args(arguments)
    root = Path(options.root).resolve()
    console = Console(logs=root / ".geowheel" / "logs", quiet=options.quiet)
    call = _Call(options=options, environ=dict(os.environ), console=console, root=root)
    command: Callable[[_Call], dict[str, Any]] = options.run
    try:
        summary = command(call)
    except (GeowheelError, OSError) as raised:
        error = raised if isinstance(raised, GeowheelError) else _of_the_system(raised)
        aloud = Console(logs=console.logs)  # an error is shown under --quiet as well
        aloud.line()
        aloud.line(f"error: {error}", style="red")
        if options.json:
            notes = [json.loads(note) for note in getattr(error, "__notes__", [])]
            _write_json({"error": str(error), **(notes[0] if notes else {})})
        return error.exit_code
    except KeyboardInterrupt:
        console.line("interrupted; the next run goes on where this one stopped", style="yellow")
        return INTERRUPTED
    if options.json:
        _write_json(summary)
    return 0


def _of_the_system(error: OSError) -> MachineError:
    """A full disk, a folder that is closed to us, a program that went away."""
    return MachineError(error.strerror or str(error), where=str(error.filename or ""))


def _write_json(data: object) -> None:
    sys.stdout.write(json.dumps(data, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="geowheel",
        description="Self-contained GDAL wheels from locked conda packages.",
        epilog="exit codes: 2 usage, 3 configuration, 4 lock, 5 channel, 6 integrity, 7 machine, "
        "8 build, 9 size, 10 test, 130 interrupted",
    )
    parser.add_argument("--version", action="version", version=f"geowheel {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for stage in STAGES:
        stage_parser = _stage_command(
            commands, stage.name, stage.summary, _run_goals((stage.name,))
        )
        if stage.name == "lab":
            _lab_options(stage_parser)
    _stage_command(commands, "wheel", "everything: fetch to test", _run_goals(WHEEL))
    _stage_command(commands, "plan", "what `wheel` would run and why, running nothing", _plan)
    repair = _add(
        commands, "repair-wheel", "repair a raw wheel that was made elsewhere", _repair_wheel
    )
    repair.add_argument("raw", type=Path, metavar="RAW", help="the wheel as its backend made it")
    repair.add_argument("destination", type=Path, metavar="DEST", help="folder for the result")
    variables = _add(commands, "env", "variables for a build against the native stack", _env)
    variables.add_argument(
        "names", nargs="*", metavar="NAME", help="print only the values of these, one on each line"
    )
    lock = _add(commands, "lock", "solve and write pixi.lock and the build lock", _lock)
    lock.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit with 4 when a lock is missing or stale",
    )
    _add(commands, "channel", "make or refresh the distro channel", _channel)
    _add(commands, "status", "what is built, and whether it is current", _status)
    clean = _add(commands, "clean", "remove what is not current from .geowheel/ and dist/", _clean)
    clean.add_argument("--all", action="store_true", help="remove .geowheel/ and dist/ whole")
    return parser


def _add(
    commands: Any, name: str, summary: str, run: Callable[[_Call], dict[str, Any]]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(run=run)
    parser.add_argument(
        "--root",
        default=".",
        metavar="DIR",
        help="project folder; holds .geowheel/ and dist/ (default: here)",
    )
    parser.add_argument(
        "--host",
        default=".",
        type=Path,
        metavar="DIR",
        help="host project, relative to the root (default: the root)",
    )
    parser.add_argument(
        "--channel",
        metavar="NAME|DIR|URL|distro",
        help="use this channel, strictly, instead of the lock (GEOWHEEL_CHANNEL)",
    )
    parser.add_argument("--frozen", action="store_true", help="refuse to run without a lock")
    parser.add_argument("--json", action="store_true", help="the result as JSON on stdout")
    parser.add_argument("--quiet", action="store_true", help="show errors only")
    return parser


def _stage_command(
    commands: Any, name: str, summary: str, run: Callable[[_Call], dict[str, Any]]
) -> argparse.ArgumentParser:
    parser = _add(commands, name, summary, run)
    parser.set_defaults(command=name, case=[], seed=None)
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="3.X|PATH",
        help="a configured version, or the path of an interpreter",
    )
    parser.add_argument("--all", action="store_true", help="every configured python")
    parser.add_argument("--platform", help="conda subdir (default: this machine's)")
    parser.add_argument(
        "--verify",
        action="store_true",
        help="hash outputs again instead of trusting that nobody changed them",
    )
    return parser


def _lab_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--case",
        action="append",
        metavar="PATTERN",
        help="only the cases whose group or name matches, such as 'coexistence*'; never counts as "
        "a pass of the whole",
    )
    parser.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help="of the random orders and the damaged files (default: from the wheel's sha256)",
    )


def _run_goals(goals: tuple[str, ...]) -> Callable[[_Call], dict[str, Any]]:
    def command(call: _Call) -> dict[str, Any]:
        from .runs import run

        return run(_request(call, goals), call.console)

    return command


def _plan(call: _Call) -> dict[str, Any]:
    from .runs import show_plan

    return show_plan(_request(call, WHEEL), call.console)


def _repair_wheel(call: _Call) -> dict[str, Any]:
    from .raw_wheels import request_for
    from .runs import run

    raw, destination = call.options.raw.absolute(), call.options.destination.absolute()
    return run(request_for(call.project(), raw, destination), call.console)


def _env(call: _Call) -> dict[str, Any]:
    from .runs import Request, build_environment

    project = call.project()
    target = project.target(project.config.pythons[0])
    found = build_environment(
        Request(project=project, goals=("fetch",), targets=(target,), interpreter=None),
        call.console,
    )
    if unknown := [name for name in call.options.names if name not in found]:
        raise UsageError(
            f"no such variable: {', '.join(unknown)}", fix=f"use some of {', '.join(found)}"
        )
    if not call.options.json:
        lines = [found[name] for name in call.options.names] or [
            f"export {name}={shlex.quote(value)}" for name, value in found.items()
        ]
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    return found


def _lock(call: _Call) -> dict[str, Any]:
    from .locking import lock

    return lock(call.project(), check=call.options.check, console=call.console)


def _channel(call: _Call) -> dict[str, Any]:
    from .native.locks import distro_channel

    channel = distro_channel(call.project(), call.console, refresh=True)
    call.console.line(f"use it with `-- --channel distro`, or from {channel.folder}")
    return {"name": channel.name, "folder": str(channel.folder)}


def _status(call: _Call) -> dict[str, Any]:
    from .housekeeping import status

    return status(call.project(), call.console)


def _clean(call: _Call) -> dict[str, Any]:
    from .housekeeping import clean

    return clean(call.project(), everything=call.options.all, console=call.console)


def _request(call: _Call, goals: tuple[str, ...]) -> Any:
    from .lab.cases import Choice
    from .runs import Request

    project = call.project()
    platform = parse_platform(call.options.platform) if call.options.platform else None
    if platform is not None and platform is not project.machine.platform:
        raise UsageError(
            f"wheels for {platform} cannot be made on {project.machine.platform} yet",
            fix="run this on a machine of that platform",
        )
    interpreter, pythons = _pythons(call, project, goals)
    targets = tuple(dict.fromkeys(project.target(python, platform) for python in pythons))
    return Request(
        project=project,
        goals=goals,
        targets=targets,
        interpreter=interpreter,
        verify=call.options.verify,
        lab=Choice(cases=tuple(call.options.case), seed=call.options.seed),
    )


def _pythons(
    call: _Call, project: Project, goals: tuple[str, ...]
) -> tuple[Path | None, list[str]]:
    """The versions asked for, and the interpreter if one was named by path."""
    named: list[str] = call.options.python
    if call.options.all:
        return None, list(project.config.pythons)
    paths = [name for name in named if not PYTHON_VERSION.fullmatch(name)]
    versions = list(dict.fromkeys(name for name in named if name not in paths))
    # `nox -s build-3.12 -- --python PATH` names the version and its interpreter.
    if len(paths) == 1 and len(versions) <= 1:
        path = Path(paths[0]).absolute()
        answer = ask_interpreter(path, environ=call.environ)
        if isinstance(answer, str):
            raise MachineError(answer, where=str(path), fix="name an interpreter: --python PATH")
        return path, versions or [answer.python]
    if named:
        return None, named
    if goals == ("build",):
        return None, list(project.config.pythons)
    running = "{}.{}".format(*sys.version_info)
    if find(goals[0]).scope is Scope.PLATFORM:
        return None, [running if running in project.config.pythons else project.config.pythons[0]]
    built = _built(project) if set(goals) <= set(_LATER) and len(goals) == 1 else []
    return None, built or [running]


def _built(project: Project) -> list[str]:
    """The pythons of targets that have a raw wheel here."""
    from .ledger import Ledger

    ledger = Ledger(folder=project.work, host=project.host.name)
    return [
        python
        for python in project.config.pythons
        if ledger.latest(str(Target(python=python, platform=project.machine.platform)), "build")
    ]

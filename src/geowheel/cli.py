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
from .command_help import EPILOG, SHELLS, Overview, with_examples
from .console import Console
from .credentials import redact
from .errors import GeowheelError, MachineError, UsageError
from .interpreters import ask_interpreter
from .project import Project, open_project, this_machine
from .stages import STAGES, WHEEL, Scope, find
from .targets import PYTHON_VERSION, Target, parse_platform

INTERRUPTED: Final = 130  # 128 + SIGINT, as shells count
_LATER: Final = ("repair", "size", "test")
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
    """Run one command; its exit code (see `geowheel.errors` for the kinds).

    Without a command: the help, and the exit code of a usage error.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if "run" not in options:
        parser.print_help(sys.stderr)
        return UsageError.exit_code
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
            _write_json({"error": redact(str(error)), **(notes[0] if notes else {})})
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
    parser = Overview(
        prog="geowheel",
        description="Self-contained GDAL wheels from locked conda packages.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"geowheel {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=argparse.ArgumentParser)
    for stage in STAGES:
        _stage_command(commands, stage.name, stage.summary, _run_goals((stage.name,)))
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
    _lock_command(commands)
    _add(commands, "channel", "make or refresh the distro channel", _channel)
    _add(commands, "status", "what is built, and whether it is current", _status)
    clean = _add(commands, "clean", "remove what is not current from .geowheel/ and dist/", _clean)
    clean.add_argument("--all", action="store_true", help="remove .geowheel/ and dist/ whole")
    _machine_commands(commands)
    with_examples(commands)
    return parser


def _lock_command(commands: Any) -> None:
    lock = _add(commands, "lock", "solve and write pixi.lock and the build lock", _lock)
    lock.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit with 4 when a lock is missing or stale",
    )
    lock.add_argument(
        "--upgrade",
        action="append",
        nargs="?",
        default=[],
        const="*",
        metavar="PKG",
        help="let go of the locked version of PKG, conda's or the build lock's; bare: of all",
    )
    lock.add_argument(
        "--upgrade-format",
        action="store_true",
        help="let pixi.lock be written in a newer format, which an older pixi cannot read",
    )


def _machine_commands(commands: Any) -> None:
    """What is about the machine, the editor and the shell more than about one project."""
    schema = _standalone(commands, "schema", "print the configuration's JSON Schema", _schema)
    schema.add_argument(
        "--pyproject",
        action="store_true",
        help="of a whole pyproject.toml, for an editor; else of the table [tool.geowheel]",
    )
    completion = _standalone(commands, "completion", "print a shell's completions", _completion)
    completion.add_argument("shell", choices=SHELLS, help="the shell that will read them")
    _add(commands, "doctor", "what this machine lacks for a wheel, and what to install", _doctor)
    cache = _add(commands, "cache", "the user's cache: what is in it; remove what is old", _cache)
    cache.add_argument("action", choices=("list", "prune"), help="show it, or remove what is old")
    cache.add_argument(
        "--older-than",
        type=float,
        default=90,
        metavar="DAYS",
        help="prune what was not used for so long (default: 90)",
    )
    sure = cache.add_mutually_exclusive_group()
    sure.add_argument("--yes", action="store_true", help="prune: remove it, not only say so")
    sure.add_argument("--dry-run", action="store_true", help="prune: only say so (the default)")


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


def _standalone(
    commands: Any, name: str, summary: str, run: Callable[[_Call], dict[str, Any]]
) -> argparse.ArgumentParser:
    """A command that reads no project and prints one text."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(run=run, root=".", quiet=False, json=False)
    return parser


def _stage_command(
    commands: Any, name: str, summary: str, run: Callable[[_Call], dict[str, Any]]
) -> None:
    parser = _add(commands, name, summary, run)
    parser.set_defaults(command=name)
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
    parser.add_argument(
        "--keep-work",
        action="store_true",
        help="keep the folder of a stage that fails, and say how to enter it",
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

    return lock(
        call.project(),
        check=call.options.check,
        asked=call.options.upgrade,
        new_format=call.options.upgrade_format,
        console=call.console,
    )


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


def _doctor(call: _Call) -> dict[str, Any]:
    from .doctor import doctor

    folder = (call.root / call.options.host).resolve()
    return doctor(call.project, folder, this_machine(call.environ), call.console)


def _cache(call: _Call) -> dict[str, Any]:
    from .cache import prune, show

    folder = this_machine(call.environ).cache
    if call.options.action == "list":
        return show(folder, call.console)
    return prune(
        folder,
        older_than=call.options.older_than,
        remove=call.options.yes,
        console=call.console,
    )


def _schema(call: _Call) -> dict[str, Any]:
    from .schema import pyproject_schema, tool_schema

    schema = pyproject_schema() if call.options.pyproject else tool_schema()
    _write_json(schema)
    return schema


def _completion(call: _Call) -> dict[str, Any]:
    from .completion import script

    sys.stdout.write(script(_parser(), call.options.shell))
    return {}


def _request(call: _Call, goals: tuple[str, ...]) -> Any:
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
        keep_work=call.options.keep_work,
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

"""Invoke tasks for a host project: `namespace = geowheel.invoke.namespace()` in a tasks.py.

Every command that reads a project is a task, with its options, from the same table as the command
line and the nox sessions.
"""

import inspect
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import Task

from geowheel.cli.arguments import Option, options_of
from geowheel.command_table import COMMANDS, Command
from geowheel.machine.spelling import STANDALONE, VARIABLE, called_as

_SOURCES = Path(__file__).resolve().parents[1]


def namespace(*, host: str = ".", root: Path | None = None) -> Collection:
    """Return a task for each command, for the host in `host`, a folder below `root`.

    A task becomes `python -m geowheel COMMAND`: exit code and streams are geowheel's own.
    """
    made = Collection()
    for command in COMMANDS:
        if command.name not in STANDALONE:
            aliases = ("ci",) if command.name == "workflow" else ()
            made.add_task(_task(command, root or Path.cwd(), host), aliases=aliases)
    return made


def _task(command: Command, root: Path, host: str) -> Task[Any]:
    options = {_name(option): option for option in options_of(command.name)}
    del options["root"]

    def body(_: Context, **given: Any) -> None:
        words = [word for name, option in options.items() for word in _words(option, given[name])]
        told = [] if given["host"] == host else ["--host", given["host"]]
        _become([command.name, "--root", str(root), *words], told)

    empty = inspect.Parameter.empty
    parameters = [inspect.Parameter("context", inspect.Parameter.POSITIONAL_ONLY)]
    for name, option in options.items():
        default = host if name == "host" else _default(option)
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter(name, kind, default=default, annotation=empty))
    body.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    body.__doc__ = command.summary
    return Task(
        body,
        name=command.name,
        positional=[name for name, option in options.items() if _required(option)],
        iterable=[name for name, option in options.items() if _default(option) == []],
        optional=[name for name, option in options.items() if _bare(option)],
        help={name: option.settings["help"] for name, option in options.items()},
    )


def _name(option: Option) -> str:
    return option.flags[0].lstrip("-").replace("-", "_")


def _required(option: Option) -> bool:
    return not option.flags[0].startswith("-") and option.settings.get("nargs") != "*"


def _bare(option: Option) -> bool:
    """Return whether the option may stand without a value, as `--upgrade` does."""
    return option.settings.get("nargs") == "?"


def _default(option: Option) -> Any:
    """Return an option's default, whose type is the option's."""
    if option.settings.get("action") == "store_true":
        return False
    several = option.settings.get("action") == "append" or option.settings.get("nargs") == "*"
    if _bare(option):
        return None
    return [] if several else inspect.Parameter.empty if _required(option) else ""


def _words(option: Option, given: Any) -> Iterator[str]:
    """Yield the option as geowheel's command line takes it; nothing where it was not given."""
    flag = [option.flags[0]] if option.flags[0].startswith("-") else []
    if given is True:
        yield from flag
    elif given:
        for value in given if isinstance(given, list) else [given]:
            yield from (*flag, value)


def _become(arguments: Sequence[str], told: Sequence[str]) -> None:
    # Messages name nox sessions, which are there for every command.
    environ = {**os.environ, VARIABLE: called_as("", told), "PYTHONPATH": str(_SOURCES)}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", "geowheel", *arguments], environ)

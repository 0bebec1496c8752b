"""A parser of command lines that says what is wrong in one line, with the nearest right word."""

import argparse
import re
from typing import Any, NoReturn

from geowheel.errors import UsageError, nearest


class Parser(argparse.ArgumentParser):
    """A parser whose errors are ours: one line, the nearest right word, and exit code 2."""

    def error(self, message: str) -> NoReturn:
        found = re.search(r"'([^']*)' \(choose from (.*)\)", message)
        near = nearest(found[1], re.findall(r"[\w.-]+", found[2])) if found else ""
        if near:
            message = message.partition(" (choose from")[0]
        raise UsageError(message, fix=near or f"`{self.prog} --help` shows what it takes")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        first, own = args[0].partition("=")[0] if args else "", self._option_string_actions
        if first.startswith("-") and first not in own:
            of_commands = {flag for flags in _flags(self).values() for flag in flags}
            raise UsageError(
                f"{first} stands before the command, or without one",
                fix=f"`{self.prog} COMMAND {first}`"
                if first in of_commands
                else nearest(first, own) or f"`{self.prog} --help` shows what there is",
            )
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            command = found.command
            name = unknown[0].partition("=")[0]
            raise UsageError(
                f"`geowheel {command}` has no option {name}"
                if name.startswith("-")
                else f"`geowheel {command}` does not take {name!r}",
                fix=nearest(name, _flags(self)[command])
                or f"`geowheel {command} --help` shows what it takes",
            )
        return found


def _flags(parser: argparse.ArgumentParser) -> dict[str, list[str]]:
    """Return the options of each command."""
    (choices,) = (a.choices for a in parser._actions if isinstance(a.choices, dict))
    return {name: list(command._option_string_actions) for name, command in choices.items()}

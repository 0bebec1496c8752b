"""Completions of the command line for a shell, as a script that it reads once.

Static scripts by shtab: pressing Tab starts no Python.
"""

import argparse
from collections.abc import Iterator

import shtab


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script for one of `geowheel.cli.command_help.SHELLS`."""
    for action in _every_action(parser):
        if action.metavar == "DIR":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined] # shtab's own interface
    return str(shtab.complete(parser, shell=shell)) + "\n"


def _every_action(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action.choices, dict):
            for below in action.choices.values():
                yield from _every_action(below)

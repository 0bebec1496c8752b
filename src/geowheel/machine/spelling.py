"""How a command is written where a person reads it.

Messages name commands in one form, in backticks: `geowheel lock --upgrade proj`. Whoever was
started by a nox session reads `nox -s lock -- --upgrade proj` in its place.
"""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

STANDALONE: Final = frozenset({"init", "schema", "completion"})
"""Commands that read no project of geowheel's, and have no nox session."""
VERSIONED: Final = ("bindings", "vendor", "build", "test", "lab", "wheel", "reproduce")
"""Commands with a nox session for each configured Python, such as `wheel-3.12`."""
VARIABLE: Final = "GEOWHEEL_CALLED_AS"
"""Set by a nox session: how it was called, up to the name of the session."""
STARTED: Final = "GEOWHEEL_STARTED"
"""Set by whoever began: when, as time.time() counts."""
LAUNCHER: Final = "GEOWHEEL_LAUNCHER"
"""Set by ci/nox.py: how it was called itself."""
_COMMAND: Final = re.compile(r"`geowheel (?P<name>[a-z][a-z-]*)(?P<rest>(?: [^`]*)?)`")
_PYTHON: Final = re.compile(r" --python (?P<python>3\.\d+t?)\b")


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """How geowheel was called."""

    session: str = ""
    """`nox -s ` and the prefix of the sessions' names; empty where no nox called it."""
    options: str = ""
    """What every command has to be told again, such as `--host hosts/terrain`."""

    def of(self, text: str) -> str:
        """Return the text, with each command in backticks as it is to be typed here."""
        return _COMMAND.sub(lambda found: f"`{self._command(found['name'], found['rest'])}`", text)

    def _command(self, name: str, rest: str) -> str:
        if name in STANDALONE:
            return f"geowheel {name}{rest}"
        if not self.session:
            return f"geowheel {name}{rest}{'' if self.options in rest else ' ' + self.options}"
        if name in VERSIONED and (found := _PYTHON.search(rest)):
            name, rest = f"{name}-{found['python']}", rest.replace(found[0], "", 1)
        told = f"{rest.strip()} {self.options}".strip()
        return f"{self.session}{name}{told and ' -- ' + told}"


def read_spelling(arguments: Sequence[str], environ: Mapping[str, str]) -> Spelling:
    """Return how a command line was called, with the `--root` and `--host` to be repeated."""
    said, _, options = environ.get(VARIABLE, "").partition(" -- ")
    if said:
        return Spelling(session=said, options=options)
    return Spelling(options=shlex.join(chosen(arguments, "--root", "--host")))


def called_as(prefix: str, arguments: Sequence[str]) -> str:
    """Return the value of VARIABLE for a session with these arguments."""
    options = shlex.join(chosen(arguments, "--host"))
    launcher = os.environ.get(LAUNCHER, "nox")
    return f"{launcher} -s {prefix}" + (f" -- {options}" if options else "")


def chosen(arguments: Sequence[str], *names: str) -> list[str]:
    """Return those of the arguments that are one of the named options, with its value."""
    found: list[str] = []
    for number, word in enumerate(arguments):
        if word in names:
            found += arguments[number : number + 2]
        elif word.partition("=")[0] in names:
            found.append(word)
    return found

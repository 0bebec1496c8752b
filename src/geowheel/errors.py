"""What can go wrong, as one family of exceptions with an exit code by kind.

Every fault says what happened, where, the likely cause and the next command. They are raised
anywhere and caught once, in `geowheel.cli`.
"""

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One problem, in the four parts that a reader needs."""

    what: str
    where: str = ""
    cause: str = ""
    fix: str = ""

    def __str__(self) -> str:
        what = f"{self.where}: {self.what}" if self.where else self.what
        lines = [what.replace("\n", "\n  ")]  # none looks like a line of ours
        if self.cause:
            lines.append(f"  likely cause: {self.cause}")
        if self.fix:
            lines.append(f"  next: {self.fix}")
        return "\n".join(lines)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `did you mean X?` for a word that is not known; empty where none is near."""
    near = difflib.get_close_matches(word, tuple(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else ""


def some(names: Iterable[object], limit: int = 5) -> str:
    """Return `a, b and 3 more`, for a message."""
    every = list(map(str, names))
    more = f" and {len(every) - limit} more" if len(every) > limit else ""
    return ", ".join(every[:limit]) + more


class GeowheelError(Exception):
    """One or several faults of one kind; `exit_code` tells scripts which kind."""

    exit_code: ClassVar[int] = 1
    faults: tuple[Fault, ...]

    def __init__(
        self, what: str | Sequence[Fault], *, where: str = "", cause: str = "", fix: str = ""
    ) -> None:
        if isinstance(what, str):
            self.faults = (Fault(what=what, where=where, cause=cause, fix=fix),)
        else:
            self.faults = tuple(what)
        super().__init__("\n".join(map(str, self.faults)))

    def with_facts(self, facts: object) -> Self:
        """Return itself with what --json tells beside the error."""
        self.add_note(json.dumps(facts))
        return self


class UsageError(GeowheelError):
    """The command line asks for something that does not exist."""

    exit_code = 2


class ConfigError(GeowheelError):
    """pyproject.toml or pixi.toml says something that cannot be followed."""

    exit_code = 3


class LockError(GeowheelError):
    """A lock is missing, stale, of an unknown format or cannot be solved."""

    exit_code = 4


class ChannelError(GeowheelError):
    """A channel, mirror or index cannot be reached or lacks a package."""

    exit_code = 5


class IntegrityError(GeowheelError):
    """Bytes are not the ones that the lock, or a package's own manifest, names."""

    exit_code = 6


class MachineError(GeowheelError):
    """This machine lacks an interpreter, a compiler, headers or disk space."""

    exit_code = 7


class BuildError(GeowheelError):
    """A tool or a build backend failed, or made something other than one right wheel."""

    exit_code = 8


class SizeError(GeowheelError):
    """A wheel is larger than its budget."""

    exit_code = 9


class WheelTestError(GeowheelError):
    """A repaired wheel failed a probe or the host's tests."""

    exit_code = 10


class ReleaseError(GeowheelError):
    """A release is blocked: each fault is one reason."""

    exit_code = 11


class AuditError(GeowheelError):
    """A wheel breaks rules of the audit's policy whose level is error."""

    exit_code = 12


class ExplainError(GeowheelError):
    """No known failure is in a log."""

    exit_code = 13


class UnforeseenError(GeowheelError):
    """A fault of geowheel's own, or input of a kind that nobody thought of."""

    exit_code = 70  # EX_SOFTWARE of sysexits.h

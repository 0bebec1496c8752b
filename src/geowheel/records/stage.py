"""What a row of the stage table says, and what a run of a stage made."""

import enum
from dataclasses import dataclass
from typing import Generic, TypeVar

Known = TypeVar("Known", covariant=True)


class Scope(enum.Enum):
    """What a stage is done once for."""

    PLATFORM = "platform"
    TARGET = "target"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One row of the table."""

    name: str
    summary: str
    scope: Scope = Scope.TARGET
    upstream: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    """Distributions of the tool environment whose versions are part of the key."""
    verdict: bool = False
    """It judges a repaired wheel; a failed one is recorded and never reused."""
    rechecks: bool = False
    """Its module has `check`, which looks again when the stage is asked for by name."""
    interpreter: bool = True
    """It runs the target's interpreter."""
    shut_in: bool = True
    """Its commands run in the sandbox that the run has."""
    runs_wheel: bool = False
    """It runs what is in the wheel: nothing for a platform that this machine cannot run."""


@dataclass(frozen=True, kw_only=True)
class Outcome(Generic[Known]):
    """What a run of a stage made."""

    facts: Known
    passed: bool = True
    """False only for a verdict that failed."""
    unused: tuple[str, ...] = ()
    """Components of the key that had no part in it, as the run saw."""

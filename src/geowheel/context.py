"""What the stages of one target may ask: project, locks, store, interpreter, toolchain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import systems
from .config import Bindings
from .digest import Artefact
from .errors import Fault, MachineError
from .interpreters import Interpreter, find_interpreter, running_interpreter
from .lab.cases import WHOLE, Choice
from .native.locks import Locks
from .native.pixi_lock import Package
from .native.store import Store
from .project import Project
from .stages import needed
from .systems.contract import Toolchain
from .targets import Platform, Target


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What the machine offers for a target."""

    interpreter: Interpreter | None
    toolchain: Toolchain | None


@dataclass(frozen=True, kw_only=True)
class Context:
    """Everything that a stage's `inputs` may read."""

    project: Project
    target: Target
    locks: Locks
    tools: Tools
    prebuilt: Package | None = None
    """The conda package of the bindings, where they are not compiled."""
    raw: Artefact | None = None
    """A raw wheel that was made elsewhere, in the place of what the host's backend would make."""
    lab: Choice = WHOLE
    """Which cases of the lab, with which seed."""

    @property
    def runs_wheels(self) -> bool:
        """Whether this machine can run what is made for the target."""
        return self.target.platform is self.project.machine.platform

    @property
    def store(self) -> Store:
        """The user's store, behind the mirrors of these locks."""
        return Store(folder=self.project.machine.cache / "store", mirrors=self.locks.mirrors)

    @property
    def interpreter(self) -> Interpreter:
        """The target's interpreter; only for stages whose row says that they run it."""
        if self.tools.interpreter is None:
            raise MachineError(f"no interpreter was looked for for {self.target}")
        return self.tools.interpreter


def find_tools(
    project: Project, targets: Sequence[Target], goals: Iterable[str], explicit: Path | None
) -> dict[Target, Tools]:
    """What the machine has for every target, before any work starts.

    Raises MachineError with all that is missing at once.
    """
    stages = needed(goals)
    environ = project.machine.environ
    faults: list[Fault] = []
    compiled = project.bindings is Bindings.COMPILED
    toolchains: dict[Platform, Toolchain] = {}
    if compiled and any(stage.name == "bindings" for stage in stages):
        for platform in dict.fromkeys(target.platform for target in targets):
            try:
                toolchains[platform] = systems.of(platform).find_toolchain(platform, environ)
            except MachineError as error:
                faults += error.faults
    found: dict[Target, Tools] = {}
    for target in targets:
        interpreter: Interpreter | None = None
        if any(stage.interpreter for stage in stages):
            try:
                interpreter = find_interpreter(
                    target.python,
                    environ=environ,
                    explicit=explicit,
                    running=running_interpreter(),
                )
            except MachineError as error:
                faults += error.faults
        found[target] = Tools(interpreter=interpreter, toolchain=toolchains.get(target.platform))
    if faults:
        raise MachineError(faults)
    return found

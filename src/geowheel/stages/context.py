"""What the stages of one target may ask: project, locks, store, interpreter, toolchain."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from geowheel import systems
from geowheel.digest import Artefact
from geowheel.errors import Fault, MachineError
from geowheel.lab.cases import WHOLE, Choice
from geowheel.locks.assets import Asset, Package
from geowheel.locks.build_lock import marker_environment
from geowheel.locks.in_use import Locks
from geowheel.machine.console import Console
from geowheel.machine.interpreters import (
    Interpreter,
    check_platform,
    find_interpreter,
    running_interpreter,
)
from geowheel.prefix.store import Store
from geowheel.project.config import Bindings
from geowheel.project.project import Project
from geowheel.records.facts import RepairFacts
from geowheel.records.ledger import Record, Records
from geowheel.systems.contract import Toolchain
from geowheel.targets import Platform, Target, is_emulated

from . import needed


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
    repaired: Record[RepairFacts] | None = None
    """Of a repaired wheel that was made elsewhere, in the place of what `repair` would make."""

    @property
    def done(self) -> Records:
        """Records of stages that do not run: what they would make was given."""
        return Records() if self.repaired is None else Records(repair=self.repaired)

    @property
    def runs_wheels(self) -> bool:
        """Whether this machine can run what is made for the target."""
        interpreter, platform = self.tools.interpreter, self.target.platform
        if platform is self.project.machine.platform:
            return True
        return (
            is_emulated(platform, self.project.machine.platform)
            and interpreter is not None
            and interpreter.machine == platform.architecture
        )

    @property
    def beside_wheel(self) -> tuple[Asset, ...]:
        """What the tests need beside the wheel: no other build of the host, and no other GDAL.

        pip would keep that one, and the verdict would be about it.
        """
        found = self.locks.build.requirements("test", self.target)
        return tuple(asset for asset in found if canonicalize_name(asset.name) not in self.ours)

    @property
    def ours(self) -> set[str]:
        """Normalised names of what the wheel itself is."""
        return {canonicalize_name(self.project.host.name), "gdal"}

    def unmet(self, wheel: Path) -> tuple[str, ...]:
        """Return what the wheel requires on its target and the build lock does not have."""
        with zipfile.ZipFile(wheel) as archive:
            texts = [archive.read(n) for n in archive.namelist() if n.endswith("info/METADATA")]
        listed = [message_from_bytes(text).get_all("Requires-Dist", []) for text in texts]
        there = {canonicalize_name(asset.name) for asset in self.beside_wheel} | self.ours
        environment = {n: str(value) for n, value in marker_environment(self.target).items()}
        return tuple(
            str(found)
            for found in (Requirement(text) for texts in listed for text in texts)
            if canonicalize_name(found.name) not in there
            and (found.marker is None or found.marker.evaluate(environment))
        )

    @property
    def here(self) -> dict[str, Any]:
        """What every stage's inputs have beside the components of the key."""
        return here(self.project, self.locks)

    @property
    def interpreter(self) -> Interpreter:
        """The target's interpreter; only for stages whose row says that they run it."""
        if self.tools.interpreter is None:
            raise MachineError(f"nobody looked for an interpreter of {self.target}")
        return self.tools.interpreter


def here(project: Project, locks: Locks) -> dict[str, Any]:
    """The fields of this computer that all inputs have; the store is behind the locks' mirrors."""
    machine = project.machine
    store = Store(folder=machine.cache / "store", mirrors=locks.mirrors)
    return {"store": store, "cache": machine.cache, "environ": machine.environ}


def find_tools(
    project: Project,
    targets: Sequence[Target],
    goals: Iterable[str],
    explicit: Path | None,
    console: Console,
    *,
    make: bool = True,
    given: Collection[str] = (),
) -> dict[Target, Tools]:
    """Return what the machine has for every target, before any work starts.

    Of stages whose result is `given`, nothing is needed.

    An interpreter of another architecture is unpacked into the user's cache, when `make` allows
    it; else a target that needs one that is not there has none. Raises MachineError with all that
    is missing at once.
    """
    stages = needed(goals, given)
    faults: list[Fault] = []
    compiled = project.bindings is Bindings.COMPILED
    toolchains: dict[Platform, Toolchain] = {}
    if compiled and any(stage.name == "bindings" for stage in stages):
        for platform in dict.fromkeys(target.platform for target in targets):
            try:
                environ = project.machine.environ
                toolchains[platform] = systems.of(platform).find_toolchain(platform, environ)
            except MachineError as error:
                faults += error.faults
    found: dict[Target, Tools] = {}
    for target in targets:
        interpreter: Interpreter | None = None
        if any(stage.interpreter for stage in stages):
            try:
                interpreter = _interpreter(project, target, explicit, console, make=make)
            except MachineError as error:
                faults += error.faults
        found[target] = Tools(interpreter=interpreter, toolchain=toolchains.get(target.platform))
    if faults:
        raise MachineError(faults)
    return found


def _interpreter(
    project: Project, target: Target, explicit: Path | None, console: Console, *, make: bool
) -> Interpreter | None:
    """The target's own; with prebuilt bindings one of the machine will do to run a backend."""
    machine, compiled = project.machine, project.bindings is Bindings.COMPILED
    if explicit is None and is_emulated(target.platform, machine.platform):
        try:
            return _emulated(project, target, console, make=make)
        except MachineError:
            if compiled:
                raise
    found = find_interpreter(
        target.python, environ=machine.environ, explicit=explicit, running=running_interpreter()
    )
    if compiled:
        check_platform(found, target.platform)
    return found


def _emulated(
    project: Project, target: Target, console: Console, *, make: bool
) -> Interpreter | None:
    from geowheel.distro import (
        emulated,  # only where needed: it reads and unpacks Debian's packages
    )

    environ = project.machine.environ
    wanted = emulated.find_emulated(
        target.python, target.platform, cache=project.machine.cache, environ=environ
    )
    if not wanted.is_made:
        if not make:
            return None
        with console.step("interpreter", wanted.title, logs="interpreter") as step:
            emulated.make_emulated(wanted, environ=environ, step=step)
    return emulated.ask_emulated(wanted, environ)

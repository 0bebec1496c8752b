"""What the stages of one target may ask: project, locks, store, interpreter, toolchain."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from geowheel import systems
from geowheel.digest import Artefact
from geowheel.errors import ConfigError, Fault, GeowheelError, MachineError
from geowheel.lab.cases import WHOLE, Choice
from geowheel.locks.assets import Asset, Package
from geowheel.locks.build_lock import marker_environment, unmet
from geowheel.locks.channels import distro_suite
from geowheel.locks.in_use import Locks
from geowheel.machine.archives import open_zip, read_member
from geowheel.machine.console import Console
from geowheel.machine.interpreters import (
    Interpreter,
    check_platform,
    find_interpreter,
    running_interpreter,
)
from geowheel.machine.sandbox import Enclosure
from geowheel.prefix.store import Store
from geowheel.project.config import FIRST_STABLE_GDAL, Abi, Bindings, Config
from geowheel.project.names import required
from geowheel.project.project import Project
from geowheel.records.facts import RepairFacts
from geowheel.records.ledger import Record, Records
from geowheel.records.stage import Stage
from geowheel.systems.contract import Toolchain
from geowheel.targets import Platform, System, Target, is_emulated
from geowheel.wheel.reading import headers_of

from . import needed
from .zig import Zig

OLDEST_STABLE: Final = Version("3.11")
"""The limited API that SWIG's wrappers need: buffers are in it since 3.11."""


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
    enclosure: Enclosure = field(default_factory=Enclosure)
    """What shuts in the commands of the stages after fetch."""
    repaired: Record[RepairFacts] | None = None
    """Of a repaired wheel that was made elsewhere, in the place of what `repair` would make."""

    def shuts_in(self, stage: Stage) -> bool:
        """Return whether the sandbox is around a stage: a root is around what runs a wheel."""
        return stage.shut_in or (stage.runs_wheel and bool(self.project.file_system))

    @property
    def stable(self) -> str:
        """The oldest Python whose stable ABI the wheel uses, `3.11`; empty: it is of one Python."""
        return stable_python(self.project, self.locks.stack.gdal_version, self.target.python)

    @property
    def made_for(self) -> Target:
        """What the wheel is tagged for: this target, or the oldest with the same stable ABI."""
        return replace(self.target, python=self.stable or self.target.python)

    @cached_property
    def builder(self) -> Interpreter:
        """The interpreter that the wheel is made with: for the stable ABI the same for all targets.

        That is the oldest configured one that this machine has.
        """
        if not self.stable or self.interpreter.emulator:
            return self.interpreter
        first = next(stable_interpreters(self.project), self.interpreter)
        older = Version(first.python) < Version(self.target.python)
        return first if older else self.interpreter

    @cached_property
    def toolchain(self) -> Toolchain | Zig | None:
        """What compiles: the locked one, or the machine's; None where nothing is compiled."""
        if not compiles_by_zig(self.project, self.target.platform):
            return self.tools.toolchain
        here = replace(self.made_for, platform=self.project.machine.platform)
        found = self.locks.build.requirements("bindings", here)
        zig = next(asset for asset in found if asset.name == "ziglang")
        return Zig(asset=zig, platform=self.target.platform)

    @property
    def built_by(self) -> Target:
        """The target whose requirements the builder can install."""
        return replace(self.target, python=self.builder.python)

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
        """Return what the wheel requires on its target and the build lock does not have.

        With the extras that the tests ask for; raises ConfigError for one that it does not offer.
        """
        with open_zip(wheel) as archive:
            names = [name for name in archive.namelist() if name.endswith("info/METADATA")]
            (said,) = [headers_of(read_member(archive, name).decode()) for name in names]
        there = {canonicalize_name(asset.name) for asset in self.beside_wheel}
        environment, every = marker_environment(self.target), said.get_all("Requires-Dist", [])
        offered = sorted(map(canonicalize_name, said.get_all("Provides-Extra", [])))
        listed = {
            extra: unmet(every, there, {**environment, "extra": extra}) for extra in ("", *offered)
        }
        host, asked = self.project.host, self.project.config.test.requires
        try:
            found = required(listed, host.name, asked)
        except KeyError as error:
            raise ConfigError(
                f"the wheel has no extra {error}, which [tool.geowheel.test] requires",
                where=str(host.path),
                fix=f"use some of: {', '.join(offered) or 'none'}",
            ) from None
        return tuple(text for text in found if text not in asked)

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


def stable_python(project: Project, gdal: str, python: str) -> str:
    """Return the Python whose stable ABI a target's wheel uses; empty where it uses none.

    SWIG 4.2, by which GDAL's wrappers are made since 3.11, knows the limited API (PEP 384). Raises
    ConfigError where the configuration asks for it in vain.
    """
    config = project.config
    found = stable_pythons(config)
    if project.bindings is not Bindings.COMPILED or python not in found:
        return ""
    if Version(gdal) < Version(FIRST_STABLE_GDAL):
        if config.abi is Abi.ABI3:
            raise ConfigError(
                f'abi = "abi3", and the wrappers of GDAL {gdal} cannot use the stable ABI',
                where=str(project.host.path),
                cause=f"they are made by an older SWIG; those of {FIRST_STABLE_GDAL} can",
                fix='lock a newer GDAL, or set abi = "auto"',
            )
        return ""
    return found[0]


def compiles_by_zig(project: Project, platform: Platform) -> bool:
    """Return whether the locked toolchain compiles for a platform."""
    return (
        platform.system is System.LINUX
        and project.bindings is Bindings.COMPILED
        and bool(project.headers(platform))
    )


def needs_headers(project: Project, platform: Platform) -> bool:
    """Return whether an interpreter has to have its headers: a channel may have osgeo's."""
    return not (project.config.places.has_bindings and compiles_by_zig(project, platform))


def stable_pythons(config: Config) -> list[str]:
    """Return the configured Pythons that one wheel may be for, the oldest first."""
    if not config.places.has_bindings or config.abi is Abi.VERSION:
        return []
    able = (p for p in config.pythons if not p.endswith("t") and Version(p) >= OLDEST_STABLE)
    return sorted(able, key=Version)


def stable_interpreters(project: Project) -> Iterator[Interpreter]:
    """Yield those of this machine that one wheel may be for, the oldest first."""
    environ, headers = project.machine.environ, needs_headers(project, project.machine.platform)
    for python in stable_pythons(project.config):
        with suppress(MachineError):
            yield find_interpreter(
                python, environ=environ, running=running_interpreter(), headers=headers
            )


def installable(
    configured: Sequence[str], locked: set[str], without: Sequence[str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the peers that can be installed, and the others with the reason.

    What a peer needs may be what has no wheel; then none is installed: whose it is, is not known.
    """
    names = [str(canonicalize_name(Requirement(peer).name)) for peer in configured]
    if needed := [name for name in without if name not in names]:
        return (), dict.fromkeys(names, f"{', '.join(needed)}: no wheel for this target")
    lacking = {
        name: "no wheel for this target" if name in without else "no solution in the build lock"
        for name in names
        if name not in locked
    }
    return tuple(name for name in names if name in locked), lacking


def here(project: Project, locks: Locks) -> dict[str, Any]:
    """Return this computer's fields that all inputs have; the store is behind the mirrors."""
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
            if compiles_by_zig(project, platform):
                continue
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
    """Return the target's own; to run a backend with prebuilt bindings any one here will do."""
    machine, compiled = project.machine, project.bindings is Bindings.COMPILED
    if project.file_system:
        from geowheel.distro.roots import interpreter_in

        return interpreter_in(project.file_system, target.python, machine.cache, machine.environ)
    if explicit is None and is_emulated(target.platform, machine.platform):
        try:
            return _emulated(project, target, console, make=make)
        except MachineError:
            if compiled:
                raise
    try:
        found = find_interpreter(
            target.python, environ=machine.environ, explicit=explicit,
            running=running_interpreter(), headers=needs_headers(project, target.platform),
        )  # fmt: skip
    except MachineError:
        if explicit is None:
            with suppress(GeowheelError):
                return _emulated(project, target, console, make=make)
        raise
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
    channels = (project.channel,) if project.channel else project.config.fallbacks
    wanted = emulated.find_emulated(
        target.python, target.platform, cache=project.machine.cache, environ=environ,
        suite=next(filter(None, map(distro_suite, channels)), ""),
    )  # fmt: skip
    if not wanted.is_made:
        if not make:
            return None
        with console.step("interpreter", wanted.title, logs="interpreter") as step:
            emulated.make_emulated(wanted, environ=environ, step=step)
    return emulated.ask_emulated(wanted, environ)

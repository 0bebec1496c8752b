"""The project at hand: its folders, its host, its manifest, and the machine it is built on."""

import os
import platform as python_platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import platformdirs

from geowheel.digest import Tree, sha256_bytes
from geowheel.errors import MachineError, UsageError
from geowheel.machine.credentials import parse_place
from geowheel.machine.sandbox import SandboxKind
from geowheel.targets import Platform, System, Target

from . import config as known
from .config import Bindings, Compiler, Config
from .files import host_files
from .manifest import Manifest, find_manifest
from .places import Layout
from .pyproject import HostFile, read_host

CACHE_VARIABLE = "GEOWHEEL_CACHE"
CHANNEL_VARIABLE = "GEOWHEEL_CHANNEL"
BUDGET_VARIABLE = "WHEEL_SIZE_BUDGET_MB"

_SYSTEMS = {"Linux": System.LINUX, "Darwin": System.MACOS, "Windows": System.WINDOWS}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The computer: its platform, the user's environment variables and cache folder."""

    platform: Platform
    environ: Mapping[str, str]
    cache: Path


def this_machine(environ: Mapping[str, str]) -> Machine:
    """Return this computer; raises MachineError on a kind that no platform stands for."""
    name, architecture = python_platform.system(), python_platform.machine()
    kind = (_SYSTEMS.get(name), architecture.lower())
    platform = next((p for p in Platform if (p.system, p.architecture) == kind), None)
    if platform is None:
        raise MachineError(
            f"no conda platform is known for {name} {architecture}",
            fix=f"use one of {', '.join(Platform)}",
        )
    cache = environ.get(CACHE_VARIABLE)
    return Machine(
        platform=platform,
        environ=environ,
        cache=Path(cache).absolute() if cache else platformdirs.user_cache_path("geowheel"),
    )


@dataclass(frozen=True, kw_only=True)
class Project:
    """What a run is about; nothing in it changes while it runs."""

    root: Path
    """The folder of the noxfile; holds .geowheel/ and dist/."""
    host: HostFile
    manifest: Manifest
    machine: Machine
    channel: str | None = None
    """--channel or GEOWHEEL_CHANNEL, without a login; None: the lock, or what is configured."""
    frozen: bool = False
    file_system: str = ""
    """What --root says: the root file system that the probes run in; empty: this machine's."""
    asked_sandbox: SandboxKind | None = None
    """What --sandbox says; None: the configured one."""
    asked_bindings: Bindings | None = None
    """What --bindings says; None: the configured ones."""
    unlisted: tuple[str, ...] = ()
    """What a wheel requires and [project] does not list: its tests need it as well."""

    @property
    def config(self) -> Config:
        return self.host.config

    @property
    def bindings(self) -> Bindings:
        """Where the bindings come from."""
        return self.asked_bindings or self.config.bindings

    @property
    def sandbox(self) -> SandboxKind:
        """Which sandbox the stages after fetch run in."""
        return SandboxKind.BWRAP if self.file_system else self.asked_sandbox or self.config.sandbox

    @property
    def folder(self) -> Path:
        """The host's folder."""
        return self.host.path.parent

    @property
    def home(self) -> str:
        """The host's folder, relative to the root: `hosts/gdal`."""
        return Path(os.path.relpath(self.folder, self.root)).as_posix()

    @property
    def work(self) -> Path:
        """The work folder, ignored by git."""
        return self.root / ".geowheel"

    @property
    def dist(self) -> Path:
        """Where repaired wheels go."""
        return self.root / "dist"

    def host_files(self) -> Tree:
        """Return the host's files, hashed, but for our table in pyproject.toml: stages name what
        they use of it. Raises MachineError where git refuses."""
        tree = host_files(self.folder, self.machine.environ, self.config.build.sources)
        return replace(tree, counted={self.host.path.name: sha256_bytes(self.host.others.encode())})

    def target(self, python: str, platform: Platform | None = None) -> Target:
        """Return the target of a configured python; raises UsageError with the known ones."""
        if python not in self.config.pythons:
            raise UsageError(
                f"{self.host.name} is not configured for Python {python}",
                where=str(self.host.path),
                cause=f"pythons = {', '.join(self.config.pythons)}",
                fix=f"use one of these, as `geowheel wheel --python {self.config.pythons[-1]}` "
                "does, or add it to pythons in [tool.geowheel]",
            )
        return Target(python=python, platform=platform or self.machine.platform)

    def targets(self, platforms: Iterable[Platform]) -> list[Target]:
        """Return the configured pythons on each of these platforms."""
        return [
            Target(python=python, platform=p) for p in platforms for python in self.config.pythons
        ]

    def headers(self, platform: Platform) -> tuple[str, ...]:
        """Return the packages that a locked toolchain compiles with; empty: the machine's does."""
        toolchain, name = self.config.toolchain, f"{known.LIBSTDCXX}_{platform}"
        named = platform in self.manifest.platforms_of(self.config.environment)
        spec = self.manifest.environment(self.config.environment, platform) if named else None
        asked = spec is not None and name in {item.name for item in spec.specs}
        asked |= known.DISTRO_CHANNEL.fullmatch(self.channel or "") is not None
        zig = toolchain is Compiler.ZIG or (toolchain is Compiler.AUTO and asked)
        return (name, known.PYTHON_HEADERS) if zig and platform.system is System.LINUX else ()

    def wanted_packages(self, platform: Platform) -> tuple[str, ...]:
        """Return the native stack's packages that nothing else in it needs."""
        grids = (known.GRIDS,) if {*self.config.data.grids} - {known.OWN_GRIDS} else ()
        return (*self.config.plugins, *grids, *self.headers(platform))

    @property
    def usual_platforms(self) -> tuple[Platform, ...]:
        """This machine's; where pixi.toml does not name it, all that it names."""
        named = self.manifest.platforms_of(self.config.environment)
        own = self.machine.platform
        return named if named and own not in named else (own,)

    @property
    def wheel_budget_mb(self) -> float:
        """The budget of a wheel file in MB; WHEEL_SIZE_BUDGET_MB overrides the configured one."""
        text = self.machine.environ.get(BUDGET_VARIABLE)
        if not text:
            return self.config.budget.wheel_mb
        try:
            budget = float(text)
        except ValueError:
            budget = -1.0
        if not 0 < budget < float("inf"):
            raise UsageError(f"{BUDGET_VARIABLE}={text!r} is not a size in megabytes")
        return budget


def open_project(
    *,
    root: Path,
    host: Path,
    machine: Machine,
    channel: str | None = None,
    frozen: bool = False,
    bindings: Bindings | None = None,
    sandbox: SandboxKind | None = None,
    file_system: str = "",
) -> Project:
    """Read the host and its manifest; raises ConfigError with every fault of either."""
    root = root.resolve()
    described = read_host((root / host).resolve())
    channel = channel or machine.environ.get(CHANNEL_VARIABLE) or None
    if channel is not None:
        machine = replace(machine, environ={**machine.environ, CHANNEL_VARIABLE: channel})
        if "://" in channel:
            channel = parse_place(channel, f"--channel or {CHANNEL_VARIABLE}").url
    return Project(
        root=root,
        host=described,
        manifest=find_manifest(described.path.parent),
        machine=machine,
        channel=channel,
        frozen=frozen,
        asked_bindings=bindings,
        asked_sandbox=sandbox,
        file_system=file_system,
    )


def wants_prebuilt(project: Project) -> bool:
    """Return whether the bindings are to be the channel's own.

    Raises UsageError where they cannot be what the layout needs.
    """
    if project.bindings is not Bindings.PREBUILT or not project.config.places.has_bindings:
        return False
    if project.config.layout is Layout.PRIVATE:
        raise UsageError(
            'prebuilt bindings do not fit layout = "private"',
            where=str(project.host.path),
            cause="a private osgeo has a SWIG type table and imports of its own, which are "
            "compiled into its modules; the channel's are those of the public osgeo",
            fix='compile them (bindings = "compiled") on a machine of that platform',
        )
    return True

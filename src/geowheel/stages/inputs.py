"""What each stage is made from: one function a stage, read-only and fast; the fields are its key.

Nothing that only acts is imported here: a run with nothing to do decides, and that is all.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from geowheel import systems
from geowheel.contents.drivers import plugin_packages
from geowheel.digest import Artefact, Tree
from geowheel.lab.cases import SERVER, Case, Equipment, select
from geowheel.locks.assets import Asset
from geowheel.locks.build_lock import GROUPS, LAB
from geowheel.machine.environments import version_variables
from geowheel.machine.interpreters import Interpreter
from geowheel.project.files import git_version, host_files
from geowheel.project.places import Layout, Places, patterns_of
from geowheel.project.pyproject import BuildSystem
from geowheel.records.facts import Owner, RepairFacts, VendorFacts
from geowheel.systems.repair_tools import tool_versions
from geowheel.targets import Platform, Target
from geowheel.wheel.leaks import machine_paths
from geowheel.wheel.tags import raw_platform_tag

from .context import here, installable
from .contract import Inputs, ambient
from .recipe import recipe

if TYPE_CHECKING:
    from geowheel.locks.assets import Package
    from geowheel.locks.in_use import Locks
    from geowheel.project.project import Project
    from geowheel.records.ledger import MadeFolder, Records
    from geowheel.systems.contract import Toolchain

    from .context import Context
    from .zig import Zig

PREFIX = "prefix"
MODULES = "modules"
PAYLOAD = "payload"
ORIGINS = "origins.json"
"""Beside the payload: what each of its files is from."""


@dataclass(frozen=True, kw_only=True)
class FetchInputs(Inputs):
    """The exact packages, and the string that stands for their prefix."""

    packages: tuple[Package, ...]
    requirements: tuple[Asset, ...]
    prebuilt: tuple[Package, ...] = ambient()
    """Bindings, which are in no prefix: only put into the store."""
    prefix_string: str
    platform: Platform
    machine: Platform = ambient()


def fetch(context: Context, _: Records) -> FetchInputs:
    """Return everything that the locks name for this platform, for all configured pythons."""
    return fetch_inputs(context.project, context.locks, context.prebuilt)


def fetch_inputs(project: Project, locks: Locks, prebuilt: Package | None = None) -> FetchInputs:
    """Return what the locks of a platform name; `prebuilt` has no part in the key."""
    build, platform, machine = locks.build, locks.stack.platform, project.machine
    downloads = {
        download
        for target in project.targets([platform])
        for group in GROUPS
        for download in build.requirements(group, target)
    }
    return FetchInputs(
        packages=locks.stack.packages,
        requirements=tuple(sorted({build.gdal_sdist, *downloads})),
        prebuilt=(prebuilt,) if prebuilt else (),
        prefix_string=systems.of(platform).layout.prefix_string,
        platform=platform,
        machine=machine.platform,
        **here(project, locks),
    )


@dataclass(frozen=True, kw_only=True)
class PrebuiltInputs(Inputs):
    """The channel's own bindings."""

    target: Target
    package: Package


@dataclass(frozen=True, kw_only=True)
class BindingsInputs(Inputs):
    """Wrappers, headers and compilers; no file of the host."""

    platform: Platform
    prefix: MadeFolder
    gdal_sdist: Asset
    requirements: tuple[Asset, ...]
    interpreter: Interpreter
    toolchain: Toolchain | Zig | None
    import_package: str | None
    """None in layout none: nothing is compiled, so nothing depends on what follows from it."""
    stable: str
    """The Python whose stable ABI the modules use; empty: they are of the interpreter's version."""
    lowered: bool = ambient()
    """Whether `repair` lowers what the native stack needs."""


def bindings(context: Context, upstream: Records) -> BindingsInputs | PrebuiltInputs:
    """Decide from the prefix, the build lock and the machine's compilers; or from the channel."""
    if context.prebuilt is not None:
        return PrebuiltInputs(target=context.target, package=context.prebuilt, **context.here)
    fetch = upstream["fetch"]
    places = context.project.config.places
    return BindingsInputs(
        platform=context.target.platform,
        prefix=fetch.made(PREFIX),
        gdal_sdist=context.locks.build.gdal_sdist,
        requirements=context.locks.build.requirements("bindings", context.made_for),
        interpreter=context.builder,
        toolchain=context.toolchain,
        import_package=places.import_package if places.has_bindings else None,
        stable=context.stable,
        lowered=bool(context.project.config.floors.glibc),
        **context.here,
    )


@dataclass(frozen=True, kw_only=True)
class VendorInputs(Inputs):
    """What is vendored, and where to."""

    platform: Platform
    prefix: MadeFolder
    bindings: MadeFolder
    gdal_sdist: Asset
    places: Places
    plugins: tuple[str, ...]
    programs: tuple[str, ...]
    """Patterns of console commands."""
    grids: tuple[str, ...]
    """Groups of them, and patterns of file names."""
    exclude: tuple[str, ...]


def vendor(context: Context, upstream: Records) -> VendorInputs:
    """Decide from the prefix, the bindings and the configuration."""
    fetch, bindings = upstream["fetch"], upstream["bindings"]
    config = context.project.config
    return VendorInputs(
        platform=context.target.platform,
        prefix=fetch.made(PREFIX),
        bindings=bindings.made(MODULES),
        gdal_sdist=context.locks.build.gdal_sdist,
        places=config.places,
        plugins=config.plugins,
        programs=patterns_of(config.programs, config.layout),
        grids=config.data.grids,
        exclude=config.exclude,
        **context.here,
    )


@dataclass(frozen=True, kw_only=True)
class PayloadInputs(Inputs):
    """The payload, and how the wheel that gets it is tagged."""

    payload: MadeFolder
    commands: Mapping[str, str]
    """Console commands that the payload brings, name to `module:function`."""
    places: Places
    interpreter_tag: str
    """`cp312`"""
    abi_tag: str
    """The same, or `abi3`."""
    platform: Platform
    platform_tag: str


@dataclass(frozen=True, kw_only=True)
class RawWheelInputs(PayloadInputs):
    """A raw wheel that was made elsewhere."""

    raw: Artefact


@dataclass(frozen=True, kw_only=True)
class BuildInputs(PayloadInputs):
    """The host's files, and the environment that the backend runs in."""

    host_files: Tree
    build_system: BuildSystem
    requirements: tuple[Asset, ...]
    interpreter: Interpreter
    prefix: MadeFolder
    toolchain: Toolchain | Zig | None
    """None: the bindings are prebuilt, and the host compiles nothing."""
    gdal_version: str
    host_version: str
    """The version that the backend is told; empty where the host has one of its own."""
    git: str
    """Commit, tag and dirtiness, where the version may come from them."""
    config_settings: Mapping[str, str | tuple[str, ...]]
    variables: Mapping[str, str]
    """Environment variables for the backend, beside those that find GDAL."""
    reads: tuple[Path, ...] = ambient()
    """What it may read beside the host's files."""


def build(context: Context, upstream: Records) -> BuildInputs | RawWheelInputs:
    """Decide from the payload, and from the host's files or the raw wheel that was given."""
    project, target, locks = context.project, context.target, context.locks
    payload: dict[str, Any] = {
        "payload": upstream["vendor"].made(PAYLOAD),
        "commands": upstream.of(VendorFacts).facts.commands,
        "places": project.config.places,
        "interpreter_tag": context.made_for.interpreter_tag,
        "abi_tag": "abi3" if context.stable else target.abi_tag,
        "platform": target.platform,
        "platform_tag": str(raw_platform_tag(target.platform)),
    } | context.here
    if context.raw is not None:
        return RawWheelInputs(raw=context.raw, **payload)
    environ, host = project.machine.environ, project.host
    return BuildInputs(
        host_files=project.host_files(),
        build_system=host.build_system,
        requirements=locks.build.requirements("build", context.built_by),
        interpreter=context.builder,
        prefix=upstream["fetch"].made(PREFIX),
        toolchain=context.toolchain,
        gdal_version=locks.stack.gdal_version,
        host_version=project.config.release.following(locks.stack.gdal_version),
        git=git_version(project.folder, environ) if host.version_from_git else "",
        config_settings=host.config.build.config_settings,
        variables=version_variables(environ) | dict(host.config.build.environment),
        reads=tuple(project.folder / Path(p).expanduser() for p in host.config.build.reads),
        **payload,
    )


@dataclass(frozen=True, kw_only=True)
class RepairInputs(Inputs):
    """The raw wheel, the prefix, and the newest glibc that is allowed."""

    raw: Artefact
    payload: MadeFolder
    prefix: MadeFolder
    platform: Platform
    places: Places
    gdal_sdist: Asset
    floor: tuple[str, str | None]
    """What of the system counts, and the newest version of it that is allowed."""
    toolchain: Toolchain | Zig | None
    """None where nothing is lowered."""
    prebuilt: Package | None
    """The conda package that the bindings are from, where they are not compiled."""
    refuse: tuple[str, ...] | None
    """Patterns of licenses; None: the usual ones."""
    accept: tuple[str, ...]
    """Patterns of packages. The reasons have no part in the wheel, so none in the key either."""
    accept_code: tuple[str, ...]
    """Patterns of paths."""
    locked: bool
    """Whether the native stack is from a committed lock."""
    repair_tools: Mapping[str, str]
    """Versions of auditwheel, patchelf, strip and deflate: the bytes depend on them."""
    recipe: Mapping[str, str]
    """What the wheel says of how it was made."""
    machine: tuple[str, ...] = ambient()
    """How paths of this machine begin, none of which may be in the wheel."""


def repair(context: Context, upstream: Records) -> RepairInputs:
    """Decide from the raw wheel and the prefix."""
    config, platform = context.project.config, context.target.platform
    tools = tool_versions(platform, context.project.machine.environ)
    return RepairInputs(
        raw=upstream["build"].wheel,
        payload=upstream["vendor"].made(PAYLOAD),
        prefix=upstream["fetch"].made(PREFIX),
        platform=platform,
        places=config.places,
        gdal_sdist=context.locks.build.gdal_sdist,
        floor=config.floors.of(platform.system),
        toolchain=context.toolchain if config.floors.glibc else None,
        prebuilt=context.prebuilt,
        refuse=config.licenses.refuse,
        accept=tuple(sorted(config.licenses.accept)),
        accept_code=tuple(sorted(config.modules.accept)),
        locked=context.locks.source.committed,
        repair_tools=tools,
        recipe=recipe(context, tools),
        machine=_machine(context),
        **context.here,
    )


def _machine(context: Context) -> tuple[str, ...]:
    project, machine = context.project, context.project.machine
    home = Path(machine.environ.get("HOME") or machine.environ.get("USERPROFILE") or "/")
    return machine_paths({project.root, project.folder, machine.cache, home} - {Path("/")})


@dataclass(frozen=True, kw_only=True)
class SizeInputs(Inputs):
    """The wheel, the owners of its members, and the budgets in decimal megabytes."""

    wheel: Artefact
    owners: tuple[Owner, ...]
    places: Places
    wheel_mb: float
    installed_mb: float


def size(context: Context, upstream: Records) -> SizeInputs:
    """Decide from the repaired wheel and the configuration."""
    repair = upstream.of(RepairFacts)
    return SizeInputs(
        wheel=repair.wheel,
        owners=repair.facts.owners,
        places=context.project.config.places,
        wheel_mb=context.project.wheel_budget_mb,
        installed_mb=context.project.config.budget.installed_mb,
        **context.here,
    )


@dataclass(frozen=True, kw_only=True)
class InstalledInputs(Inputs):
    """The wheel, and the clean environment that it is installed into."""

    wheel: Artefact
    prefix: MadeFolder
    platform: Platform
    interpreter: Interpreter
    requirements: tuple[Asset, ...]
    """Those of the host's tests."""
    layout: Layout
    import_package: str
    root: str
    """The root file system that it runs in; empty: this machine's."""


def _installed(context: Context, upstream: Records) -> dict[str, Any]:
    config = context.project.config
    return {
        "wheel": upstream["repair"].wheel,
        "prefix": upstream["fetch"].made(PREFIX),
        "platform": context.target.platform,
        "interpreter": context.interpreter,
        "requirements": context.beside_wheel,
        "layout": config.layout,
        "import_package": config.import_package,
        "root": context.project.file_system,
    } | context.here


@dataclass(frozen=True, kw_only=True)
class TestInputs(InstalledInputs):
    """What the wheel must be able to do, and the host's own tests."""

    gdal_version: str
    drivers: tuple[str, ...]
    left_out: tuple[str, ...]
    """Plugin packages that are locked, but not in the configuration."""
    command: tuple[str, ...]
    may_set: tuple[str, ...]
    host_files: Tree | None
    """None where no tests are configured: then no file of the host counts."""
    timeout_seconds: int


def test(context: Context, upstream: Records) -> TestInputs:
    """Decide from the repaired wheel and the configuration."""
    project, stack = context.project, context.locks.stack
    tested = project.config.test.command
    return TestInputs(
        gdal_version=stack.gdal_version,
        drivers=project.config.drivers,
        left_out=plugin_packages(stack.left_out),
        command=tested,
        may_set=project.config.test.may_set,
        # All of them: nothing of what git may ignore enters a wheel from here.
        host_files=host_files(project.folder, project.machine.environ, ("*",)) if tested else None,
        timeout_seconds=project.config.test.timeout_seconds,
        **_installed(context, upstream),
    )


@dataclass(frozen=True, kw_only=True)
class LabInputs(InstalledInputs):
    """The neighbours of the wheel, and which cases are asked for."""

    neighbours: tuple[Asset, ...]
    """The peers and all that they need."""
    peers: tuple[str, ...]
    lacking: Mapping[str, str]
    seed: int
    cases: tuple[str, ...]
    bubblewrap: bool

    def chosen(self, *, bubblewrap: bool) -> tuple[Case, ...]:
        """Return the cases asked for; raises UsageError when a pattern matches none."""
        offer = Equipment(
            peers=self.peers,
            lacking=self.lacking,
            server=any(download.name == SERVER for download in self.neighbours),
            bubblewrap=bubblewrap,
            emulated=bool(self.interpreter.emulator),
            other_gdal=str(self.prefix.folder / systems.of(self.platform).layout.libraries),
            seed=self.seed,
        )
        from geowheel.lab.groups import every_case

        return select(every_case(offer), self.cases)


def lab(context: Context, upstream: Records) -> LabInputs:
    """Decide from the repaired wheel, the build lock and the command line."""
    choice, project = context.lab, context.project
    found, without = context.locks.build.offered(LAB, context.target)
    # The host is no neighbour of itself: another build of it would take the wheel's place.
    found = tuple(each for each in found if canonicalize_name(each.name) not in context.ours)
    every = map(Requirement, project.config.lab.peers)
    configured = [str(each) for each in every if canonicalize_name(each.name) not in context.ours]
    peers, lacking = installable(configured, {d.name for d in found}, without)
    made = LabInputs(
        neighbours=found,
        peers=peers,
        lacking=lacking,
        # Other orders and other damage for each wheel, the same for the same wheel.
        seed=int(upstream["repair"].about[:6], 16) if choice.seed is None else choice.seed,
        cases=choice.cases,
        bubblewrap=bool(shutil.which("bwrap", path=project.machine.environ.get("PATH", ""))),
        **_installed(context, upstream),
    )
    made.chosen(bubblewrap=True)  # a pattern that matches nothing is said before any work
    return made

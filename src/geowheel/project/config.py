"""`[tool.geowheel]` in the host's pyproject.toml, as one frozen value.

The dataclasses below are the only description of the configuration: names, types, defaults, and
the meaning, in the string after a field. A key is the field's name with hyphens.
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from geowheel.machine.sandbox import IMAGE, SandboxKind
from geowheel.targets import PYTHON_VERSION, System

from .places import Layout, Places

TABLE = "tool.geowheel"
GRIDS = "proj-data"
"""The conda package of PROJ's grids; nothing depends on it."""
LIBSTDCXX = "libstdcxx-devel"
"""How conda-forge's package of GCC's C++ headers begins; the platform follows."""
PYTHON_HEADERS = "python-headers"
"""Python.h, in the distro channel alone."""
FIRST_STABLE_GDAL = "3.11"
"""The first whose sdist on PyPI has wrappers of SWIG 4.2 or newer; those of 3.10.3 are of 4.0.1."""
OPTIONAL: Final = (GRIDS, PYTHON_HEADERS)
"""Packages that are taken where a channel has them."""
OWN_GRIDS = "own"
"""Those beside proj.db: Debian's package has some, conda-forge's none."""
SYSTEM_VERSION = re.compile(r"\d+\.\d+")
MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)")
# Below a folder of the wheel: nothing else belongs at the top of site-packages.
DESTINATION = re.compile(r"[A-Za-z_]\w*(/(?!\.{1,2}(/|$))[\w.-]+)+")
DISTRO_CHANNEL = re.compile(r"none|distro(:[a-z]+)?")
REASON = re.compile(r"\s*\S[\s\S]*")
VERDICTS: Final = ("size", "test", "lab")
"""Stages that judge a repaired wheel."""


class Bindings(enum.StrEnum):
    """Where the compiled modules of osgeo come from."""

    COMPILED = "compiled"
    """From GDAL's own sdist, here, for each interpreter."""
    PREBUILT = "prebuilt"
    """From the channel's package `gdal`: for platforms that nothing here compiles for."""


class Compiler(enum.StrEnum):
    """What compiles the bindings, and what a host compiles itself, on Linux."""

    AUTO = "auto"
    """zig; where pixi.toml does not ask for the C++ headers that it compiles with, machine."""
    ZIG = "zig"
    """zig's clang from the build lock, with the C++ headers of the channel: the machine needs no
    compiler, and every machine makes the same bytes."""
    MACHINE = "machine"
    """The machine's own gcc, or what CC and CXX name."""


class Abi(enum.StrEnum):
    """Which ABI of CPython the compiled modules of osgeo use."""

    AUTO = "auto"
    """The stable ABI where GDAL's wrappers allow it: from GDAL 3.11 on, from Python 3.11 on."""
    ABI3 = "abi3"
    """The stable ABI, or the run ends: one wheel of a platform for all of its Pythons."""
    VERSION = "version"
    """That of each interpreter: a wheel for each."""


class Follows(enum.StrEnum):
    """Whose version the host's wheels have."""

    OWN = "own"
    """The host's own, in the one place where its build backend reads it."""
    GDAL = "gdal"
    """GDAL's, handed to the build backend as GEOWHEEL_HOST_VERSION."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """`[tool.geowheel.budget]`: decimal megabytes."""

    wheel_mb: float = 100.0
    """Largest wheel file, in decimal megabytes."""
    installed_mb: float = 400.0
    """Largest installed size, in decimal megabytes."""


@dataclass(frozen=True, kw_only=True)
class Floor:
    """`[tool.geowheel.floor]`: the newest system that a wheel may ask for."""

    glibc: str | None = field(default=None, metadata={"pattern": SYSTEM_VERSION})
    """Newest glibc that a Linux wheel may need, such as "2.28": symbols that are newer are lowered,
    or the wheel is refused."""
    macos: str | None = field(default=None, metadata={"pattern": SYSTEM_VERSION})
    """Newest macOS that a macOS wheel may need, such as "13.0"."""

    def of(self, system: System) -> tuple[str, str | None]:
        """Return the name of what a wheel of that system needs, and the newest version allowed."""
        return {
            System.LINUX: ("glibc", self.glibc),
            System.MACOS: ("macos", self.macos),
            System.WINDOWS: ("windows", None),
        }[system]


@dataclass(frozen=True, kw_only=True)
class Data:
    """`[tool.geowheel.data]`: folders in the wheel, for hosts that look in places of their own."""

    gdal: str | None = field(default=None, metadata={"pattern": DESTINATION})
    """Folder of GDAL's data, such as rasterio/gdal_data (default: _data/gdal in the import
    package)."""
    proj: str | None = field(default=None, metadata={"pattern": DESTINATION})
    """Folder of PROJ's data, such as rasterio/proj_data (default: _data/proj in the import
    package)."""
    grids: tuple[str, ...] = (OWN_GRIDS,)
    """PROJ's datum grids: own, which are those that libproj's own package brings; proj-data, which
    is all of that conda package (hundreds of MB on conda-forge); or patterns of file names of
    either, such as "us_noaa_*"."""


@dataclass(frozen=True, kw_only=True)
class Build:
    """`[tool.geowheel.build]`: what the host's build backend gets beside [build-system]."""

    requires: tuple[str, ...] = ()
    """More build requirements, such as the cmake and ninja that scikit-build-core asks for when it
    is called."""
    sources: tuple[str, ...] = ()
    """Patterns of the host's files that the build reads, such as "src/*", or with a `!` of those
    that it does not, such as "!docs/*"; a change of another file builds nothing again (default: all
    files). `*` stands for slashes too, and the last pattern that fits decides."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables for the build backend, such as CMAKE_ARGS; flags are added to ours."""
    reads: tuple[str, ...] = ()
    """Files and folders beside the project's own that the backend may read in a sandbox, such as
    "/srv/sdk" or "~/sdk"; the wheel is then made of what nobody hashed."""
    config_settings: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    """PEP 517 config settings for the build backend, as `pip wheel -C` takes them."""


@dataclass(frozen=True, kw_only=True)
class Licenses:
    """`[tool.geowheel.licenses]`: what a wheel may bundle."""

    refuse: tuple[str, ...] | None = None
    """Patterns of licenses that no bundled package may be under (default: GPL-* and AGPL-*; where
    the native stack is not from a committed lock, only a warning)."""
    accept: Mapping[str, str] = field(default_factory=dict, metadata={"pattern": REASON})
    """Packages that are taken all the same: a table of patterns of their names, with the reason for
    each; without one, a package under the GPL or AGPL blocks a release."""


@dataclass(frozen=True, kw_only=True)
class Modules:
    """`[tool.geowheel.modules]`: code that bundled libraries open by a path of the system."""

    accept: Mapping[str, str] = field(default_factory=dict, metadata={"pattern": REASON})
    """Paths that may stay, in Linux wheels: a table of patterns, with the reason for each; one that
    geowheel does not know is refused otherwise."""


@dataclass(frozen=True, kw_only=True)
class Test:
    """`[tool.geowheel.test]`: what runs in a clean environment beside the built-in probes."""

    requires: tuple[str, ...] = ()
    """Requirements of the tests, the runtime ones included."""
    command: tuple[str, ...] = ()
    """The host's tests as an argument list; it runs in `{host}`, a copy of the host's files but for
    those that the wheel installs; `python` is the interpreter of the clean environment."""
    may_set: tuple[str, ...] = ()
    """Environment variables that importing the host may set, in layout none."""
    timeout_seconds: int = 600
    """Limit for the probes and for the tests."""


@dataclass(frozen=True, kw_only=True)
class Lab:
    """`[tool.geowheel.lab]`: what the lab has beside the wheel."""

    peers: tuple[str, ...] = ()
    """Libraries of the package index that the wheel is tried beside: any of pyproj, shapely,
    pyogrio, rasterio, fiona; they become a part of the build lock."""


class AuditLevel(enum.StrEnum):
    """What an audit makes of a rule that a wheel breaks."""

    ERROR = "error"
    """It fails."""
    WARN = "warn"
    """It says so."""
    OFF = "off"
    """It says nothing."""


@dataclass(frozen=True, kw_only=True)
class AuditPolicy:
    """`[tool.geowheel.audit]`: what the audit makes of wheels."""

    levels: Mapping[str, AuditLevel] = field(default_factory=dict)
    """The level of rules, by their ids: error, warn or off."""
    exceptions: Mapping[str, str] = field(default_factory=dict, metadata={"pattern": REASON})
    """What may stay: a table of "RULE PATTERN", with the reason for each; the pattern is of paths
    in the wheel, of names of packages or of ids of vulnerabilities. A reason that ends with "until
    YYYY-MM-DD" counts to that day; one about a vulnerability has to."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """`[tool.geowheel.release]`: what is released, where to and when; alone in a pure project."""

    version: Follows = Follows.OWN
    """Whose version the wheels have: the host's own, or GDAL's."""
    post: int = 0
    """With version = "gdal": number of the rebuild of the same GDAL, 1 for 3.12.1.post1."""
    index: str | None = None
    """Index to publish to: `pypi`, `testpypi`, a section of ~/.pypirc or the URL that takes
    uploads; --index overrides it."""
    simple: str | None = None
    """URL of that index's simple API, where it is neither PyPI's nor the upload URL's folder
    simple/."""
    branch: str = "main"
    """Branch that releases are made from, the default branch."""
    tag: str | None = None
    """Name of a release's tag, with `{version}` in it (default: "v{version}"; for a host below the
    repository's root its name and a hyphen before that)."""
    changelog: str = "CHANGELOG.md"
    """The changelog, from the host's folder, as keepachangelog.com has it."""
    platforms: tuple[str, ...] | None = None
    """Platforms that each release has wheels for, such as ["linux-64", "osx-arm64"] (default: that
    of the machine that releases; in the generated workflow the manifest's)."""
    channels: tuple[str, ...] | None = None
    """Channels that packages of a published wheel may be locked from (default: all that pixi.toml
    names)."""
    verdicts: tuple[str, ...] = VERDICTS
    """Verdicts without which no wheel is published: any of size, test, lab."""
    sandbox: SandboxKind = SandboxKind.NONE
    """The weakest sandbox that may have made a published wheel, such as bwrap."""
    sdist: bool = False
    """Whether an sdist is published as well: without the payload, so only where the host is of use
    without it (a pure project always publishes one)."""
    limit_mb: float = 100.0
    """Largest file that the index takes, in decimal megabytes; PyPI's is 100 MiB."""

    def following(self, gdal_version: str) -> str:
        """Return the version of wheels with this GDAL: `3.12.1.post1`; empty for the host's own."""
        if self.version is Follows.OWN:
            return ""
        return f"{gdal_version}.post{self.post}" if self.post else gdal_version


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """`[tool.geowheel.workflow]`: what `geowheel workflow` writes for GitHub Actions."""

    file: str = field(
        default="wheels.yml", metadata={"pattern": re.compile(r"[\w-][\w.-]*\.ya?ml")}
    )
    """Name of the file in .github/workflows."""
    nox: tuple[str, ...] = ("pipx", "run", "--spec", "nox=={nox}", "nox")
    """How a step runs nox: `{nox}` is the pinned version of nox, `{python}` the interpreter."""
    prefix: str = ""
    """What the noxfile puts before the sessions' names."""
    checks: tuple[str, ...] = ()
    """Sessions of the noxfile's own that have to pass before a release."""
    branches: tuple[str, ...] = ("main",)
    """Branches whose pushes run it, beside pull requests and tags."""
    pins: str = "ci/pins.toml"
    """File of the project's own pins (without it: those that geowheel came with)."""
    upload: str = "https://upload.pypi.org/legacy/"
    """Where the release is uploaded to, as a trusted publisher."""
    staging_upload: str = "https://test.pypi.org/legacy/"
    """Where it is uploaded to before that."""
    staging_index: str = "https://test.pypi.org/simple/"
    """Where pip then gets the wheels for the probes."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """`[tool.geowheel]`: everything about the wheel."""

    pythons: tuple[str, ...] = field(metadata={"pattern": PYTHON_VERSION})
    """CPython versions to build for, such as ["3.12"]."""
    import_package: str = "osgeo"
    """Import package that holds the bindings, such as "terrain._vendor.osgeo"; in layout none the
    host's own, which gets the module _geowheel."""
    layout: Layout = Layout.TOPLEVEL
    """Where the bindings sit in the wheel."""
    bindings: Bindings = Bindings.COMPILED
    """Where osgeo's compiled modules come from: GDAL's sdist, or the channel's package gdal (not in
    layout private); --bindings overrides it."""
    abi: Abi = Abi.AUTO
    """Which ABI of CPython the bindings use."""
    toolchain: Compiler = Compiler.AUTO
    """What compiles on Linux."""
    sandbox: SandboxKind = SandboxKind.AUTO
    """What shuts in the commands of every stage after fetch; --sandbox overrides it."""
    sandbox_image: str | None = field(default=None, metadata={"pattern": IMAGE})
    """Image of a container for sandbox = "container", pinned by its digest: NAME@sha256:...."""
    environment: str = "default"
    """Pixi environment that holds the native stack."""
    plugins: tuple[str, ...] = ()
    """Conda packages of GDAL driver plugins to put into the wheel."""
    programs: tuple[str, ...] | None = None
    """Patterns of GDAL's programs and of osgeo_utils' scripts to install as console commands, such
    as ["gdalinfo", "gdal_*"] (default: all in layout toplevel, none in the others)."""
    drivers: tuple[str, ...] = ("GTiff", "VRT", "MEM", "PNG", "GeoJSON", "GPKG")
    """Drivers that the wheel must have: the probes fail without one."""
    exclude: tuple[str, ...] = ()
    """Patterns of payload files to leave out, such as "osgeo/_data/*"."""
    channel_fallback: str | tuple[str, ...] = field(
        default="none", metadata={"pattern": DISTRO_CHANNEL}
    )
    """Channel to use, loudly, when nothing is locked and none can be reached: "none", "distro" (the
    distribution's own packages), "distro:SUITE" (those of a suite of it, such as trixie), or a list
    of them, the most wanted first."""
    shared_ledger: str | None = None
    """Where machines share what they made: a folder, or a URL of s3, gs, az or https;
    GEOWHEEL_SHARED_LEDGER overrides it."""
    data: Data = field(default_factory=Data)
    """Where the data goes."""
    build: Build = field(default_factory=Build)
    """The host's build."""
    budget: Budget = field(default_factory=Budget)
    """Size budget."""
    floor: str | Floor = field(default_factory=Floor, metadata={"pattern": MANYLINUX})
    """Oldest systems to support: a tag of Linux, such as "manylinux_2_28", or this table."""
    licenses: Licenses = field(default_factory=Licenses)
    """Licenses of what is bundled."""
    modules: Modules = field(default_factory=Modules)
    """Code of the system."""
    test: Test = field(default_factory=Test)
    """Tests of the wheel."""
    lab: Lab = field(default_factory=Lab)
    """The test lab."""
    audit: AuditPolicy = field(default_factory=AuditPolicy)
    """What is wrong with a wheel."""
    release: Release = field(default_factory=Release)
    """What is released."""
    workflow: Workflow = field(default_factory=Workflow)
    """The generated workflow of GitHub Actions."""

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """Channels that may stand in, the most wanted first."""
        said = self.channel_fallback
        return tuple(text for text in ([said] if isinstance(said, str) else said) if text != "none")

    @property
    def floors(self) -> Floor:
        """The oldest systems, as a tag or as a table."""
        if isinstance(self.floor, Floor):
            return self.floor
        tag = MANYLINUX.fullmatch(self.floor)
        return Floor(glibc=tag and ".".join(tag.groups()))

    @property
    def places(self) -> Places:
        """Where everything lies in the wheel."""
        folder = self.import_package.replace(".", "/")
        return Places(
            layout=self.layout,
            import_package=self.import_package,
            gdal_data=self.data.gdal or f"{folder}/_data/gdal",
            proj_data=self.data.proj or f"{folder}/_data/proj",
        )

"""`[tool.geowheel]` in the host's pyproject.toml, as one frozen value.

The dataclasses below are the only description of the configuration: names, types, defaults and
documentation. A key is the field's name with hyphens.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from keyword import iskeyword
from pathlib import Path
from typing import Any, Final, TypeVar

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from .errors import ConfigError, Fault
from .lab.cases import PEERS
from .places import Layout, Places
from .targets import PYTHON_VERSION, Platform, System

TABLE = "tool.geowheel"
GRIDS = "proj-data"
"""The conda package of PROJ's grids; nothing depends on it."""
SYSTEM_VERSION = re.compile(r"\d+\.\d+")
# Below a folder of the wheel: nothing else belongs at the top of site-packages.
_DESTINATION = re.compile(r"[A-Za-z_]\w*(/(?!\.{1,2}(/|$))[\w.-]+)+")
VERDICTS: Final = ("size", "test", "lab")
"""Stages that judge a repaired wheel."""
T = TypeVar("T")


class Fallback(enum.StrEnum):
    """The channel to use when no lock is committed and the configured one is out of reach."""

    NONE = "none"
    """No other one: the run ends with what could not be reached."""
    DISTRO = "distro"
    """The distribution's own packages, as a local channel; said aloud before and after."""


class Bindings(enum.StrEnum):
    """Where the compiled modules of osgeo come from."""

    COMPILED = "compiled"
    """From GDAL's own sdist, here, for each interpreter."""
    PREBUILT = "prebuilt"
    """From the channel's package `gdal`: for platforms that nothing here compiles for."""


class Follows(enum.StrEnum):
    """Whose version the host's wheels have."""

    OWN = "own"
    """The host's own, in the one place where its build backend reads it."""
    GDAL = "gdal"
    """GDAL's, handed to the build backend as GEOWHEEL_HOST_VERSION."""


def _doc(text: str, pattern: re.Pattern[str] | None = None) -> dict[str, Any]:
    """What a field means, and what its text (or each of its texts) has to look like as a whole."""
    return {"doc": text, "pattern": pattern}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """`[tool.geowheel.budget]`: decimal megabytes."""

    wheel_mb: float = field(
        default=100.0, metadata=_doc("largest wheel file, in decimal megabytes")
    )
    installed_mb: float = field(
        default=400.0, metadata=_doc("largest installed size, in decimal megabytes")
    )


@dataclass(frozen=True, kw_only=True)
class Floor:
    """`[tool.geowheel.floor]`: the newest system that a wheel may ask for."""

    glibc: str | None = field(
        default=None,
        metadata=_doc('newest glibc that a Linux wheel may need, such as "2.36"', SYSTEM_VERSION),
    )
    macos: str | None = field(
        default=None,
        metadata=_doc('newest macOS that a macOS wheel may need, such as "13.0"', SYSTEM_VERSION),
    )

    def of(self, system: System) -> tuple[str, str | None]:
        """The name of what a wheel of that system needs, and the newest version allowed."""
        return {
            System.LINUX: ("glibc", self.glibc),
            System.MACOS: ("macos", self.macos),
            System.WINDOWS: ("windows", None),
        }[system]


@dataclass(frozen=True, kw_only=True)
class Data:
    """`[tool.geowheel.data]`: folders in the wheel, for hosts that look in places of their own."""

    gdal: str | None = field(
        default=None,
        metadata=_doc(
            "folder of GDAL's data, such as rasterio/gdal_data "
            "(default: _data/gdal in the import package)",
            _DESTINATION,
        ),
    )
    proj: str | None = field(
        default=None,
        metadata=_doc(
            "folder of PROJ's data, such as rasterio/proj_data "
            "(default: _data/proj in the import package)",
            _DESTINATION,
        ),
    )
    grids: bool = field(
        default=False,
        metadata=_doc(
            "whether PROJ's datum grids go into the wheel: the conda package proj-data, which the "
            "environment has to hold then (hundreds of MB)"
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Build:
    """`[tool.geowheel.build]`: what the host's build backend gets beside [build-system]."""

    requires: tuple[str, ...] = field(
        default=(),
        metadata=_doc(
            "more build requirements, such as the cmake and ninja that scikit-build-core asks for "
            "when it is called"
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Licenses:
    """`[tool.geowheel.licenses]`: what a wheel may bundle."""

    refuse: tuple[str, ...] | None = field(
        default=None,
        metadata=_doc(
            "patterns of licences that no bundled package may be under (default: GPL-* and AGPL-*; "
            "where the native stack is not from a committed lock, only a warning)"
        ),
    )
    accept: tuple[str, ...] = field(
        default=(), metadata=_doc("patterns of packages that are taken all the same")
    )


@dataclass(frozen=True, kw_only=True)
class Test:
    """`[tool.geowheel.test]`: what runs in a clean environment beside the built-in probes."""

    requires: tuple[str, ...] = field(
        default=(), metadata=_doc("requirements of the tests, the runtime ones included")
    )
    command: tuple[str, ...] = field(
        default=(),
        metadata=_doc(
            "the host's tests as an argument list; `{host}` is a copy of the host's files, "
            "`python` the interpreter of the clean environment"
        ),
    )
    timeout_seconds: int = field(
        default=600, metadata=_doc("limit for the probes and for the tests")
    )


@dataclass(frozen=True, kw_only=True)
class Lab:
    """`[tool.geowheel.lab]`: what the lab has beside the wheel."""

    peers: tuple[str, ...] = field(
        default=(),
        metadata=_doc(
            "libraries of the package index that the wheel is tried beside: any of pyproj, "
            "shapely, pyogrio, rasterio, fiona; they become a part of the build lock"
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Release:
    """`[tool.geowheel.release]`: what is released, where to and when; alone in a pure project."""

    version: Follows = field(
        default=Follows.OWN,
        metadata=_doc("whose version the wheels have: the host's own, or GDAL's"),
    )
    post: int = field(
        default=0,
        metadata=_doc(
            'with version = "gdal": number of the rebuild of the same GDAL, 1 for 3.12.1.post1; '
            "`invoke bump --post` raises it"
        ),
    )
    index: str | None = field(
        default=None,
        metadata=_doc(
            "index to publish to: `pypi`, `testpypi`, a section of ~/.pypirc or the URL that takes "
            "uploads; --index overrides it"
        ),
    )
    simple: str | None = field(
        default=None,
        metadata=_doc(
            "URL of that index's simple API, where it is neither PyPI's nor the upload URL's "
            "folder simple/"
        ),
    )
    branch: str = field(
        default="main", metadata=_doc("branch that releases are made from, the default branch")
    )
    tag: str | None = field(
        default=None,
        metadata=_doc(
            'name of a release\'s tag, with `{version}` in it (default: "v{version}"; for a host '
            "below the repository's root its name and a hyphen before that)"
        ),
    )
    changelog: str = field(
        default="CHANGELOG.md",
        metadata=_doc("the changelog, from the host's folder, as keepachangelog.com has it"),
    )
    platforms: tuple[str, ...] | None = field(
        default=None,
        metadata=_doc(
            'platforms that each release has wheels for, such as ["linux-64", "osx-arm64"] '
            "(default: that of the machine that releases; in the generated workflow the manifest's)"
        ),
    )
    channels: tuple[str, ...] | None = field(
        default=None,
        metadata=_doc(
            "channels that packages of a published wheel may be locked from (default: all that "
            "pixi.toml names)"
        ),
    )
    verdicts: tuple[str, ...] = field(
        default=VERDICTS,
        metadata=_doc("verdicts without which no wheel is published: any of size, test, lab"),
    )
    sdist: bool = field(
        default=False,
        metadata=_doc(
            "whether an sdist is published as well: without the payload, so only where the host is "
            "of use without it (a pure project always publishes one)"
        ),
    )
    limit_mb: float = field(
        default=100.0,
        metadata=_doc("largest file that the index takes, in decimal megabytes; PyPI's is 100 MiB"),
    )

    def following(self, gdal_version: str) -> str:
        """The version of wheels that carry this GDAL: `3.12.1.post1`; empty for the host's own."""
        if self.version is Follows.OWN:
            return ""
        return f"{gdal_version}.post{self.post}" if self.post else gdal_version


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """`[tool.geowheel.workflow]`: what `geowheel workflow` writes for GitHub Actions."""

    file: str = field(
        default="wheels.yml",
        metadata=_doc("name of the file in .github/workflows", re.compile(r"[\w-][\w.-]*\.ya?ml")),
    )
    nox: tuple[str, ...] = field(
        default=("pipx", "run", "--spec", "nox=={nox}", "nox"),
        metadata=_doc(
            "how a step runs nox: `{nox}` is the pinned version of nox, `{python}` the interpreter"
        ),
    )
    prefix: str = field(
        default="", metadata=_doc("what the noxfile puts before the sessions' names")
    )
    checks: tuple[str, ...] = field(
        default=(),
        metadata=_doc("sessions of the noxfile's own that have to pass before a release"),
    )
    branches: tuple[str, ...] = field(
        default=("main",),
        metadata=_doc("branches whose pushes run it, beside pull requests and tags"),
    )
    pins: str = field(
        default="ci/pins.toml",
        metadata=_doc("file of the project's own pins (without it: those that geowheel came with)"),
    )
    upload: str = field(
        default="https://upload.pypi.org/legacy/",
        metadata=_doc("where the release is uploaded to, as a trusted publisher"),
    )
    staging_upload: str = field(
        default="https://test.pypi.org/legacy/",
        metadata=_doc("where it is uploaded to before that"),
    )
    staging_index: str = field(
        default="https://test.pypi.org/simple/",
        metadata=_doc("where pip then gets the wheels for the probes"),
    )


@dataclass(frozen=True, kw_only=True)
class Config:
    """`[tool.geowheel]`: everything about the wheel."""

    pythons: tuple[str, ...] = field(
        metadata=_doc('CPython versions to build for, such as ["3.12"]', PYTHON_VERSION)
    )
    import_package: str = field(
        default="osgeo",
        metadata=_doc(
            'import package that holds the bindings, such as "terrain._vendor.osgeo"; in layout '
            "none the host's own, which gets the module _geowheel"
        ),
    )
    layout: Layout = field(
        default=Layout.TOPLEVEL, metadata=_doc("where the bindings sit in the wheel")
    )
    bindings: Bindings = field(
        default=Bindings.COMPILED,
        metadata=_doc(
            "where osgeo's compiled modules come from: GDAL's sdist, or the channel's package gdal "
            "(not in layout private); --bindings overrides it"
        ),
    )
    environment: str = field(
        default="default", metadata=_doc("pixi environment that holds the native stack")
    )
    plugins: tuple[str, ...] = field(
        default=(), metadata=_doc("conda packages of GDAL driver plugins to put into the wheel")
    )
    programs: tuple[str, ...] | None = field(
        default=None,
        metadata=_doc(
            "patterns of GDAL's programs and of osgeo_utils' scripts to install as console "
            'commands, such as ["gdalinfo", "gdal_*"] (default: all in layout toplevel, none in '
            "the others)"
        ),
    )
    drivers: tuple[str, ...] = field(
        default=("GTiff", "VRT", "MEM", "PNG", "GeoJSON", "GPKG"),
        metadata=_doc("drivers that the wheel must have: the probes fail without one"),
    )
    exclude: tuple[str, ...] = field(
        default=(), metadata=_doc('patterns of payload files to leave out, such as "osgeo/_data/*"')
    )
    channel_fallback: Fallback = field(
        default=Fallback.NONE,
        metadata=_doc("channel to use, loudly, when nothing is locked and none can be reached"),
    )
    data: Data = field(default_factory=Data, metadata=_doc("where the data goes"))
    build: Build = field(default_factory=Build, metadata=_doc("the host's build"))
    budget: Budget = field(default_factory=Budget, metadata=_doc("size budget"))
    floor: Floor = field(default_factory=Floor, metadata=_doc("oldest systems to support"))
    licenses: Licenses = field(
        default_factory=Licenses, metadata=_doc("licences of what is bundled")
    )
    test: Test = field(default_factory=Test, metadata=_doc("tests of the wheel"))
    lab: Lab = field(default_factory=Lab, metadata=_doc("the test lab"))
    release: Release = field(default_factory=Release, metadata=_doc("what is released"))
    workflow: Workflow = field(
        default_factory=Workflow, metadata=_doc("the generated workflow of GitHub Actions")
    )

    @property
    def wanted_packages(self) -> tuple[str, ...]:
        """Conda packages of the native stack that nothing else in it needs."""
        return (*self.plugins, *((GRIDS,) if self.data.grids else ()))

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


@dataclass(frozen=True, kw_only=True)
class BuildSystem:
    """`[build-system]`, as PEP 517 and PEP 518 define it."""

    requires: tuple[str, ...]
    backend: str
    backend_path: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class HostFile:
    """What geowheel reads from a host's pyproject.toml."""

    path: Path
    name: str
    requires_python: str
    build_system: BuildSystem
    config: Config


def read_toml(path: Path) -> dict[str, Any]:
    """The parsed file; raises ConfigError when it is missing, and as `parse_toml` does."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            "there is no such file", where=str(path), fix="name the host's folder with --host DIR"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"not valid TOML: {error}", where=str(path)) from None
    return parse_toml(text, path)


def parse_toml(text: str, path: Path) -> dict[str, Any]:
    """A pyproject.toml, its tables known to be tables; raises ConfigError with the reason."""
    try:
        text.encode("utf-8")
        data = tomllib.loads(text)
    except UnicodeEncodeError:
        raise ConfigError("not valid TOML: it is not UTF-8", where=str(path)) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not valid TOML: {error}", where=str(path)) from None
    for name in ("project", "build-system", "tool"):
        if not isinstance(data.get(name, {}), Mapping):
            raise ConfigError(f"{name} must be a table", where=str(path))
    return data


def read_host(folder: Path) -> HostFile:
    """The host project in `folder`; raises ConfigError with every fault at once."""
    path = folder / "pyproject.toml"
    return host_from(read_toml(path), path)


def host_from(data: Mapping[str, Any], path: Path) -> HostFile:
    """The host project that a parsed pyproject.toml describes; `path` is for messages.

    Raises ConfigError with every fault at once.
    """
    faults: list[Fault] = []
    tool = data.get("tool", {}).get("geowheel")
    if tool is None:
        raise ConfigError(
            f"no [{TABLE}] table",
            where=str(path),
            cause="this project does not use geowheel yet",
            fix=f'run `geowheel init`, or add [{TABLE}] with at least pythons = ["3.12"]',
        )
    reader = _Reader(path=path, faults=faults)
    config = reader.table(Config, tool, TABLE)
    project = data.get("project", {})
    if not isinstance(project.get("name"), str):
        faults.append(Fault(what="[project] has no name", where=str(path)))
    requires_python = str(project.get("requires-python", ""))
    if config is not None:
        faults += _check(config, requires_python, path)
    build = data.get("build-system", {})
    faults += _unreadable(build.get("requires", []), path)
    if faults or config is None:
        raise ConfigError(faults)
    return HostFile(
        path=path,
        name=project["name"],
        requires_python=requires_python,
        build_system=BuildSystem(
            # PEP 517: what a project without the table gets.
            requires=tuple(build.get("requires", ["setuptools>=40.8.0"])),
            backend=build.get("build-backend", "setuptools.build_meta:__legacy__"),
            backend_path=tuple(build.get("backend-path", [])),
        ),
        config=config,
    )


def is_pure(data: Mapping[str, Any]) -> bool:
    """Whether a parsed pyproject.toml asks geowheel for no GDAL: at most for its own release."""
    table = data.get("tool", {}).get("geowheel", {})
    return isinstance(table, Mapping) and set(table) <= {"release"}


def release_from(data: Mapping[str, Any], path: Path) -> Release:
    """`[tool.geowheel.release]` of a pure project; raises ConfigError with every fault at once."""
    faults: list[Fault] = []
    table = data.get("tool", {}).get("geowheel", {}).get("release", {})
    release = _Reader(path=path, faults=faults).table(Release, table, f"{TABLE}.release")
    if release is not None:
        faults += _check_release(release, path)
    if faults or release is None:
        raise ConfigError(faults)
    return release


def _check_release(release: Release, path: Path) -> list[Fault]:
    """What is wrong with `[tool.geowheel.release]`."""
    found: list[tuple[str, str, str]] = []
    for key, values, known in (
        ("platforms", release.platforms or (), tuple(Platform)),
        ("verdicts", release.verdicts, VERDICTS),
    ):
        found += [
            (key, f"{value!r} is none that is known", f"use some of {', '.join(known)}")
            for value in values
            if value not in known
        ]
    if release.tag is not None and "{version}" not in release.tag:
        found.append(("tag", f"{release.tag!r} has no {{version}}", 'such as "v{version}"'))
    return [
        Fault(what=f"[{TABLE}.release] {key}: {what}", where=str(path), fix=fix)
        for key, what, fix in found
    ]


def _unreadable(requires: object, path: Path) -> list[Fault]:
    if not isinstance(requires, list):
        return [Fault(what="[build-system] requires must be a list of strings", where=str(path))]
    faults = []
    for requirement in requires:
        try:
            Requirement(requirement)
        except (InvalidRequirement, TypeError) as error:
            what = f"[build-system] requires: {requirement!r}: {error}"
            faults.append(Fault(what=what, where=str(path)))
    return faults


def _check(config: Config, requires_python: str, path: Path) -> list[Fault]:
    faults = []

    def fault(key: str, what: str, fix: str = "") -> None:
        faults.append(Fault(what=f"[{TABLE}] {key}: {what}", where=str(path), fix=fix))

    try:
        allowed = SpecifierSet(requires_python)
    except InvalidSpecifier as error:
        allowed = SpecifierSet()
        faults.append(Fault(what=f"[project] requires-python: {error}", where=str(path)))
    if not config.pythons:
        fault("pythons", "is empty", 'name at least one version, such as ["3.12"]')
    for python in config.pythons:
        if not PYTHON_VERSION.fullmatch(python):
            fault("pythons", f"{python!r} is not a CPython version such as 3.12")
        elif not allows(allowed, python):
            fault("pythons", f"{python} is outside requires-python {requires_python!r}")
    for key, requires in (
        ("build.requires", config.build.requires),
        ("test.requires", config.test.requires),
        ("lab.peers", config.lab.peers),
    ):
        for requirement in requires:
            try:
                name = Requirement(requirement).name
            except InvalidRequirement as error:
                fault(key, f"{requirement!r}: {error}")
            else:
                if key == "lab.peers" and name not in PEERS:
                    fault(key, f"the lab has no work for {name}", f"use some of {', '.join(PEERS)}")
    for system in System:
        name, newest = config.floor.of(system)
        if newest is not None and not SYSTEM_VERSION.fullmatch(newest):
            fault(f"floor.{name}", f"{newest!r} is not a version such as 2.36")
    package = config.import_package
    if not all(part.isidentifier() and not iskeyword(part) for part in package.split(".")):
        fault("import-package", f"{package!r} is not the name of a package")
    elif problem := _misplaced(package, config.layout):
        fault("import-package", *problem)
    for key, destination in (("data.gdal", config.data.gdal), ("data.proj", config.data.proj)):
        if destination is not None and not _DESTINATION.fullmatch(destination):
            fault(
                key,
                f"{destination!r} is no folder below a package of the wheel",
                'name it from the wheel\'s root, with slashes, such as "rasterio/gdal_data"',
            )
    if config.release.post < 0 or (config.release.post and config.release.version is Follows.OWN):
        fault("release.post", 'is a number from 0, of version = "gdal"')
    places = config.places
    if f"{places.gdal_data}/".startswith(f"{places.proj_data}/") or (
        f"{places.proj_data}/".startswith(f"{places.gdal_data}/")
    ):
        fault("data", f"gdal and proj would share {places.gdal_data}", "name two folders")
    return [*faults, *_check_release(config.release, path)]


def allows(specifiers: SpecifierSet, python: str) -> bool:
    """Whether some release of `python`, such as 3.12, is within requires-python's specifiers."""
    return any(specifiers.contains(text, prereleases=True) for text in (python, f"{python}.99"))


def _misplaced(package: str, layout: Layout) -> tuple[str, str] | None:
    """What is wrong with an import package in a layout, and what to do about it."""
    *above, name = package.split(".")
    if layout is Layout.NONE:
        if package.partition(".")[0] not in ("osgeo", "osgeo_utils"):
            return None
        what = f"{package!r} is GDAL's own: in layout = \"none\" it is the host's package"
        return what, 'name the package that calls configure(), such as import-package = "rasterio"'
    if layout is Layout.TOPLEVEL:
        if package == "osgeo":
            return None
        what = f'{package!r} does not fit layout = "toplevel", which is osgeo itself'
        return what, 'set layout = "private" for a copy below the host\'s own package'
    if name != "osgeo" or len(above) < 2:
        what = f'{package!r} does not fit layout = "private": it is no HOST_PACKAGE._vendor.osgeo'
        return what, 'name a package below the host\'s own, such as "terrain._vendor.osgeo"'
    if above[0] in ("osgeo", "osgeo_utils"):
        return f"{package!r} is below GDAL's own {above[0]}", "name the host's own package"
    return None


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """Reads one table into one dataclass, collecting faults instead of raising."""

    path: Path
    faults: list[Fault]

    def table(self, kind: type[T], data: object, where: str) -> T | None:
        if not isinstance(data, Mapping):
            self._fault(where, "must be a table")
            return None
        hints = typing.get_type_hints(kind)
        known = {f.name.replace("_", "-"): f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
        values: dict[str, Any] = {}
        sound = True
        for key, value in data.items():
            if key not in known:
                self._unknown(where, key, list(known))
                continue
            name = known[key].name
            before = len(self.faults)
            values[name] = self._value(hints[name], value, f"{where}.{key}")
            sound = sound and len(self.faults) == before
        for key, described in known.items():
            required = (
                described.default is dataclasses.MISSING
                and described.default_factory is dataclasses.MISSING
            )
            if required and key not in data:
                self._fault(where, f"{key} is missing: {described.metadata['doc']}")
                sound = False
        return kind(**values) if sound else None

    def _value(self, kind: Any, value: object, where: str) -> Any:
        if isinstance(kind, types.UnionType):
            kind = next(part for part in typing.get_args(kind) if part is not type(None))
        if dataclasses.is_dataclass(kind):
            return self.table(typing.cast("type[Any]", kind), value, where)
        if typing.get_origin(kind) is tuple:
            if isinstance(value, list) and all(isinstance(item, str) for item in value):
                return tuple(value)
            return self._fault(where, "must be a list of strings")
        if issubclass(kind, enum.StrEnum):
            return self._choice(kind, value, where)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return value
        names = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}
        return self._fault(where, f"must be {names[kind]}")

    def _choice(self, kind: type[enum.StrEnum], value: object, where: str) -> enum.StrEnum | None:
        if isinstance(value, str) and value in list(kind):
            return kind(value)
        self._fault(where, f"{value!r} is not one of {', '.join(kind)}")
        return None

    def _unknown(self, where: str, key: str, known: list[str]) -> None:
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        self._fault(where, f"unknown key {key!r}; {hint}")

    def _fault(self, where: str, what: str) -> None:
        self.faults.append(Fault(what=f"[{where}] {what}", where=str(self.path)))

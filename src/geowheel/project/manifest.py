"""pixi.toml (or `[tool.pixi]` in pyproject.toml): conda specs, channels and platforms.

py-rattler has no parser for it. What is read is what a native stack needs; everything else in the
file is pixi's own business and stays unread. Source: pixi's manifest reference, "The pixi.toml";
what it leaves open (how features combine) was tried with pixi 0.77.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
from packaging.version import InvalidVersion, Version

from geowheel.errors import ConfigError
from geowheel.targets import Platform, System, parse_platform

from .pixi_tables import (
    ChannelTable,
    EnvironmentTable,
    FeatureTable,
    LibcTable,
    PixiTable,
    PlatformItem,
    Spec,
    WorkspaceTable,
)
from .pyproject import read_toml, refuse_login

# What pixi assumes of a platform unless the manifest says otherwise; the same values stand in the
# locks that pixi 0.68 and newer write.
DEFAULT_GLIBC: Final = "2.28"
DEFAULT_LINUX: Final = "4.18"
DEFAULT_MACOS: Final = "13.0"
DEFAULT_WINDOWS: Final = "10.0"

_REQUIREMENTS: Final = ("cuda", "archspec", "glibc", "linux", "macos", "windows")
_ALIASES: Final = {"libc": "glibc", "osx": "macos"}
_ARCHSPECS: Final = {Platform.OSX_ARM64: "m1", Platform.WIN_64: "x86_64"}
"""Those that are not called as the platform's architecture is."""


@dataclass(frozen=True, kw_only=True)
class EnvironmentSpec:
    """What one pixi environment asks for on one platform."""

    name: str
    platform: Platform
    channels: tuple[str, ...]
    specs: tuple[Spec, ...]
    """In the order of their names; several of one name have to hold together."""
    virtual_packages: tuple[str, ...]
    """`__glibc=2.28` and the like."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A pixi manifest; `environment()` answers all questions about it."""

    path: Path
    table: PixiTable
    """The file's content, or its `tool.pixi` table."""
    pyproject: Mapping[str, Any] = field(default_factory=dict)
    """The whole pyproject.toml where the manifest is a table of it, else empty."""

    @property
    def lock_path(self) -> Path:
        """Where pixi keeps the lock: beside the manifest."""
        return self.path.parent / "pixi.lock"

    @property
    def conda_lock_path(self) -> Path:
        """Where conda-lock.yml is written, and looked for where there is no pixi.lock."""
        return self.path.parent / "conda-lock.yml"

    @property
    def committed_lock(self) -> Path | None:
        """The lock that a run uses: pixi.lock, else conda-lock.yml; None where there is neither."""
        places = (self.lock_path, self.conda_lock_path)
        return next((path for path in places if path.is_file()), None)

    @property
    def channels(self) -> tuple[str, ...]:
        """The workspace's channels, names or URLs, the first to ask first."""
        return _channels(self._workspace.channels)

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """The workspace's platforms; those that geowheel does not know are left out."""
        return tuple(dict.fromkeys(item.platform for item in self._every_platform))

    @property
    def unknown_platforms(self) -> tuple[str, ...]:
        """Platforms of the workspace that geowheel leaves out."""
        names = [_subdir(item) for item in self._workspace.platforms]
        return tuple(name for name in names if name not in set(Platform))

    @property
    def environments(self) -> tuple[str, ...]:
        """Names of all environments."""
        return tuple(dict.fromkeys(["default", *self.table.environments]))

    @property
    def strict_priority(self) -> bool:
        """Whether a package is only taken from the first channel that has it."""
        return self._workspace.channel_priority != "disabled"

    def platforms_of(self, environment: str) -> tuple[Platform, ...]:
        """Return the workspace's platforms that all features of an environment support."""
        kept = {item.platform for item in self._platforms_of(environment)}
        return tuple(platform for platform in self.platforms if platform in kept)

    def solve_group(self, environment: str) -> str | None:
        """Return the name under which pixi solves several environments together."""
        return self._described(environment).solve_group

    def own_feature(self, environment: str) -> str | None:
        """Return the feature by which `pixi add` adds to an environment; None: the default one."""
        described = self._described(environment)
        if environment == "default" and not described.no_default_feature:
            return None
        return next(iter(described.features), None)

    def environment(self, name: str, platform: Platform) -> EnvironmentSpec:
        """Return what `name` asks for on `platform`; raises ConfigError when one is not there."""
        if name not in self.environments:
            raise ConfigError(
                f"no environment {name!r}",
                where=str(self.path),
                cause="[tool.geowheel] environment names one that pixi does not know",
                fix=f"use one of {', '.join(self.environments)}, or add it below [environments]",
            )
        entry = self._platform_entry(name, platform)
        specs: set[Spec] = set()
        channels: list[str | ChannelTable] = []
        requirements = dict(entry.requirements)
        for feature in self._features(name):
            # Every feature's wish has to hold: pixi intersects them, no feature overrides another.
            specs |= set(_dependencies(feature, entry).values())
            own = feature.channels
            channels += self._workspace.channels if own is None else own
            requirements = _highest(requirements, feature.system_requirements, self.path)
        return EnvironmentSpec(
            name=name,
            platform=platform,
            channels=_channels(channels),
            specs=tuple(sorted(specs, key=lambda spec: (spec.name, spec.text))),
            virtual_packages=virtual_packages(platform, requirements),
        )

    def only_for_pixi(self) -> list[str]:
        """Return what the manifest says that py-rattler's solver cannot follow."""
        features = [self.table, *self.table.feature.values()]
        every = [*features, *(table for f in features for table in f.target.values())]
        project = self.pyproject.get("project", {})
        workspace = self._workspace
        found = {
            "pypi-dependencies": any(table.pypi_dependencies for table in every)
            or project.get("dependencies"),
            "dependencies from a path, a git repository or a URL": any(
                spec.from_source for table in every for spec in table.specs.values()
            ),
            "[workspace] exclude-newer": workspace.exclude_newer is not None,
            "[workspace] solve-strategy": workspace.solve_strategy is not None,
            "[workspace] build-variants": workspace.build_variants is not None,
            "constraints": any(table.constraints is not None for table in every),
            "dev": any(table.dev is not None for table in every),
        }
        return [name for name, has in found.items() if has]

    @property
    def _workspace(self) -> WorkspaceTable:
        return self.table.workspace or self.table.project or WorkspaceTable()

    @property
    def _every_platform(self) -> "list[_PlatformEntry]":
        return [
            _platform_entry(item, self.path)
            for item in self._workspace.platforms
            if _subdir(item) in set(Platform)
        ]

    def _described(self, environment: str) -> EnvironmentTable:
        described = self.table.environments.get(environment, [])
        return EnvironmentTable(described) if isinstance(described, list) else described

    def _platforms_of(self, environment: str) -> "list[_PlatformEntry]":
        kept = self._every_platform
        for feature in self._features(environment):
            if feature.platforms is not None:
                named = {(_name(item), _subdir(item)) for item in feature.platforms}
                names = {name for pair in named for name in pair}
                kept = [item for item in kept if {item.name, str(item.platform)} & names]
        return kept

    def _platform_entry(self, environment: str, platform: Platform) -> "_PlatformEntry":
        if platform not in self.platforms:
            raise ConfigError(
                f"platform {platform} is not among the workspace's platforms",
                where=str(self.path),
                fix=f"say --platform with one of them ({', '.join(self.platforms)}), or add it "
                f"with `pixi workspace platform add {parse_platform(platform)}`",
            )
        entries = [e for e in self._platforms_of(environment) if e.platform is platform]
        if not entries:
            raise ConfigError(
                f"a feature of environment {environment!r} does not support {platform}",
                where=str(self.path),
                fix="add it to the platforms of that feature, or name another environment in "
                "[tool.geowheel]",
            )
        # Several of one subdir differ in virtual packages; the plain one comes first.
        return min(entries, key=lambda entry: entry.name != str(platform))

    def _features(self, name: str) -> Iterator[FeatureTable]:
        described, known = self._described(name), self.table.feature
        # In a pyproject.toml these are features as well, of Python packages only.
        project = self.pyproject.get("project", {})
        groups = {
            *project.get("optional-dependencies", {}),
            *self.pyproject.get("dependency-groups", {}),
        }
        for feature in described.features:
            if feature not in known and feature not in groups:
                raise ConfigError(
                    f"environment {name!r} names feature {feature!r}, which is not there",
                    where=str(self.path),
                )
            yield known.get(feature, FeatureTable())
        if not described.no_default_feature:
            yield self.table


@dataclass(frozen=True, kw_only=True)
class _PlatformEntry:
    """One of the workspace's platforms: a subdir, or a table with a name and requirements."""

    name: str
    platform: Platform
    requirements: Mapping[str, str]


def find_manifest(folder: Path) -> Manifest:
    """Return the manifest that pixi would use in `folder`: the nearest one upwards.

    Raises ConfigError when there is none, or when it names no channel.
    """
    manifest = nearest_manifest(folder)
    if manifest is None:
        raise ConfigError(
            f"neither a pixi.toml nor a [tool.pixi] table in {folder} or above it",
            fix="run `geowheel init`; or `pixi init` and `pixi add libgdal-core ca-certificates`",
        )
    refuse_login(manifest.path.read_bytes(), manifest.path)
    if not manifest.channels:
        raise ConfigError(
            "no channels in [workspace]",
            where=str(manifest.path),
            fix='add channels = ["conda-forge"]',
        )
    return manifest


def nearest_manifest(folder: Path) -> Manifest | None:
    """Return the nearest manifest upwards, whatever it holds; None where there is none.

    Raises ConfigError when a file on the way is not TOML.
    """
    for place in (folder, *folder.parents):
        manifest = _manifest_in(place)
        if manifest is not None:
            return manifest
    return None


def _manifest_in(folder: Path) -> Manifest | None:
    path, pyproject = folder / "pixi.toml", dict[str, Any]()
    if path.is_file():
        data = read_toml(path)
    else:
        path = folder / "pyproject.toml"
        pyproject = read_toml(path) if path.is_file() else {}
        if "pixi" not in pyproject.get("tool", {}):
            return None
        data = pyproject["tool"]["pixi"]
    if isinstance(data, dict) and "package" in data and not {"workspace", "project"} & data.keys():
        return None  # one package of a workspace that is further up
    try:
        table = msgspec.convert(data, PixiTable)
    except msgspec.ValidationError as error:
        raise ConfigError(f"not a manifest of pixi's: {error}", where=str(path)) from None
    needs = pyproject.get("project", {}).get("requires-python")
    if isinstance(needs, str) and needs:
        # pixi takes a pyproject.toml's interpreter from there.
        table.dependencies = {"python": needs, **table.dependencies}
    return Manifest(path=path, table=table, pyproject=pyproject)


def virtual_packages(platform: Platform, requirements: Mapping[str, str]) -> tuple[str, ...]:
    """Return the virtual packages that pixi 0.77 assumes, system requirements applied."""
    usual = _ARCHSPECS.get(platform, platform.architecture)
    archspec = f"__archspec=0={requirements.get('archspec', usual)}"
    has_cuda = "cuda" in requirements and platform.system is not System.MACOS
    cuda = [f"__cuda={requirements['cuda']}"] if has_cuda else []
    match platform.system:
        case System.LINUX:
            kernel = requirements.get("linux", DEFAULT_LINUX)
            libc = requirements.get("glibc", DEFAULT_GLIBC)
            own = ["__unix=0=0", f"__linux={kernel}", f"__glibc={libc}"]
        case System.MACOS:
            own = ["__unix=0=0", f"__osx={requirements.get('macos', DEFAULT_MACOS)}"]
        case System.WINDOWS:
            own = [f"__win={requirements.get('windows', DEFAULT_WINDOWS)}"]
    return (*own, archspec, *cuda)


def _channels(items: Iterable[str | ChannelTable]) -> tuple[str, ...]:
    """Return names or URLs by falling priority, in their order where it is the same."""
    found: dict[str, int] = {}
    for item in items:
        table = ChannelTable(item) if isinstance(item, str) else item
        found.setdefault(table.channel, table.priority)
    return tuple(sorted(found, key=lambda name: -found[name]))


def _subdir(item: PlatformItem) -> str:
    return item if isinstance(item, str) else str(item.get("platform", ""))


def _name(item: PlatformItem) -> str:
    return item if isinstance(item, str) else str(item.get("name", _subdir(item)))


def _platform_entry(item: PlatformItem, path: Path) -> _PlatformEntry:
    table = {} if isinstance(item, str) else item
    said = {key: value for key, value in table.items() if key not in {"name", "platform"}}
    return _PlatformEntry(
        name=_name(item),
        platform=parse_platform(_subdir(item)),
        requirements=_highest({}, said, path),
    )


def _highest(
    old: Mapping[str, str], more: Mapping[str, str | LibcTable], path: Path
) -> dict[str, str]:
    """Return the requirements of both, the newer version of each, as pixi combines them."""
    merged = dict(old)
    for name, value in more.items():
        key = _ALIASES.get(name, name)
        table = LibcTable(value) if isinstance(value, str) else value
        if key not in _REQUIREMENTS:
            raise ConfigError(
                f"unknown system requirement {name!r}",
                where=str(path),
                fix=f"use {', '.join(_REQUIREMENTS)}",
            )
        if table.family != "glibc":
            raise ConfigError(
                f"libc family {table.family!r}: only glibc is supported", where=str(path)
            )
        if not re.fullmatch(r"[\w-]{1,18}(\.\w{1,18})*", table.version, re.ASCII):
            raise ConfigError(f"{name}: {table.version!r} is not a version", where=str(path))
        merged[key] = _newer(merged[key], table.version) if key in merged else table.version
    return merged


def _newer(one: str, other: str) -> str:
    try:
        return max(one, other, key=Version)
    except InvalidVersion:
        return other  # an archspec's name: the later one


def _dependencies(feature: FeatureTable, entry: _PlatformEntry) -> dict[str, Spec]:
    """Read them by name; later tables win, from the general to the exact, as in pixi."""
    system = entry.platform.partition("-")[0]
    selectors = (["unix"] if system != "win" else []) + [system, str(entry.platform), entry.name]
    found = feature.specs
    for selector in dict.fromkeys(selectors):
        if selector in feature.target:
            found |= feature.target[selector].specs
    return found

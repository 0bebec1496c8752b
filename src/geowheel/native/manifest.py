"""pixi.toml (or `[tool.pixi]` in pyproject.toml): conda specs, channels and platforms.

py-rattler has no parser for it. What is read is what a native stack needs; everything else in the
file is pixi's own business and stays unread. Source: pixi's manifest reference, "The pixi.toml".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geowheel.config import read_toml
from geowheel.errors import ConfigError
from geowheel.targets import Platform, parse_platform

# What pixi assumes of a platform unless [system-requirements] says otherwise; the same values
# stand in the locks that pixi 0.68 and newer write.
DEFAULT_GLIBC = "2.28"
DEFAULT_LINUX = "4.18"
DEFAULT_MACOS = "13.0"


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One conda requirement in the form that a MatchSpec takes: `libgdal-core >=3.10`."""

    name: str
    text: str


@dataclass(frozen=True, kw_only=True)
class EnvironmentSpec:
    """What one pixi environment asks for on one platform."""

    name: str
    platform: Platform
    channels: tuple[str, ...]
    specs: tuple[Spec, ...]
    virtual_packages: tuple[str, ...]
    """`__glibc=2.28` and the like, in the order that pixi writes them."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A pixi manifest; `environment()` answers all questions about it."""

    path: Path
    data: Mapping[str, Any]
    """The file's content, or its `tool.pixi` table."""

    @property
    def lock_path(self) -> Path:
        """Where pixi keeps the lock: beside the manifest."""
        return self.path.parent / "pixi.lock"

    @property
    def channels(self) -> tuple[str, ...]:
        """The workspace's channels, names or URLs."""
        return tuple(
            channel["channel"] if isinstance(channel, Mapping) else str(channel)
            for channel in self._workspace.get("channels", [])
        )

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """The workspace's platforms; those that geowheel does not know are left out."""
        known = set(Platform)
        return tuple(
            Platform(name) for name in self._workspace.get("platforms", []) if name in known
        )

    @property
    def environments(self) -> tuple[str, ...]:
        """Names of all environments."""
        return tuple(dict.fromkeys(["default", *self.data.get("environments", {})]))

    def environment(self, name: str, platform: Platform) -> EnvironmentSpec:
        """What `name` asks for on `platform`; raises ConfigError when either is not in the file."""
        if name not in self.environments:
            raise ConfigError(
                f"no environment {name!r}",
                where=str(self.path),
                cause="[tool.geowheel] environment names one that pixi does not know",
                fix=f"use one of {', '.join(self.environments)}, or add it below [environments]",
            )
        if platform not in self.platforms:
            raise ConfigError(
                f"platform {platform} is not among the workspace's platforms",
                where=str(self.path),
                fix=f"add it with `pixi workspace platform add {parse_platform(platform)}`",
            )
        specs: dict[str, Spec] = {}
        requirements: dict[str, str] = {}
        for feature in self._features(name):
            requirements |= {
                k: str(v)
                for k, v in feature.get("system-requirements", {}).items()
                if not isinstance(v, Mapping)
            }
            for spec in _dependencies(feature, platform):
                specs[spec.name] = spec
        return EnvironmentSpec(
            name=name,
            platform=platform,
            channels=self.channels,
            specs=tuple(specs[key] for key in sorted(specs)),
            virtual_packages=virtual_packages(platform, requirements),
        )

    @property
    def _workspace(self) -> Mapping[str, Any]:
        table: Mapping[str, Any] = self.data.get("workspace") or self.data.get("project") or {}
        return table

    def _features(self, name: str) -> Iterator[Mapping[str, Any]]:
        described = self.data.get("environments", {}).get(name, [])
        without_default = isinstance(described, Mapping) and described.get("no-default-feature")
        if not without_default:
            yield self.data
        names = described.get("features", []) if isinstance(described, Mapping) else described
        for feature in names:
            if feature not in self.data.get("feature", {}):
                raise ConfigError(
                    f"environment {name!r} names feature {feature!r}, which is not there",
                    where=str(self.path),
                )
            yield self.data["feature"][feature]


def find_manifest(folder: Path) -> Manifest:
    """The manifest that pixi would use in `folder`: the nearest one upwards.

    Raises ConfigError when there is none, or when it names no channel.
    """
    for place in (folder, *folder.parents):
        manifest = _manifest_in(place)
        if manifest is None:
            continue
        if not manifest.channels:
            raise ConfigError(
                "no channels in [workspace]",
                where=str(manifest.path),
                fix='add channels = ["conda-forge"]',
            )
        return manifest
    raise ConfigError(
        f"neither a pixi.toml nor a [tool.pixi] table in {folder} or above it",
        fix="run `pixi init` and `pixi add libgdal-core`, or write pixi.toml by hand",
    )


def _manifest_in(folder: Path) -> Manifest | None:
    if (folder / "pixi.toml").is_file():
        return Manifest(path=folder / "pixi.toml", data=read_toml(folder / "pixi.toml"))
    if (folder / "pyproject.toml").is_file():
        table = read_toml(folder / "pyproject.toml").get("tool", {}).get("pixi")
        if table is not None:
            return Manifest(path=folder / "pyproject.toml", data=table)
    return None


def virtual_packages(platform: Platform, requirements: Mapping[str, str]) -> tuple[str, ...]:
    """The virtual packages that pixi 0.77 assumes, `[system-requirements]` applied."""
    system, _, _ = platform.partition("-")
    archspec = {
        "linux-64": "x86_64",
        "osx-64": "x86_64",
        "win-64": "x86_64",
        "osx-arm64": "m1",
        "linux-aarch64": "aarch64",
        "win-arm64": "arm64",
    }[platform]
    arch = f"__archspec=0={archspec}"
    if system == "linux":
        libc = requirements.get("libc", DEFAULT_GLIBC)
        kernel = requirements.get("linux", DEFAULT_LINUX)
        return ("__unix=0=0", f"__linux={kernel}", f"__glibc={libc}", arch)
    if system == "osx":
        return ("__unix=0=0", f"__osx={requirements.get('macos', DEFAULT_MACOS)}", arch)
    return ("__win=10.0", arch)


def _dependencies(feature: Mapping[str, Any], platform: Platform) -> Iterator[Spec]:
    system = platform.partition("-")[0]
    # Later tables win, from the general to the exact, as in pixi.
    selectors = (["unix"] if system != "win" else []) + [system, str(platform)]
    tables = [feature.get("dependencies", {})]
    tables += [
        feature.get("target", {}).get(selector, {}).get("dependencies", {})
        for selector in selectors
    ]
    for table in tables:
        for name, value in table.items():
            yield Spec(name=name, text=_match_spec(name, value))


def _match_spec(name: str, value: object) -> str:
    if isinstance(value, str):
        return f"{name} {value}"
    if not isinstance(value, Mapping):
        raise ConfigError(f"dependency {name!r} is neither a version nor a table")
    text = f"{name} {value.get('version', '*')}"
    details = [f'{key}="{value[key]}"' for key in ("build", "channel") if key in value]
    return f"{text} [{', '.join(details)}]" if details else text

"""The tables of a pixi.toml, as far as a native stack depends on them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

# Key of a dependency's table to the key of a MatchSpec.
_DETAILS: Final = {
    "build": "build",
    "build-number": "build_number",
    "channel": "channel",
    "subdir": "subdir",
    "file-name": "fn",
    "md5": "md5",
    "sha256": "sha256",
}
_FROM_SOURCE: Final = frozenset({"path", "git", "url"})


@dataclass(frozen=True, kw_only=True)
class Spec:
    """One conda requirement in the form that a MatchSpec takes: `libgdal-core >=3.10`."""

    name: str
    text: str
    from_source: bool = False
    """It names a path, a git repository or a URL: only pixi itself can lock that."""


class ChannelTable(msgspec.Struct):
    """A channel with its priority, higher first."""

    channel: str
    priority: int = 0


class LibcTable(msgspec.Struct):
    """A system requirement that names its family of libc."""

    version: str
    family: str = "glibc"


PlatformItem: TypeAlias = str | dict[str, str | LibcTable]
"""A subdir, or a table with a name, a subdir and system requirements."""


class EnvironmentTable(msgspec.Struct, rename="kebab"):
    """An environment: its features, and how they come together."""

    features: list[str] = []
    solve_group: str | None = None
    no_default_feature: bool = False


class DependencyTables(msgspec.Struct, rename="kebab"):
    """What stands in a feature, and again below `target` for some platforms."""

    dependencies: dict[str, str | dict[str, Any]] = {}
    host_dependencies: dict[str, str | dict[str, Any]] = {}
    build_dependencies: dict[str, str | dict[str, Any]] = {}
    pypi_dependencies: dict[str, Any] = {}
    constraints: dict[str, Any] | None = None
    dev: dict[str, Any] | None = None

    @property
    def specs(self) -> dict[str, Spec]:
        # Build before host before run: the later wins, as in pixi.
        every = self.build_dependencies | self.host_dependencies | self.dependencies
        return {name.lower(): _spec(name.lower(), value) for name, value in every.items()}


class FeatureTable(DependencyTables, rename="kebab"):
    """What is asked for together, on which platforms, from which channels."""

    target: dict[str, DependencyTables] = {}
    channels: list[str | ChannelTable] | None = None
    platforms: list[PlatformItem] | None = None
    system_requirements: dict[str, str | LibcTable] = {}


class WorkspaceTable(msgspec.Struct, rename="kebab"):
    """`[workspace]`, or `[project]` as older files have it."""

    channels: list[str | ChannelTable] = []
    platforms: list[PlatformItem] = []
    channel_priority: str = "strict"
    exclude_newer: Any = None
    solve_strategy: Any = None
    build_variants: Any = None


class PixiTable(FeatureTable, rename="kebab"):
    """A whole pixi.toml; at its top it is the default feature."""

    workspace: WorkspaceTable | None = None
    project: WorkspaceTable | None = None
    feature: dict[str, FeatureTable] = {}
    environments: dict[str, list[str] | EnvironmentTable] = {}


def _spec(name: str, value: str | Mapping[str, Any]) -> Spec:
    if isinstance(value, str):
        return Spec(name=name, text=f"{name} {value or '*'}")
    if _FROM_SOURCE & set(value):
        return Spec(name=name, text=f"{name} *", from_source=True)
    text = f"{name} {value.get('version', '*')}"
    details = [f'{_DETAILS[key]}="{value[key]}"' for key in _DETAILS if key in value]
    return Spec(name=name, text=f"{text} [{', '.join(details)}]" if details else text)

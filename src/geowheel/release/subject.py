"""What is released: one distribution, of a host that carries GDAL or of a pure project."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from packaging.utils import canonicalize_name

from geowheel.config import Release, is_pure, read_toml, release_from
from geowheel.errors import ConfigError
from geowheel.ledger import Ledger
from geowheel.project import CHANNEL_VARIABLE, Machine, Project, open_project

# As hatchling finds it (hatchling.version.core.DEFAULT_PATTERN), in one line of a Python file.
_IN_CODE: Final = re.compile(
    r"""(?m)^(?:__version__|VERSION)(?:\s*:\s*str)?\s*=\s*["']v?(.+?)["']"""
)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One distribution, its folder and what its release asks for."""

    name: str
    folder: Path
    root: Path
    """Holds .geowheel/ and dist/."""
    settings: Release
    machine: Machine
    stated_version: str | None
    """What pyproject.toml says or points to; None where the build decides."""
    project: Project | None
    """None: a pure project, whose one wheel needs no GDAL."""

    @property
    def dist(self) -> Path:
        return self.root / "dist"

    @property
    def work(self) -> Path:
        """The folder of journals, builds and logs of releases."""
        return self.root / ".geowheel" / "release"

    @property
    def ledger(self) -> Ledger:
        return Ledger(folder=self.root / ".geowheel", host=self.name)

    @property
    def publishes_sdist(self) -> bool:
        return self.project is None or self.settings.sdist

    @property
    def changelog(self) -> Path:
        """Beside pyproject.toml, else in the root: a host of several may share the root's."""
        own = self.folder / self.settings.changelog
        return own if own.is_file() else self.root / self.settings.changelog

    def tag(self, version: str, repository: Path | None) -> str:
        """The name of a version's tag; hosts below the repository's root have their name in it."""
        if self.settings.tag is not None:
            return self.settings.tag.replace("{version}", version)
        below = repository is not None and repository != self.folder
        return f"{canonicalize_name(self.name)}-v{version}" if below else f"v{version}"


def open_subject(*, root: Path, host: Path, machine: Machine) -> Subject:
    """Read what is to be released; raises ConfigError with every fault.

    A project whose [tool.geowheel] is missing, or says nothing but `release`, is a pure one:
    geowheel itself is.
    """
    root = root.resolve()
    path = (root / host).resolve() / "pyproject.toml"
    data = read_toml(path)
    project = None
    if is_pure(data):
        settings = release_from(data, path)
    else:
        # --channel and GEOWHEEL_CHANNEL have no say in what is released.
        project = open_project(root=root, host=host, machine=_without_channel(machine))
        settings = project.config.release
    name = data.get("project", {}).get("name")
    if not isinstance(name, str):
        raise ConfigError("[project] has no name", where=str(path))
    return Subject(
        name=name,
        folder=path.parent,
        root=root,
        settings=settings,
        machine=machine,
        stated_version=_stated_version(data, path.parent),
        project=project,
    )


def _without_channel(machine: Machine) -> Machine:
    kept = {name: value for name, value in machine.environ.items() if name != CHANNEL_VARIABLE}
    return replace(machine, environ=kept)


# To be replaced by geowheel.release.versions.version_of.
def _stated_version(data: Mapping[str, Any], folder: Path) -> str | None:
    """[project] version, or that of the file that hatchling reads; None where neither says it."""
    version = data.get("project", {}).get("version")
    if isinstance(version, str):
        return version
    path = data.get("tool", {}).get("hatch", {}).get("version", {}).get("path")
    if not isinstance(path, str) or not (folder / path).is_file():
        return None
    found = _IN_CODE.search((folder / path).read_text(encoding="utf-8"))
    return found[1] if found else None

"""What is released: one distribution, of a host that carries GDAL or of a pure project."""

from dataclasses import dataclass, replace
from pathlib import Path

from packaging.utils import canonicalize_name

from geowheel.errors import ConfigError
from geowheel.project.config import Release
from geowheel.project.project import CHANNEL_VARIABLE, Machine, Project, open_project
from geowheel.project.pyproject import is_pure, read_toml, release_from
from geowheel.records.ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class ReleaseSubject:
    """One distribution, its folder and what its release asks for."""

    name: str
    folder: Path
    root: Path
    """Holds .geowheel/ and dist/."""
    settings: Release
    machine: Machine
    static_version: str
    """What `[project] version` says; empty where the version is dynamic."""
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
    def pyproject(self) -> Path:
        return self.folder / "pyproject.toml"

    @property
    def changelog(self) -> Path:
        return self.folder / self.settings.changelog

    def tag(self, version: str, repository: Path | None) -> str:
        """Return a version's tag; that of a host below the repository's root has its name."""
        if self.settings.tag is not None:
            return self.settings.tag.replace("{version}", version)
        below = repository is not None and repository != self.folder
        return f"{canonicalize_name(self.name)}-v{version}" if below else f"v{version}"


def open_subject(*, root: Path, host: Path, machine: Machine) -> ReleaseSubject:
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
        kept = {name: of for name, of in machine.environ.items() if name != CHANNEL_VARIABLE}
        project = open_project(root=root, host=host, machine=replace(machine, environ=kept))
        settings = project.config.release
    table = data.get("project", {})
    name = table.get("name")
    if not isinstance(name, str):
        raise ConfigError("[project] has no name", where=str(path))
    return ReleaseSubject(
        name=name,
        folder=path.parent,
        root=root,
        settings=settings,
        machine=machine,
        static_version=str(table.get("version", "")),
        project=project,
    )

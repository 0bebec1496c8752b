"""Two hosts of one distribution name in one project, whose wheels would be taken for each other."""

from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from geowheel.errors import ConfigError
from geowheel.project.project import Project
from geowheel.project.pyproject import read_host
from geowheel.records.facts import BuildFacts, RepairFacts
from geowheel.records.ledger import Ledger

_OF_ONE_HOST: Final = (BuildFacts, RepairFacts)
"""Stages that only the host itself runs; what comes before may be another host's work."""


def refuse_namesakes(project: Project, ledger: Ledger) -> None:
    """Raise ConfigError when another host that was built here has this one's distribution name.

    One that was built under the name and has another one now, or has moved, is in nobody's way.
    """
    name = canonicalize_name(project.host.name)
    homes = {record.home for facts in _OF_ONE_HOST for record in ledger.of_every_host(facts)}
    for home in sorted(homes - {project.home}):
        folder = project.root / home
        if canonicalize_name(_name_of_host(folder)) != name:
            continue
        raise ConfigError(
            f"two hosts have the distribution name {project.host.name}: {project.home} and {home}",
            where=str(project.host.path),
            cause="one was copied from the other; their wheels would replace each other in dist/",
            fix="give one of them another [project] name, or a root of its own: "
            f"--root {project.home} --host .",
        )


def _name_of_host(folder: Path) -> str:
    """Return the distribution name of the host in a folder; empty when there is no host in it."""
    try:
        return read_host(folder).name
    except ConfigError:
        return ""

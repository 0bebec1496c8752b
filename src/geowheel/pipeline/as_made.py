"""How a target was made here: a later session judges the same without being told again."""

from dataclasses import replace
from pathlib import Path

import msgspec

from geowheel.machine import files
from geowheel.project.config import Bindings
from geowheel.project.project import Project
from geowheel.targets import Target


class AsMade(msgspec.Struct, frozen=True):
    """What the command line said of a target when it was made last."""

    channel: str | None = None
    bindings: Bindings | None = None
    python: str = ""  # the path of an interpreter

    def __str__(self) -> str:
        said = {"--channel": self.channel, "--bindings": self.bindings, "--python": self.python}
        return " ".join(f"{option} {value}" for option, value in said.items() if value)

    def of(self, project: Project) -> Project:
        """Return the project as it was then; what the command line says now comes before."""
        return replace(
            project,
            channel=project.channel or self.channel,
            asked_bindings=project.asked_bindings or self.bindings,
        )


def remember(project: Project, target: Target, interpreter: Path | None) -> None:
    """Write down what was asked for, before anything is made."""
    now = AsMade(project.channel, project.asked_bindings, str(interpreter or ""))
    files.write(_place(project, target), msgspec.json.encode(now))


def recall(project: Project, target: Target) -> AsMade:
    """Return how a target was made last; nothing where that is not known."""
    return files.read_json(_place(project, target), AsMade) or AsMade()


def first_made(project: Project) -> tuple[Project, Target]:
    """Return the first of this platform's targets that was made here, else the first of all.

    And the project as it was then: a native stack is the platform's.
    """
    targets = project.targets([project.machine.platform])
    target = next((each for each in targets if recall(project, each) != AsMade()), targets[0])
    return recall(project, target).of(project), target


def _place(project: Project, target: Target) -> Path:
    return project.work / "as-made" / project.host.name / f"{target}.json"

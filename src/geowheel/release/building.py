"""What a release makes itself: the sdist, and with it the wheel of a pure project.

uv calls the project's own backend: an sdist, then a wheel from that very sdist, so one that builds
no wheel again is never published.
"""

import shutil
import sys
from pathlib import Path

from geowheel.errors import BuildError
from geowheel.machine.console import Step
from geowheel.machine.environments import EPOCH, tool_environment, tool_path
from geowheel.machine.files import scratch, whole
from geowheel.machine.git import Git, git_environment, git_program

from .journal import ReleaseFile, file_at
from .subject import ReleaseSubject


def build(subject: ReleaseSubject, git: Git, step: Step) -> tuple[ReleaseFile, ...]:
    """Make the files of HEAD and put them into dist/; those that are to be published.

    Raises BuildError when the backend fails or makes other than one sdist and one wheel.
    """
    with scratch(subject.work) as folder:
        made = _by_backend(subject, git, folder.resolve(), step)
        wanted = made if subject.project is None else made[:1]
        built = tuple(map(file_at, wanted))
        for path in wanted:
            with whole(subject.dist / path.name) as part:
                shutil.copyfile(path, part)
    step.say(", ".join(item.filename for item in built))
    return built


def _by_backend(subject: ReleaseSubject, git: Git, place: Path, step: Step) -> list[Path]:
    """Return the sdist and the wheel that was built from it, in a clone of HEAD.

    A clone has the history that a backend may take the version from, and nothing that git ignores.
    """
    environ = subject.machine.environ
    clone, goal = place / "clone", place / "made"
    step.run(
        [git_program(environ), "clone", "--quiet", "--shared", git.root, clone],
        env=git_environment(environ), cwd=place,
    )  # fmt: skip
    source = clone / subject.folder.relative_to(git.root)
    step.run(
        [tool_path("uv"), "build", "--no-config", "--python", sys.executable, "--out-dir", goal,
         source],
        env=tool_environment(environ, SOURCE_DATE_EPOCH=str(EPOCH)),
        cwd=place,
    )  # fmt: skip
    sdists, wheels = sorted(goal.glob("*.tar.gz")), sorted(goal.glob("*.whl"))
    if len(sdists) != 1 or len(wheels) != 1:
        raise BuildError(
            f"the backend made {len(sdists)} sdists and {len(wheels)} wheels instead of one each",
            where=str(subject.folder / "pyproject.toml"),
        )
    if subject.project is None and not wheels[0].name.endswith("-none-any.whl"):
        raise BuildError(
            "the project without GDAL makes a wheel that is not pure",
            where=wheels[0].name,
            cause="it compiles something, for the machine that it is released on",
            fix="repair and test it for each platform: give it a [tool.geowheel] table",
        )
    return [*sdists, *wheels]

"""What a release makes itself: the sdist, and with it the wheel of a pure project.

uv calls the project's own backend: an sdist, then a wheel from that very sdist, so one that builds
no wheel again is never published.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from geowheel.console import Step
from geowheel.digest import sha256_file
from geowheel.errors import BuildError
from geowheel.host.files import host_files, stage
from geowheel.machine.environments import EPOCH, tool_environment, tool_path

from .journal import Built
from .subject import Subject

_PRETEND = "SETUPTOOLS_SCM_PRETEND_VERSION"


def build(subject: Subject, version: str, commit: str, step: Step) -> tuple[Built, ...]:
    """Make the files of this commit and put them into dist/; those that are to be published.

    Raises BuildError when the backend fails or makes other than one sdist and one wheel.
    """
    subject.work.mkdir(parents=True, exist_ok=True)
    # Beside dist/, on one disk: what is done is put there with one rename.
    with tempfile.TemporaryDirectory(dir=subject.work, prefix=".build-") as scratch:
        made = _by_backend(subject, version, Path(scratch).resolve(), step)
        wanted = made if subject.project is None else made[:1]
        subject.dist.mkdir(parents=True, exist_ok=True)
        built = tuple(
            Built(filename=path.name, sha256=sha256_file(path), commit=commit) for path in wanted
        )
        for path in wanted:
            path.replace(subject.dist / path.name)
    step.say(", ".join(item.filename for item in built))
    return built


def _by_backend(subject: Subject, version: str, scratch: Path, step: Step) -> list[Path]:
    """The sdist and the wheel that was built from it, in a staged copy of what git knows."""
    environ = subject.machine.environ
    source, goal = scratch / "source", scratch / "made"
    stage(host_files(subject.folder, environ), source)
    step.run(
        [tool_path("uv"), "build", "--no-config", "--python", sys.executable, "--out-dir", goal,
         source],
        # A copy has no history to take a version from: it is handed over, as in a wheel's build.
        env=tool_environment(environ, SOURCE_DATE_EPOCH=str(EPOCH), **{_PRETEND: version}),
        cwd=scratch,
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

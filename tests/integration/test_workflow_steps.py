"""The steps of the generated workflow, run on this machine in the order of the jobs."""

import io
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.files import git
from tests.support.local_runner import LocalRunner, package_index, write_interpreters
from tests.support.project_copy import PYTHON, Built, ProjectCopy

NOXFILE = 'from geowheel.nox import sessions\n\nsessions(host="hosts/gdal")\n'
NOT_HERE = {
    "lint": "continuous integration runs it on this very repository",
    "types": "the same",
    "tests": "these are the tests",
    "lab": "takes minutes; tests/integration/test_lab.py runs it",
    "release": "needs every target of every platform",
}


@dataclass(frozen=True, kw_only=True)
class Played:
    """A workflow after it was run."""

    project: ProjectCopy
    index: str
    runner: LocalRunner

    def said(self, job: str, session: str) -> str:
        """What a step said, which has to have passed."""
        (step,) = (r for r in self.runner.ran if r.job == job and f" -s {session}" in r.step)
        assert step.code == 0, step.said
        return step.said


def adopt(project: ProjectCopy, index: str) -> None:
    """A repository with locks, whose sessions run in the environment of these tests."""
    (channel,) = (project.cache / "channels").glob("distro-*[!k]")
    pixi = (project.root / "pixi.toml").read_text(encoding="utf-8")
    pixi = re.sub(r"(?m)^channels = .*", f'channels = ["{channel.as_uri()}"]', pixi)
    pixi = re.sub(r"(?m)^platforms = .*", 'platforms = ["linux-64"]', pixi)
    pixi = re.sub(r"(?m)^\w+ = {.*lgpl_.*}\n", "", pixi)  # builds that Debian does not have
    (project.root / "pixi.toml").write_text(pixi, encoding="utf-8")
    host = project.root / "hosts" / "gdal" / "pyproject.toml"
    text = host.read_text(encoding="utf-8")
    own = f'nox = ["{{python}}", "-m", "nox"]\nstaging-index = "{index}"'
    text = re.sub(r"(?m)^nox = .*", own, text)
    # Debian's GDAL has parts under the GPL, which a locked wheel may not have unasked.
    host.write_text(f'{text}\n[tool.geowheel.licenses.accept]\n"*" = "a test"\n', encoding="utf-8")
    (project.root / "noxfile.py").write_text(NOXFILE, encoding="utf-8")
    for path in project.root.glob(".github/workflows/*"):
        path.unlink()
    for command in ("lock", "workflow"):
        project.good(command)
    git(project.root, "add", "-A")
    git(project.root, "commit", "-q", "-m", "locks and workflow")


@pytest.fixture(scope="module")
def played(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """The workflow of this repository's host, for this Python, from checkout to probes."""
    work = tmp_path_factory.mktemp("workflow")
    root = work / "project"
    ignore = shutil.ignore_patterns(".geowheel", "dist")
    shutil.copytree(built.project.root, root, symlinks=True, ignore=ignore)
    project = replace(built.project, root=root, extra={})
    with package_index(work / "index", work / "index.log") as index:
        adopt(project, index)
        called, caller = sorted(root.glob(".github/workflows/*"))
        jobs = read(caller)["jobs"] | read(called)["jobs"]
        jobs = {name: jobs[name] for name in {"checks": None, **read(called)["jobs"], **jobs}}
        rows = jobs["build"]["strategy"]["matrix"]["include"]
        (row,) = (row for row in rows if row["platform"] == "linux-64")
        programs = write_interpreters(work / "programs", "python", row["interpreter"])
        runner = LocalRunner(
            project=root, work=work, row={**row, "python": PYTHON}, reasons=NOT_HERE,
            environ=project.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
            warm=built.project.root / ".geowheel",
        )  # fmt: skip
        runner.play(jobs)
        yield Played(project=project, index=index, runner=runner)


def read(path: Path) -> dict[str, Any]:
    loader = YAML(typ="safe", pure=True)
    data: dict[str, Any] = loader.load(io.StringIO(path.read_text(encoding="utf-8")))
    return data


def test_every_step_passes_or_is_named_with_its_reason(played: Played) -> None:
    for step in played.runner.ran:
        print(f"{step.job:<8} {step.step}: {'ran' if step.code == 0 else step.said}")  # noqa: T201
    failed = [step for step in played.runner.ran if step.code]
    assert not failed, failed[0].said
    assert [step.job for step in played.runner.ran][-1] == "publish"
    left = {(step.job, step.step) for step in played.runner.ran if step.code is None}
    assert all(step.said for step in played.runner.ran if step.code is None)
    assert not {job for job, step in left if " -s wheel" in step or " -s test-" in step}


def test_the_very_wheel_is_made_from_the_lock_and_tested_elsewhere(played: Played) -> None:
    assert "native stack: pixi.lock" in played.said("build", "wheel")
    assert "passed" in played.said("build", "wheel")
    (made,) = (played.runner.work / "build" / "dist").glob("*.whl")
    (tested,) = (played.runner.work / "test" / "dist").glob("*.whl")
    assert made.read_bytes() == tested.read_bytes()
    for session in ("size", "test-"):
        said = played.said("test", session)
        assert not re.search(r"(?m)^  (bindings|vendor|build|repair) ", said)
    subject = next((played.runner.work / "test" / ".geowheel").glob("cp*"))
    assert {"size", "test"} <= {p.name for p in subject.iterdir()} <= {"size", "test", "repair"}
    said = played.said("probes", "test-")
    assert played.index in said and "probes: " in said


def test_other_bytes_on_the_index_are_refused(played: Played, tmp_path: Path) -> None:
    (wheel,) = (played.runner.work / "probes" / "dist").glob("*.whl")
    (tmp_path / "index").mkdir()
    altered = shutil.copy(wheel, tmp_path / "index")
    with Path(altered).open("ab") as file:
        file.write(b"more")
    project = replace(played.project, root=played.runner.work / "probes")
    with package_index(tmp_path / "index", tmp_path / "log") as index:
        done = project.run("test", "--frozen", "--wheel", "dist", "--index", index)
    assert done.returncode == 5
    assert "other bytes were" in done.stderr and "DO NOT MATCH THE HASHES" in done.stderr

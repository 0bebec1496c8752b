"""What zizmor and actionlint say of every kind of workflow that is generated: nothing.

actionlint is a program in Go that no package index carries: where neither it nor a new enough Go is
found, its half says NOT RUN.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from geowheel.machine.environments import tool_path
from geowheel.project.config import Workflow
from geowheel.project.project import Machine, open_project
from geowheel.release.pins import pins_of
from geowheel.release.workflow import facts_of, generate
from geowheel.targets import Platform
from tests.support.hosts import NO_TOOLS, make_console

ROOT = Path(__file__).parents[2]
ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"
Look = Callable[[Path], subprocess.CompletedProcess[str]]


def looker(*command: str | Path) -> Look:
    def look(folder: Path) -> subprocess.CompletedProcess[str]:
        files = sorted((folder / ".github" / "workflows").iterdir())
        # Without the repository's own configuration: what is explained stands in the file.
        argv: Sequence[str | Path] = [*command, *files]
        return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)

    return look


@pytest.fixture(scope="module", params=["zizmor", "actionlint"])
def look(request: pytest.FixtureRequest) -> Look:
    if request.param == "zizmor":
        return looker(tool_path("zizmor"), "--offline", "--no-progress")
    if named := os.environ.get("GEOWHEEL_ACTIONLINT") or shutil.which("actionlint"):
        return looker(named)
    go = shutil.which("go")
    if go and subprocess.run([go, "run", ACTIONLINT, "-version"], check=False).returncode == 0:
        return looker(go, "run", ACTIONLINT)
    pytest.skip("NOT RUN: neither actionlint nor a Go that compiles it")


def written(folder: Path) -> list[Path]:
    """One workflow of each kind, below a folder."""
    machine = Machine(platform=Platform.LINUX_64, environ=NO_TOOLS, cache=Path("/nowhere"))
    project = open_project(root=ROOT, host=Path("hosts/gdal"), machine=machine)
    pins = pins_of(project)
    facts = facts_of(project, pins, make_console(folder))
    own = replace(facts.workflow, nox=Workflow().nox, checks=())
    kinds = [
        facts,
        replace(
            facts,
            workflow=own,
            platforms=tuple(Platform),
            pythons=("3.9", "3.12"),
            ledger="s3://bucket/x",
        ),
        replace(facts, workflow=own, platforms=(Platform.OSX_ARM64,), pythons=("3.14",)),
    ]
    place = folder / ".github" / "workflows"
    place.mkdir(parents=True)
    for number, kind in enumerate(kinds):
        named = replace(kind, workflow=replace(kind.workflow, file=f"{number}.yml"))
        for path, text in generate(named, pins).items():
            (folder / path).write_text(text)
    return sorted(place.iterdir())


def test_nothing_is_found(look: Look, tmp_path: Path) -> None:
    written(tmp_path)
    said = look(tmp_path)
    assert said.returncode == 0, said.stdout + said.stderr


def test_a_planted_fault_is_found(look: Look, tmp_path: Path) -> None:
    for path in written(tmp_path):
        lines = [line for line in path.read_text().splitlines(True) if "lookup-only" not in line]
        path.write_text("".join(lines).replace("needs: [build]", "needs: [biuld]"))
    said = look(tmp_path)
    assert said.returncode != 0
    assert "cache-poisoning" in said.stdout or "biuld" in said.stdout

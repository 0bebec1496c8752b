"""Two checkouts in different folders export the wheel that each made; a third one takes it over."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from geowheel.digest import sha256_file
from tests.support.project_copy import PYTHON, TARGET, Built, ProjectCopy, copy_repository


@dataclass(frozen=True, kw_only=True)
class Machines:
    """What two machines exported, and the state of a third one before it takes it."""

    one: Path
    other: Path
    third: ProjectCopy


@pytest.fixture(scope="module")
def machines(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Machines:
    base = tmp_path_factory.mktemp("machines")
    cache, extra = built.project.cache, built.project.extra
    first, second = (
        ProjectCopy(root=base / name, cache=cache, extra=extra)
        for name in ("a first folder", "a second folder")
    )
    for project in (first, second):
        shutil.copytree(built.project.root, project.root, symlinks=True)
    for stage in ("build", "repair", "size", "test"):
        second.forget(stage)
    shutil.rmtree(second.root / "dist")
    second.json("wheel", "--python", PYTHON)
    for project, name in ((first, "one"), (second, "other")):
        project.json("export", "--python", PYTHON, str(base / name))
    third = ProjectCopy(root=base / "third", cache=cache, extra=extra)
    third.root.mkdir()
    copy_repository(third.root)
    return Machines(one=base / "one", other=base / "other", third=third)


@pytest.fixture
def here(machines: Machines, tmp_path: Path) -> ProjectCopy:
    """A checkout of its own with the lock at hand and nothing built."""
    root = tmp_path / "here"
    shutil.copytree(machines.third.root, root, symlinks=True)
    project = ProjectCopy(root=root, cache=machines.third.cache, extra=machines.third.extra)
    project.json("fetch")
    return project


@pytest.fixture
def mixed(machines: Machines, tmp_path: Path) -> Path:
    """Copies of both exports, to be spoilt."""
    for name in ("one", "other"):
        shutil.copytree(machines.one.with_name(name), tmp_path / "artifacts" / name)
    return tmp_path / "artifacts"


def test_what_two_machines_made_is_taken_over(
    built: Built, machines: Machines, mixed: Path, here: ProjectCopy
) -> None:
    assert sha256_file(next((machines.one / "dist").iterdir())) == sha256_file(
        next((machines.other / "dist").iterdir())
    )
    text = (machines.one / "export.json").read_text(encoding="utf-8")
    assert str(built.project.root) not in text and str(built.project.cache) not in text
    summary = here.json("collect", str(mixed))
    (target,) = summary["targets"]
    assert (target["target"], target["sha256"]) == (TARGET, built.summary["sha256"])
    assert target["verdicts"] == {"size": True, "test": True}
    wheel = here.root / "dist" / built.wheel.name
    assert wheel.read_bytes() == built.wheel.read_bytes()
    status = here.json("status")
    assert [row["recorded"] for row in status["dist"]] == [True]
    (row,) = (row for row in status["targets"] if row[0] == TARGET)
    assert [cell.split()[0] for cell in row[1:]].count("ok") == 4, "fetch and three taken over"
    again = here.json("collect", str(mixed))
    assert again["changed"] is False
    # What is made here afterwards is the same, so nothing is made that was taken over.
    made = here.good("wheel", "--python", PYTHON)
    for stage in ("repair", "size", "test"):
        assert f"{stage:<10} cached" in made.stderr, made.stderr


def test_what_was_edited_since_is_not_exported(second: ProjectCopy) -> None:
    with (second.root / "hosts/gdal/README.md").open("a") as file:
        file.write("More.\n")
    result = second.run("export", "--python", PYTHON, str(second.root / "dist" / "export"))
    assert result.returncode == 8
    assert "build would run again: changed: host files (README.md)" in result.stderr
    assert not (second.root / "dist" / "export").exists()

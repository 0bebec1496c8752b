"""Two checkouts in different folders export the wheel that each made; a third one takes it over."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def refused(project: ProjectCopy, folder: Path) -> str:
    result = project.run("collect", str(folder))
    assert result.returncode == 6, result.stderr
    assert not (project.root / "dist").exists()
    assert not list(project.root.glob(".geowheel/cp*/*/[!.]*/record.json"))
    return " ".join(result.stderr.split())


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


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
    made = here.run("wheel", "--python", PYTHON)
    assert made.returncode == 0, made.stderr
    for stage in ("repair", "size", "test"):
        assert f"{stage:<10} cached" in made.stderr, made.stderr


def test_without_a_lock_there_is_nothing_to_compare_with(
    machines: Machines, mixed: Path, tmp_path: Path
) -> None:
    root = tmp_path / "bare"
    shutil.copytree(machines.third.root, root, symlinks=True)
    bare = ProjectCopy(root=root, cache=machines.third.cache, extra=machines.third.extra)
    assert "no lock for linux-64 here to compare with" in refused(bare, mixed)


def test_every_planted_fault_is_named(here: ProjectCopy, mixed: Path) -> None:
    (wheel,) = (mixed / "one" / "dist").iterdir()
    with wheel.open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)[0]
        file.seek(1000)
        file.write(bytes([byte ^ 1]))
    rewrite(mixed / "one" / "export.json",
            lambda data: data["state"]["locks"].update({"linux-64": "0" * 64}))  # fmt: skip
    shutil.rmtree(mixed / "one" / "ledger" / TARGET / "test")
    shutil.rmtree(mixed / "other" / "ledger" / TARGET / "test")
    with (here.root / "hosts/gdal/pyproject.toml").open("a") as file:
        file.write("[tool.geowheel.floor]\nglibc = '2.99'\n")
    with (here.root / "src/geowheel/__init__.py").open("a") as file:
        file.write("# edited\n")
    words = refused(here, mixed)
    for part in (
        f"{wheel.name} has sha256",
        "made from another lock for linux-64",
        "made with another configuration",
        "made from other files: pyproject.toml",
        "made with other sources of geowheel",
        "no verdict of test about its wheel",
    ):
        assert part in words, part


def test_two_wheels_of_one_target(here: ProjectCopy, mixed: Path) -> None:
    (wheel,) = (mixed / "other" / "dist").iterdir()
    with wheel.open("ab") as file:
        file.write(b"more")
    sha256 = sha256_file(wheel)
    for path in (mixed / "other" / "ledger").glob("*/*/*/record.json"):
        rewrite(path, lambda data: data["facts"].update(sha256=sha256))
        if path.parts[-3] == "repair":
            rewrite(path, lambda data: data["outputs"][0].update(sha256=sha256))
    assert "2 different wheels of one target" in refused(here, mixed)


def test_what_was_edited_since_is_not_exported(second: ProjectCopy) -> None:
    with (second.root / "hosts/gdal/README.md").open("a") as file:
        file.write("More.\n")
    result = second.run("export", "--python", PYTHON, str(second.root / "dist" / "export"))
    assert result.returncode == 8
    assert "build would run again: changed: host files (README.md)" in result.stderr
    assert not (second.root / "dist" / "export").exists()

"""Where a target stands on the way to a release, as `status` says it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.hosts import make_console, make_project
from tests.unit.release.test_plan import SHA, TARGETS, file_of, first_wheel, world

from geowheel.cli.housekeeping import status
from geowheel.errors import Fault
from geowheel.release.index import Index
from geowheel.release.states import Standing, state
from geowheel.release.world import OnIndex
from geowheel.targets import Platform, Target

FIRST = TARGETS[0]
INDEX = Index(name="ours", upload="https://index.invalid/", simple="https://index.invalid/simple/")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "built"),
        ({"wheels": ()}, "missing"),
        (first_wheel(of_files=False), "stale: other host files"),
        (first_wheel(of_lock=False), "stale: another lock"),
        (first_wheel(locked=False, of_lock=False), "not from a committed lock"),
    ],
)
def test_a_wheel_is_built_missing_or_stale(changes: dict[str, Any], said: str) -> None:
    assert state(world(**changes), FIRST, "").wheel == said


@pytest.mark.parametrize(
    ("on_index", "said"),
    [
        (None, "no index is named"),
        (OnIndex(index=INDEX), "no"),
        (OnIndex(index=INDEX, files={file_of(FIRST).filename: SHA["3.11"]}), "yes"),
        (OnIndex(index=INDEX, files={file_of(FIRST).filename: "00" * 32}), "other bytes"),
        (OnIndex(index=INDEX, faults=(Fault(what="no answer"),)), "no answer"),
    ],
)
def test_the_index_says_what_is_released(on_index: OnIndex | None, said: str) -> None:
    assert state(world(on_index=on_index), FIRST, "no index is named").released == said


def test_a_wheel_that_is_missing_is_not_released() -> None:
    there = OnIndex(index=INDEX, files={file_of(FIRST).filename: SHA["3.11"]})
    assert state(world(wheels=(), on_index=there), FIRST, "").released == "no"


def test_the_table_has_every_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    targets = [FIRST, replace(FIRST, platform=Platform.WIN_64)]
    known: dict[Target, Standing] = dict.fromkeys(targets, Standing(wheel="missing", released="no"))
    rows = status(make_project(tmp_path), make_console(tmp_path), known)["targets"]
    assert [row[0] for row in rows] == ["cp311-linux-64", "cp311-win-64"]
    assert all(row[-2:] == ["missing", "no"] for row in rows)
    captured = capsys.readouterr()
    shown = [line.split() for line in captured.out.splitlines()]
    assert ["cp311-win-64", "missing", *["-"] * 4, "no"] in shown
    assert captured.out.endswith("\nwhat would run now: `geowheel plan`\n")
    assert captured.err == ""

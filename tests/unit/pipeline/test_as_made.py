"""A later session judges each target as it was made, unless it is told something else."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.hosts import PYTHONS, make_project

from geowheel.pipeline.as_made import first_made, recall, remember
from geowheel.pipeline.runs import Request
from geowheel.project.config import Bindings


def test_targets_come_in_parts_by_how_they_were_made(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    first, second, third = (project.target(python) for python in PYTHONS)
    made = replace(project, channel="distro", asked_bindings=Bindings.PREBUILT)
    program = tmp_path / "python"
    program.touch()
    for target in (first, third):
        remember(made, target, program)
    request = Request(
        project=project,
        goals=("size",),
        targets=(first, second, third),
        interpreter=None,
        as_made=True,
    )
    of_made, plain = request.parts
    assert of_made[0] == replace(request, project=made, targets=(first, third), interpreter=program)
    assert of_made[1] == f"--channel distro --bindings prebuilt --python {program}"
    assert plain == (replace(request, targets=(second,)), "")
    # What the command line says now comes before, and what is gone is not asked for.
    program.unlink()
    ((told, _),) = replace(request, project=replace(project, channel="x"), targets=(first,)).parts
    assert (told.project.channel, told.interpreter) == ("x", None)
    assert told.project.bindings is Bindings.PREBUILT
    # The last run counts, and only a later session asks.
    assert first_made(project) == (made, first)
    remember(project, first, None)
    assert first_made(project) == (made, third)
    assert [part for part, _ in replace(request, targets=(first, second)).parts] == [
        replace(request, targets=(first, second))
    ]
    assert [way for _, way in replace(request, as_made=False).parts] == [""]


@pytest.mark.parametrize("text", ["", "{", '{"bindings": "other"}', "[]"])
def test_what_cannot_be_read_says_nothing(tmp_path: Path, text: str) -> None:
    project = make_project(tmp_path)
    target = project.target(PYTHONS[0])
    remember(replace(project, channel="distro"), target, None)
    (place,) = project.work.glob("as-made/host/*.json")
    place.write_text(text)
    assert not str(recall(project, target))

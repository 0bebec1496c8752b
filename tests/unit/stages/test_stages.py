"""The stage table and its modules: order, signatures, and what importing the table brings."""

import dataclasses
import importlib.metadata
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from geowheel.digest import Tree, TreeEntry, digest
from geowheel.records.stage import Scope, Stage
from geowheel.stages import STAGES, WHEEL, find, inputs, needed
from geowheel.stages.contract import Inputs, StageModule, ambient

BY_NAME = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)


def test_the_table_is_sound() -> None:
    seen: set[str] = set()
    for stage in STAGES:
        assert stage.name not in seen
        assert set(stage.upstream) <= seen
        seen.add(stage.name)
    verdicts = {stage.name for stage in STAGES if stage.verdict}
    assert not any(verdicts & set(stage.upstream) for stage in STAGES)
    for stage in STAGES:
        if stage.scope is Scope.PLATFORM:
            assert {find(name).scope for name in stage.upstream} <= {Scope.PLATFORM}
            assert not stage.interpreter
    wheel = needed(WHEEL)
    assert wheel == tuple(stage for stage in STAGES if stage in wheel)
    assert {stage.name for stage in wheel} >= {*WHEEL} and find("lab") not in wheel
    assert [stage.name for stage in needed(("vendor",))] == ["fetch", "bindings", "vendor"]
    assert needed(("size", "fetch")) == needed(("fetch", "size"))
    assert needed(()) == ()


@BY_NAME
def test_tools_are_installed_distributions(stage: Stage) -> None:
    for name in stage.tools:
        assert importlib.metadata.version(name)


def function(stage: Stage, name: str) -> Callable[..., object]:
    """`inputs` is in the module of all of them, what acts in the stage's own."""
    if name == "inputs":
        return cast("Callable[..., object]", getattr(inputs, stage.name))
    module = importlib.import_module(f"geowheel.stages.{stage.name}")
    return cast("Callable[..., object]", getattr(module, name))


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        (stage, name)
        for stage in STAGES
        for name in ("inputs", "run", *(["check"] if stage.rechecks else []))
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_stage_has_the_functions_of_the_contract(stage: Stage, name: str) -> None:
    found = inspect.signature(function(stage, name))
    wanted = inspect.signature(getattr(StageModule, name))
    assert len(found.parameters) == len(wanted.parameters) - 1  # self
    assert all(p.default is p.empty for p in found.parameters.values())
    assert (function(stage, name).__doc__ or "").partition("\n")[0].endswith(".")


def kinds(stage: Stage) -> list[type[Inputs]]:
    """The classes of a stage's inputs."""
    names = inspect.signature(function(stage, "inputs")).return_annotation.split(" | ")
    return [getattr(inputs, name) for name in names]


@BY_NAME
def test_places_and_environments_are_no_part_of_a_key(stage: Stage) -> None:
    fields = [field for kind in kinds(stage) for field in dataclasses.fields(kind)]
    for field in fields:
        if field.name in {"environ", "store", "cache"} or "Path" in str(field.type):
            assert field.metadata.get("ambient"), field.name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample(Inputs):
    two_words: str
    files: Tree
    place: Path = ambient()


def test_components_are_named_for_people_and_leave_places_out(tmp_path: Path) -> None:
    tree = Tree(root=tmp_path, entries=(TreeEntry(path="a", sha256="ab" * 32, size=1),))
    sample = Sample(two_words="x", files=tree, place=tmp_path)
    assert sample.components() == {"two words": digest("x"), "files": digest(tree)}
    assert sample.trees() == {"files": {"a": "ab" * 32}}

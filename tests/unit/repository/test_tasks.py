"""The tasks for people become `python -m geowheel`."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from invoke.collection import Collection
from invoke.context import Context

ROOT = Path(__file__).parents[3]


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("tasks", ROOT / "tasks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "tasks", module)
    spec.loader.exec_module(module)
    return module


def test_the_tasks_are_for_people(tasks: ModuleType) -> None:
    collection = Collection.from_module(tasks)
    assert {"status", "clean", "coverage", "release"} <= set(collection.task_names)
    for name in collection.task_names:
        assert (collection[name].__doc__ or "").strip(), name


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("status", {}, ["status"]),
        ("clean", {}, ["clean"]),
        ("coverage", {}, ["coverage"]),
        ("ci", {}, ["workflow"]),
        ("ci", {"check": True}, ["workflow", "--check"]),
        ("clean", {"everything": True, "host": "hosts/b"}, ["clean", "--all"]),
        ("release", {"host": "."}, ["release"]),
        (
            "release",
            {"index": "testpypi", "dry_run": True, "push": True},
            ["release", "--index", "testpypi", "--dry-run", "--push"],
        ),
        ("report", {}, ["report"]),
        ("report", {"against": "old.json"}, ["report", "--against", "old.json"]),
    ],
)
def test_a_task_becomes_geowheel(
    tasks: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    options: dict[str, Any],
    expected: list[str],
) -> None:
    seen: list[tuple[str, list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda *arguments: seen.append(arguments))
    getattr(tasks, name).body(Context(), **options)
    ((program, argv, environ),) = seen
    assert program == argv[0] == sys.executable
    assert argv[1:3] == ["-m", "geowheel"]
    assert argv[3] == expected[0]
    assert set(expected[1:]) <= set(argv)
    assert argv[argv.index("--root") + 1] == str(ROOT)
    assert argv[argv.index("--host") + 1] == options.get("host", "hosts/gdal")
    assert environ["PYTHONPATH"] == str(ROOT / "src")
    assert environ["PATH"] == os.environ["PATH"]

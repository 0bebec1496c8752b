"""Every command is an invoke task, and becomes `python -m geowheel`."""

import os
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
from invoke.collection import Collection
from invoke.context import Context

from geowheel.cli.arguments import options_of
from geowheel.command_table import COMMANDS
from geowheel.machine.spelling import STANDALONE

ROOT = Path(__file__).parents[3]


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> Collection:
    monkeypatch.setattr(sys, "path", list(sys.path))
    found = runpy.run_path(str(ROOT / "tasks.py"))["namespace"]
    assert isinstance(found, Collection)
    return found


def test_the_tasks_are_the_commands_with_their_lines_and_options(tasks: Collection) -> None:
    wanted = {command.name: command for command in COMMANDS if command.name not in STANDALONE}
    assert set(tasks.task_names) == set(wanted)
    for name, command in wanted.items():
        assert tasks[name].__doc__ == command.summary
        flags = {flag for option in options_of(name) for flag in option.flags} - {"--root"}
        found = {argument.name for argument in tasks[name].get_arguments()}
        assert found == {flag.lstrip("-").replace("-", "_") for flag in flags}


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("status", {}, ["status"]),
        ("ci", {"check": True}, ["workflow", "--check"]),
        ("clean", {"all": True, "host": "hosts/b"}, ["clean", "--all"]),
        ("plan", {"python": ["3.12", "3.13"]}, ["plan", "--python", "3.12", "--python", "3.13"]),
        ("lock", {"upgrade": True}, ["lock", "--upgrade"]),
        ("lock", {"upgrade": "proj"}, ["lock", "--upgrade", "proj"]),
        ("collect", {"folders": "in"}, ["collect", "in"]),
        ("env", {"names": ["CC", "CXX"]}, ["env", "CC", "CXX"]),
        ("release", {"index": "testpypi", "dry_run": True},
         ["release", "--index", "testpypi", "--dry-run"]),
    ],
)  # fmt: skip
def test_a_task_becomes_geowheel(
    tasks: Collection,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    options: dict[str, Any],
    expected: list[str],
) -> None:
    seen: list[tuple[str, list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda *arguments: seen.append(arguments))
    tasks[name](Context(), **{a.name: a.value for a in tasks[name].get_arguments()} | options)
    ((program, argv, environ),) = seen
    host = options.get("host", "hosts/gdal")
    assert argv[:3] == [program, "-m", "geowheel"] and program == sys.executable
    words = [word for word in argv[3:] if word not in ("--root", str(ROOT), "--host", host)]
    assert words == expected
    assert argv[argv.index("--host") + 1] == host and str(ROOT) in argv
    assert environ["PYTHONPATH"] == str(ROOT / "src")
    told = " -- --host hosts/b" if "host" in options else ""
    assert environ["GEOWHEEL_CALLED_AS"] == f"nox -s {told}"

"""Show what is planned."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from geowheel.machine.console import Console
from geowheel.project.edits import Change

from .planning import AdoptionPlan


def show(plan: AdoptionPlan, folder: Path, console: Console) -> None:
    """New files whole, edits as a unified diff, then the notes."""
    for change in plan.changes:
        for line in shown(change, folder):
            console.result(line)
    for note in plan.notes:
        console.result()
        console.result(note)


def shown(change: Change, folder: Path) -> Iterator[str]:
    """The lines that show one change."""
    yield ""
    if change.before is None:
        yield f"new file {folder / change.path}"
        yield from (f"  {line}".rstrip() for line in change.after.splitlines())
        return
    yield f"appended to {folder / change.path}"
    lines = difflib.unified_diff(
        change.before.splitlines(), change.after.splitlines(),
        f"{change.path} now", f"{change.path} then", lineterm="", n=2,
    )  # fmt: skip
    yield from (f"  {line}".rstrip() for line in lines)

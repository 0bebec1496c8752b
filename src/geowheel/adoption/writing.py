"""Show what is planned; write it all, or nothing."""

from __future__ import annotations

import difflib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from geowheel.console import Console
from geowheel.errors import UsageError

from .planning import Change, Plan


def show(plan: Plan, folder: Path, console: Console) -> None:
    """New files whole, edits as a unified diff, then the notes."""
    for change in plan.changes:
        for line in shown(change, folder):
            console.line(line)
    for note in plan.notes:
        console.line()
        console.line(note)


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


def write(changes: Sequence[Change], folder: Path) -> None:
    """Write all changes; when one fails, everything is as it was.

    Raises UsageError when a file is no longer what the plan was made from, and OSError as it comes.
    """
    for change in changes:
        _check_unchanged(folder / change.path, change)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".geowheel-init-") as name:
        scratch = Path(name)
        # All content is on this disk before the first file changes: a full one is met here.
        for number, change in enumerate(changes):
            (scratch / f"{number}.new").write_bytes(_bytes(change.after))
            if change.before is not None:
                shutil.copy2(folder / change.path, scratch / f"{number}.old")
        with ExitStack() as undo:  # closes, and with it undoes, when something is raised below
            for number, change in enumerate(changes):
                _place(scratch / str(number), folder / change.path, undo)
            undo.pop_all()


def _check_unchanged(path: Path, change: Change) -> None:
    there = path.is_symlink() or path.exists()
    if there != (change.before is not None) or (
        there and path.read_bytes() != _bytes(change.before)
    ):
        raise UsageError(
            "the file changed while `geowheel init` was looking at it; nothing was written",
            where=str(path),
            fix="run `geowheel init` again",
        )


def _place(staged: Path, path: Path, undo: ExitStack) -> None:
    """Move one staged file to its place."""
    new, old = staged.with_suffix(".new"), staged.with_suffix(".old")
    missing = [place for place in path.parents if not place.exists()]
    for place in reversed(missing):
        place.mkdir()
        undo.callback(place.rmdir)
    if old.exists():
        target = path.resolve()  # a link stays one
        shutil.copymode(old, new)
        undo.callback(old.replace, target)
    else:
        target = path
        undo.callback(path.unlink, missing_ok=True)
    new.replace(target)


def _bytes(text: str | None) -> bytes:
    return (text or "").encode("utf-8", errors="surrogateescape")

"""Files of a project that a command writes for a person: all of them, or none."""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from geowheel.errors import UsageError
from geowheel.machine.files import scratch


@dataclass(frozen=True, kw_only=True)
class Change:
    """One file that is to be written."""

    path: str
    """Below the folder that all changes are about, with slashes."""
    before: str | None
    """None: there is no such file."""
    after: str


def write(changes: Sequence[Change], folder: Path, *, command: str) -> None:
    """Write all changes; when one fails, everything is as it was. `command` is for messages.

    Raises UsageError when a file is no longer what the plan was made from, and OSError as it comes.
    """
    for change in changes:
        _check_unchanged(folder / change.path, change, command)
    with scratch(folder) as place:
        # All content is on this disk before the first file changes: a full one is met here.
        for number, change in enumerate(changes):
            (place / f"{number}.new").write_bytes(_bytes(change.after))
            if change.before is not None:
                shutil.copy2(folder / change.path, place / f"{number}.old")
        with ExitStack() as undo:  # closes, and with it undoes, when something is raised below
            for number, change in enumerate(changes):
                _place(place / str(number), folder / change.path, undo)
            undo.pop_all()


def _check_unchanged(path: Path, change: Change, command: str) -> None:
    there = path.is_symlink() or path.exists()
    if there != (change.before is not None) or (
        there and path.read_bytes() != _bytes(change.before)
    ):
        raise UsageError(
            f"the file changed while `{command}` was looking at it; nothing was written",
            where=str(path),
            fix=f"run `{command}` again",
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

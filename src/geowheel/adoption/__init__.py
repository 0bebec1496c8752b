"""`geowheel init`: what a project lacks for a wheel with GDAL inside; shown, asked about, written.

Facts are read (`facts`), a plan is made of them (`detection`, `planning`, `templates`: pure), shown
and written. Existing files are only ever appended to.
"""

import difflib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from geowheel import __version__
from geowheel.errors import UsageError
from geowheel.machine.console import Console
from geowheel.project.edits import Change, write

from .facts import Wishes, read_facts
from .planning import AdoptionPlan, plan

__all__ = ["Wishes", "adopt", "shown"]


def adopt(
    folder: Path,
    wishes: Wishes,
    *,
    ask: Callable[[], bool] | None,
    only_show: bool,
    console: Console,
) -> dict[str, Any]:
    """Show what is missing in the project in `folder`, and write it when `ask` says so.

    Returns the summary for --json. Raises UsageError where nobody can be asked (`ask` is None) or
    something has to be chosen first, and ConfigError for a project that cannot be followed.
    """
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    made = plan(read_facts(folder, version=__version__, running=running), wishes)
    for change in made.changes:
        for line in shown(change, folder):
            console.result(line)
    for note in made.notes:
        console.result()
        console.result(note)
    console.result()
    if not made.changes:
        console.result("nothing has to be written")
    elif only_show:
        console.result("nothing was written: --show")
    elif ask is None:
        raise UsageError(
            "nothing was written: there is no terminal to ask on",
            fix="add --yes to write this; --show only looks",
        )
    elif not ask():
        console.result("nothing was written")
        return _summary(made, written=False)
    else:
        write(made.changes, folder, command="geowheel init")
        console.result(f"written: {', '.join(change.path for change in made.changes)}")
    console.result()
    console.result("next:")
    width = max(map(len, made.commands))
    for command, purpose in made.commands.items():
        console.result(f"  {command:<{width}}  {purpose}")
    return _summary(made, written=bool(made.changes) and not only_show)


def _summary(made: AdoptionPlan, *, written: bool) -> dict[str, Any]:
    return {
        "planned": [change.path for change in made.changes],
        "written": [change.path for change in made.changes] if written else [],
        "notes": list(made.notes),
        "next": list(made.commands),
    }


def shown(change: Change, folder: Path) -> Iterator[str]:
    """Yield the lines that show one change: a new file whole, an edit as a unified diff."""
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

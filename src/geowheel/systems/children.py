"""Repair tools as Python packages work in a process of their own: how it is asked, and refuses.

They keep state in their modules, change folders, or are adapted from outside.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from geowheel.errors import BuildError, Fault

from .contract import Run


class RefusedError(Exception):
    """In the child: why it does not repair."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        super().__init__()
        self.faults = tuple(faults)


def ask(
    module: str,
    request: Mapping[str, object],
    *,
    folder: Path,
    cwd: Path,
    run: Run,
    env: Mapping[str, str],
) -> dict[str, Any]:
    """The answer of `python -m module REQUEST`, whose request is written below `folder`.

    Raises BuildError with the faults that it answers.
    """
    file = folder / "request.json"
    file.write_text(json.dumps(request, indent=2), encoding="utf-8")
    result = run((sys.executable, "-P", "-m", module, file.resolve()), env=env, cwd=cwd)
    answer: dict[str, Any] = json.loads(result.stdout)
    if "faults" in answer:
        raise BuildError([Fault(**fault) for fault in answer["faults"]])
    return answer

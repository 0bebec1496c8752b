"""What takes a minute to make is made by one worker of pytest, and used by all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

SEVERAL = "PYTEST_XDIST_WORKER"
"""In the environment of each of several workers."""


def made_once(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> tuple[Path, Any]:
    """The folder that `make` filled, here or in another worker, and what it returned, as JSON.

    Others use it at the same time: not to be changed.
    """
    base = factory.getbasetemp()
    folder = (base.parent if SEVERAL in os.environ else base) / f"once-{name}"
    written = folder / "made.json"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / ".lock"):
        if not written.exists():
            written.write_text(json.dumps(make(folder)), encoding="utf-8")
    return folder, json.loads(written.read_text(encoding="utf-8"))

"""What takes a minute to make is made by one worker of pytest, and used by all."""

import json
import os
import shutil
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
    with FileLock(f"{folder}.lock"):
        if not written.exists():  # or another worker failed half-way
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            written.write_text(json.dumps(make(folder)), encoding="utf-8")
    return folder, json.loads(written.read_text(encoding="utf-8"))

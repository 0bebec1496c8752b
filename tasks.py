"""Tasks for people: `invoke status`, `invoke clean`. Work that CI does as well is in noxfile.py."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from invoke.context import Context
from invoke.tasks import task

HERE = Path(__file__).parent


def _geowheel(*arguments: str) -> None:
    """Become `python -m geowheel ...` of this checkout."""
    environ = {**os.environ, "PYTHONPATH": str(HERE / "src")}
    sys.stdout.flush()
    argv = [sys.executable, "-m", "geowheel", *arguments]
    os.execve(sys.executable, argv, environ)


@task(help={"host": "folder of the host project"})
def status(_: Context, host: str = "hosts/gdal") -> None:
    """What is built, by target and stage, and what lies in dist/."""
    _geowheel("status", "--root", str(HERE), "--host", host)


@task(help={"host": "folder of the host project", "everything": "remove .geowheel/ and dist/"})
def clean(_: Context, host: str = "hosts/gdal", everything: bool = False) -> None:
    """Remove outputs that a newer run superseded."""
    extra = ["--all"] if everything else []
    _geowheel("clean", "--root", str(HERE), "--host", host, *extra)


@task(
    help={
        "host": "folder of the host project; `.`: geowheel itself, as a pure wheel",
        "index": "index to publish to: a name or a URL",
        "dry_run": "everything but tag and upload, with the exact list",
        "push": "push the tag, at the end",
    }
)
def release(
    _: Context,
    host: str = "hosts/gdal",
    index: str = "",
    dry_run: bool = False,
    push: bool = False,
) -> None:
    """Publish a version: checks, tag, upload; goes on where it stopped."""
    extra = ["--index", index] if index else []
    extra += ["--dry-run"] if dry_run else []
    extra += ["--push"] if push else []
    _geowheel("release", "--root", str(HERE), "--host", host, *extra)

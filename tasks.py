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


@task(help={"host": "folder of the host project", "check": "only compare it"})
def ci(_: Context, host: str = "hosts/gdal", check: bool = False) -> None:
    """Write the workflow of GitHub Actions from the configuration."""
    extra = ["--check"] if check else []
    _geowheel("workflow", "--root", str(HERE), "--host", host, *extra)


@task(help={"host": "folder of the host project", "update": "ask git for the actions' commits"})
def pins(_: Context, host: str = "hosts/gdal", update: bool = False) -> None:
    """What the workflow and this machine use, and where each was taken from."""
    extra = ["--update"] if update else []
    _geowheel("pins", "--root", str(HERE), "--host", host, *extra)


@task(help={"host": "folder of the host project", "everything": "remove .geowheel/ and dist/"})
def clean(_: Context, host: str = "hosts/gdal", everything: bool = False) -> None:
    """Remove outputs that a newer run superseded."""
    extra = ["--all"] if everything else []
    _geowheel("clean", "--root", str(HERE), "--host", host, *extra)

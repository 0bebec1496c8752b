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


@task(help={"host": "folder of the host project", "against": "report.json of the last release"})
def report(_: Context, host: str = "hosts/gdal", against: str = "") -> None:
    """One HTML page of the wheels in dist/: dist/report.html."""
    extra = ["--against", against] if against else []
    _geowheel("report", "--root", str(HERE), "--host", host, *extra)

"""Tasks for people: `invoke status`, `invoke release` and the like.

Work that CI does as well is in noxfile.py.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from invoke.context import Context
from invoke.tasks import task

HERE = Path(__file__).parent


def _geowheel(*arguments: str) -> None:
    """Become `python -m geowheel ...` of this checkout."""
    # Messages name nox sessions, which are there for every command.
    called_as = f"{os.environ.get('GEOWHEEL_LAUNCHER', 'nox')} -s "
    environ = {**os.environ, "PYTHONPATH": str(HERE / "src"), "GEOWHEEL_CALLED_AS": called_as}
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


@task(help={"host": "folder of the host project"})
def pins(_: Context, host: str = "hosts/gdal") -> None:
    """What the workflow and this machine use, and where each was taken from."""
    _geowheel("pins", "--root", str(HERE), "--host", host)


@task(help={"host": "folder of the host project", "everything": "remove .geowheel/ and dist/"})
def clean(_: Context, host: str = "hosts/gdal", everything: bool = False) -> None:
    """Remove outputs that a newer run superseded."""
    extra = ["--all"] if everything else []
    _geowheel("clean", "--root", str(HERE), "--host", host, *extra)


@task(help={"host": "folder of the host project"})
def coverage(_: Context, host: str = "hosts/gdal") -> None:
    """Which wheel pip picks on which system, or why none and what to do."""
    _geowheel("coverage", "--root", str(HERE), "--host", host)


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


@task(
    help={
        "folder": "what `geowheel export` wrote, or a folder of such folders",
        "host": "folder of the host project",
    }
)
def collect(_: Context, folder: str, host: str = "hosts/gdal") -> None:
    """Check what other machines exported, and take it over."""
    _geowheel("collect", "--root", str(HERE), "--host", host, folder)


@task(help={"host": "folder of the host project", "against": "report.json of the last release"})
def report(_: Context, host: str = "hosts/gdal", against: str = "") -> None:
    """One HTML page of the wheels in dist/: dist/report.html."""
    extra = ["--against", against] if against else []
    _geowheel("report", "--root", str(HERE), "--host", host, *extra)

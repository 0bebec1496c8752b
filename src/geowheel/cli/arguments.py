"""What can be asked for: the parser of the command line."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

from geowheel import __version__
from geowheel.host.config import Bindings
from geowheel.host.places import Layout
from geowheel.stages import STAGES, WHEEL
from geowheel.upgrade import EVERYTHING

from . import commands
from .command_help import EPILOG, SHELLS, Overview, with_examples
from .commands import Call


def parser() -> argparse.ArgumentParser:
    """The parser; what it gives has `run`, the function of the command."""
    made = Overview(
        prog="geowheel",
        description="Self-contained GDAL wheels from locked conda packages.",
        epilog=EPILOG,
    )
    made.add_argument("--version", action="version", version=f"geowheel {__version__}")
    subparsers = made.add_subparsers(
        dest="command", metavar="COMMAND", parser_class=argparse.ArgumentParser
    )
    for stage in STAGES:
        goals = commands.run_goals((stage.name,))
        of_stage = _stage_command(subparsers, stage.name, stage.summary, goals)
        if stage.verdict:
            _verdict_options(of_stage)
        if stage.name == "lab":
            _lab_options(of_stage)
    _stage_command(subparsers, "wheel", "everything: fetch to test", commands.run_goals(WHEEL))
    _stage_command(
        subparsers, "plan", "what `wheel` would run and why, running nothing", commands.plan
    )
    _add(
        subparsers,
        "matrix",
        "every target: how its wheel can be made here, and why not",
        commands.matrix,
    )
    repair = _add(
        subparsers,
        "repair-wheel",
        "repair a raw wheel that was made elsewhere",
        commands.repair_wheel,
    )
    repair.add_argument("raw", type=Path, metavar="RAW", help="the wheel as its backend made it")
    repair.add_argument("destination", type=Path, metavar="DEST", help="folder for the result")
    _bindings_option(repair)
    variables = _add(
        subparsers, "env", "variables for a build against the native stack", commands.env
    )
    variables.add_argument(
        "names", nargs="*", metavar="NAME", help="print only the values of these, one on each line"
    )
    _lock_command(subparsers)
    _init_command(subparsers)
    channel = _add(subparsers, "channel", "make or refresh the distro channel", commands.channel)
    _platform_option(channel)
    _add(
        subparsers,
        "status",
        "what is released, built, missing, stale",
        commands.status,
    )
    clean = _add(
        subparsers,
        "clean",
        "remove what newer runs replaced, and leftovers, from .geowheel/",
        commands.clean,
    )
    clean.add_argument("--all", action="store_true", help="remove .geowheel/ and dist/ whole")
    _release_commands(subparsers)
    _ci_commands(subparsers)
    _machine_commands(subparsers)
    with_examples(subparsers)
    return made


def _lock_command(subparsers: Any) -> None:
    lock = _add(
        subparsers,
        "lock",
        "solve and write pixi.lock, conda-lock.yml and the build lock",
        commands.lock,
    )
    lock.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit with 4 when a lock is missing or stale",
    )
    lock.add_argument(
        "--upgrade",
        action="append",
        nargs="?",
        default=[],
        const=EVERYTHING,
        metavar="PKG",
        help="let go of the locked version of PKG, conda's or the build lock's; bare: of all",
    )
    lock.add_argument(
        "--upgrade-format",
        action="store_true",
        help="let pixi.lock be written in a newer format, which an older pixi cannot read",
    )


def _coverage_command(subparsers: Any) -> None:
    coverage = _add(
        subparsers,
        "coverage",
        "which wheel pip picks on which system, or why none",
        commands.coverage,
    )
    coverage.add_argument(
        "names",
        nargs="*",
        metavar="WHEEL",
        help="names of wheels, which need not exist (default: the host's in dist/)",
    )
    coverage.add_argument(
        "--system",
        action="append",
        default=[],
        metavar="TEXT",
        help="only systems with that text in their name; may be given several times",
    )
    coverage.add_argument(
        "--date",
        type=datetime.date.fromisoformat,
        metavar="YYYY-MM-DD",
        help="mark systems that are out of support on that day (default: today)",
    )


def _report_command(subparsers: Any) -> None:
    report = _add(
        subparsers,
        "report",
        "one HTML page of the wheels in dist/: dist/report.html",
        commands.report,
    )
    report.add_argument(
        "--against",
        type=Path,
        metavar="FILE",
        help="report.json of the release to compare with (default: the last one in dist/)",
    )


def _release_commands(subparsers: Any) -> None:
    """What leads from wheels to a release."""
    _coverage_command(subparsers)
    _report_command(subparsers)
    export = _stage_command(
        subparsers,
        "export",
        "what is built here, with its records, for another machine's `collect`",
        commands.export,
    )
    export.add_argument("folder", type=Path, metavar="DIR", help="a new folder for it")
    collect = _add(
        subparsers,
        "collect",
        "check what other machines exported, and take it over",
        commands.collect,
    )
    collect.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="what `export` wrote, or a folder of such folders",
    )
    release = _add(
        subparsers,
        "release",
        "publish this version: check, tag, upload what is not there yet",
        commands.release,
    )
    release.add_argument(
        "--index",
        metavar="NAME|URL",
        help="pypi, testpypi, a section of ~/.pypirc or an upload URL (default: as configured)",
    )
    release.add_argument(
        "--dry-run", action="store_true", help="everything but tag and upload; the exact list"
    )
    release.add_argument("--push", action="store_true", help="push the tag, at the end")


def _ci_commands(subparsers: Any) -> None:
    """What is about continuous integration."""
    workflow = _add(
        subparsers,
        "workflow",
        "write the workflow of GitHub Actions from the configuration",
        commands.workflow,
    )
    workflow.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit with 3 and the difference when it is not current",
    )
    _add(
        subparsers, "pins", "what the workflow and this machine use, and from where", commands.pins
    )


def _machine_commands(subparsers: Any) -> None:
    """What is about the machine, the editor and the shell more than about one project."""
    schema = _standalone(
        subparsers, "schema", "print the configuration's JSON Schema", commands.schema
    )
    schema.add_argument(
        "--pyproject",
        action="store_true",
        help="of a whole pyproject.toml, for an editor; else of the table [tool.geowheel]",
    )
    completion = _standalone(
        subparsers, "completion", "print a shell's completions", commands.completion
    )
    completion.add_argument("shell", choices=SHELLS, help="the shell that will read them")
    _add(
        subparsers,
        "doctor",
        "what this machine lacks for a wheel, and what to install",
        commands.doctor,
    )
    cache = _add(
        subparsers, "cache", "the user's cache: what is in it; remove what is old", commands.cache
    )
    cache.add_argument("action", choices=("list", "prune"), help="show it, or remove what is old")
    cache.add_argument(
        "--older-than",
        type=float,
        default=90,
        metavar="DAYS",
        help="prune what was not used for so long (default: %(default)s)",
    )
    sure = cache.add_mutually_exclusive_group()
    sure.add_argument("--yes", action="store_true", help="prune: remove it, not only say so")
    sure.add_argument("--dry-run", action="store_true", help="prune: only say so (the default)")


def _add(
    subparsers: Any, name: str, summary: str, run: Callable[[Call], dict[str, Any]]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(name, help=summary, description=summary)
    parser.set_defaults(run=run)
    parser.add_argument(
        "--root",
        default=".",
        metavar="DIR",
        help="project folder; holds .geowheel/ and dist/ (default: here)",
    )
    parser.add_argument(
        "--host",
        default=".",
        type=Path,
        metavar="DIR",
        help="host project, relative to the root (default: the root)",
    )
    parser.add_argument(
        "--channel",
        metavar="NAME|DIR|URL|distro",
        help="use this channel, strictly, instead of the lock (GEOWHEEL_CHANNEL)",
    )
    parser.add_argument("--frozen", action="store_true", help="refuse to run without a lock")
    parser.add_argument("--json", action="store_true", help="the result as JSON on stdout")
    parser.add_argument("--quiet", action="store_true", help="show errors only")
    return parser


def _standalone(
    subparsers: Any, name: str, summary: str, run: Callable[[Call], dict[str, Any]]
) -> argparse.ArgumentParser:
    """A command that reads no project and prints one text."""
    parser: argparse.ArgumentParser = subparsers.add_parser(name, help=summary, description=summary)
    parser.set_defaults(run=run, root=".", quiet=False, json=False)
    return parser


def _init_command(subparsers: Any) -> None:
    """Not like the others: there is no project yet to choose a channel or a lock for."""
    summary = "add geowheel to a project, or begin one in an empty folder"
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "init",
        help=summary,
        description=summary,
        epilog="It shows what it would write, and asks; it changes nothing that is there, but "
        "appends to pyproject.toml and .gitignore.",
    )
    parser.set_defaults(run=commands.init, quiet=False)
    parser.add_argument("--root", default=".", metavar="DIR", help="project folder (default: here)")
    parser.add_argument("--name", help="distribution name of a new project (default: the folder's)")
    parser.add_argument("--import-package", metavar="NAME", help="the project's own package")
    parser.add_argument(
        "--layout",
        type=Layout,
        choices=tuple(Layout),
        help="private: a GDAL below the package; toplevel: osgeo itself; none: the project's own "
        "extension modules link libgdal (default: none where it compiles some, else private)",
    )
    parser.add_argument("--environment", metavar="NAME", help="pixi environment with libgdal-core")
    parser.add_argument(
        "--python", action="append", default=[], metavar="3.X", help="a version to build for"
    )
    parser.add_argument("--yes", action="store_true", help="write without asking")
    parser.add_argument("--show", action="store_true", help="only show what would be written")
    parser.add_argument("--json", action="store_true", help="the result as JSON on stdout")


def _stage_command(
    subparsers: Any, name: str, summary: str, run: Callable[[Call], dict[str, Any]]
) -> argparse.ArgumentParser:
    parser = _add(subparsers, name, summary, run)
    parser.set_defaults(case=[], seed=None, wheel=None, index=None)
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="3.X|PATH",
        help="a configured version, or the path of an interpreter",
    )
    parser.add_argument("--all", action="store_true", help="every configured python")
    _platform_option(parser)
    _bindings_option(parser)
    parser.add_argument(
        "--verify",
        action="store_true",
        help="hash outputs again instead of trusting that nobody changed them",
    )
    parser.add_argument(
        "--keep-work",
        action="store_true",
        help="keep the folder of a stage that fails, and say how to enter it",
    )
    return parser


def _platform_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--platform",
        action="append",
        default=[],
        metavar="SUBDIR",
        help="conda subdir such as osx-arm64 (default: this machine's); may be given several times",
    )


def _bindings_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bindings",
        type=Bindings,
        choices=tuple(Bindings),
        help="compile osgeo's modules, or take the channel's own (default: as configured)",
    )


def _verdict_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wheel",
        type=Path,
        metavar="FILE|DIR",
        help="judge this repaired wheel, or the one that lies there, and make none",
    )
    parser.add_argument(
        "--index",
        metavar="URL",
        help="with --wheel: let pip take the same bytes from this package index first",
    )


def _lab_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--case",
        action="append",
        metavar="PATTERN",
        help="only the cases whose group or name matches, such as 'coexistence*'; never counts as "
        "a pass of the whole",
    )
    parser.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help="of the random orders and the damaged files (default: from the wheel's sha256)",
    )

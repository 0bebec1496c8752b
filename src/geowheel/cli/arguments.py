"""What can be asked for: the parser of the command line, made from the table of commands."""

import argparse
import datetime
import enum
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from geowheel import __version__
from geowheel.command_table import COMMANDS
from geowheel.locks.upgrades import EVERYTHING
from geowheel.machine.sandbox import SandboxKind
from geowheel.machine.spelling import STANDALONE
from geowheel.project.config import Bindings
from geowheel.project.places import Layout
from geowheel.stages import STAGES, WHEEL

from . import commands
from .command_help import EPILOG, SHELLS, Overview, examples_of
from .parsing import Parser

Choice = TypeVar("Choice", bound=enum.StrEnum)


@dataclass(frozen=True)
class Option:
    """One argument of a command, as argparse takes it."""

    flags: tuple[str, ...]
    settings: Mapping[str, Any]

    def add(self, parser: Any) -> None:
        parser.add_argument(*self.flags, **self.settings)


def _option(*flags: str, **settings: Any) -> Option:
    return Option(flags, settings)


def _one_of(kind: type[Choice]) -> Callable[[str], Choice]:
    """Return a converter to a member; a wrong choice gets argparse's own words."""

    def convert(text: str) -> Choice:
        try:
            return kind(text)
        except ValueError:
            known = ", ".join(repr(str(member)) for member in kind)
            words = f"invalid choice: {text!r} (choose from {known})"
            raise argparse.ArgumentTypeError(words) from None

    return convert


def _flag(name: str, help: str) -> Option:
    return _option(name, action="store_true", help=help)


def _several(name: str, metavar: str, help: str) -> Option:
    return _option(name, action="append", default=[], metavar=metavar, help=help)


class _Root(argparse.Action):
    """Tells the name of a root file system, `debian:trixie`, from a project's folder."""

    def __call__(self, _: Any, namespace: argparse.Namespace, value: Any, *__: Any) -> None:
        named = re.fullmatch(r"[a-z]{2,}:[\w.-]+", value)
        setattr(namespace, "file_system" if named else "root", value)


_JSON: Final = _flag("--json", "print the result as JSON, alone on standard output")
_ROOT: Final = _option(
    "--root", default=".", metavar="DIR", action=_Root,
    help="project folder; holds .geowheel/ and dist/ (default: here); for test and lab also the "
    "name of a root file system, as `root` made it",
)  # fmt: skip
_OF_A_PROJECT: Final = (
    _ROOT,
    _option("--host", default=".", type=Path, metavar="DIR",
            help="host project, relative to the root (default: the root)"),
    _option("--channel", metavar="NAME|DIR|URL|distro[:SUITE]",
            help="use this channel, strictly, instead of the lock (GEOWHEEL_CHANNEL)"),
    _flag("--frozen", "refuse to run without a lock"),
    _JSON,
    _flag("--quiet", "show errors only"),
)  # fmt: skip
_PLATFORM: Final = _several(
    "--platform", "SUBDIR",
    "conda subdir such as osx-arm64 (default: this machine's); may be given several times",
)  # fmt: skip
_BINDINGS: Final = _option(
    "--bindings", type=_one_of(Bindings), choices=tuple(Bindings),
    help="compile osgeo's modules, or take the channel's own (default: as configured)",
)  # fmt: skip
_PYTHON: Final = _several(
    "--python", "3.X|PATH", "a configured version, or the path of an interpreter"
)
_SANDBOX: Final = _option(
    "--sandbox", type=_one_of(SandboxKind), choices=tuple(SandboxKind),
    help="what shuts in the commands of every stage after fetch (default: as configured)",
)  # fmt: skip
_OF_A_STAGE: Final = (
    _PYTHON,
    _flag("--all", "every configured python"),
    _PLATFORM,
    _BINDINGS,
    _SANDBOX,
    _flag("--verify", "hash outputs again instead of trusting that nobody changed them"),
    _flag("--cache-read-only", "take from the shared ledger, and give it nothing"),
    _flag("--keep-work", "keep the folder of a stage that fails, and say how to enter it"),
)
_OF_A_VERDICT: Final = (
    _option("--wheel", type=Path, metavar="FILE|DIR",
            help="judge this repaired wheel, or the one that lies there, and make none"),
    _option("--index", metavar="URL",
            help="with --wheel: let pip take the same bytes from this package index first"),
)  # fmt: skip
_OWN: Final[Mapping[str, tuple[Option, ...]]] = {
    "lab": (
        _option("--case", action="append", default=[], metavar="PATTERN",
                help="only the cases whose group or name matches, such as 'coexistence*'; never "
                "counts as a pass of the whole"),
        _option("--seed", type=int, metavar="N",
                help="of the random orders and the damaged files (default: from the wheel's "
                "sha256)"),
    ),
    "repair-wheel": (
        _option("raw", type=Path, metavar="RAW", help="the wheel as its backend made it"),
        _option("destination", type=Path, metavar="DEST", help="folder for the result"),
        _BINDINGS,
        _SANDBOX,
    ),
    "reproduce": (_PYTHON,),
    "rebuild": (
        _option("wheel_file", type=Path, metavar="WHEEL", help="a repaired wheel of the host"),
    ),
    "audit": (
        _option("wheels", nargs="*", type=Path, metavar="FILE",
                help="any wheels (default: all in dist/)"),
        _option("--vulnerabilities", type=Path, metavar="REPORT",
                help="match its SBOM with a report of OSV-Scanner, Grype or Trivy, or a folder of "
                "OSV records"),
        _option("--published", nargs=2, metavar=("INDEX", "NAME"),
                help="which wheels of a project that are out need a new build: INDEX as for "
                "`release`, or the URL of a simple API; NAME may be a requirement (default: the "
                "newest version)"),
        _option("--images", metavar="FLOOR",
                help="only say which image to build in for a floor, such as manylinux_2_28"),
        _option("--explain", metavar="RULE", help="only say what a rule is about, and its remedy"),
        _option("--sarif", type=Path, metavar="FILE",
                help="write the findings there as SARIF 2.1.0 too"),
    ),
    "env": (
        _flag("--toolchain", "the compilers and their flags as well, for a build elsewhere"),
        _option("names", nargs="*", metavar="NAME",
                help="print only the values of these, one on each line"),
    ),
    "lock": (
        _flag("--check", "write nothing; exit with 4 when a lock is missing or stale"),
        _option("--upgrade", action="append", nargs="?", default=[], const=EVERYTHING,
                metavar="PKG", help="let go of the locked version of PKG, conda's or the build "
                "lock's; bare: of all"),
        _flag("--upgrade-format",
              "let pixi.lock be written in a newer format, which an older pixi cannot read"),
    ),
    "init": (
        _ROOT,
        _option("--name", help="distribution name of a new project (default: the folder's)"),
        _option("--import-package", metavar="NAME", help="the project's own package"),
        _option("--layout", type=_one_of(Layout), choices=tuple(Layout),
                help="private: a GDAL below the package; toplevel: osgeo itself; none: the "
                "project's own extension modules link libgdal (default: none where it compiles "
                "some, else private)"),
        _option("--environment", metavar="NAME", help="pixi environment with libgdal-core"),
        _several("--python", "3.X", "a version to build for"),
        _flag("--yes", "write without asking"),
        _flag("--show", "only show what would be written"),
        _JSON,
    ),
    "channel": (_PLATFORM,),
    "clean": (_flag("--all", "remove .geowheel/ and dist/ whole"),),
    "coverage": (
        _option("names", nargs="*", metavar="WHEEL",
                help="names of wheels, which need not exist (default: the host's in dist/)"),
        _several("--system", "TEXT",
                 "only systems with that text in their name; may be given several times"),
        _option("--date", type=datetime.date.fromisoformat, metavar="YYYY-MM-DD",
                help="mark systems that are out of support on that day (default: today)"),
    ),
    "report": (
        _option("--against", type=Path, metavar="FILE",
                help="report.json of the release to compare with (default: the last one in dist/)"),
    ),
    "export": (_option("folder", type=Path, metavar="DIR", help="a new folder for it"),),
    "collect": (
        _option("folders", nargs="+", type=Path, metavar="DIR",
                help="what `export` wrote, or a folder of such folders"),
    ),
    "release": (
        _option("--index", metavar="NAME|URL", help="pypi, testpypi, a section of ~/.pypirc or an "
                "upload URL (default: as configured)"),
        _flag("--dry-run", "everything but tag and upload; the exact list"),
        _flag("--push", "push the tag, at the end"),
    ),
    "workflow": (
        _flag("--check",
              "write nothing; exit with 3 and the difference when it is not current"),
    ),
    "doctor": (_flag("--all", "show every check, not only what lacks something"),),
    "explain": (
        _option("logs", nargs="*", type=Path, metavar="LOG",
                help="file with what a command printed (default: standard input)"),
    ),
    "schema": (
        _flag("--pyproject",
              "of a whole pyproject.toml, for an editor; else of the table [tool.geowheel]"),
    ),
    "completion": (_option("shell", choices=SHELLS, help="the shell that will read them"),),
    "root": (
        _option("name", metavar="SUITE|FILE",
                help="debian:SUITE, or a tar file that holds a root file system"),
    ),
    "cache": (
        _option("action", choices=("list", "prune"), help="show it, or remove what is old"),
        _option("--older-than", type=float, default=90, metavar="DAYS",
                help="prune what was not used for so long (default: %(default)s)"),
        _flag("--yes", "prune: remove it, not only say so"),
        _flag("--dry-run", "prune: only say so (the default)"),
    ),
}  # fmt: skip
_GOALS: Final = {stage.name: (stage.name,) for stage in STAGES} | {"wheel": WHEEL}
_VERDICTS: Final = frozenset(stage.name for stage in STAGES if stage.verdict)
_WITH_TARGETS: Final = frozenset({*_GOALS, "plan", "export"})


def parser() -> Parser:
    """Return the parser; what it gives has `run`, the function of the command.

    It raises UsageError where argparse would print its usage.
    """
    made = Overview(
        prog="geowheel",
        description="Self-contained GDAL wheels from locked conda packages.",
        epilog=EPILOG,
    )
    made.add_argument("--version", action="version", version=f"geowheel {__version__}")
    rows = made.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for command in COMMANDS:
        name = command.name
        own = rows.add_parser(
            name,
            help=command.summary,
            description=command.summary,
            epilog=examples_of(name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        goals = _GOALS.get(name)
        run = commands.run_goals(goals) if goals else getattr(commands, name.replace("-", "_"))
        # What only some commands can be asked for.
        own.set_defaults(run=run, root=".", quiet=False, json=False, case=[], seed=None,
                         wheel=None, index=None, file_system="")  # fmt: skip
        for option in options_of(name):
            option.add(own)
    return made


def options_of(name: str) -> Iterator[Option]:
    """Yield what a command takes."""
    if name not in STANDALONE:
        yield from _OF_A_PROJECT
    if name in _WITH_TARGETS:
        yield from _OF_A_STAGE
    if name in _VERDICTS:
        yield from _OF_A_VERDICT
    yield from _OWN.get(name, ())

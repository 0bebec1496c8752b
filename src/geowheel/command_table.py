"""The table of commands: the command line, its help and the nox sessions are made from it.

Only the standard library is imported here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from geowheel.stages import STAGES


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command: its name, the line that help and `nox -l` show, the heading above it."""

    name: str
    summary: str
    group: str


def _group(group: str, **summaries: str) -> Iterator[Command]:
    for name, summary in summaries.items():
        yield Command(name=name.replace("_", "-"), summary=summary, group=group)


COMMANDS: Final = (
    *_group(
        "the whole way",
        wheel="make, repair and test the wheel, for the Python that runs it",
        plan="show what `wheel` would run and why; run nothing",
    ),
    *_group(
        "its stages, each with what comes before it",
        **{stage.name: stage.summary for stage in STAGES},
    ),
    *_group(
        "before",
        init="add geowheel to a project, or begin one in an empty folder",
        doctor="check what this machine lacks for a wheel, and say what to install",
        explain="name the known failures in a log: cause, remedy, command",
        matrix="show every target: how its wheel can be made here, and why not",
        lock="solve and write pixi.lock, conda-lock.yml and the build lock",
        channel="make or refresh the channel of this distribution's packages",
    ),
    *_group(
        "around a build of the host's own",
        env="print the variables for a build against the native stack",
        repair_wheel="repair a raw wheel that was made elsewhere",
    ),
    *_group(
        "the same bytes",
        reproduce="build twice, as differently as this machine can, and compare",
        rebuild="build a wheel again from this checkout, and say whether its bytes come out",
    ),
    *_group(
        "about any wheel",
        audit="say what is wrong with wheels, where each runs, and what to do about it",
    ),
    *_group(
        "towards a release",
        export="hand over what is built here, with its records, to another machine",
        collect="check what other machines exported, and take it over",
        coverage="show which wheel pip picks on which system, or why none",
        report="write one HTML page about the wheels in dist/: dist/report.html",
        release="publish this version: check, tag, upload what is not there yet",
    ),
    *_group(
        "for continuous integration",
        workflow="write the workflow of GitHub Actions from the configuration",
        pins="show what the workflow and this machine use, and from where",
    ),
    *_group(
        "around",
        status="show what is released, built, missing, stale",
        clean="remove what newer runs replaced, and leftovers, from .geowheel/",
        cache="list the user's cache, or prune what is old in it",
        root="make a root file system to run the probes in: `test --root NAME`",
    ),
    *_group(
        "for editors and shells",
        schema="print the configuration's JSON Schema",
        completion="print a shell's completions",
    ),
)

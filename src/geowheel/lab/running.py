"""Cases side by side, each in a fresh process and a folder of its own; the reference programs."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

from geowheel.machine.console import Step
from geowheel.machine.environments import isolated_environment

from .cases import Case, Judge
from .judging import (
    Crash,
    End,
    Verdict,
    judge,
)

SCRIPTS: Final = "geowheel_lab_scripts"
"""The package that the scripts are where they run: a name that no installed one has."""
TIMEOUT: Final = 120
"""Seconds that a case may take; the slowest take a few."""


@dataclass(frozen=True, kw_only=True)
class Lab:
    """Where the cases run."""

    clean: Path
    """The interpreter of the environment with the wheel and what it requires."""
    peers: Path | None
    """The interpreter of the one with the peers as well."""
    wheel: Path
    import_package: str
    prefix: Path
    bubblewrap: Path | None
    place: Path
    """An empty folder."""
    environ: Mapping[str, str]

    @property
    def told(self) -> dict[str, Any]:
        """What every case is told."""
        return {
            "package": self.import_package,
            "wheel": str(self.wheel),
            "peers": str(self.peers) if self.peers else None,
            "bwrap": str(self.bubblewrap) if self.bubblewrap else None,
        }


def run_cases(lab: Lab, cases: Sequence[Case], step: Step) -> list[Verdict]:
    """Run what can be run, on all cores; one verdict for each case, in their order."""
    with as_file(files("geowheel.probes") / "lab") as source:
        shutil.copytree(source, lab.place / SCRIPTS)
    waiting = [(number, case) for number, case in enumerate(cases) if not case.skip]
    with step.progress("cases", len(waiting)) as advance:

        def work(item: tuple[int, Case]) -> End:
            end = _run(lab, item[1], lab.place / f"case-{item[0]:03}", step)
            advance(1)
            return end

        ended = step.side_by_side(work, waiting)
    ends = {case.full_name: end for (_, case), end in zip(waiting, ended, strict=True)}
    return [judge(case, ends.get(case.full_name), ends) for case in cases]


def _run(lab: Lab, case: Case, folder: Path, step: Step) -> End:
    folder.mkdir()
    asked = {**lab.told, **case.asked, "function": case.function, "folder": str(folder)}
    (folder / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
    python = lab.peers if case.peers and lab.peers else lab.clean
    started = time.monotonic()
    result = step.run(
        [python, "-I", lab.place / SCRIPTS / "case.py", folder / "asked.json",
         folder / "report.json"],
        # HOME: PROJ keeps grids there, and must find none of the user's.
        env=isolated_environment(lab.environ, HOME=str(folder), TMPDIR=str(folder)),
        cwd=folder, check=False, timeout=TIMEOUT,
    )  # fmt: skip
    end = End(
        returncode=result.returncode,
        seconds=time.monotonic() - started,
        output=result.stderr,
        report=_report(folder / "report.json"),
    )
    return _beside_the_reference(lab, end, step) if case.judge is Judge.REFERENCE else end


def _report(path: Path) -> Mapping[str, Any] | None:
    try:
        report: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # it ended before, or in the middle
    return report


def _beside_the_reference(lab: Lab, end: End, step: Step) -> End:
    """The files that crashed the wheel's GDAL, read by the programs of the prefix."""
    report = end.report or {}
    crashes = [
        Crash(
            path=found["path"],
            ended=found["ended"],
            reference=_reference(lab, Path(found["path"]), step, vector=report["vector"]),
        )
        for found in report.get("crashes", ())
    ]
    return replace(end, crashes=tuple(crashes))


def _reference(lab: Lab, path: Path, step: Step, *, vector: bool) -> int | None:
    name, arguments = ("ogrinfo", ["-al", "-q"]) if vector else ("gdalinfo", ["-checksum"])
    program = lab.prefix / "bin" / name
    if not program.is_file():
        return None
    share = lab.prefix / "share"
    variables = isolated_environment(
        lab.environ, LD_LIBRARY_PATH=str(lab.prefix / "lib"), HOME=str(path.parent),
        GDAL_DATA=str(share / "gdal"), PROJ_DATA=str(share / "proj"), PROJ_LIB=str(share / "proj"),
    )  # fmt: skip
    return step.run(
        [program, *arguments, path], env=variables, cwd=path.parent, check=False, timeout=TIMEOUT
    ).returncode

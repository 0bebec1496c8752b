"""Functions of `probes` in processes of their own, and the cases of the lab side by side."""

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

import msgspec

from geowheel.machine.console import Step
from geowheel.machine.environments import isolated_environment
from geowheel.machine.process import Result

from .cases import Case, Judge
from .judging import CaseVerdict, Crash, End, judge

PROBES: Final = "geowheel_probes"
"""The package that the probes are where they run: a name that no installed one has."""
TIMEOUT: Final = 120
"""Seconds that a case may take; the slowest take a few."""


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """Where the cases run."""

    clean: Path
    """The interpreter of the environment with the wheel and what it requires."""
    peers: Path | None
    """The interpreter of the one with the peers as well."""
    wheel: Path
    import_package: str
    layout: str
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
            "layout": self.layout,
            "wheel": str(self.wheel),
            "peers": str(self.peers) if self.peers else None,
            "bwrap": str(self.bubblewrap) if self.bubblewrap else None,
        }


def copy_probes(place: Path) -> None:
    """Copy the probes into the folder in which their processes are run."""
    with as_file(files("geowheel.probes")) as source:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, place / PROBES, ignore=ignored)


def call_probe(
    python: Path,
    function: str,
    asked: Mapping[str, Any],
    folder: Path,
    step: Step,
    *,
    environ: Mapping[str, str],
    timeout: float,
    kind: Any = dict,
) -> tuple[Result, Any]:
    """Run `module:function` of the probes in `folder`, which lies beside them.

    Returns how the process ended, and its report; None where it wrote none of that kind.
    """
    folder.mkdir()
    paths = folder / "asked.json", folder / "report.json"
    paths[0].write_text(json.dumps({**asked, "function": function, "folder": str(folder)}))
    result = step.run(
        [python, "-I", folder.parent / PROBES / "probe.py", *paths],
        # HOME: PROJ keeps grids there, and must find none of the user's.
        env=isolated_environment(environ, HOME=str(folder), TMPDIR=str(folder)),
        cwd=folder, check=False, timeout=timeout,
    )  # fmt: skip
    try:  # json, since a number may be NaN
        return result, msgspec.convert(json.loads(paths[1].read_text(encoding="utf-8")), kind)
    except (OSError, ValueError, RecursionError):
        return result, None  # it ended before, or in the middle


def run_cases(lab: Workbench, cases: Sequence[Case], step: Step) -> list[CaseVerdict]:
    """Run what can be run, on all cores; one verdict for each case, in their order."""
    copy_probes(lab.place)
    waiting = [(number, case) for number, case in enumerate(cases) if not case.skip]
    with step.progress("cases", len(waiting)) as advance:

        def work(item: tuple[int, Case]) -> End:
            end = _run(lab, item[1], lab.place / f"case-{item[0]:03}", step)
            advance(1)
            return end

        ended = step.side_by_side(work, waiting)
    ends = {case.full_name: end for (_, case), end in zip(waiting, ended, strict=True)}
    return [judge(case, ends.get(case.full_name), ends) for case in cases]


def _run(lab: Workbench, case: Case, folder: Path, step: Step) -> End:
    python = lab.peers if case.peers and lab.peers else lab.clean
    started = time.monotonic()
    result, report = call_probe(
        python, case.function, {**lab.told, **case.asked}, folder, step,
        environ=lab.environ, timeout=TIMEOUT,
    )  # fmt: skip
    end = End(
        returncode=result.returncode,
        seconds=time.monotonic() - started,
        output=result.stderr,
        report=report,
    )
    if case.judge is not Judge.REFERENCE or not report:
        return end
    # The files that crashed the wheel's GDAL, read by the programs of the prefix.
    crashes = (
        _compared(lab, found, step, vector=report["vector"]) for found in report.get("crashes", ())
    )
    return replace(end, crashes=tuple(crashes))


def _compared(lab: Workbench, found: Mapping[str, Any], step: Step, *, vector: bool) -> Crash:
    started = time.monotonic()
    reference = _reference(lab, Path(found["path"]), step, vector)
    return Crash(**found, reference=reference, reference_seconds=time.monotonic() - started)


def _reference(lab: Workbench, path: Path, step: Step, vector: bool) -> int | None:
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

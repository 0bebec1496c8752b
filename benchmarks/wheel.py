"""What a wheel costs, and the plain ways beside it, in one run.

Run from the tool environment (`python3 ci/nox.py -s benchmark`). Everything is made in a temporary
folder with an empty cache. An argument names the second interpreter's version (default: 3.12, or
3.13 where that runs this). Prints a Markdown table.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
NOX = "`ci/nox.py -l`"
RUNS = 10  # of what takes no longer than a second


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measured command."""

    what: str
    seconds: float
    against: str = ""


def main() -> int:
    """Measure and print."""
    first = f"{sys.version_info.major}.{sys.version_info.minor}"
    second = sys.argv[1] if len(sys.argv) > 1 else "3.12" if first != "3.12" else "3.13"
    with tempfile.TemporaryDirectory(prefix="geowheel-benchmark-") as scratch:
        root, cache = Path(scratch, "checkout"), Path(scratch, "cache")
        subprocess.run(["git", "clone", "-q", REPOSITORY, root], check=True)
        environ = {
            **os.environ,
            "PYTHONPATH": str(root / "src"),
            "GEOWHEEL_CACHE": str(cache),
            "GEOWHEEL_CHANNEL": "distro",
        }
        rows = _ours(root, environ, first, second)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
        rows += _plain(root, environ, first, Path(scratch))
    _print(rows, peak)
    return 0


def _ours(root: Path, environ: Mapping[str, str], first: str, second: str) -> list[Row]:
    def wheel(python: str) -> float:
        where = ["--root", str(root), "--host", "hosts/gdal", "--quiet"]
        return _timed([sys.executable, "-m", "geowheel", "wheel", *where, "--python", python],
                      root, environ)  # fmt: skip

    rows = [
        Row(what=f"`wheel-{first}`, cold, download included", seconds=wheel(first)),
        Row(what=f"`wheel-{second}`, the second interpreter", seconds=wheel(second)),
    ]
    rows += _nothing_to_do(root, environ, second)
    readme = root / "hosts" / "gdal" / "tests" / "test_gdal.py"
    readme.write_text(readme.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    rows.append(Row(what="after an edit of one Python file of the host", seconds=wheel(second)))
    stages = _stage_seconds(root, first)
    rows += [Row(what=f"stage `{name}`", seconds=stages[name]) for name in ("bindings", "repair")]
    return rows


def _nothing_to_do(root: Path, environ: Mapping[str, str], python: str) -> list[Row]:
    """The whole command as a person gives it, and nox's own start beside it; medians, in turn."""
    # Only the tool environment is not made anew: it is the one that runs this.
    Path(environ["GEOWHEEL_CACHE"], "tools").symlink_to(Path(sys.prefix).parent)
    program = [getattr(sys, "_base_executable", sys.executable), root / "ci" / "nox.py"]
    commands = {
        f"`ci/nox.py -s wheel-{python}` again, nothing to do": ["-s", f"wheel-{python}"],
        NOX: ["-l"],
    }
    times: dict[str, list[float]] = {what: [] for what in commands}
    for _ in range(RUNS + 1):
        for what, arguments in commands.items():
            times[what].append(_timed([*program, *arguments], root, environ))
    return [
        Row(
            what=what,
            seconds=statistics.median(seconds[1:]),  # the first one writes bytecode
            against="" if what == NOX else NOX,
        )
        for what, seconds in times.items()
    ]


def _stage_seconds(root: Path, python: str) -> dict[str, float]:
    folder = root / ".geowheel" / f"cp{python.replace('.', '')}-linux-64"
    return {
        stage: json.loads(next(folder.glob(f"{stage}/*/record.json")).read_text())["seconds"]
        for stage in ("bindings", "repair")
    }


def _plain(root: Path, environ: Mapping[str, str], python: str, scratch: Path) -> list[Row]:
    """setuptools on GDAL's sdist, and the auditwheel command, as they come."""
    prefix = next(root.glob(".geowheel/linux-64/fetch/*/prefix"))
    sdist = next(Path(environ["GEOWHEEL_CACHE"]).glob("store/*/*/GDAL-*.tar.gz"))
    numpy = next(Path(environ["GEOWHEEL_CACHE"]).glob(
        f"store/*/*/numpy-*-cp{python.replace('.', '')}-*.whl"))  # fmt: skip
    venv = scratch / "plain"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip: list[str | Path] = [venv / "bin" / "python", "-m", "pip"]
    subprocess.run([*pip, "install", "-q", "setuptools<74", "wheel", numpy], check=True)
    config = scratch / "bin" / "gdal-config"
    config.parent.mkdir()
    version = sdist.name.removeprefix("GDAL-").removesuffix(".tar.gz")
    answers = (
        f"--version) echo {version};; --prefix) echo {prefix};; "
        f"--cflags) echo -I{prefix}/include;; *) echo;;"
    )
    config.write_text(f"#!/bin/sh\ncase $1 in {answers} esac\n", encoding="utf-8")
    config.chmod(0o755)
    plain = {
        **environ, "PATH": f"{config.parent}:{environ['PATH']}", "LIBRARY_PATH": f"{prefix}/lib",
        "LD_LIBRARY_PATH": f"{prefix}/lib", "CPLUS_INCLUDE_PATH": f"{prefix}/include",
        "C_INCLUDE_PATH": f"{prefix}/include",
    }  # fmt: skip
    made = scratch / "made"
    build = _timed([*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", made, sdist],
                   scratch, plain)  # fmt: skip
    raw = next(root.glob(f".geowheel/cp{python.replace('.', '')}-linux-64/build/*/*.whl"))
    repair = _timed(
        [Path(sys.executable).with_name("auditwheel"), "repair", "-w", scratch / "repaired", raw],
        scratch,
        {**plain, "PATH": f"{Path(sys.executable).parent}:{environ['PATH']}"},
    )
    shutil.rmtree(made)
    return [
        Row(what="plain: `pip wheel` of GDAL's sdist", seconds=build, against="stage `bindings`"),
        Row(what="plain: `auditwheel repair`", seconds=repair, against="stage `repair`"),
    ]


def _timed(command: Sequence[str | Path], folder: Path, environ: Mapping[str, str]) -> float:
    start = time.monotonic()
    subprocess.run(command, cwd=folder, env=dict(environ), check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def _print(rows: Sequence[Row], peak: float) -> None:
    times = {row.what: row.seconds for row in rows}
    lines = ["| what | seconds | ratio |", "| --- | --- | --- |"]
    for row in rows:
        ratio = f"{row.seconds / times[row.against]:.1f} x {row.against}" if row.against else ""
        digits = 1 if row.seconds >= 2 else 2
        lines.append(f"| {row.what} | {row.seconds:.{digits}f} | {ratio} |")
    lines.append(f"\nPeak memory of the largest process of ours: {peak:.0f} MB.")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())

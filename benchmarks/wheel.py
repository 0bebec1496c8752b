"""What the default wheel costs, and the plain ways beside it, in one run.

Run from the tool environment (`python3 ci/nox.py -s benchmark_wheel`). Everything is made in a
temporary folder with an empty cache. An argument names the second interpreter's version (default:
3.12, or 3.13 where that runs this). The channel is hosts/gdal's default where conda-forge is out of
reach, or what GEOWHEEL_CHANNEL names. Prints a Markdown table, with the limits that it is held to.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from geowheel.systems.auditwheel_repair import manylinux_floors
from geowheel.systems.contract import SHIM
from geowheel.systems.own_symbols import bind
from geowheel.targets import Platform

REPOSITORY = Path(__file__).resolve().parents[1]
NOX = "`ci/nox.py -l`"
RUNS = 10  # of what takes no longer than a second


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measured command."""

    what: str
    seconds: float
    processors: float = 0.0
    """Seconds of all processors, where a command of its own was measured."""
    against: str = ""
    limit: float = 0.0


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
            "GEOWHEEL_CHANNEL": os.environ.get("GEOWHEEL_CHANNEL", "distro:forky"),
        }
        rows = _ours(root, environ, first, second)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
        try:
            rows += _plain(root, environ, first, Path(scratch))
        finally:  # what was measured is not lost
            _print(rows, peak)
    return 0


def _ours(root: Path, environ: Mapping[str, str], first: str, second: str) -> list[Row]:
    cache = Path(environ["GEOWHEEL_CACHE"])

    def wheel(what: str, *python: str, against: str = "", limit: float = 0.0) -> Row:
        where = ["--root", str(root), "--host", "hosts/gdal", "--quiet"]
        command = [sys.executable, "-m", "geowheel", "wheel", *where]
        if python:
            command += ["--python", *python]
        return _timed(what, command, root, environ, against=against, limit=limit)

    tested = f"stage `test` of {second}"
    rows = [
        wheel(f"`wheel-{first}`, empty cache, download included", first),
        wheel(f"`wheel-{second}` then, the second interpreter", second, against=tested),
        _stage(root, "test", second),
        *_nothing_to_do(root, environ, second),
    ]
    kept = (cache / name for name in ("toolchains", "zig", "compiled", "deflated"))
    for made in (root / ".geowheel", root / "dist", *kept):
        shutil.rmtree(made, ignore_errors=True)
    rows.append(wheel("`wheel`, cold, every interpreter found, all downloaded", limit=90))
    edited = root / "hosts" / "gdal" / "tests" / "test_gdal.py"
    edited.write_text(edited.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    rows.append(wheel("after an edit of one Python file of the host", second))
    rows += [_stage(root, name, first) for name in ("bindings", "repair")]
    return [*rows, _lowering(root)]


def _lowering(root: Path) -> Row:
    """The libraries of the wheel as the native stack has them, lowered and bound once more."""
    (repaired,) = (root / "dist").glob("*.whl")
    (prefix,) = root.glob(".geowheel/linux-64/fetch/*/prefix")
    with tempfile.TemporaryDirectory(prefix="geowheel-benchmark-") as scratch:
        tree = Path(scratch)
        with zipfile.ZipFile(repaired) as wheel:
            names = [name for name in wheel.namelist() if ".libs/" in name]
            (shim,) = (name for name in names if SHIM in name)
            wheel.extract(shim, tree)
        for name in names:
            plain = re.sub(r"-[0-9a-f]{8}(?=\.)", "", Path(name).name)
            for source in list(prefix.rglob(plain))[:1]:
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, tree / name)
        count = len(list(tree.rglob("*.so*"))) - 1
        policy = re.search(r"manylinux_\d+_\d+_\w+?(?=[.-]|$)", repaired.stem)
        floors = manylinux_floors(Platform.LINUX_64)
        (floor,) = (floor for floor in floors if policy and floor.policy == policy[0])
        start = time.monotonic()
        bind(tree, "gdal", replace(floor, shim=shim))
        seconds = time.monotonic() - start
    return Row(what=f"of it: {count} libraries lowered and bound", seconds=seconds, limit=3)


def _nothing_to_do(root: Path, environ: Mapping[str, str], python: str) -> list[Row]:
    """The whole command as a person gives it, and nox's own start beside it; medians, in turn."""
    # Only the tool environment is not made anew: it is the one that runs this.
    Path(environ["GEOWHEEL_CACHE"], "tools").symlink_to(Path(sys.prefix).parent)
    program = [getattr(sys, "_base_executable", sys.executable), root / "ci" / "nox.py"]
    again = f"`ci/nox.py -s wheel-{python}` again, nothing to do"
    commands = {again: ["-s", f"wheel-{python}"], NOX: ["-l"]}
    times: dict[str, list[Row]] = {what: [] for what in commands}
    for _ in range(RUNS + 1):
        for what, arguments in commands.items():
            against = "" if what == NOX else NOX
            row = _timed(what, [*program, *arguments], root, environ, against=against)
            times[what].append(row)
    # The first one writes bytecode.
    return [sorted(rows[1:], key=lambda row: row.seconds)[RUNS // 2] for rows in times.values()]


def _stage(root: Path, stage: str, python: str) -> Row:
    folder = root / ".geowheel" / f"cp{python.replace('.', '')}-linux-64" / stage
    record = json.loads(next(folder.glob("*/record.json")).read_text(encoding="utf-8"))
    name = f"stage `{stage}`" + f" of {python}" * (stage == "test")
    return Row(what=name, seconds=record["seconds"])


def _plain(root: Path, environ: Mapping[str, str], python: str, scratch: Path) -> list[Row]:
    """setuptools on GDAL's sdist, and the auditwheel command, as they come."""
    prefix = next(root.glob(".geowheel/linux-64/fetch/*/prefix"))
    sdist = next(Path(environ["GEOWHEEL_CACHE"]).glob("store/*/*/[gG][dD][aA][lL]-*.tar.gz"))
    numpy = next(Path(environ["GEOWHEEL_CACHE"]).glob(
        f"store/*/*/numpy-*-cp{python.replace('.', '')}-*.whl"))  # fmt: skip
    version = sdist.name.partition("-")[2].removesuffix(".tar.gz")
    setuptools = "setuptools<74" if re.match(r"3\.[0-8]\.", version) else "setuptools>=77"
    venv = scratch / "plain"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip: list[str | Path] = [venv / "bin" / "python", "-m", "pip"]
    subprocess.run([*pip, "install", "-q", setuptools, "wheel", numpy], check=True)
    config = scratch / "bin" / "gdal-config"
    config.parent.mkdir()
    answers = (
        f"--version) echo {version};; --prefix) echo {prefix};; "
        f"--cflags) echo -I{prefix}/include;; *) echo;;"
    )
    config.write_text(f"#!/bin/sh\ncase $1 in {answers} esac\n", encoding="utf-8")
    config.chmod(0o755)
    plain = {
        **environ, "PATH": f"{config.parent}:{environ['PATH']}", "LIBRARY_PATH": f"{prefix}/lib",
        "CPLUS_INCLUDE_PATH": f"{prefix}/include", "C_INCLUDE_PATH": f"{prefix}/include",
        "AUDITWHEEL_LD_LIBRARY_PATH": f"{prefix}/lib",
    }  # fmt: skip
    (raw,) = root.glob(f".geowheel/cp{python.replace('.', '')}-linux-64/build/*/*.whl")
    auditwheel = Path(sys.executable).with_name("auditwheel")
    made, repaired = scratch / "made", scratch / "repaired"
    build = [*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", made, sdist]
    rows = [_timed("plain: `pip wheel` of GDAL's sdist", build, scratch, plain,
                   against="stage `bindings`")]  # fmt: skip
    plain["PATH"] = f"{auditwheel.parent}:{environ['PATH']}"
    repair: list[str | Path] = [auditwheel, "repair", "-w", repaired, raw]
    try:
        rows.append(_timed("plain: `auditwheel repair`", repair, scratch, plain,
                           against="stage `repair`"))  # fmt: skip
    except subprocess.CalledProcessError:
        sys.stderr.write("auditwheel refuses: no manylinux policy has what these libraries need\n")
    return rows


def _timed(
    what: str,
    command: Sequence[str | Path],
    folder: Path,
    environ: Mapping[str, str],
    *,
    against: str = "",
    limit: float = 0.0,
) -> Row:
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, env=dict(environ), check=True, stdout=subprocess.DEVNULL)
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - start
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Row(what=what, seconds=seconds, processors=busy, against=against, limit=limit)


def _print(rows: Sequence[Row], peak: float) -> None:
    times = {row.what: row.seconds for row in rows}
    lines = ["| what | seconds | of processors | |", "| --- | --- | --- | --- |"]
    for row in rows:
        note = f"{row.seconds / times[row.against]:.1f} x {row.against}" if row.against else ""
        note += f"limit: {row.limit:.0f} s" if row.limit else ""
        cells = [f"{n:.{1 if n >= 2 else 2}f}" if n else "" for n in (row.seconds, row.processors)]
        lines.append(f"| {row.what} | {cells[0]} | {cells[1]} | {note} |")
    lines.append(f"\nPeak memory of the largest process of ours: {peak:.0f} MB.")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())

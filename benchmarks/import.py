"""What `import osgeo.gdal` takes with the bootstrap and without it, in one run.

`python3 ci/nox.py -s benchmark_import` (or this file with a wheel's path; default: the one that
`wheel` left in dist/ for this Python). Every import is in a fresh process, the two ways take turns,
and the first of each does not count: it compiles and fills the cache of files. Prints a Markdown
table and fails where the difference is over the limit.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[1]
TIMES: Final = 5
LIMIT: Final = 0.150  # seconds
BOOTSTRAP: Final = "from . import _geowheel"
CODE: Final = """
import sys, time
sys.path.insert(0, sys.argv[1])
start = time.perf_counter()
import osgeo.gdal
print(time.perf_counter() - start)
"""


def main() -> int:
    """Measure and print; 1 where the bootstrap takes too long."""
    wheel = Path(sys.argv[1]) if len(sys.argv) > 1 else _built()
    with tempfile.TemporaryDirectory(prefix="geowheel-benchmark-") as scratch:
        ours, bare = Path(scratch, "ours"), Path(scratch, "bare")
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", ours, wheel],
            check=True,
        )
        shutil.copytree(ours, bare)
        _remove_bootstrap(bare / "osgeo" / "__init__.py")
        medians = _medians({"with the bootstrap": ours, "bare": bare})
    _print(medians)
    return 0 if medians["with the bootstrap"] - medians["bare"] < LIMIT else 1


def _built() -> Path:
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    wheels = sorted((REPOSITORY / "dist").glob(f"[Gg][Dd][Aa][Ll]-*-{tag}-{tag}-*.whl"))
    if not wheels:
        sys.exit(f"no wheel of hosts/gdal for {tag} in dist/: run `nox -s wheel` first")
    return wheels[-1]


def _remove_bootstrap(init: Path) -> None:
    lines = init.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(BOOTSTRAP)]
    if len(kept) != len(lines) - 1:
        sys.exit(f"{init} has no line that begins with {BOOTSTRAP!r}")
    init.write_text("".join(kept), encoding="utf-8")


def _medians(places: Mapping[str, Path]) -> dict[str, float]:
    times: dict[str, list[float]] = {what: [] for what in places}
    for _ in range(TIMES + 1):
        for what, place in places.items():
            done = subprocess.run(
                [sys.executable, "-c", CODE, place], env={}, capture_output=True, text=True,
                check=True,
            )  # fmt: skip
            times[what].append(float(done.stdout))
    return {what: statistics.median(found[1:]) for what, found in times.items()}


def _print(medians: Mapping[str, float]) -> None:
    bare = medians["bare"]
    lines = ["| `import osgeo.gdal` | milliseconds | ratio |", "| --- | --- | --- |"]
    lines += [f"| {what} | {t * 1000:.1f} | {t / bare:.2f} |" for what, t in medians.items()]
    over = (medians["with the bootstrap"] - bare) * 1000
    lines.append(f"\nThe bootstrap takes {over:.1f} ms (limit: {LIMIT * 1000:.0f} ms).")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())

"""geowheel against the plain recipe (recipe.sh): the same native stack, the same machine, one run.

Run from the tool environment (`python3 ci/nox.py -s benchmark_recipe`). The channel is the
distribution's own, since auditwheel accepts nothing newer than the machine. Nothing is tested on
either side. Arguments: the Pythons (default: 3.11 3.12 3.13). Prints a Markdown table of ratios,
each with the limit that it is held to.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import platformdirs

from geowheel.machine.interpreters import find_interpreter

REPOSITORY = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
TOOLS = Path(sys.executable).parent


def main() -> int:
    """Measure and print."""
    pythons = tuple(sys.argv[1:]) or PYTHONS
    with tempfile.TemporaryDirectory(prefix="geowheel-benchmark-") as scratch:
        root, out = Path(scratch, "checkout"), Path(scratch, "plain")
        subprocess.run(["git", "clone", "-q", REPOSITORY, root], check=True)
        environ = {**os.environ, "PYTHONPATH": str(root / "src"), "GEOWHEEL_CHANNEL": "distro"}

        def ours(command: str, *versions: str) -> float:
            options = [option for version in versions for option in ("--python", version)]
            where: list[str | Path] = ["--root", root, "--host", "hosts/gdal", "--quiet"]
            return _timed([sys.executable, "-m", "geowheel", command, *where, *options], environ)

        ours("fetch", pythons[0])
        cold, again = ours("size", *pythons), ours("size", *pythons)
        recipe = _recipe(root, out, environ, pythons)
        rows = [("cold, after fetch", cold, recipe, 0.65), ("nothing changed", again, recipe, 0.02)]
        raws = list(root.glob(".geowheel/cp*/build/*/*.whl"))
        records = [
            json.loads(p.read_bytes()) for p in root.glob(".geowheel/cp*/repair/*/record.json")
        ]
        repaired = sum(record["seconds"] for record in records)
        size = sum(path.stat().st_size for path in root.glob("dist/*.whl")) / 1e6
        one = _recipe(root, out.with_name("one"), environ, pythons[:1])
        host = root / "hosts" / "gdal" / "tests" / "test_gdal.py"
        host.write_text(host.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        edited = ours("size", pythons[0])
        rows.append(("one Python file changed, one interpreter", edited, one, 0.2))
        plain = Path(scratch, "repaired")
        seconds = _auditwheel(root, raws, plain, environ)
        rows.append(("repair, of the same raw wheels", repaired, seconds, 0.3))
        theirs = sum(path.stat().st_size for path in out.glob("wheels/*.whl")) / 1e6
        rows.append(("MB of the wheels", size, theirs, 0.95))
    sys.stdout.write(f"| {', '.join(pythons)} | geowheel | plain | ratio | limit |\n")
    sys.stdout.write("| --- | --- | --- | --- | --- |\n")
    for what, our, their, limit in rows:
        sys.stdout.write(f"| {what} | {our:.1f} | {their:.1f} | {our / their:.2f} | {limit} |\n")
    return 0


def _recipe(root: Path, out: Path, environ: Mapping[str, str], pythons: Sequence[str]) -> float:
    prefix = _prefix(root)
    version = json.loads((prefix.parent / "record.json").read_bytes())["facts"]["gdal"]
    cache = Path(environ.get("GEOWHEEL_CACHE") or platformdirs.user_cache_path("geowheel"))
    (sdist,) = cache.glob(f"store/*/*/[gG][dD][aA][lL]-{version}.tar.gz")
    found = [find_interpreter(python, environ=environ, running=None) for python in pythons]
    programs = [interpreter.executable for interpreter in found]
    script = REPOSITORY / "benchmarks" / "recipe.sh"
    return _timed([script, prefix, sdist, out, TOOLS, *programs], environ)


def _auditwheel(root: Path, raws: Sequence[Path], out: Path, environ: Mapping[str, str]) -> float:
    paths = {"PATH": f"{TOOLS}:{environ['PATH']}", "LD_LIBRARY_PATH": str(_prefix(root) / "lib")}
    repair: list[str | Path] = [TOOLS / "auditwheel", "repair", "-w", out]
    return sum(_timed([*repair, raw], {**environ, **paths}) for raw in raws)


def _prefix(root: Path) -> Path:
    (prefix,) = root.glob(".geowheel/linux-64/fetch/*/prefix")
    return prefix


def _timed(command: Sequence[str | Path], environ: Mapping[str, str]) -> float:
    start = time.monotonic()
    done = subprocess.run(command, env=dict(environ), capture_output=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stdout.decode() + done.stderr.decode())
    return time.monotonic() - start


if __name__ == "__main__":
    sys.exit(main())

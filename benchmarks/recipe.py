"""geowheel against the plain recipe (recipe.sh): the same native stack, the same machine, one run.

Run from the tool environment (`python3 ci/nox.py -s benchmark`). Nothing is tested on either side.
Arguments: the Pythons (default: 3.11 3.12 3.13), and `--channel` (default: the distribution's own).
With `--channel distro:forky` one wheel of the stable ABI takes the place of one for each Python.
auditwheel has no policy for so new a stack, so the plain recipe gets a copy of it with one more.
Prints and writes a Markdown table of ratios, each with the limit that it is held to, then how our
time grows; and a plot of the ratios.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import auditwheel

from geowheel.machine.interpreters import find_interpreter

REPOSITORY = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
TOOLS = Path(sys.executable).parent
OWN = "distro"
BUILT = REPOSITORY / "build" / "benchmark"
# What forky's libraries ask for, and no policy of auditwheel's has.
NEWER = {"GLIBC": ["2.42", "2.43"], "GLIBCXX": ["3.4.34", "3.4.35"], "CXXABI": ["1.3.16", "1.3.17"]}


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a command took."""

    seconds: float
    processors: float = 0.0
    """Seconds of all processors together."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One comparison, and the ratio that it is held to."""

    what: str
    ours: Spent
    plain: Spent
    limit: float

    @property
    def ratio(self) -> float:
        return self.ours.seconds / self.plain.seconds


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """A clone, in which geowheel is run."""

    root: Path
    environ: Mapping[str, str]

    def run(self, command: str, *pythons: str, cores: int = 0) -> Spent:
        """Run a command for some Pythons, on all cores or on some."""
        options = [option for version in pythons for option in ("--python", version)]
        where: list[str | Path] = ["--root", self.root, "--host", "hosts/gdal", "--quiet"]
        start = ["taskset", "-c", f"0-{cores - 1}"] if cores else []
        geowheel = [*start, sys.executable, "-m", "geowheel", command]
        return _timed([*geowheel, *where, *options], self.environ)

    @property
    def cache(self) -> Path:
        return Path(self.environ["GEOWHEEL_CACHE"])

    def forget(self) -> None:
        """Remove what was made of the prefixes."""
        kept = (self.cache / name for name in ("compiled", "deflated"))
        for folder in (*self.root.glob(".geowheel/cp*"), *kept):
            shutil.rmtree(folder, ignore_errors=True)

    def made(self, stage: str) -> list[Path]:
        """Return the folders of what a stage made; targets of one stable ABI share one.

        Beside each lies a file that ends in `.lock`.
        """
        return list(
            {path.name: path for path in self.root.glob(f".geowheel/cp*/{stage}/*[!k]")}.values()
        )

    def repairs(self) -> Iterator[tuple[int, float]]:
        """Yield how many libraries each wheel has, and what its repair took."""
        for folder in self.made("repair"):
            record = json.loads((folder / "record.json").read_bytes())
            yield record["facts"]["libraries"], record["seconds"]


def main() -> int:
    """Measure, print and write build/benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("pythons", nargs="*", default=PYTHONS, metavar="PYTHON")
    parser.add_argument("--channel", default=OWN)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="geowheel-benchmark-") as scratch:
        root = Path(scratch, "checkout")
        subprocess.run(["git", "clone", "-q", REPOSITORY, root], check=True)
        # A cache of its own: the user's may hold modules and packed libraries of the same wheels.
        environ = {
            **os.environ,
            "PYTHONPATH": str(root / "src"),
            "GEOWHEEL_CHANNEL": asked.channel,
            "GEOWHEEL_CACHE": str(Path(scratch, "cache")),
        }
        checkout = Checkout(root=root, environ=environ)
        tools = TOOLS if asked.channel == OWN else _newer_auditwheel(Path(scratch, "tools"))
        rows = _measure(checkout, asked.pythons, Path(scratch), tools)
        text = "".join(_lines(rows, f"{asked.channel}, {', '.join(asked.pythons)}"))
        sys.stderr.write(text)  # what was measured is not lost
        text += "".join(_growth(checkout, asked.pythons))
    BUILT.mkdir(parents=True, exist_ok=True)
    (BUILT / "table.md").write_text(text, encoding="utf-8")
    (BUILT / "plot.svg").write_text(_plot(rows), encoding="utf-8")
    sys.stdout.write(f"{text}\n{BUILT / 'table.md'}\n{BUILT / 'plot.svg'}\n")
    return 0


def _measure(checkout: Checkout, pythons: Sequence[str], scratch: Path, tools: Path) -> list[Row]:
    """Return the comparisons."""
    root, out, environ = checkout.root, scratch / "plain", checkout.environ
    checkout.run("fetch", pythons[0])
    cold, again = checkout.run("size", *pythons), checkout.run("size", *pythons)
    repairs = list(checkout.repairs())
    repaired = Spent(seconds=sum(seconds for _, seconds in repairs))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
    raws = [wheel for folder in checkout.made("build") for wheel in folder.glob("*.whl")]
    size = Spent(seconds=sum(path.stat().st_size for path in root.glob("dist/*.whl")) / 1e6)
    recipe = _recipe(root, out, tools, environ, pythons)
    plain = Spent(seconds=sum(p.stat().st_size for p in out.glob("wheels/*.whl")) / 1e6)
    repair = Spent(seconds=_auditwheel(root, raws, scratch / "repaired", tools, environ))
    one = _recipe(root, scratch / "one", tools, environ, pythons[:1])
    host = root / "hosts" / "gdal" / "tests" / "test_gdal.py"
    host.write_text(host.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    edited = checkout.run("size", pythons[0])
    rows = [
        Row(
            what=f"cold, after fetch: {len(raws)} for {len(pythons)}",
            ours=cold,
            plain=recipe,
            limit=0.65 if len(raws) == len(pythons) else 0.3,
        ),
        Row(what="nothing changed", ours=again, plain=recipe, limit=0.02),
        Row(what="one Python file changed, one Python", ours=edited, plain=one, limit=0.2),
        Row(what="repair, of the same raw wheels", ours=repaired, plain=repair, limit=0.3),
        Row(what="MB of the wheels", ours=size, plain=plain, limit=0.95),
    ]
    sys.stderr.write(f"{repairs[0][0]} libraries; the largest process had {peak:.0f} MB\n")
    return rows


def _growth(checkout: Checkout, pythons: Sequence[str]) -> Iterator[str]:
    """Yield lines of what a run after fetch takes, with more Pythons, and with more cores."""
    yield "\n| cold, after fetch | seconds |\n| --- | --- |\n"
    for count in range(1, len(pythons) + 1):
        checkout.forget()
        yield f"| Pythons: {count} | {checkout.run('size', *pythons[:count]).seconds:.1f} |\n"
    for cores in range(1, (os.cpu_count() or 1) + 1):
        checkout.forget()
        spent = checkout.run("size", pythons[0], cores=cores)
        yield f"| cores, for one Python: {cores} | {spent.seconds:.1f} |\n"


def _lines(rows: Sequence[Row], what: str) -> Iterator[str]:
    yield f"| {what} | geowheel | plain | ratio | of processors | limit |\n"
    yield "| --- | --- | --- | --- | --- | --- |\n"
    for row in rows:
        ours, plain = row.ours, row.plain
        busy = f"{ours.processors / plain.processors:.2f}" if plain.processors else ""
        yield (
            f"| {row.what} | {ours.seconds:.1f} | {plain.seconds:.1f} | {row.ratio:.2f} | {busy} "
            f"| {row.limit} |\n"
        )


def _plot(rows: Sequence[Row]) -> str:
    """Return bars of the ratios, each with a line at its limit; the plain recipe is 1."""
    height, left, wide = 26, 270, 400
    drawn = [
        f'<text x="{left - 8}" y="{n * height + 17}" text-anchor="end">{row.what}</text>'
        f'<rect x="{left}" y="{n * height + 5}" width="{row.ratio * wide:.0f}" height="16" '
        f'fill="{"#2a7" if row.ratio <= row.limit else "#c53"}"/>'
        f'<path d="M{left + row.limit * wide:.0f} {n * height + 2}v22" stroke="#000"/>'
        f'<text x="{left + wide + 8}" y="{n * height + 17}">{row.ratio:.2f}</text>'
        for n, row in enumerate(rows)
    ]
    size = f'width="{left + wide + 60}" height="{len(rows) * height + 4}"'
    style = 'font-family="sans-serif" font-size="13"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{"".join(drawn)}</svg>\n'


def _newer_auditwheel(folder: Path) -> Path:
    """Make a folder with patchelf and an auditwheel that has one policy more; return it."""
    package = folder / "site" / "auditwheel"
    shutil.copytree(Path(auditwheel.__file__).parent, package)
    path = package / "policy" / "manylinux-policy.json"
    policies = json.loads(path.read_bytes())
    newest = min((p for p in policies if p["name"] != "linux"), key=lambda p: p["priority"])
    machines = {
        machine: {name: [*known, *NEWER.get(name, [])] for name, known in versions.items()}
        for machine, versions in newest["symbol_versions"].items()
    }
    newer = {"name": "manylinux_2_43", "priority": 1, "symbol_versions": machines}
    path.write_text(json.dumps([*policies, {**newest, **newer}]), encoding="utf-8")
    start = f"PYTHONPATH='{package.parent}' exec '{sys.executable}' -m auditwheel"
    script = folder / "auditwheel"
    script.write_text(f'#!/bin/sh\n{start} "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    (folder / "patchelf").symlink_to(TOOLS / "patchelf")
    return folder


def _recipe(
    root: Path, out: Path, tools: Path, environ: Mapping[str, str], pythons: Sequence[str]
) -> Spent:
    prefix = _prefix(root)
    version = json.loads((prefix.parent / "record.json").read_bytes())["facts"]["gdal"]
    (sdist,) = Path(environ["GEOWHEEL_CACHE"]).glob(f"store/*/*/[gG][dD][aA][lL]-{version}.tar.gz")
    found = [find_interpreter(python, environ=environ, running=None) for python in pythons]
    programs = [interpreter.executable for interpreter in found]
    script = REPOSITORY / "benchmarks" / "recipe.sh"
    return _timed([script, prefix, sdist, out, tools, *programs], environ)


def _auditwheel(
    root: Path, raws: Sequence[Path], out: Path, tools: Path, environ: Mapping[str, str]
) -> float:
    libraries = {"AUDITWHEEL_LD_LIBRARY_PATH": str(_prefix(root) / "lib")}
    paths = {"PATH": f"{tools}:{environ['PATH']}", **libraries}
    repair: list[str | Path] = [tools / "auditwheel", "repair", "-w", out]
    return sum(_timed([*repair, raw], {**environ, **paths}).seconds for raw in raws)


def _prefix(root: Path) -> Path:
    (prefix,) = root.glob(".geowheel/linux-64/fetch/*/prefix")
    return prefix


def _timed(command: Sequence[str | Path], environ: Mapping[str, str]) -> Spent:
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=dict(environ), capture_output=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stdout.decode() + done.stderr.decode())
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - start
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(seconds=seconds, processors=busy)


if __name__ == "__main__":
    sys.exit(main())

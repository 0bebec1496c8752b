"""What `fetch` takes for five platforms from a warm store, and again with nothing to do.

Run from the development environment (`python3 ci/nox.py -s benchmark_fetch`). The channel is made
here, in a temporary folder: for each platform 60 packages of libraries, plugins, headers and data,
about as large as conda-forge's libgdal-core with netcdf, hdf4 and hdf5 (docs/performance.md), with
placeholders. Prints a Markdown table with the seconds of the clock and of the processors: where
others work on the machine, only the second says something of geowheel. Fails where the warm run's
clock is over the limit.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from tests.support.fixture_channel import (  # noqa: E402
    GDAL,
    Sample,
    Sandbox,
    Server,
    index,
    write_index,
    write_sample,
)

from geowheel.distro.conda_package import PREFIX_PLACEHOLDER  # noqa: E402
from geowheel.targets import Platform, System  # noqa: E402

PLATFORMS: Final = tuple(p for p in Platform if p is not Platform.WIN_ARM64)
PACKAGES: Final = 60
TIMES: Final = 3
LIMIT: Final = 10.0  # seconds
HOLDER: Final = PREFIX_PLACEHOLDER.encode()
# Sizes in KB of a package's library: a few large ones, many small ones.
SIZES: Final = (40_000, 24_000, 14_000, 9_000, *(6_000,) * 8, *(2_400,) * 30, *(500,) * 18)


@dataclass(frozen=True, kw_only=True, order=True)
class Seconds:
    """What one command took."""

    clock: float
    processor: float

    def __str__(self) -> str:
        return f"{self.clock:.1f} | {self.processor:.1f}"


def main() -> int:
    """Measure and print; 1 where the warm run takes too long."""
    with tempfile.TemporaryDirectory(prefix="geowheel-benchmark-") as scratch:
        folder = Path(scratch)
        served = folder / "served"
        served.mkdir()
        write_index(served)
        packed, unpacked = _write_channel(served / "channel")
        server = Server(served)
        try:
            project = _project(folder, server)
            cold, warm, idle = _measure(project)
        finally:
            server.close()
    _print(cold, warm, idle, packed, unpacked)
    return 0 if warm.clock < LIMIT else 1


def _write_channel(channel: Path) -> tuple[float, float]:
    """MB of the packages, and of what is in them."""
    source = random.Random(1)
    unpacked = 0
    for platform in PLATFORMS:
        for sample in _samples(platform, source):
            unpacked += sum(map(len, sample.files.values()))
            write_sample(channel, sample, platform)
            shutil.rmtree(channel.parent / f".tree-{channel.name}")
    packed = sum(path.stat().st_size for path in channel.glob("*/*.conda"))
    index(channel)
    return packed / 1e6, unpacked / 1e6


def _samples(platform: Platform, source: random.Random) -> Iterator[Sample]:
    names = [f"lib{number:02}" for number in range(PACKAGES - 3)]
    depends = (*names, "__osx >=11.0") if platform.system is System.MACOS else tuple(names)
    others = ["libgdal-core", "libgdal-hdf5", "ca-certificates"]
    for number, (name, size) in enumerate(zip([*others, *names], SIZES, strict=True)):
        needs = depends if name == "libgdal-core" else ()
        # A minority of real libraries has the prefix compiled in; GDAL, PROJ and curl are of it.
        yield _sample(name, size, needs, platform, source, holds=number % 3 == 0)


def _sample(
    name: str,
    size: int,
    depends: tuple[str, ...],
    platform: Platform,
    source: random.Random,
    *,
    holds: bool,
) -> Sample:
    """A library, with the placeholder in it where it `holds` that, 40 headers and a .pc file."""
    top = "Library/" if platform.system is System.WINDOWS else ""
    library = f"{top}lib/{name}.so.1"
    headers = {f"{top}include/{name}/{number:02}.h": _text(6, source) for number in range(40)}
    pc = f"{top}lib/pkgconfig/{name}.pc"
    return Sample(
        name=name,
        version=GDAL,
        depends=depends,
        files={
            library: _library(size, source, holds=holds),
            pc: b"prefix=" + HOLDER + b"\n",
            **headers,
        },
        with_placeholder=(library, pc) if holds else (pc,),
    )


def _library(kilobytes: int, source: random.Random, *, holds: bool) -> bytes:
    """Bytes that compress to about a third, as machine code does."""
    pieces = []
    for number in range(kilobytes):
        pieces += [source.randbytes(300), bytes(724)]
        if holds and number % 500 == 0:
            pieces += [b"\0" + HOLDER + b"/share/data\0"]
    return b"\x7fELF" + b"".join(pieces)


def _text(kilobytes: int, source: random.Random) -> bytes:
    return b"int function_%d(int);\n" % source.randrange(10**6) * (kilobytes * 40)


def _project(folder: Path, server: Server) -> Sandbox:
    home = folder / "home"
    home.mkdir()
    project = Sandbox(
        root=folder / "project", cache=folder / "cache", home=home, server=server,
        channel=f"{server.url}/channel",
    )  # fmt: skip
    project.write(platforms=PLATFORMS)
    return project


def _measure(project: Sandbox) -> tuple[Seconds, Seconds, Seconds]:
    """Of the first fetch, of one from a warm store, and of one with nothing to do."""
    platforms = [part for platform in PLATFORMS for part in ("--platform", str(platform))]
    _timed(project, "lock")
    cold = _timed(project, "fetch", *platforms)
    warm = []
    for _ in range(TIMES):
        shutil.rmtree(project.root / ".geowheel")
        os.sync()  # what the last run wrote is not this one's work
        warm.append(_timed(project, "fetch", "--frozen", *platforms))
    idle = _timed(project, "fetch", "--frozen", *platforms)
    return cold, sorted(warm)[TIMES // 2], idle


def _timed(project: Sandbox, *arguments: str) -> Seconds:
    start, used = time.monotonic(), _processor()
    subprocess.run(
        project.command(*arguments, "--quiet"), env=project.environ, cwd=project.root, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return Seconds(clock=time.monotonic() - start, processor=_processor() - used)


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _print(cold: Seconds, warm: Seconds, idle: Seconds, packed: float, unpacked: float) -> None:
    count = f"{len(PLATFORMS)} platforms, {PACKAGES * len(PLATFORMS)} packages"
    size = f"{packed:.0f} MB packed, {unpacked:.0f} MB unpacked"
    lines = [
        f"| `fetch`, {count}, {size} | seconds | of processors |",
        "| --- | --- | --- |",
        f"| cold, from a loopback server | {cold} |",
        f"| from a warm store (limit: {LIMIT:.0f} s) | {warm} |",
        f"| again, nothing to do | {idle} |",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())

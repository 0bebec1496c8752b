"""What repairing wheels for macOS and Windows takes on this machine, whatever it is.

Run from the development environment (`python3 ci/nox.py -s benchmark_repair`). The libraries are
compiled here with ziglang: 40 in a chain below GDAL, whose data does not compress, for a wheel of
45 MB (macOS) or 50 MB (Windows). Measured is reading, repairing with delocate or delvewheel, and
packing the one wheel that comes out; not the SBOM and licences that the stage adds. Fails where one
is over its limit.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from tests.support import macos_fixtures, windows_fixtures  # noqa: E402

from geowheel.machine.process import Runner  # noqa: E402
from geowheel.systems.contract import RepairedTree, RepairRequest  # noqa: E402
from geowheel.systems.delocate_repair import MacosRepairer  # noqa: E402
from geowheel.targets import Platform  # noqa: E402
from geowheel.wheel.writing import write_wheel  # noqa: E402

TIMES: Final = 3


@dataclass(frozen=True, kw_only=True)
class Case:
    """A raw wheel over a native stack, made in a folder, and the repair of it."""

    name: str
    limit: float
    """Seconds."""
    make: Callable[[Path], Callable[[Path], RepairedTree]]


def main() -> int:
    """Measure and print; 1 where a repair takes too long."""
    lines = [
        "| repair | wheel, MB | libraries | seconds | limit |",
        "| --- | --- | --- | --- | --- |",
    ]
    slow = False
    for case in CASES:
        with tempfile.TemporaryDirectory(prefix="geowheel-benchmark-") as scratch:
            folder = Path(scratch)
            repair = case.make(folder)
            found = sorted(_once(repair, folder / str(n)) for n in range(TIMES))
        seconds, megabytes, libraries = found[TIMES // 2]
        slow = slow or seconds > case.limit
        row = (case.name, f"{megabytes:.1f}", str(libraries), f"{seconds:.1f}", f"{case.limit:g}")
        lines.append(f"| {' | '.join(row)} |")
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if slow else 0


def _once(repair: Callable[[Path], RepairedTree], folder: Path) -> tuple[float, float, int]:
    """Seconds, MB of the wheel, and the number of libraries in it."""
    folder.mkdir()
    begun = time.monotonic()
    repaired = repair(folder)
    wheel = write_wheel(repaired.tree, folder, filename=repaired.filename)
    return time.monotonic() - begun, wheel.path.stat().st_size / 1e6, len(repaired.bundled)


def _windows(folder: Path) -> Callable[[Path], RepairedTree]:
    platform = Platform.WIN_64
    stack = windows_fixtures.compile_stack(platform, folder / "stack")
    prefix = stack.prefix(folder / "prefix")
    files = windows_fixtures.large_wheel(stack, prefix, folder, 50)
    raw = windows_fixtures.write_raw(files, folder / "raw")
    return lambda work: windows_fixtures.repair_raw(raw, prefix, work)


def _macos(folder: Path) -> Callable[[Path], RepairedTree]:
    lib = macos_fixtures.make_stack(folder / "prefix")
    tree = macos_fixtures.raw_wheel_tree(folder / "tree", lib)
    macos_fixtures.make_large(lib, tree, folder / "blob", 45)
    raw = macos_fixtures.pack(tree, folder / "raw")
    return lambda work: MacosRepairer(
        RepairRequest(
            raw=raw,
            library_folder=lib,
            plugins="osgeo/_plugins",
            folder=work / "work",
            platform=Platform.OSX_ARM64,
            run=Runner(work / "logs"),
            environ={"PATH": os.environ["PATH"]},
        )
    ).repair()


CASES: Final = (
    Case(name="macOS arm64, delocate", limit=15, make=_macos),
    Case(name="Windows x64, delvewheel", limit=10, make=_windows),
)


if __name__ == "__main__":
    sys.exit(main())

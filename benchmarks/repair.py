"""What repairing wheels for macOS and Windows takes on this machine, whatever it is.

Run from the development environment (`python3 ci/nox.py -s benchmark_repair`). The libraries are
compiled here with ziglang: 40 in a chain below GDAL, whose data does not compress, for a wheel of
45 MB (macOS) or 50 MB (Windows). Measured is reading, repairing with delocate or delvewheel, and
packing the one wheel that comes out; not the SBOM and licenses that the stage adds. Fails where one
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

from tests.support.macos_fixtures import (  # noqa: E402
    EXTENSION,
    EXTENSION_SOURCE,
    compile_macho,
    make_library,
    make_stack,
    raw_wheel_tree,
)
from tests.support.repair_bench import Bench, pack  # noqa: E402
from tests.support.windows_fixtures import (  # noqa: E402
    PLUGIN,
    SOURCES,
    Source,
    WindowsStack,
    compile_stack,
    link,
    wheel_files,
    write_raw,
)

from geowheel.systems.contract import RepairedTree  # noqa: E402
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
    stack = compile_stack(Platform.WIN_64, folder / "stack")
    prefix = stack.prefix(folder / "prefix")
    raw = write_raw(large_wheel(stack, prefix, folder, 50), folder / "raw")
    bench = Bench(
        folder=folder, lib=prefix / "Library" / "bin", platform=Platform.WIN_64, raw=raw,
        more_folders=(prefix,),
    )  # fmt: skip
    return lambda work: bench.repair(f"{work.name}/work")


def _macos(folder: Path) -> Callable[[Path], RepairedTree]:
    lib = make_stack(folder / "prefix")
    tree = raw_wheel_tree(folder / "tree", lib)
    make_large(lib, tree, folder / "blob", 45)
    raw = pack(tree, folder / "raw", "cp312-cp312-macosx_11_0_arm64")
    bench = Bench(folder=folder, lib=lib, platform=Platform.OSX_ARM64, raw=raw)
    return lambda work: bench.repair(f"{work.name}/work")


def make_large(lib: Path, tree: Path, blob: Path, megabytes: int) -> None:
    """40 libraries in a chain below the wheel's extension, whose data does not compress."""
    blob.write_bytes(os.urandom(megabytes * 1_000_000 // 40))
    before: tuple[Path, ...] = ()
    for number in range(40):
        calls = f"int large{number - 1}(void);" if before else ""
        source = f"""
__asm__(".const_data\\n.globl _data{number}\\n_data{number}:\\n.incbin \\"{blob}\\"\\n.text\\n");
extern const char data{number}[];
{calls}
int large{number}(void) {{ return data{number}[0]{f" + large{number - 1}()" if before else ""}; }}
"""
        before = (make_library(lib, f"liblarge{number:02}", "1.0", source, *before),)
    more = EXTENSION_SOURCE + "int large39(void); int more(void) { return large39(); }"
    gdal = lib / "libgdal.36.dylib"
    compile_macho(tree / "osgeo" / EXTENSION, more, gdal, *before)


def large_wheel(
    stack: WindowsStack, prefix: Path, scratch: Path, megabytes: int
) -> dict[str, bytes]:
    """A wheel's files, 12 roots over 40 libraries in a chain, whose data does not compress."""
    folder = _large_stack(stack, prefix, scratch, megabytes)
    large = WindowsStack(platform=stack.platform, folder=folder)
    files = wheel_files(large)
    for number in range(5):
        files[f"osgeo/_plugins/gdal_{number}.dll"] = large.data(PLUGIN)
        files[f"osgeo/_more{number}.pyd"] = large.data(large.extension)
    return files


def _large_stack(stack: WindowsStack, prefix: Path, scratch: Path, megabytes: int) -> Path:
    """The linked files again, gdal.dll with 40 more libraries that come into the prefix."""
    folder = scratch / "large"
    folder.mkdir()
    for path in stack.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    blob = folder / "blob"
    blob.write_bytes(os.urandom(megabytes * 1_000_000 // 40))
    before: tuple[str, ...] = ()
    for number in range(40):
        name = f"large{number:02}.dll"
        text = f"""
__asm__(".section .rdata\\n.global data\\ndata:\\n.incbin \\"{blob}\\"\\n.text\\n");
extern const char data[];
{f"FROM int large{number - 1}(void);" if before else ""}
API int large{number}(void) {{ return data[0]{f" + large{number - 1}()" if before else ""}; }}
"""
        link(stack.platform, folder, name, Source(text=text, needs=before))
        (prefix / "Library/bin" / name).write_bytes((folder / name).read_bytes())
        before = (name,)
    gdal = SOURCES["gdal.dll"]
    more = "FROM int large39(void); API int more(void) { return large39(); }"
    source = Source(text=gdal.text + more, needs=(*gdal.needs, *before), system=gdal.system)
    link(stack.platform, folder, "gdal.dll", source)
    (prefix / "Library/bin/gdal.dll").write_bytes((folder / "gdal.dll").read_bytes())
    return folder


CASES: Final = (
    Case(name="macOS arm64, delocate", limit=15, make=_macos),
    Case(name="Windows x64, delvewheel", limit=10, make=_windows),
)


if __name__ == "__main__":
    sys.exit(main())

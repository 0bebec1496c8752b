"""Attacks: hostile input, case by case, in a process that is watched.

A row is a function of one case and an empty folder. It raises a GeowheelError for what it refuses;
every other exception is a fault, and so is a write outside of the folder, or too much memory.
"""

import importlib
import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from geowheel.errors import GeowheelError

Case = TypeVar("Case")
Attempt = Callable[[Case, Path], object]
MEMORY: Final = 300  # MB that a case may take, with Python and what was imported
_ALL: Final = 4 << 30  # bytes of address space: above it a case ends before it ends the machine
_HANGS: Final = 300  # seconds of a row
_FAULTS: Final = 3  # shown of a row
_ROOT: Final = Path(__file__).parents[2]
_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_MAKE: Final = {"os.mkdir": 0, "os.rename": 1, "os.symlink": 1, "os.link": 1, "os.remove": 0}
"""Audit events, and which of their arguments is the path that changes."""


def attack(
    name: str, cases: Sequence[Case], *, refused: int | None = None
) -> Callable[[Attempt[Case]], Callable[..., None]]:
    """Make a test of a function that tries one case.

    `refused`: how many of the cases have to be, at least; all of them where it is not said.
    """

    def decorate(attempt: Attempt[Case]) -> Callable[..., None]:
        def test(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
            where = f"{attempt.__module__}:{attempt.__name__}"
            row, faults = _watched(where, tmp_path.resolve())
            record_property("attack", {"name": name, **row})
            assert not faults, "\n".join(faults[:_FAULTS])
            assert row["cases"] == len(cases)
            least = len(cases) if refused is None else refused
            assert row["refused"] >= least, f"{row['accepted']} should have been refused"

        marked: Callable[..., None] = pytest.mark.attack(test)
        marked.__dict__ |= {"attempt": attempt, "cases": cases}
        return marked

    return decorate


def geowheel(folder: Path, *arguments: str | Path, **environ: str) -> str:
    """Run a command of geowheel as a user does; what it printed.

    Its home and its cache are the row's. Raises GeowheelError where it refuses.
    """
    done = subprocess.run(
        [sys.executable, "-m", "geowheel", *map(str, arguments)], cwd=folder,
        env=os.environ | environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    kinds = {kind.exit_code for kind in GeowheelError.__subclasses__()} - {70}  # 70: unforeseen
    assert "Traceback" not in said and done.returncode in (0, *kinds), said
    if done.returncode:
        raise GeowheelError(said)
    return said


def _watched(where: str, outer: Path) -> tuple[dict[str, Any], list[str]]:
    """Run all cases in a process of its own; the row, and what went wrong."""
    inside, home = outer / "inside", outer / "home"
    for folder in (inside, home, outer / "outside"):
        folder.mkdir()
    (outer / "outside" / "file").write_text("not to be changed")
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("GEOWHEEL_", "PYTEST_"))}
    environ |= {
        "HOME": str(home), "GEOWHEEL_CACHE": str(inside / "cache"), "TMPDIR": str(inside),
        "PYTHONPATH": os.pathsep.join((str(_ROOT), str(_ROOT / "src"))),
        "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200",
    }  # fmt: skip
    before, results, faults = _tree(outer), outer / "results", []
    try:
        with (outer / "said").open("wb") as said:
            code = subprocess.run(
                [sys.executable, "-m", __name__, where, str(inside), str(results)], cwd=inside,
                env=environ, stdout=said, stderr=said, stdin=subprocess.DEVNULL,
                timeout=_HANGS, check=False,
            ).returncode  # fmt: skip
    except subprocess.TimeoutExpired:
        code = -1
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    text = (outer / "said").read_text(errors="replace")
    if code or "Traceback" in text:
        faults += [f"exit {code} after {rows[-1:]}:\n{text[-3000:]}"]
    faults += [f"{r['case']}: {r['fault']}" for r in rows if r["fault"]]
    faults += [f"{r['case']}: {r['memory']} MB" for r in rows if r["memory"] > MEMORY][:1]
    changed = _tree(outer).items() ^ before.items()
    faults += [f"changed outside its folder: {sorted(changed)}"] if changed else []
    row = {
        "cases": len(rows),
        "refused": sum(r["refused"] for r in rows),
        "accepted": [r["case"] for r in rows if not r["refused"]][:_FAULTS],
        "memory": max((r["memory"] for r in rows), default=0),
        "seconds": max((r["seconds"] for r in rows), default=0),
    }
    return row, faults


def _tree(outer: Path) -> Mapping[str, tuple[int, int, int]]:
    """What is beside the folder of the cases: mode, size and time of every file."""
    ours = (outer / "inside", outer / "results", outer / "said")
    found = {str(p): p.lstat() for p in outer.rglob("*") if not any(map(p.is_relative_to, ours))}
    return {name: (s.st_mode, s.st_size, s.st_mtime_ns) for name, s in found.items()}


def _main(where: str, inside: Path, results: Path) -> None:
    import resource  # not on Windows, where this module is imported as well

    module, _, name = where.partition(":")
    test = getattr(importlib.import_module(module), name)
    escaped: list[str] = []
    resource.setrlimit(resource.RLIMIT_AS, (_ALL, resource.getrlimit(resource.RLIMIT_AS)[1]))
    with results.open("w", buffering=1) as file:
        sys.addaudithook(partial(_note_writes, inside, escaped))
        for number, case in enumerate(test.cases):
            folder = inside / str(number)
            folder.mkdir()
            began = time.monotonic()
            refused, fault = False, ""
            try:
                test.attempt(case, folder)
            except GeowheelError:
                refused = True
            except Exception:  # noqa: BLE001 - whatever it is, it is what this looks for
                fault = traceback.format_exc()[-3000:]
            spent = round(time.monotonic() - began, 2)
            if escaped:
                fault += f"written outside its folder: {escaped}"
                escaped.clear()
            shutil.rmtree(folder)
            row = {"case": repr(case)[:200], "refused": refused, "fault": fault, "seconds": spent}
            file.write(json.dumps(row | {"memory": _highest()}) + "\n")


def _note_writes(inside: Path, escaped: list[str], event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES:
        path = arguments[0]
    elif event in _MAKE:
        path = arguments[_MAKE[event]]
    else:
        return
    if not isinstance(path, int) and not (path := os.fsdecode(path)).startswith("/dev/"):
        found = Path(path).parent.resolve() / Path(path).name
        if inside not in found.parents:
            escaped.append(f"{event} {found}")


def _highest() -> int:
    """Megabytes: the most that this process, or one that it waited for, ever had in memory."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says has the memory of whoever started this in it
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        own = int(lines["VmHWM"].split()[0]) * 1024
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    return max(own, children) // 1_000_000


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One table of all rows, whichever worker ran them."""
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.stats.get(kind, ())]
    rows = [row for r in reports for key, row in r.user_properties if key == "attack"]
    if not rows:
        return
    terminalreporter.section("attacks")
    line = "{:<52}{:>7}{:>9}{:>10}{:>10}".format
    terminalreporter.line(line("row", "cases", "refused", "highest", "longest"))
    for row in sorted(rows, key=lambda row: str(row["name"])):
        memory, longest = f"{row['memory']} MB", f"{row['seconds']} s"
        terminalreporter.line(line(row["name"], row["cases"], row["refused"], memory, longest))


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))

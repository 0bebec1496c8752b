"""The audit of a wheel beside `auditwheel show`: seconds of CPU, and memory.

`PYTHONPATH=src python benchmarks/audit.py FILE.whl`, on Linux. Each runs three times in a process
of its own, the best counts. Prints a Markdown table and fails above the limits.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

TIMES: Final = 3
SHARE: Final = 0.5  # of auditwheel's time
MEMORY: Final = 500  # MB
TOOLS: Final = Path(sys.executable).parent


def main() -> int:
    """Measure and print; 1 where the audit takes too long, or too much memory."""
    wheel = str(Path(sys.argv[1]).absolute())
    show, _ = measured(str(TOOLS / "auditwheel"), "show", wheel)
    audit, memory = measured(sys.executable, "-m", "geowheel", "audit", wheel)
    sys.stdout.write("| command | CPU s | memory MB |\n| --- | --- | --- |\n")
    sys.stdout.write(f"| auditwheel show | {show:.2f} | |\n")
    sys.stdout.write(f"| geowheel audit | {audit:.2f} | {memory} |\n")
    return int(audit > SHARE * show or memory > MEMORY)


def measured(*command: str) -> tuple[float, int]:
    """The best CPU time of a command, and its largest memory in MB."""
    # A command that fails is quick: 12 is what the audit ends with where it finds an error.
    environ = {**os.environ, "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}"}
    best, memory = float("inf"), 0
    for _ in range(TIMES):
        nothing = subprocess.DEVNULL
        child = subprocess.Popen(command, env=environ, stdout=nothing, stderr=nothing)
        _, status, used = os.wait4(child.pid, 0)
        if os.waitstatus_to_exitcode(status) not in (0, 12):
            raise SystemExit(f"{command} failed")
        best = min(best, used.ru_utime + used.ru_stime)
        memory = max(memory, used.ru_maxrss // 1024)
    return best, memory


if __name__ == "__main__":
    sys.exit(main())

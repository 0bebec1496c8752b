"""What a shared ledger saves: six targets over three workers; cold, warm, and with one killed.

Run from the tool environment (`python3 ci/nox.py -s benchmark_ledger`). Each worker is a clone with
a work folder of its own; all have the user's downloads, and one ledger in a folder. Nothing is
tested, since verdicts are not shared. Prints a Markdown table.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
HOSTS = ("hosts/gdal", "hosts/terrain")
PYTHONS = ("3.11", "3.12", "3.13")
WORKERS = 3


class Worker:
    """A clone, and the targets that it makes one after the other."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        subprocess.run(["git", "clone", "-q", REPOSITORY, folder], check=True)
        self.folder = folder
        self.environ = {**environ, "PYTHONPATH": str(folder / "src")}
        self.waiting: list[tuple[str, str]] = []
        self.made: list[str] = []
        self.running: subprocess.Popen[str] | None = None

    def begin(self) -> None:
        """Start the next target, in a group of its own that can be killed."""
        host, python = self.waiting[0]
        command = [sys.executable, "-m", "geowheel", "size", "--root", str(self.folder)]
        self.running = subprocess.Popen(
            [*command, "--host", host, "--python", python], cwd=self.folder, env=self.environ,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def finish(self) -> None:
        """Take note of what the target's stages did."""
        assert self.running is not None
        _, said = self.running.communicate()
        if self.running.returncode != 0:
            raise SystemExit(said)
        self.waiting.pop(0)
        lines = [line.split(maxsplit=1) for line in said.splitlines() if line.startswith("  ")]
        self.made += [
            line[0]
            for line in lines
            if line[1:]
            and line[0] in ("bindings", "vendor", "build", "repair")
            and line[1].startswith(("first run", "changed"))
        ]

    def kill(self) -> list[tuple[str, str]]:
        """End it in the middle of its work, and give away what it has not made."""
        assert self.running is not None
        os.killpg(self.running.pid, signal.SIGKILL)
        self.running.wait()
        left, self.waiting = self.waiting, []
        return left


def main() -> int:
    """Measure and print."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="geowheel-benchmark-") as scratch:
        for name, ledger, killed in (
            ("cold", "one", False), ("warm", "one", False), ("one worker killed", "two", True),
        ):  # fmt: skip
            base = Path(scratch, name)
            environ = {
                **os.environ,
                "GEOWHEEL_CHANNEL": "distro",
                "GEOWHEEL_SHARED_LEDGER": str(Path(scratch, ledger)),
            }
            workers = [Worker(base / str(number), environ) for number in range(WORKERS)]
            rows.append((name, *_matrix(workers, killed=killed)))
    print("| six targets, three workers | seconds | stages run | targets |")  # noqa: T201
    print("| --- | --- | --- | --- |")  # noqa: T201
    for row in rows:
        print("| {} | {:.0f} | {} | {} |".format(*row))  # noqa: T201
    return 0


def _matrix(workers: Sequence[Worker], *, killed: bool) -> tuple[float, int, int]:
    """Return the seconds, how many stages were run, and how many targets have a wheel."""
    for number, target in enumerate(product(HOSTS, PYTHONS)):
        workers[number % len(workers)].waiting.append(target)
    began, victim = time.monotonic(), workers[0]
    while any(worker.waiting for worker in workers):
        for worker in workers:
            if worker.waiting and worker.running is None:
                worker.begin()
        time.sleep(0.1)
        # In the middle: its first target has bindings and no wheel yet.
        if killed and any(victim.folder.glob(".geowheel/cp*/bindings/*/record.json")):
            workers[1].waiting += victim.kill()
            killed, victim.running = False, None
        for worker in workers:
            if worker.running is not None and worker.running.poll() is not None:
                worker.finish()
                worker.running = None
    seconds = time.monotonic() - began
    wheels = {wheel.name for worker in workers for wheel in worker.folder.glob("dist/*.whl")}
    return seconds, sum(len(worker.made) for worker in workers), len(wheels)


if __name__ == "__main__":
    sys.exit(main())

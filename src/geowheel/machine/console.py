"""What a person sees: results on standard output; on standard error what leads to them.

With --json the JSON text is all that is on standard output.
"""

import copy
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from .credentials import shown
from .files import scratch, temporary_root
from .kept import PREFIX, Kept
from .process import Result, Runner
from .screen import Screen, painted
from .spelling import STARTED, Spelling
from .tables import table_lines

Item = TypeVar("Item")
Made = TypeVar("Made")

SHORT: float = 5
"""Seconds of a step that nobody asks about: as long as it may be silent."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One running stage or command, as its code sees it: a place to run, say and count."""

    console: "Console"
    runner: Runner
    kept: Kept | None = None
    """Where there is one, what the step leaves behind when it fails."""

    @contextmanager
    def elsewhere(self, name: str) -> Iterator[Path]:
        """Make a folder outside the checkout, kept beyond its use only for a failed stage."""
        if self.kept is None:
            with scratch(Path(tempfile.gettempdir())) as folder:
                yield folder.resolve()
        else:
            folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-", dir=temporary_root()))
            self.kept.keep(folder)
            yield folder.resolve()

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        cwd: Path,
        check: bool = True,
        timeout: float | None = None,
    ) -> Result:
        """Run a command with its log kept; see `Runner.__call__` for what is raised."""
        return self.runner(argv, env=env, cwd=cwd, check=check, timeout=timeout)

    def side_by_side(self, work: Callable[[Item], Made], items: Sequence[Item]) -> list[Made]:
        """Do `work` with every item, on all cores, in the items' order.

        At the first exception, an interrupt included, what has not begun is dropped and what runs
        is killed: nobody waits for a compiler whose result no longer counts.
        """
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            futures = [pool.submit(work, item) for item in items]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
                return [future.result() for future in _failed_first(futures)]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self.runner.stop()
                raise

    def say(self, text: str) -> None:
        """Print an indented line below the step's title; a step's first stands beside it."""
        title = self.console.screen.taken()
        self.console.line(f"{title}: {text}" if title else f"    {text}", style="dim")
        self.now(text)

    def now(self, text: str) -> None:
        """Note what the step is at; it is not printed unless it takes seconds."""
        self.console.screen.now(text)

    def progress(self, title: str, total: float) -> AbstractContextManager[Callable[[float], None]]:
        """Show how much of `total` is done; yields what advances it, from any thread."""
        return self.console.screen.counting(title, total)


def _failed_first(futures: Sequence[Future[Made]]) -> Sequence[Future[Made]]:
    """Yield the futures in order, a failed one before those that it kept from beginning."""
    failed = [f for f in futures if f.done() and not f.cancelled() and f.exception() is not None]
    return [*failed[:1], *futures] if failed else futures


class Console:
    """Where all human-readable output goes."""

    def __init__(
        self,
        *,
        logs: Path,
        quiet: bool = False,
        json: bool = False,
        spelling: Spelling = Spelling(),  # noqa: B008 - frozen
    ) -> None:
        self.screen = Screen(quiet=quiet)
        self.logs = logs
        self._runner: Callable[[Path, Kept | None], Runner] = Runner
        self._results = not quiet and not json
        self._spelling = spelling
        self._began = float(os.environ.get(STARTED) or time.time())

    def whole_run(self) -> str:
        """Return the time since a person gave the command, what started geowheel included."""
        return seconds(time.time() - self._began)

    def shown(self, text: str) -> str:
        """Return the text as a person may see it, with commands as they are to be typed here."""
        return shown(self._spelling.of(text))

    def line(self, text: str = "", *, style: str | None = None) -> None:
        """Print a line of plain text: nothing in it is markup, and no secret is shown."""
        self.screen.line(self.shown(text), style)

    def result(self, text: str = "", style: str | None = None) -> None:
        """Print a line of what was asked for, on standard output."""
        if self._results:
            line = painted(self.shown(text), style, known=sys.stdout.isatty())
            with self.screen.clear():
                sys.stdout.write(line + "\n")
                sys.stdout.flush()

    def wait(self, text: str) -> None:
        """Say what is waited for, in a line."""
        self.line(f"  {text}")
        self.screen.now(text)

    def warn(self, text: str) -> None:
        """Say what a person should not overlook."""
        self.line("warning: " + text.replace("\n", "\n  "), style="yellow")

    def header(self, text: str) -> None:
        """Print the title of a target or of a command."""
        self.line()
        self.line(text, style="bold")

    def cached(self, title: str, key: str) -> None:
        """Say that a step has nothing to do."""
        self.line(f"  {title:<10} cached (key {key[:12]})", style="dim")

    @contextmanager
    def step(
        self, title: str, why: str, *, logs: str | None = None, kept: Kept | None = None
    ) -> Iterator[Step]:
        """Begin a step: its reason comes before, its time after; its commands end with it.

        What took less than `SHORT` seconds has no line for its time.
        """
        runner = self._runner(self.logs / (logs or title), kept)
        self.screen.hold(self.shown(f"  {title:<10} {why}"))
        start = time.monotonic()
        try:
            with self.screen.during(title, runner.doing):
                yield Step(console=self, runner=runner, kept=kept)
            with self.screen.clear():
                pass  # its title, where it said nothing
        except BaseException:
            runner.stop()
            self.line(f"  {title:<10} not finished after {elapsed(start)}", style="red")
            raise
        if time.monotonic() - start >= SHORT:
            self.line(f"  {title:<10} done in {elapsed(start)}", style="green")

    @contextmanager
    def quiet_step(self, title: str) -> Iterator[Step]:
        """Begin a step that only looks: no title, but its commands end with it as well."""
        runner = self._runner(self.logs / title, None)
        try:
            with self.screen.during(title, runner.doing):
                yield Step(console=self, runner=runner)
        finally:
            runner.stop()

    def side_by_side(
        self, title: str, work: Callable[[Item, "Console"], Made], items: Sequence[Item]
    ) -> list[Made]:
        """Do `work` with every item, on all cores, as `Step.side_by_side` does.

        Each has a console of its own, and what is said there stays together.
        """
        apart = [copy.copy(self) for _ in items]
        with self.quiet_step(title) as step:
            for console in apart:
                console.screen = Screen(quiet=False, apart=True)
                console._runner = step.runner.part
            try:
                pairs = list(zip(items, apart, strict=True))
                return step.side_by_side(lambda pair: work(*pair), pairs)
            finally:
                for console in apart:
                    self.screen.shows(console.screen)

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        styles: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Print a table of what was asked for, on standard output.

        `styles` go by the first word of a line.
        """
        width = shutil.get_terminal_size().columns if _has_width() else None
        shown = [[self.shown(cell) for cell in row] for row in rows]
        for line in table_lines(title, columns, shown, width):
            self.result(line, next((styles[w] for w in line.split()[:1] if w in styles), None))


def _has_width() -> bool:
    """Return whether standard output is a terminal, or somebody said how wide it is."""
    return sys.stdout.isatty() or "COLUMNS" in os.environ


def elapsed(start: float) -> str:
    """Return the time since `start` (of time.monotonic), to a tenth of a second."""
    return seconds(time.monotonic() - start)


def seconds(amount: float) -> str:
    """Return `4.2 s` or `1 min 04 s`."""
    if amount < 60:
        return f"{amount:.1f} s"
    return f"{int(amount) // 60} min {int(amount) % 60:02} s"


def megabytes(size: int) -> str:
    """Return `61.7 MB`: decimal megabytes, as package indexes count."""
    return f"{size / 1e6:.1f} MB"

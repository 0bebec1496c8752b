"""Standard error: lines, and below them one line that says what goes on and for how long.

On a terminal that line is rewritten in place and leaves no trace. Elsewhere a line begins when
nothing was printed for some seconds, and grows until something else is to be said: nobody takes a
slow step for one that hangs, and a log is not buried under lines.
"""

import os
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from .credentials import shown

TICK: Final = 0.5  # seconds between two looks
SILENCE: Final = 4.0  # seconds: with a late tick it is still less than five
_ERASE: Final = "\r\x1b[K"
_WIDTH: Final = 100  # columns of a line that grows
_STYLES: Final = {"bold": 1, "dim": 2, "red": 31, "green": 32, "yellow": 33}


@dataclass(kw_only=True, eq=False)
class Activity:
    """Something that takes its time, and what is known of it at this moment."""

    title: str
    since: float
    doing: Callable[[], str] = str
    """The command that it waits for; empty where it waits for none."""
    words: str = ""
    total: float = 0.0
    done: float = 0.0

    def now(self) -> str:
        """Return `download 45 %`, `auditwheel`, or the last that was said."""
        if self.total:
            return f"{self.words} {min(100, round(100 * self.done / self.total))} %"
        return " ".join((self.doing() or self.words).split())


class Screen:
    """All that is written on standard error; safe to use from several threads.

    What is `apart` is kept until another one `shows` it, and says nothing of what goes on.
    """

    def __init__(
        self, *, quiet: bool, clock: Callable[[], float] = time.monotonic, apart: bool = False
    ) -> None:
        self._quiet = quiet
        self._apart: list[str] | None = [] if apart else None
        self._clock = clock
        self._guard = threading.RLock()
        self._activities: list[Activity] = []
        self._shown = ""
        self._words = ""
        self._held = ""
        self._printed = clock()

    def hold(self, text: str) -> None:
        """Hold a line back until the next one, unless `taken` makes it a part of that."""
        with self.clear():
            self._held = shown(text)

    def taken(self) -> str:
        """Return what is held, or nothing; it is not printed then."""
        with self._guard:
            held, self._held = self._held, ""
            return held

    def line(self, text: str, style: str | None = None) -> None:
        """Print a line of plain text, above what goes on."""
        text = shown(text)
        with self.clear():
            self._write(f"{painted(text, style, known=_rewrites())}\n")

    def shows(self, other: "Screen") -> None:
        """Write what another one has kept."""
        with other.clear(), self.clear():
            self._write("".join(other._apart or ()))

    @contextmanager
    def clear(self) -> Iterator[None]:
        """Clear what is below the lines, for whatever else is printed on the same terminal."""
        with self._guard:
            self._erase()
            if held := self.taken():
                self._write(f"{held}\n")
            yield
            self._printed = self._clock()

    @contextmanager
    def during(self, title: str, doing: Callable[[], str] = str) -> Iterator[Activity]:
        """Say what goes on while it does; inside of another activity it is said instead of that."""
        activity = Activity(title=title, since=self._clock(), doing=doing)
        ended = threading.Event()
        watch = threading.Thread(target=self._watch, args=(ended,), daemon=True)
        outermost = not (self._activities or self._quiet or self._apart is not None)
        self._activities.append(activity)
        if outermost:
            watch.start()
        try:
            yield activity
        finally:
            ended.set()
            if outermost:
                watch.join()
            with self._guard:
                self._activities.remove(activity)
                self._erase()

    @contextmanager
    def counting(self, words: str, total: float) -> Iterator[Callable[[float], None]]:
        """Show the share of `total` that is done in what goes on; yields what adds to it."""
        outer = self._activities[-1] if self._activities else None
        with self.during(outer.title if outer else "") as activity:
            activity.words, activity.total = words, total
            activity.since = outer.since if outer else activity.since

            def advance(amount: float) -> None:
                with self._guard:
                    activity.done += amount

            yield advance

    def now(self, words: str) -> None:
        """Note what goes on from now; it is shown only where it takes long."""
        if self._activities:
            self._activities[-1].words = words

    def tick(self) -> None:
        """Renew the line on a terminal; elsewhere print one if nothing was printed lately."""
        with self._guard:
            activity, now = self._activities[-1], self._clock()
            spent, words = _whole_seconds(now - activity.since), shown(activity.now())
            if _rewrites():
                self._shown = f"  {activity.title:<10} {spent:>4}  {words}"
                self._write(_ERASE + fitted(self._shown, terminal_columns() - 1))
            elif now - self._printed >= SILENCE:
                self._grow(f"  {activity.title:<10} still running after", spent, words)
                self._printed = now

    def _watch(self, ended: threading.Event) -> None:
        while not ended.wait(TICK):
            try:
                self.tick()
            except OSError:  # nobody reads it any more
                return

    def _grow(self, title: str, spent: str, words: str) -> None:
        """Write `still running after 4 s: unpacking, 8 s, 12 s: packing`, as long as it fits."""
        news = f", {spent}" + (f": {words}" if words != self._words and words else "")
        if not self._shown or len(self._shown + news) > _WIDTH:
            with self.clear():
                news = f"{title} {spent}" + (f": {words}" if words else "")
        self._shown, self._words = self._shown + news, words
        self._write(news)

    def _erase(self) -> None:
        if self._shown:
            self._write(_ERASE if _rewrites() else "\n")
            self._shown = ""

    def _write(self, text: str) -> None:
        if self._apart is not None:
            self._apart.append(text)
        elif not self._quiet:
            sys.stderr.write(text)
            sys.stderr.flush()


def fitted(text: str, columns: int) -> str:
    """Return as much text as fits into so many columns, without what would move the cursor."""
    return "".join(c if c.isprintable() and _is_narrow(c) else "?" for c in text)[:columns]


def _is_narrow(character: str) -> bool:
    wide = unicodedata.east_asian_width(character) in "WF"
    return not wide and not unicodedata.combining(character)


def _whole_seconds(amount: float) -> str:
    minutes, rest = divmod(int(amount), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _rewrites() -> bool:
    """Return whether a line can be taken back where standard error goes."""
    # A terminal of Windows that takes escape sequences says so by a variable of its own.
    known = "WT_SESSION" in os.environ or os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    return known and sys.stderr.isatty()


def painted(text: str, style: str | None, *, known: bool) -> str:
    """Return the text in a style, where colours are wanted or `known` to be seen.

    See https://no-color.org and https://force-color.org.
    """
    asked = (bool(os.environ.get("FORCE_COLOR")) or known) and not os.environ.get("NO_COLOR")
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if style and asked else text


def terminal_columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80

"""What a command prints: into its log as it comes, and its head and tail for whoever asked."""

import os
import shlex
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from .credentials import shown

HEAD: Final = 8_000_000  # bytes of a stream that are kept, and of a log
TAIL: Final = 500_000
_LINE: Final = 65536


class Log:
    """The log of one command; safe to use from several threads."""

    def __init__(self, path: Path, cwd: Path, command: Sequence[str]) -> None:
        self.path = path
        self.room = HEAD
        self._guard = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8")
        self.add(f"$ cd {shlex.quote(str(cwd))} && {shlex.join(command)}\n")

    def add(self, text: str) -> None:
        """Write whole lines, while there is room for them."""
        with self._guard, suppress(OSError):  # a full disk: `close` says it, this goes on reading
            if not self._file.closed and self.room > 0:
                self.room -= len(text)
                self._file.write(shown(text))
                self._file.flush()

    def close(self, end: str, *streams: "Stream") -> None:
        """Write how it ended; what else comes is dropped."""
        with self._guard, self._file:
            if self.room <= 0:
                self._file.write("\n[geowheel] more was printed than is kept here; its end:\n")
                self._file.write(shown("\n".join(str(stream)[-TAIL:] for stream in streams)))
            self._file.write(shown(end))


class Stream(threading.Thread):
    """One of a command's two streams; the thread that reads it, and ends when nobody writes."""

    def __init__(self, pipe: IO[bytes], log: Log) -> None:
        super().__init__(daemon=True)
        self._pipe = pipe
        self._head, self._tail, self._left_out = bytearray(), bytearray(), 0
        self._log = log
        self.start()

    def __str__(self) -> str:
        note = f"\n[geowheel] {self._left_out} bytes are left out here\n" if self._left_out else ""
        return _text(self._head) + note + _text(self._tail)

    def run(self) -> None:
        """Read to the end."""
        line = bytearray()
        while data := os.read(self._pipe.fileno(), _LINE):
            line += data
            whole = line.rfind(b"\n") + 1 or len(line) * (len(line) > _LINE)
            if self._log.room > 0:
                self._log.add(_text(line[:whole]))
            del line[:whole]
            room = max(0, HEAD - len(self._head))
            self._head += data[:room]
            self._tail += data[room:]
            if len(self._tail) > 2 * TAIL:
                self._left_out += len(self._tail) - TAIL
                del self._tail[:-TAIL]
        self._log.add(_text(line))
        self._pipe.close()


def _text(data: bytes | bytearray) -> str:
    return data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")

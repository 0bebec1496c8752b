"""A real pypiserver in a process of its own on loopback, which can be held or die in an upload.

`python pypi_server.py FOLDER PORT CONTROL USER PASSWORD` serves FOLDER. Its Nth upload waits, after
`held` was made in CONTROL, while there is a file `hold-N`; it ends the server in the middle of the
body when there is a file `die-N`, and the server's answer is lost when there is a file `lose-N`.
The attestations of NAME are what CONTROL/NAME.provenance holds (PEP 740).
"""

import itertools
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

USER, PASSWORD = "releaser", "s3cret-enough"


class _Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Tests look at what is there."""


class _Answer:
    """How a page begins, kept for a while."""

    def __call__(self, status: str, headers: list[tuple[str, str]], *_: object) -> None:
        self.status, self.headers = status, headers


def _controlled(app: Callable[..., Iterable[bytes]], control: Path) -> Callable[..., Any]:
    numbers = itertools.count(1)

    def serve(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "POST":
            attested = control / environ["PATH_INFO"].rpartition("/")[2]
            if attested.suffix == ".provenance" and attested.is_file():
                start("200 OK", [("Content-Type", "application/vnd.pypi.integrity.v1+json")])
                return [attested.read_bytes()]
            page = b"".join(app(environ, begun := _Answer()))
            for name in (path.stem for path in control.glob("*.provenance")):
                link, more = f">{name}</a>".encode(), f' data-provenance="/{name}.provenance"'
                page = page.replace(link, more.encode() + link)
            start(begun.status, [h for h in begun.headers if h[0] != "Content-Length"])
            return [page]
        number = next(numbers)
        if (control / f"hold-{number}").exists():
            (control / "held").touch()
            while (control / f"hold-{number}").exists():
                time.sleep(0.02)
        if (control / f"die-{number}").exists():
            environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]) // 2)
            os._exit(9)
        answer = app(environ, start)
        if (control / f"lose-{number}").exists():
            b"".join(answer)
            os._exit(9)
        return answer

    return serve


def _serve(folder: str, port: str, control: str, user: str, password: str) -> None:
    import pypiserver

    app = pypiserver.app(
        roots=[Path(folder)],
        disable_fallback=True,
        authenticate=["update"],
        auther=lambda *given: given == (user, password),
    )
    wrapped = _controlled(app, Path(control))
    make_server(
        "127.0.0.1", int(port), wrapped, server_class=_Threads, handler_class=_Silent
    ).serve_forever()


@dataclass(kw_only=True)
class PypiServer:
    """The server as a test handles it."""

    folder: Path
    control: Path
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, on the same port as before; waits until it answers."""
        self.folder.mkdir(exist_ok=True)
        self.control.mkdir(exist_ok=True)
        self.port = self.port or _free_port()
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self.folder), str(self.port), str(self.control),
             USER, PASSWORD],
        )  # fmt: skip
        for _ in range(200):
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("pypiserver does not answer")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def wait(self, name: str) -> None:
        """Until the server made a file of that name."""
        for _ in range(600):
            if (self.control / name).exists():
                return
            time.sleep(0.05)
        raise AssertionError(f"the server never made {name}")

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.folder.iterdir())}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    _serve(*sys.argv[1:])

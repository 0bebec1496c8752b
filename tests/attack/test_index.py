"""Indexes that do not keep what they took, or hand out something else."""

import contextlib
import os
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

from geowheel.errors import ChannelError
from geowheel.machine.process import Runner
from geowheel.release import workflow
from geowheel.release.index import find_index
from geowheel.release.journal import file_at
from geowheel.release.upload import upload
from tests.support.attack import attack
from tests.support.files import write_zip
from tests.support.hosts import make_step
from tests.unit.wheel.test_wheel import FILENAME, raw_members

SERVED = Path(workflow.__file__).with_name("served.py")
LINK = '<a href="{at}#sha256={sha256}">{name}</a>'
LIES: Mapping[str, tuple[str | None, Callable[[bytes], bytes]]] = {
    "keeps it": (LINK, lambda data: data),
    "keeps nothing": ("", lambda data: data),
    "keeps other bytes": (LINK, lambda data: data[:-1]),
    "says the sha256 of other bytes": (LINK.replace("{sha256}", "0" * 64), lambda data: data),
    "has a page that is none": ("\0<<<", lambda data: data),
    "names a file of this machine": (LINK.replace("{at}", "file://{path}"), lambda data: data),
    "answers with an error": (None, lambda data: data),
    "has a page of packed zeros": ("", lambda data: data),
    "has a page without end": ("", lambda data: data),
    "has a file without end": (LINK, lambda data: data),
}
UNSEEN = ("keeps it", "says the sha256 of other bytes")
ENDLESS = 1 << 29


@cache
def packed() -> bytes:
    packer, block = zlib.compressobj(1, zlib.DEFLATED, 31), bytes(1 << 20)
    return b"".join([*(packer.compress(block) for _ in range(ENDLESS >> 20)), packer.flush()])


"""By the workflow, which looks at the bytes alone; pip refuses the second."""


def serving(lie: str, wheel: Path) -> ThreadingHTTPServer:
    page, change = LIES[lie]
    sha256 = file_at(wheel).sha256

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(b"")

        def do_GET(self) -> None:
            if page is None:
                self.send_error(500)
            elif self.path.endswith(".whl"):
                self.answer(change(wheel.read_bytes()))
            else:
                at = f"/files/{wheel.name}"
                text = page.format(at=at, path=wheel, name=wheel.name, sha256=sha256)
                self.answer(text.encode())

        def answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            if "packed" in lie and self.command == "GET":
                self.send_header("Content-Encoding", "gzip")
                body = packed()
            endless = "without end" in lie and self.command == "GET"
            endless &= ("file" in lie) == self.path.endswith(".whl")
            self.send_header("Content-Length", str(ENDLESS if endless else len(body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                for _ in range(ENDLESS >> 20 if endless else 0):
                    self.wfile.write(bytes(1 << 20))
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@attack("indexes that lie after an upload", list(LIES), refused=len(LIES) - 1)
def test_uploads(lie: str, folder: Path) -> None:
    wheel = write_zip(folder / FILENAME, raw_members({}))
    with serving(lie, wheel) as server, mock.patch.object(time, "sleep"):
        place = f"http://127.0.0.1:{server.server_port}/"
        environ = {"TWINE_USERNAME": "a", "TWINE_PASSWORD": "b", "HOME": str(folder)}
        step = make_step(folder, Runner(folder / "logs"))
        index = find_index(place, place, environ)
        try:
            upload(index, "some-pkg", file_at(wheel), wheel, environ=environ, step=step)
        finally:
            server.shutdown()
    assert lie == "keeps it"


@attack("the same, by the workflow's comparison", list(LIES), refused=len(LIES) - 2)
def test_comparison(lie: str, folder: Path) -> None:
    (folder / "dist").mkdir()
    wheel = write_zip(folder / "dist" / FILENAME, raw_members({}))
    at_once = f"import time; time.sleep = lambda _: None; exec(open({str(SERVED)!r}).read())"
    with serving(lie, wheel) as server:
        page = f"http://127.0.0.1:{server.server_port}/simple/some-pkg/"
        done = subprocess.run(
            [sys.executable, "-c", at_once], cwd=folder, env=os.environ | {"PAGE": page},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        server.shutdown()
    assert "Traceback" not in done.stderr and (done.returncode == 0) == (lie in UNSEEN), done.stderr
    if done.returncode:
        raise ChannelError(done.stderr)

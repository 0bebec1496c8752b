"""An HTTPS server on loopback: `server.py FOLDER`, in the environment that has trustme.

It makes a certificate authority (ca.pem) and another one that it does not use (other.pem), serves
FOLDER/files with ranges, writes each answered path to FOLDER/requests.txt, and says its port on
standard output. It ends when standard input does.
"""

from __future__ import annotations

import http.server
import importlib
import os
import ssl
import sys
import threading
from typing import Any


class Files(http.server.BaseHTTPRequestHandler):
    """GET and HEAD of whole files and of one range."""

    protocol_version = "HTTP/1.1"
    folder = ""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        name = os.path.basename(self.path.partition("?")[0])
        with open(os.path.join(self.folder, "requests.txt"), "a", encoding="utf-8") as log:
            log.write(self.path + "\n")
        path = os.path.join(self.folder, "files", name)
        if not os.path.isfile(path):
            self.send_error(404)
            return
        with open(path, "rb") as file:
            data = file.read()
        first, last = self._range(len(data))
        partial = "Range" in self.headers
        self.send_response(206 if partial else 200)
        if partial:
            self.send_header("Content-Range", "bytes %d-%d/%d" % (first, last, len(data)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Last-Modified", "Wed, 01 Jan 2020 00:00:00 GMT")
        self.send_header("ETag", '"1"')
        self.end_headers()
        if body:
            self.wfile.write(data[first : last + 1])

    def _range(self, size: int) -> tuple[int, int]:
        asked = self.headers.get("Range", "").partition("=")[2]
        first, _, last = asked.partition("-")
        return int(first or 0), min(int(last or size), size - 1)

    def log_message(self, *_: Any) -> None:
        """Standard error is for failures."""


class Server(http.server.ThreadingHTTPServer):
    """A refused certificate ends a connection early: that is what is tested, not an error."""

    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        pass


def main(folder: str) -> None:
    trustme = importlib.import_module("trustme")
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(os.path.join(folder, "ca.pem"))
    other.cert_pem.write_to_path(os.path.join(folder, "other.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    Files.folder = folder
    server = Server(("127.0.0.1", 0), Files)
    # Not at accept(): one slow handshake would hold up all others.
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write("%d\n" % server.server_address[1])
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])

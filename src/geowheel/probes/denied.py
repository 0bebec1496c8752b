"""In an environment of a sandbox: says which address a Python there asks for in vain.

Every Python that starts there imports it (a .pth file). The error itself names no address.
"""

from __future__ import annotations

import sys
from typing import Any

_LOCAL = ("127.", "::1", "localhost", "None")


def say(event: str, arguments: tuple[Any, ...]) -> None:
    """Name what is looked up, or connected to, and is not this machine (sys.addaudithook)."""
    address = ()
    if event == "socket.getaddrinfo":
        address = arguments[:2]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        address = arguments[1][:2]
    if address and not str(address[0]).startswith(_LOCAL):
        sys.stderr.write("geowheel: no network here: %s:%s\n" % address)


sys.addaudithook(say)

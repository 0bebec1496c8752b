"""What messages say about credentials: how to log in, and never the secret itself."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

LACKING: Final = "the server asks for credentials: none were found for it, or it refused them"

# `https://user:password@host/` and the token that anaconda.org and quetz keep in a path.
_USER: Final = re.compile(r"(?<=://)[^/\s@]+@")
_TOKEN: Final = re.compile(r"(https?://[^\s/]+/t/)[^/\s]+")
_REFUSED: Final = re.compile(r"\b(?:401 Unauthorized|403 Forbidden)\b")
_URL: Final = re.compile(r"https?://[^\s,;)]+")


def redact(text: str) -> str:
    """Return the text without passwords and tokens in its URLs."""
    return _TOKEN.sub(r"\1***", _USER.sub("***@", text))


def refused(text: str) -> bool:
    """Return whether a tool's or a server's words say that credentials are lacking."""
    return _REFUSED.search(text) is not None


def login(text: str) -> str:
    """How to log in to the server that the first URL in the text names, for a conda channel."""
    found = _URL.search(text)
    # pixi wraps its lines; where no URL is whole, a word has to do.
    host = (urlsplit(found[0]).hostname if found else None) or "HOST"
    return (
        f"`pixi auth login {host}`, a line for {host} in ~/.netrc (or in the file that NETRC "
        "names), or RATTLER_AUTH_FILE"
    )

"""A Python package index: where it takes uploads, and which files of a project it has.

The simple API in both its forms: JSON (PEP 691) and HTML (PEP 503).
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import html.parser
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Final
from urllib.parse import unquote, urldefrag, urljoin, urlsplit, urlunsplit

from packaging.utils import canonicalize_name

from geowheel.errors import ChannelError, UsageError
from geowheel.machine.credentials import redact

_KNOWN: Final[Mapping[str, tuple[str, str]]] = {
    "pypi": ("https://upload.pypi.org/legacy/", "https://pypi.org/simple/"),
    "testpypi": ("https://test.pypi.org/legacy/", "https://test.pypi.org/simple/"),
}
_ACCEPT: Final = "application/vnd.pypi.simple.v1+json, text/html;q=0.2"
_TRIES: Final = 3
_TIMEOUT: Final = 60
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Index:
    """One index; URLs without credentials in them."""

    name: str
    """As messages call it: `pypi`, or the URL."""
    upload: str
    simple: str
    """Ends with a slash."""
    section: str | None = None
    """Its section in ~/.pypirc, by which twine finds more about it."""
    user: tuple[str, str] | None = field(default=None, repr=False)
    """Name and password for both URLs, where they are known here."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A file that the index offers."""

    filename: str
    sha256: str | None
    """None where the index says no sha256."""
    url: str


def find_index(asked: str, simple: str | None, environ: Mapping[str, str]) -> Index:
    """The index of a name or upload URL; `simple`: where its simple API is, if that is said.

    Raises UsageError for a name that neither ~/.pypirc nor we know.
    """
    sections = _sections(environ)
    section: str | None = None
    if "://" in asked:
        upload, user = _split_user(asked)
        section = next((s for s, (url, _) in sections.items() if _same(url, upload)), None)
    elif asked in sections:
        section, (upload, _), user = asked, sections[asked], None
    elif asked in _KNOWN:
        upload, user = _KNOWN[asked][0], None
    else:
        raise UsageError(
            f"no index is called {asked!r}",
            cause="an index is named as in ~/.pypirc, or by the URL that takes uploads",
            fix=f"use one of {', '.join(sorted({*_KNOWN, *sections}))}, or --index URL",
        )
    # In twine's own order.
    user = user or _user_of(environ) or (sections[section][1] if section else None)
    known = next((place for url, place in _KNOWN.values() if _same(url, upload)), None)
    found = simple or known or f"{upload.rstrip('/')}/simple/"
    return Index(
        name=asked if "://" not in asked else upload,
        upload=upload,
        simple=f"{found.rstrip('/')}/",
        section=section,
        user=user,
    )


def published(index: Index, project: str, environ: Mapping[str, str]) -> dict[str, Published]:
    """The project's files on the index by their names; none where it does not know the project.

    Raises ChannelError when the index cannot be asked.
    """
    page = urljoin(index.simple, f"{canonicalize_name(project)}/")
    answer = _get(index, page, environ, accept=_ACCEPT)
    if answer is None:
        return {}
    try:
        found = list(_files(answer))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ChannelError(
            f"the index's answer cannot be read: {type(error).__name__} {error}",
            where=redact(page),
            cause="this is not a simple API (PEP 503, PEP 691)",
            fix="say where it is: [tool.geowheel.release] simple",
        ) from None
    return {item.filename: item for item in found}


def digest_of(index: Index, file: Published, environ: Mapping[str, str]) -> str:
    """The sha256 of a published file, downloaded where the index does not say it."""
    if file.sha256 is not None:
        return file.sha256
    answer = _get(index, file.url, environ, accept="*/*")
    return hashlib.sha256(b"" if answer is None else answer.body).hexdigest()


# --- asking ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Answer:
    url: str
    kind: str
    body: bytes


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not to another server.

    pypiserver sends the question for a project that it does not have on to PyPI: what is there is
    another index's.
    """

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).hostname != urlsplit(req.full_url).hostname:
            raise urllib.error.HTTPError(req.full_url, 404, "on another server", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _get(index: Index, url: str, environ: Mapping[str, str], *, accept: str) -> _Answer | None:
    """What is at a URL; None where the server has nothing there. Raises ChannelError."""
    opener = urllib.request.build_opener(
        _SameHost(), urllib.request.HTTPSHandler(context=_certificates(environ))
    )
    headers = {"Accept": accept, "User-Agent": "geowheel", "Cache-Control": "no-cache"}
    for left in reversed(range(_TRIES)):
        try:
            request = urllib.request.Request(url, headers=headers)
            with opener.open(request, timeout=_TIMEOUT) as answer:
                return _Answer(
                    url=answer.url,
                    kind=answer.headers.get_content_type(),
                    body=b"".join(iter(lambda: answer.read(_BLOCK), b"")),
                )
        except urllib.error.HTTPError as error:
            if error.code in (404, 410):
                return None
            ours = urlsplit(url).hostname == urlsplit(index.upload).hostname
            if error.code == 401 and index.user and ours and "Authorization" not in headers:
                token = base64.b64encode(":".join(index.user).encode()).decode()
                headers["Authorization"] = f"Basic {token}"
                continue
            if error.code < 500 or not left:
                raise _refused(url, error.code) from None
        except (OSError, HTTPException) as error:
            if not left:
                raise _out_of_reach(url, error) from None
        time.sleep(0.5)
    raise _refused(url, 401)


def _refused(url: str, code: int) -> ChannelError:
    if code in (401, 403):
        return ChannelError(
            f"the index asks for credentials, or refused them (status {code})",
            where=redact(url),
            cause="what is on it already has to be known before anything is uploaded",
            fix="set TWINE_USERNAME and TWINE_PASSWORD, or write its section in ~/.pypirc",
        )
    return ChannelError(
        f"the index answers with status {code}",
        where=redact(url),
        fix="run it again later; what is published stays published",
    )


def _out_of_reach(url: str, error: Exception) -> ChannelError:
    reason = getattr(error, "reason", None) or error
    return ChannelError(
        f"the index cannot be reached: {redact(str(reason)) or type(error).__name__}",
        where=redact(url),
        cause="no network, a proxy or a certificate that is not set here, or the server is down",
        fix="run it again when it can be reached: it goes on where it stopped",
    )


def _certificates(environ: Mapping[str, str]) -> ssl.SSLContext:
    """As twine trusts: TWINE_CERT, then REQUESTS_CA_BUNDLE; else the machine's."""
    bundle = environ.get("TWINE_CERT") or environ.get("REQUESTS_CA_BUNDLE")
    return ssl.create_default_context(cafile=bundle or None)


# --- reading -----------------------------------------------------------------------------------


def _files(answer: _Answer) -> Iterator[Published]:
    if answer.kind.endswith("json"):
        for file in json.loads(answer.body)["files"]:
            yield Published(
                filename=file["filename"],
                sha256=file.get("hashes", {}).get("sha256"),
                url=urljoin(answer.url, file["url"]),
            )
        return
    page = _Links()
    page.feed(answer.body.decode("utf-8", "replace"))
    for link in page.found:
        url, fragment = urldefrag(urljoin(answer.url, link))
        kind, _, value = fragment.partition("=")
        yield Published(
            filename=unquote(urlsplit(url).path.rpartition("/")[2]),
            sha256=value if kind == "sha256" else None,
            url=url,
        )


class _Links(html.parser.HTMLParser):
    """The targets of a page's links."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


# --- ~/.pypirc -----------------------------------------------------------------------------------


def _sections(environ: Mapping[str, str]) -> dict[str, tuple[str, tuple[str, str] | None]]:
    """URL and credentials of the sections that ~/.pypirc lists; none where it cannot be read.

    As https://packaging.python.org/en/latest/specifications/pypirc/ says.
    """
    parser = configparser.RawConfigParser()
    try:
        text = (Path(environ.get("HOME", "~")).expanduser() / ".pypirc").read_text(encoding="utf-8")
        parser.read_string(text)
    except (OSError, ValueError, RuntimeError, configparser.Error):
        return {}  # twine says what is wrong with it, without what is in it
    found: dict[str, tuple[str, tuple[str, str] | None]] = {}
    for name in parser.get("distutils", "index-servers", fallback="pypi testpypi").split():
        if not parser.has_section(name):
            continue
        url = parser.get(name, "repository", fallback=_KNOWN.get(name, ("",))[0])
        user, password = (parser.get(name, key, fallback="") for key in ("username", "password"))
        if url:
            found[name] = (url, (user, password) if user else None)
    return found


def _user_of(environ: Mapping[str, str]) -> tuple[str, str] | None:
    user = environ.get("TWINE_USERNAME")
    return (user, environ.get("TWINE_PASSWORD", "")) if user else None


def _split_user(url: str) -> tuple[str, tuple[str, str] | None]:
    """A URL without its credentials, and these: no argument list may hold them."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    plain = urlunsplit(parts._replace(netloc=place))
    if parts.username is None:
        return plain, None
    return plain, (unquote(parts.username), unquote(parts.password or ""))


def _same(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/")

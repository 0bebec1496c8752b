"""A Python package index: where it takes uploads, and which files of a project it has.

pypi-simple reads the simple API in both its forms: JSON (PEP 691) and HTML (PEP 503). It and
requests are in the extra `release`, so they are imported when an index is asked.
"""

from __future__ import annotations

import configparser
import hashlib
import io
import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from packaging.utils import canonicalize_name

from geowheel.digest import Sha256, parse_sha256
from geowheel.errors import ChannelError, UsageError
from geowheel.machine.archives import BLOCK
from geowheel.machine.bounds import FILE, PAGE, RATE, STALL
from geowheel.machine.credentials import advice, parse_url, public_url
from geowheel.machine.files import innermost

from .checks import require_tools

if TYPE_CHECKING:
    from requests import Response

User: TypeAlias = tuple[str, str]
"""Name and password."""
_KNOWN: Final[Mapping[str, tuple[str, str]]] = {
    "pypi": ("https://upload.pypi.org/legacy/", "https://pypi.org/simple/"),
    "testpypi": ("https://test.pypi.org/legacy/", "https://test.pypi.org/simple/"),
}
_ACCEPT: Final = "application/vnd.pypi.simple.v1+json, text/html;q=0.2"
_TRIES: Final = 3
_TIMEOUT: Final = 60  # seconds
_TRUST: Final = ("TWINE_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
"""What names the certificates to trust, as for twine; without one those of certifi."""


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
    user: User | None = field(default=None, repr=False)
    """The user of both URLs, where it is known here."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A file that the index offers."""

    filename: str
    sha256: Sha256 | None
    """None where the index says no sha256."""
    url: str
    yanked: bool = False
    provenance: str = ""
    """Where its attestations are (PEP 740); empty where the index has none."""


def find_index(asked: str, simple: str | None, environ: Mapping[str, str]) -> Index:
    """Return the index of a name or upload URL; `simple`: where its simple API is, if that is said.

    Raises UsageError for a name that neither ~/.pypirc nor we know.
    """
    sections = _sections(environ)
    section, user = None, None
    if "://" in asked:
        upload, user = _split_user(asked)
        section = next((s for s, (url, _) in sections.items() if _same(url, upload)), None)
    elif asked in sections:
        section, upload = asked, sections[asked][0]
    elif asked in _KNOWN:
        upload = _KNOWN[asked][0]
    else:
        raise UsageError(
            f"no index is called {asked!r}",
            cause="an index is named as in ~/.pypirc, or by the URL that takes uploads",
            fix=f"use one of {', '.join(sorted({*_KNOWN, *sections}))}, or a URL",
        )
    if user is None and (name := environ.get("TWINE_USERNAME")):  # in twine's own order
        user = name, environ.get("TWINE_PASSWORD", "")
    if user is None and section:
        user = sections[section][1]
    return Index(
        name=asked if "://" not in asked else upload,
        upload=upload,
        simple=simple_of(upload, simple),
        section=section,
        user=user,
    )


def simple_of(upload: str, simple: str | None) -> str:
    """Return the URL of an index's simple API, with a slash at its end; `upload` may be it."""
    known = next((place for url, place in _KNOWN.values() if _same(url, upload)), None)
    found = simple or known or f"{upload.rstrip('/').removesuffix('/simple')}/simple/"
    return f"{found.rstrip('/')}/"


def published(index: Index, project: str, environ: Mapping[str, str]) -> dict[str, Published]:
    """Return the project's files on the index by name; none where it does not know the project.

    Raises ChannelError when the index cannot be reached, MachineError without the extra.
    """
    page = urljoin(index.simple, f"{canonicalize_name(project)}/")
    answer = ask(index, page, environ, accept=_ACCEPT)
    if answer is None:
        return {}
    from pypi_simple import ProjectPage, UnsupportedRepoVersionError

    html = "json" not in answer.headers.get("Content-Type", "")
    answer.raw = io.BytesIO(b"".join(_body(answer, PAGE >> 2 * html)))
    try:
        packages = ProjectPage.from_response(answer, project).packages
        return {
            p.filename: Published(
                filename=p.filename,
                sha256=parse_sha256(said) if (said := p.digests.get("sha256")) else None,
                url=public_url(parse_url(p.url).url) and p.url,
                yanked=p.is_yanked,
                provenance=urljoin(page, p.provenance_url) if p.provenance_url else "",
            )
            for p in packages
        }
    except (ValueError, RecursionError, UnsupportedRepoVersionError) as error:
        raise ChannelError(
            f"the index's answer cannot be read: {type(error).__name__} {error}",
            where=page,
            cause="this is not a simple API (PEP 503, PEP 691)",
            fix="say where it is: [tool.geowheel.release] simple",
        ) from None


def digest_of(
    index: Index,
    file: Published,
    environ: Mapping[str, str],
    *,
    served: bool = False,
    goal: Path | None = None,
) -> str:
    """Return the sha256 of a published file, downloaded where the index does not say it.

    With `served` it is downloaded whatever the index says of it, and with `goal` written there.
    """
    if file.sha256 is not None and not (served or goal):
        return file.sha256
    answer, found = ask(index, file.url, environ, accept="*/*"), hashlib.sha256()
    with nullcontext() if goal is None else goal.open("wb") as out:
        for chunk in () if answer is None else _body(answer, FILE):
            found.update(chunk)
            if out is not None:
                out.write(chunk)
    return found.hexdigest()


def page_of(index: Index, url: str, environ: Mapping[str, str], *, accept: str) -> bytes | None:
    """Return what a page of an index holds; None where it has none. Raises ChannelError."""
    answer = ask(index, url, environ, accept=accept)
    return None if answer is None else b"".join(_body(answer, PAGE))


def ask(index: Index, url: str, environ: Mapping[str, str], *, accept: str) -> Response | None:
    """Return what is at a URL; None where the server has nothing there. Raises ChannelError.

    What another server answers after a redirect counts as nothing: pypiserver sends the question
    for a project that it does not have on to PyPI, and what is there is another index's.
    """
    require_tools()
    import requests

    host = urlsplit(url).hostname
    for left in reversed(range(_TRIES)):
        try:
            answer = requests.get(
                url,
                headers={"Accept": accept, "User-Agent": "geowheel", "Cache-Control": "no-cache",
                         "Accept-Encoding": "identity"},
                auth=index.user if host == urlsplit(index.upload).hostname else None,
                verify=next((path for name in _TRUST if (path := environ.get(name))), True),
                timeout=_TIMEOUT,
                stream=True,
            )  # fmt: skip
        except OSError as error:  # every error of requests is one
            if not left:
                raise _out_of_reach(url, innermost(error)) from None
        else:
            if answer.status_code in (404, 410) or urlsplit(answer.url).hostname != host:
                return None
            if answer.ok:
                return answer
            if answer.status_code < 500 or not left:
                raise _out_of_reach(url, f"it answered {answer.status_code}")
        time.sleep(0.5)
    raise AssertionError("the last try returns or raises")


def _body(answer: Response, limit: int) -> Iterator[bytes]:
    """Yield what an answer has; raises ChannelError, also where it is packed or has no end."""
    from urllib3.exceptions import HTTPError

    count, began = 0, time.monotonic()
    try:
        if (packed := answer.headers.get("Content-Encoding", "identity")) != "identity":
            raise OSError(f"the answer is packed by {packed}")
        while chunk := answer.raw.read1(BLOCK):
            count, spent = count + len(chunk), time.monotonic() - began
            if count > limit or (spent > STALL and count < spent * RATE):
                raise OSError(f"{count:,} bytes came in {spent:.0f} s, and no end")
            yield chunk
    except (OSError, HTTPError) as error:
        raise _out_of_reach(answer.url, innermost(error)) from None


def _out_of_reach(url: str, said: str) -> ChannelError:
    help = advice(
        said,
        "no network, a proxy that is not set here, or the server is down",
        "set TWINE_USERNAME and TWINE_PASSWORD if it asks for them; else run it again when it can "
        "be reached: it goes on where it stopped",
    )
    return ChannelError(f"the index cannot be reached: {said}", where=url, **help)


def _sections(environ: Mapping[str, str]) -> dict[str, tuple[str, User | None]]:
    """Return URL and credentials of ~/.pypirc's sections; none where it cannot be read.

    As https://packaging.python.org/en/latest/specifications/pypirc/ says.
    """
    parser = configparser.RawConfigParser()
    try:
        text = (Path(environ.get("HOME", "~")).expanduser() / ".pypirc").read_text(encoding="utf-8")
        parser.read_string(text)
    except (OSError, ValueError, RuntimeError, configparser.Error):
        return {}  # twine says what is wrong with it, without what is in it
    found: dict[str, tuple[str, User | None]] = {}
    for name in parser.get("distutils", "index-servers", fallback="pypi testpypi").split():
        url = parser.get(name, "repository", fallback=_KNOWN.get(name, ("",))[0])
        user, password = (parser.get(name, key, fallback="") for key in ("username", "password"))
        if url and parser.has_section(name):
            found[name] = (url, (user, password) if user else None)
    return found


def _split_user(url: str) -> tuple[str, User | None]:
    """Return a URL without its credentials, and these: no argument list may hold them."""
    parts = urlsplit(url)
    plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    if parts.username is None:
        return plain, None
    return plain, (unquote(parts.username), unquote(parts.password or ""))


def _same(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/")

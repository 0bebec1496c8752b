"""URLs and the secrets in them: the one parser, and the last gate before others get to see a file.

A URL that a lock or a wheel names has no credentials. Those that the user gives in a variable or on
the command line are used for the requests of that run alone.
"""

import gzip
import json
import re
import zipfile
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_to_bytes

from geowheel.errors import BuildError, ConfigError

from .archives import DAMAGE

ELSEWHERE: Final = (
    "take it out, and have it renewed; `pixi auth login HOST`, ~/.netrc, RATTLER_AUTH_FILE or uv's "
    "keyring keep it"
)
"""What to do with credentials in a file that is committed."""

_URL: Final = re.compile(
    r"(?i:([a-z][a-z0-9+.-]*))://(?:([^/?#]*)@)?([^/?#@]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?"
)
_HOST: Final = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^:\[\]%]+)(?::\d*)?")
_TOKEN: Final = r"/(?:t|%74)/([^/]+)"  # conda.common.url.split_anaconda_token; servers decode %74

_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_UNUSUAL: Final = re.compile(r"[^\x20-\x7e\t\n]+")
# In running text a URL ends where a space or a quotation mark is.
_SHOWN: Final = re.compile(r'://[^\s"<>]+')
_PARTS: Final = (
    (re.compile(r"://[^/?#]*@"), "://***@"),
    (re.compile(r"(/(?:t|%74)/)[^/?#]+"), r"\1***"),
    (re.compile(r"([?&;][^=&;#]*=)[^&;#]+"), r"\1***"),
    # A port that is none: the beginning of a password with a slash in it.
    (re.compile(r"(://)[^/?#:@\[]+:(?!\d*[:.,;)\]}'*]*(?:[/?#]|$)).*"), r"\1***"),
)
_NO_SCHEME: Final = re.compile(r'(?<![\w/])[^\s/@:"]+:[^\s/@"]+@(?=[\w\[])')

# Where a user keeps them, and how a variable, netrc, pypirc and pixi's JSON say that it is one.
_FILES: Final = (
    ".netrc", ".pypirc", ".rattler/credentials.json", ".pixi/config.toml", ".config/uv/uv.toml",
    ".config/pixi/config.toml", ".config/pip/pip.conf", ".pip/pip.conf",
)  # fmt: skip
_NAMING_FILES: Final = ("NETRC", "RATTLER_AUTH_FILE", "PIP_CONFIG_FILE", "PIXI_CONFIG_FILE")
_SAID: Final = re.compile(
    r"""(?i)(?:password|passwd|token|secret|api_?key)\w*["']?[\s:=]+["']?([^\s"',}]+)"""
)
_URLS: Final = re.compile(r"""(?i)(?<![a-z0-9+.-])(?=([a-z][a-z0-9+.-]*://[^\s"']+))""")


@dataclass(frozen=True, kw_only=True)
class Address:
    """A URL, and apart from it what is secret."""

    url: str
    """Without user, password, token, query and fragment."""
    secrets: frozenset[str] = field(repr=False)
    login: tuple[str, str] = field(repr=False)
    """How URLs of that server begin: as a lock names them, and as they are asked for."""


def parse_url(text: str, *, conda: bool = False) -> Address:
    """Return a URL's parts; raises ValueError, without the text in it, for anything else.

    `conda`: a token may stand anywhere in the path, else only at its beginning, since an index
    sorts projects by their letter.
    """
    found = _URL.fullmatch(text)
    if found is None or re.search(r"[\s\x00-\x1f\x7f\\\ud800-\udfff]", text):
        raise ValueError("it is not a URL")
    scheme, (user, host, path, query) = found[1].lower(), found.groups("")[1:]
    if not _HOST.fullmatch(host) and (host or scheme != "file"):
        raise ValueError("its host or port is not valid (in a password, / is %2F and @ is %40)")
    name, _, password = user.partition(":")
    tokens = re.compile(_TOKEN if conda else f"^{_TOKEN}")
    secrets = {value for _, value in parse_qsl(query)} | set(map(unquote, tokens.findall(path)))
    if user and (password or not scheme.endswith("ssh")):
        secrets |= {unquote(password or name), b64encode(unquote(user).encode()).decode()}
    base, first = f"{scheme}://{host}", tokens.search(path)
    begin = path[: first.end()] if first else ""
    asked = f"{scheme}://{user}@{host}{begin}/" if user else f"{base}{begin}/"
    return Address(
        url=base + tokens.sub("", path),
        secrets=frozenset(secrets),
        login=(f"{base}{tokens.sub('', begin)}/", asked),
    )


def parse_place(text: str, where: str) -> Address:
    """Return the URL of a channel or a mirror; raises ConfigError, `where`, for anything else."""
    try:
        if "?" not in text and "#" not in text:
            return parse_url(text, conda=True)
        raise ValueError("it has a query or a fragment, which URLs of files below it lack")
    except ValueError as error:
        raise ConfigError(f"not the URL of a channel or a mirror: {error}", where=where) from None


def public_url(text: str, *, conda: bool = False) -> str:
    """Return the URL of a file that everybody may know; raises ValueError for any other."""
    url = parse_url(text, conda=conda).url
    if url != text or not url.startswith(("https://", "http://")):
        raise ValueError("its URL has credentials or a query, or is neither https nor http")
    return text


def logins(channel: str, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield how URLs of locks begin, each with the beginning of what is asked for instead.

    Of the channel that a run was told, and of the package indexes in uv's and pip's variables.
    """
    if "://" in channel and (address := parse_url(channel, conda=True)).secrets:
        yield address.url, channel
    for name in sorted(name for name in environ if name.startswith(("UV_", "PIP_"))):
        for url in _URLS.findall(environ[name]):
            with suppress(ValueError):
                if (address := parse_url(url, conda=True)).secrets:
                    yield address.login


def without_login(url: str, environ: Mapping[str, str]) -> str:
    """Return the URL that a lock names for what an index calls `url`; raises as `public_url`."""
    address = parse_url(url)
    for public, asked in logins("", environ):
        if (begins := re.sub("//.*@", "//", asked)) != public and address.url.startswith(begins):
            return public_url(public + address.url.removeprefix(begins))
    return public_url(address.url)


def shown(text: str) -> str:
    """Return the text as whoever looks at a terminal, a log or a report may see it.

    URLs are without credentials. Names and messages come from packages, wheels and indexes: what
    `str.isprintable` says no to (controls, format characters, surrogates) becomes `\\x1b` or
    `\\u202e`, but for tabs and the ends of lines. Colours are left out.
    """
    text = _NO_SCHEME.sub("***@", _SHOWN.sub(_hidden, _COLOURS.sub("", text)))
    return _UNUSUAL.sub(_escaped, text)


def refuse_secrets(place: Path, environ: Mapping[str, str]) -> None:
    """Raise BuildError where a file, or one in a folder, wheel or sdist, holds a secret of a user.

    A short word, such as `secret`, is looked for only where URLs have secrets.
    """
    found = []
    for secret in sorted(known_secrets(environ), key=len, reverse=True):
        forms = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}
        forms |= {re.sub("%..", lambda escape: escape[0].lower(), form) for form in forms}
        every = "|".join(map(re.escape, {*forms, json.dumps(secret)[1:-1]}))
        distinct = len(secret) >= 8 and re.search(r"\d", secret) and not secret.isdecimal()
        found.append(every if distinct else rf"(?<=:)(?:{every})(?=@)|(?<=/t/)(?:{every})(?=/)")
    pattern = re.compile("|".join(found).encode())
    for name, data in _contents(place) if found else ():
        if pattern.search(data) or (b"\0" not in data and pattern.search(unquote_to_bytes(data))):
            raise BuildError(
                "holds a password or a token of yours: it is not handed over",
                where=name,
                cause="a build, a package or an index wrote it, from a URL or a variable",
                fix="keep it out of that file; have the secret renewed if others saw it",
            )


def known_secrets(environ: Mapping[str, str]) -> set[str]:
    """Return what is secret in variables and in the user's files."""
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or "/")
    files = [home / name for name in _FILES]
    files += [Path(environ[name]) for name in _NAMING_FILES if environ.get(name)]
    texts = [f"{name}={value}" for name, value in environ.items()]
    for file in files:
        with suppress(OSError):
            texts.append(file.read_text(encoding="utf-8", errors="replace"))
    found = {word for text in texts for word in _SAID.findall(text) if "://" not in word}
    for url in (url for text in texts for url in _URLS.findall(text)):
        with suppress(ValueError):
            found |= parse_url(url, conda=True).secrets
    return {secret for secret in found if secret.strip() and secret[0] not in "/~"}


def _escaped(found: re.Match[str]) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in found[0])


def _hidden(url: re.Match[str]) -> str:
    text = url[0]
    for pattern, shown in _PARTS:
        text = pattern.sub(shown, text)
    return text


def _contents(place: Path) -> Iterator[tuple[str, bytes]]:
    if place.is_dir():
        for path in sorted(place.rglob("*")):
            if path.is_file():
                yield from _contents(path)
        return
    # Not every file that ends like a zip is one: libminizip has the marks of one among its data.
    with suppress(gzip.BadGzipFile, RuntimeError, *DAMAGE):
        if zipfile.is_zipfile(place):
            with zipfile.ZipFile(place) as archive:
                for name in archive.namelist():
                    with suppress(RuntimeError, *DAMAGE):  # nobody can read this one, but others
                        yield f"{place.name}: {name}", archive.read(name)
            return
        if place.name.endswith(".tar.gz"):
            # A tar keeps its files as they are.
            yield str(place), gzip.decompress(place.read_bytes())
            return
    yield str(place), place.read_bytes()


def advice(text: str, cause: str, fix: str) -> dict[str, str]:
    """Return the cause and the next step where a channel's server gave nothing but this text.

    Those given, unless it says that credentials lack, or trust in a certificate.
    """
    if re.search("certificate is not trusted|invalid peer certificate", text):
        cause = "it has expired, is for another name, or its authority is not known here"
        fix = (
            "set SSL_CERT_FILE to a file with the authority's certificate, beside the public ones; "
            "look at this machine's clock; have the server's owner renew it"
        )
    elif re.search(r"\b(?:401 Unauthorized|403 Forbidden)\b", text):
        # pixi wraps its lines; where no URL is whole, a word has to do.
        found = re.search(r"(?:https?://(?:[^/\s]*@)?|\b(?=\S+ answered))([^\s/:,;)]+)", text)
        host = found[1] if found else "HOST"
        cause = "the server asks for credentials: none were found for it, or it refused them"
        fix = (
            f"a line for {host} in ~/.netrc (or in the file that NETRC names); for a conda channel "
            f"also `pixi auth login {host}`, or RATTLER_AUTH_FILE"
        )
    return {"cause": cause, "fix": fix}

"""Channels: what a lock calls them, and where their packages really lie.

A folder channel is locked under `https://NAME.invalid/` (RFC 2606: never resolves) and mapped to
its folder exactly as a mirror is, so that no path of a machine enters a lock or a key.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from geowheel.digest import digest, sha256_file
from geowheel.errors import ChannelError, ConfigError, UsageError
from geowheel.machine.credentials import ELSEWHERE, logins, parse_place
from geowheel.project.project import CHANNEL_VARIABLE, Machine
from geowheel.targets import Platform

from .pixi_config import pixis_mirrors

DISTRO: Final = "distro"
MIRRORS_VARIABLE: Final = "GEOWHEEL_MIRRORS"
NOT_MODIFIED: Final = "304 Not Modified"
STRANGE_SERVER: Final = (
    "the server says that an index was not modified, and not which it means, as "
    "`python3 -m http.server` does (conda/rattler#2719)"
)


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One conda channel: its name and URL in locks, and its folder where it is a local one."""

    name: str
    url: str
    """Ends with a slash."""
    folder: Path | None = None

    def state(self, platform: Platform) -> str:
        """Return what changes with a folder channel's index; constant for a remote one."""
        if self.folder is None:
            return "remote"
        indexes = [self.folder / subdir / "repodata.json" for subdir in (platform, "noarch")]
        return digest(tuple(sha256_file(path) for path in indexes if path.is_file()))


@dataclass(frozen=True, kw_only=True)
class Mirrors:
    """URL prefixes, each with a place (a URL or a folder) that is asked instead, in order.

    A prefix ends at a slash; the longest that fits counts.
    """

    pairs: tuple[tuple[str, str], ...] = ()

    @cached_property
    def _all(self) -> list[tuple[str, str]]:
        return [(url.rstrip("/") + "/", place) for url, place in self.pairs]

    def of(self, url: str) -> tuple[str, ...]:
        """Return where to look for `url`: its mirrors in order, or itself when it has none."""
        fitting = [(prefix, place) for prefix, place in self._all if url.startswith(prefix)]
        longest = max((len(prefix) for prefix, _ in fitting), default=0)
        places = [place for prefix, place in fitting if len(prefix) == longest]
        return tuple(_below(place, url[longest:]) for place in dict.fromkeys(places)) or (url,)

    def changes(self, url: str) -> bool:
        """Return whether something else is asked than `url` itself."""
        return self.of(url) != (url,)

    def plus(self, channels: tuple[Channel, ...]) -> "Mirrors":
        """Return these with the folders of local channels."""
        local = tuple((c.url, str(c.folder)) for c in channels if c.folder is not None)
        return replace(self, pairs=(*local, *self.pairs))


def read_mirrors(machine: Machine, workspace: Path) -> Mirrors:
    """Return the user's mirrors, and where the run logs in by a URL; raises as named_mirrors."""
    named = [(url, at) for url, at, _ in named_mirrors(machine, workspace)]
    channel = machine.environ.get(CHANNEL_VARIABLE, "")
    return Mirrors(pairs=(*named, *logins(channel, machine.environ)))


def named_mirrors(machine: Machine, workspace: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the user's mirrors, and what names each: GEOWHEEL_MIRRORS (`URL=PLACE`, separated by
    spaces), then pixi's configuration in a workspace.

    A place is a URL or a folder; several of one URL are asked in their order. Raises UsageError
    when the variable cannot be read, ConfigError when a file of pixi's cannot.
    """
    for number, pair in enumerate(machine.environ.get(MIRRORS_VARIABLE, "").split(), 1):
        url, equals, place = pair.partition("=")
        if not equals or "://" not in url or not place:
            raise UsageError(  # never what it is: it may be the half of a password
                f"{MIRRORS_VARIABLE}: number {number} is not URL=PLACE",
                fix=f"write {MIRRORS_VARIABLE}='https://conda.anaconda.org/conda-forge=/srv/mirror'",
            )
        yield url, _place(place, MIRRORS_VARIABLE), MIRRORS_VARIABLE
    for url, place, file in pixis_mirrors(machine, workspace):
        yield url, _place(place, str(file)), str(file)


def _place(text: str, where: str) -> str:
    """Return a mirror as it was written: a URL, or the absolute path of a folder."""
    if "://" in text and not text.startswith("file:"):
        parse_place(text, where)
        return text
    return str(_folder(text, Path.cwd()))


def _folder(text: str, base: Path) -> Path:
    if text.startswith("file:"):
        text = unquote(urlsplit(text).path)
    return (base / Path(text).expanduser()).resolve()


def _below(place: str, rest: str) -> str:
    # A URL escapes what a file name does not: `!` of an epoch, `+` of a local version.
    return f"{place.rstrip('/')}/{rest if '://' in place else unquote(rest)}"


def folder_channel(folder: Path, name: str | None = None) -> Channel:
    """Return the channel in a local folder; raises ChannelError when nothing is indexed there."""
    if not any(folder.glob("*/repodata.json")):
        raise ChannelError(
            "no */repodata.json in it",
            where=str(folder),
            cause="the folder is not a conda channel, or it was never indexed",
            fix="index it with `rattler-index fs DIR` or `conda index DIR`",
        )
    label = name or re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "local"
    return Channel(name=label, url=f"https://{label}.invalid/", folder=folder.resolve())


def named_channel(text: str) -> Channel:
    """Return the channel that conda means by a name or URL."""
    if re.fullmatch(r"[a-z0-9_-]+", text):
        return Channel(name=text, url=f"https://conda.anaconda.org/{text}/")
    from rattler import Channel as RattlerChannel
    from rattler.exceptions import InvalidChannelError

    try:
        if ("://" in text or "@" in text) and (address := parse_place(text, "channels")).secrets:
            raise ConfigError(f"the URL of channel {address.url} has a login", fix=ELSEWHERE)
        url = str(RattlerChannel(text).base_url)
    except InvalidChannelError as error:
        raise ConfigError(
            f"{text!r} is not a channel: {' '.join(str(error).split())}",
            fix="write a name such as conda-forge, a URL or a folder",
        ) from None
    return Channel(name=text, url=url if url.endswith("/") else url + "/")


def configured_channels(texts: Iterable[str], base: Path) -> tuple[Channel, ...]:
    """Return the channels of a manifest in folder `base`: names, URLs, or paths of folders."""
    found: dict[str, Channel] = {}
    for text in texts:
        channel = folder_channel(_folder(text, base)) if _is_path(text) else named_channel(text)
        if channel.folder is not None and channel.url in found:
            raise ConfigError(
                f"two folder channels have the name {channel.name}, which locks call them by",
                where=str(channel.folder),
                fix="rename one of the folders",
            )
        found[channel.url] = channel
    return tuple(found.values())


def distro_suite(text: str | None) -> str | None:
    """Return the suite of `distro:SUITE`, empty for `distro`; None for another channel, or none."""
    name, _, suite = (text or "").partition(":")
    return suite if name == DISTRO else None


def server_of(place: str) -> str:
    """Return host and port for messages: a URL as a whole may hold a token or a password."""
    return urlsplit(place).netloc.rpartition("@")[2] or place


def _is_path(text: str) -> bool:
    return text.startswith(("file:", ".", "/", "~", "\\"))


def parse_channel(text: str, base: Path) -> Channel:
    """Parse `--channel`, if not `distro`: a URL, a folder (relative to `base`) or a name."""
    if "://" in text and not text.startswith("file:"):
        return named_channel(text)
    folder = _folder(text, base)
    if folder.is_dir():
        return folder_channel(folder)
    if _is_path(text) or (re.search(r"[/\\]", text) and "/label/" not in text):
        raise ChannelError(
            "there is no such folder",
            where=str(folder),
            fix="name a folder with an indexed channel, a URL or a channel's name",
        )
    return named_channel(text)

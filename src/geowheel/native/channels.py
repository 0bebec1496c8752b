"""Channels: what a lock calls them, and where their packages really lie.

A folder channel is locked under `https://NAME.invalid/` (RFC 2606: never resolves) and mapped to
its folder exactly as a mirror is, so that no path of a machine enters a lock or a key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rattler import Channel as RattlerChannel
from rattler import Config

from geowheel.digest import digest, sha256_file
from geowheel.errors import ChannelError, UsageError

DISTRO = "distro"
MIRRORS_VARIABLE = "GEOWHEEL_MIRRORS"


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One conda channel: its name and URL in locks, and its folder where it is a local one."""

    name: str
    url: str
    """Ends with a slash."""
    folder: Path | None = None

    def state(self) -> str:
        """Changes when a folder channel's index changes; constant for a remote one."""
        if self.folder is None:
            return "remote"
        return digest(tuple(sha256_file(p) for p in sorted(self.folder.glob("*/repodata.json"))))


@dataclass(frozen=True, kw_only=True)
class Mirrors:
    """URL prefixes and the places (URLs or folders) that are asked instead, in order."""

    places: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def of(self, url: str) -> tuple[str, ...]:
        """Where to look for `url`: its mirrors in order, or itself when it has none."""
        for prefix, places in self.places:
            if url.startswith(prefix):
                rest = url[len(prefix) :].lstrip("/")
                return tuple(f"{place.rstrip('/')}/{rest}" for place in places)
        return (url,)

    def plus(self, channels: tuple[Channel, ...]) -> Mirrors:
        """These, and the folders of local channels."""
        local = tuple((c.url, (str(c.folder),)) for c in channels if c.folder is not None)
        return Mirrors(places=local + self.places)


def read_mirrors(environ: Mapping[str, str]) -> Mirrors:
    """The user's mirrors: GEOWHEEL_MIRRORS (`URL=PLACE`, separated by spaces), then pixi's own.

    A place is a URL or a folder. Raises UsageError when the variable cannot be read.
    """
    places: list[tuple[str, tuple[str, ...]]] = []
    for pair in environ.get(MIRRORS_VARIABLE, "").split():
        url, equals, place = pair.partition("=")
        if not equals or "://" not in url or not place:
            raise UsageError(
                f"{MIRRORS_VARIABLE}: {pair!r} is not URL=PLACE",
                fix=f"write {MIRRORS_VARIABLE}='https://conda.anaconda.org/conda-forge=/srv/mirror'",
            )
        places.append((url, (place,)))
    configured = Config.load_from_default_locations("pixi").mirrors or {}
    places += [(str(url), tuple(map(str, mirrors))) for url, mirrors in configured.items()]
    return Mirrors(places=tuple(sorted(places, key=lambda item: -len(item[0]))))


def folder_channel(folder: Path, name: str | None = None) -> Channel:
    """The channel in a local folder; raises ChannelError when nothing is indexed there."""
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
    """The channel that conda means by a name or URL."""
    url = str(RattlerChannel(text).base_url)
    return Channel(name=text, url=url if url.endswith("/") else url + "/")


def parse_channel(text: str, base: Path) -> Channel:
    """`--channel`'s value other than `distro`: a URL, a folder (relative to `base`) or a name."""
    if "://" in text:
        return named_channel(text)
    if (base / text).is_dir():
        return folder_channel(base / text)
    if "/" in text or "\\" in text or text.startswith("."):
        raise ChannelError("there is no such folder", where=text)
    return named_channel(text)

"""Tells whether a channel answers from here; it is asked as the store asks, through proxies too."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from rattler.package_streaming import download_to_writer

from geowheel.locks.channels import Mirrors, server_of
from geowheel.locks.solving import http_client, wait_for_rattler
from geowheel.targets import Platform

from .downloading import unavailable

PATIENCE: Final = 5.0  # seconds
_INDEXES: Final = ("repodata.json.zst", "repodata.json")


def unreachable(
    url: str, platform: Platform, mirrors: Mirrors, *, patience: float = PATIENCE
) -> list[str]:
    """Say why no place of a channel gives the index of a platform; nothing when one does.

    Only the first bytes of an index are read. What is returned names servers, never a whole URL,
    which may hold a token.
    """
    reasons: list[str] = []
    for place in mirrors.of(url):
        why = _why_not(place.rstrip("/") + f"/{platform}", patience)
        if why is None:
            return []
        reasons.append(why)
    return reasons


def _why_not(folder: str, patience: float) -> str | None:
    if "://" not in folder:
        here = any(Path(folder, name).is_file() for name in _INDEXES)
        return None if here else f"{folder} holds no index"
    why: str | None = None
    for name in _INDEXES:  # a mirror may have only the plain one
        why = _read_a_little(f"{folder}/{name}", patience)
        if why is None or "404" not in why:
            break
    return why


class _Enough(Exception):
    """The first bytes came."""


class _First:
    """Takes the first bytes and no more."""

    def write(self, _: bytes) -> int:
        raise _Enough


def _read_a_little(url: str, patience: float) -> str | None:
    async def ask() -> None:
        await asyncio.wait_for(download_to_writer(http_client(), url, _First()), patience)

    try:
        wait_for_rattler(ask())
    except _Enough:
        return None
    except TimeoutError:
        return f"{server_of(url)} did not answer within {patience:g} s"
    except (RuntimeError, OSError) as error:  # py-rattler raises nothing more exact for HTTP
        return str(unavailable(str(error), url))
    return None  # an empty index

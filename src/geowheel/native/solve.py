"""Solving: from what a manifest asks for to exact conda records, by py-rattler.

Verified against pixi 0.77: for the same virtual packages it gives the lock that pixi itself writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from rattler import (
    BuildString,
    Client,
    Gateway,
    GenericVirtualPackage,
    MatchSpec,
    PackageName,
    RepoDataRecord,
    Version,
    solve,
)
from rattler import (
    Channel as RattlerChannel,
)
from rattler.channel import ChannelPriority
from rattler.exceptions import FetchRepoDataError, GatewayError, SolverError
from rattler.networking import AuthenticationMiddleware, RetryMiddleware
from rattler.platform import SubdirLiteral

from geowheel.errors import ChannelError, LockError

from .channels import Channel, Mirrors
from .manifest import EnvironmentSpec


def http_client() -> Client:
    """A client that retries and knows the credentials of `pixi auth` and netrc."""
    return Client([RetryMiddleware(3), AuthenticationMiddleware()])


def solve_environment(
    spec: EnvironmentSpec,
    channels: Sequence[Channel],
    *,
    mirrors: Mirrors,
    cache: Path,
    keep: Sequence[RepoDataRecord] = (),
) -> list[RepoDataRecord]:
    """The records of an environment, with the channels' own URLs; `keep` are preferred.

    Raises ChannelError when a channel cannot be read, LockError when nothing satisfies the specs.
    """
    places = {channel.url: mirrors.of(channel.url)[0] for channel in channels}
    try:
        found = asyncio.run(_solve(spec, list(places.values()), cache, keep))
    except (GatewayError, FetchRepoDataError) as error:
        names = ", ".join(channel.name for channel in channels)
        raise ChannelError(
            f"cannot read {names}: {_short(str(error))}",
            where=", ".join(places.values()),
            cause="no route to it from here, a proxy that is not set, or a wrong URL",
            fix="set GEOWHEEL_MIRRORS=URL=MIRROR for a mirror or a folder, name another channel "
            "with `-- --channel DIR|URL`, or use this distribution's own packages with "
            "`-- --channel distro`",
        ) from None
    except SolverError as error:
        raise LockError(
            f"{spec.platform}: nothing satisfies {', '.join(s.text for s in spec.specs)}:\n{error}",
            cause=f"the channel lacks a package, or needs more than {virtual(spec)}",
            fix="loosen the specs in pixi.toml, or raise [system-requirements]",
        ) from None
    return [_with_channel_url(record, places) for record in found]


def virtual(spec: EnvironmentSpec) -> str:
    """The assumed virtual packages, for messages."""
    return ", ".join(spec.virtual_packages)


async def _solve(
    spec: EnvironmentSpec, places: Sequence[str], cache: Path, keep: Sequence[RepoDataRecord]
) -> list[RepoDataRecord]:
    return await solve(
        [RattlerChannel(place) for place in places],
        [MatchSpec(wanted.text) for wanted in spec.specs],
        gateway=Gateway(cache_dir=cache, client=http_client()),
        platforms=[cast("SubdirLiteral", str(spec.platform)), "noarch"],
        locked_packages=list(keep),
        virtual_packages=[_virtual_package(text) for text in spec.virtual_packages],
        channel_priority=ChannelPriority.Strict,
    )


def _virtual_package(text: str) -> GenericVirtualPackage:
    name, _, rest = text.partition("=")
    version, _, build = rest.partition("=")
    return GenericVirtualPackage(PackageName(name), Version(version), BuildString(build or "0"))


def _with_channel_url(record: RepoDataRecord, places: dict[str, str]) -> RepoDataRecord:
    for url, place in places.items():
        base = Path(place).as_uri() + "/" if "://" not in place else place.rstrip("/") + "/"
        if record.url.startswith(base):
            record.url = url + record.url[len(base) :]
            record.channel = url
    # Not part of what pixi compares, and a time of the machine that indexed the channel.
    record.indexed_timestamp = None
    return record


def _short(message: str) -> str:
    """The first and last line of an error that nests its causes."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[0] if len(lines) < 2 else f"{lines[0]} ({lines[-1].removeprefix('Caused by: ')})"

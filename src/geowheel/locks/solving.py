"""Solving: from what a manifest asks for to exact conda records, by py-rattler.

Verified against pixi 0.77: for the same virtual packages it gives the lock that pixi itself writes.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from rattler import (
    BuildString,
    Client,
    Gateway,
    GenericVirtualPackage,
    PackageName,
    RepoDataRecord,
    SourceConfig,
    Version,
    exceptions,
    solve,
)
from rattler import Channel as RattlerChannel
from rattler.channel import ChannelPriority
from rattler.networking import AuthenticationMiddleware, RetryMiddleware
from rattler.platform import SubdirLiteral

from geowheel.errors import ChannelError, LockError, MachineError
from geowheel.machine.bounds import INDEX
from geowheel.machine.console import Step
from geowheel.machine.credentials import advice, parse_url
from geowheel.project.manifest import EnvironmentSpec
from geowheel.project.project import Project

from .channels import NOT_MODIFIED, STRANGE_SERVER, Channel, Mirrors
from .native_stack import ALWAYS
from .pixi_lock import match_spec, virtual_package

_RETRIES: Final = 2
_SETTLE: Final = 0.1  # seconds

T = TypeVar("T")


def wait_for_rattler(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that calls py-rattler to its end, and settle if it fails."""
    try:
        return asyncio.run(work)
    except BaseException:
        settle()
        raise


def settle() -> None:
    """Give py-rattler's threads time to let go of the interpreter.

    They still do when an error has already arrived here, and a process that ends in that moment
    is aborted (py-rattler 0.28: one run in ten).
    """
    time.sleep(_SETTLE)


def http_client(*, retries: int = 0, timeout: int | None = None) -> Client:
    """Return a client that knows the credentials of `pixi auth` and netrc."""
    retry = [RetryMiddleware(retries)] if retries else []
    return Client([*retry, AuthenticationMiddleware()], timeout=timeout)


def solve_environment(
    project: Project,
    spec: EnvironmentSpec,
    channels: Sequence[Channel],
    mirrors: Mirrors,
    *,
    keep: Sequence[RepoDataRecord] = (),
    elsewhere: Step | None = None,
) -> list[RepoDataRecord]:
    """Return the records of an environment, with the channels' own URLs; `keep` are preferred.

    Where pixi.toml names other channels (`elsewhere`), these need not have their builds, nor what
    is there beside the native stack: that is left out and said. Of several mirrors the next is
    asked when one cannot be read. Raises ChannelError when none can, LockError when nothing
    satisfies the specs.
    """
    if not spec.specs:
        return []
    offered = {channel.url: mirrors.of(channel.url) for channel in channels}
    # A locked package whose channel is no longer asked for must not come back through the lock.
    kept = [r for r in keep if any(r.url.startswith(url) for url in offered)]
    failures: list[str] = []
    for number in range(max(map(len, offered.values()), default=0)):
        places = {url: of[min(number, len(of) - 1)] for url, of in offered.items()}
        asked = [RattlerChannel(place) for place in places.values()]
        secret = any("://" in at and parse_url(at, conda=True).secrets for at in places.values())
        try:
            found = _ask(project, secret, partial(_solve, project, spec, asked, kept, elsewhere))
        except (exceptions.GatewayError, exceptions.FetchRepoDataError) as error:
            failures.append(f"{', '.join(places.values())}: {_short(str(error))}")
            continue
        except exceptions.SolverError as error:
            built = [cast("SubdirLiteral", str(spec.platform))]  # noarch packages apart
            if not _ask(project, secret, partial(Gateway.names, sources=asked, platforms=built)):
                raise _no_platform(spec, channels) from None
            raise _unsolvable(spec, error) from None
        return [_with_channel_url(record, places) for record in found]
    raise unreachable(channels, failures)


def _no_platform(spec: EnvironmentSpec, channels: Sequence[Channel]) -> LockError:
    """Return the error for a channel without a platform: a solver would find it empty."""
    return LockError(
        f"{', '.join(channel.name for channel in channels)} has no packages for {spec.platform}",
        where=f"environment {spec.name}",
        cause=f"{spec.platform} is among the platforms of pixi.toml, and no channel serves it",
        fix=f"take {spec.platform} out of platforms, or add a channel that has it",
    )


def _unsolvable(spec: EnvironmentSpec, error: exceptions.SolverError) -> LockError:
    return LockError(
        f"{spec.platform}: nothing satisfies {', '.join(s.text for s in spec.specs)}:\n"
        f"{str(error).rstrip()}",
        where=f"environment {spec.name}",
        cause="the channel lacks a package, or a package needs more than "
        f"{', '.join(spec.virtual_packages)}",
        fix="loosen the specs in pixi.toml, or raise its system requirements",
    )


def unreachable(channels: Sequence[Channel], failures: Sequence[str]) -> ChannelError:
    """Return the error that says of which channels no place gives an index, and why."""
    what = f"cannot read {', '.join(channel.name for channel in channels)}: {'; '.join(failures)}"
    where = ", ".join(channel.url for channel in channels)
    cause = "no route to it from here, no proxy or a wrong URL"
    if NOT_MODIFIED in what:
        cause = STRANGE_SERVER
    elif "failed to decode" in what or "failed to parse" in what:
        cause = "something else answers in its place, such as a proxy's or a login's page"
    help = advice(
        "; ".join(failures),
        cause,
        "set GEOWHEEL_MIRRORS=URL=PLACE for a mirror or a folder with the same packages; or "
        f"make a wheel that is not for release from {_other_packages()}",
    )
    return ChannelError(what, where=where, **help)


def _other_packages() -> str:
    """Name the command that makes a wheel from other packages than the channel's.

    `wheel` takes --channel and `lock` does not: what it names everybody has.
    """
    from geowheel.distro.channel import read_distribution  # only where needed

    try:
        read_distribution()
    except MachineError:
        return "another channel: `geowheel wheel --channel DIR|URL`"
    return "this distribution's own packages: `geowheel wheel --channel distro`"


async def _solve(
    project: Project,
    spec: EnvironmentSpec,
    channels: Sequence[RattlerChannel],
    keep: Sequence[RepoDataRecord],
    elsewhere: Step | None,
    gateway: Gateway,
) -> list[RepoDataRecord]:
    subdirs: list[SubdirLiteral] = [cast("SubdirLiteral", str(spec.platform)), "noarch"]
    specs = {wanted.text: match_spec(wanted.text, spec.name) for wanted in spec.specs}
    if elsewhere is not None:
        needed = (*ALWAYS, *project.wanted_packages(spec.platform))
        strict = {wanted.text for wanted in spec.specs if wanted.name in needed}
        # What other packages of the configured channel would have brought, such as its `gdal`.
        more = set(needed) - {wanted.name for wanted in spec.specs}
        asked = {**specs, **{name: match_spec(name, spec.name) for name in more}}
        parts = await gateway.query(list(channels), subdirs, list(asked.values()), recursive=False)
        there = [record for part in parts for record in part]
        found = {text for text, match in asked.items() if any(map(match.matches, there))}
        specs = {text: match for text, match in asked.items() if text in found | strict}
        if lacking := sorted(asked.keys() - specs.keys() - more):
            elsewhere.console.warn(f"left out, as no channel here has it: {', '.join(lacking)}")
    in_order = project.manifest.strict_priority
    return await solve(
        channels,
        list(specs.values()),
        gateway=gateway,
        platforms=subdirs,
        locked_packages=list(keep),
        virtual_packages=[
            GenericVirtualPackage(PackageName(name), Version(version), BuildString(build))
            for name, version, build in map(virtual_package, spec.virtual_packages)
        ],
        channel_priority=ChannelPriority.Strict if in_order else ChannelPriority.Disabled,
    )


def _ask(project: Project, secret: bool, ask: Callable[[Gateway], Coroutine[Any, Any, T]]) -> T:
    """Ask channels; once more without what is kept, where a server mistakes that."""
    client = http_client(retries=_RETRIES, timeout=INDEX)
    with tempfile.TemporaryDirectory(prefix="geowheel-") as scratch:
        # What is kept names its URL, and a cache may be handed from one machine to another.
        cache = Path(scratch) if secret else project.machine.cache / "repodata"
        try:
            return wait_for_rattler(ask(Gateway(cache_dir=cache, client=client)))
        except (exceptions.GatewayError, exceptions.FetchRepoDataError) as error:
            if NOT_MODIFIED not in str(error):
                raise
            new = SourceConfig(cache_action="no-cache")
            return wait_for_rattler(
                ask(Gateway(cache_dir=cache, client=client, default_config=new))
            )


def _with_channel_url(record: RepoDataRecord, places: dict[str, str]) -> RepoDataRecord:
    record.url = parse_url(record.url, conda=True).url
    for url, place in places.items():
        at = place if "://" in place else Path(place).as_uri()
        base = parse_url(at, conda=True).url.rstrip("/") + "/"
        if record.url.startswith(base):
            record.url, record.channel = url + record.url.removeprefix(base), url
    # Not part of what pixi compares, and a time of the machine that indexed the channel.
    record.indexed_timestamp = None
    return record


def _short(message: str) -> str:
    """Return the first and last line of an error that nests its causes."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[0] if len(lines) < 2 else f"{lines[0]} ({lines[-1].removeprefix('Caused by: ')})"

"""Downloads, side by side, from each place of a file until one gives its bytes; and who answers."""

import asyncio
import hashlib
import io
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import IO, Final
from urllib.error import HTTPError
from urllib.request import urlopen

from filelock import AsyncFileLock
from rattler import Client
from rattler.package_streaming import download_to_writer

from geowheel.digest import open_regular
from geowheel.errors import ChannelError, Fault, GeowheelError, IntegrityError, some
from geowheel.locks.assets import Asset
from geowheel.locks.channels import Mirrors, server_of
from geowheel.locks.solving import http_client, settle, wait_for_rattler
from geowheel.machine.bounds import FILE, RATE
from geowheel.machine.console import Step, megabytes
from geowheel.machine.credentials import advice
from geowheel.machine.files import disk_faults, innermost
from geowheel.targets import Platform

AT_ONCE: Final = 8  # downloads side by side
PAUSES: Final = (0.3, 1.5)  # seconds before the second and the third try of one place
NAMED: Final = 5  # kinds of failure that one message has
PATIENCE: Final = 5.0  # seconds
_INDEXES: Final = ("repodata.json.zst", "repodata.json")


def download(
    goals: Mapping[Path, Asset], mirrors: Mirrors, step: Step, *, stall: float, of: int
) -> None:
    """Download what is missing of so many files, each to its place; raises as `Store.obtain` does.

    A transfer that brings less than `RATE` a second in `stall` seconds is given up.
    """
    # Of some files the index does not say the size: then files are counted, not bytes.
    sized = all(asset.size for asset in goals.values())
    total = sum(asset.size or 0 for asset in goals.values()) if sized else len(goals)
    size = f", {megabytes(total)}" if sized else ""
    step.say(f"downloading {len(goals)} of {of} files{size}")
    with step.progress("download", total) as advance:
        run = _Run(mirrors=mirrors, stall=stall, client=http_client(), advance=advance, sized=sized)
        failures = wait_for_rattler(run.download(goals))
    for asset, place in run.rejected:
        step.console.warn(f"{place} gave wrong bytes for {asset}: another place had it")
    if failures:
        settle()
        raise _combined(failures)


@dataclass(frozen=True, kw_only=True)
class _Failure:
    """A file that no place gave."""

    asset: Asset
    reasons: tuple[str, ...]
    """What each place answered; without the file's own URL, so that equal ones can be told."""
    wrong_bytes: bool


@dataclass(frozen=True, kw_only=True)
class _Run:
    """The downloads of one call."""

    mirrors: Mirrors
    stall: float
    client: Client
    advance: Callable[[float], None]
    sized: bool
    silent: dict[str, str] = field(default_factory=dict)
    """Servers that did not answer, and why: the other files need not wait for them again."""
    rejected: list[tuple[Asset, str]] = field(default_factory=list)
    """Files of which a place gave wrong bytes, though a later one had them."""

    async def download(self, goals: Mapping[Path, Asset]) -> list[_Failure]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(goal: Path, asset: Asset) -> _Failure | None:
            async with gate:
                with disk_faults(goal.parent):
                    return await self._obtain(goal, asset)

        try:
            # A full disk ends the others as well, and waits until their parts are put away.
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(goal, asset)) for goal, asset in goals.items()]
        except BaseExceptionGroup as errors:
            every = errors.exceptions
            ours = (error for error in every if isinstance(error, GeowheelError))
            raise next(ours, every[0]) from None
        return [failure for task in tasks if (failure := task.result()) is not None]

    async def _obtain(self, goal: Path, asset: Asset) -> _Failure | None:
        goal.parent.mkdir(parents=True, exist_ok=True)
        async with AsyncFileLock(goal.parent / ".lock"):
            goal.parent.mkdir(parents=True, exist_ok=True)  # `cache prune` was faster
            for stale in goal.parent.glob("*.part"):
                stale.unlink(missing_ok=True)
            if goal.is_file():  # another run was faster
                self.advance((asset.size or 0) if self.sized else 1)
                return None
            reasons: list[str] = []
            wrong: list[str] = []
            for place in self.mirrors.of(asset.url):
                try:
                    await self._from_place(asset, place, goal)
                except _WrongBytes as error:
                    reasons.append(f"{place.rpartition('/')[0]}: {error}")
                    wrong.append(place)
                except Unavailable as error:
                    reasons.append(str(error))
                else:
                    self.rejected.extend((asset, bad) for bad in wrong)
                    return None
            return _Failure(asset=asset, reasons=tuple(reasons), wrong_bytes=bool(wrong))

    async def _from_place(self, asset: Asset, place: str, goal: Path) -> None:
        """Try one place several times: a broken transfer is not a broken mirror."""
        server = server_of(place)
        for number in range(len(PAUSES) + 1):
            if server in self.silent:
                raise Unavailable(self.silent[server])
            try:
                await self._once(asset, place, goal)
                return
            except Unavailable as error:
                if number >= min(error.again, len(PAUSES)):
                    if error.no_answer:
                        why = await asyncio.to_thread(_told, error, place)
                        raise Unavailable(self.silent.setdefault(server, why)) from None
                    raise
            await asyncio.sleep(PAUSES[number])

    async def _once(self, asset: Asset, place: str, goal: Path) -> None:
        part = goal.with_name(f"{secrets.token_hex(4)}.part")
        counted = self.advance if self.sized else lambda _: None
        writer = _Writer(counted, FILE if asset.size is None else asset.size)
        try:
            with part.open("wb") as file:
                writer.file = file
                await _read(self.client, place, writer, self.stall)
            if (found := writer.hash.hexdigest()) != asset.sha256:
                said = f"sha256 is {found}, wanted {asset.sha256}"
                if asset.size not in (None, writer.count):  # a page, and the same one for all
                    said = f"{writer.count:,} bytes came, not as many as it has"
                raise _WrongBytes(said, again=1)
            part.replace(goal)
        except BaseException:  # an interrupt leaves nothing half-made
            counted(-writer.count)
            raise
        finally:
            part.unlink(missing_ok=True)
        if not self.sized:
            self.advance(1)


async def _read(client: Client, place: str, writer: "_Writer", stall: float) -> None:
    """Have a place's bytes written; raises Unavailable, also for less than RATE in `stall` s."""
    if "://" not in place:
        await asyncio.to_thread(_copy, Path(place), writer)
        return
    try:
        transfer = download_to_writer(client, place, writer)
        await _watched(transfer, writer, stall, server_of(place))
    except (RuntimeError, OSError) as error:
        if writer.refused is not None:  # which reaches here as something else
            raise writer.refused from None
        if isinstance(error, RuntimeError):  # py-rattler raises nothing more exact for HTTP
            raise _unavailable(str(error), place) from None
        if error.errno is not None:  # of the file that is written, not of the transfer
            raise
        raise Unavailable(f"{server_of(place)}: the transfer broke off", again=2) from None


class _Writer:
    """Writes, hashes and counts what a download brings, `limit` bytes at most."""

    def __init__(self, advance: Callable[[float], None], limit: int) -> None:
        self.file: IO[bytes] = io.BytesIO()
        self.hash = hashlib.sha256()
        self.count = 0
        self.refused: _WrongBytes | None = None
        self._advance, self._limit = advance, limit

    def write(self, data: bytes) -> int:
        if self.count + len(data) > self._limit:
            self.refused = _WrongBytes(f"more than {self._limit:,} bytes came")
            raise self.refused
        self.hash.update(data)
        self.file.write(data)
        self.count += len(data)
        self._advance(len(data))
        return len(data)


class Unavailable(Exception):
    """A place does not have the file, or does not answer."""

    def __init__(self, why: str, *, again: int = 0, no_answer: bool = False) -> None:
        super().__init__(why)
        self.again = again
        """How many more tries may help."""
        self.no_answer = no_answer
        """Nobody listens there: the next file will fare no better."""


class _WrongBytes(Unavailable):
    """A place gave something else than what the lock names."""


def _unavailable(message: str, place: str) -> Unavailable:
    """Return what py-rattler's message means, without a URL, which the message names itself."""
    if "error sending request" in message:
        return Unavailable(f"{server_of(place)} did not answer", again=2, no_answer=True)
    status = message.partition("(")[2].partition(")")[0]
    busy = status.startswith(("5", "408", "429"))
    said = f"{server_of(place)} answered {status or message.strip()}"
    return Unavailable(said, again=2 if busy else 0)


def _told(error: Unavailable, place: str) -> str:
    """Return what an error says; where a server did not answer, Python asks why, once."""
    try:
        if error.no_answer:
            urlopen(f"{place.partition(':')[0]}://{server_of(place)}/", timeout=PATIENCE).close()
    except HTTPError:
        pass  # an answer
    except (OSError, ValueError, HTTPException) as found:
        return f"{server_of(place)} cannot be reached: {innermost(found)}"
    doubt = ", or its certificate is not trusted here" * place.startswith("https:")
    return f"{error}{doubt * bool(error.again)}"


async def _watched(transfer: Awaitable[None], writer: _Writer, stall: float, server: str) -> None:
    """Await the transfer, and give it up when too little came in `stall` seconds."""
    task = asyncio.ensure_future(transfer)
    try:
        while not task.done():
            before = writer.count
            await asyncio.wait({task}, timeout=stall)
            came = writer.count - before
            if not task.done() and came < stall * RATE:
                raise Unavailable(f"{server} sent {came} bytes in {stall:g} s", no_answer=True)
        task.result()
    finally:
        task.cancel()


def _copy(path: Path, writer: _Writer) -> None:
    try:
        file = open_regular(path)
    except OSError as error:
        raise Unavailable(f"{path.parent}: {error.strerror}") from None
    with file:
        while block := file.read(1 << 20):
            writer.write(block)


def _combined(failures: Sequence[_Failure]) -> IntegrityError | ChannelError:
    """Return one fault for all files that failed for the same reason."""
    alike: dict[tuple[str, ...], list[Asset]] = {}
    for failure in failures:
        alike.setdefault(failure.reasons, []).append(failure.asset)
    wrong = {failure.reasons for failure in failures if failure.wrong_bytes}
    faults = [_fault(every, why, wrong_bytes=why in wrong) for why, every in alike.items()]
    if (more := len(faults) - NAMED) > 0:  # a mirror that is wrong throughout
        faults[NAMED:] = [Fault(what=f"the same of {more} others")]
    return IntegrityError(faults) if wrong else ChannelError(faults)


def _fault(every: Sequence[Asset], reasons: Sequence[str], *, wrong_bytes: bool) -> Fault:
    names, where, said = some(every), every[0].url, "; ".join(dict.fromkeys(reasons))
    if wrong_bytes:
        return Fault(
            what=f"{names}: wrong bytes: {said}",
            where=where,
            cause="the package was rebuilt under the same name, the mirror is damaged, or a proxy "
            "answers in its place",
            fix="check the mirror; if the change is meant, run `geowheel lock`",
        )
    what = f"{names} cannot be fetched: {said}"
    help = advice(
        said,
        "the channel or mirror lacks it, or cannot be reached from here",
        "name a mirror with GEOWHEEL_MIRRORS=URL=PLACE, or run `geowheel lock` for what the "
        "channel offers now; what did arrive is kept",
    )
    return Fault(what=what, where=where, **help)


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
        url, first = f"{folder}/{name}", _Writer(lambda _: None, 0)
        try:
            wait_for_rattler(_read(http_client(), url, first, patience))
            return None  # an empty index
        except Unavailable as error:
            if first.refused is not None:  # the first bytes came
                return None
            why = _told(error, url)
        if "404" not in why:
            break
    return why

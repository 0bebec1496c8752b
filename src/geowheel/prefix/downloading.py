"""Downloads into the store, side by side: from each place of a file until one gives its bytes."""

from __future__ import annotations

import asyncio
import hashlib
import io
import secrets
import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from filelock import AsyncFileLock
from rattler import Client
from rattler.package_streaming import download_to_writer

from geowheel.errors import ChannelError, Fault, GeowheelError, IntegrityError
from geowheel.locks.channels import server_of
from geowheel.locks.solving import http_client, settle, wait_for_rattler
from geowheel.machine.console import Step, megabytes
from geowheel.machine.credentials import LACKING, login, refused

from .store import Store, Wanted, disk_faults

AT_ONCE: Final = 8  # downloads side by side
PAUSES: Final = (0.3, 1.5)  # seconds before the second and the third try of one place
NAMED: Final = 5  # packages that one message names


def download(store: Store, missing: Sequence[Wanted], step: Step, *, of: int) -> None:
    """Download what is missing of so many files; raises as `Store.obtain` does."""
    # Of some files the index does not say the size: then files are counted, not bytes.
    sized = all(wanted.size for wanted in missing)
    total = sum(wanted.size or 0 for wanted in missing)
    count = f"{len(missing)} of {of} files"
    step.say(f"downloading {count}" + (f", {megabytes(total)}" if sized else ""))
    with step.progress("download", total if sized else len(missing)) as advance:
        run = _Run(store=store, client=http_client(), advance=advance, sized=sized)
        failures = wait_for_rattler(run.download(missing))
    for wanted, place in run.rejected:
        step.console.warn(f"{place} gave wrong bytes for {wanted.label}: another place had it")
    if failures:
        settle()
        raise _combined(failures)


@dataclass(frozen=True, kw_only=True)
class _Failure:
    """A file that no place gave."""

    wanted: Wanted
    reasons: tuple[str, ...]
    """What each place answered; without the file's own URL, so that equal ones can be told."""
    wrong_bytes: bool


@dataclass(frozen=True, kw_only=True)
class _Run:
    """The downloads of one call of `obtain`."""

    store: Store
    client: Client
    advance: Callable[[float], None]
    sized: bool
    silent: set[str] = field(default_factory=set)
    """Servers that did not answer: the other files need not wait for them again."""
    rejected: list[tuple[Wanted, str]] = field(default_factory=list)
    """Files of which a place gave wrong bytes, though a later one had them."""

    async def download(self, missing: Sequence[Wanted]) -> list[_Failure]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(wanted: Wanted) -> _Failure | None:
            async with gate:
                with disk_faults(self.store.folder):
                    return await self._obtain(wanted)

        try:
            # A full disk ends the others as well, and waits until their parts are put away.
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(wanted)) for wanted in missing]
        except BaseExceptionGroup as errors:
            for error in errors.exceptions:
                if isinstance(error, GeowheelError):
                    raise error from None
            raise
        return [failure for task in tasks if (failure := task.result()) is not None]

    async def _obtain(self, wanted: Wanted) -> _Failure | None:
        goal = self.store.path(wanted)
        goal.parent.mkdir(parents=True, exist_ok=True)
        async with AsyncFileLock(goal.parent / ".lock"):
            goal.parent.mkdir(parents=True, exist_ok=True)  # `cache prune` was faster
            for stale in goal.parent.glob("*.part"):
                stale.unlink(missing_ok=True)
            if goal.is_file():  # another run was faster
                self.advance((wanted.size or 0) if self.sized else 1)
                return None
            reasons: list[str] = []
            wrong: list[str] = []
            for place in self.store.mirrors.of(wanted.url):
                try:
                    await self._from_place(wanted, place, goal)
                except _WrongBytes as error:
                    reasons.append(f"{place}: {error}")
                    wrong.append(place)
                except _Unavailable as error:
                    reasons.append(str(error))
                else:
                    self.rejected.extend((wanted, bad) for bad in wrong)
                    return None
            return _Failure(wanted=wanted, reasons=tuple(reasons), wrong_bytes=bool(wrong))

    async def _from_place(self, wanted: Wanted, place: str, goal: Path) -> None:
        """Several tries of one place: a broken transfer is not a broken mirror."""
        server = server_of(place)
        for number in range(len(PAUSES) + 1):
            if server in self.silent:
                raise _Unavailable(f"{server} did not answer")
            try:
                await self._once(wanted, place, goal)
                return
            except _Unavailable as error:
                if number >= min(error.again, len(PAUSES)):
                    if error.no_answer:
                        self.silent.add(server)
                    raise
            await asyncio.sleep(PAUSES[number])

    async def _once(self, wanted: Wanted, place: str, goal: Path) -> None:
        part = goal.with_name(f"{secrets.token_hex(4)}.part")
        counted = self.advance if self.sized else _nothing
        writer = _Writer(counted)
        try:
            with part.open("wb") as file:
                writer.file = file
                await self._read(place, writer)
            if writer.hexdigest() != wanted.sha256:
                raise _WrongBytes(f"sha256 is {writer.hexdigest()}, wanted {wanted.sha256}")
            part.replace(goal)
        except BaseException:  # an interrupt leaves nothing half-made
            counted(-writer.count)
            raise
        finally:
            part.unlink(missing_ok=True)
        if not self.sized:
            self.advance(1)

    async def _read(self, place: str, writer: _Writer) -> None:
        if "://" not in place:
            await asyncio.to_thread(_copy, Path(place), writer)
            return
        try:
            await _watched(download_to_writer(self.client, place, writer), writer, self.store.stall)
        except RuntimeError as error:  # py-rattler raises nothing more exact for HTTP
            raise _unavailable(str(error), place) from None
        except OSError as error:
            if error.errno is not None:  # of the file that is written, not of the transfer
                raise
            raise _Unavailable(f"{server_of(place)}: the transfer broke off", again=2) from None


class _Writer:
    """Writes, hashes and counts what a download brings."""

    def __init__(self, advance: Callable[[float], None]) -> None:
        self.file: IO[bytes] = io.BytesIO()
        self._advance = advance
        self._hash = hashlib.sha256()
        self.count = 0

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self.file.write(data)
        self.count += len(data)
        self._advance(len(data))
        return len(data)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


class _Unavailable(Exception):
    """A place does not have the file, or does not answer."""

    def __init__(self, why: str, *, again: int = 0, no_answer: bool = False) -> None:
        super().__init__(why)
        self.again = again
        """How many more tries may help."""
        self.no_answer = no_answer
        """Nobody listens there: the next file will fare no better."""


class _WrongBytes(_Unavailable):
    """A place gave something else than what the lock names."""

    def __init__(self, why: str) -> None:
        super().__init__(why, again=1)


def _unavailable(message: str, place: str) -> _Unavailable:
    """What py-rattler's message means; the URL is left out, since the message names it itself."""
    if "error sending request" in message:
        return _Unavailable(f"{server_of(place)} did not answer", again=2, no_answer=True)
    status = message.partition("(")[2].partition(")")[0]
    busy = status.startswith(("5", "408", "429"))
    said = f"{server_of(place)} answered {status or message.strip()}"
    return _Unavailable(said, again=2 if busy else 0)


async def _watched(transfer: Awaitable[None], writer: _Writer, stall: float) -> None:
    """The transfer, given up when not one byte came for `stall` seconds."""
    task = asyncio.ensure_future(transfer)
    try:
        while not task.done():
            before = writer.count
            await asyncio.wait({task}, timeout=stall)
            if not task.done() and writer.count == before:
                raise _Unavailable(f"nothing came for {stall:g} s", again=1)
        task.result()
    finally:
        task.cancel()


def _copy(path: Path, writer: _Writer) -> None:
    try:
        file = path.open("rb")
    except OSError as error:
        raise _Unavailable(f"{path.parent}: {error.strerror}") from None
    with file:
        shutil.copyfileobj(file, writer, 1 << 20)


def _nothing(_: float) -> None:
    """Progress that is counted in files."""


def _combined(failures: Sequence[_Failure]) -> IntegrityError | ChannelError:
    """One fault for all files that failed for the same reason."""
    alike: dict[tuple[str, ...], list[Wanted]] = {}
    for failure in failures:
        alike.setdefault(failure.reasons, []).append(failure.wanted)
    wrong = {failure.reasons for failure in failures if failure.wrong_bytes}
    faults = [
        _wrong_bytes(every, reasons) if reasons in wrong else _not_there(every, reasons)
        for reasons, every in alike.items()
    ]
    return IntegrityError(faults) if wrong else ChannelError(faults)


def _wrong_bytes(every: Sequence[Wanted], reasons: Sequence[str]) -> Fault:
    return Fault(
        what=f"{_names(every)}: wrong bytes: {'; '.join(reasons)}",
        where=every[0].url,
        cause="the package was rebuilt under the same name, or the mirror is damaged",
        fix="check the mirror; if the change is meant, run `geowheel lock`",
    )


def _not_there(every: Sequence[Wanted], reasons: Sequence[str]) -> Fault:
    what = f"{_names(every)} cannot be fetched: {'; '.join(dict.fromkeys(reasons))}"
    asking = [reason for reason in reasons if refused(reason)]
    if asking:
        server = asking[0].partition(" answered")[0]
        fix = login(f"https://{server}/")
        return Fault(what=what, where=every[0].url, cause=LACKING, fix=fix)
    return Fault(
        what=what,
        where=every[0].url,
        cause="the channel or mirror lacks it, or cannot be reached from here",
        fix="name a mirror with GEOWHEEL_MIRRORS=URL=PLACE, or run `geowheel lock` for what the "
        "channel offers now; what did arrive is kept",
    )


def _names(every: Sequence[Wanted]) -> str:
    names = ", ".join(wanted.label for wanted in every[:NAMED])
    return names + (f" and {len(every) - NAMED} more" if len(every) > NAMED else "")

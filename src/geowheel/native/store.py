"""The store: downloaded files by their sha256, shared by all projects of a user.

Bytes enter it only after their digest was checked, with one rename. A killed download leaves a
`.part` file that nobody reads.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import secrets
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from filelock import AsyncFileLock
from rattler import Client
from rattler.package_streaming import download_to_writer

from geowheel.console import Step, megabytes
from geowheel.digest import sha256_file
from geowheel.errors import ChannelError, Fault, IntegrityError, MachineError

from .channels import Mirrors
from .solve import http_client

AT_ONCE = 8  # downloads side by side
TRIES = 2  # of one place when its bytes are wrong: a broken transfer is not a broken mirror


@dataclass(frozen=True, kw_only=True, order=True)
class Wanted:
    """A file that a lock names."""

    label: str
    """What messages call it: a package's name, version and build."""
    file_name: str
    url: str
    sha256: str
    size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Store:
    """A folder of files by digest."""

    folder: Path
    mirrors: Mirrors

    def path(self, wanted: Wanted) -> Path:
        """Where `wanted` is, or would be."""
        return self.folder / wanted.sha256[:2] / wanted.sha256 / wanted.file_name

    def missing(self, every: Iterable[Wanted]) -> list[Wanted]:
        """Those that have to be downloaded, each once."""
        unique = {wanted.sha256: wanted for wanted in every}
        return [wanted for wanted in unique.values() if not self.path(wanted).is_file()]

    def obtain(self, every: Sequence[Wanted], step: Step) -> None:
        """See to it that all are there; without network when they are.

        Raises IntegrityError for wrong bytes, ChannelError for what no place has, MachineError
        when the disk is full. What arrived whole stays, so the next run goes on from there.
        """
        missing = self.missing(every)
        if not missing:
            return
        total = sum(wanted.size or 0 for wanted in missing)
        count = f"{len(missing)} of {len(every)} files"
        step.say(f"downloading {count}" + (f", {megabytes(total)}" if total else ""))
        with step.progress("download", total or len(missing)) as advance:
            faults = asyncio.run(self._download_all(missing, advance if total else _nothing))
        if faults:
            raise _combined(faults)

    def verify(self, every: Sequence[Wanted]) -> list[Wanted]:
        """Hash what is stored again; remove and return what is damaged."""
        present = [wanted for wanted in every if self.path(wanted).is_file()]
        with ThreadPoolExecutor() as pool:
            actual = list(pool.map(lambda wanted: sha256_file(self.path(wanted)), present))
        damaged = [w for w, found in zip(present, actual, strict=True) if found != w.sha256]
        for wanted in damaged:
            self.path(wanted).unlink()
        return damaged

    async def _download_all(
        self, missing: Sequence[Wanted], advance: Callable[[float], None]
    ) -> list[IntegrityError | ChannelError]:
        client = http_client()
        gate = asyncio.Semaphore(AT_ONCE)
        faults: list[IntegrityError | ChannelError] = []

        async def one(wanted: Wanted) -> None:
            async with gate:
                try:
                    await self._download(wanted, client, advance)
                except (IntegrityError, ChannelError) as error:
                    faults.append(error)

        await asyncio.gather(*map(one, missing))
        return faults

    async def _download(
        self, wanted: Wanted, client: Client, advance: Callable[[float], None]
    ) -> None:
        goal = self.path(wanted)
        goal.parent.mkdir(parents=True, exist_ok=True)
        async with AsyncFileLock(goal.parent / ".lock"):
            if goal.is_file():  # another run was faster
                advance(wanted.size or 0)
                return
            for stale in goal.parent.glob("*.part"):
                stale.unlink(missing_ok=True)
            reasons = []
            for place in self.mirrors.of(wanted.url):
                for _ in range(TRIES):
                    part = goal.with_name(f"{secrets.token_hex(4)}.part")
                    reason = await self._try(wanted, place, part, client, advance)
                    if reason is None:
                        part.replace(goal)
                        return
                    part.unlink(missing_ok=True)
                    reasons.append(f"{place}: {reason}")
                    if not reason.startswith("sha256"):
                        break
            raise _failed(wanted, reasons)

    async def _try(
        self,
        wanted: Wanted,
        place: str,
        part: Path,
        client: Client,
        advance: Callable[[float], None],
    ) -> str | None:
        """Fetch from one place; the reason why it did not work, or None."""
        try:
            with part.open("wb") as file:
                writer = _Writer(file.write, advance)
                await _read(place, client, writer)
        except _Unavailable as error:
            return str(error)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                return _reason(str(error))
            part.unlink(missing_ok=True)
            raise _disk_full(part.parent, error) from None
        except BaseException:  # an interrupt leaves nothing half-made
            part.unlink(missing_ok=True)
            raise
        if writer.hexdigest() != wanted.sha256:
            return f"sha256 is {writer.hexdigest()}, the lock wants {wanted.sha256}"
        return None


class _Writer:
    """Writes, hashes and counts what a download brings."""

    def __init__(self, write: Callable[[bytes], int], advance: Callable[[float], None]) -> None:
        self._write = write
        self._advance = advance
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self._write(data)
        self._advance(len(data))
        return len(data)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


class _Unavailable(Exception):
    """A place does not have the file, or does not answer."""


async def _read(place: str, client: Client, writer: _Writer) -> None:
    if "://" not in place:
        with Path(place).open("rb") as file:
            shutil.copyfileobj(file, writer, 1 << 20)
        return
    try:
        await download_to_writer(client, place, writer)
    except RuntimeError as error:  # py-rattler raises nothing more exact for HTTP and transport
        raise _Unavailable(_reason(str(error))) from None


def _nothing(_: float) -> None:
    """Progress without a known total."""


def _reason(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return " / ".join(dict.fromkeys([lines[0], lines[-1]])) if lines else "no reason given"


def _failed(wanted: Wanted, reasons: list[str]) -> IntegrityError | ChannelError:
    tried = "; ".join(dict.fromkeys(reasons))
    if any("sha256 is" in reason for reason in reasons):
        return IntegrityError(
            f"{wanted.label}: wrong bytes: {tried}",
            where=wanted.url,
            cause="the package was rebuilt under the same name, or the mirror is damaged",
            fix="check the mirror; if the change is meant, run `nox -s lock`",
        )
    return ChannelError(
        f"{wanted.label} cannot be fetched: {tried}",
        where=wanted.url,
        cause="the channel or mirror lacks it, or cannot be reached from here",
        fix="name a mirror with GEOWHEEL_MIRRORS=URL=PLACE, or run `nox -s lock` for what the "
        "channel offers now; what did arrive is kept",
    )


def _combined(faults: list[IntegrityError | ChannelError]) -> IntegrityError | ChannelError:
    every: list[Fault] = [fault for error in faults for fault in error.faults]
    kind = IntegrityError if any(isinstance(e, IntegrityError) for e in faults) else ChannelError
    return kind(every)


def _disk_full(folder: Path, error: OSError) -> MachineError:
    return MachineError(
        f"the disk is full: {error.strerror}",
        where=str(folder),
        fix="free some space, or name another folder with GEOWHEEL_CACHE; what arrived is kept",
    )

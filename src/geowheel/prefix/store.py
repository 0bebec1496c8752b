"""The store: downloaded files by their sha256, shared by all projects of a user.

Bytes enter it only after their digest was checked, with one rename. A killed download leaves a
`.part` file that nobody reads.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from geowheel.digest import sha256_file
from geowheel.errors import MachineError
from geowheel.locks.channels import Mirrors
from geowheel.machine.console import Step
from geowheel.machine.files import touch

STALL: Final = 60.0  # seconds without one byte: the server is taken for dead

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CLOSED: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EIO)


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
    stall: float = STALL

    def path(self, wanted: Wanted) -> Path:
        """Where `wanted` is, or would be."""
        return self.folder / wanted.sha256[:2] / wanted.sha256 / wanted.file_name

    def missing(self, every: Iterable[Wanted]) -> list[Wanted]:
        """Those that have to be downloaded, each once."""
        unique = {self.path(wanted): wanted for wanted in every}
        return [wanted for path, wanted in unique.items() if not path.is_file()]

    def obtain(self, every: Sequence[Wanted], step: Step) -> None:
        """See to it that all are there; without network when they are.

        Raises IntegrityError for wrong bytes, ChannelError for what no place has, MachineError
        when the disk is full. What arrived whole stays, so the next run goes on from there.
        """
        missing = self.missing(every)
        for wanted in set(every) - set(missing):
            touch(self.path(wanted))
        if not missing:
            return
        from .downloading import download  # with all that it takes

        download(self, missing, step, of=len(every))

    def verify(self, every: Sequence[Wanted]) -> list[Wanted]:
        """Hash what is stored again; remove and return what is damaged."""
        present = [wanted for wanted in every if self.path(wanted).is_file()]
        with ThreadPoolExecutor() as pool:
            actual = list(pool.map(lambda wanted: sha256_file(self.path(wanted)), present))
        damaged = [w for w, found in zip(present, actual, strict=True) if found != w.sha256]
        for wanted in damaged:
            self.path(wanted).unlink(missing_ok=True)
        return damaged

    def obtain_sound(self, every: Sequence[Wanted], step: Step) -> None:
        """As `obtain`, but what is stored already is hashed again before it is trusted."""
        for wanted in self.verify(every):
            step.console.warn(f"{wanted.label} was damaged in the store: fetching it again")
        self.obtain(every, step)


@contextmanager
def disk_faults(folder: Path) -> Iterator[None]:
    """Turns a full disk, or a folder that is closed to us, into a MachineError."""
    try:
        yield
    except OSError as error:
        fault = disk_fault(error, folder)
        if fault is None:
            raise
        raise fault from None


def disk_fault(error: OSError, folder: Path) -> MachineError | None:
    """What to say of an error of the file system; None when it is about something else."""
    where = str(error.filename or folder)
    if error.errno in _FULL:
        return MachineError(
            f"the disk is full: {error.strerror}",
            where=where,
            fix="free some space, or name another folder with GEOWHEEL_CACHE; what arrived is kept",
        )
    if error.errno in _CLOSED:
        return MachineError(
            f"cannot write: {error.strerror}",
            where=where,
            cause="the folder belongs to another user, is mounted read-only, or is none",
            fix="name another cache folder with GEOWHEEL_CACHE",
        )
    return None

"""Files that appear whole or not at all, files that several runs share, and scratch folders.

filelock is imported when a lock is taken: it brings asyncio, and a run with nothing to do has none.
"""

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar

import msgspec

from geowheel.digest import copy_hashed, open_regular
from geowheel.errors import IntegrityError, MachineError

from .bounds import TEXT

T = TypeVar("T")
SCRATCH: Final = ".geowheel-"
"""How the name of every scratch folder begins, wherever it is."""
DAY: Final = 86400.0  # seconds
_DECODING: Final = Lock()
_ADVICE: Final = (
    ((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "the disk is full", "what arrived is kept",
     "free some space there; another folder for the cache is named with GEOWHEEL_CACHE"),
    ((errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EIO), "no access",
     "it belongs to another user, is mounted read-only, or a part of its path is not a folder",
     "open it for this user; another folder for the cache is named with GEOWHEEL_CACHE"),
    ((errno.ENOLCK, errno.ENOSYS), "cannot lock", "this file system, such as NFS, has no locks",
     "keep the project, and the folder of GEOWHEEL_CACHE, on another one"),
)  # fmt: skip


@contextmanager
def scratch(place: Path) -> Iterator[Path]:
    """Make an empty folder in `place`, gone afterwards; those of killed runs there go as well."""
    if not place.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    sweep(place)
    path, lock = _made(place)
    while not path.exists():  # another run swept it before it was locked
        _remove(path, lock)
        path, lock = _made(place)
    try:
        yield path
    finally:
        _remove(path, lock)


@contextmanager
def temporary_folder() -> Iterator[None]:
    """Have all that this process and its commands write for a while lie in one scratch folder."""
    outside = tempfile.tempdir
    with scratch(temporary_root()) as folder:
        tempfile.tempdir = str(folder)
        try:
            yield
        finally:
            tempfile.tempdir = outside


def temporary_root() -> Path:
    """Return the system's temporary folder, of which `temporary_folder` makes one."""
    found = Path(tempfile.gettempdir())
    return found.parent if found.name.startswith(SCRATCH) else found


def sweep(place: Path) -> None:
    """Remove the scratch folders in `place` that nobody holds the lock of: of killed runs."""
    for path in place.glob(f"{SCRATCH}*"):
        if (lock := _locked(path)) is not None:
            _remove(path, lock)


def _made(place: Path) -> tuple[Path, int | None]:
    path = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=place))
    return path, _locked(path, wait=True)


def _locked(path: Path, *, wait: bool = False) -> int | None:
    """Lock a folder, for as long as this process lives; None where somebody else has the lock.

    Or where it is gone, a link or another user's, or where folders cannot be locked.
    """
    try:
        import fcntl  # Windows has none

        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(lock)
        return None
    return lock


def _remove(path: Path, lock: int | None) -> None:
    """Remove a scratch folder, whatever is in it, and let go of its lock."""
    for folder, _, _ in os.walk(path):
        with suppress(OSError):
            Path(folder).chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)
    if lock is not None:
        os.close(lock)


OF_THE_DISK: Final = frozenset(number for numbers, *_ in _ADVICE for number in numbers)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a path to make a file or a folder at; it is moved to `path` with one rename.

    It lies beside `path`, on the same disk, under its name in a scratch folder: whatever ends the
    work, `path` is as it was before, or whole.
    """
    with scratch(path.parent) as folder:
        part = folder / path.name
        yield part
        part.replace(path)


def link_or_copy(source: str, goal: str) -> None:
    """Give a file a second name; copy it where the file system has no links, or no more of them."""
    try:
        os.link(source, goal)
    except OSError:
        shutil.copy2(source, goal)


def write(path: Path, content: str | bytes) -> None:
    """Write a whole file with one rename; its folder is made where it is missing."""
    with whole(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def read_bounded(path: Path) -> bytes:
    """Return the bytes of a file; raises OSError for more than TEXT, or no regular file."""
    with open_regular(path) as file:
        data = file.read(TEXT + 1)
    if len(data) > TEXT:
        raise OSError(errno.E2BIG, f"more than {TEXT:,} bytes", os.fspath(path))
    return data


def copy_checked(source: Path, goal: Path, sha256: str) -> None:
    """Copy a file; raises IntegrityError unless what was copied has that sha256."""
    if (actual := copy_hashed(source, goal)) != sha256:
        raise IntegrityError(
            f"it has sha256 {actual} and not {sha256}",
            where=str(source),
            cause="it was changed meanwhile, or since it was made, or the disk is failing",
            fix="run it again; `geowheel wheel --verify` makes anew what is in the work folder",
        )


def read_json(path: Path, kind: type[T]) -> T | None:
    """Return a file of JSON as a value of a kind; None where it is missing, or none of that."""
    try:
        return from_json(read_bounded(path), kind)
    except (OSError, msgspec.DecodeError):
        return None


def from_json(data: bytes, kind: type[T], hook: Callable[[type, Any], Any] | None = None) -> T:
    """Return JSON as a value of a kind; raise msgspec.DecodeError for whatever it is not.

    msgspec has other errors for bytes that are no UTF-8 and for nesting without end.
    """
    try:
        # What msgspec 0.22 learns of a type when it first meets it, another thread may read half
        # learned: a segmentation fault. It holds the GIL while it decodes, so nobody waits longer.
        with _DECODING:
            return msgspec.json.decode(data, type=kind, dec_hook=hook)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from None


def text_of(package: str, name: str) -> str:
    """Return a text that lies in a package of geowheel: `text_of("inside", "program.sh")`."""
    return files(f"geowheel.{package}").joinpath(name).read_text(encoding="utf-8")


def table_of(package: str, name: str, kind: type[T]) -> T:
    """Return a TOML file that lies there as a value of a type, which says what is in it."""
    with _DECODING:
        return msgspec.toml.decode(text_of(package, name), type=kind)


def to_json(value: object, *, ordered: bool = False) -> bytes:
    """Return a value as JSON for people: indented, with a newline at its end."""
    data = msgspec.json.encode(value, order="sorted" if ordered else None)
    return msgspec.json.format(data, indent=1) + b"\n"


@contextmanager
def held(path: Path, waiting: Callable[[str], object]) -> Iterator[None]:
    """Hold the lock; where another run has it, say so with `waiting`, and wait for that run."""
    from filelock import FileLock

    with held_if_free(path) as free, ExitStack() as later:
        if not free:
            waiting("waiting for another run that is at it")
            later.enter_context(FileLock(path))
        yield


@contextmanager
def held_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock unless another run has it; whether it is ours."""
    from filelock import FileLock, Timeout

    guard = FileLock(path)
    with disk_faults(path), suppress(Timeout):
        guard.acquire(blocking=False)
    try:
        yield guard.is_locked
    finally:
        guard.release()


def touch(path: Path) -> None:
    """Say that an entry was used; at most once a day, and never an error."""
    with suppress(OSError):  # read-only, or somebody else's: then it is not pruned by us either
        if time.time() - path.stat().st_mtime > DAY:
            os.utime(path)


@contextmanager
def disk_faults(folder: Path) -> Iterator[None]:
    """Turn a full disk, or a folder that is closed to us, into a MachineError."""
    try:
        yield
    except OSError as error:
        if error.errno not in OF_THE_DISK:
            raise
        raise of_the_system(error, folder) from None


def of_the_system(error: OSError, folder: Path | None = None) -> MachineError:
    """Return a full disk, a closed folder or a program that went away as it is shown."""
    where, what = str(error.filename or folder or ""), innermost(error)
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):  # of a whole tree
        where, what = map(str, error.args[0][0][1:3])
    for numbers, words, cause, fix in _ADVICE:
        if error.errno in numbers or any(os.strerror(number) in what for number in numbers):
            return MachineError(f"{words}: {what}", where=where, cause=cause, fix=fix)
    return MachineError(what, where=where)


def innermost(error: BaseException) -> str:
    """Return what an error says that others are wrapped around, and not how they are nested."""
    while inner := [a for a in (error.__cause__, *error.args) if isinstance(a, BaseException)]:
        reason = getattr(inner[-1], "reason", None)  # ssl's is a word
        error = reason if isinstance(reason, BaseException) else inner[-1]
    if said := getattr(error, "verify_message", None):
        return f"its certificate is not trusted here: {said}"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

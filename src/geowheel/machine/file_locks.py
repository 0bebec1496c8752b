"""Lock files, so that no two runs make the same thing at once; the kernel lets go of a dead one's.

filelock is imported when a lock is taken: it brings asyncio, and a run with nothing to do has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def held(path: Path, waiting: Callable[[str], object]) -> Iterator[None]:
    """Hold the lock; where another run has it, say so with `waiting`, and wait for that run."""
    from filelock import FileLock, Timeout

    guard = FileLock(path)
    try:
        guard.acquire(blocking=False)
    except Timeout:
        waiting("waiting for another run that is at it")
        guard.acquire()
    try:
        yield
    finally:
        guard.release()


@contextmanager
def held_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock unless another run has it; whether it is ours."""
    from filelock import FileLock, Timeout

    try:
        guard = FileLock(path)
        guard.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        guard.release()

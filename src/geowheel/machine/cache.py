"""`cache list` and `cache prune`: the user's cache, shared by all projects.

No list of projects is kept, so what is superseded cannot be known: age decides. Last use is when
an entry was made or last asked for; whoever uses one says so by its time of modification, since
many systems do not write times of access. Everything here can be made or downloaded again.
"""

import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from .console import Console, megabytes
from .files import DAY, held_if_free

_PART_AGE: Final = DAY  # of a download that nobody goes on with


class CacheKind(NamedTuple):
    """What a folder of the cache holds."""

    title: str
    entries: str = "*"
    """A pattern of what goes or stays as a whole; with a slash at its end it is of folders."""
    newest: str = ""
    """A pattern of what in an entry says when it was used, besides the entry itself."""
    lock: str = ""
    """Held by whoever makes the entry, beside it; `{}` is its name."""


KINDS: Final = {
    "store": CacheKind("downloaded packages", "??/*/"),
    "repodata": CacheKind("indexes of channels"),
    "channels": CacheKind("channels of this distribution's packages", "*/", "*/repodata.json",
                          "{}.work/lock"),
    "interpreters": CacheKind("interpreters of other architectures"),
    "roots": CacheKind("root file systems of other distributions"),
    "pixi": CacheKind("packages that pixi unpacked", "pkgs/*/", lock="../geowheel.lock"),
    "tools": CacheKind("tool environments", "*/", "geowheel-complete.json", "{}.lock"),
    "toolchains": CacheKind("compilers of build locks", "*/"),
    "zig": CacheKind("what such a compiler keeps for itself", "*/"),
    "compiled": CacheKind("modules of GDAL's that it compiled", "*/"),
    "deflated": CacheKind("large files as wheels hold them"),
    "certifi": CacheKind("lists of trusted certificates", "*.pem"),
    "links": CacheKind("ways without white space to work folders"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CacheItem:
    """Something that goes or stays as a whole."""

    kind: str
    path: Path
    size: int
    marks: tuple[Path, ...]
    """Files and folders whose newest time of modification is the last use."""
    used: float
    """That time when it was looked at, as time.time() counts."""
    lock: Path | None = None
    """Held by whoever makes it."""
    part: bool = False
    """A download that was not finished."""

    def is_old(self, now: float, age: float) -> bool:
        return now - self.used > (min(age, _PART_AGE) if self.part else age)


def show(folder: Path, console: Console) -> dict[str, Any]:
    """Return what is kept, by kind: how many entries, their size, the oldest and the newest use."""
    now, items = time.time(), list(read_items(folder))
    rows: list[dict[str, Any]] = []
    for kind in KINDS:
        found = [item for item in items if item.kind == kind]
        used = [item.used for item in found]
        rows.append(
            {
                "kind": kind,
                "entries": len(found),
                "bytes": sum(item.size for item in found),
                "oldest_days": _days(now, min(used)) if used else None,
                "newest_days": _days(now, max(used)) if used else None,
            }
        )
    console.table(
        str(folder),
        ["what", "entries", "size", "last used"],
        [[f"{r['kind']}: {KINDS[r['kind']].title}", str(r["entries"]),
          megabytes(r["bytes"]), _between(r)] for r in rows],
    )  # fmt: skip
    total = sum(item.size for item in items)
    console.result(f"{megabytes(total)}; what was not used lately goes with `geowheel cache prune`")
    return {"folder": str(folder), "kinds": rows, "bytes": total}


def prune(folder: Path, *, older_than: float, remove: bool, console: Console) -> dict[str, Any]:
    """Remove what was not used for so many days; without `remove`, only say what would go.

    What is at work stays: it holds its lock, or it is the environment that runs this.
    """
    now, age = time.time(), older_than * DAY
    here = Path(sys.prefix).resolve()  # it runs this
    old = [i for i in read_items(folder) if i.is_old(now, age) and i.path.resolve() != here]
    old.sort(key=lambda item: (item.kind, item.used))
    console.table(
        f"not used for {older_than:g} days",
        ["what", "entry", "size", "last used"],
        [[i.kind, i.path.relative_to(folder / i.kind).as_posix(), megabytes(i.size),
          f"{_days(now, i.used)} d ago"] for i in old],
    )  # fmt: skip
    total = sum(item.size for item in old)
    console.result(f"{len(old)} entries, {megabytes(total)}")
    gone = [item for item in old if remove_item(item, now, age)] if remove else []
    if not remove and old:
        console.result("nothing was removed: add --yes to do it")
    elif remove:
        console.result(f"removed {len(gone)}, {megabytes(sum(item.size for item in gone))} freed")
    return {
        "old": [str(item.path) for item in old],
        "bytes": total,
        "removed": [str(item.path) for item in gone],
    }


def read_items(folder: Path) -> Iterator[CacheItem]:
    """Read every entry of the cache in `folder`; files of none of the kinds are left out."""
    for kind, row in KINDS.items():
        for path in sorted((folder / kind).glob(row.entries)):
            if kind == "store":
                yield from _stored(path)
                continue
            lock = path.parent / row.lock.format(path.name.removesuffix(".work"))
            marks = (path, *(path.glob(row.newest) if row.newest else ()))
            yield _item(kind, path, marks, lock if row.lock else None)


def _stored(folder: Path) -> Iterator[CacheItem]:
    lock = folder / ".lock"
    files = [path for path in folder.iterdir() if path != lock]
    parts = [path for path in files if path.suffix == ".part"]
    for path in parts:
        yield _item("store", path, (path,), lock, part=True)
    # Not the folder's own time: that of its lock file's making is in it.
    if marks := tuple(path for path in files if path not in parts):
        yield _item("store", folder, marks, lock)


def _item(
    kind: str, path: Path, marks: tuple[Path, ...], lock: Path | None, *, part: bool = False
) -> CacheItem:
    return CacheItem(
        kind=kind, path=path, size=_size(path), marks=marks, used=_newest(marks), lock=lock,
        part=part,
    )  # fmt: skip


def _newest(marks: Sequence[Path]) -> float:
    """Return the newest time of what is still there; that of the epoch where nothing is."""
    return max((p.lstat().st_mtime for p in marks if os.path.lexists(p)), default=0.0)


def _size(path: Path) -> int:
    """Return the bytes to be freed: a file of several names counts where all are here."""
    every = () if path.is_symlink() else (path, *path.rglob("*"))
    files = [p.lstat() for p in every if p.is_file() and not p.is_symlink()]
    return sum(found.st_size for found in {(f.st_dev, f.st_ino): f for f in files}.values())


def remove_item(item: CacheItem, now: float, age: float) -> bool:
    """Remove one entry, unless it is at work or was used in between."""
    if item.lock is None or not item.lock.parent.is_dir():
        _delete(item.path)
        return True
    with held_if_free(item.lock) as free:
        used = replace(item, used=_newest(item.marks))
        old = free and item.path.exists() and used.is_old(now, age)
        if old:
            _delete(item.path)
        return old


def _delete(path: Path) -> None:
    """Rename it first: a kill in between leaves nothing that could be taken for whole."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    shutil.rmtree(path.rename(path.with_name(f".{path.name}-old")))


def _days(now: float, then: float) -> int:
    return max(0, int((now - then) // DAY))


def _between(row: dict[str, Any]) -> str:
    if row["oldest_days"] is None:
        return "-"
    return f"{row['newest_days']} to {row['oldest_days']} days ago"

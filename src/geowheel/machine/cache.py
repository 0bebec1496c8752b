"""`cache list` and `cache prune`: the user's cache, shared by all projects.

No list of projects is kept, so what is superseded cannot be known: age decides. Last use is when
an entry was made or last asked for; whoever uses one says so by its time of modification, since
many systems do not write times of access. Everything here can be made or downloaded again.
"""

import enum
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from .console import Console, megabytes
from .files import DAY, held_if_free

_PART_AGE: Final = DAY  # of a download that nobody goes on with


class CacheKind(enum.StrEnum):
    """What the cache holds; also the folder that holds it."""

    STORE = "store"
    REPODATA = "repodata"
    CHANNELS = "channels"
    INTERPRETERS = "interpreters"
    ROOTS = "roots"
    PIXI = "pixi"
    TOOLS = "tools"
    LINKS = "links"


_TITLES: Final = {
    CacheKind.STORE: "downloaded packages",
    CacheKind.REPODATA: "indexes of channels",
    CacheKind.CHANNELS: "channels of this distribution's packages",
    CacheKind.INTERPRETERS: "interpreters of other architectures",
    CacheKind.ROOTS: "root file systems of other distributions",
    CacheKind.PIXI: "packages that pixi unpacked",
    CacheKind.TOOLS: "tool environments",
    CacheKind.LINKS: "ways without white space to work folders",
}


@dataclass(frozen=True, kw_only=True)
class CacheItem:
    """Something that goes or stays as a whole."""

    kind: CacheKind
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
    for kind in CacheKind:
        found = [item for item in items if item.kind is kind]
        used = [item.used for item in found]
        rows.append(
            {
                "kind": str(kind),
                "entries": len(found),
                "bytes": sum(item.size for item in found),
                "oldest_days": _days(now, min(used)) if used else None,
                "newest_days": _days(now, max(used)) if used else None,
            }
        )
    console.table(
        str(folder),
        ["what", "entries", "size", "last used"],
        [[f"{r['kind']}: {_TITLES[CacheKind(r['kind'])]}", str(r["entries"]),
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
        [[str(i.kind), i.path.relative_to(folder / i.kind).as_posix(), megabytes(i.size),
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
    yield from _store(folder / CacheKind.STORE)
    for path in _inside(folder / CacheKind.REPODATA):
        yield _item(CacheKind.REPODATA, path)
    for path in _inside(folder / CacheKind.CHANNELS):
        if path.is_dir():
            name = path.name.removesuffix(".work")
            lock = path.with_name(f"{name}.work") / "lock"  # make_distro_channel's
            index = path.glob("*/repodata.json")
            yield _item(CacheKind.CHANNELS, path, newest=index, lock=lock)
    for kind in (CacheKind.INTERPRETERS, CacheKind.ROOTS):
        for path in _inside(folder / kind):
            yield _item(kind, path)
    for path in _inside(folder / CacheKind.PIXI / "pkgs"):
        if path.is_dir():
            # One lock for all of them, as fetch takes it.
            yield _item(CacheKind.PIXI, path, lock=folder / CacheKind.PIXI / "geowheel.lock")
    for path in _inside(folder / CacheKind.TOOLS):
        if path.is_dir():
            marks = path.glob("geowheel-complete.json")
            lock = path.with_name(path.name + ".lock")  # ci/environment.py's
            yield _item(CacheKind.TOOLS, path, newest=marks, lock=lock)
    for path in _inside(folder / CacheKind.LINKS):
        # Itself and never what it leads to: whoever needs it again makes it again.
        made = path.lstat().st_mtime
        yield CacheItem(kind=CacheKind.LINKS, path=path, size=0, marks=(path,), used=made)


def _store(folder: Path) -> Iterator[CacheItem]:
    for path in sorted(folder.glob("??/*")):
        if not path.is_dir():
            continue
        lock = path / ".lock"
        files = [p for p in path.iterdir() if p != lock]
        parts = [p for p in files if p.suffix == ".part"]
        for part in parts:
            yield _item(CacheKind.STORE, part, lock=lock, part=True)
        if len(files) > len(parts):
            # Not the folder's own time: that of its lock file's making is in it.
            marks = tuple(p for p in files if p not in parts)
            yield replace(_item(CacheKind.STORE, path, lock=lock), marks=marks, used=_newest(marks))


def _item(
    kind: CacheKind,
    path: Path,
    *,
    newest: Iterable[Path] = (),
    lock: Path | None = None,
    part: bool = False,
) -> CacheItem:
    marks = (path, *newest)
    return CacheItem(
        kind=kind, path=path, size=_size(path), marks=marks, used=_newest(marks), lock=lock,
        part=part,
    )  # fmt: skip


def _newest(marks: Sequence[Path]) -> float:
    """Return the newest time of what is still there; that of the epoch where nothing is."""
    return max((p.lstat().st_mtime for p in marks if p.exists()), default=0.0)


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _size(path: Path) -> int:
    """Return the bytes to be freed: a file of several names counts where all are here."""
    files = [p.lstat() for p in (path, *path.rglob("*")) if p.is_file() and not p.is_symlink()]
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

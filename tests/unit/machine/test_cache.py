"""`cache`: what is listed, what goes by age, and what stays whatever its age."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from tests.support.hosts import make_step

from geowheel.cli import main
from geowheel.digest import sha256_bytes
from geowheel.locks.assets import Asset
from geowheel.locks.channels import Mirrors
from geowheel.machine import cache as module
from geowheel.machine.cache import KINDS, prune, read_items, show
from geowheel.machine.console import Console
from geowheel.machine.files import DAY, touch
from geowheel.prefix.store import Store


def put(path: Path, *, days: float, data: bytes = b"12345") -> Path:
    """A file of that age, in folders of that age."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    age(path, days)
    age(path.parent, days)
    return path


def age(path: Path, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(path, (then, then), follow_symlinks=False)


def link(path: Path, target: Path, *, days: float) -> None:
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(target, target_is_directory=True)
    age(path, days)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """One old and one new entry of every kind."""
    folder = tmp_path / "cache"
    for name, days in (("aa", 100), ("bb", 10)):
        put(folder / "store" / name / (name * 32) / f"{name}.conda", days=days)
        put(folder / "repodata" / f"{name}.json", days=days)
        put(folder / "channels" / name / "linux-64" / "repodata.json", days=days)
        age(folder / "channels" / name, days)
        put(folder / "interpreters" / name / "packages.json", days=days)
        put(folder / "deflated" / name, days=days)
        put(folder / "roots" / name / "etc" / "os-release", days=days)
        age(folder / "roots" / name, days)
        put(folder / "pixi" / "pkgs" / name / "index.json", days=days)
        put(folder / "tools" / name / "geowheel-complete.json", days=days)
        for kind in ("toolchains", "zig", "compiled"):
            put(folder / kind / name / "zig", days=days)
        put(folder / "certifi" / f"{name}.pem", days=days)
        link(folder / "links" / name, tmp_path / "work folder", days=days)
    return folder


def run(cache: Path, console: Console, *, days: float = 90, remove: bool = True) -> dict[str, Any]:
    return prune(cache, older_than=days, remove=remove, console=console)


def left(cache: Path) -> set[str]:
    return {f"{item.kind} {item.path.name[:2]}" for item in read_items(cache)}


def test_list_counts_by_kind(cache: Path, console: Console) -> None:
    found = show(cache, console)
    assert [row["kind"] for row in found["kinds"]] == [*KINDS]
    rows = found["kinds"]
    assert {row["entries"] for row in rows} == {2}
    assert {(row["newest_days"], row["oldest_days"]) for row in rows} == {(10, 100)}
    assert [row["bytes"] for row in rows] == [10] * (len(KINDS) - 1) + [0], "a link has no size"
    assert found["bytes"] == 10 * (len(KINDS) - 1)


def test_a_link_goes_by_age_and_never_what_it_leads_to(cache: Path, console: Console) -> None:
    work = put(cache.parent / "a b" / "prefix" / "file", days=100).parent
    for name, target in (("there", work), ("gone", cache.parent / "c d")):
        link(cache / "links" / name, target, days=100)
    assert show(cache, console)["kinds"][-1]["bytes"] == 0
    run(cache, console)
    assert [path.name for path in (cache / "links").iterdir()] == ["bb"]
    assert (work / "file").is_file()


def test_what_was_not_used_lately_goes(cache: Path, console: Console, tmp_path: Path) -> None:
    found = run(cache, console)
    assert len(found["removed"]) == len(KINDS) and found["bytes"] == 5 * (len(KINDS) - 1)
    assert left(cache) == {f"{kind} bb" for kind in KINDS}
    assert run(cache, console)["removed"] == []
    assert show(tmp_path / "none", console)["bytes"] == 0
    assert run(tmp_path / "none", console)["removed"] == []
    assert not (tmp_path / "none").exists()


def test_use_keeps_an_entry(cache: Path, console: Console) -> None:
    touch(cache / "store" / "aa" / ("aa" * 32) / "aa.conda")
    touch(cache / "tools" / "aa" / "geowheel-complete.json")
    run(cache, console)
    assert {name for name in left(cache) if name.endswith("aa")} == {"store aa", "tools aa"}


def test_use_is_written_once_a_day_and_is_no_error(tmp_path: Path) -> None:
    path = put(tmp_path / "a", days=0.5)
    before = path.stat().st_mtime
    touch(path)
    assert path.stat().st_mtime == before
    touch(tmp_path / "none")


def test_what_is_at_work_stays(cache: Path, console: Console) -> None:
    entry = cache / "store" / "aa" / ("aa" * 32)
    with FileLock(entry / ".lock"), FileLock(cache / "tools" / "aa.lock"):
        removed = run(cache, console)["removed"]
    assert "store aa" in left(cache) and "tools aa" in left(cache)
    assert len(removed) == len(KINDS) - 2
    assert len(run(cache, console)["removed"]) == 2


def test_what_runs_stays(cache: Path, console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(cache / "tools" / "aa"))
    run(cache, console)
    assert "tools aa" in left(cache)


def test_an_abandoned_download_goes_after_a_day(cache: Path, console: Console) -> None:
    entry = cache / "store" / "bb" / ("bb" * 32)
    old, new = put(entry / "1.part", days=2), put(entry / "2.part", days=0.1)
    age(entry, 10)
    run(cache, console)
    assert not old.exists() and new.exists()
    assert (entry / "bb.conda").exists()
    put(cache / "notes.txt", days=1000)
    put(cache / "pixi" / "geowheel.lock", days=1000)
    run(cache, console, days=0)
    assert (cache / "notes.txt").exists() and (cache / "pixi" / "geowheel.lock").exists()
    assert left(cache) == set()


@pytest.mark.parametrize(
    ("arguments", "remains"), [((), True), (("--dry-run",), True), (("--yes",), False)]
)
def test_the_command_removes_only_when_told_to(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...],
    remains: bool,
) -> None:  # fmt: skip
    monkeypatch.setenv("GEOWHEEL_CACHE", str(cache))
    assert main(["cache", "--root", str(tmp_path), "prune", *arguments]) == 0
    assert ("store aa" in left(cache)) is remains
    assert main(["cache", "--root", str(tmp_path), "list"]) == 0


def test_what_is_asked_for_from_the_store_counts_as_used(cache: Path, tmp_path: Path) -> None:
    data = b"12345"
    url = "https://h.invalid/a.conda"
    wanted = Asset(name="a", version="1", url=url, sha256=sha256_bytes(data))
    store = Store(folder=cache / "store", mirrors=Mirrors())
    path = put(store.path(wanted), days=100, data=data)
    store.obtain([wanted], make_step(tmp_path))
    assert time.time() - path.stat().st_mtime < DAY


def test_what_was_used_since_it_was_looked_at_stays(cache: Path) -> None:
    now = time.time()
    items = {(item.kind, item.path.name[:2]): item for item in read_items(cache)}
    item = items["store", "aa"]
    touch(item.path / "aa.conda")
    assert not module.remove_item(item, now, 90 * DAY)
    assert (item.path / "aa.conda").exists()
    assert module.remove_item(items["tools", "aa"], now, 90 * DAY)

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from geowheel.digest import sha256_bytes
from geowheel.errors import ChannelError, IntegrityError, MachineError
from geowheel.locks.assets import Asset
from geowheel.locks.channels import Mirrors
from geowheel.machine.console import Console
from geowheel.machine.files import disk_faults
from geowheel.prefix.store import Store

URL = "https://channel.invalid/"


@dataclass(kw_only=True)
class Counting:
    """What a step counts and says, in the place of a Step."""

    console: Console
    totals: list[float] = field(default_factory=list)
    count: float = 0
    said: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)

    @contextmanager
    def progress(self, _: str, total: float) -> Iterator[object]:
        self.totals.append(total)
        yield self.advance

    def advance(self, amount: float) -> None:
        self.count += amount


@pytest.fixture
def step(tmp_path: Path) -> Counting:
    return Counting(console=Console(logs=tmp_path / "logs"))


@pytest.fixture
def channel(tmp_path: Path) -> Path:
    folder = tmp_path / "channel"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_bytes(name.encode() * 3000)
    return folder


@pytest.fixture
def store(tmp_path: Path, channel: Path) -> Store:
    return Store(folder=tmp_path / "store", mirrors=Mirrors(pairs=((URL, str(channel)),)))


def wanted(name: str, *, size: int | None = 3000) -> Asset:
    digest = sha256_bytes(name.encode() * 3000)
    return Asset(name=name, version="1", url=URL + name, sha256=digest, size=size)


BOTH = [wanted("a"), wanted("b")]


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and p.name != ".lock")


def obtain(store: Store, every: list[Asset], step: Counting) -> None:
    store.obtain(every, step)  # type: ignore[arg-type]


def test_what_is_missing_comes_and_nothing_else(store: Store, step: Counting) -> None:
    obtain(store, BOTH[:1], step)
    assert store.missing(BOTH) == BOTH[1:]
    obtain(store, BOTH, step)
    assert store.missing(BOTH) == []
    assert [store.path(w).read_bytes() for w in BOTH] == [b"a" * 3000, b"b" * 3000]
    assert step.said[1] == "downloading 1 of 2 files, 0.0 MB"
    said = len(step.said)
    obtain(store, BOTH, step)
    assert len(step.said) == said


def test_one_file_may_have_two_names(store: Store, channel: Path, step: Counting) -> None:
    (channel / "c").write_bytes(b"a" * 3000)
    twins = [wanted("a"), replace(wanted("a"), url=URL + "c")]
    obtain(store, twins, step)
    assert store.missing(twins) == []


@pytest.mark.parametrize(("size", "total"), [(3000, 6000), (None, 2)])
def test_progress_counts_bytes_or_files_to_the_end(
    store: Store, step: Counting, size: int | None, total: int
) -> None:
    obtain(store, [wanted("a", size=size), wanted("b", size=size)], step)
    assert (step.totals, step.count) == ([total], total)


def test_progress_takes_back_what_was_wrong(
    store: Store, channel: Path, tmp_path: Path, step: Counting,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "a").write_bytes(b"x" * 3000)
    both = replace(store, mirrors=Mirrors(pairs=((URL, str(bad)), (URL, str(channel)))))
    obtain(both, BOTH, step)
    assert step.count == 6000
    assert f"{bad}/a gave wrong bytes for a 1: another place had it" in capsys.readouterr().err


def test_wrong_bytes_never_enter(store: Store, channel: Path, step: Counting) -> None:
    other = (channel / "a").read_bytes()[:-1]
    for data in (other, other + b"?"):
        (channel / "a").write_bytes(data)
        with pytest.raises(IntegrityError) as caught:
            obtain(store, BOTH, step)
        words = [sha256_bytes(data), BOTH[0].sha256] if data != other else ["not as many as it has"]
        for text in ("a 1: wrong bytes", *words, BOTH[0].url):
            assert text in str(caught.value)
    assert files(store.folder) == ["b"]


def test_what_no_place_has_is_named(store: Store, channel: Path, step: Counting) -> None:
    (channel / "a").unlink()
    nowhere = channel.parent / "nowhere"
    both = replace(store, mirrors=Mirrors(pairs=((URL, str(nowhere)), (URL, str(channel)))))
    with pytest.raises(ChannelError) as caught:
        obtain(both, BOTH, step)
    assert f"a 1 cannot be fetched: {nowhere}: No such file or directory; {channel}: " in str(
        caught.value
    )
    assert files(store.folder) == ["b"]


def test_files_that_fail_alike_are_one_fault(store: Store, step: Counting) -> None:
    every = [wanted(f"p{number}") for number in range(8)]
    with pytest.raises(ChannelError) as caught:
        obtain(store, every, step)
    (fault,) = caught.value.faults
    assert fault.what.startswith("p0 1, p1 1, p2 1, p3 1, p4 1 and 3 more cannot be fetched")


def test_damage_is_found_removed_and_fetched_again(
    store: Store, step: Counting, capsys: pytest.CaptureFixture[str]
) -> None:
    obtain(store, BOTH, step)
    store.path(BOTH[0]).write_bytes(b"a" * 2999 + b"b")
    obtain(store, BOTH, step)
    assert store.path(BOTH[0]).read_bytes() == b"a" * 3000
    assert "a 1 was damaged in the store: fetching it again" in capsys.readouterr().err


def test_parts_of_a_killed_run_go_away(store: Store, step: Counting) -> None:
    place = store.path(BOTH[0]).parent
    place.mkdir(parents=True)
    (place / "dead.part").write_bytes(b"a")
    obtain(store, BOTH, step)
    assert files(store.folder) == ["a", "b"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="NOT RUN: no /dev/full here")
def test_a_full_disk_is_told_apart(tmp_path: Path) -> None:
    with (
        pytest.raises(MachineError, match="the disk is full: No space left on device"),
        disk_faults(tmp_path),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x")


def test_a_closed_folder_is_named(tmp_path: Path) -> None:
    said = "(?s)/srv/cache: no access: Permission denied.*GEOWHEEL_CACHE"
    with pytest.raises(MachineError, match=said), disk_faults(tmp_path):
        raise PermissionError(13, os.strerror(13), "/srv/cache")
    with pytest.raises(FileNotFoundError), disk_faults(tmp_path):
        (tmp_path / "none").read_bytes()


def test_a_store_that_is_a_file_is_no_traceback(store: Store, step: Counting) -> None:
    store.folder.parent.mkdir(exist_ok=True)
    store.folder.write_text(json.dumps("in the way"))
    with pytest.raises(MachineError, match="no access: Not a directory"):
        obtain(store, BOTH, step)

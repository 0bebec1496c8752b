"""The shared ledger, in a folder: what is taken from it, what is not, and what that costs."""

import re
import tarfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from tests.support.hosts import make_console

from geowheel.errors import ConfigError
from geowheel.machine.console import Console
from geowheel.records.facts import BuildFacts
from geowheel.records.ledger import Entry, Ledger, Record
from geowheel.records.shared import NONE, VARIABLE, SharedLedger, open_shared
from geowheel.records.stage import Outcome

NAME = "lib.so"


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return make_console(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def open_store(store: Path, *, read_only: bool = False, token: str = "none") -> SharedLedger:
    environ = {"API_TOKEN": token}
    return SharedLedger(str(store), "the store", environ, read_only=read_only)


def entry_of(folder: Path, key: str = "1") -> Entry:
    return Entry(
        ledger=Ledger(folder=folder, host="host"), stage="build", subject="cp312-linux-64",
        components={"a": key},
    )  # fmt: skip


def make(entry: Entry) -> Record[BuildFacts]:
    entry.folder.parent.mkdir(parents=True)
    with entry.scratch() as folder:
        (folder / NAME).write_bytes(b"made1made2" * 2000)
        (folder / NAME).chmod(0o755)
        (folder / "link.so").symlink_to(NAME)
        return entry.commit(folder, Outcome(facts=BuildFacts(version="1")), time.monotonic())


def take(shared: SharedLedger, entry: Entry, console: Console) -> Record[BuildFacts] | None:
    entry.folder.parent.mkdir(parents=True, exist_ok=True)
    found = shared.find(entry, console)
    return shared.take(entry, found, console) if found else None


def test_another_machine_takes_what_was_made(tmp_path: Path, store: Path, console: Console) -> None:
    made = make(entry_of(tmp_path / "first"))
    open_store(store).give(entry_of(tmp_path / "first"), made, console)
    there = replace(entry_of(tmp_path / "second"), subject="cp313-linux-64")
    taken = take(open_store(store, read_only=True), there, console)
    assert taken == there.record and there.stale(verify=True) is None
    assert taken is not None
    assert (taken.outputs, taken.content, taken.shared, taken.subject) == (
        made.outputs, made.content, "the store", "cp313-linux-64",
    )  # fmt: skip
    assert (there.folder / "link.so").readlink() == Path(NAME)
    assert take(open_store(store), entry_of(tmp_path / "second", "2"), console) is None


@pytest.mark.parametrize(("read_only", "token"), [(True, "none"), (False, "made1made2")])
def test_a_store_that_is_only_read_gets_nothing_and_none_gets_a_secret(
    read_only: bool, token: str, tmp_path: Path, store: Path, console: Console
) -> None:
    entry = entry_of(tmp_path / "first")
    open_store(store, read_only=read_only, token=token).give(entry, make(entry), console)
    assert not [path for path in store.rglob("*") if path.is_file()]


def packed(path: Path, member: tarfile.TarInfo | None, content: bytes) -> None:
    """Replace an archive of the store by one with this member."""
    source = path.with_name("made")
    source.write_bytes(content)
    with (
        zstandard.open(path, "wb") as stream,
        tarfile.open(fileobj=stream, mode="w|") as archive,
        source.open("rb") as file,
    ):
        if member is not None:
            member.size = 0 if member.linkname else len(content)
            archive.addfile(member, file)
    source.unlink()


def link_to(name: str, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


def archive_of(store: Path) -> Path:
    return next(store.rglob("*.tar.zst"))


def changed(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


POISONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (
        lambda store: changed(archive_of(store), lambda data: data[:-9]), "archive is damaged",
    ),
    "no archive": (lambda store: changed(archive_of(store), lambda _: b"x" * 99), "unpacked"),
    "other bytes": (
        lambda store: packed(archive_of(store), tarfile.TarInfo(NAME), b"evil1evil2" * 2000),
        f"{NAME} is not the file",
    ),
    "a file more": (
        lambda store: packed(archive_of(store), tarfile.TarInfo("more"), b""), "more is not in",
    ),
    "a file less": (lambda store: packed(archive_of(store), None, b""), f"{NAME} is not the file"),
    "a way out": (
        lambda store: packed(archive_of(store), link_to("../out", "/etc"), b""), "leads out",
    ),
    "without end": (
        lambda store: packed(archive_of(store), tarfile.TarInfo(NAME), b"0" * (1 << 20)),
        f"{NAME} is not in its record",
    ),
    "another key": (
        lambda store: changed(
            next(store.rglob("record.json")), lambda data: data.replace(b'"a": "1"', b'"a": "2"')
        ),
        "something else",
    ),
    "no record": (
        lambda store: changed(next(store.rglob("record.json")), lambda _: b"[" * 9999), "cannot be",
    ),
}  # fmt: skip


@pytest.mark.parametrize("poison", POISONS)
def test_what_was_changed_in_the_store_is_named_and_not_taken(
    poison: str, tmp_path: Path, store: Path, console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = entry_of(tmp_path / "first")
    open_store(store).give(entry, make(entry), console)
    change, words = POISONS[poison]
    change(store)
    other = entry_of(tmp_path / "second")
    assert take(open_store(store), other, console) is None
    said = capsys.readouterr().err
    assert f"host/build/{entry.key} in the shared ledger at the store is not taken" in said
    assert re.search(words, said), said
    assert not other.folder.exists() and not list(tmp_path.rglob("out"))
    assert other.folder.parent.is_dir() and not list(other.folder.parent.glob(".*"))


def test_a_store_that_fails_is_asked_once(
    tmp_path: Path, store: Path, console: Console, capsys: pytest.CaptureFixture[str]
) -> None:
    store.write_text("no folder")
    shared, entry = open_store(store), entry_of(tmp_path / "first")
    assert take(shared, entry, console) is None and take(shared, entry, console) is None
    made = make(entry_of(tmp_path / "second"))
    shared.give(entry, made, console)
    said = capsys.readouterr().err
    assert said.count("warning") == 1 and "everything is made here" in said


@pytest.mark.parametrize(
    ("configured", "variable", "place"),
    [
        (None, "", None),
        ("s3://bucket/x", NONE, None),
        ("shared", "", "shared"),
        ("s3://bucket/x", "", "s3://bucket/x"),
        (None, "https://me:secret@host/x", "https://host/x"),
    ],
)
def test_where_the_store_is(
    configured: str | None, variable: str, place: str | None, tmp_path: Path
) -> None:
    found = open_shared(configured, {VARIABLE: variable}, tmp_path, read_only=False)
    assert (found and found.place) == place


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://host/x", "no shared ledger can be at ftp://host/x"),
        ("https://me:secret@host/x", "has a login, and is committed"),
        ("https://host:x/", "not the URL"),
    ],
)
def test_another_place_is_refused(url: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        open_shared(url, {}, tmp_path, read_only=False)
    assert "secret" not in str(refused.value)

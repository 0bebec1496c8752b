"""The ledger, on real files: what is reused, what is not, and what a killed run leaves."""

import datetime
import itertools
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock
from tests.support.hosts import make_console, rewrite

from geowheel.digest import Tree, digest, read_tree, sha256_bytes
from geowheel.machine.console import Console
from geowheel.records.facts import BuildFacts, FetchFacts, RepairFacts
from geowheel.records.ledger import RECORD, Entry, Ledger, Record, read_record
from geowheel.records.stage import Outcome

FACTS = BuildFacts(version="1.0")
SUBJECT = "cp312-linux-64"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(folder=tmp_path / "work", host="host")


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return make_console(tmp_path)


def entry_of(
    ledger: Ledger, trees: Mapping[str, Mapping[str, str]] | None = None, **components: str
) -> Entry:
    named = {name.replace("_", " "): value for name, value in components.items()}
    return Entry(
        ledger=ledger, stage="build", subject=SUBJECT, components=named, trees=trees or {},
        upstream={"fetch": "f1"},
    )  # fmt: skip


def make(
    entry: Entry, console: Console, *, text: str = "made", outcome: Outcome[Any] | None = None
) -> Record[Any]:
    with entry.lock(console), entry.scratch() as folder:
        (folder / "out.txt").write_text(text)
        return entry.commit(folder, outcome or Outcome(facts=FACTS), time.monotonic())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_what_another_subject_was_made_from_is_taken_over(ledger: Ledger, console: Console) -> None:
    record = make(entry_of(ledger, a="1"), console)
    other = replace(entry_of(ledger, a="1"), subject="cp313-linux-64")
    assert other.twin() == record
    with other.lock(console):
        shared = other.share(record)
    assert (shared.subject, shared.outputs) == (
        "cp313-linux-64", record.outputs,
    )  # fmt: skip
    assert other.stale() is None and other.record == shared
    assert (other.folder / "out.txt").samefile(record.folder / "out.txt")
    assert read_record(record.folder, BuildFacts) == record
    assert replace(entry_of(ledger, a="2"), subject="cp314-linux-64").twin() is None
    (record.folder / "out.txt").write_text("longer than before")
    (other.folder / RECORD).unlink()
    assert other.twin() is None, "it was changed"


def test_what_was_made_is_reused(ledger: Ledger, console: Console) -> None:
    record = make(entry_of(ledger, a="1"), console)
    again = entry_of(ledger, a="1")
    assert again.stale() is None
    assert again.record == record
    entry = entry_of(ledger, a="1")
    record = make(entry, console, outcome=Outcome(facts=BuildFacts(version="2.0")))
    assert (record.stage, record.subject, record.host) == ("build", SUBJECT, "host")
    assert record.components == {"a": "1"}
    assert record.key == entry.key == digest({"a": "1"})
    assert record.facts == BuildFacts(version="2.0")
    assert record.upstream == {"fetch": "f1"}
    (output,) = record.outputs
    assert (output.path, output.size) == ("out.txt", 4)
    assert output.sha256 == sha256_bytes(b"made")
    record = make(entry_of(ledger, a="1"), console)
    assert record.folder.parent == ledger.folder / SUBJECT / "build"
    assert record.key.startswith(record.folder.name)
    first, second = entry_of(ledger, a="1"), entry_of(ledger, a="2")
    make(first, console, text="one")
    make(second, console, text="two")
    assert first.stale() is None
    assert second.stale() is None
    assert (first.folder / "out.txt").read_text() == "one"


def test_a_miss_names_the_components_that_changed(ledger: Ledger, console: Console) -> None:
    make(entry_of(ledger, config="1", tools="1"), console)
    assert str(entry_of(ledger, config="2", tools="1").stale()) == "changed: config"
    make(entry_of(ledger, config="1", old="1"), console)
    assert str(entry_of(ledger, config="1", new="1").stale()) == "changed: new, old"


def test_a_miss_names_the_files_of_a_tree(ledger: Ledger, console: Console, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in "abcdef":
        (source / f"{name}.py").write_text(name)

    def current() -> Entry:
        tree: Tree = read_tree(source)
        return entry_of(ledger, {"host files": tree.paths()}, host_files=digest(tree), config="1")

    make(current(), console)
    (source / "b.py").write_text("B")
    assert str(current().stale()) == "changed: host files (b.py)"
    (source / "a.py").unlink()
    (source / "g.py").touch()
    assert str(current().stale()) == "changed: host files (a.py, b.py, g.py)"
    (source / "f.py").write_text("F")
    assert str(current().stale()) == "changed: host files (a.py, b.py, f.py, ...)"


def test_what_failed_or_changed_is_stale(ledger: Ledger, console: Console) -> None:
    entry = entry_of(ledger, a="1")
    make(entry, console, outcome=Outcome(facts=FACTS, passed=False))
    assert entry.record is not None
    assert not entry.record.passed
    assert str(entry.stale()) == "failed the last time"
    make(entry, console)
    (entry.folder / "out.txt").write_text("longer than before")
    assert str(entry.stale()) == "out.txt was changed"
    make(entry, console)
    (entry.folder / "out.txt").unlink()
    assert str(entry.stale()) == "out.txt is gone"
    make(entry, console, text="made")
    (entry.folder / "out.txt").write_text("MADE")
    assert str(entry.stale()) == "out.txt was changed"
    os.utime(entry.folder / "out.txt", (1, 1))  # then it is seen where it is used
    assert entry.stale() is None
    verifying = Ledger(folder=ledger.folder, host="host", verify=True)
    assert str(entry_of(verifying, a="1").stale()) == "out.txt was changed"


def test_a_link_that_was_made_is_an_output(ledger: Ledger, console: Console) -> None:
    entry = entry_of(ledger, a="1")
    with entry.lock(console), entry.scratch() as folder:
        (folder / "out.txt").write_text("made")
        (folder / "link").symlink_to("out.txt")
        entry.commit(folder, Outcome(facts=FACTS), time.monotonic())
    verifying = Ledger(folder=ledger.folder, host="host", verify=True)
    assert entry_of(verifying, a="1").stale() is None
    (entry.folder / "link").unlink()
    assert str(entry.stale()) == "link is gone"


def test_output_and_record_appear_together_or_not_at_all(ledger: Ledger, console: Console) -> None:
    entry = entry_of(ledger, a="1")
    with pytest.raises(KeyboardInterrupt), entry.lock(console), entry.scratch() as folder:
        (folder / "half").write_text("half")
        raise KeyboardInterrupt
    assert names(entry.folder.parent) == []
    assert str(entry.stale()) == "first run"
    entry = entry_of(ledger, a="1")
    with entry.lock(console), entry.scratch() as folder:
        assert list(folder.iterdir()) == []
        assert folder.stat().st_mode & 0o777 == 0o755
    entry = entry_of(ledger, a="1")
    with entry.lock(console), entry.scratch() as folder:
        (folder / "out.txt").write_text("made")
        assert not entry.folder.exists()
        assert str(entry.stale()) == "first run"
        entry.commit(folder, Outcome(facts=FACTS), time.monotonic())
        assert names(entry.folder) == ["out.txt", RECORD]
        assert not folder.exists()


def test_a_killed_runs_scratch_is_cleaned(ledger: Ledger, console: Console) -> None:
    entry = entry_of(ledger, a="1")
    left = entry.folder.with_name(f".{entry.folder.name}-killed")
    left.mkdir(parents=True)
    (left / "half").write_text("half")
    make(entry, console)
    assert names(entry.folder.parent) == [entry.folder.name]


def test_another_keys_scratch_goes_unless_it_is_at_work(ledger: Ledger, console: Console) -> None:
    entry, other = entry_of(ledger, a="1"), entry_of(ledger, a="2")
    busy = other.folder.with_name(f".{other.folder.name}-busy")
    busy.mkdir(parents=True)
    with other.lock(console):
        make(entry, console)
        assert busy.is_dir()
    make(entry_of(ledger, a="3"), console)
    assert not busy.exists()


def test_half_a_record_is_none(ledger: Ledger, console: Console) -> None:
    entry = entry_of(ledger, a="1")
    make(entry, console)
    text = (entry.folder / RECORD).read_text()
    (entry.folder / RECORD).write_text(text[: len(text) // 2])
    assert entry.record is None
    assert str(entry.stale()) == "first run"
    make(entry, console)
    assert entry.stale() is None
    entry = entry_of(ledger, a="1")
    make(entry, console)
    entry.folder.rename(entry.folder.with_name(f".{entry.folder.name}-killed"))
    assert ledger.latest(BuildFacts, SUBJECT) is None


@pytest.mark.parametrize("text", ["", "null", "[]", "3", '"text"', "{}", '{"outputs": [3]}'])
def test_a_damaged_record_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD).write_text(text)
    assert read_record(tmp_path, BuildFacts) is None


def test_a_record_with_wrong_or_missing_values_is_none(ledger: Ledger, console: Console) -> None:
    folder = make(entry_of(ledger, a="1"), console).folder
    whole = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps(whole | {"facts": {"version": 1}}))
    assert read_record(folder, BuildFacts) is None
    del whole["passed"]
    (folder / RECORD).write_text(json.dumps(whole))
    assert read_record(folder, BuildFacts) is None


OLDER = """\
{"components": {"a": "1"}, "content": "c", "created": "2026-01-01T00:00:00+00:00",
 "facts": {"sha256": "ab", "version": "1.0", "wheel": "a.whl"}, "home": ".", "host": "host",
 "key": "k", "outputs": [], "passed": true, "seconds": 1.0, "stage": "build",
 "subject": "cp312-linux-64", "trees": {}}
"""


def test_a_record_of_an_older_geowheel_is_told(ledger: Ledger, console: Console) -> None:
    entry = entry_of(ledger, a="1")
    old = entry.folder.with_name("0" * 16)
    old.mkdir(parents=True)
    (old / RECORD).write_text(OLDER)
    assert ledger.records(BuildFacts) == []
    assert str(entry.stale()) == "its record is of an older geowheel"
    make(entry, console)
    assert entry.stale() is None


def test_upstream_is_found_by_key_then_content(ledger: Ledger, console: Console) -> None:
    built = [make(entry_of(ledger, a=a), console, text=text) for a, text in ("1x", "2x", "3y")]
    source = {"build": built[0].key}
    repaired = Entry(ledger=ledger, stage="repair", subject=SUBJECT, components={}, upstream=source)
    record = make(repaired, console, outcome=Outcome(facts=RepairFacts()))
    assert ledger.made_from(record, BuildFacts) == built[:2]
    assert ledger.made_from(record, FetchFacts) == []


def test_a_record_of_something_else_is_not_reused(ledger: Ledger, console: Console) -> None:
    entry, other = entry_of(ledger, a="1"), entry_of(ledger, a="2")
    make(other, console)
    shutil.copytree(other.folder, entry.folder)
    assert str(entry.stale()) == "its record is of something else"
    first = make(entry_of(ledger, a="1"), console, text="same")
    second = make(entry_of(ledger, a="2"), console, text="same")
    third = make(entry_of(ledger, a="3"), console, text="other")
    assert first.content == second.content
    assert first.content != third.content


def test_a_kill_while_an_entry_is_replaced_leaves_no_half_of_it(
    ledger: Ledger, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> None:
        with entry.lock(console), entry.scratch() as folder:
            (folder / "library.so").write_text("one of thousands")
            (folder / "native.json").write_text("{}")
            entry.commit(folder, Outcome(facts=FACTS), time.monotonic())

    def kill(path: Path, **_: object) -> None:
        monkeypatch.undo()
        (Path(path) / "library.so").unlink()
        raise KeyboardInterrupt

    entry = entry_of(ledger, a="1")
    run()
    monkeypatch.setattr("geowheel.records.ledger.shutil.rmtree", kill)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert entry.stale() is not None or (entry.folder / "library.so").is_file()


def test_the_newest_record_comes_first(ledger: Ledger, console: Console) -> None:
    make(entry_of(ledger, a="1"), console)
    other = Ledger(folder=ledger.folder, host="other")
    assert other.latest(BuildFacts, SUBJECT) is None
    assert len(ledger.records(BuildFacts)) == 1
    make(entry_of(ledger, a="1"), console)
    assert entry_of(Ledger(folder=ledger.folder, host="other"), a="1").stale() is None
    for day in (2, 3, 1):  # a clock that was set back
        record = make(entry_of(ledger, a=str(day)), console)
        rewrite(record.folder, created=f"2026-01-0{day}T00:00:00+00:00")
    found = ledger.records(BuildFacts, SUBJECT)
    assert [record.components["a"] for record in found] == ["1", "3", "2"]
    assert ledger.latest(BuildFacts, SUBJECT) == found[0]


def test_a_miss_is_explained_by_the_newest_record(ledger: Ledger, console: Console) -> None:
    for day, a, b in ((1, "1", "1"), (2, "2", "2")):
        record = make(entry_of(ledger, a=a, b=b), console)
        rewrite(record.folder, created=f"2026-01-0{day}T00:00:00+00:00")
    assert str(entry_of(ledger, a="2", b="3").stale()) == "changed: b"


def test_two_records_of_one_second_have_an_order(
    ledger: Ledger, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count()

    def now(zone: datetime.tzinfo) -> datetime.datetime:
        return datetime.datetime(2026, 1, 1, 0, 0, 0, next(ticks), zone)

    clock = SimpleNamespace(datetime=SimpleNamespace(now=now), UTC=datetime.UTC)
    monkeypatch.setattr("geowheel.records.ledger.datetime", clock)
    first, second = (make(entry_of(ledger, a=a), console) for a in "12")
    assert first.created < second.created


def test_a_second_run_waits_and_says_so(
    ledger: Ledger, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = entry_of(ledger, a="1")
    entry.folder.parent.mkdir(parents=True)
    other = FileLock(entry.folder.with_name(f"{entry.folder.name}.lock"))
    said: list[str] = []

    def line(text: str = "", **_: object) -> None:
        said.append(text)
        other.release()  # the first run ends while the second one waits

    monkeypatch.setattr(console, "line", line)
    other.acquire()
    with entry.lock(console):
        assert [text.split() for text in said] == [
            ["build", *["waiting", "for", "another", "run", "that", "is", "at", "it"]]
        ]


def test_the_ledger_may_be_read_where_there_is_none(ledger: Ledger) -> None:
    assert ledger.records(BuildFacts) == []
    assert ledger.latest(BuildFacts, SUBJECT) is None
    assert not os.path.lexists(ledger.folder)

"""`geowheel export` and `collect`: what is taken over whole, and every reason to take nothing."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import pytest
from tests.support.hosts import (
    NO_TOOLS,
    RUNNING,
    make_console,
    make_locks,
    make_project,
    rewrite,
    wheel_bytes,
)

from geowheel.cli import main
from geowheel.cli.housekeeping import clean, status
from geowheel.digest import digest, sha256_bytes, toolkit_digest
from geowheel.errors import BuildError, GeowheelError, IntegrityError, LockError, UsageError
from geowheel.locks.in_use import Locks
from geowheel.pipeline.loop import Planned
from geowheel.pipeline.runs import Request
from geowheel.project.project import Project
from geowheel.records.facts import (
    FACTS,
    LabFacts,
    RepairFacts,
    SizeFacts,
    StageFacts,
    TestFacts,
    VerdictFacts,
)
from geowheel.records.ledger import (
    RECORD,
    SOURCES,
    Entry,
    Ledger,
    Record,
    Stale,
    StaleReason,
    read_record,
)
from geowheel.records.stage import Outcome
from geowheel.release.handover import collect as collecting
from geowheel.release.handover import exports
from geowheel.release.handover.collect import collect
from geowheel.release.handover.exports import export
from geowheel.stages import find
from geowheel.stages.context import Tools
from geowheel.targets import Platform, Target

TAG = "cp" + RUNNING.replace(".", "")
SUBJECT = f"{TAG}-linux-64"
NAME = f"host-1.0-{TAG}-{TAG}-manylinux_2_35_x86_64.whl"
WHEEL, OTHER = (wheel_bytes(NAME, {"host/__init__.py": text}) for text in ("one", "other"))


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A checkout of one host, and what was done there."""

    project: Project

    @property
    def root(self) -> Path:
        return self.project.root

    @property
    def ledger(self) -> Ledger:
        return Ledger(folder=self.project.work, host="host", home=self.project.home)

    def record(
        self, facts: StageFacts, *, passed: bool = True, files: Mapping[str, bytes], text: str
    ) -> Record[Any]:
        components = {"text": text, SOURCES: toolkit_digest()}
        entry = Entry(ledger=self.ledger, stage=facts.stage, subject=SUBJECT, components=components)
        with entry.lock(make_console(self.root)), entry.scratch() as folder:
            for path, data in files.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(data)
            outcome = Outcome(facts=facts, passed=passed)
            return entry.commit(folder, outcome, time.monotonic())

    def wheel(self, data: bytes = WHEEL, *, text: str = "a", name: str = NAME) -> Record[Any]:
        self.project.dist.mkdir(exist_ok=True)
        (self.project.dist / name).write_bytes(data)
        return self.record(RepairFacts(tag="manylinux"), files={name: data}, text=text)

    def verdict(
        self, kind: type[VerdictFacts], data: bytes = WHEEL, *, passed: bool = True, text: str = "a"
    ) -> Record[Any]:
        files = {f"{kind.stage}.json": b"{}"} | ({"crashes/a": b"x"} if kind is LabFacts else {})
        facts = kind(sha256=sha256_bytes(data))
        return self.record(facts, files=files, passed=passed, text=text)

    def built(self, data: bytes = WHEEL) -> Self:
        self.wheel(data)
        self.verdict(SizeFacts, data)
        self.verdict(TestFacts, data)
        return self

    def export(self, name: str = "export") -> Path:
        folder = self.root / "dist" / name
        export(self.request, folder, make_console(self.root))
        return folder

    @property
    def request(self) -> Request:
        targets = (self.project.target(RUNNING),)
        return Request(project=self.project, goals=("repair",), targets=targets, interpreter=None)

    def collect(self, *folders: Path) -> dict[str, Any]:
        return collect(self.project, folders, make_console(self.root))

    def refuses(self, *folders: Path, kind: type[GeowheelError] = IntegrityError) -> str:
        before = tree(self.root)
        with pytest.raises(kind) as caught:
            self.collect(*folders)
        assert tree(self.root) == before, "all or nothing"
        return " ".join(str(caught.value).split())


def tree(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.suffix != ".lock" and "logs" not in path.parts
    }


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Machine]:
    """Makes checkouts, whose locks are the same unless `lock` says otherwise."""
    locks: dict[Path, Locks] = {}

    def planned(goals: Sequence[str], context: Any, ledger: Ledger) -> list[Planned]:
        rows = []
        for name in goals:
            record = ledger.latest(FACTS[name], str(context.target))
            good = record is not None and record.passed
            stale = Stale(reason=StaleReason.FIRST if record is None else StaleReason.FAILED)
            rows.append(
                Planned(stage=find(name), subject=SUBJECT, action="cached" if good else "run",
                        why=str(stale), stale=None if good else stale,
                        record=record if good else None)
            )  # fmt: skip
        return rows

    def make(name: str, *, lock: str | None = "3.10.2", more: str = "", **extra: str) -> Machine:
        project = make_project(tmp_path / name, more=more, environ={**NO_TOOLS, **extra})
        if lock is not None:
            stack = make_locks().stack
            gdal = replace(stack.packages[0], version=lock)
            locks[project.root] = replace(make_locks(), stack=replace(stack, packages=(gdal,)))
        return Machine(project=project)

    for user in (exports, collecting):
        monkeypatch.setattr(user, "locks_at_hand", lambda project, _: locks.get(project.root))
    monkeypatch.setattr(exports, "plan", planned)
    none = Tools(interpreter=None, toolchain=None)
    monkeypatch.setattr(
        exports, "find_tools", lambda _, all_, *__, **___: dict.fromkeys(all_, none)
    )
    monkeypatch.setattr(exports, "lock_digest", lambda _, found: digest(found.stack))
    return make


Make = Callable[..., Machine]


def test_an_export_has_the_wheel_its_records_and_what_it_was_made_from(machine: Make) -> None:
    here = machine("a", GITHUB_RUN_ID="17", SECRET="x").built()
    folder = here.export()
    assert set(tree(folder)) == {
        "export.json", f"dist/{NAME}",
        *(f"ledger/{SUBJECT}/{stage}/{digest(record.components)[:16]}/{name}"
          for stage, names in (("repair", [RECORD]), ("size", [RECORD, "size.json"]),
                               ("test", [RECORD, "test.json"]))
          for name in names if (record := here.ledger.latest(FACTS[stage], SUBJECT))),
    }  # fmt: skip
    text = (folder / "export.json").read_text()
    data = json.loads(text)
    assert data["origin"]["ci"] == {"GITHUB_RUN_ID": "17"}
    assert set(data["stages"][SUBJECT]) == {"repair", "size", "test"}
    assert str(here.root) not in text, "no path leaves the machine"
    assert not any(part.startswith(".") for path in tree(folder) for part in path.split("/"))


def test_targets_of_one_stable_abi_have_their_wheel_in_common(machine: Make) -> None:
    here, other = machine("a").built(), Target(python="3.99", platform=Platform.LINUX_64)
    for record in [r for kind in FACTS.values() for r in here.ledger.records(kind)]:
        entry = Entry(ledger=here.ledger, stage=record.stage, subject=str(other),
                      components=record.components)  # fmt: skip
        with entry.lock(make_console(here.root)):
            entry.share(record)
    targets, folder = (*here.request.targets, other), here.root / "export"
    export(replace(here.request, targets=targets), folder, make_console(here.root))
    assert [path.name for path in (folder / "dist").iterdir()] == [NAME]
    assert {path.name for path in (folder / "ledger").iterdir()} == {SUBJECT, str(other)}


def test_an_export_replaces_an_older_one_and_nothing_else(machine: Make) -> None:
    here = machine("a").built()
    first = tree(here.export())
    assert tree(here.export()) == first
    (here.root / "mine").mkdir()
    (here.root / "mine" / "a.txt").write_text("a")
    with pytest.raises(UsageError, match="something else lies there"):
        export(here.request, here.root / "mine", make_console(here.root))
    assert list((here.root / "dist").glob(".geowheel-export-*")) == []


def test_what_is_stale_or_failed_stays(machine: Make) -> None:
    here = machine("a")
    with pytest.raises(BuildError, match="repair would run again: first run"):
        here.export()
    here.wheel()
    here.verdict(SizeFacts)
    here.verdict(TestFacts, passed=False)
    with pytest.raises(BuildError, match="test would run again: failed the last time"):
        here.export()
    with pytest.raises(LockError, match="nothing was made here"):
        machine("b", lock=None).export()


def test_a_wheel_that_was_changed_is_not_handed_over(machine: Make) -> None:
    here = machine("a").built()
    (here.ledger.records(RepairFacts)[0].folder / NAME).write_bytes(b"whee1")
    with pytest.raises(IntegrityError, match=r"it has sha256 .* and not"):
        here.export()
    assert not (here.root / "dist" / "export").exists()


def test_what_was_made_elsewhere_lies_here_as_if_made_here(machine: Make) -> None:
    there, here = machine("a", GITHUB_JOB="linux").built(), machine("c")
    there.verdict(LabFacts)
    folder = there.export()
    summary = here.collect(folder)
    (target,) = summary["targets"]
    assert summary["changed"] and target["target"] == SUBJECT
    assert target["verdicts"] == {"size": True, "test": True, "lab": True}
    assert (here.root / "dist" / NAME).read_bytes() == WHEEL
    for stage in ("repair", "size", "test", "lab"):
        record = here.ledger.latest(FACTS[stage], SUBJECT)
        original = there.ledger.latest(FACTS[stage], SUBJECT)
        assert record is not None and original is not None
        assert record.collected is not None
        assert record.collected.created == original.created
        assert record.collected.origin.ci == {"GITHUB_JOB": "linux"}
        assert record.collected.stages["repair"].seconds >= 0
        assert (record.key, record.outputs, record.content) == (
            original.key, original.outputs, original.content,
        )  # fmt: skip
        entry = Entry(
            ledger=here.ledger, stage=stage, subject=SUBJECT, components=record.components
        )
        assert entry.stale() is None
        assert replace(entry, ledger=replace(here.ledger, verify=True)).stale() is None
    shown = status(here.project, make_console(here.root), {})
    assert [wheel["recorded"] for wheel in shown["dist"]] == [True]
    assert clean(here.project, everything=False, console=make_console(here.root))["removed"] == []
    assert [*here.project.work.glob(".geowheel-*"), *here.project.dist.glob(".*")] == []
    before = tree(here.root)
    assert not here.collect(folder)["changed"]
    assert not here.collect(folder, folder, folder.parent)["changed"]
    assert tree(here.root) == before


@pytest.mark.parametrize("part", ["wheel", "record", "file"])
def test_what_was_lost_since_is_taken_again(machine: Make, part: str) -> None:
    there, here = machine("a").built(), machine("c")
    folder = there.export()
    here.collect(folder)
    record = here.ledger.records(TestFacts)[0]
    {"wheel": here.root / "dist" / NAME, "record": record.folder / RECORD,
     "file": record.folder / "test.json"}[part].unlink()  # fmt: skip
    assert here.collect(folder)["changed"]
    assert (here.root / "dist" / NAME).is_file() and here.ledger.records(TestFacts)
    assert (record.folder / "test.json").is_file()


def test_what_was_collected_comes_before_what_was_made_here(machine: Make) -> None:
    there, here = machine("a").built(), machine("c")
    older = f"host-1.0-{TAG}-{TAG}-manylinux_2_39_x86_64.whl"
    here.wheel(b"made here", text="local", name=older)
    (here.root / "dist" / "other.whl").write_bytes(b"somebody else's")
    here.collect(there.export())
    latest = here.ledger.latest(RepairFacts, SUBJECT)
    assert latest is not None and latest.about == sha256_bytes(WHEEL)
    assert {path.name for path in (here.root / "dist").glob("*.whl")} == {NAME, "other.whl"}


def test_verdicts_may_come_from_another_machine(machine: Make) -> None:
    builder, tester, here = machine("a"), machine("b").built(), machine("c")
    builder.wheel()
    builder.verdict(SizeFacts)
    one, other = builder.export(), tester.export()
    assert f"no verdict of test about its wheel, sha256 {sha256_bytes(WHEEL)[:12]}" in (
        here.refuses(one)
    )
    shutil.rmtree(other / "dist")
    shutil.rmtree(other / "ledger" / SUBJECT / "repair")
    assert here.collect(one, other)["targets"][0]["verdicts"] == {"size": True, "test": True}


def test_a_failed_verdict_is_not_hidden_by_one_that_passed(machine: Make) -> None:
    there, here = machine("a").built(), machine("c")
    second = machine("b").built()
    second.verdict(TestFacts, text="another system")
    one, other = there.export(), second.export()
    for path in (one / "ledger" / SUBJECT / "test").glob("*/record.json"):
        rewrite(path.parent, passed=False)
    summary = here.collect(one, other)
    latest = here.ledger.latest(TestFacts, SUBJECT)
    assert latest is not None and not latest.passed
    assert len(here.ledger.records(TestFacts)) == 2
    assert summary["targets"][0]["verdicts"]["test"] is False


def test_what_was_made_here_since_is_replaced_again(machine: Make) -> None:
    there, here = machine("a").built(), machine("c")
    folder = there.export()
    here.collect(folder)
    here.verdict(TestFacts, text="again")
    assert not here.collect(folder)["changed"], "a newer verdict about the same bytes may stay"
    record = here.wheel(text="the same bytes from elsewhere")
    assert here.collect(folder)["changed"]
    latest = here.ledger.latest(RepairFacts, SUBJECT)
    assert latest is not None and latest.key != record.key


def test_what_failed_here_is_not_hidden_by_what_passed_there(machine: Make) -> None:
    there, here = machine("a").built(), machine("c").built()
    here.verdict(TestFacts, passed=False, text="here")
    words = here.refuses(there.export())
    assert "test passed there and failed here, about the same bytes" in words
    here.verdict(TestFacts, text="here")
    assert here.collect(there.root / "dist" / "export")["changed"]


def test_a_changed_byte_of_a_wheel(machine: Make) -> None:
    folder = machine("a").built().export()
    (folder / "dist" / NAME).write_bytes(b"wheeL")
    words = machine("c").refuses(folder)
    assert f"{NAME} has sha256 {sha256_bytes(b'wheeL')}" in words
    (folder / "dist" / NAME).unlink()
    assert f"{NAME} is missing" in machine("d").refuses(folder)


def test_another_lock_and_none(machine: Make) -> None:
    folder = machine("a").built().export()
    assert "made from another lock for linux-64" in machine("c", lock="3.11.0").refuses(folder)
    assert "no lock for linux-64 here to compare with" in machine("d", lock=None).refuses(folder)


@pytest.mark.parametrize(
    ("key", "words"),
    [("toolkit", "made with geowheel 0.0.1, this is"), ("sources", "made with other sources")],
)
def test_another_toolkit(machine: Make, key: str, words: str) -> None:
    folder = machine("a").built().export()
    edit(folder, lambda data: data["state"].update({key: "0.0.1"}))
    assert words in machine("c").refuses(folder)


def test_a_record_of_another_toolkit(machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    there = machine("a").built()
    with monkeypatch.context() as patch:
        patch.setitem(globals(), "toolkit_digest", lambda: "ab" * 32)
        there.verdict(TestFacts, text="other")
    words = machine("c").refuses(there.export())
    assert "it was made with other sources of geowheel than its export.json says" in words


def test_two_wheels_of_one_target(machine: Make) -> None:
    one, other = machine("a").built().export(), machine("b").built(OTHER).export()
    words = machine("c").refuses(one, other)
    assert f"{SUBJECT}: 2 different wheels of one target: sha256 " in words
    assert str(one) in words and str(other) in words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"key": "0" * 64}, "its key is not the digest of its components"),
        ({"components": {"text": "b"}}, "its key is not the digest of its components"),
        ({"subject": "cp27-linux-64"}, "not configured for cp27-linux-64"),
        ({"stage": "vendor"}, "it is of vendor"),
        ({"host": "other"}, "it is of other in ., this is host in ."),
        ({"facts": {"sha256": 1}}, "it is not a record of geowheel's"),
        ({"facts": {}}, "it is not a record of geowheel's"),
        ({"format": 1}, "it is not a record of geowheel's"),
        ({"outputs": [{"path": "../../x", "sha256": "", "size": 1}]}, "it is not a record"),
        ({"outputs": [{"path": "/etc/passwd", "sha256": "", "size": 1}]}, "it is not a record"),
    ],
)  # fmt: skip
def test_a_record_that_lies(machine: Make, changes: dict[str, Any], words: str) -> None:
    folder = machine("a").built().export()
    (path,) = (folder / "ledger" / SUBJECT / "size").iterdir()
    rewrite(path, **changes)
    assert words in machine("c").refuses(folder)


def test_a_repair_that_names_another_place_for_its_wheel(machine: Make) -> None:
    folder = machine("a").built().export()
    (path,) = (folder / "ledger" / SUBJECT / "repair").iterdir()
    (output,) = json.loads((path / RECORD).read_text())["outputs"]
    shutil.copytree(folder / "dist", folder / "dist" / "below")
    rewrite(path, outputs=[output | {"path": f"below/{NAME}"}])
    assert "it does not name one wheel" in machine("c").refuses(folder)


@pytest.mark.parametrize("part", ["wheel", "link", "record", "export", "no wheel", "another"])
def test_what_is_taken_is_a_file_that_opens(machine: Make, part: str) -> None:
    """A pipe would never end, a link could lead anywhere, and not every file is a wheel."""
    there = machine("a")
    data = {"no wheel": b"PK", "another": wheel_bytes("else-1.0-py3-none-any.whl", {})}
    folder = there.built(data.get(part, WHEEL)).export()
    path = {
        "record": next(folder.glob(f"ledger/*/test/*/{RECORD}")), "export": folder / "export.json",
    }.get(part, folder / "dist" / NAME)  # fmt: skip
    if part == "link":
        path.rename(folder.with_name("elsewhere"))
        path.symlink_to(folder.with_name("elsewhere"))
    elif part not in data:
        path.unlink()
        os.mkfifo(path)
    kind = UsageError if part == "export" else IntegrityError
    words = machine("c").refuses(folder, kind=kind)
    said = {"record": "it is not a record", "export": "no export.json in it", "no wheel": "no zip",
            "another": "names the distribution"}  # fmt: skip
    assert said.get(part, "is missing, or a link") in words


def test_every_reason_is_said_at_once(machine: Make) -> None:
    folder = machine("a").built().export()
    (folder / "dist" / NAME).write_bytes(b"wheeL")
    (folder / "dist" / "other-1.0-py3-none-any.whl").write_bytes(b"")
    shutil.rmtree(folder / "ledger" / SUBJECT / "size")
    here = machine("c", lock="3.11.0", more='drivers = ["GTiff"]\n')
    for name in "abcd":
        (here.root / f"{name}.py").write_text("pass")
    words = here.refuses(folder)
    for part in (
        "has sha256", "made from another lock", "made with another configuration: pyproject.toml",
        "about other bytes", "made from other files: a.py, b.py, c.py and 2 more",
        "other-1.0-py3-none-any.whl: no record names it",
    ):  # fmt: skip
        assert part in words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it cannot be read"),
        ('{"format": 2}', "it cannot be read"),
        ('{"format": 2, "state": 3, "origin": 4, "stages": 5}', "it cannot be read"),
        ('{"format": 1}', "it is of format 1, this geowheel knows 2"),
    ],
)
def test_a_description_that_cannot_be_used(machine: Make, text: str, words: str) -> None:
    folder = machine("a").built().export()
    (folder / "export.json").write_text(text)
    assert words in machine("c").refuses(folder)


def test_a_folder_without_an_export(machine: Make, tmp_path: Path) -> None:
    here = machine("c")
    assert "no export.json in it" in here.refuses(tmp_path / "nowhere", kind=UsageError)
    assert "no export.json in it" in here.refuses(here.root, kind=UsageError)


def test_a_fault_in_the_middle_is_undone(machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    there, here = machine("a").built(), machine("c").built(OTHER)
    folder = there.export()
    before = tree(here.root)
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if "/test/" in str(target) and self.suffix == ".new":
            raise OSError(28, "No space left on device")
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(OSError, match="No space"):
            here.collect(folder)
    assert tree(here.root) == before
    assert here.collect(folder)["changed"]


def test_dist_may_be_on_another_disk(machine: Make) -> None:
    there, here = machine("a").built(), machine("c")
    disk = Path("/dev/shm")
    if not disk.is_dir() or disk.stat().st_dev == here.project.root.stat().st_dev:
        pytest.skip("there is no other disk here")
    with tempfile.TemporaryDirectory(dir=disk) as other:
        here.project.dist.symlink_to(other)
        assert here.collect(there.export())["changed"]
        assert [path.suffix for path in Path(other).iterdir()] == [".whl"]


def test_a_killed_one_is_finished(machine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    there, here = machine("a").built(), machine("c")
    folder = there.export()

    def killed(moves: Sequence[tuple[Path, Path]]) -> None:
        for new, goal in moves[:2]:
            new.replace(goal)
        for place in (here.project.work, here.project.dist):
            (place / ".geowheel-left").mkdir()  # as kill -9 leaves it
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(collecting, "move", killed)
        with pytest.raises(KeyboardInterrupt):
            here.collect(folder)
    assert here.collect(folder)["changed"]
    assert list(here.project.work.glob(".collect-*")) == []
    assert all(here.ledger.latest(FACTS[stage], SUBJECT) for stage in ("repair", "size", "test"))
    assert read_record(here.ledger.records(TestFacts)[0].folder, TestFacts)


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    data = json.loads((folder / "export.json").read_text())
    change(data)
    (folder / "export.json").write_text(json.dumps(data))


def test_the_commands(machine: Make, capsys: pytest.CaptureFixture[str],
                      monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("PATH", "/nowhere")
    there, here = machine("a").built(), machine("c")
    monkeypatch.chdir(there.root)
    assert main(["export", "--root", str(there.root), "--json", "dist/out"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "folder": str(there.root / "dist" / "out"), "targets": [SUBJECT],
    }  # fmt: skip
    assert main(["collect", "--root", str(here.root), "--json", "dist"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["targets"][0]["wheel"] == str(here.root / "dist" / NAME)
    assert shown.err == "", "with --json nothing of a result is shown for people"
    assert main(["collect", "--root", str(here.root), "dist"]) == 0
    shown = capsys.readouterr()
    assert SUBJECT in shown.out and "not from a committed lock" not in shown.out
    assert shown.err == ""
    (there.root / "dist" / "out" / "dist" / NAME).write_bytes(b"x")
    assert main(["collect", "--root", str(here.root), "--json", "dist"]) == IntegrityError.exit_code
    assert "its record says" in json.loads(capsys.readouterr().out)["error"]

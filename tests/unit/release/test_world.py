"""The world of a release, from a ledger on disk: which wheel is of what lies here now."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from msgspec import structs
from tests.support.hosts import NO_TOOLS, RUNNING, make_locks, make_record, write_host

from geowheel.contents.restricted import Restricted
from geowheel.digest import digest, sha256_bytes
from geowheel.errors import ChannelError, LockError
from geowheel.project.project import Machine
from geowheel.records.facts import BuildFacts, FetchFacts, LicenseFacts, RepairFacts, SizeFacts
from geowheel.records.ledger import Collected, Elsewhere, Ledger, Record, write_record
from geowheel.release import world as world_module
from geowheel.release.subject import ReleaseSubject, open_subject
from geowheel.release.world import Repaired, World, read_world
from geowheel.targets import Platform

NAME = f"host-1.0-cp{RUNNING.replace('.', '')}-none-manylinux_2_36_x86_64.whl"
RAW = b"a raw wheel"
MORE = '[tool.geowheel.release]\nverdicts = ["size"]\n'


@pytest.fixture
def subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReleaseSubject:
    write_host(tmp_path, pythons=[RUNNING], more=MORE)
    text = (tmp_path / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(
        text.replace('name = "host"', 'name = "host"\nversion = "1.0"')
    )
    monkeypatch.setattr(world_module, "committed_locks", lambda *_: make_locks())
    state = type("State", (), {"files": {"a": "1"}, "locks": {"linux-64": "lock"}})
    monkeypatch.setattr(world_module, "state_of", lambda *_: state)
    machine = Machine(platform=Platform.LINUX_64, environ=NO_TOOLS, cache=tmp_path / "cache")
    return open_subject(root=tmp_path, host=Path(), machine=machine)


@pytest.fixture
def ledger(subject: ReleaseSubject) -> Ledger:
    return subject.ledger


@pytest.fixture
def planted(subject: ReleaseSubject, ledger: Ledger) -> Callable[..., Record[Any]]:
    """What the stages record of one target; a keyword changes a component or fact of it."""

    def planted(**changes: Any) -> Record[RepairFacts]:
        assert subject.project is not None
        target = str(subject.project.target(RUNNING))
        packages = changes.get("packages", make_locks().stack.packages)
        files = digest(subject.project.host_files())
        fetch = make_record(ledger, FetchFacts(stack=digest(packages)), "linux-64")
        built = BuildFacts(host_files=changes.get("files", files))
        build = make_record(ledger, built, target, files={"raw.whl": RAW})
        made = make_record(
            ledger,
            RepairFacts(
                locked=changes.get("locked", True),
                licenses=LicenseFacts(restricted=changes.get("restricted", ())),
            ),
            target, files={NAME: b"wheel"},
            upstream={"fetch": fetch.key, "build": changes.get("build", build.key)},
        )  # fmt: skip
        if (collected := changes.get("collected")) is not None:
            write_record(structs.replace(made, collected=collected), made.folder)
        facts = SizeFacts(sha256=sha256_bytes(b"wheel"), installed=7)
        make_record(ledger, facts, target)
        subject.dist.mkdir(exist_ok=True)
        (subject.dist / NAME).write_bytes(b"wheel")
        return made

    return planted


def only(world: World) -> Repaired:
    (wheel,) = world.wheels
    return wheel


def test_a_current_wheel(subject: ReleaseSubject, planted: Callable[..., Record[Any]]) -> None:
    planted()
    world = read_world(subject, None)
    wheel = only(world)
    assert wheel.locked and wheel.of_lock and wheel.of_files
    assert world.version == wheel.version == "1.0" and world.tag == "v1.0"
    assert [(v.stage, v.passed, v.installed) for v in wheel.verdicts] == [("size", True, 7)]
    (item,) = world.dist
    assert item.recorded and item.file.filename == NAME
    assert world.git is None and world.on_index is None
    assert "there is no changelog" in str(world.said.faults[0])


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"locked": False}, {"locked"}),
        ({"packages": ()}, {"of_lock"}),
        ({"files": "0" * 64}, {"of_files"}),
        ({"build": "made elsewhere"}, {"of_files"}),
    ],
)
def test_a_wheel_of_something_else(
    subject: ReleaseSubject,
    planted: Callable[..., Record[Any]],
    changes: dict[str, Any],
    wrong: set[str],
) -> None:
    planted(**changes)
    wheel = only(read_world(subject, None))
    assert {n for n in ("locked", "of_lock", "of_files") if not getattr(wheel, n)} == wrong


def test_an_edit_is_noticed(subject: ReleaseSubject, planted: Callable[..., Record[Any]]) -> None:
    planted()
    (subject.folder / "new.py").write_text("")
    assert not only(read_world(subject, None)).of_files


@pytest.mark.parametrize(
    ("files", "lock", "expected"),
    [("1", "lock", (True, True)), ("2", "lock", (True, False)), ("1", "other", (False, True))],
)
def test_a_collected_wheel_is_compared_by_what_it_was_made_from(
    subject: ReleaseSubject,
    planted: Callable[..., Record[Any]],
    files: str,
    lock: str,
    expected: tuple[bool, bool],
) -> None:
    origin = Elsewhere(
        platform="linux-64", system="Linux", git="", native={}, committed=True, ci={}
    )
    there = Collected(
        origin=origin, created="", stages={}, files=digest({"a": files}), locks={"linux-64": lock}
    )
    # Neither the prefix nor the raw wheel came along.
    planted(packages=(), build="other", collected=there)
    wheel = only(read_world(subject, None))
    assert (wheel.of_lock, wheel.of_files) == expected


def test_accepted_as_of_now(subject: ReleaseSubject, planted: Callable[..., Record[Any]]) -> None:
    """Not of the one that the wheel was made with: its record has the packages alone."""
    rows = tuple(
        Restricted(name=name, version="1", terms="GPL-2.0", brought_by="driver PDF")
        for name in ("poppler", "x265")
    )
    planted(restricted=rows)
    assert [item.name for item in only(read_world(subject, None)).unaccepted] == ["poppler", "x265"]
    more = f'{MORE}[tool.geowheel.licenses.accept]\n"pop*" = "we share ours"\n'
    write_host(subject.folder, pythons=[RUNNING], more=more)
    again = open_subject(root=subject.root, host=Path(), machine=subject.machine)
    assert [item.name for item in only(read_world(again, None)).unaccepted] == ["x265"]


def test_a_lock_that_cannot_be_used_is_a_part_of_the_world(
    subject: ReleaseSubject, planted: Callable[..., Record[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = Mock(side_effect=LockError("there is no lock"))
    monkeypatch.setattr(world_module, "committed_locks", fails)
    planted()
    world = read_world(subject, None)
    (lock,) = world.locks
    assert [fault.what for fault in lock.faults] == ["there is no lock"]
    assert not only(world).of_lock


def test_channels_that_are_not_allowed_are_named(subject: ReleaseSubject) -> None:
    (lock,) = read_world(subject, None).locks
    assert lock.strange_channels == ("https://conda.invalid/",)
    allowed = replace(subject.settings, channels=("https://conda.invalid",))
    (lock,) = read_world(replace(subject, settings=allowed), None).locks
    assert lock.strange_channels == ()


def test_a_silent_index(subject: ReleaseSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    fails = Mock(side_effect=ChannelError("out of reach"))
    monkeypatch.setattr(world_module, "published", fails)
    on_index = read_world(subject, "pypi").on_index
    assert on_index is not None
    assert [fault.what for fault in on_index.faults] == ["out of reach"]
    other = Ledger(folder=subject.ledger.folder, host="other")
    make_record(other, RepairFacts(), "cp311-linux-64", files={"other.whl": b"its wheel"})
    subject.dist.mkdir()
    (subject.dist / "other-1.0-py3-none-any.whl").write_bytes(b"its wheel")
    (subject.dist / "stranger-1.0.tar.gz").write_bytes(b"?")
    (subject.dist / "report.html").write_bytes(b"no artefact")
    found = {item.file.filename: item.recorded for item in read_world(subject, None).dist}
    assert found == {"other-1.0-py3-none-any.whl": True, "stranger-1.0.tar.gz": False}

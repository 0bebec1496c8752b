"""`status` and `clean`: what is shown, what goes, and what stays."""

import datetime
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.support.hosts import make_console, make_project, make_record

from geowheel.cli.housekeeping import clean, status
from geowheel.project.project import Project
from geowheel.records.facts import BuildFacts, FetchFacts, LabFacts, RepairFacts, TestFacts
from geowheel.records.ledger import Ledger
from geowheel.release.states import Standing
from geowheel.stages import STAGES

SUBJECT = "cp398-linux-64"


def day(number: int) -> datetime.datetime:
    return datetime.datetime(2026, 1, number, tzinfo=datetime.UTC)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path)


def clean_up(project: Project, *, everything: bool = False) -> dict[str, Any]:
    return clean(project, everything=everything, console=make_console(project.root))


@pytest.fixture
def ledger(project: Project) -> Ledger:
    return Ledger(folder=project.work, host="host")


def standing(project: Project) -> dict[str, Any]:
    """What `status` says of the configured targets, whose releases nobody knows."""
    unknown = Standing(wheel="", released="")
    targets = map(project.target, project.config.pythons)
    return status(project, make_console(project.root), dict.fromkeys(targets, unknown))


def test_status_shows_the_newest_record_of_each_stage(project: Project, ledger: Ledger) -> None:
    make_record(ledger, FetchFacts(), "linux-64", created=day(1))
    make_record(ledger, TestFacts(sha256="ab" * 32), SUBJECT, text="old", created=day(2))
    make_record(
        ledger, TestFacts(sha256="ab" * 32), SUBJECT, text="new", passed=False, created=day(3)
    )
    rows = {row[0]: dict(zip((s.name for s in STAGES), row[1:], strict=False))
            for row in standing(project)["targets"]}  # fmt: skip
    assert rows[SUBJECT]["test"].startswith("FAILED")
    assert {row["fetch"].split()[0] for row in rows.values()} == {"ok"}
    assert rows["cp399-linux-64"]["test"] == "-"
    make_record(ledger, RepairFacts(), SUBJECT, files={"a.whl": b"ours"})
    project.dist.mkdir()
    (project.dist / "a.whl").write_bytes(b"ours")
    (project.dist / "b.whl").write_bytes(b"from elsewhere")
    assert standing(project)["dist"] == [
        {"name": "a.whl", "size": 4, "recorded": True},
        {"name": "b.whl", "size": 14, "recorded": False},
    ]


def test_a_lab_of_some_cases_does_not_count(project: Project, ledger: Ledger) -> None:
    whole = make_record(ledger, LabFacts(sha256="ab" * 32), SUBJECT, text="all", created=day(1))
    part = make_record(
        ledger, LabFacts(sha256="ab" * 32, whole=False), SUBJECT, text="one", created=day(2)
    )
    rows = {row[0]: dict(zip((s.name for s in STAGES), row[1:], strict=False))
            for row in standing(project)["targets"]}  # fmt: skip
    assert rows[SUBJECT]["lab"].startswith("some cases")
    assert clean_up(project)["removed"] == []
    assert whole.folder.exists() and part.folder.exists()


def test_clean_keeps_the_newest_of_each_stage_and_subject(project: Project, ledger: Ledger) -> None:
    old = make_record(ledger, BuildFacts(), SUBJECT, text="old", created=day(1))
    new = make_record(ledger, BuildFacts(), SUBJECT, text="new", created=day(2))
    other_stage = make_record(ledger, RepairFacts(), SUBJECT, text="old", created=day(1))
    other_subject = make_record(ledger, BuildFacts(), "cp399-linux-64", text="old", created=day(1))
    other_host = Ledger(folder=ledger.folder, host="other")
    theirs = make_record(other_host, BuildFacts(), SUBJECT, text="theirs", created=day(1))
    found = clean_up(project)
    assert found["removed"] == [str(old.folder)]
    assert found["bytes"] > 0
    assert not old.folder.exists()
    assert all(r.folder.is_dir() for r in (new, other_stage, other_subject, theirs))


def test_clean_removes_what_killed_runs_left(project: Project, ledger: Ledger) -> None:
    # Killed between its record and its name: the newest, and yet no entry.
    record = make_record(ledger, BuildFacts(), SUBJECT, text="whole", created=day(1))
    killed = make_record(ledger, BuildFacts(), SUBJECT, text="killed", created=day(2))
    left = killed.folder.rename(killed.folder.with_name(f".{killed.folder.name}-killed"))
    places = [place / ".geowheel-left" for place in (project.work, project.dist, project.root)]
    for place in places:
        place.mkdir(parents=True)
    assert clean_up(project)["removed"] == [str(left)]
    assert record.folder.is_dir() and not any(place.exists() for place in places)
    assert not list(killed.folder.parent.glob(f"{killed.folder.name}*"))
    record = make_record(ledger, BuildFacts(), SUBJECT)
    (record.folder / "record.json").write_text("{")
    clean_up(project)
    assert not record.folder.exists()


def test_clean_of_everything_leaves_the_source_and_the_users_cache(
    project: Project, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    make_record(ledger, BuildFacts(), SUBJECT)
    project.dist.mkdir()
    (project.dist / "a.whl").write_bytes(b"a")
    (project.machine.cache / "store").mkdir(parents=True)
    found = clean_up(project, everything=True)
    assert found["removed"] == [str(project.work), str(project.dist)]
    assert not project.work.exists()
    assert not project.dist.exists()
    assert (project.machine.cache / "store").is_dir()
    assert (project.root / "pyproject.toml").is_file()
    assert "removed .geowheel\n" in capsys.readouterr().out
    again = clean_up(project, everything=True)
    assert again == {"removed": [], "bytes": 0}


@pytest.mark.parametrize("everything", [True, False])
def test_clean_claims_nothing_that_it_could_not_remove(
    project: Project, ledger: Ledger, everything: bool,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for number in (1, 2):
        make_record(ledger, BuildFacts(), SUBJECT, text=str(number), created=day(number))

    def refuse(path: Path, *, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(PermissionError):
        clean_up(project, everything=everything)
    captured = capsys.readouterr()
    assert "removed" not in captured.out + captured.err

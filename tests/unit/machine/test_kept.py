"""`--keep-work`: what is left behind, when, and how it goes away again."""

import os
import tempfile
from pathlib import Path

import pytest
from tests.support.hosts import make_project

from geowheel.cli.housekeeping import clean
from geowheel.errors import BuildError, GeowheelError
from geowheel.machine.console import Console
from geowheel.machine.kept import ELSEWHERE, ENTER, WORK, FailedCommand, Kept, remove_kept
from geowheel.records.ledger import Entry, Ledger


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's folder for temporary files."""
    path = tmp_path / "tmp"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path


def entry_in(folder: Path) -> Entry:
    ledger = Ledger(folder=folder, host="host", keep=True)
    return Entry(ledger=ledger, stage="build", subject="cp312-linux-64", components={"a": "1"})


def fail(entry: Entry, console: Console, error: BaseException, *commands: FailedCommand) -> None:
    kept = Kept(entry.kept)
    with (
        pytest.raises(type(error)),
        entry.lock(console),
        console.step("build", "why", kept=kept) as step,
        entry.scratch() as folder,
    ):
        (folder / "half").write_text("half")
        try:
            with step.elsewhere("test") as place:
                (place / "environment").touch()
                for command in commands:
                    kept.failed(command)
                raise error
        except GeowheelError:
            kept.leave()
            raise


def command(cwd: Path, *argv: str, code: int = 1, **env: str) -> FailedCommand:
    return FailedCommand(argv=argv, env=env, cwd=cwd, returncode=code)


def test_a_failed_stage_leaves_its_folder(tmp_path: Path, console: Console) -> None:
    entry = entry_in(tmp_path / "work")
    fail(entry, console, BuildError("no"), command(tmp_path, "cc", "a b.c", NAME="it's"))
    assert (entry.kept / WORK / "half").read_text() == "half"
    assert (entry.kept / ELSEWHERE / "environment").exists()
    script = entry.kept / ENTER
    assert script.stat().st_mode & 0o777 == 0o700, "its environment may hold a password"
    text = script.read_text()
    assert f"cd {tmp_path} || exit" in text
    assert "set -- cc 'a b.c'" in text
    assert """'NAME=it'"'"'s' \\""" in text


def test_an_interrupt_keeps_nothing_and_the_next_run_removes_what_was_kept(
    tmp_path: Path, temporary: Path, console: Console
) -> None:
    entry = entry_in(tmp_path / "work")
    fail(entry, console, KeyboardInterrupt(), command(tmp_path, "cc"))
    assert not entry.kept.exists()
    assert list(temporary.iterdir()) == []
    entry = entry_in(tmp_path / "work")
    fail(entry, console, BuildError("no"))
    with entry.lock(console), entry.scratch() as folder:
        assert list(folder.iterdir()) == []
    assert not entry.kept.exists()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("everything", [False, True])
def test_clean_removes_what_was_kept_outside_the_checkout_too(
    tmp_path: Path, temporary: Path, console: Console, everything: bool
) -> None:
    project = make_project(tmp_path / "root")
    entry = entry_in(project.work)
    fail(entry, console, BuildError("no"))
    assert len(list(temporary.iterdir())) == 1
    clean(project, everything=everything, console=console)
    assert not entry.kept.exists()
    assert list(temporary.iterdir()) == []


def test_a_link_to_somebody_elses_folder_is_not_followed(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / ELSEWHERE).symlink_to(theirs)
    remove_kept(kept)
    assert theirs.is_dir() and not kept.exists()


def test_the_command_that_failed_by_itself_is_meant(tmp_path: Path) -> None:
    """The other compilers were killed because of it."""
    kept = Kept(tmp_path / "kept")
    kept.failed(command(tmp_path, "cc", "killed.c", code=-9))
    kept.failed(command(tmp_path, "cc", "wrong.c"))
    kept.failed(command(tmp_path, "cc", "killed-too.c", code=-9))
    kept.leave()
    text = (tmp_path / "kept" / ENTER).read_text()
    assert "cc wrong.c" in text and "killed" not in text


def test_without_a_command_the_folder_is_entered(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kept")
    (first, *rest) = kept.leave()
    assert str(tmp_path / "kept") in first and not any("again" in line for line in rest)
    assert f"cd {tmp_path / 'kept'} && exec /bin/sh -i" in (tmp_path / "kept" / ENTER).read_text()


def test_a_commands_temporary_folder_is_copied(tmp_path: Path, temporary: Path) -> None:
    given = temporary / "given"
    given.mkdir()
    (given / "input.json").write_text("{}")
    kept = Kept(tmp_path / "kept")
    kept.failed(command(tmp_path, "python", "hook.py", os.fspath(given)))
    (given / "input.json").unlink()
    kept.leave()
    (copy,) = (tmp_path / "kept").glob("argument-*/input.json")
    assert str(copy.parent) in (tmp_path / "kept" / ENTER).read_text()

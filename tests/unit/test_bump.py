"""`geowheel bump`: which version, what is refused, and that both files change or neither."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from geowheel.cli import main
from geowheel.errors import ConfigError, GeowheelError, LockError, UsageError
from geowheel.host.project import Machine, open_project
from geowheel.host.pyproject import read_host
from geowheel.release import bump as module
from geowheel.release.bump import Part, Released, Wish, bump, raised, what_is_released
from geowheel.release.changelog import read_changelog
from geowheel.targets import Platform

from .hosts import NO_TOOLS, make_console

DATE = datetime.date(2026, 11, 21)
PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "a"
dynamic = ["version"]
[tool.hatch.version]
path = "a.py"
"""
NEWS = "# Changelog\n\n## [Unreleased]\n\n### Fixed\n\n- A fault.\n"


@pytest.fixture
def pure(tmp_path: Path) -> Released:
    """A project of pure Python at 1.1.0."""
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "a.py").write_text('__version__ = "1.1.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(f"{NEWS}\n## [1.1.0] - 2026-01-02\n\n- First.\n")
    return what_is_released(tmp_path, NO_TOOLS, never)


def never() -> Any:
    raise AssertionError("there is no host")


def do(
    project: Released, version: str | None = None, part: Part | None = None, *, show: bool = False
) -> dict[str, Any]:
    wish = Wish(version=version, part=part, date=DATE, only_show=show)
    return bump(project, wish, make_console(project.folder))


def refused(project: Released, version: str | None = None, part: Part | None = None) -> str:
    before = contents(project.folder)
    with pytest.raises(GeowheelError) as caught:
        do(project, version, part)
    assert contents(project.folder) == before
    return " ".join(str(caught.value).split())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    ("before", "part", "after"),
    [
        ("1.2.3", Part.MAJOR, "2.0.0"), ("1.2.3", Part.MINOR, "1.3.0"),
        ("1.2.3", Part.PATCH, "1.2.4"), ("1.2.3", Part.POST, "1.2.3.post1"),
        ("1.2.3.post1", Part.POST, "1.2.3.post2"), ("1.2.3.post1", Part.PATCH, "1.2.4"),
        ("1.2", Part.PATCH, "1.2.1"), ("1", Part.MINOR, "1.1.0"), ("1.2.3.4", Part.MINOR, "1.3.0"),
        ("1.3.0rc1", Part.MINOR, "1.3.0"), ("1.3.0.dev2", Part.PATCH, "1.3.0"),
        ("1.3.1rc1", Part.MINOR, "1.4.0"), ("2.0.0a1", Part.MAJOR, "2.0.0"),
        ("2!1.0", Part.MINOR, "2!1.1.0"),
    ],
)  # fmt: skip
def test_the_next_version(before: str, part: Part, after: str) -> None:
    assert str(raised(Version(before), part)) == after


def test_both_files_say_the_new_version(pure: Released, capsys: pytest.CaptureFixture[str]) -> None:
    summary = do(pure, part=Part.MINOR)
    assert (summary["before"], summary["version"]) == ("1.1.0", "1.2.0")
    assert (pure.folder / "a.py").read_text() == '__version__ = "1.2.0"\n'
    entry = read_changelog(pure.changelog).entry("1.2.0")
    assert entry is not None and (entry.date, entry.groups) == (DATE, {"Fixed": "- A fault."})
    shown = capsys.readouterr().err
    assert "1.1.0 -> 1.2.0" in shown and "- A fault." in shown
    assert "git commit -m 'Version 1.2.0' a.py CHANGELOG.md" in shown
    assert list(pure.folder.glob(".geowheel-edit-*")) == []


def test_a_dry_run_only_shows(pure: Released, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(pure.folder)
    summary = do(pure, "2.0.0", show=True)
    assert contents(pure.folder) == before
    assert summary["written"] is False and summary["version"] == "2.0.0"
    shown = capsys.readouterr().err
    assert "- A fault." in shown and "nothing was written" in shown


@pytest.mark.parametrize("version", ["1.1.0", "1.1", "1.0.9", "1.1.0rc1", "1.1.0.dev1"])
def test_a_version_that_is_not_newer_is_refused(pure: Released, version: str) -> None:
    assert f"{Version(version)} is not newer than 1.1.0" in refused(pure, version)


def test_what_is_no_version_is_refused(pure: Released) -> None:
    assert "'one' is no version (PEP 440)" in refused(pure, "one")


def test_every_reason_is_said_at_once(pure: Released) -> None:
    pure.changelog.write_text("## [Unreleased]\n\n## [1.1.0] - 2026-01-02\n\n- First.\n")
    words = refused(pure, "1.0.0")
    assert "1.0.0 is not newer than 1.1.0" in words
    assert "nothing is unreleased" in words


def test_a_source_that_is_ahead_is_not_taken_back(pure: Released) -> None:
    (pure.folder / "a.py").write_text('__version__ = "2.0.0"\n')
    assert "1.2.0 is not newer than 2.0.0" in refused(pure, part=Part.MINOR)


def test_without_a_version_the_source_is_asked(pure: Released) -> None:
    assert "which version comes after 1.1.0?" in refused(pure)
    (pure.folder / "a.py").write_text('__version__ = "1.2.0.dev1"\n')
    assert "which version comes after 1.1.0?" in refused(pure)
    (pure.folder / "a.py").write_text('__version__ = "1.2.0"\n')
    assert do(pure)["version"] == "1.2.0"


def test_the_first_release(pure: Released) -> None:
    pure.changelog.write_text(NEWS)
    assert do(pure, part=Part.MINOR, show=True)["version"] == "1.2.0"
    assert do(pure)["version"] == "1.1.0"
    assert (pure.folder / "a.py").read_text() == '__version__ = "1.1.0"\n'


def test_a_fault_between_the_two_files_undoes_the_first(
    pure: Released, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if target.name == "CHANGELOG.md" and self.suffix == ".new":
            raise OSError(28, "No space left on device")
        return real(self, target)

    before = contents(pure.folder)
    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OSError, match="No space"):
        do(pure, "1.2.0")
    assert contents(pure.folder) == before


def test_a_bump_that_was_killed_between_the_two_is_finished_by_the_same_one(
    pure: Released,
) -> None:
    (pure.folder / "a.py").write_text('__version__ = "1.2.0"\n')  # as far as it came
    summary = do(pure, part=Part.MINOR)
    assert summary["version"] == "1.2.0"
    assert [Path(name).name for name in summary["files"]] == ["CHANGELOG.md"]
    assert refused(pure, "1.2.0")


def test_changes_that_are_not_committed_are_named(
    pure: Released, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "git_changed", lambda *_: ["CHANGELOG.md"])
    do(pure, "1.2.0")
    assert "CHANGELOG.md has changes that are not committed" in capsys.readouterr().err


def test_a_version_from_git_changes_the_changelog_alone(
    pure: Released, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PYPROJECT.replace('path = "a.py"', 'source = "vcs"')
    (pure.folder / "pyproject.toml").write_text(text)
    monkeypatch.setattr(module, "git_tags", lambda *_: ["v1.1.0", "v1.3.0", "odd"])
    assert "1.3.0 is not newer than 1.3.0" in refused(pure, "1.3.0")
    assert do(pure, "1.4.0")["before"] == "1.3.0"
    assert (pure.folder / "a.py").read_text() == '__version__ = "1.1.0"\n'
    assert "git tag v1.4.0" in capsys.readouterr().err


def following(folder: Path, gdal: str, changelog: str, more: str = "") -> Released:
    folder.mkdir(exist_ok=True)
    text = PYPROJECT.replace('path = "a.py"', 'source = "env"\nvariable = "GEOWHEEL_HOST_VERSION"')
    table = (
        f'[tool.geowheel]\npythons = ["3.12"]\n[tool.geowheel.release]\nversion = "gdal"\n{more}'
    )
    (folder / "pyproject.toml").write_text(text + table)
    (folder / "pixi.toml").write_text(
        '[workspace]\nchannels = ["a"]\nplatforms = ["linux-64"]\n[dependencies]\n'
    )
    (folder / "CHANGELOG.md").write_text(changelog)
    return Released(
        folder=folder, release=read_host(folder).config.release, environ=NO_TOOLS,
        gdal_version=lambda: gdal,
    )  # fmt: skip


OLD = "\n## [3.12.1] - 2026-01-02\n\n- First.\n"


def test_a_host_that_follows_gdal_takes_its_version(tmp_path: Path) -> None:
    first = following(tmp_path / "a", "3.12.1", NEWS)
    before = (first.folder / "pyproject.toml").read_text()
    assert do(first)["version"] == "3.12.1"
    assert (first.folder / "pyproject.toml").read_text() == before, "GDAL says it, no file does"


def test_a_rebuild_of_the_same_gdal_has_a_post_number(tmp_path: Path) -> None:
    again = following(tmp_path / "a", "3.12.1", NEWS + OLD)
    assert "3.12.1 was released with this GDAL already" in refused(again)
    assert "--minor does not fit: the version follows GDAL's, which is 3.12.1" in refused(
        again, part=Part.MINOR
    )
    assert "3.12.2 does not fit" in refused(again, "3.12.2")
    assert do(again, part=Part.POST)["version"] == "3.12.1.post1"
    assert (again.folder / "pyproject.toml").read_text().endswith('version = "gdal"\npost = 1\n')


def test_a_newer_gdal_begins_without_a_post_number(tmp_path: Path) -> None:
    old = OLD.replace("3.12.1", "3.12.1.post2")
    newer = following(tmp_path / "a", "3.12.2", NEWS + old, "post = 2\n")
    assert "--post does not fit" in refused(newer, part=Part.POST)
    assert do(newer)["version"] == "3.12.2"
    assert (newer.folder / "pyproject.toml").read_text().endswith("post = 0\n")


def test_an_older_gdal_is_not_newer(tmp_path: Path) -> None:
    back = following(tmp_path / "a", "3.11.5", NEWS + OLD)
    assert "3.11.5 is not newer than 3.12.1" in refused(back)


def test_a_host_that_follows_gdal_needs_a_lock(tmp_path: Path) -> None:
    project = following(tmp_path / "a", "", NEWS)
    machine = Machine(platform=Platform.LINUX_64, environ=NO_TOOLS, cache=tmp_path)
    opened = what_is_released(
        project.folder, NO_TOOLS,
        lambda: open_project(root=project.folder, host=Path(), machine=machine),
    )  # fmt: skip
    with pytest.raises(LockError, match="there is no lock"):
        do(opened)


def test_the_changelog_may_lie_elsewhere(tmp_path: Path) -> None:
    project = following(tmp_path / "a", "3.12.1", "", 'changelog = "docs/changes.md"\n')
    (project.folder / "docs").mkdir()
    (project.folder / "docs" / "changes.md").write_text(NEWS)
    assert do(project)["files"] == [str(project.folder / "docs/changes.md")]


def test_a_missing_changelog_is_said(pure: Released) -> None:
    pure.changelog.unlink()
    with pytest.raises(ConfigError, match="there is no changelog"):
        do(pure, "1.2.0")


def test_the_command(pure: Released, capsys: pytest.CaptureFixture[str],
                     monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("PATH", "/nowhere")
    root = ["--root", str(pure.folder)]
    assert main(["bump", *root, "--patch", "--date", "2026-11-21", "--json", "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == "1.1.1"
    assert main(["bump", *root, "1.0"]) == UsageError.exit_code
    assert "1.0 is not newer than 1.1.0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["bump", *root, "1.2.0", "--minor"])
    assert "not allowed with argument" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["bump", *root, "1.2.0", "--date", "yesterday"])


def test_geowheel_itself_is_bumped_the_same_way() -> None:
    root = Path(__file__).parents[2]
    planned = module.plan(what_is_released(root, NO_TOOLS, never), Wish(version="999.0", date=DATE))
    assert [change.path for change in planned.changes] == [
        "src/geowheel/__init__.py", "CHANGELOG.md",
    ]  # fmt: skip
    assert '__version__ = "999.0"' in planned.changes[0].after

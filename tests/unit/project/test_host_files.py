"""The host's files where there is no git, and staging them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.hosts import NO_TOOLS

from geowheel.digest import digest, read_tree
from geowheel.project import files as host_files


def fill(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    return folder


def found(folder: Path) -> list[str]:
    return [entry.path for entry in host_files.host_files(folder, NO_TOOLS).entries]


def test_everything_counts_where_there_is_no_git(tmp_path: Path) -> None:
    fill(tmp_path, "pyproject.toml", "src/pkg/__init__.py", "data/a.bin", ".hidden")
    assert found(tmp_path) == [".hidden", "data/a.bin", "pyproject.toml", "src/pkg/__init__.py"]


@pytest.mark.parametrize(
    "left_out",
    [
        ".git/HEAD", ".geowheel/cp312-linux-64/build/a/record.json", ".nox/a", ".tox/a",
        ".venv/bin/python", "dist/a.whl", "pkg/__pycache__/a.cpython-312.pyc", "pkg/old.pyc",
        ".mypy_cache/a", ".ruff_cache/a", ".pytest_cache/a", ".pixi/envs/default/a",
    ],
)  # fmt: skip
def test_what_no_build_needs_is_left_out(tmp_path: Path, left_out: str) -> None:
    assert found(fill(tmp_path, "pyproject.toml", left_out)) == ["pyproject.toml"]


def test_a_name_that_only_resembles_an_ignored_one_counts(tmp_path: Path) -> None:
    fill(tmp_path, ".gitignore", "distance/a.py", "pkg/nox.py")
    assert found(tmp_path) == [".gitignore", "distance/a.py", "pkg/nox.py"]


def test_what_is_left_out_does_not_change_the_digest(tmp_path: Path) -> None:
    before = digest(host_files.host_files(fill(tmp_path, "a.py"), NO_TOOLS))
    fill(tmp_path, "dist/a.whl", ".geowheel/x")
    assert digest(host_files.host_files(tmp_path, NO_TOOLS)) == before


def test_there_is_no_description_without_git(tmp_path: Path) -> None:
    assert host_files.git_description(tmp_path, NO_TOOLS) == ""


def listed(monkeypatch: pytest.MonkeyPatch, answer: str | None) -> None:
    """Stands in for git."""
    monkeypatch.setattr(host_files, "ask_git", lambda *_: answer)


def test_where_git_answers_its_list_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "b.py", "a.py", "ignored.log", "dist/kept on purpose")
    listed(monkeypatch, "b.py\0dist/kept on purpose\0a.py\0b.py\0")
    assert found(tmp_path) == ["a.py", "b.py", "dist/kept on purpose"]


def test_a_tracked_file_that_was_removed_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(monkeypatch, "a.py\0gone.py\0")
    assert found(fill(tmp_path, "a.py")) == ["a.py"]


def test_a_link_that_leads_nowhere_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    listed(monkeypatch, "link\0")
    assert found(tmp_path) == ["link"]


def test_a_description_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed(monkeypatch, "v1.0-0-gabc\n")
    assert host_files.git_description(tmp_path, {}) == "v1.0-0-gabc"


def test_a_submodule_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "a.py", "submodule/b.py")
    listed(monkeypatch, "a.py\0submodule\0")
    assert "a.py" in found(tmp_path)


def test_a_link_to_a_folder_counts_without_git_as_well(tmp_path: Path) -> None:
    (fill(tmp_path, "data/a") / "link").symlink_to("data")
    assert found(tmp_path) == ["data/a", "link"]


def test_without_path_no_git_is_looked_for(tmp_path: Path) -> None:
    assert host_files.git_description(tmp_path, {}) == ""


def test_staging_copies_content_modes_and_links(tmp_path: Path) -> None:
    checkout = fill(tmp_path / "checkout", "a.py", "sub/run.sh")
    (checkout / "sub" / "run.sh").chmod(0o755)
    (checkout / "link").symlink_to("sub/run.sh")
    tree = read_tree(checkout)
    host_files.stage(tree, tmp_path / "staged")
    assert digest(read_tree(tmp_path / "staged")) == digest(tree)


def test_staging_leaves_out_what_does_not_count(tmp_path: Path) -> None:
    checkout = fill(tmp_path / "checkout", "a.py", "dist/old.whl")
    host_files.stage(host_files.host_files(checkout, NO_TOOLS), tmp_path / "staged")
    assert [p.name for p in (tmp_path / "staged").iterdir()] == ["a.py"]


def test_a_staged_file_is_a_copy(tmp_path: Path) -> None:
    checkout = fill(tmp_path / "checkout", "a.py")
    host_files.stage(read_tree(checkout), tmp_path / "staged")
    (tmp_path / "staged" / "a.py").write_text("changed by a backend")
    assert (checkout / "a.py").read_text() == "a.py"
    assert not (checkout / "a.py").samefile(tmp_path / "staged" / "a.py")

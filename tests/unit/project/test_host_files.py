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


def listed(monkeypatch: pytest.MonkeyPatch, answer: str | None) -> None:
    """Stands in for git."""
    monkeypatch.setattr(host_files, "ask_git", lambda *_: answer)


def test_everything_else_counts_where_there_is_no_git(tmp_path: Path) -> None:
    fill(tmp_path, ".gitignore", "distance/a.py", "pkg/nox.py", "data/a")
    (tmp_path / "link").symlink_to("data")
    assert found(tmp_path) == [".gitignore", "data/a", "distance/a.py", "link", "pkg/nox.py"]
    assert host_files.git_description(tmp_path, NO_TOOLS) == ""


def test_where_git_answers_its_list_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "b.py", "a.py", "ignored.log", "dist/kept on purpose", "submodule/c.py")
    (tmp_path / "link").symlink_to("nowhere")
    listed(monkeypatch, "b.py\0dist/kept on purpose\0a.py\0b.py\0gone.py\0link\0submodule\0")
    assert found(tmp_path) == ["a.py", "b.py", "dist/kept on purpose", "link"]
    listed(monkeypatch, "v1.0-0-gabc\n")
    assert host_files.git_description(tmp_path, {}) == "v1.0-0-gabc"


def test_staging_copies_content_modes_and_links(tmp_path: Path) -> None:
    checkout = fill(tmp_path / "checkout", "a.py", "sub/run.sh", "dist/old.whl")
    (checkout / "sub" / "run.sh").chmod(0o755)
    (checkout / "link").symlink_to("sub/run.sh")
    tree, staged = host_files.host_files(checkout, NO_TOOLS), tmp_path / "staged"
    host_files.stage(tree, staged)
    assert digest(read_tree(staged)) == digest(tree)
    assert not (staged / "dist").exists()
    assert not (checkout / "a.py").samefile(staged / "a.py")

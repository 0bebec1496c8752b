"""The host's files: what git tracks or does not ignore; everything, where there is no git."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from geowheel.digest import Tree, read_tree
from geowheel.machine.git import ask_git

# What no build needs, where git does not say what is ignored.
_LEFT_OUT = {
    ".git", ".geowheel", ".nox", ".tox", ".venv", "dist", "__pycache__", ".mypy_cache",
    ".ruff_cache", ".pytest_cache", ".pixi",
}  # fmt: skip


def host_files(folder: Path, environ: Mapping[str, str]) -> Tree:
    """Return the tree of the host's files, hashed."""
    listed = _git_files(folder, environ)
    names = list(_walk(folder)) if listed is None else listed
    return read_tree(folder, [name for name in names if _is_file_or_link(folder / name)])


def _is_file_or_link(path: Path) -> bool:
    """Not what git lists but is gone, nor a submodule, which it lists as a path."""
    return path.is_symlink() or path.is_file()


def stage(tree: Tree, goal: Path) -> None:
    """Copy a tree's files; the checkout itself is never built in."""
    for entry in tree.entries:
        target = goal / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(tree.root / entry.path, target, follow_symlinks=False)


def git_description(folder: Path, environ: Mapping[str, str]) -> str:
    """Commit, tag and dirtiness, as git describes them; empty where there is no git."""
    result = ask_git(folder, environ, "describe", "--tags", "--long", "--always", "--dirty")
    return "" if result is None else result.strip()


def _git_files(folder: Path, environ: Mapping[str, str]) -> list[str] | None:
    listed = ask_git(
        folder, environ, "ls-files", "-z", "--cached", "--others", "--exclude-standard"
    )
    return None if listed is None else sorted(set(listed.split("\0")) - {""})


def _walk(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        links = [name for name in folders if Path(place, name).is_symlink()]
        for name in sorted([*names, *links]):
            if not name.endswith(".pyc"):
                yield Path(place, name).relative_to(folder).as_posix()

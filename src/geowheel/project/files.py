"""The host's files, as pip would see them in the checkout; and a copy of them to build in.

That is what git tracks or does not ignore, what it ignores beside the host's code (generated
modules), the files of submodules, what symbolic links lead to, and what build files name above the
host's folder (`../VERSION.py`). Without git it is everything but what no build needs.
"""

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from geowheel.digest import Tree, digest, read_tree
from geowheel.errors import BuildError
from geowheel.machine.files import copy_checked
from geowheel.machine.git import (
    ask_git,
    do_git,
    refuse_without_git,
    share_history,
    share_index,
    top_of_checkout,
)

# What no build needs, where git does not say what is ignored.
_LEFT_OUT: Final = {
    ".git", ".geowheel", ".nox", ".tox", ".venv", "dist", "__pycache__", ".mypy_cache",
    ".ruff_cache", ".pytest_cache", ".pixi",
}  # fmt: skip
_OURS: Final = (".geowheel", "dist")  # never a part of the host, also where git ignores neither
_TESTS: Final = ("test", "tests")
_CARGO: Final = "Cargo.toml"
_BUILD_FILES: Final = (
    "pyproject.toml", "setup.py", "setup.cfg", "MANIFEST.in", "CMakeLists.txt", "meson.build",
    _CARGO,
)  # fmt: skip
_ABOVE: Final = re.compile(r"(?:\.\./)+[\w.*/+-]+")


def host_files(folder: Path, environ: Mapping[str, str], sources: Sequence[str] = ()) -> Tree:
    """Return the tree of the host's files, hashed; paths above the folder begin with `../`.

    `sources` are patterns that bound it (`[tool.geowheel.build] sources`). Raises MachineError
    where git refuses to read the checkout; without git, where nothing bounds it.
    """
    folder = folder.resolve()
    if not sources:
        refuse_without_git(folder, environ)
    listed = _git_files(folder, environ)
    # A folder that git ignores as a whole, such as an unpacked sdist, is no part of the checkout.
    by_git = "pyproject.toml" in listed
    names = {name for name in (listed if by_git else _walk(folder)) if _is_source(name, sources)}
    names |= set(_named_above(folder, environ, sources, by_git=by_git))
    followed: set[str] = set()
    links = [name for name in names if (folder / name).is_symlink()]
    while links:
        name = links.pop()
        behind = _behind_link(folder, name, environ) - names
        if (folder / name).readlink().is_absolute() and behind:
            names.discard(name)
            followed |= behind
        else:
            links += [each for each in behind if (folder / each).is_symlink()]
        names |= behind
    return read_tree(folder, names, followed=followed)


def _is_source(name: str, patterns: Sequence[str]) -> bool:
    """Return whether the patterns name a file: the last one that fits decides, `!` takes out."""
    if not patterns or name == "pyproject.toml":
        return True
    included = patterns[0].startswith("!")
    for pattern in patterns:
        if fnmatch(name, pattern.removeprefix("!")):
            included = not pattern.startswith("!")
    return included


def stage(tree: Tree, goal: Path, *, above: int = 0) -> Path:
    """Copy a tree's files below `goal`; the checkout itself is never built in.

    Returns the folder that stands for the tree's root: it lies as many folders below `goal` as
    files of the tree lie above the root, and at least `above`.
    """
    depth = max([above, *(entry.path.split("/").count("..") for entry in tree.entries)])
    place = goal.joinpath(*tree.root.parts[len(tree.root.parts) - depth :])
    for entry in tree.entries:
        target = Path(os.path.normpath(place / entry.path))
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry.link is None:
            copy_checked(tree.root / entry.path, target, entry.sha256)
            shutil.copystat(tree.root / entry.path, target)
        else:
            target.symlink_to(entry.link)
    return place


def stage_checkout(tree: Tree, goal: Path, environ: Mapping[str, str]) -> Path:
    """Stage a tree as `stage` does, with its place in its checkout and the checkout's history.

    So whatever asks git (for a version, or for what is ignored) gets the same answer in the copy.
    Raises BuildError where it would not.
    """
    top = top_of_checkout(tree.root, environ)
    if top is None:
        return stage(tree, goal)
    share_history(top, goal, environ)
    place = stage(tree, goal, above=len(tree.root.relative_to(top).parts))
    share_index(top, goal, environ)
    of_checkout, of_copy = (git_version(path, environ) for path in (top, goal))
    if of_checkout != of_copy:
        raise BuildError(
            f"git calls the copy that is built {of_copy}, and the checkout {of_checkout}",
            where=str(top),
            cause="the version of the wheel could be another one than the checkout's",
            fix="commit or remove what `git status` shows, then build again",
        )
    return place


def git_description(folder: Path, environ: Mapping[str, str]) -> str:
    """Commit, tag and dirtiness, as git describes them; empty where there is no git."""
    result = ask_git(folder, environ, "describe", "--tags", "--long", "--always", "--dirty")
    return "" if result is None else result.strip()


def git_version(folder: Path, environ: Mapping[str, str]) -> str:
    """Return all of git that a version may be made of: the description, branch and tags.

    Empty where there is no checkout.
    """
    if not (description := git_description(folder, environ)):
        return ""
    branch = ask_git(folder, environ, "rev-parse", "--abbrev-ref", "HEAD") or ""
    tags = ask_git(folder, environ, "show-ref", "--tags")
    return f"{description} on {branch.strip()}, tags {digest(tags or '')[:12]}"


def _git_files(folder: Path, environ: Mapping[str, str]) -> set[str]:
    """Return the files of a checkout below `folder`; nothing where there is no checkout."""
    if top_of_checkout(folder, environ) is None:
        return set()

    def listed(*arguments: str) -> set[str]:
        return set(do_git(folder, environ, "ls-files", "-z", *arguments).split("\0")) - {""}

    tracked = listed("--cached")
    others = listed("--others", "--exclude-standard")
    names = tracked | {name for name in others if name.partition("/")[0] not in _OURS}
    if patterns := _with_code(names):
        ignored = listed("--others", "--ignored", "--exclude-standard", "--", *patterns)
        names |= {name for name in ignored if not name.endswith(".pyc")}
    # Submodules, and repositories that nobody added as one: git lists them as one path.
    nested = {name for name in names if (folder / name / ".git").exists()}
    for name in nested:
        names |= {f"{name.rstrip('/')}/{each}" for each in _git_files(folder / name, environ)}
    every = ((name, folder / name) for name in names - nested)  # what git lists may be gone
    return {name for name, path in every if path.is_symlink() or path.is_file()}


def _with_code(names: Iterable[str]) -> list[str]:
    """Return git's patterns of where generated modules may lie, but for tests: anywhere in a
    package (a folder with an `__init__.py`), and elsewhere beside modules."""
    packages, beside = ["/"], set[str]()
    for place, slash, last in sorted(name.rpartition("/") for name in names):
        if f"{place}/".startswith(f"{packages[-1]}/") or place.split("/")[0] in _TESTS:
            continue
        if slash and last == "__init__.py":
            packages.append(place)
        elif last.endswith(".py"):
            beside.add(f":(glob){place}{slash}*.py")
    return packages[1:] + sorted(beside)


def _walk(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        links = [name for name in folders if Path(place, name).is_symlink()]
        for name in sorted([*names, *links]):
            if not name.endswith(".pyc"):
                yield Path(place, name).relative_to(folder).as_posix()


def _named_above(
    folder: Path, environ: Mapping[str, str], sources: Sequence[str], *, by_git: bool
) -> Iterator[str]:
    """Yield the files above the folder that the host's build reads, and what these name."""
    top = top_of_checkout(folder, environ) if by_git else None
    named = set[Path]()
    for place in folder.parents if top is not None else ():
        if place.is_relative_to(top or place):
            # Backends that leave out what git ignores read these themselves.
            named |= {path for path in [place / ".gitignore"] if path.is_file()}
            if (folder / _CARGO).is_file() and "[workspace" in _text(place / _CARGO):
                named.add(place)  # cargo reads every member of the workspace
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        said = [_text(place / name) for name in _BUILD_FILES]
        said += sources if place == folder else ()
        for pattern in {name.rstrip("/") for text in said for name in _ABOVE.findall(text)}:
            for path in {found.resolve() for found in place.glob(pattern)} - named:
                if path.is_relative_to(top or path) and not folder.is_relative_to(path):
                    named.add(path)
                    waiting.append(path)
    for path in sorted(named):
        below = _below(path, environ) if path.is_dir() else [""]
        found = (os.path.relpath(path / name, folder) for name in below)
        yield from (name for name in found if name.startswith("../"))


def words_of_build_files(folder: Path) -> set[str]:
    """Return all words of the files that say how the project in `folder` is built."""
    return set(re.findall(r"\w{4,}", "\n".join(_text(folder / name) for name in _BUILD_FILES)))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _below(folder: Path, environ: Mapping[str, str]) -> Iterable[str]:
    return _git_files(folder, environ) or _walk(folder)


def _behind_link(folder: Path, name: str, environ: Mapping[str, str]) -> set[str]:
    """Return the files that a link leads to; those of an absolute one lie where the link does.

    Nothing is behind a link to a folder that holds the link, or to nowhere.
    """
    path = folder / name
    target = path.resolve()
    place = name if path.readlink().is_absolute() else os.path.relpath(target, folder)
    if target.is_file():
        return {place}
    if not target.is_dir() or folder.is_relative_to(target):
        return set()
    return {f"{place}/{each}" for each in _below(target, environ) if (target / each).is_file()}

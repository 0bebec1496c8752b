"""What git says of the checkout, and the two things that a release has it do: tag and push."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from geowheel.errors import MachineError

from .console import Step
from .environments import isolated_environment, tool_environment
from .hints import Need, install, this_machine

# What git needs beside the basics to sign a tag and to reach a remote.
_AGENTS: Final = (
    "SSH_AUTH_SOCK", "SSH_AGENT_PID", "GPG_TTY", "GNUPGHOME", "GIT_SSH_COMMAND", "GIT_ASKPASS",
)  # fmt: skip
_SUBMODULE: Final = "160000"  # the mode of its entry in an index
_IDENTITY: Final = ("GIT_AUTHOR_", "GIT_COMMITTER_", "GIT_CONFIG_")


@dataclass(frozen=True, kw_only=True)
class Git:
    """The state of a checkout."""

    root: Path
    branch: str
    """Empty when HEAD is detached, as in CI."""
    contained_in: tuple[str, ...]
    """Branches that hold HEAD, remote ones by `origin/main`."""
    head: str
    changes: tuple[str, ...]
    """Lines of `git status --porcelain`."""

    def is_on(self, branch: str) -> bool:
        """Return whether HEAD is the branch, or detached and a commit of it."""
        if self.branch:
            return self.branch == branch
        return any(name == branch or name.endswith(f"/{branch}") for name in self.contained_in)


def top_of_checkout(folder: Path, environ: Mapping[str, str]) -> Path | None:
    """Return the top folder of the checkout that holds `folder`; None without one, or without git.

    Raises MachineError with git's own words where git refuses to read it.
    """
    git, marked = shutil.which("git", path=environ.get("PATH", "")), _marked(folder)
    if git is None or marked is None:
        return None
    result = _run_git(git, folder, environ, "rev-parse", "--show-toplevel")
    top = Path(result.stdout.strip()).resolve()
    if result.returncode == 0 and top == marked.resolve():
        return top
    said = result.stderr.strip().partition("\n")[0] or f"it takes {top} for the checkout"
    fix = f"mend it until `git -C {marked} status` works, or remove {marked / '.git'}"
    if "dubious ownership" in said:
        fix = f"`git config --global --add safe.directory {marked}` where you trust its owner"
    raise _unread(marked, said, fix)


def refuse_without_git(folder: Path, environ: Mapping[str, str]) -> None:
    """Raise MachineError where a checkout holds `folder`, and no git is there to read it."""
    marked = _marked(folder)
    if marked is not None and shutil.which("git", path=environ.get("PATH", "")) is None:
        fix = "say in [tool.geowheel.build] sources which files are the host's; or: "
        fix += install(Need.GIT, on=this_machine())
        raise _unread(marked, "there is no git on PATH", fix)


def _marked(folder: Path) -> Path | None:
    return next((p for p in (folder, *folder.parents) if (p / ".git").exists()), None)


def _unread(marked: Path, said: str, fix: str) -> MachineError:
    return MachineError(
        f"git does not read this checkout: {said}",
        where=str(marked),
        cause="without git, files that it ignores (keys, caches) would become a part of the host",
        fix=fix,
    )


def read_git(folder: Path, environ: Mapping[str, str]) -> Git | None:
    """Return the state of the checkout that holds `folder`; None without one, or without a commit.

    Raises MachineError where git refuses to read it.
    """

    def ask(*arguments: str) -> str | None:
        return ask_git(folder, environ, *arguments)

    root, head = top_of_checkout(folder, environ), ask("rev-parse", "--verify", "HEAD")
    if root is None or head is None:
        return None
    inside = ask("branch", "--all", "--contains", "HEAD", "--format=%(refname:short)") or ""
    return Git(
        root=root,
        branch=(ask("symbolic-ref", "--quiet", "--short", "HEAD") or "").strip(),
        contained_in=tuple(inside.split("\n")),
        head=head.strip(),
        changes=tuple((ask("status", "--porcelain") or "").splitlines()),
    )


def commit_of_tag(folder: Path, tag: str, environ: Mapping[str, str]) -> str | None:
    """Return the commit that a tag points to; None where there is no such tag."""
    found = ask_git(
        folder, environ, "rev-parse", "--verify", "--quiet", f"refs/tags/{tag}^{{commit}}"
    )
    return found.strip() if found else None


def make_tag(
    folder: Path, tag: str, message: str, *, step: Step, environ: Mapping[str, str]
) -> None:
    """Put an annotated tag on HEAD; raises BuildError when git refuses."""
    step.run(
        [git_program(environ), "tag", "--annotate", "--message", message, tag],
        env=git_environment(environ), cwd=folder,
    )  # fmt: skip


def push_command(tag: str) -> tuple[str, ...]:
    """Return what a person, or `--push`, runs to make the tag known."""
    return ("git", "push", "origin", f"refs/tags/{tag}")


def git_program(environ: Mapping[str, str]) -> str:
    """Return the path of git; raises MachineError without it."""
    found = shutil.which("git", path=environ.get("PATH", ""))
    if found is None:
        raise MachineError("there is no git on PATH", fix="install git: a release is of a commit")
    return found


def git_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return variables for a git that writes: who tags, how a remote is reached are the user's."""
    named = {name: value for name, value in environ.items() if name.startswith(_IDENTITY)}
    agents = {name: environ[name] for name in _AGENTS if name in environ}
    return tool_environment(environ, **named, **agents, GIT_TERMINAL_PROMPT="0")


def ask_git(folder: Path, environ: Mapping[str, str], *arguments: str) -> str | None:
    """Return what git prints; None when it refuses, or when there is no git."""
    git = shutil.which("git", path=environ.get("PATH", ""))
    if git is None:
        return None
    result = _run_git(git, folder, environ, *arguments)
    return result.stdout if result.returncode == 0 else None


def _run_git(
    git: str, folder: Path, environ: Mapping[str, str], *arguments: str, given: str = ""
) -> subprocess.CompletedProcess[str]:
    settings = {name: value for name, value in environ.items() if name.startswith("GIT_CONFIG_")}
    # Reading must not touch the index.
    env = isolated_environment(environ, GIT_OPTIONAL_LOCKS="0", **settings)
    return subprocess.run(
        [git, *arguments], cwd=folder, input=given, env=env, capture_output=True, check=False,
        encoding="utf-8", errors="surrogateescape",  # file names need not be text
    )  # fmt: skip


def share_history(top: Path, goal: Path, environ: Mapping[str, str]) -> None:
    """Make the new folder `goal` a checkout of the same commit as `top`, without its files.

    Objects are not copied. Raises MachineError with git's words.
    """
    quiet = ("--quiet", "--shared", "--no-checkout", "--template=")
    do_git(top, environ, "clone", *quiet, "--", str(top), str(goal))
    head = ask_git(top, environ, "rev-parse", "--verify", "HEAD")
    if head and ask_git(top, environ, "symbolic-ref", "--quiet", "HEAD") is None:
        # A clone of a detached HEAD is on a branch that has the same commit.
        do_git(goal, environ, "update-ref", "--no-deref", "HEAD", head.strip())


def share_index(top: Path, goal: Path, environ: Mapping[str, str]) -> None:
    """Give `goal` the index of `top`, so that git says the same of both.

    What is unchanged in `top` counts as such in `goal`: it may be left out there, and git would
    compare it without the filters of this checkout. Raises MachineError with git's words.
    """
    staged = do_git(top, environ, "ls-files", "-z", "--stage").split("\0")
    changed = set(do_git(top, environ, "diff", "-z", "--name-only").split("\0"))
    index, same = [], []
    for line in filter(None, staged):
        about, _, name = line.partition("\t")
        mode, commit, number = about.split()
        if mode == _SUBMODULE and name in changed:
            commit = "1" * len(commit)  # git does not look into a submodule without history
        index.append(f"{mode} {commit} {number}\t{name}\0")
        if name not in changed:
            same.append(f"{name}\0")
    do_git(goal, environ, "update-index", "-z", "--index-info", given="".join(index))
    do_git(goal, environ, "update-index", "-z", "--skip-worktree", "--stdin", given="".join(same))


def forget_reading(head: Path) -> None:
    """Have `was_read` say whether the HEAD of a repository is read from now on."""
    if head.is_file():
        for path in (head, head.with_name("config")):
            os.utime(path, ns=(0, path.stat().st_mtime_ns))


def was_read(head: Path) -> bool:
    """Return whether it was read; also where this file system does not tell (noatime)."""
    if not head.is_file():
        return False
    found, beside = head.stat().st_atime_ns, head.with_name("config")
    beside.read_bytes()
    return found != 0 or beside.stat().st_atime_ns == 0


def do_git(folder: Path, environ: Mapping[str, str], *arguments: str, given: str = "") -> str:
    """Return what git prints; raises MachineError with its words where it refuses."""
    result = _run_git(git_program(environ), folder, environ, *arguments, given=given)
    if result.returncode != 0:
        raise MachineError(
            f"git {arguments[0]} failed: {result.stderr.strip()}",
            where=str(folder),
            cause="what is built are the files that git knows, with its history for their version",
            fix=f"mend it until `git -C {folder} status` works",
        )
    return result.stdout

"""What git says of the checkout, and the two things that a release has it do: tag and push."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from geowheel.errors import MachineError

from .console import Step
from .environments import isolated_environment, tool_environment

# What git needs beside the basics to sign a tag and to reach a remote.
_AGENTS: Final = (
    "SSH_AUTH_SOCK", "SSH_AGENT_PID", "GPG_TTY", "GNUPGHOME", "GIT_SSH_COMMAND", "GIT_ASKPASS",
)  # fmt: skip
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


def read_git(folder: Path, environ: Mapping[str, str]) -> Git | None:
    """The state of the checkout that holds `folder`; None where there is none, or no commit."""

    def ask(*arguments: str) -> str | None:
        return ask_git(folder, environ, *arguments)

    root, head = ask("rev-parse", "--show-toplevel"), ask("rev-parse", "--verify", "HEAD")
    if root is None or head is None:
        return None
    inside = ask("branch", "--all", "--contains", "HEAD", "--format=%(refname:short)") or ""
    return Git(
        root=Path(root.strip()).resolve(),
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
    """An annotated tag on HEAD; raises BuildError when git refuses."""
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
    """For a git that writes: who tags, and how a remote is reached, come from the user."""
    named = {name: value for name, value in environ.items() if name.startswith(_IDENTITY)}
    agents = {name: environ[name] for name in _AGENTS if name in environ}
    return tool_environment(environ, **named, **agents, GIT_TERMINAL_PROMPT="0")


def ask_git(folder: Path, environ: Mapping[str, str], *arguments: str) -> str | None:
    """Return what git prints; None when it refuses, or when there is no git."""
    git = shutil.which("git", path=environ.get("PATH", ""))
    if git is None:
        return None
    result = subprocess.run(
        [git, *arguments], cwd=folder, capture_output=True, check=False, encoding="utf-8",
        errors="surrogateescape",  # file names need not be text
        # Reading must not touch the index.
        env=isolated_environment(environ, GIT_OPTIONAL_LOCKS="0"),
    )  # fmt: skip
    return result.stdout if result.returncode == 0 else None

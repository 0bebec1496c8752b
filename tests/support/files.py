"""Files, programs and repositories that tests put on disk."""

import subprocess
from collections.abc import Mapping
from pathlib import Path


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Files below a folder, which is returned."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def write_program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    """A program of that text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def git(folder: Path, *arguments: str) -> None:
    """Run git as somebody who has a name, with submodules of folders allowed."""
    known = ("user.name=A", "user.email=a@example.invalid", "protocol.file.allow=always")
    options = [word for setting in known for word in ("-c", setting)]
    subprocess.run(["git", *options, *arguments], cwd=folder, check=True, capture_output=True)

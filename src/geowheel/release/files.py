"""The files that a release publishes, and the list of their digests."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of the release, known by its bytes."""

    filename: str
    sha256: str
    size: int

    @property
    def is_wheel(self) -> bool:
        return self.filename.endswith(".whl")

    def key(self, tools: str) -> str:
        """By what a journal knows a check of these bytes with these tools."""
        return f"{self.sha256}:{tools}"


def sums_of(files: Sequence[File]) -> str:
    """The list as `sha256sum --check` reads it."""
    ordered = sorted(files, key=lambda file: file.filename)
    return "".join(f"{file.sha256}  {file.filename}\n" for file in ordered)


def write_whole(path: Path, text: str) -> None:
    """A text file, with one rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".part-") as scratch:
        part = Path(scratch, path.name)
        part.write_text(text, encoding="utf-8")
        part.replace(path)

"""The files that a release publishes, and the list of their digests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geowheel.digest import Sha256, sha256_file


@dataclass(frozen=True, kw_only=True)
class ReleaseFile:
    """A file of the release, known by its bytes."""

    filename: str
    sha256: Sha256
    size: int

    @property
    def is_wheel(self) -> bool:
        return self.filename.endswith(".whl")

    def key(self, tools: str) -> str:
        """Return the name of a check of these bytes with these tools in a journal."""
        return f"{self.sha256}:{tools}"


def file_at(path: Path) -> ReleaseFile:
    """Return the file at a path, as it is now."""
    return ReleaseFile(filename=path.name, sha256=sha256_file(path), size=path.stat().st_size)


def sums_of(files: Sequence[ReleaseFile]) -> str:
    """Return the list as `sha256sum --check` reads it."""
    ordered = sorted(files, key=lambda file: file.filename)
    return "".join(f"{file.sha256}  {file.filename}\n" for file in ordered)

"""The journal of a release: what an earlier run did, one rename after each step."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Final

import msgspec

from geowheel.machine.files import write

FORMAT: Final = 2


@dataclass(frozen=True, kw_only=True)
class Built:
    """A file that a release made itself: an sdist, or the wheel of a pure project."""

    filename: str
    sha256: str

    @property
    def is_wheel(self) -> bool:
        return self.filename.endswith(".whl")


@dataclass(frozen=True, kw_only=True)
class Uploaded:
    """A file that an index took."""

    filename: str
    sha256: str
    index: str
    time: str


@dataclass(frozen=True, kw_only=True)
class Journal:
    """What was done to release one distribution from one commit; every change gives another one."""

    format: int = FORMAT
    name: str
    commit: str
    built: tuple[Built, ...] = ()
    checked: tuple[str, ...] = ()
    """Keys of checks that passed: of the file's bytes and of the tools."""
    tagged: str = ""
    """The commit that the release's tag was put on."""
    uploaded: tuple[Uploaded, ...] = ()
    path: Path = field(compare=False, default=Path())

    def with_built(self, built: tuple[Built, ...]) -> Journal:
        return replace(self, built=built)._written()

    def with_checked(self, key: str) -> Journal:
        return replace(self, checked=tuple(sorted({*self.checked, key})))._written()

    def with_tag(self, commit: str) -> Journal:
        return replace(self, tagged=commit)._written()

    def with_uploaded(self, uploaded: Uploaded) -> Journal:
        return replace(self, uploaded=(*self.uploaded, uploaded))._written()

    def _written(self) -> Journal:
        """Itself, on disk: whole, or as it was before."""
        data = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "path"}
        write(self.path, msgspec.json.format(msgspec.json.encode(data), indent=1))
        return self


def read_journal(folder: Path, name: str, commit: str) -> Journal:
    """The journal of earlier runs from a commit; an empty one where there is none that can be read.

    What is lost with one is found again: uploads on the index, the tag in git.
    """
    path = folder / f"{name}-{commit}.json"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Journal)
    except (OSError, msgspec.DecodeError):
        found = None
    if found is None or found.format != FORMAT:
        found = Journal(name=name, commit=commit)
    return replace(found, path=path)


def every_built(folder: Path) -> frozenset[str]:
    """The sha256 of all that releases of this root made, from any commit."""
    journals = [read_journal(folder, *path.stem.rsplit("-", 1)) for path in folder.glob("*-*.json")]
    return frozenset(item.sha256 for journal in journals for item in journal.built)

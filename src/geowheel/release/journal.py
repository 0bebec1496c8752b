"""The journal of a release: what an earlier run did, one rename after each step."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

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

    path: Path = field(compare=False)
    name: str
    commit: str
    built: tuple[Built, ...] = ()
    checked: tuple[str, ...] = ()
    """Keys of checks that passed: of the file's bytes and of the tools."""
    tagged: str = ""
    """The commit that the release's tag was put on."""
    uploaded: tuple[Uploaded, ...] = ()

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
        data = {"format": FORMAT, **asdict(self)}
        del data["path"]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(f".{self.path.name}.part")  # one run at a time: `act` has a lock
        with part.open("w", encoding="utf-8") as file:
            json.dump(data, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path)
        return self


def read_journal(folder: Path, name: str, commit: str) -> Journal:
    """The journal of earlier runs from a commit; an empty one where there is none that can be read.

    What is lost with one is found again: uploads on the index, the tag in git.
    """
    empty = Journal(path=folder / f"{name}-{commit}.json", name=name, commit=commit)
    try:
        data = json.loads(empty.path.read_text(encoding="utf-8"))
        if data.pop("format") != FORMAT:
            return empty
        return Journal(
            path=empty.path,
            name=str(data["name"]),
            commit=str(data["commit"]),
            built=tuple(Built(**item) for item in data["built"]),
            checked=tuple(data["checked"]),
            tagged=str(data["tagged"]),
            uploaded=tuple(Uploaded(**item) for item in data["uploaded"]),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return empty


def every_built(folder: Path) -> frozenset[str]:
    """The sha256 of all that releases of this root made, from any commit."""
    journals = [read_journal(folder, *path.stem.rsplit("-", 1)) for path in folder.glob("*-*.json")]
    return frozenset(item.sha256 for journal in journals for item in journal.built)

"""The files that a release publishes, and its journal: what an earlier run made and checked."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Final

from geowheel.digest import Sha256, sha256_file
from geowheel.machine.files import read_json, to_json, write

FORMAT: Final = 2


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


@dataclass(frozen=True, kw_only=True)
class Journal:
    """What was made and checked to release a distribution from a commit; a change gives another."""

    format: int = FORMAT
    name: str
    commit: str
    built: tuple[ReleaseFile, ...] = ()
    """What was made here: an sdist, and the wheel of a pure project."""
    checked: tuple[str, ...] = ()
    """Keys of checks that passed: of the file's bytes and of the tools."""
    path: Path = field(compare=False, default=Path())

    def with_built(self, built: tuple[ReleaseFile, ...]) -> "Journal":
        return replace(self, built=built)._written()

    def with_checked(self, key: str) -> "Journal":
        return replace(self, checked=tuple(sorted({*self.checked, key})))._written()

    def _written(self) -> "Journal":
        """Write itself with one rename: it is whole on disk, or as it was before."""
        data = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "path"}
        write(self.path, to_json(data))
        return self


def read_journal(folder: Path, name: str, commit: str) -> Journal:
    """Return the journal of earlier runs from a commit; an empty one where none can be read.

    It has neither uploads nor the tag: the index and git know them.
    """
    path = folder / f"{name}-{commit}.json"
    found = read_json(path, Journal)
    if found is None or found.format != FORMAT:
        found = Journal(name=name, commit=commit)
    return replace(found, path=path)


def every_built(folder: Path) -> frozenset[str]:
    """Return the sha256 of all that releases of this root made, from any commit."""
    journals = [read_journal(folder, *path.stem.rsplit("-", 1)) for path in folder.glob("*-*.json")]
    return frozenset(item.sha256 for journal in journals for item in journal.built)

"""What one wheel file holds, for the report: its packages by size, and the SBOM that it carries.

Nothing here reads the ledger: a wheel that no record names has a content all the same.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from msgspec import Struct

from geowheel.contents.bill import read_sbom
from geowheel.errors import IntegrityError
from geowheel.machine.archives import open_zip
from geowheel.project.places import Places
from geowheel.records.facts import Cost, Owner
from geowheel.stages.size import UNKNOWN, costs, kind_of

_SHOWN: Final = 6  # of a package's files, the largest


@dataclass(frozen=True, kw_only=True)
class MemberSize:
    """A member of a wheel."""

    path: str
    packed: int
    """Bytes in the wheel."""
    size: int
    """Bytes, once installed."""


@dataclass(frozen=True, kw_only=True)
class PackageSize:
    """What one package takes of a wheel."""

    name: str
    version: str
    kind: str
    """What most of its bytes are there for: `libraries`, `plugins`, `PROJ data`."""
    packed: int
    size: int
    files: int
    largest: tuple[MemberSize, ...]


class BundledPackage(Struct, frozen=True, kw_only=True, rename={"license": "licence"}):
    """A package that the SBOM names; report.json keeps the name that `license` once had."""

    name: str
    version: str
    license: str
    """An SPDX expression or a name; empty where the SBOM states none."""


@dataclass(frozen=True, kw_only=True)
class Inside:
    """The content of one wheel."""

    installed: int = 0
    parts: tuple[PackageSize, ...] = ()
    """The largest first."""
    kinds: tuple[Cost, ...] = ()
    components: tuple[BundledPackage, ...] = ()
    problem: str = ""
    """Why the file cannot be read; empty where it can."""


def look_inside(path: Path, owners: Sequence[Owner], places: Places) -> Inside:
    """Return what the wheel at `path` holds; `owners` are its members', else the SBOM's.

    A file that is no wheel is a fact to report, not an exception.
    """
    try:
        with open_zip(path) as archive:
            files = tuple(
                MemberSize(path=info.filename, packed=info.compress_size, size=info.file_size)
                for info in archive.infolist()
                if not info.is_dir()
            )
            packages = read_sbom(archive)
    except (OSError, IntegrityError) as error:
        return Inside(problem=str(error))
    kinds = {file.path: kind_of(file.path, places) for file in files}
    known = owners or [Owner(name=p.name, version=p.version, files=p.files) for p in packages]
    ordered = sorted(packages, key=lambda p: (p.name.lower(), p.version, p.license))
    return Inside(
        installed=sum(file.size for file in files),
        parts=_parts(files, known, kinds),
        kinds=costs(Cost, files, kinds),
        components=tuple(
            BundledPackage(name=p.name, version=p.version, license=p.license) for p in ordered
        ),
    )


def _parts(
    files: Sequence[MemberSize], owners: Sequence[Owner], kinds: Mapping[str, str]
) -> tuple[PackageSize, ...]:
    known = {path: (owner.name, owner.version) for owner in owners for path in owner.files}
    groups: dict[tuple[str, str], list[MemberSize]] = {}
    for file in files:
        groups.setdefault(known.get(file.path, (UNKNOWN, "")), []).append(file)
    parts = [_part(name, version, group, kinds) for (name, version), group in groups.items()]
    return tuple(sorted(parts, key=lambda part: (-part.packed, part.name, part.version)))


def _part(
    name: str, version: str, files: Sequence[MemberSize], kinds: Mapping[str, str]
) -> PackageSize:
    weight: Counter[str] = Counter()
    for file in files:
        weight[kinds[file.path]] += file.packed
    largest = sorted(files, key=lambda file: (-file.packed, file.path))[:_SHOWN]
    return PackageSize(
        name=name,
        version=version,
        kind=min(weight, key=lambda kind: (-weight[kind], kind)),
        packed=sum(file.packed for file in files),
        size=sum(file.size for file in files),
        files=len(files),
        largest=tuple(largest),
    )

"""What one wheel file holds, for the report: its packages by size, and the SBOM that it carries.

Nothing here reads the ledger: a wheel that no record names has a content all the same.
"""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packageurl import PackageURL

from geowheel.contents.sbom import FILE_NAME, FOLDER
from geowheel.project.places import Places
from geowheel.stages.size import UNKNOWN, kind_of

_SHOWN: Final = 6  # of a package's files, the largest


@dataclass(frozen=True, kw_only=True)
class File:
    """A member of a wheel."""

    path: str
    packed: int
    """Bytes in the wheel."""
    size: int
    """Bytes, once installed."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one package takes of a wheel."""

    name: str
    version: str
    kind: str
    """What most of its bytes are there for: `libraries`, `plugins`, `PROJ data`."""
    packed: int
    size: int
    files: int
    largest: tuple[File, ...]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What all files of one kind take of a wheel."""

    name: str
    packed: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Component:
    """A package that the SBOM names."""

    name: str
    version: str
    licence: str
    """An SPDX expression or a name; empty where the SBOM states none."""
    source: str
    """The channel's URL, or the kind of index."""


@dataclass(frozen=True, kw_only=True)
class Inside:
    """The content of one wheel."""

    installed: int = 0
    parts: tuple[Part, ...] = ()
    """The largest first."""
    kinds: tuple[Cost, ...] = ()
    components: tuple[Component, ...] = ()
    problem: str = ""
    """Why the file cannot be read; empty where it can."""


def look_inside(path: Path, owners: Mapping[str, str], places: Places) -> Inside:
    """What the wheel at `path` holds; `owners` are the packages of its members, as `name version`.

    A file that is no wheel is a fact to report, not an exception.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            files = tuple(
                File(path=info.filename, packed=info.compress_size, size=info.file_size)
                for info in archive.infolist()
                if not info.is_dir()
            )
            boms = _boms(archive, files)
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        return Inside(problem=str(error))
    kinds = {file.path: kind_of(file.path, places) for file in files}
    return Inside(
        installed=sum(file.size for file in files),
        parts=_parts(files, owners or _owners(boms), kinds),
        kinds=_costs(files, kinds),
        components=_components(boms),
    )


def _parts(
    files: Sequence[File], owners: Mapping[str, str], kinds: Mapping[str, str]
) -> tuple[Part, ...]:
    groups: dict[str, list[File]] = {}
    for file in files:
        groups.setdefault(owners.get(file.path, UNKNOWN), []).append(file)
    parts = [_part(owner, group, kinds) for owner, group in groups.items()]
    return tuple(sorted(parts, key=lambda part: (-part.packed, part.name, part.version)))


def _part(owner: str, files: Sequence[File], kinds: Mapping[str, str]) -> Part:
    """One package; `owner` is its name and version, as the ledger has them."""
    name, _, version = (owner, "", "") if owner == UNKNOWN else owner.rpartition(" ")
    weight: Counter[str] = Counter()
    for file in files:
        weight[kinds[file.path]] += file.packed
    largest = sorted(files, key=lambda file: (-file.packed, file.path))[:_SHOWN]
    return Part(
        name=name or version,
        version=version if name else "",
        kind=min(weight, key=lambda kind: (-weight[kind], kind)),
        packed=sum(file.packed for file in files),
        size=sum(file.size for file in files),
        files=len(files),
        largest=tuple(largest),
    )


def _costs(files: Iterable[File], kinds: Mapping[str, str]) -> tuple[Cost, ...]:
    packed: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for file in files:
        packed[kinds[file.path]] += file.packed
        size[kinds[file.path]] += file.size
    costs = [Cost(name=name, packed=packed[name], size=size[name]) for name in packed]
    return tuple(sorted(costs, key=lambda cost: (-cost.packed, cost.name)))


def _boms(archive: zipfile.ZipFile, files: Iterable[File]) -> tuple[Mapping[str, Any], ...]:
    """The components of geowheel's own SBOM in the wheel; nothing where there is none to read."""
    ending = f".dist-info/{FOLDER}/{FILE_NAME}"
    found: list[Mapping[str, Any]] = []
    for path in (file.path for file in files if file.path.endswith(ending)):
        try:
            found += json.loads(archive.read(path))["components"]
        except (ValueError, KeyError, TypeError):
            return ()
    return tuple(row for row in found if isinstance(row, dict) and "name" in row)


def _owners(boms: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The package of each file that an SBOM lists: for a wheel without a record."""
    return {
        str(file["name"]): f"{row['name']} {row.get('version', '')}"
        for row in boms
        for file in row.get("components", ())
    }


def _components(boms: Iterable[Mapping[str, Any]]) -> tuple[Component, ...]:
    found = map(_component, boms)
    return tuple(sorted(found, key=lambda c: (c.name.lower(), c.version, c.licence, c.source)))


def _component(row: Mapping[str, Any]) -> Component:
    return Component(
        name=str(row["name"]),
        version=str(row.get("version", "")),
        licence=" and ".join(filter(None, map(_licence, row.get("licenses", [])))),
        source=_source(str(row.get("purl", ""))),
    )


def _licence(row: Mapping[str, Any]) -> str:
    """One of CycloneDX's license choices."""
    named = row.get("license", {})
    return str(row.get("expression") or named.get("id") or named.get("name") or "")


def _source(text: str) -> str:
    try:
        purl = PackageURL.from_string(text)
    except ValueError:
        return ""
    qualifiers = purl.qualifiers if isinstance(purl.qualifiers, dict) else {}
    return str(qualifiers.get("channel") or {"pypi": "source distribution"}.get(purl.type, ""))

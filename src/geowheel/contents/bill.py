"""Reading geowheel's own SBOM out of a wheel; `geowheel.contents.sbom` writes it."""

import zipfile
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Struct

from geowheel.machine.archives import read_member
from geowheel.machine.files import from_json

FILE_NAME: Final = "geowheel.cdx.json"
FOLDER: Final = "sboms"
RECIPE: Final = "geowheel:"
"""How the names of properties begin that say how a wheel was made."""
_OURS: Final = f".dist-info/{FOLDER}/{FILE_NAME}"


@dataclass(frozen=True, kw_only=True)
class SbomPackage:
    """A package that an SBOM names."""

    name: str
    version: str
    purl: str
    license: str
    """An SPDX expression or a name; empty where none is stated."""
    files: tuple[str, ...]
    """Its paths in the wheel."""
    sha256: str = ""
    """Of the package's file, where it is stated."""


class _Named(Struct, frozen=True, kw_only=True):
    id: str = ""
    name: str = ""


class _License(Struct, frozen=True, kw_only=True):
    """One of CycloneDX's license choices."""

    expression: str = ""
    license: _Named = _Named()

    def __str__(self) -> str:
        return self.expression or self.license.id or self.license.name


class _Hash(Struct, frozen=True, kw_only=True):
    alg: str = ""
    content: str = ""


class _Component(Struct, frozen=True, kw_only=True):
    name: str
    version: str = ""
    purl: str = ""
    licenses: tuple[_License, ...] = ()
    hashes: tuple[_Hash, ...] = ()
    components: "tuple[_Component, ...]" = ()


class _Property(Struct, frozen=True, kw_only=True):
    name: str
    value: str = ""


class _Metadata(Struct, frozen=True, kw_only=True):
    properties: tuple[_Property, ...] = ()


class _Bom(Struct, frozen=True, kw_only=True):
    components: tuple[_Component, ...] = ()
    metadata: _Metadata = _Metadata()


def read_sbom(archive: zipfile.ZipFile, ending: str = _OURS) -> tuple[SbomPackage, ...]:
    """Return the packages that the wheel's SBOM names; none where there is none to be read."""
    return tuple(
        SbomPackage(
            name=row.name,
            version=row.version,
            purl=row.purl,
            license=" and ".join(filter(None, map(str, row.licenses))),
            files=tuple(file.name for file in row.components),
            sha256=next((h.content for h in row.hashes if h.alg == "SHA-256"), ""),
        )
        for row in _bom(archive, ending).components
    )


def read_recipe(archive: zipfile.ZipFile) -> dict[str, str]:
    """Return how the wheel was made, as its SBOM says; empty where it does not."""
    every = _bom(archive, _OURS).metadata.properties
    return {p.name.removeprefix(RECIPE): p.value for p in every if p.name.startswith(RECIPE)}


def _bom(archive: zipfile.ZipFile, ending: str) -> _Bom:
    name = next((name for name in archive.namelist() if name.endswith(ending)), None)
    try:
        return from_json(read_member(archive, name), _Bom) if name else _Bom()
    except msgspec.DecodeError:
        return _Bom()

"""What a repaired wheel says of itself: origins, license texts and SBOM, written into dist-info."""

import email.parser
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from geowheel.digest import sha256_file
from geowheel.locks.assets import Asset, Package
from geowheel.machine.console import Step
from geowheel.prefix.linker import read_native_manifest
from geowheel.project.places import Places
from geowheel.systems.contract import RepairedTree
from geowheel.wheel.reading import parse_filename

from .bill import FILE_NAME
from .bill import FOLDER as SBOMS
from .licenses import FOLDER as LICENSES
from .licenses import LicenseGate, Texts, add_license_texts
from .linked_in import linked_in
from .origins import Origin, Origins, license_holder, of_conda
from .restricted import Restricted
from .sbom import SbomSubject, sbom
from .ways import find_ways


@dataclass(frozen=True, kw_only=True)
class Described:
    """What was found while a wheel was described."""

    origins: Mapping[str, Origin]
    """Of each path in the wheel."""
    own: frozenset[str]
    """Paths of the host's own files."""
    packaged: frozenset[str]
    """Paths of what locked packages brought, their license texts among it."""
    texts: Texts
    restricted: tuple[Restricted, ...]
    sources: Mapping[str, int]
    """How many of the packages are from each channel, by its URL, or from an sdist."""


def describe(
    repaired: RepairedTree,
    *,
    prefix: Path,
    payload: Mapping[str, str],
    places: Places,
    sdist: Asset,
    prebuilt: Package | None,
    recipe: Mapping[str, str],
    gate: LicenseGate,
    step: Step,
) -> Described:
    """Write license texts and the SBOM into the tree; `prefix` is the one that `fetch` made.

    `payload` has the origin of each file that `vendor` laid out, by name; `recipe` is how all of it
    was made.

    Raises BuildError for a bundled file that no package owns, and for refused licenses.
    """
    tree = repaired.tree
    (dist_info,) = tree.glob("*.dist-info")
    subject = _subject(repaired.filename, dist_info)
    manifest = read_native_manifest(prefix.parent)
    host = Origin(name=subject.name, version=subject.version)
    origins = Origins(
        places=places, payload=payload, manifest=manifest, sdist=sdist, prebuilt=prebuilt,
        host=host, bundled=repaired.bundled,
    ).of(_members(tree))  # fmt: skip
    files: dict[Package, list[str]] = {}
    for path, origin in origins.items():
        if (holder := license_holder(origin, manifest)) is not None:
            files.setdefault(holder, []).append(path)
    linked = linked_in(files, manifest, prefix)
    packages = {**files, **linked}
    ways = find_ways(repaired, places.plugins, {p: origin.name for p, origin in origins.items()})
    restricted = gate.check(packages, ways, step)
    texts = add_license_texts(packages, prefix.parent, dist_info)
    if texts.without:
        step.say(f"no license text in the packages of {', '.join(texts.without)}")
    _write_sbom(subject, origins, linked, recipe, dist_info)
    # RECORD is made when the wheel is packed.
    every = [*_members(tree), f"{dist_info.name}/RECORD"]
    own = frozenset(path for path, origin in origins.items() if origin == host)
    origins |= {path: host for path in every if path not in origins}
    packaged = frozenset(
        path
        for path, origin in origins.items()
        if origin.package is not None or path.startswith(f"{dist_info.name}/{LICENSES}/")
    )
    components = {*(o for o in origins.values() if o.is_bundled), *map(of_conda, linked)}
    return Described(
        origins=origins,
        own=own,
        packaged=packaged,
        texts=texts,
        restricted=restricted,
        sources=Counter(sorted(origin.source for origin in components)),
    )


def _write_sbom(
    subject: SbomSubject, origins: Mapping[str, Origin], linked: Iterable[Package],
    recipe: Mapping[str, str], dist_info: Path,
) -> None:  # fmt: skip
    described = [path for path, origin in origins.items() if origin.is_bundled]
    with ThreadPoolExecutor() as pool:
        digests = pool.map(lambda path: sha256_file(dist_info.parent / path), described)
        sha256 = dict(zip(described, digests, strict=True))
    goal = dist_info / SBOMS / FILE_NAME
    goal.parent.mkdir(exist_ok=True)
    text = sbom(subject, origins, map(of_conda, linked), sha256, recipe)
    goal.write_text(text, encoding="utf-8")


def _subject(filename: str, dist_info: Path) -> SbomSubject:
    name, version, _, _ = parse_filename(filename)
    metadata = email.parser.HeaderParser().parsestr((dist_info / "METADATA").read_text("utf-8"))
    return SbomSubject(
        name=name, version=version, license=str(metadata.get("License-Expression", ""))
    )


def _members(tree: Path) -> list[str]:
    return sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file())

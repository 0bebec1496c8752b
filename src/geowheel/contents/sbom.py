"""The SBOM of a wheel: CycloneDX, in dist-info/sboms as PEP 770 says.

Every package of the native stack that has a file in the wheel is a component, with its files and
their digests as they are in the wheel; so is a package that was linked into such a file. A
package is known by its sha256; from which channel or mirror it came is no part of a wheel. The same
wheel gives the same bytes: the serial number is made from the content, and the time is the constant
epoch.
"""

import datetime
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from geowheel.digest import digest
from geowheel.machine.environments import EPOCH

from .bill import RECIPE
from .origins import Origin

_NAMESPACE: Final = uuid.UUID("a8b6c1de-5f0e-5c57-9a35-3f1f5a0c8e11")
"""Of our serial numbers; any constant would do (RFC 9562, version 5)."""


@dataclass(frozen=True, kw_only=True)
class SbomSubject:
    """The wheel that is described."""

    name: str
    version: str
    license: str
    """Of the host's own code, where its metadata state one as an expression."""


def sbom(
    subject: SbomSubject,
    origins: Mapping[str, Origin],
    linked: Iterable[Origin],
    sha256: Mapping[str, str],
    recipe: Mapping[str, str],
) -> str:
    """Return the SBOM as JSON text; `origins` and `sha256` are by path in the wheel.

    `linked` is inside the files of others; `recipe` is how the wheel was made, by words.
    """
    files: dict[Origin, list[str]] = {origin: [] for origin in linked}
    for path, origin in sorted(origins.items()):
        if origin.is_bundled:
            files.setdefault(origin, []).append(path)
    root = Component(
        type=ComponentType.LIBRARY,
        name=subject.name,
        version=subject.version,
        bom_ref=f"pkg:pypi/{subject.name}@{subject.version}",
        purl=PackageURL("pypi", None, subject.name, subject.version),
        licenses=_licenses(subject.license),
    )
    components = [_component(origin, paths, sha256) for origin, paths in files.items()]
    bom = Bom(components=components)
    bom.metadata.component = root
    bom.metadata.timestamp = datetime.datetime.fromtimestamp(EPOCH, tz=datetime.UTC)
    bom.metadata.properties = [
        Property(name=f"{RECIPE}{name}", value=value) for name, value in recipe.items()
    ]
    content = (subject.name, subject.version, sha256, recipe)
    bom.serial_number = uuid.uuid5(_NAMESPACE, digest(content))
    bom.register_dependency(root, components)
    outputter = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6)
    return outputter.output_as_string(indent=1) + "\n"


def _component(origin: Origin, paths: Iterable[str], sha256: Mapping[str, str]) -> Component:
    package, sdist = origin.package, origin.sdist
    if package is not None:
        purl = PackageURL(
            "conda", None, package.name, package.version,
            {"build": package.build, "subdir": package.subdir},
        )  # fmt: skip
        content, license = package.sha256, package.license or ""
    elif sdist is not None:
        purl = PackageURL("pypi", None, sdist.name, sdist.version, {"file_name": sdist.file_name})
        content, license = sdist.sha256, ""
    else:
        raise ValueError(f"{origin} is nothing that was bundled")
    return Component(
        type=ComponentType.LIBRARY,
        name=origin.name,
        version=origin.version,
        bom_ref=purl.to_string(),
        purl=purl,
        licenses=_licenses(license),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=content)],
        components=[
            Component(
                type=ComponentType.FILE,
                name=path,
                bom_ref=f"{purl.to_string()}#{path}",
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256[path])],
            )
            for path in paths
        ],
    )


def _licenses(text: str) -> list[LicenseExpression | DisjunctiveLicense]:
    """Return an SPDX expression where it is one, else a license of that name."""
    if not text:
        return []
    try:
        return [LicenseExpression(value=str(canonicalize_license_expression(text)))]
    except InvalidLicenseExpression:
        return [DisjunctiveLicense(name=text)]

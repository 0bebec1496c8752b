"""Where every file of a repaired wheel comes from.

Nothing enters a wheel anonymously: a bundled library that no package of the native stack owns ends
the build.
"""

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from geowheel import __version__, systems
from geowheel.errors import BuildError, Fault
from geowheel.locks.assets import Asset, Package
from geowheel.locks.native_stack import BINDINGS
from geowheel.prefix.linker import NativeManifest
from geowheel.project.places import Places
from geowheel.systems.contract import SHIM, Bundled
from geowheel.targets import GDAL_PACKAGE

GEOWHEEL: Final = "geowheel"
SDIST: Final = "GDAL bindings"
"""How what is from GDAL's sdist is named."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a file belongs to."""

    name: str
    version: str
    package: Package | None = None
    """The conda package, for what comes from the native stack."""
    sdist: Asset | None = None
    """GDAL's sdist, for what is compiled or copied from it."""

    @property
    def is_bundled(self) -> bool:
        """Whether it is neither the host's nor geowheel's own."""
        return self.package is not None or self.sdist is not None

    @property
    def source(self) -> str:
        """The URL of the channel that it is from, or what else it was made of."""
        return self.package.channel_url if self.package else "source distribution"

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, kw_only=True)
class Origins:
    """All that may be an origin of one wheel's files."""

    places: Places
    payload: Mapping[str, str]
    """Of each file that `vendor` laid out, what it is from, by name."""
    manifest: NativeManifest
    sdist: Asset
    prebuilt: Package | None
    """The conda package of the bindings, where they are not compiled from the sdist."""
    host: Origin
    bundled: tuple[Bundled, ...]

    def of(self, members: Iterable[str]) -> dict[str, Origin]:
        """Return each member's origin; raises BuildError for what no package owns, IntegrityError
        for what several bring."""
        libraries = systems.of(self.manifest.platform).layout.libraries
        sources = {
            item.path: posixpath.normpath(f"{libraries}/{item.source}") for item in self.bundled
        }
        self.manifest.refuse_contested(sources.values())
        owners = self.manifest.owners
        if faults := [
            Fault(
                what=f"{path} is in the wheel, but no package of the native stack owns {source}",
                where=source,
                cause="it was put into the prefix by hand, or an older geowheel placed it",
                fix="run `geowheel fetch`, which places the prefix anew when it was changed",
            )
            for path, source in sorted(sources.items())
            if source not in owners
        ]:
            raise BuildError(faults)
        named = {
            **{p.package.name: of_conda(p.package) for p in self.manifest.packages},
            **({BINDINGS: of_conda(self.prebuilt)} if self.prebuilt else {}),
            SDIST: Origin(name=SDIST, version=self.sdist.version, sdist=self.sdist),
            GEOWHEEL: Origin(name=GEOWHEEL, version=__version__),
        }
        members = tuple(members)
        ours = [path for path in members if posixpath.basename(path).startswith(SHIM)]
        from_payload = {**self.payload, **dict.fromkeys([*ours, self.places.bundle], GEOWHEEL)}
        return {
            path: of_conda(owners[sources[path]])
            if path in sources
            else named[from_payload[path]]
            if path in from_payload
            else self.host
            for path in members
        }


def of_conda(package: Package) -> Origin:
    """Return the origin of what a conda package brings."""
    return Origin(name=package.name, version=package.version, package=package)


def license_holder(origin: Origin, manifest: NativeManifest) -> Package | None:
    """Return the conda package whose license texts hold for an origin.

    GDAL's sdist has no license text of its own, and neither need the package of its bindings:
    libgdal-core's package brings GDAL's.
    """
    if origin.sdist is not None or (origin.package and origin.package.name == BINDINGS):
        return next(p.package for p in manifest.packages if p.package.name == GDAL_PACKAGE)
    return origin.package

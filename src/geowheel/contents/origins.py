"""Where every file of a repaired wheel comes from.

Nothing enters a wheel anonymously: a bundled library that no package of the native stack owns ends
the build.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from geowheel import __version__, systems
from geowheel.errors import BuildError, Fault
from geowheel.locks.build_lock import Download
from geowheel.locks.pixi_lock import (
    BINDINGS,
    GDAL,
    Package,
)
from geowheel.prefix.linker import NativeManifest
from geowheel.project.places import Places
from geowheel.systems.contract import Bundled
from geowheel.targets import Platform

GEOWHEEL: Final = "geowheel"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a file belongs to."""

    name: str
    version: str
    package: Package | None = None
    """The conda package, for what comes from the native stack."""
    sdist: Download | None = None
    """GDAL's sdist, for what is compiled or copied from it."""

    @property
    def is_bundled(self) -> bool:
        """Whether it is neither the host's nor geowheel's own."""
        return self.package is not None or self.sdist is not None

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, kw_only=True)
class Origins:
    """All that may be an origin of one wheel's files."""

    places: Places
    manifest: NativeManifest
    sdist: Download
    prebuilt: Package | None
    """The conda package of the bindings, where they are not compiled from the sdist."""
    host: Origin
    bundled: tuple[Bundled, ...]

    def of(self, members: Iterable[str]) -> dict[str, Origin]:
        """The origin of each member; raises BuildError naming what no package owns."""
        sources = dict(self._sources(members))
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
        return {
            path: _conda(owners[sources[path]]) if path in sources else self._other(path)
            for path in members
        }

    def _sources(self, members: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Path in the wheel and path in the prefix, of what was copied from there."""
        layout = systems.of(Platform(self.manifest.platform)).layout
        libraries = {
            item.path: posixpath.normpath(f"{layout.libraries}/{item.source}")
            for item in self.bundled
        }
        folders = {
            f"{self.places.gdal_data}/": f"{layout.gdal_data}/",
            f"{self.places.proj_data}/": f"{layout.proj_data}/",
            f"{self.places.plugins}/": f"{layout.plugins}/",
            f"{self.places.programs}/": f"{layout.programs}/",
        }
        for path in members:
            if path in libraries:
                yield path, libraries[path]
            elif path == self.places.ca_bundle:
                yield path, layout.ca_bundle
            for folder, source in folders.items():
                if path.startswith(folder):
                    yield path, source + path.removeprefix(folder)

    def _other(self, path: str) -> Origin:
        places = self.places
        own = (places.bootstrap, places.bundle, places.launcher, *places.packages_between)
        if path in own:
            return Origin(name=GEOWHEEL, version=__version__)
        if places.has_bindings and self.prebuilt and path.startswith(f"{places.package}/"):
            return _conda(self.prebuilt)
        if places.has_bindings and path.startswith((f"{places.package}/", f"{places.utilities}/")):
            return Origin(name="GDAL bindings", version=self.sdist.version, sdist=self.sdist)
        return self.host


def _conda(package: Package) -> Origin:
    return Origin(name=package.name, version=package.version, package=package)


def license_holder(origin: Origin, manifest: NativeManifest) -> Package | None:
    """The conda package whose license texts hold for an origin.

    GDAL's sdist has no license text of its own, and neither need the package of its bindings:
    libgdal-core's package brings GDAL's.
    """
    if origin.sdist is not None or (origin.package and origin.package.name == BINDINGS):
        return next(p.package for p in manifest.packages if p.package.name == GDAL)
    return origin.package

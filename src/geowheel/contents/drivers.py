"""The drivers of a wheel, and what its locked native stack offers beyond them.

The lists come from libgdal itself at run time: from the wheel's, and from the prefix's with each of
its plugins. A plugin package that is locked but not in the configuration is in no prefix, so it can
only be told by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from geowheel import systems
from geowheel.machine.files import table_of
from geowheel.targets import GDAL_PACKAGE

if TYPE_CHECKING:
    from geowheel.prefix.linker import NativeManifest

PLUGIN_PACKAGES: Final = "libgdal-"


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a probe of an installed wheel found."""

    name: str
    passed: bool | None
    """None: it was not run, and `detail` says why."""
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Driver:
    """One driver that a libgdal has registered."""

    name: str
    kinds: tuple[str, ...]
    """`raster`, `vector`, both, or neither (multidimensional arrays, networks)."""
    plugin: str = ""
    """The file that registered it; empty for what is built into libgdal."""


@dataclass(frozen=True, kw_only=True)
class PackageOffer:
    """What a conda package would add to a wheel."""

    package: str
    drivers: tuple[str, ...]
    """Empty where nothing is known of the package."""
    in_stack: bool
    """Whether the package is in the prefix; else it is only locked."""

    def __str__(self) -> str:
        names = ", ".join(self.drivers)
        package = f"package {self.package}"
        if self.package != GDAL_PACKAGE:
            package += ", add it to plugins"
        return f"{names} ({package})" if names else package


def plugin_packages(names: Iterable[str]) -> tuple[str, ...]:
    """Return those of the packages that bring driver plugins, by conda-forge's names for them."""
    return tuple(sorted(n for n in names if n.startswith(PLUGIN_PACKAGES) and n != GDAL_PACKAGE))


def not_in_wheel(
    wheel: Sequence[Driver],
    stack: Sequence[Driver],
    manifest: NativeManifest,
    left_out: Iterable[str],
) -> tuple[PackageOffer, ...]:
    """Return what the stack has beyond the wheel, and what the plugin packages left out bring."""
    plugins = systems.of(manifest.platform).layout.plugins
    there = {driver.name for driver in wheel}
    by_package: dict[str, list[str]] = {}
    for driver in stack:
        if driver.name not in there:
            owner = manifest.owners.get(f"{plugins}/{driver.plugin}")
            by_package.setdefault(owner.name if owner else GDAL_PACKAGE, []).append(driver.name)
    offers = [
        PackageOffer(package=package, drivers=tuple(names), in_stack=True)
        for package, names in by_package.items()
    ]
    known = _table("drivers")
    for package in left_out:
        drivers = known.get(package, ())
        missing = tuple(name for name in drivers if name not in there)
        if missing or not drivers:
            offers.append(PackageOffer(package=package, drivers=missing, in_stack=False))
    return tuple(sorted(offers, key=lambda offer: offer.package))


STACK: Final = "drivers of the native stack"
"""The probe that lists them."""


def words(
    drivers: Sequence[Driver], offers: Sequence[PackageOffer], probes: Sequence[Probe]
) -> str:
    """Return one line of these, for the end of a run."""
    if not offers:
        listed = all(probe.name != STACK for probe in probes)
        return f"{len(drivers)} drivers{', all that the native stack offers' if listed else ''}"
    return f"{len(drivers)} drivers; the native stack also offers: {'; '.join(map(str, offers))}"


def probe_words(probes: Sequence[Probe]) -> str:
    """Return what the probes came to: `35 passed, 1 not run (PMTiles: no such driver)`."""
    parts = [f"{sum(1 for probe in probes if probe.passed)} passed"]
    for result, word in ((False, "FAILED"), (None, "not run")):
        found = [probe for probe in probes if probe.passed is result]
        why = "; ".join(_reason(probe) for probe in found[:3])
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        parts += [f"{len(found)} {word} ({why}{more})"] if found else []
    return ", ".join(parts)


def _reason(probe: Probe) -> str:
    """Return a probe's name; of one that was not run, why."""
    name, detail = probe.name.removeprefix("driver "), probe.detail.removeprefix("not run: ")
    return f"{name}: {detail}" if probe.passed is None and detail else name


def package_of(driver: str) -> str | None:
    """Return conda-forge's package with a driver as a plugin; None: libgdal-core may have it."""
    return next((name for name, there in _table("drivers").items() if driver in there), None)


def drivers_of(library: str, package: str = "") -> tuple[str, ...]:
    """Return the drivers that a library (`libheif`) or a plugin (`gdal_HDF5`) is there for.

    `package` is a plugin's conda package. Empty: not known, or libgdal itself needs the library.
    """
    if drivers := _table("drivers").get(package):
        return drivers
    kind, _, driver = library.partition("_")
    if kind in ("gdal", "ogr"):
        return (driver,)
    name, known = library.removeprefix("lib"), _table("libraries").items()
    return next((drivers for pattern, drivers in known if fnmatchcase(name, pattern)), ())


def _table(name: str) -> dict[str, tuple[str, ...]]:
    return table_of("contents", "plugins.toml", dict[str, dict[str, tuple[str, ...]]])[name]

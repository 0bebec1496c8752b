"""Rules about what was right when a wheel was made, and may be so no longer."""

import datetime
import re
import ssl
from collections.abc import Iterator, Mapping
from typing import Final

from geowheel.contents.bill import SbomPackage
from geowheel.targets import GDAL_PACKAGE

from .content import WheelContent
from .outside import roots_of
from .rules import Look, Mark

_BUNDLES: Final = (".pem", ".crt", ".cer")
_MANY: Final = 20  # certificates; a server's chain has fewer
_DATED: Final = re.compile(r"\b(20\d\d)\.?(1[0-2]|0?[1-9])\.?(\d\d?)\b")
"""The version of ca-certificates is its date, conda-forge's and Debian's."""
_DISTRO: Final = re.compile("[?&]build=(?:debian|ubuntu)([a-z]*)")
"""How the build of a package of the distro channel begins, by Distribution.build_prefix: with a
suite, or with the version of the machine's own distribution."""
_OLD: Final = datetime.timedelta(days=365)


def _bundles(content: WheelContent) -> Iterator[tuple[str, str]]:
    """Yield path and text of each bundle of certificates."""
    for path in sorted(path for path in content.tree.rglob("*") if path.suffix in _BUNDLES):
        text = path.read_text(encoding="utf-8", errors="replace")
        if text.count("-----BEGIN CERTIFICATE-----") >= _MANY:
            yield path.relative_to(content.tree).as_posix(), text


def made_on(package: str) -> datetime.date | None:
    """Return the day of a bundle, by its package's version; None where that tells none."""
    found = _DATED.search(package)
    year, month, day = map(int, found.groups()) if found else (0, 0, 0)
    return datetime.date(year, month, 1) + datetime.timedelta(day - 1) if found else None


def _distrusted(content: WheelContent) -> Iterator[Mark]:
    for member, text in _bundles(content) if content.outside else ():
        try:
            roots = roots_of(text)
        except ssl.SSLError as error:
            yield Mark(f"a certificate in it cannot be read: {error}", member)
            continue
        newest = content.outside.certifi if content.outside else None
        if newest and (lost := roots.keys() - newest[1]):
            names = ", ".join(sorted(roots[each] for each in lost))
            words = f"certifi {newest[0]} does not trust {names}"
            relock, command = _mended(content.owners.get(member))
            yield Mark(words, member, relock=relock, command=command)


def _old(content: WheelContent) -> Iterator[Mark]:
    for member, _ in _bundles(content):
        day = made_on(content.owner(member))
        if day is not None and content.day - day > _OLD:
            relock, command = _mended(content.owners.get(member))
            words = f"the bundle is of {day}, older than a year"
            yield Mark(words, member, relock=relock, command=command)


def _vulnerable(content: WheelContent) -> Iterator[Mark]:
    advisories = content.outside.advisories if content.outside else ()
    if advisories and not content.packages:
        yield Mark("no SBOM says what it bundles: nothing can be matched with the report")
    for advisory in advisories:
        for package in filter(advisory.affects, content.packages):
            ids = (advisory.id, *sorted(advisory.aliases))
            mended = f", mended in {advisory.fixed}" if advisory.fixed else ""
            relock, command = _mended(package)
            remedy = command and f": {command}, build again"
            yield Mark(
                f"{', '.join(ids)}{mended}{remedy}",
                next(iter(package.files), ""),
                f"{package.name} {package.version}",
                ids,
                relock,
                command,
            )


def _mended(package: SbomPackage | None) -> tuple[str, str]:
    """Return what `lock --upgrade` calls a package, and the command that brings a newer one.

    GDAL's sdist follows libgdal-core; a distribution's package is not locked, but made anew.
    """
    purl = package.purl if package else ""
    name = package.name if package and purl.startswith("pkg:conda/") else ""
    name = GDAL_PACKAGE if purl.startswith("pkg:pypi/gdal@") else name
    if found := _DISTRO.search(purl):
        return name, f"`geowheel channel{f' --channel distro:{found[1]}' if found[1] else ''}`"
    return name, name and f"`geowheel lock --upgrade {name}`"


LOOKS: Final[Mapping[str, Look]] = {
    "distrusted-root": _distrusted,
    "old-certificates": _old,
    "vulnerability": _vulnerable,
}

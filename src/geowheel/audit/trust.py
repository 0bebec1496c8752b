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
            yield Mark(words, member, relock=_relock(content.owners.get(member)))


def _old(content: WheelContent) -> Iterator[Mark]:
    for member, _ in _bundles(content):
        day = made_on(content.owner(member))
        if day is not None and content.day - day > _OLD:
            relock = _relock(content.owners.get(member))
            yield Mark(f"the bundle is of {day}, older than a year", member, relock=relock)


def _vulnerable(content: WheelContent) -> Iterator[Mark]:
    advisories = content.outside.advisories if content.outside else ()
    if advisories and not content.packages:
        yield Mark("no SBOM says what it bundles: nothing can be matched with the report")
    for advisory in advisories:
        for package in filter(advisory.affects, content.packages):
            ids = (advisory.id, *sorted(advisory.aliases))
            mended = f", mended in {advisory.fixed}" if advisory.fixed else ""
            relock = _relock(package)
            remedy = relock and f": `geowheel lock --upgrade {relock}`, build again"
            yield Mark(
                f"{', '.join(ids)}{mended}{remedy}",
                next(iter(package.files), ""),
                f"{package.name} {package.version}",
                ids,
                relock,
            )


def _relock(package: SbomPackage | None) -> str:
    """Return what `lock --upgrade` calls a package: GDAL's sdist follows libgdal-core."""
    purl = package.purl if package else ""
    if purl.startswith("pkg:pypi/gdal@"):
        return GDAL_PACKAGE
    return package.name if package and purl.startswith("pkg:conda/") else ""


LOOKS: Final[Mapping[str, Look]] = {
    "distrusted-root": _distrusted,
    "old-certificates": _old,
    "vulnerability": _vulnerable,
}

"""Vulnerabilities as reports and databases state them, matched to the packages of an SBOM."""

import functools
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packaging.version import InvalidVersion, Version

from geowheel.contents.bill import SbomPackage
from geowheel.errors import UsageError
from geowheel.machine.files import table_of

_PATCHING: Final = re.compile("Debian|Ubuntu|Alpine|Red Hat|SUSE|openSUSE|Rocky|AlmaLinux")
"""Ecosystems whose versions count their own patches, which says nothing of conda's builds."""


@dataclass(frozen=True, kw_only=True)
class Advisory:
    """One vulnerability in one package."""

    id: str
    aliases: frozenset[str] = frozenset()
    name: str = ""
    """Of the package, as the report has it."""
    purl: str = ""
    versions: tuple[str, ...] = ()
    ranges: tuple[tuple[str, str, str], ...] = ()
    """First affected version, first mended one, last affected one; empty: none is stated."""
    fixed: str = ""

    def affects(self, package: SbomPackage) -> bool:
        """Return whether a package is the one that is meant, in an affected version."""
        meant = _bare(self.purl) == _bare(package.purl) != ""
        if not meant and self.name.lower() not in names_of(package.name):
            return False
        version = _version(package.version)
        return version in map(_version, self.versions) or any(
            (first in ("", "0") or _version(first) <= version)
            and not (mended and _version(mended) <= version)
            and not (last and _version(last) < version)
            for first, mended, last in self.ranges
        )


@functools.cache  # data of the package, asked for with every advisory
def names_of(conda: str) -> tuple[str, ...]:
    """Return a conda package's own name, and what databases call it by `upstream.toml`."""
    table = table_of("audit", "upstream.toml", dict[str, tuple[str, ...]])
    return (conda.lower(), *table.get(conda, ()))


def read_advisories(path: Path) -> tuple[Advisory, ...]:
    """Return what a report of OSV-Scanner, Grype or Trivy, an OSV record or a folder of those says.

    Raises UsageError for anything else.
    """
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    if not path.exists() or not files:
        raise UsageError("there is no report, nor a folder of OSV records", where=str(path))
    return tuple(advisory for file in files for advisory in _read(file))


def _read(path: Path) -> list[Advisory]:
    try:
        data = json.loads(path.read_bytes())
        kind = next(kind for kind in _READERS if kind in data)
        return list(_READERS[kind](data))
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration, RecursionError):
        what = "this is no OSV record, and no JSON report of OSV-Scanner, Grype or Trivy"
        raise UsageError(what, where=str(path)) from None


def _osv(record: Mapping[str, Any]) -> Iterator[Advisory]:
    """Yield a record by https://ossf.github.io/osv-schema/"""
    for affected in () if record.get("withdrawn") else record["affected"]:
        package, every = affected.get("package") or {}, affected.get("ranges") or ()
        if _PATCHING.match(package.get("ecosystem", "")):
            continue
        ranges = tuple(found for each in every for found in _ranges(_events(each)))
        # What is made of a CVE about C or C++ names no package, only where its source is.
        sources = (each["repo"] for each in every if each["type"] == "GIT")
        source = re.sub(r".*/|\.git$", "", next(sources, "").rstrip("/"))
        yield Advisory(
            id=record["id"], aliases=frozenset(record.get("aliases") or ()),
            name=package.get("name", source), purl=package.get("purl", ""),
            versions=tuple(affected.get("versions") or ()), ranges=ranges,
            fixed=", ".join(mended for _, mended, _ in ranges if mended),
        )  # fmt: skip


def _events(found: Mapping[str, Any]) -> Iterable[Mapping[str, str]]:
    """Return the events of a range: with commits, those of the versions that they were made of."""
    if found["type"] == "GIT":
        return (found.get("database_specific") or {}).get("extracted_events") or ()
    events: Iterable[Mapping[str, str]] = found["events"]
    return events


def _ranges(events: Iterable[Mapping[str, str]]) -> Iterator[tuple[str, str, str]]:
    first = None
    for event in (*events, {"end": ""}):
        if first is not None:
            yield first, event.get("fixed", ""), event.get("last_affected", "")
        first = event.get("introduced")


def _scanner(report: Mapping[str, Any]) -> Iterator[Advisory]:
    """Yield the report of OSV-Scanner: https://google.github.io/osv-scanner/output/"""
    for row in (row for source in report["results"] for row in source["packages"]):
        for found in row.get("vulnerabilities") or ():
            told = _osv({"affected": (), **found})
            yield Advisory(
                id=found["id"], aliases=frozenset(found.get("aliases") or ()),
                name=row["package"]["name"], versions=(row["package"]["version"],),
                fixed=", ".join(dict.fromkeys(each.fixed for each in told if each.fixed)),
            )  # fmt: skip


def _grype(report: Mapping[str, Any]) -> Iterator[Advisory]:
    """Yield the report of https://github.com/anchore/grype"""
    for match in report["matches"]:
        told, found = match["vulnerability"], match["artifact"]
        yield Advisory(
            id=told["id"], name=found["name"], purl=found.get("purl", ""),
            aliases=frozenset(also["id"] for also in match.get("relatedVulnerabilities") or ()),
            versions=(found["version"],), fixed=", ".join(told["fix"]["versions"] or ()),
        )  # fmt: skip


def _trivy(report: Mapping[str, Any]) -> Iterator[Advisory]:
    """Yield the report of https://github.com/aquasecurity/trivy, which leaves out what is empty"""
    every = (found.get("Vulnerabilities") or () for found in report.get("Results") or ())
    for row in itertools.chain.from_iterable(every):
        yield Advisory(
            id=row["VulnerabilityID"], name=row["PkgName"], versions=(row["InstalledVersion"],),
            purl=row.get("PkgIdentifier", {}).get("PURL", ""), fixed=row.get("FixedVersion", ""),
        )  # fmt: skip


_READERS: Final = {
    "matches": _grype,
    "SchemaVersion": _trivy,
    "results": _scanner,
    "affected": _osv,
}


def _bare(purl: str) -> str:
    """Return `pkg:conda/libtiff`: a package URL without version, qualifiers and subpath."""
    return re.split("[@?#]", purl)[0]


def _version(text: str) -> Version:
    """Return versions as they are compared: of others, their numbers. 1.1.1b is after 1.1.1."""
    plain = re.sub(r"-(?=\d)|_", ".", re.sub(r"^\D+", "", text.lower()))
    plain = re.sub(r"(?<=\d)[a-z]$", lambda letter: f".{ord(letter[0]) - 96}", plain)
    try:
        return Version(plain)
    except InvalidVersion:
        return Version(".".join(re.findall(r"\d+", plain)) or "0")

"""Roots that are trusted no longer, old bundles, and vulnerabilities in what a wheel bundles."""

import datetime
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from geowheel.audit.advisories import names_of, read_advisories
from geowheel.audit.content import WheelContent
from geowheel.audit.outside import Outside, roots_of
from geowheel.audit.registry import RULES, rule_named
from geowheel.audit.rules import check_policy, judge
from geowheel.audit.trust import made_on
from geowheel.contents.bill import SbomPackage
from geowheel.errors import ConfigError, UsageError
from geowheel.project.config import AuditPolicy
from tests.support.hosts import make_console

TIFF = SbomPackage(
    name="libtiff", version="4.7.0", license="", files=("a.libs/libtiff.so.6",),
    purl="pkg:conda/libtiff@4.7.0?build=h1_0&subdir=linux-64",
)  # fmt: skip
CERTS = SbomPackage(
    name="ca-certificates", version="2024.8.30", license="", purl="", files=("a/cacert.pem",)
)
DAY = datetime.date(2026, 11, 28)
ROOTS = (Path(__file__).parents[2] / "data" / "roots.pem").read_text(encoding="utf-8")
"""Two of certifi's authorities: ISRG Root X1 and X2."""


class Known(Outside):
    """What is known, without an index: the first root is trusted, the second no longer."""

    certifi = ("2026.1.1", frozenset(sorted(roots_of(ROOTS), key=roots_of(ROOTS).__getitem__)[:1]))


def content(tree: Path, **outside: Any) -> WheelContent:
    known = Known(console=make_console(tree), environ={}, cache=tree, day=DAY, **outside)
    about: Any = SimpleNamespace(filename="a-1-py3-none-any.whl")
    return WheelContent(
        path=tree / "a.whl", wheel=about, tree=tree, binaries={}, packages=(TIFF, CERTS),
        symbols={}, outside=known,
    )  # fmt: skip


def marks(rule: str, found: WheelContent) -> list[tuple[Any, ...]]:
    return [tuple(mark) for mark in rule_named(rule).look(found)]


def test_a_root_that_was_dropped_is_named_and_an_old_bundle_dated(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "cacert.pem").write_text("# Főtanúsítvány\n" + ROOTS * 10, "utf-8")
    (tmp_path / "a" / "chain.pem").write_text(ROOTS, encoding="utf-8")  # no bundle
    found = content(tmp_path)
    (dropped,) = marks("distrusted-root", found)
    assert dropped[:2] == ("certifi 2026.1.1 does not trust ISRG Root X2", "a/cacert.pem")
    (old,) = marks("old-certificates", found)
    assert old[:2] == ("the bundle is of 2024-08-30, older than a year", "a/cacert.pem")


@pytest.mark.parametrize(
    ("package", "day"),
    [
        ("ca-certificates 20260816.nmu1", "2026-08-16"),
        ("ca-certificates 2026.10.5", "2026-10-05"),
        ("zlib 1.3", None),
    ],
)
def test_the_day_of_a_bundle(package: str, day: str | None) -> None:
    found = made_on(package)
    assert (found and str(found)) == day


def osv(name: str = "libtiff", **affected: Any) -> dict[str, Any]:
    told = {"package": {"ecosystem": "OSS-Fuzz", "name": name}, **affected}
    return {"id": "OSV-2026-1", "aliases": ["CVE-2026-1"], "affected": [told]}


def events(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"ranges": [{"type": "SEMVER", "events": [dict([pair]) for pair in pairs]}]}


def source(place: str, *versions: str, **told: Any) -> dict[str, Any]:
    """A record that was made of a CVE: no package, only the commits and tags of a repository."""
    about = {"type": "GIT", "repo": place, "events": [{"introduced": "0"}], **told}
    record = osv(ranges=[about], versions=list(versions))
    del record["affected"][0]["package"]
    return record


TAGS = {"database_specific": {"extracted_events": [{"introduced": "4.6.0"}, {"fixed": "4.7.1"}]}}
LATER = {"database_specific": {"extracted_events": [{"introduced": "4.7.0b"}]}}
GRYPE = {
    "matches": [
        {
            "vulnerability": {"id": "CVE-2026-1", "fix": {"versions": None}},
            "relatedVulnerabilities": None,
            "artifact": {"name": "x", "version": "4.7.0", "purl": "pkg:conda/libtiff@4.7.0"},
        }
    ]
}
TRIVY = {"VulnerabilityID": "CVE-2026-1", "PkgName": "tiff", "InstalledVersion": "4.7.0"}
SCANNER = {"package": {"name": "tiff", "version": "4.7"}, "vulnerabilities": [{"id": "CVE-2026-1"}]}


@pytest.mark.parametrize(
    ("report", "hit"),
    [
        (osv(versions=["v4.6.0", "v4.7.0"]), True),
        (osv(versions=["v4.7.1"]), False),
        (osv("tiff", **events(("introduced", "0"), ("fixed", "4.7.1"))), True),
        (osv("tiff", **events(("introduced", "0"), ("fixed", "4.7.0"))), False),
        (osv("tiff", **events(("introduced", "4.7.0"), ("last_affected", "4.7.0"))), True),
        (osv("tiff", **events(("introduced", "4.7.1"))), False),
        (osv("tiff", **events(("introduced", "4"), ("fixed", "4.1"), ("introduced", "4.6"))), True),
        (osv("zlib", **events(("introduced", "0"))), False),
        (osv(versions=["4.7.0"]) | {"withdrawn": "2026-01-01"}, False),
        (source("https://gitlab.com/libtiff/libtiff.git", "v4.6.0", "v4-7-0"), True),
        (source("https://gitlab.com/libtiff/libtiff", "v4.7.0rc1", "Release-v4-7-1"), False),
        (source("https://gitlab.com/libtiff/libtiff/", **TAGS), True),
        (source("https://gitlab.com/libtiff/libtiff", **LATER), False),
        (source("https://gitlab.com/libtiff/other", "v4.7.0"), False),
        (GRYPE, True),
        ({"SchemaVersion": 2, "Results": [{"Target": "a"}, {"Vulnerabilities": [TRIVY]}]}, True),
        ({"SchemaVersion": 2, "ArtifactName": "nothing is wrong"}, False),
        ({"results": [{"packages": [SCANNER]}]}, True),
    ],
)
def test_reports_are_matched_by_purl_name_and_version(
    tmp_path: Path, report: dict[str, Any], hit: bool
) -> None:
    (tmp_path / "report.json").write_text(json.dumps(report), encoding="utf-8")
    for place in (tmp_path, tmp_path / "report.json"):  # a folder of records, or a file
        found = marks("vulnerability", content(tmp_path, advisories=read_advisories(place)))
        assert bool(found) is hit
    for words, member, package, names, relock, _ in found:
        assert "CVE-2026-1" in words and "`geowheel lock --upgrade libtiff`" in words
        assert (member, package) == ("a.libs/libtiff.so.6", "libtiff 4.7.0")
        assert ("CVE-2026-1" in names, relock) == (True, "libtiff")


def test_the_record_of_the_docs_is_about_libtiff(tmp_path: Path) -> None:
    record = read_advisories(Path(__file__).parents[2] / "data" / "osv-libtiff.json")
    (mark,) = marks("vulnerability", content(tmp_path, advisories=record))
    assert mark[0].startswith("OSV-0000-1, CVE-0000-1, mended in 99.0: `geowheel lock --upgrade")


@pytest.mark.parametrize(
    ("purl", "command"),
    [
        ("pkg:pypi/gdal@3.13.3?file_name=x", "`geowheel lock --upgrade libgdal-core`"),
        ("pkg:conda/gdal@3.13.3?build=debian12_1_h0&subdir=linux-64", "`geowheel channel`"),
        ("pkg:conda/gdal@3.13.3?build=debianforky_1", "`geowheel channel --channel distro:forky`"),
        ("pkg:rpm/almalinux/gdal@3.13.3", ""),
    ],
)
def test_what_is_no_conda_package_is_relocked_otherwise(
    tmp_path: Path, purl: str, command: str
) -> None:
    (tmp_path / "r.json").write_text(json.dumps(osv("gdal", versions=["3.13.3"])), "utf-8")
    found = content(tmp_path, advisories=read_advisories(tmp_path))
    gdal = replace(TIFF, name="gdal", version="3.13.3", purl=purl)
    (mark,) = marks("vulnerability", replace(found, packages=(gdal,)))
    assert mark[5] == command and (f"{command}, build again" in mark[0]) is bool(command)


def test_without_an_sbom_nothing_is_vouched_for(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps(osv(versions=["1"])), encoding="utf-8")
    found = content(tmp_path, advisories=read_advisories(tmp_path))
    (mark,) = marks("vulnerability", replace(found, packages=()))
    assert mark[0].startswith("no SBOM says")


def test_debians_own_versions_say_nothing_of_condas(tmp_path: Path) -> None:
    record = osv("tiff", **events(("introduced", "0")))
    record["affected"][0]["package"]["ecosystem"] = "Debian:12"
    (tmp_path / "r.json").write_text(json.dumps(record), encoding="utf-8")
    assert read_advisories(tmp_path) == ()
    assert {"libgdal-core", "gdal"} == set(names_of("libgdal-core"))


@pytest.mark.parametrize(("day", "level"), [("9999-01-01", "off"), ("2026-11-01", "error")])
def test_an_exception_counts_until_its_day(tmp_path: Path, day: str, level: str) -> None:
    (tmp_path / "r.json").write_text(json.dumps(osv(versions=["4.7.0"])), encoding="utf-8")
    policy = AuditPolicy(exceptions={"vulnerability CVE-2026-1": f"no tool uses it; until {day}"})
    check_policy(policy, RULES)
    found = content(tmp_path, advisories=read_advisories(tmp_path / "r.json"))
    (one,) = judge(rule_named("vulnerability"), found, policy)
    assert one.level == level
    for reason in ("because", "until 2026-02-30"):
        with pytest.raises(ConfigError, match="until"):
            check_policy(AuditPolicy(exceptions={"vulnerability CVE-1": reason}), RULES)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"affected": 1}', '{"matches": [{}]}', "\x00"])
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="no OSV record"):
        read_advisories(tmp_path / "r.json")
    with pytest.raises(UsageError, match="there is no report"):
        read_advisories(tmp_path / "none.json")

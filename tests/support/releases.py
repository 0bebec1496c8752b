"""A dist/ with wheels and a ledger with records about them, as real runs leave them."""

import datetime
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from geowheel.contents.drivers import Driver, PackageOffer, Probe
from geowheel.contents.restricted import Restricted
from geowheel.digest import digest, sha256_file
from geowheel.lab.judging import CaseResult, CaseVerdict
from geowheel.project.project import Project
from geowheel.records.facts import (
    BuildFacts,
    LabFacts,
    LicenseFacts,
    Owner,
    RepairFacts,
    SizeFacts,
    StageFacts,
    TestFacts,
)
from geowheel.records.ledger import Ledger, Record, read_record
from geowheel.release.coverage.obstacles import Hindrance, HindranceKind
from geowheel.release.coverage.table import Coverage
from geowheel.systems.contract import Forcing
from tests.support.hosts import make_project, make_record, rewrite

F = TypeVar("F", bound=StageFacts)
CHANNEL = "https://conda.invalid/conda-forge/"
MORE = """\
[tool.geowheel.budget]
wheel-mb = 2
installed-mb = 6
"""


@dataclass(frozen=True, kw_only=True)
class Content:
    """One package of a planted wheel."""

    name: str
    version: str
    license: str
    files: Mapping[str, int]


CONTENTS = (
    Content(
        name="libgdal-core", version="3.10.2", license="MIT",
        files={"host.libs/libgdal.so.36": 620_000, "osgeo/_data/gdal/gdalvrt.xsd": 41_000},
    ),
    Content(name="proj", version="9.5.1", license="MIT",
            files={"osgeo/_data/proj/proj.db": 310_000, "host.libs/libproj.so.25": 95_000}),
    Content(name="libgdal-netcdf", version="3.10.2", license="MIT",
            files={"osgeo/_plugins/gdal_netCDF.so": 60_000}),
    Content(name="geos", version="3.13.0", license="LGPL-2.1-or-later",
            files={"host.libs/libgeos.so.3": 120_000}),
    Content(name="openssl", version="3.4.0", license="Apache-2.0",
            files={"host.libs/libcrypto.so.3": 180_000, "host.libs/libssl.so.3": 30_000}),
    *(
        Content(name=f"lib{letter}", version=f"1.{number}", license=license,
                files={f"host.libs/lib{letter}.so.1": 1_000 + 5_500 * number})
        for number, (letter, license) in enumerate(
            zip("abcdefghijkl", ["MIT", "BSD-3-Clause", "Zlib", "curl"] * 3, strict=True)
        )
    ),
    Content(name="GDAL bindings", version="3.10.2", license="",
            files={"osgeo/_gdal.so": 90_000, "osgeo/gdal.py": 25_000}),
)  # fmt: skip
DRIVERS = (
    Driver(name="GTiff", kinds=("raster",)),
    Driver(name="GPKG", kinds=("raster", "vector")),
    Driver(name="GeoJSON", kinds=("vector",)),
    Driver(name="netCDF", kinds=("raster", "vector"), plugin="osgeo/_plugins/gdal_netCDF.so"),
    Driver(name="VRT", kinds=("raster",)),
)
CASES = (
    CaseVerdict(group="coexistence", name="ours, pyproj", result=CaseResult.PASSED, seconds=1.5,
                detail=""),
    CaseVerdict(group="coexistence", name="ours, fiona", result=CaseResult.SKIPPED, seconds=0.0,
                detail="no wheel for this target"),
    CaseVerdict(group="https", name="a certificate that nobody signed", result=CaseResult.FAILED,
                seconds=0.25, detail="read it all the same"),
)  # fmt: skip


def make_wheel(
    path: Path, contents: Sequence[Content] = CONTENTS, *, salt: str = "", sbom: bool = True
) -> tuple[Owner, ...]:
    """A wheel with these packages; the owners of its files."""
    name = path.name.split("-")[0]
    info = f"{name}-{path.name.split('-')[1]}.dist-info"
    owners = [Owner(name=c.name, version=c.version, files=tuple(c.files)) for c in contents]
    owners.append(Owner(name="host", version="1.0", files=(f"{info}/METADATA",)))
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for content in contents:
            for file, size in content.files.items():
                archive.writestr(_member(file), b"\0" * size, zipfile.ZIP_STORED)
        archive.writestr(_member(f"{info}/METADATA"), f"Name: host\n{salt}\n")
        if sbom:
            text = json.dumps(_bom(contents))
            archive.writestr(_member(f"{info}/sboms/geowheel.cdx.json"), text)
    return tuple(owners)


def _member(path: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0))


def _bom(contents: Sequence[Content]) -> dict[str, Any]:
    return {
        "components": [
            {
                "name": content.name,
                "version": content.version,
                "licenses": [{"expression": content.license}] if content.license else [],
                "components": [{"name": file} for file in content.files],
            }
            for content in contents
        ]
    }


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A project with a wheel of one target, and the ledger's records about it."""

    project: Project
    ledger: Ledger
    wheel: Path
    subject: str

    @property
    def sha256(self) -> str:
        return sha256_file(self.wheel)

    def record(self, facts: F, *, passed: bool = True) -> Record[F]:
        """A verdict about the wheel."""
        text = digest(msgspec.to_builtins(facts))
        made = make_record(self.ledger, facts, self.subject, text=text, passed=passed)
        return _fixed(made, seconds=3.5)

    def size(self, *, budget: float = 2.0) -> Record[SizeFacts]:
        compressed = self.wheel.stat().st_size
        problems = () if compressed <= budget * 1e6 else ("wheel file is over the budget",)
        facts = SizeFacts(sha256=self.sha256, compressed=compressed, wheel_mb=budget,
                          installed_mb=6.0, problems=problems)  # fmt: skip
        return self.record(facts, passed=not problems)

    def test(
        self, *, passed: bool = True, drivers: Sequence[Driver] = DRIVERS, emulator: str = ""
    ) -> Record[TestFacts]:
        probes = (
            Probe(name="version", passed=True, detail="3.10.2"),
            Probe(name="driver HDF4", passed=None, detail="not run: no such driver"),
            Probe(name="proj.db", passed=passed, detail="found" if passed else "not found"),
        )
        offer = PackageOffer(package="libgdal-hdf4", drivers=("HDF4",), in_stack=False)
        facts = TestFacts(sha256=self.sha256, probes=probes, drivers=tuple(drivers),
                          not_in_wheel=(offer,), emulator=emulator)  # fmt: skip
        return self.record(facts, passed=passed)

    def lab(self, cases: Sequence[CaseVerdict] = CASES, *, whole: bool = True) -> Record[LabFacts]:
        failed = any(case.result is CaseResult.FAILED for case in cases)
        facts = LabFacts(sha256=self.sha256, whole=whole, seed=7, cases=tuple(cases))
        return self.record(facts, passed=not failed)


def plant(
    root: Path,
    *,
    python: str = "3.98",
    version: str = "1.0",
    contents: Sequence[Content] = CONTENTS,
    locked: bool = True,
    project: Project | None = None,
    restricted: Sequence[Restricted] = (),
) -> Planted:
    """A wheel in dist/ that was repaired here; no verdict on it yet."""
    project = project or make_project(root, more=MORE)
    tag = "cp" + python.replace(".", "")
    path = project.dist / f"host-{version}-{tag}-{tag}-manylinux_2_35_x86_64.whl"
    owners = make_wheel(path, contents, salt=python)
    ledger = Ledger(folder=project.work, host=project.host.name)
    planted = Planted(project=project, ledger=ledger, wheel=path, subject=f"{tag}-linux-64")
    build = _fixed(make_record(ledger, BuildFacts(), planted.subject, text=python,
                               files={path.name: python.encode()}), seconds=8.0)  # fmt: skip
    floor = Forcing(needs="GLIBC_2.35", packages=("libgdal-core", "proj"),
                    files=("host.libs/libgdal.so.36",))  # fmt: skip
    licenses = LicenseFacts(packages=3, without=("liba",), restricted=tuple(restricted))
    facts = RepairFacts(
        owners=owners, sources={CHANNEL: 1}, floor=(floor,), licenses=licenses, locked=locked
    )
    repaired = make_record(ledger, facts, planted.subject, files={path.name: path.read_bytes()},
                           upstream={"build": build.key})  # fmt: skip
    _fixed(repaired, seconds=12.0)
    return planted


def picked(
    system: str,
    python: str = "3.98",
    *,
    wheel: str | None = None,
    why: str = "no wheel",
    until: str | None = None,
) -> Coverage:
    """What pip does on a system, as `geowheel coverage` has it."""
    return Coverage(
        project="host", system=system, group="Linux", base="glibc 2.41", architecture="x86_64",
        python=python, pip="25.1", wheel=wheel, platform=None,
        end_of_life=datetime.date.fromisoformat(until) if until else None,
        reasons=() if wheel else (
            Hindrance(obstacle=HindranceKind.TAG, what=why, fix=f"no {why}"),
        ),
    )  # fmt: skip


def _fixed(record: Record[F], **changes: object) -> Record[F]:
    """The record with times that are the same in every run."""
    rewrite(record.folder, created="2026-03-04T05:06:07+00:00", **changes)
    read = read_record(record.folder, type(record.facts))
    assert read is not None
    return read

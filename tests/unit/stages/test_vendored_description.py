"""What a wheel says of itself: the origin of every file, license texts and gate, SBOM."""

import email.parser
import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.files import write_files
from tests.support.hosts import make_native, make_package, make_places, make_step

from geowheel.contents.description import describe
from geowheel.contents.licenses import COPYLEFT, LicenseGate, refused_in, with_license_files
from geowheel.contents.origins import Origin, Origins
from geowheel.digest import sha256_bytes
from geowheel.errors import BuildError
from geowheel.locks.assets import Asset, Package
from geowheel.locks.native_stack import native_stack
from geowheel.locks.pixi_lock import read_lock, records
from geowheel.project.places import Places
from geowheel.systems.contract import Bundled, RepairedTree
from geowheel.targets import Platform

GDAL = Bundled(
    soname="libgdal.so.36", source="libgdal.so.36.3.10.2",
    path="host.libs/libgdal-1a2b3c4d.so.36.3.10.2",
)  # fmt: skip
SDIST = Asset(
    name="gdal", version="1.2", url="https://x.invalid/gdal-1.2.tar.gz",
    sha256="cd" * 32,
)  # fmt: skip
HOST = Origin(name="host", version="1.0")
PRIVATE = make_places("terrain._vendor.osgeo")
METADATA = "Metadata-Version: 2.1\nName: host\nVersion: 1.0\nLicense-Expression: MIT\n\nAbout it.\n"


def package(name: str) -> Package:
    return make_package(
        name, version="1.2", build="h0_0", sha256="ab" * 32, size=1, license="MIT",
        url=f"https://c.invalid/linux-64/{name}-1.2-h0_0.conda",
        depends=("libkml >=1.3", "unused") if name == "libgdal-core" else (),
    )  # fmt: skip


STACK = make_native(
    {
        "libgdal-core": [
            "lib/libgdal.so.36.3.10.2", "share/gdal/gdalvrt.xsd", "lib/gdalplugins/ogr_A.so",
            "bin/gdalinfo",
        ],
        "libgdal-hdf5": ["lib/gdalplugins/gdal_HDF5.so"],
        "proj": ["share/proj/proj.db"],
        "proj-data": ["share/proj/a.tif"],
        "ca-certificates": ["ssl/cacert.pem"],
        "unused": ["lib/libunused.so.1"],
        "libkml": [],
    },
    package,
)  # fmt: skip


def origins_of(places: Places, bundled: Bundled) -> Origins:
    return Origins(
        places=places, payload=PAYLOAD, manifest=STACK, sdist=SDIST, prebuilt=None, host=HOST,
        bundled=(bundled,),
    )  # fmt: skip


def origins(places: Places, *members: str) -> dict[str, str]:
    found = origins_of(places, GDAL)
    return {path: str(origin) for path, origin in found.of(members).items()}


PARTS = {
    GDAL.path: "libgdal-core 1.2",
    "terrain/_vendor/osgeo/_data/gdal/gdalvrt.xsd": "libgdal-core 1.2",
    "terrain/_vendor/osgeo/_data/proj/proj.db": "proj 1.2",
    "terrain/_vendor/osgeo/_data/proj/a.tif": "proj-data 1.2",
    "terrain/_vendor/osgeo/_data/cacert.pem": "ca-certificates 1.2",
    "terrain/_vendor/osgeo/_plugins/gdal_HDF5.so": "libgdal-hdf5 1.2",
    "terrain/_vendor/osgeo/_plugins/ogr_A.so": "libgdal-core 1.2",
    "terrain/_vendor/osgeo/_programs/gdalinfo": "libgdal-core 1.2",
    "terrain/_vendor/osgeo/gdal.py": "GDAL bindings 1.2",
    "terrain/_vendor/osgeo_utils/gdal_calc.py": "GDAL bindings 1.2",
    "terrain/core.py": "host 1.0",
    "host-1.0.dist-info/METADATA": "host 1.0",
}


PAYLOAD = {path: origin.removesuffix(" 1.2") for path, origin in PARTS.items()
           if path.startswith("terrain/_vendor/")}  # fmt: skip


def test_every_part_of_a_wheel_has_its_origin() -> None:
    assert origins(PRIVATE, *PARTS) == PARTS
    assert origins(PRIVATE, PRIVATE.bundle)[PRIVATE.bundle].startswith("geowheel ")


def test_a_library_that_no_package_owns_ends_the_build() -> None:
    planted = Bundled(soname="libx.so.1", source="libx.so.1", path="host.libs/libx-0.so.1")
    found = origins_of(PRIVATE, planted)
    with pytest.raises(BuildError, match=r"host\.libs/libx-0\.so\.1 is in the wheel") as caught:
        found.of([planted.path])
    assert "lib/libx.so.1" in str(caught.value)
    # Visual C++'s runtime lies at the prefix's root, not in Library/bin.
    planted = Bundled(soname="x.dll", source="../x.dll", path="host.libs/x-0.dll")
    found = origins_of(PRIVATE, planted)
    with pytest.raises(BuildError) as caught:
        found.of([planted.path])
    assert caught.value.faults[0].where == "x.dll"


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("MIT", set()),
        ("", set()),
        ("GPL-2.0-or-later", {"GPL-2.0-or-later"}),
        ("gpl-3.0-only", {"gpl-3.0-only"}),
        ("LGPL-2.1-or-later", set()),
        ("MIT AND GPL-3.0-only", {"GPL-3.0-only"}),
        ("MIT OR GPL-3.0-only", set()),
        (
            "(GPL-2.0-only OR MPL-2.0) AND (AGPL-3.0-only OR GPL-3.0-only AND MIT)",
            {"AGPL-3.0-only"},
        ),
        ("GPL-3.0-only WITH GCC-exception-3.1", set()),
        ("BSD 3-Clause", set()),
        ("GPL (see COPYING", set()),
    ],
)
def test_one_way_through_an_expression_is_enough(expression: str, found: set[str]) -> None:
    assert refused_in(expression, COPYLEFT) == found


def test_an_exception_is_refused_by_name_only() -> None:
    text = "GPL-3.0-only WITH GCC-exception-3.1"
    assert refused_in(text, ["GPL-* WITH *"]) == {text}
    assert refused_in(f"{text} AND GPL-2.0-only", ["GPL-*"]) == {"GPL-2.0-only"}


def test_what_a_real_lock_of_conda_forge_asks_to_decide(conda_forge_lock: Path) -> None:
    every = records(read_lock(conda_forge_lock), "default", Platform.LINUX_64, conda_forge_lock)
    stack = native_stack(every, Platform.LINUX_64, (), conda_forge_lock)
    found = [p.name for p in stack.packages if refused_in(p.license or "", COPYLEFT)]
    assert sorted(found) == ["librttopo", "lzo", "readline"]


@pytest.mark.parametrize(
    ("before", "after"), [("2.1", "2.4"), ("1.0", "2.4"), ("2.4", "2.4"), ("2.10", "2.10")]
)
def test_license_files_need_metadata_that_knows_them(before: str, after: str) -> None:
    text = f"Metadata-Version: {before}\nName: a\n\nMetadata-Version: of the body\n"
    changed = email.parser.HeaderParser().parsestr(with_license_files(text, ["b/c", "d"]))
    assert changed["Metadata-Version"] == after
    assert changed.get_all("License-File") == ["b/c", "d"]
    assert changed.get_payload() == "Metadata-Version: of the body\n"


@pytest.fixture
def wheel(tmp_path: Path) -> RepairedTree:
    tree = write_files(tmp_path / "tree", {path: f"content of {path}" for path in PARTS})
    (tree / "host-1.0.dist-info" / "METADATA").write_text(METADATA)
    fetched = tmp_path / "fetched"
    for name in ("libgdal-core", "proj", "unused"):
        (fetched / "licenses" / name / "deep").mkdir(parents=True)
        (fetched / "licenses" / name / "COPYING").write_text(f"terms of {name}")
        (fetched / "licenses" / name / "deep" / "common").write_text("the same everywhere")
    STACK.write(fetched)
    return RepairedTree(
        tree=tree, filename="host-1.0-cp312-cp312-manylinux_2_35_x86_64.whl",
        platform_tag="manylinux_2_35_x86_64", bundled=(GDAL,), binaries={},
    )  # fmt: skip


def described(
    wheel: RepairedTree, *, refuse: tuple[str, ...] | None = None, accept: tuple[str, ...] = ()
) -> tuple[Any, Path]:
    fetched = wheel.tree.parent / "fetched"
    found = describe(
        wheel, prefix=fetched / "prefix", payload=PAYLOAD, places=PRIVATE, sdist=SDIST,
        prebuilt=None, recipe={"interpreter": "CPython 3.12"},
        gate=LicenseGate(refuse=refuse, accept=accept, locked=refuse is None),
        step=make_step(fetched),
    )  # fmt: skip
    return found, wheel.tree / "host-1.0.dist-info"


def test_every_member_has_an_owner_and_the_sbom_names_what_is_bundled(wheel: RepairedTree) -> None:
    found, dist_info = described(wheel)
    every = {p.relative_to(wheel.tree).as_posix() for p in wheel.tree.rglob("*") if p.is_file()}
    assert set(found.origins) == every | {"host-1.0.dist-info/RECORD"}  # what was added too
    assert {path: str(found.origins[path]) for path in PARTS} == PARTS
    text = (dist_info / "sboms" / "geowheel.cdx.json").read_text(encoding="utf-8")
    data = json.loads(text)
    said = [{"name": "geowheel:interpreter", "value": "CPython 3.12"}]
    assert data["metadata"]["properties"] == said
    files = {
        file["name"]: (part["name"], file["hashes"][0]["content"])
        for part in data["components"]
        for file in part.get("components", ())
    }
    bundled = {path for path, origin in PARTS.items() if not origin.startswith("host")}
    assert set(files) == bundled
    assert files[GDAL.path] == ("libgdal-core", sha256_bytes((wheel.tree / GDAL.path).read_bytes()))
    without = [part["name"] for part in data["components"] if not part.get("components")]
    assert without == ["libkml"]  # linked into libgdal; nothing says so of `unused`
    (core,) = [part for part in data["components"] if part["name"] == "libgdal-core"]
    assert core["hashes"][0]["content"] == "ab" * 32
    assert core["purl"] == "pkg:conda/libgdal-core@1.2?build=h0_0&subdir=linux-64"
    assert "://" not in json.dumps(data["components"])  # the same from a mirror or a folder
    assert data["metadata"]["component"]["licenses"] == [{"expression": "MIT"}]


def test_the_texts_of_what_is_bundled_are_there_once(wheel: RepairedTree) -> None:
    found, dist_info = described(wheel)
    texts = dist_info / "licenses" / "bundled"
    files = {p.relative_to(texts).as_posix() for p in texts.rglob("*") if p.is_file()}
    assert files == {
        "SUMMARY.md", "libgdal-core/COPYING", "libgdal-core/deep/common", "proj/COPYING",
    }  # fmt: skip
    summary = (texts / "SUMMARY.md").read_text()
    assert "| proj | 1.2 | MIT | proj/COPYING, libgdal-core/deep/common |" in summary
    assert "| proj-data | 1.2 | MIT | none in the package |" in summary
    assert found.texts.without == ("ca-certificates", "libgdal-hdf5", "libkml", "proj-data")
    lines = email.parser.HeaderParser().parsestr((dist_info / "METADATA").read_text())
    named = lines.get_all("License-File", [])
    assert sorted(named) == sorted(f"bundled/{path}" for path in files)
    assert all((dist_info / "licenses" / name).is_file() for name in named)


def test_a_package_whose_license_is_refused_is_named(wheel: RepairedTree) -> None:
    with pytest.raises(BuildError) as caught:
        described(wheel, refuse=("MI*",), accept=("proj*", "ca-*"))
    assert "libgdal-core 1.2 (MIT), libkml 1.2 (MIT)" in str(caught.value)
    assert "proj 1.2" not in str(caught.value)

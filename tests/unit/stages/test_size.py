"""The size verdict: budgets in decimal megabytes, and the members that fill a wheel."""

from pathlib import Path

import msgspec
import pytest
from tests.support.files import write_files
from tests.support.hosts import make_context, make_places, make_project, make_record, make_step

from geowheel.records.facts import Owner, RepairFacts, SizeFacts
from geowheel.records.ledger import Ledger, Records
from geowheel.records.stage import Outcome
from geowheel.stages.context import Context
from geowheel.stages.inputs import SizeInputs
from geowheel.stages.inputs import size as inputs
from geowheel.stages.size import LARGEST, kind_of, run
from geowheel.wheel.writing import write_wheel

NAME = "host-1.0-cp312-cp312-manylinux_2_35_x86_64.whl"
OWNERS = (
    Owner(name="libgdal-core", version="3.10.2", files=("host.libs/libgdal.so",)),
    Owner(name="host", version="1.0", files=tuple(
        f"host-1.0.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL"))),
)  # fmt: skip
METADATA = "Metadata-Version: 2.1\nName: host\nVersion: 1.0\n"


def make_inputs(
    root: Path, *, wheel_mb: float = 1.0, installed_mb: float = 1.0, files: int = 3
) -> SizeInputs:
    """A wheel with one large member that packs well and some small ones."""
    tree = root / "tree"
    members = {
        "host.libs/libgdal.so": "0" * 100_000,
        "host-1.0.dist-info/METADATA": METADATA,
        "host-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: false\n",
    }
    members |= {f"osgeo/{number}.py": "" for number in range(files)}
    write_files(tree, members)
    return SizeInputs(
        wheel=write_wheel(tree, root, filename=NAME), owners=OWNERS, places=make_places(),
        wheel_mb=wheel_mb, installed_mb=installed_mb,
    )  # fmt: skip


def verdict(given: SizeInputs, root: Path) -> Outcome[SizeFacts]:
    folder = root / "made"
    folder.mkdir()
    outcome = run(given, folder, make_step(root))
    assert msgspec.json.decode((folder / "size.json").read_bytes(), type=SizeFacts) == outcome.facts
    return outcome


def test_what_is_measured_is_what_lies_there(tmp_path: Path) -> None:
    given = make_inputs(tmp_path)
    outcome = verdict(given, tmp_path)
    facts = outcome.facts
    assert outcome.passed and facts.problems == ()
    assert facts.compressed == given.wheel.path.stat().st_size
    assert facts.installed > 100_000 > facts.compressed
    assert facts.sha256 == given.wheel.sha256
    assert facts.wheel == NAME


@pytest.mark.parametrize(
    ("budget", "problem"),
    [
        ({"wheel_mb": 0.0005}, "wheel file 0.0 MB is over the budget of 0.0005 MB"),
        ({"installed_mb": 0.1}, "installed size 0.1 MB is over the budget of 0.1 MB"),
    ],
)
def test_over_a_budget(tmp_path: Path, budget: dict[str, float], problem: str) -> None:
    outcome = verdict(make_inputs(tmp_path, **budget), tmp_path)  # type: ignore[arg-type]
    assert not outcome.passed
    (said,) = outcome.facts.problems
    assert said.startswith(problem)


@pytest.mark.parametrize(("difference", "passed"), [(0, True), (-1, False)])
def test_a_budget_may_be_used_up(tmp_path: Path, difference: int, passed: bool) -> None:
    size = make_inputs(tmp_path / "first").wheel.path.stat().st_size
    given = make_inputs(tmp_path, wheel_mb=(size + difference) / 1e6)
    assert verdict(given, tmp_path).passed is passed


def test_the_largest_come_first_and_all_adds_up(tmp_path: Path) -> None:
    facts = verdict(make_inputs(tmp_path, files=20), tmp_path).facts
    largest = facts.largest
    assert len(largest) == LARGEST == 10
    packed = [member.packed for member in largest]
    assert packed == sorted(packed, reverse=True)
    library = next(m for m in largest if m.path == "host.libs/libgdal.so")
    assert (library.package, library.size) == ("libgdal-core 3.10.2", 100_000)
    assert {m.package for m in largest if m.path.startswith("host-1.0")} <= {"host 1.0"}
    packages, kinds = facts.packages, facts.kinds
    assert next(r.size for r in packages if r.name == "libgdal-core 3.10.2") == 100_000
    assert next(r.size for r in kinds if r.name == "libraries") == 100_000
    assert [row.packed for row in packages] == sorted((r.packed for r in packages), reverse=True)
    assert sum(r.size for r in packages) == sum(r.size for r in kinds) == facts.installed
    assert {r.name for r in packages} == {"libgdal-core 3.10.2", "host 1.0", "of no package"}
    assert {r.name for r in kinds} == {"libraries", "bindings", "metadata"}


def sized(context: Context) -> SizeInputs:
    project = context.project
    repair = make_record(
        Ledger(folder=project.work, host="host"), RepairFacts(owners=OWNERS),
        str(context.target), files={NAME: b"wheel"},
    )  # fmt: skip
    return inputs(context, Records(repair=repair))


@pytest.mark.parametrize(
    ("package", "path", "kind"),
    [
        ("osgeo", "osgeo/_gdal.so", "bindings"),
        ("osgeo", "osgeo/_geowheel.json", "bindings"),
        ("osgeo", "osgeo/_data/gdal/gdalvrt.xsd", "GDAL data"),
        ("osgeo", "osgeo/_data/proj/proj.db", "PROJ data"),
        ("osgeo", "osgeo/_data/cacert.pem", "certificates"),
        ("osgeo", "osgeo/_plugins/gdal_HDF5.so", "plugins"),
        ("osgeo", "osgeo/_programs/gdalinfo", "programs"),
        ("osgeo", "osgeo_utils/gdal_calc.py", "utilities"),
        ("osgeo", "host.libs/libgdal.so", "libraries"),
        ("osgeo", "host-1.0.dist-info/licenses/bundled/a", "licenses and SBOM"),
        ("osgeo", "host-1.0.dist-info/sboms/geowheel.cdx.json", "licenses and SBOM"),
        ("osgeo", "host-1.0.dist-info/RECORD", "metadata"),
        ("osgeo", "host/core.py", "host"),
        ("a.b.osgeo", "a/b/osgeo_utils/gdal_calc.py", "utilities"),
        ("a.b.osgeo", "a/b/__init__.py", "host"),
        ("pkg", "pkg/_core.so", "host"),
        ("pkg", "pkg/_geowheel.py", "bindings"),
    ],
)
def test_what_a_member_is_there_for(package: str, path: str, kind: str) -> None:
    assert kind_of(path, make_places(package)) == kind


def test_budgets_come_from_the_configuration(tmp_path: Path) -> None:
    more = "[tool.geowheel.budget]\nwheel-mb = 12\ninstalled-mb = 34\n"
    given = sized(make_context(make_project(tmp_path, more=more)))
    assert (given.wheel_mb, given.installed_mb) == (12.0, 34.0)
    assert given.owners == OWNERS
    assert given.wheel.path.read_bytes() == b"wheel"
    plain = sized(make_context(make_project(tmp_path)))
    tight = make_project(tmp_path, environ={"WHEEL_SIZE_BUDGET_MB": "5"})
    given = sized(make_context(tight))
    changed = {n for n, d in given.components().items() if plain.components()[n] != d}
    assert (given.wheel_mb, changed) == (5.0, {"wheel mb"})

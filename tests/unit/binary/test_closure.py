"""Which libraries a wheel may leave to the system, and where the others must be."""

from collections.abc import Mapping

import pytest
from tests.support.binaries import elf

from geowheel.binary import closure
from geowheel.binary.elf import Elf
from geowheel.binary.elf_loading import ElfLoader
from geowheel.errors import Fault


def closure_faults(elves: Mapping[str, Elf]) -> list[Fault]:
    return closure.closure_faults(elves, ElfLoader())


CLOSED = {
    "osgeo/_gdal.so": elf("libgdal-1.so", "libc.so.6", rpath=("$ORIGIN/../GDAL.libs",)),
    "osgeo/plugins/p.so": elf("libgdal-1.so", runpath=("${ORIGIN}/../../GDAL.libs",)),
    "GDAL.libs/libgdal-1.so": elf("libz-2.so", "libstdc++.so.6", rpath=("$ORIGIN",)),
    "GDAL.libs/libz-2.so": elf("libc.so.6"),
}


def test_every_fault_is_reported_with_file_and_library() -> None:
    assert closure_faults(CLOSED) == []
    planted = CLOSED | {
        "osgeo/_ogr.so": elf("libz.so.1", "libz-2.so"),
        "GDAL.libs/libproj.so": elf("libtiff.so.6", rpath=("$ORIGIN",)),
    }
    faults = closure_faults(planted)
    assert [(fault.where, fault.what.split()[1]) for fault in faults] == [
        ("GDAL.libs/libproj.so", "libtiff.so.6,"),
        ("osgeo/_ogr.so", "libz-2.so,"),
        ("osgeo/_ogr.so", "libz.so.1,"),
    ]
    assert "GDAL.libs/libz-2.so, but searched is no folder" in faults[1].cause


@pytest.mark.parametrize("entry", ["/opt/python/lib", "", "lib", "$ORIGIN/../..", "$ORIGINAL"])
def test_a_search_path_that_leads_out_is_a_fault(entry: str) -> None:
    assert ElfLoader().folder("osgeo/_gdal.so", entry) is None
    (fault,) = closure_faults({"osgeo/_gdal.so": elf(rpath=("$ORIGIN", entry))})
    assert fault.where == "osgeo/_gdal.so"


def test_rpath_is_passed_on_to_what_a_library_needs_and_runpath_is_not() -> None:
    bare = CLOSED | {"GDAL.libs/libgdal-1.so": elf("libz-2.so")}
    del bare["osgeo/plugins/p.so"]
    assert closure_faults(bare) == []
    runpath = elf("libgdal-1.so", runpath=("$ORIGIN/../GDAL.libs",))
    (fault,) = closure_faults(bare | {"osgeo/_gdal.so": runpath})
    assert (fault.where, "libz-2.so" in fault.what) == ("GDAL.libs/libgdal-1.so", True)
    # Every way to a library must work, not one of them.
    (fault,) = closure_faults(bare | {"osgeo/plugins/p.so": CLOSED["osgeo/plugins/p.so"]})
    assert fault.where == "GDAL.libs/libgdal-1.so"


def test_the_first_search_path_that_counts_is_searched() -> None:
    hidden = elf("libz-2.so", rpath=("$ORIGIN/../GDAL.libs",), runpath=("$ORIGIN",))
    assert len(closure_faults(CLOSED | {"osgeo/_ogr.so": hidden})) == 1
    foreign = CLOSED | {"GDAL.libs/libz-2.so": elf(machine="EM_AARCH64")}
    (fault,) = closure_faults(foreign)
    assert "another architecture" in fault.what
    ring = {
        "x.libs/a.so": elf("b.so", rpath=("$ORIGIN",)),
        "x.libs/b.so": elf("a.so", "c.so", rpath=("$ORIGIN",)),
    }
    (fault,) = closure_faults(ring)
    assert "c.so" in fault.what

"""dyld's search, on Mach-O files crafted by hand."""

import pytest
from tests.support import macho_files

from geowheel.binary.closure import closure_faults
from geowheel.binary.macho import MachO, read_macho
from geowheel.binary.macho_loading import DyldLoader

DYLD = DyldLoader()


def macho(
    *needed: str, rpaths: tuple[str, ...] = (), weak: tuple[str, ...] = (),
    machine: tuple[int, int] = macho_files.ARM64,
) -> MachO:  # fmt: skip
    return read_macho(_bytes(*needed, rpaths=rpaths, weak=weak, machine=machine))


def _bytes(
    *needed: str, rpaths: tuple[str, ...] = (), weak: tuple[str, ...] = (),
    machine: tuple[int, int] = macho_files.ARM64,
) -> bytes:  # fmt: skip
    return macho_files.make_macho(
        *(macho_files.path_command(macho_files.LOAD, name) for name in needed),
        *(macho_files.path_command(macho_files.WEAK, name) for name in weak),
        *(macho_files.path_command(macho_files.RPATH, path) for path in rpaths),
        machine=machine,
    )


LIBSYSTEM = "/usr/lib/libSystem.B.dylib"
CLOSED = {
    "osgeo/_gdal.so": macho("@loader_path/../GDAL.dylibs/libgdal.36.dylib", LIBSYSTEM),
    "osgeo/plugins/gdal_X.dylib": macho(
        "@rpath/libgdal.36.dylib", rpaths=("@loader_path/../../GDAL.dylibs",)
    ),
    "GDAL.dylibs/libgdal.36.dylib": macho("@loader_path/libproj.25.dylib", LIBSYSTEM),
    "GDAL.dylibs/libproj.25.dylib": macho("/usr/lib/libc++.1.dylib"),
}


def test_a_closed_wheel_passes() -> None:
    assert closure_faults(CLOSED, DYLD) == []
    need = "@loader_path/../GDAL.dylibs/libproj.25.dylib"
    fat = read_macho(
        macho_files.make_fat(
            (macho_files.X86_64, _bytes(need, machine=macho_files.X86_64)),
            (macho_files.ARM64, _bytes(need)),
        )
    )
    (fault,) = closure_faults(CLOSED | {"osgeo/_fat.so": fat}, DYLD)
    assert "another architecture (arm64, not x86_64)" in fault.what
    loader = DyldLoader(shipped=("libproj.25.dylib", "libz.1.dylib"))
    assert loader.is_system("/usr/lib/libz.1.dylib")
    assert not loader.is_system("/usr/lib/libproj.25.dylib")


@pytest.mark.parametrize(
    "library",
    [
        "/opt/homebrew/lib/libproj.25.dylib", "/Users/runner/conda-bld/lib/libproj.25.dylib",
        "@executable_path/../lib/libproj.25.dylib", "libproj.25.dylib", "@rpath",
        "@loader_path/../../libproj.25.dylib",
    ],
)  # fmt: skip
def test_a_library_outside_is_a_fault_even_where_the_wheel_has_its_name(library: str) -> None:
    (fault,) = closure_faults(CLOSED | {"osgeo/_ogr.so": macho(library)}, DYLD)
    assert fault.where == "osgeo/_ogr.so"
    assert library in fault.what


def test_rpaths_count_for_what_a_file_loads_in_turn() -> None:
    chain = CLOSED | {
        "osgeo/_own.so": macho("@rpath/liba.dylib", rpaths=("@loader_path/lib/",)),
        "osgeo/lib/liba.dylib": macho("@rpath/libb.dylib"),
        "osgeo/lib/libb.dylib": macho(),
    }
    assert closure_faults(chain, DYLD) == []
    # Every way to a library must work, not one of them.
    direct = chain | {"osgeo/_other.so": macho("@loader_path/lib/liba.dylib")}
    (fault,) = closure_faults(direct, DYLD)
    assert (fault.where, "libb.dylib" in fault.what) == ("osgeo/lib/liba.dylib", True)


@pytest.mark.parametrize(
    "entry", ["/opt/lib", "@executable_path/../lib", "lib", "@loader_path/../..", "@loader_pathx"]
)
def test_a_search_path_that_leads_out_is_a_fault(entry: str) -> None:
    assert DYLD.folder("osgeo/_gdal.so", entry) is None
    (fault,) = closure_faults({"osgeo/_gdal.so": macho(rpaths=("@loader_path", entry))}, DYLD)
    assert entry in fault.what


def test_weak_libraries_may_be_missing_but_not_come_from_anywhere() -> None:
    assert (
        closure_faults(CLOSED | {"osgeo/_w.so": macho(weak=("@rpath/libnone.dylib",))}, DYLD) == []
    )
    (fault,) = closure_faults({"a.so": macho(weak=("/opt/lib/libnone.dylib",))}, DYLD)
    assert "/opt/lib/libnone.dylib" in fault.what
    assert closure_faults({"a.so": macho(weak=("/usr/lib/libcurl.4.dylib",))}, DYLD) == []


@pytest.mark.parametrize(
    ("library", "expected"),
    [
        (LIBSYSTEM, True),
        ("/usr/lib/libnetwork.dylib", True),
        ("/usr/lib/liblzma.5.dylib", True),
        ("/usr/lib/swift/libswiftCore.dylib", True),
        ("/usr/lib/libpython2.7.dylib", False),
        ("/System/Library/Frameworks/CoreFoundation.framework/Versions/A/CoreFoundation", True),
        ("/System/Library/PrivateFrameworks/Secret.framework/Secret", False),
        ("/usr/lib/libcrypto.46.dylib", False),
        ("/usr/lib/geowheel-native-prefix/lib/libz.1.dylib", False),
        ("/usr/local/lib/libz.1.dylib", False),
        ("@rpath/libc++.1.dylib", False),
    ],
)
def test_what_every_mac_has(library: str, expected: bool) -> None:
    assert DYLD.is_system(library) is expected

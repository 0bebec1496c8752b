"""Which packages are inside the files of others, by what they bring themselves."""

from pathlib import Path

from tests.support.files import write_files
from tests.support.hosts import make_native, make_package

from geowheel.contents.linked_in import linked_in
from geowheel.locks.assets import Package
from geowheel.targets import Platform

IMPORT = b"!<arch>\n" + b" " * 58 + b"`\n\0\0\xff\xff"
BRINGS = {
    "gdal": (["Library/bin/gdal.dll"], ["spatialite", "python", "ucrt"]),
    "spatialite": (
        ["Library/bin/spatialite.dll", "Library/lib/spatialite.lib"],
        ["rttopo >=1.1,<2", "empty", "headers", "grids", "devel", "loaded", "gone"],
    ),
    "rttopo": (["Library/lib/rttopo.lib", "Library/include/rttopo.h"], ["deeper", "loaded"]),
    "deeper": (["lib/libdeeper.a"], ["spatialite"]),
    "empty": ([], []),
    "headers": (["Library/include/headers.hpp"], []),
    "grids": (["Library/share/proj/a.tif"], []),
    "devel": (["Library/lib/loaded.lib", "lib/libloaded.dll.a"], []),
    "loaded": (["Library/bin/loaded.dll", "Library/lib/loadedstatic.lib"], []),
    "python": (["python.exe"], ["of_python"]),
    "of_python": ([], []),
}


def package(name: str) -> Package:
    return make_package(name, depends=tuple(BRINGS[name][1]))


def test_a_static_dependency_is_inside_what_needs_it(tmp_path: Path) -> None:
    for name, (paths, _) in BRINGS.items():
        content = IMPORT if name == "devel" else b"!<arch>\nobjects"
        write_files(tmp_path, dict.fromkeys(paths, content))
    brought = {name: paths for name, (paths, _) in BRINGS.items()}
    manifest = make_native(brought, package, Platform.WIN_64)
    bundled = {package(name): [f"host.libs/{name}.dll"] for name in ("gdal", "spatialite")}
    found = {p.name: files for p, files in linked_in(bundled, manifest, tmp_path).items()}
    assert found == dict.fromkeys(("rttopo", "empty", "deeper"), ("host.libs/spatialite.dll",))

"""Which packages are inside the files of others, by what they bring themselves."""

from pathlib import Path

from geowheel.contents.linked_in import linked_in
from geowheel.digest import TreeEntry
from geowheel.locks.assets import Package
from geowheel.prefix.linker import NativeManifest, PlacedPackage
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


def package(name: str, depends: list[str]) -> Package:
    return Package(
        name=name, version="1", build="0", subdir="win-64", sha256="ab" * 32, size=1,
        url=f"https://c.invalid/win-64/{name}-1-0.conda", license="GPL-2.0-only",
        depends=tuple(depends),
    )  # fmt: skip


def test_a_static_dependency_is_inside_what_needs_it(tmp_path: Path) -> None:
    placed = []
    for name, (paths, depends) in BRINGS.items():
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(IMPORT if name == "devel" else b"!<arch>\nobjects")
        files = tuple(TreeEntry(path=path, sha256="", size=1) for path in paths)
        placed.append(PlacedPackage(package=package(name, depends), files=files))
    manifest = NativeManifest(
        platform=Platform.WIN_64, prefix_string="C:/p", packages=tuple(placed)
    )
    bundled = {p.package: [f"host.libs/{p.package.name}.dll"] for p in placed[:2]}
    found = {p.name: files for p, files in linked_in(bundled, manifest, tmp_path).items()}
    assert found == dict.fromkeys(("rttopo", "empty", "deeper"), ("host.libs/spatialite.dll",))

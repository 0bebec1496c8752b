"""A channel with another build of libgdal and of PROJ's database, which can be told at run time.

The distro channel has one version only. Its packages are copied, and two of them changed: a text
inside libgdal, a file among GDAL's data and a name in proj.db. What is compiled in is patched at
equal length, so that it stays a libgdal that does everything.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rattler.package_streaming import extract

from geowheel.distro.conda_package import (
    PackageMetadata,
    read_payload,
    with_content_build,
    write_package,
)
from geowheel.targets import Platform
from tests.support.fixture_channel import index

# The long name of driver MEM: "In Memory Raster", or more in newer GDALs.
USUAL_NAME: Final = "In Memory"
OTHER_NAME: Final = "By Design"
MARKER: Final = "another-build.txt"
# A name that neither the probes nor any host's tests look at.
ZONE: Final = 32733
USUAL_ZONE: Final = "WGS 84 / UTM zone 33S"
OTHER_ZONE: Final = "Zone 33S of another build"


def write_another_build(distro: Path, folder: Path, scratch: Path) -> Path:
    """Copy the channel in `distro` to `folder`, libgdal-core and proj being of another build."""
    ignored = shutil.ignore_patterns("repodata*", "distro.json")
    shutil.copytree(distro, folder, ignore=ignored)
    for name, change in (("libgdal-core", change_gdal), ("proj", change_proj)):
        (package,) = (folder / Platform.LINUX_64).glob(f"{name}-[0-9]*.conda")
        _repack(package, scratch / name, change)
    index(folder)
    return folder


def change_gdal(tree: Path) -> None:
    """Another text in the library, and a file more among its data."""
    (library,) = (p for p in (tree / "lib").glob("libgdal.so.*") if not p.is_symlink())
    before, after = f"\0{USUAL_NAME} ".encode(), f"\0{OTHER_NAME} ".encode()
    data = library.read_bytes()
    assert len(before) == len(after) and data.count(before) == 1, "the driver's name has changed"
    library.write_bytes(data.replace(before, after))
    (tree / "share" / "gdal" / MARKER).write_text("another build\n", encoding="utf-8")


def change_proj(tree: Path) -> None:
    """Another name of one coordinate system."""
    database = sqlite3.connect(tree / "share" / "proj" / "proj.db")
    with database:
        changed = database.execute(
            "UPDATE projected_crs SET name = ? WHERE auth_name = 'EPSG' AND code = ?",
            (OTHER_ZONE, str(ZONE)),
        )
    database.close()
    assert changed.rowcount == 1, "proj.db has another layout"


def _repack(package: Path, tree: Path, change: Callable[[Path], None]) -> None:
    """Put a package of the same name and version, but of another build, in its place."""
    extract(package, tree)
    info = tree / "info"
    said = json.loads((info / "index.json").read_text(encoding="utf-8"))
    paths = json.loads((info / "paths.json").read_text(encoding="utf-8"))["paths"]
    shutil.rmtree(info)
    change(tree)
    payload = read_payload(
        tree, with_placeholder=[p["_path"] for p in paths if "prefix_placeholder" in p]
    )
    metadata = PackageMetadata(
        name=said["name"], version=said["version"], build="another", subdir=Platform.LINUX_64,
        depends=tuple(said["depends"]), license=said["license"],
    )  # fmt: skip
    write_package(payload, with_content_build(metadata, payload), package.parent)
    package.unlink()

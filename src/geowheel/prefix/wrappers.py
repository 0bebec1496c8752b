"""What a build that links libgdal is told: wrapped gdal-config and .pc files, and variables.

The prefix's own files name the fixed prefix string, which exists nowhere: the wrappers beside it
name the folder where it lies. They find that themselves, so they are the same bytes in any folder.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from geowheel.digest import digest
from geowheel.errors import MachineError
from geowheel.machine.files import text_of
from geowheel.systems.contract import SystemFacts

WRAPPERS: Final = "wrappers"
_GDAL_CONFIG: Final = f"{WRAPPERS}/bin/gdal-config"
_PKG_CONFIG: Final = f"{WRAPPERS}/lib/pkgconfig"
_PACKAGE_FOLDERS: Final = ("share/pkgconfig", "lib/pkgconfig", "Library/lib/pkgconfig")
# https://people.freedesktop.org/~dbn/pkg-config-guide.html: the folder of the .pc file itself.
_PREFIX_IN_PC: Final = "${pcfiledir}/../../../prefix"


def write_wrappers(prefix: Path, prefix_string: str) -> None:
    """Write `wrappers/` beside the prefix: bin/gdal-config and lib/pkgconfig/*.pc."""
    folder = prefix.parent
    if (prefix / "bin" / "gdal-config").is_file():
        text = text_of("inside", "gdal-config.sh")
        script = folder / _GDAL_CONFIG
        script.parent.mkdir(parents=True)
        script.write_text(text.replace("@PREFIX_STRING@", prefix_string), encoding="utf-8")
        script.chmod(0o755)
    goal = folder / _PKG_CONFIG
    goal.mkdir(parents=True)
    for place in _PACKAGE_FOLDERS:
        for path in sorted((prefix / place).glob("*.pc")):
            text = path.read_text(encoding="utf-8")
            (goal / path.name).write_text(text.replace(prefix_string, _PREFIX_IN_PC), "utf-8")


def reachable(folder: Path, cache: Path) -> Path:
    """Return `folder`, or a link to it without white space, at which many build scripts split.

    Raises MachineError when the cache folder, where the link would be, has white space as well.
    """
    if not _has_space(folder):
        return folder
    if _has_space(cache):
        raise MachineError(
            "both the work folder and the cache folder have white space in their paths, at which "
            "build scripts split what gdal-config answers",
            where=f"{folder}, {cache}",
            fix="name another cache folder with GEOWHEEL_CACHE",
        )
    link = cache / "links" / digest(os.fspath(folder))[:16]
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(folder, target_is_directory=True)
    except FileExistsError:  # from an earlier run: it is named by where it leads
        with suppress(OSError):  # somebody else's: then it is not pruned by us either
            # In use again: `cache prune` goes by the link's own time.
            os.utime(link, follow_symlinks=False)
    return link


def _has_space(path: Path) -> bool:
    return any(letter.isspace() for letter in os.fspath(path))


def build_variables(folder: Path, gdal_version: str, system: SystemFacts) -> dict[str, str]:
    """Return variables for a build against the prefix in `folder`, as `fetch` made it.

    GDAL_CONFIG and GDAL_VERSION are read by rasterio's, fiona's and pyogrio's setup.py;
    CMAKE_PREFIX_PATH by CMake, PKG_CONFIG_PATH by pkg-config and Meson.
    """
    libraries = folder / "prefix" / system.layout.libraries
    found = {
        "GDAL_VERSION": gdal_version,
        "CMAKE_PREFIX_PATH": os.fspath(folder / "prefix"),
        "PKG_CONFIG_PATH": os.fspath(folder / _PKG_CONFIG),
        **system.link_variables(libraries),
    }
    if (folder / _GDAL_CONFIG).is_file():
        found["GDAL_CONFIG"] = os.fspath(folder / _GDAL_CONFIG)
    return dict(sorted(found.items()))


def with_programs(variables: Mapping[str, str], path: str) -> str:
    """Return PATH with the wrapped gdal-config before any other one."""
    config = variables.get("GDAL_CONFIG")
    return os.pathsep.join([os.path.dirname(config), path]) if config else path  # noqa: PTH120

"""Windows: layout of a prefix, delvewheel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from geowheel.errors import MachineError
from geowheel.targets import Platform, Target

from .contract import PrefixLayout, Toolchain

LAYOUT: Final = PrefixLayout(
    # Only administrators can create a folder there. Short, as the placeholders of Windows are.
    prefix_string="C:/Windows/geowheel",
    libraries="Library/bin",
    # Visual C++'s runtime lies beside python.exe.
    more_libraries=(".",),
    link_libraries="Library/lib",
    headers="Library/include",
    plugins="Library/lib/gdalplugins",
    programs="Library/bin",
    gdal_data="Library/share/gdal",
    proj_data="Library/share/proj",
    ca_bundle="Library/ssl/cacert.pem",
)
ENTRY_LIBRARIES: Final = {"gdal": "gdal", "proj": "proj"}
"""conda-forge's gdal.dll and proj_9.dll."""
_TAGS: Final = {Platform.WIN_64: "win_amd64", Platform.WIN_ARM64: "win_arm64"}


def find_toolchain(platform: Platform, environ: Mapping[str, str]) -> Toolchain:  # noqa: ARG001
    """Raises MachineError: nobody has compiled the bindings with Microsoft's compiler yet."""
    raise MachineError(
        f"bindings for {platform} cannot be compiled yet",
        cause="geowheel knows gcc and clang, and they cannot build for Microsoft's C++ runtime",
        fix="take the channel's own with `geowheel wheel --bindings prebuilt`, or "
        'bindings = "prebuilt" in [tool.geowheel]',
    )


def link_variables(libraries: Path) -> dict[str, str]:  # noqa: ARG001 the linker finds them
    return {}


def raw_platform_tag(platform: Platform) -> str:
    return _TAGS[platform]


def is_raw_tag(platform: Platform, tag: str) -> bool:
    return tag == raw_platform_tag(platform)


def extension_suffix(target: Target) -> str:
    return f".cp{target.python.replace('.', '')}-{_TAGS[target.platform]}.pyd"


def site_packages(target: Target) -> str:  # noqa: ARG001 one Python in a prefix
    return "Lib/site-packages"


def gdal_library(prefix: Path) -> Path:
    return prefix / LAYOUT.libraries / "gdal.dll"


def is_plugin(file_name: str) -> bool:
    return file_name.lower().endswith(".dll")


def program_name(path: Path) -> str | None:  # noqa: ARG001
    """None: a program looks for DLLs beside itself and in PATH, and nobody has tried that yet."""
    return None

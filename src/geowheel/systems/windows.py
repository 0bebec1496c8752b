"""Windows: layout of a prefix."""

from collections.abc import Mapping
from typing import Final

from geowheel.errors import MachineError
from geowheel.targets import Platform

from .contract import PrefixLayout, SystemFacts, Toolchain


def _find_toolchain(platform: Platform, environ: Mapping[str, str]) -> Toolchain:
    """Raise MachineError: nobody has compiled the bindings with Microsoft's compiler yet."""
    del environ
    raise MachineError(
        f"bindings for {platform} cannot be compiled yet",
        cause="geowheel knows gcc and clang, and they cannot build for Microsoft's C++ runtime",
        fix="take the channel's own with `geowheel wheel --bindings prebuilt`, or "
        'bindings = "prebuilt" in [tool.geowheel]',
    )


FACTS: Final = SystemFacts(
    layout=PrefixLayout(
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
    ),
    # conda-forge's gdal.dll and proj_9.dll.
    entry_libraries={"gdal": "gdal", "proj": "proj"},
    find_toolchain=_find_toolchain,
    gdal_library="Library/bin/gdal.dll",
    plugin_endings=(".dll",),
    # A program looks for DLLs beside itself and in PATH, and nobody has tried that yet.
    is_program=lambda _: False,
    ending=".cp{version}-win_{architecture}.pyd",
    packages="Lib/site-packages",
)

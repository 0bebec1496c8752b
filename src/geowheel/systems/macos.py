"""macOS: layout of a prefix, clang, delocate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from geowheel.errors import MachineError
from geowheel.targets import Platform, Target

from . import compilers
from .contract import Forcing, PrefixLayout, RepairedTree, RepairRequest, Toolchain

LAYOUT: Final = PrefixLayout(
    # System Integrity Protection keeps everybody out of /usr/lib.
    prefix_string="/usr/lib/geowheel-native-prefix",
    libraries="lib",
    link_libraries="lib",
    headers="include",
    plugins="lib/gdalplugins",
    programs="bin",
    gdal_data="share/gdal",
    proj_data="share/proj",
    ca_bundle="ssl/cacert.pem",
)
ENTRY_LIBRARIES: Final = {"gdal": "libgdal.", "proj": "libproj."}
OLDEST: Final = {Platform.OSX_64: "10.13", Platform.OSX_ARM64: "11.0"}
"""What the bindings are compiled for: conda-forge's own MACOSX_DEPLOYMENT_TARGET."""


def find_toolchain(platform: Platform, environ: Mapping[str, str]) -> Toolchain:
    """clang and clang++ (or CC and CXX); raises MachineError when one is missing."""
    cc, cxx = compilers.find_compilers(
        environ.get("CC", "clang"), environ.get("CXX", "clang++"), environ
    )
    target = compilers.ask(cxx, "-dumpmachine", environ=environ).strip()
    if "-apple-" not in target:
        raise MachineError(
            f"{cxx} compiles for {target or 'nothing that it tells'}, not for {platform}",
            cause="bindings for macOS are compiled on a Mac",
            fix="take the channel's own with `-- --bindings prebuilt`",
        )
    machine = ("-arch", platform.architecture, f"-mmacosx-version-min={OLDEST[platform]}")
    return Toolchain(
        cc=cc,
        cxx=cxx,
        version=compilers.first_line(
            compilers.ask(cxx, "--version", environ=environ), "unknown compiler"
        ),
        target=target,
        linker=compilers.first_line(
            compilers.ask(cxx, "-Wl,-v", "-shared", environ=environ), "unknown linker"
        ),
        libc=f"macOS {OLDEST[platform]} and newer",
        libstdcxx="libc++",
        compile_flags=(*compilers.COMPILE_FLAGS, *machine),
        # Extension modules find the interpreter's symbols where they are loaded.
        link_flags=("-shared", *machine, "-Wl,-undefined,dynamic_lookup", "-Wl,-x",
                    "-Wl,-headerpad_max_install_names"),
        host_flags=(*compilers.HOST_FLAGS, *machine),
        host_link_flags=(*machine, "-Wl,-headerpad_max_install_names"),
    )  # fmt: skip


def link_variables(libraries: Path) -> dict[str, str]:  # noqa: ARG001 the linker finds them
    return {}


def raw_platform_tag(platform: Platform) -> str:
    """The oldest of the platform: repair makes it what the binaries ask for."""
    return f"macosx_{OLDEST[platform].replace('.', '_')}_{platform.architecture}"


def extension_suffix(target: Target) -> str:
    return f".cpython-{target.python.replace('.', '')}-darwin.so"


def site_packages(target: Target) -> str:
    return f"lib/python{target.python}/site-packages"


def gdal_library(prefix: Path) -> Path:
    return prefix / LAYOUT.libraries / "libgdal.dylib"


def is_plugin(file_name: str) -> bool:
    return file_name.endswith((".dylib", ".so"))


def program_name(path: Path) -> str | None:
    return path.name if path.suffix == "" else None


def tool_versions(platform: Platform, environ: Mapping[str, str]) -> dict[str, str]:
    raise NotImplementedError


def repair(request: RepairRequest) -> RepairedTree:
    raise NotImplementedError


def forcing(repaired: RepairedTree, owners: Mapping[str, str]) -> tuple[Forcing, ...]:
    raise NotImplementedError

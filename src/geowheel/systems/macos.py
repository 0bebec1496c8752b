"""macOS: layout of a prefix, clang, delocate."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from geowheel.errors import MachineError
from geowheel.targets import (
    OLDEST_MACOS,
    Platform,
    Target,
)

from . import compilers
from .contract import UNIX_LAYOUT, Toolchain

LAYOUT: Final = UNIX_LAYOUT
ENTRY_LIBRARIES: Final = {"gdal": "libgdal.", "proj": "libproj."}
OLDEST: Final = OLDEST_MACOS
"""What the bindings are compiled for: conda-forge's own MACOSX_DEPLOYMENT_TARGET."""


def find_toolchain(platform: Platform, environ: Mapping[str, str]) -> Toolchain:
    """clang and clang++ (or CC and CXX); raises MachineError when none is here for macOS."""
    names = environ.get("CC", "clang"), environ.get("CXX", "clang++")
    cc, cxx = (shutil.which(name, path=environ.get("PATH")) for name in names)
    target = compilers.ask(Path(cxx), "-dumpmachine", environ=environ).strip() if cxx else ""
    if cc is None or cxx is None or "-apple-" not in target:
        raise MachineError(
            f"no compiler for {platform}: {' and '.join(names)} would have to be a Mac's clang",
            cause=f"{cxx} compiles for {target}" if target else "they are not on PATH",
            fix="on a Mac, run `xcode-select --install`; elsewhere take the channel's own bindings "
            "with `geowheel wheel --bindings prebuilt`",
        )
    machine = ("-arch", platform.architecture, f"-mmacosx-version-min={OLDEST[platform]}")
    return Toolchain(
        cc=Path(cc),
        cxx=Path(cxx),
        version=compilers.first_line(
            compilers.ask(Path(cxx), "--version", environ=environ), "unknown compiler"
        ),
        target=target,
        linker=compilers.first_line(
            compilers.ask(Path(cxx), "-Wl,-v", "-shared", environ=environ), "unknown linker"
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


def is_raw_tag(platform: Platform, tag: str) -> bool:
    """Repaired ones have the same kind of tag: the repair looks into them."""
    return re.fullmatch(rf"macosx_\d+_\d+_{platform.architecture}", tag) is not None


def extension_suffix(target: Target) -> str:
    return f".cpython-{target.python.replace('.', '')}-darwin.so"


def site_packages(target: Target) -> str:
    return f"lib/python{target.python}/site-packages"


def gdal_library(prefix: Path) -> Path:
    return prefix / LAYOUT.libraries / "libgdal.dylib"


def is_plugin(file_name: str) -> bool:
    return file_name.endswith((".dylib", ".so"))


def program_name(path: Path) -> str | None:
    from geowheel.binary.macho import is_macho  # its reader is needed only where something is made

    return path.name if is_macho(path) else None

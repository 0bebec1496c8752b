"""macOS: layout of a prefix, clang, delocate."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from geowheel.errors import MachineError
from geowheel.targets import OLDEST_MACOS, Platform

from . import compilers
from .contract import UNIX_LAYOUT, UNIX_PACKAGES, SystemFacts, Toolchain


def _find_toolchain(platform: Platform, environ: Mapping[str, str]) -> Toolchain:
    """Find clang and clang++ (or CC and CXX); raises MachineError when none here is for macOS."""
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
    machine = ("-arch", platform.architecture, f"-mmacosx-version-min={OLDEST_MACOS[platform]}")
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
        libc=f"macOS {OLDEST_MACOS[platform]} and newer",
        libstdcxx="libc++",
        compile_flags=(*compilers.COMPILE_FLAGS, *machine),
        # Extension modules find the interpreter's symbols where they are loaded.
        link_flags=("-shared", *machine, "-Wl,-undefined,dynamic_lookup", "-Wl,-x",
                    "-Wl,-headerpad_max_install_names"),
        host_flags=(*compilers.HOST_FLAGS, *machine),
        host_link_flags=(*machine, "-Wl,-headerpad_max_install_names"),
    )  # fmt: skip


def _is_program(path: Path) -> bool:
    from geowheel.binary.macho import is_macho  # its reader is needed only where something is made

    return is_macho(path)


FACTS: Final = SystemFacts(
    layout=UNIX_LAYOUT,
    entry_libraries={"gdal": "libgdal.", "proj": "libproj."},
    find_toolchain=_find_toolchain,
    gdal_library="lib/libgdal.dylib",
    plugin_endings=(".dylib", ".so"),
    is_program=_is_program,
    ending=".cpython-{version}-darwin.so",
    packages=UNIX_PACKAGES,
)

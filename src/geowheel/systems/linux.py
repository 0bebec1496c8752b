"""Linux: layout of a prefix, gcc, auditwheel."""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from geowheel.errors import MachineError
from geowheel.machine.hints import Need, install, this_machine
from geowheel.targets import Platform

from . import compilers
from .contract import UNIX_LAYOUT, UNIX_PACKAGES, SystemFacts, Toolchain

LINK_FLAGS: Final = (
    "-shared", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,--as-needed", "-Wl,-z,noexecstack",
    "-Wl,--build-id=none", "-s",
    # libgdal's own libraries are found in the prefix when the wheel is repaired, not here.
    "-Wl,--allow-shlib-undefined",
)  # fmt: skip


def _find_toolchain(platform: Platform, environ: Mapping[str, str]) -> Toolchain:
    """Find the machine's gcc and g++, or what CC and CXX name.

    Raises MachineError when one is missing, or compiles for something else.
    """
    names = (environ.get("CC", "gcc"), environ.get("CXX", "g++"))
    cc, cxx = (shutil.which(name, path=environ.get("PATH")) for name in names)
    if cc is None or cxx is None:
        raise MachineError(
            f"no C/C++ compiler: {names[cc is not None]} is not on PATH",
            cause="the bindings are compiled on this machine",
            fix=install(Need.COMPILER, on=this_machine()),
        )

    def ask(asked: Sequence[str]) -> str:
        return compilers.ask(Path(asked[0]), *asked[1:], environ=environ)

    # Each question starts a process, so they are asked side by side.
    with ThreadPoolExecutor() as pool:
        of_cc, of_cxx, version, linker, runtime, macros = pool.map(
            ask,
            [
                (cc, "-dumpmachine"),
                (cxx, "-dumpmachine"),
                (cxx, "--version"),
                (cxx, "-Wl,--version", "-shared"),
                (cxx, "-print-file-name=libstdc++.so"),
                (cxx, "-x", "c++", "-E", "-dM", "-include", "features.h", os.devnull),
            ],
        )
    _check_target(of_cc.strip(), cc, platform)
    _check_target(of_cxx.strip(), cxx, platform)
    defined = dict(re.findall(r"#define (__GLIBC__|__GLIBC_MINOR__) (\d+)", macros))
    if len(defined) < 2:
        raise MachineError(
            f"{cxx} does not find glibc's headers",
            cause="the C library's development files are not installed, or this is musl",
            fix=install(Need.COMPILER, on=this_machine()),
        )
    return Toolchain(
        cc=Path(cc),
        cxx=Path(cxx),
        version=compilers.first_line(version, "unknown compiler"),
        target=of_cxx.strip(),
        linker=compilers.first_line(linker, "unknown linker"),
        libc=f"glibc {defined['__GLIBC__']}.{defined['__GLIBC_MINOR__']}",
        libstdcxx=Path(runtime.strip()).resolve().name,
        compile_flags=compilers.COMPILE_FLAGS,
        link_flags=LINK_FLAGS,
        host_flags=compilers.HOST_FLAGS,
        # A build-id is a digest of what strip takes away later, paths in debug information too.
        host_link_flags=("-Wl,--build-id=none",),
        cxx_archive=Path(runtime.strip()).with_name("libstdc++.a"),
    )


def _check_target(machine: str, compiler: str, platform: Platform) -> None:
    if machine.partition("-")[0] != platform.architecture:
        raise MachineError(
            f"{compiler} compiles for {machine or 'nothing that it tells'}, not for {platform}",
            cause="it is the machine's own, or CC and CXX name it",
            fix=f'set [tool.geowheel] toolchain = "zig"; or have CC and CXX name compilers for '
            f"{platform}",
        )


def _is_program(path: Path) -> bool:
    from geowheel.binary.elf import is_elf  # its reader is needed only where something is made

    return is_elf(path)


FACTS: Final = SystemFacts(
    layout=UNIX_LAYOUT,
    entry_libraries={"gdal": "libgdal.so", "proj": "libproj.so"},
    find_toolchain=_find_toolchain,
    gdal_library="lib/libgdal.so",
    plugin_endings=(".so",),
    is_program=_is_program,
    # EXT_SUFFIX of a CPython that was configured for glibc.
    ending=".cpython-{version}-{architecture}-linux-gnu.so",
    packages=UNIX_PACKAGES,
    # Programs that a build links to try something out need libgdal's own libraries.
    link_flags={"LDFLAGS": "-Wl,-rpath-link,{libraries}"},
)

"""Linux: layout of a prefix, gcc, auditwheel."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
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
    """gcc and g++, of the machine or those for the platform; or what CC and CXX name.

    Raises MachineError when one is missing, or compiles for something else.
    """
    triplet = compilers.cross_triplet(platform)
    prefix = f"{triplet}-" if triplet else ""
    need = Need.CROSS_COMPILER if triplet else Need.COMPILER

    def get() -> str:  # asks the archive: only where something is missing
        return install(need, on=this_machine(), triplet=triplet)

    def find(name: str) -> Path:
        found = shutil.which(name, path=environ.get("PATH"))
        if found is None:
            raise MachineError(
                f"no C/C++ compiler: {name} is not on PATH",
                cause="the bindings are compiled on this machine",
                fix=get(),
            )
        return Path(found)

    cc, cxx = find(environ.get("CC", f"{prefix}gcc")), find(environ.get("CXX", f"{prefix}g++"))

    def ask(compiler: Path, *arguments: str) -> str:
        return compilers.ask(compiler, *arguments, environ=environ)

    # Each question starts a process, so they are asked side by side.
    with ThreadPoolExecutor() as pool:
        of_cc, of_cxx, version, linker, runtime, macros = pool.map(
            lambda asked: ask(asked[0], *asked[1:]),
            [
                (cc, "-dumpmachine"),
                (cxx, "-dumpmachine"),
                (cxx, "--version"),
                (cxx, "-Wl,--version", "-shared"),
                (cxx, "-print-file-name=libstdc++.so"),
                (cxx, "-x", "c++", "-E", "-dM", "-include", "features.h", os.devnull),
            ],
        )
    _check_target(of_cc.strip(), cc, platform, fix=get)
    _check_target(of_cxx.strip(), cxx, platform, fix=get)
    defined = dict(re.findall(r"#define (__GLIBC__|__GLIBC_MINOR__) (\d+)", macros))
    if len(defined) < 2:
        raise MachineError(
            f"{cxx} does not find glibc's headers",
            cause="the C library's development files are not installed, or this is musl",
            fix=get(),
        )
    return Toolchain(
        cc=cc,
        cxx=cxx,
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


def _check_target(
    machine: str, compiler: Path, platform: Platform, *, fix: Callable[[], str]
) -> None:
    if machine.partition("-")[0] != platform.architecture:
        raise MachineError(
            f"{compiler} compiles for {machine or 'nothing that it tells'}, not for {platform}",
            cause="CC and CXX name it",
            fix=f"unset them and `{fix()}`, or have them name compilers for that platform",
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

"""Linux: layout of a prefix, the toolchain, how extension modules are compiled and linked."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from geowheel.digest import digest
from geowheel.environments import isolated_environment
from geowheel.errors import Fault, MachineError
from geowheel.hints import Need, install, this_machine

PREFIX_STRING: Final = "/usr/lib/geowheel-native-prefix"
"""Written over conda's placeholders. Libraries may look there at run time, so it is a path that
only root could create."""

LIBRARIES: Final = "lib"
GDAL_LIBRARY: Final = "libgdal.so"
HEADERS: Final = "include"
PLUGINS: Final = "lib/gdalplugins"
PROGRAMS: Final = "bin"
GDAL_DATA: Final = "share/gdal"
PROJ_DATA: Final = "share/proj"
CA_BUNDLE: Final = "ssl/cacert.pem"

COMPILE_FLAGS: Final = (
    "-O2", "-fPIC", "-fvisibility=hidden", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2",
    "-DNDEBUG", "-fwrapv", "-Wno-deprecated-declarations",
)  # fmt: skip
HOST_FLAGS: Final = (
    "-O2", "-fwrapv", "-DNDEBUG", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2",
)  # fmt: skip
"""For what a host compiles itself. setuptools takes CFLAGS in place of the interpreter's own flags,
so they have to be whole: without them nothing would be optimised."""
CXX_FLAGS: Final = ("-std=c++17",)
LINK_FLAGS: Final = (
    "-shared", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,--as-needed", "-Wl,-z,noexecstack",
    "-Wl,--build-id=none", "-s",
    # libgdal's own libraries are found in the prefix when the wheel is repaired, not here.
    "-Wl,--allow-shlib-undefined",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """The C and C++ compilers, and the runtimes that they link against."""

    cc: Path
    cxx: Path
    version: str
    """First line of `g++ --version`."""
    target: str
    """`x86_64-linux-gnu`: g++ -dumpmachine."""
    linker: str
    libc: str
    """`2.36`: the glibc whose headers and symbols are used."""
    libstdcxx: str
    """Name of the libstdc++ file that g++ links, its version included."""

    def digest(self) -> str:
        """Of everything but where the programs lie."""
        return digest((self.version, self.target, self.linker, self.libc, self.libstdcxx))

    def describe(self) -> str:
        """One line for people."""
        return f"{self.version}, glibc {self.libc}, {self.libstdcxx}"


def find_toolchain(environ: Mapping[str, str]) -> Toolchain:
    """The machine's gcc and g++ (or CC and CXX); raises MachineError when one is missing."""
    cc, cxx = environ.get("CC", "gcc"), environ.get("CXX", "g++")
    found = {name: shutil.which(name, path=environ.get("PATH")) for name in (cc, cxx)}
    faults = [
        Fault(
            what=f"no C/C++ compiler: {name} is not on PATH",
            cause="the bindings are compiled on this machine",
            fix=install(Need.COMPILER, on=this_machine()),
        )
        for name, path in found.items()
        if path is None
    ]
    if faults:
        raise MachineError(faults[:1])
    env = isolated_environment(environ)
    gxx = Path(found[cxx] or "")

    def ask(*arguments: str, text: str = "") -> str:
        return subprocess.run(
            [gxx, *arguments], env=env, input=text, capture_output=True, text=True, check=False,
            timeout=30,
        ).stdout  # fmt: skip

    macros = ask("-x", "c++", "-E", "-dM", "-include", "features.h", "-", text="\n")
    defined = dict(re.findall(r"#define (__GLIBC__|__GLIBC_MINOR__) (\d+)", macros))
    if len(defined) < 2:
        raise MachineError(
            f"{gxx} does not find glibc's headers",
            cause="the C library's development files are not installed, or this is musl",
            fix=install(Need.COMPILER, on=this_machine()),
        )
    return Toolchain(
        cc=Path(found[cc] or ""),
        cxx=gxx,
        version=(ask("--version").splitlines() or ["unknown compiler"])[0],
        target=ask("-dumpmachine").strip(),
        linker=(ask("-Wl,--version", "-shared").splitlines() or ["unknown linker"])[0],
        libc=f"{defined['__GLIBC__']}.{defined['__GLIBC_MINOR__']}",
        libstdcxx=Path(ask("-print-file-name=libstdc++.so").strip()).resolve().name,
    )


def compile_command(
    toolchain: Toolchain,
    source: Path,
    output: Path,
    *,
    includes: Sequence[Path],
    defines: Sequence[str],
    mapped: Mapping[Path, str],
) -> list[str | Path]:
    """The command for one object file; `mapped` paths are written as their names instead."""
    is_cxx = source.suffix != ".c"
    return [
        toolchain.cxx if is_cxx else toolchain.cc,
        *COMPILE_FLAGS,
        *(CXX_FLAGS if is_cxx else ()),
        *map_flags(mapped),
        *(f"-D{define}" for define in defines),
        *(part for path in includes for part in ("-isystem", path)),
        "-c", source, "-o", output,
    ]  # fmt: skip


def map_flags(mapped: Mapping[Path, str]) -> list[str]:
    """Compiler flags that write these folders' names instead of their paths into what is made."""
    return [f"-ffile-prefix-map={path}={name}" for path, name in mapped.items()]


def link_command(
    toolchain: Toolchain, objects: Sequence[Path], output: Path, *, prefix: Path
) -> list[str | Path]:
    """The command for one extension module against the prefix's libgdal."""
    return [toolchain.cxx, *LINK_FLAGS, *objects, f"-L{prefix / LIBRARIES}", "-lgdal", "-o", output]

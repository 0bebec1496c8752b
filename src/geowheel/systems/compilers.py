"""Compilers that take GCC's options: gcc itself and clang."""

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from geowheel.machine.environments import isolated_environment

from .contract import Toolchain

# PEP 831 asks for frame pointers. -g0: zig adds debug information unless it is told not to.
COMPILE_FLAGS: Final = (
    "-O2", "-g0", "-fno-omit-frame-pointer", "-fPIC", "-fvisibility=hidden", "-DNDEBUG",
    "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2", "-fwrapv", "-Wno-deprecated-declarations",
)  # fmt: skip
HOST_FLAGS: Final = (
    "-O2", "-g0", "-fno-omit-frame-pointer", "-fwrapv", "-DNDEBUG", "-fstack-protector-strong",
    "-D_FORTIFY_SOURCE=2",
)  # fmt: skip
C_FLAGS: Final = ("-include", "stdlib.h")  # the limited API of Python.h does not bring malloc
CXX_FLAGS: Final = ("-std=c++17",)


def ask(compiler: Path, *arguments: str, environ: Mapping[str, str]) -> str:
    """Return what a compiler prints; empty where it fails."""
    return subprocess.run(
        [compiler, *arguments], env=isolated_environment(environ), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=30,
    ).stdout  # fmt: skip


def first_line(output: str, otherwise: str) -> str:
    return (output.splitlines() or [otherwise])[0]


def compile_command(
    toolchain: Toolchain,
    source: Path,
    output: Path,
    *,
    includes: Sequence[Path],
    defines: Sequence[str],
) -> list[str | Path]:
    """Return the command for one object file, in C or C++ by its source's name.

    Relative paths are for the folder in which it is run: no other gets into what is made.
    """
    is_cxx = source.suffix != ".c"
    return [
        toolchain.cxx if is_cxx else toolchain.cc,
        *toolchain.compile_flags,
        *(CXX_FLAGS if is_cxx else C_FLAGS),
        *(f"-D{define}" for define in defines),
        *(part for path in includes for part in ("-isystem", path)),
        "-c", source, "-o", output,
    ]  # fmt: skip


def map_flags(mapped: Mapping[Path, str]) -> list[str]:
    """Return compiler flags that write these folders' names, not paths, into what is made."""
    return [f"-ffile-prefix-map={path}={name}" for path, name in mapped.items()]


def link_command(
    toolchain: Toolchain, objects: Sequence[Path], output: Path, *, libraries: Path
) -> list[str | Path]:
    """Return the command for one extension module against the libgdal in a folder."""
    return [toolchain.cxx, *toolchain.link_flags, *objects, f"-L{libraries}", "-lgdal",
            "-o", output]  # fmt: skip


def backend_variables(
    toolchain: Toolchain, mapped: Mapping[Path, str], variables: Mapping[str, str]
) -> dict[str, str]:
    """Return programs and flags for what a host compiles itself, in C, C++ and Rust.

    Beside `variables` that find the native stack.
    """
    linking = (variables.get("LDFLAGS"), shlex.join(toolchain.host_link_flags))
    flags = shlex.join([*toolchain.host_flags, *map_flags(mapped)])
    architecture = toolchain.target.partition("-")[0].upper()
    return {
        **variables,
        "CC": str(toolchain.cc),
        "CXX": str(toolchain.cxx),
        "AR": toolchain.ar,
        "CFLAGS": flags,
        "CXXFLAGS": flags,
        "LDFLAGS": " ".join(filter(None, linking)),
        # rustc links by the machine's cc, against its glibc, unless cargo is told.
        f"CARGO_TARGET_{architecture}_UNKNOWN_LINUX_GNU_LINKER": str(toolchain.cc),
        **_rust_variables(mapped),
    }


def _rust_variables(mapped: Mapping[Path, str]) -> dict[str, str]:
    """Return the same for rustc, which is told by cargo
    (https://doc.rust-lang.org/cargo/reference/environment-variables.html)."""
    flags = [f"--remap-path-prefix={path}={name}" for path, name in mapped.items()]
    if any(" " in flag for flag in flags):
        return {"CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags)}
    return {"RUSTFLAGS": " ".join(flags)}

"""Linux: the compiler that comes with the lock, so that every machine makes the same modules.

It is zig's clang, which the Python package index has as `ziglang`: pinned by its hash, and with
the headers of every glibc in it. It brings a C++ library of its own, which GDAL does not use: the
headers and the library of GCC's are those of the native stack's channel.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from geowheel.digest import digest
from geowheel.errors import BuildError
from geowheel.locks.assets import Asset
from geowheel.machine.archives import open_zip
from geowheel.machine.console import Step
from geowheel.machine.files import whole
from geowheel.prefix.store import Store
from geowheel.project.config import LIBSTDCXX
from geowheel.systems import compilers
from geowheel.systems.contract import Toolchain
from geowheel.systems.linux import LINK_FLAGS
from geowheel.targets import Platform

GLIBC: Final = "2.17"
"""The oldest that it is told to compile for: of manylinux2014, and of aarch64's first release."""
# PEP 831 asks for frame pointers; zig adds debug information unless it is told not to.
_FLAGS: Final = ("-g0", "-fno-omit-frame-pointer")
_HEADERS: Final = ("include/c++/*", "lib/gcc/*/*/include/c++")
"""Where the C++ headers lie in a prefix: from a distribution, from conda-forge."""
_CONFIG: Final = "*/bits/c++config.h"
"""The one of them that is the processor's."""
_FOLDERS: Final = (f"lib/{LIBSTDCXX}", "lib")
_LIBRARIES: Final = ("libstdc++.so.6", "libgcc_s.so.1")
# glibc has it since 2.32. GCC's headers ask for the file and then use it; zero: there are threads.
_SINGLE_THREADED: Final = "static const char __libc_single_threaded = 0;\n"


@dataclass(frozen=True, kw_only=True)
class Zig:
    """The locked compiler, for one platform."""

    asset: Asset
    """Its wheel, for this machine."""
    platform: Platform
    """What it compiles for."""

    @property
    def target(self) -> str:
        return f"{self.platform.architecture}-linux-gnu.{GLIBC}"

    def digest(self) -> str:
        """Of everything but the headers, which are a part of the prefix."""
        flags = (*compilers.COMPILE_FLAGS, *LINK_FLAGS, *_FLAGS)
        return digest((self.asset.sha256, self.target, flags))

    def opened(
        self, store: Store, *, cache: Path, prefix: Path, work: Path, step: Step
    ) -> Toolchain:
        """Unpack it once into `cache`, and write the two compilers of it into `work`.

        Raises BuildError where the prefix has no C++ headers.
        """
        (archive,) = store.obtain([self.asset], step)
        program = _unpacked(archive.path, cache / "toolchains" / f"zig-{self.asset.sha256[:16]}")
        configs = (p for form in _HEADERS for p in sorted(prefix.glob(f"{form}/{_CONFIG}")))
        config = next(configs, None)
        found = ([prefix / folder / name for name in _LIBRARIES] for folder in _FOLDERS)
        libraries = next((paths for paths in found if all(p.exists() for p in paths)), None)
        if config is None or libraries is None:
            raise BuildError(
                "the native stack has no headers of GCC's C++ library",
                where=str(prefix),
                cause='toolchain = "zig" compiles against them',
                fix=f"pixi add {LIBSTDCXX}_{self.platform}, then `geowheel lock`; or set "
                '[tool.geowheel] toolchain = "machine"',
            )
        stubs = work / "stubs"
        (stubs / "sys").mkdir(parents=True)
        (stubs / "sys" / "single_threaded.h").write_text(_SINGLE_THREADED, encoding="utf-8")
        machine_headers, headers = config.parents[1:3]
        # By -I: zig puts its own C library before every -isystem.
        own = [stubs, headers, machine_headers, headers / "backward"]
        start = [str(program), "cc", "-target", self.target]
        compiling = shlex.join(["-nostdinc++", *(f"-I{path}" for path in own)])
        cc, cxx = work / "cc", work / "c++"
        caches = f"export ZIG_GLOBAL_CACHE_DIR={shlex.quote(str(cache / 'zig'))}"
        head = f"#!/bin/sh\n{caches} ZIG_LOCAL_CACHE_DIR={shlex.quote(str(work / 'zig'))}\n"
        cc.write_text(f'{head}exec {shlex.join(start)} "$@"\n', encoding="utf-8")
        # The libraries by their paths: to zig, -lstdc++ is its own.
        cxx.write_text(
            f'{head}case " $* " in\n'
            f'*" -c "* | *" -E "*) set -- {compiling} "$@" ;;\n'
            f'*) set -- {compiling} "$@" {shlex.join(map(str, libraries))} ;;\nesac\n'
            f'exec {shlex.join(start)} "$@"\n',
            encoding="utf-8",
        )
        for script in (cc, cxx):
            script.chmod(0o755)
        return Toolchain(
            cc=cc,
            cxx=cxx,
            version=f"zig {self.asset.version}",
            target=self.target,
            linker=f"zig {self.asset.version}",
            libc=f"glibc {GLIBC}",
            libstdcxx=f"C++ headers of GCC {_version(headers)}",
            compile_flags=(*compilers.COMPILE_FLAGS, *_FLAGS),
            link_flags=LINK_FLAGS,
            host_flags=(*compilers.HOST_FLAGS, *_FLAGS),
            cxx_libraries=tuple(map(str, libraries)),
            cxx_archive=next(prefix.rglob("libstdc++.a"), Path()),
            host_link_flags=("-Wl,--build-id=none", "-Wl,--allow-shlib-undefined"),
        )


def open_toolchain(
    toolchain: Toolchain | Zig | None,
    store: Store,
    *,
    cache: Path,
    prefix: Path,
    work: Path,
    step: Step,
) -> Toolchain | None:
    """Return the compilers that a stage runs: those of the machine as they are.

    Raises BuildError as `Zig.opened` does.
    """
    if not isinstance(toolchain, Zig):
        return toolchain
    work.mkdir(parents=True, exist_ok=True)
    return toolchain.opened(store, cache=cache, prefix=prefix, work=work, step=step)


def _unpacked(archive: Path, folder: Path) -> Path:
    program = folder / "ziglang" / "zig"
    if not program.is_file():
        with whole(folder) as part, open_zip(archive) as wheel:
            wheel.extractall(part)
            (part / "ziglang" / "zig").chmod(0o755)
    return program


def _version(headers: Path) -> str:
    found = re.search(r"\d+(?:\.\d+)*", headers.name) or re.search(
        r"\d+(?:\.\d+)+", headers.as_posix()
    )
    return found[0] if found else "an unknown version"

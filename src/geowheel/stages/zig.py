"""Linux: the compiler that comes with the lock, so that every machine makes the same modules.

It is zig's clang, which the Python package index has as `ziglang`: pinned by its hash, and with
the headers of every glibc in it. It brings a C++ library of its own, which GDAL does not use: the
headers and the library of GCC's are those of the native stack's channel.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from geowheel.digest import digest
from geowheel.errors import BuildError
from geowheel.locks.assets import Asset
from geowheel.machine.archives import open_zip
from geowheel.machine.console import Step
from geowheel.machine.files import touch, whole, write
from geowheel.prefix.store import Store
from geowheel.project.config import LIBSTDCXX
from geowheel.systems import compilers
from geowheel.systems.contract import Toolchain
from geowheel.systems.linux import LINK_FLAGS
from geowheel.targets import Platform

GLIBC: Final = "2.17"
"""The oldest that it is told to compile for: of manylinux2014, and of aarch64's first release."""
_HEADERS: Final = ("include/c++/*", "lib/gcc/*/*/include/c++")
"""Where the C++ headers lie in a prefix: from a distribution, from conda-forge."""
_CONFIG: Final = "*/bits/c++config.h"
"""The one of them that is the processor's."""
# Without -O2 the first link compiles a runtime for sanitizers, which no module asks for.
_LINK_FLAGS: Final = ("-O2", *LINK_FLAGS)
_NUMBER: Final = r"\d+(?:\.\d+)*"
CACHE: Final = "zig"
"""The folder in the user's cache where it keeps the runtimes that it compiled."""
OBJECTS: Final = "compiled"
"""Where it keeps the modules of GDAL's: only the stage that compiles them may write there."""
_FOLDERS: Final = (f"lib/{LIBSTDCXX}", "lib")
_LIBRARIES: Final = ("libstdc++.so.6", "libgcc_s.so.1")
# glibc has it since 2.32. GCC's headers ask for the file and then use it; zero: there are threads.
T = TypeVar("T", bound=Toolchain | None)
# zig's linker refuses options by which distributions' Pythons tune others; no wheel needs them.
_KNOWN: Final = """\
for word do shift
    case $word in
    -Wl,-rpath-link[,=]*|-Wl,-Bsymbolic-functions|-Wl,-z,pack-relative-relocs) ;;
    -Wl,--no-copy-dt-needed-entries|-Wl,--warn-common|-Wl,--no-keep-memory) ;;
    -Wl,--package-metadata=*) ;;
    -m*=native) echo "$word: a wheel is for other processors too" >&2; exit 1 ;;
    *) set -- "$@" "$word" ;;
    esac
done
"""
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
        """Return the digest of all but the headers, which are a part of the prefix."""
        return digest((self.asset.sha256, self.target, compilers.COMPILE_FLAGS, _LINK_FLAGS))


def open_toolchain(
    toolchain: Zig | T, store: Store, *, cache: Path, prefix: Path, work: Path, step: Step,
    keeps: bool = False,
) -> Toolchain | T:  # fmt: skip
    """Return the compilers that a stage runs: those of the machine, or none, as they are.

    zig is unpacked once into `cache`; its programs come into `work`: c++, cc, ar and ranlib. Where
    it `keeps` what it compiles, it takes the same source from there the next time: for commands
    that run in `work`, where `prefix` is, and name no path outside. Raises BuildError where the
    prefix has no C++ headers.
    """
    if not isinstance(toolchain, Zig):
        return toolchain
    (archive,) = store.obtain([toolchain.asset], step)
    program = _unpacked(archive.path, unpacked_at(toolchain, cache))
    runtimes, objects = kept_at(toolchain, cache)
    objects = objects if keeps else work / "zig"
    for folder in (runtimes, objects):
        folder.mkdir(parents=True, exist_ok=True)
        touch(folder)
    configs = (p for form in _HEADERS for p in sorted(prefix.glob(f"{form}/{_CONFIG}")))
    config = next(configs, None)
    found = ([prefix / folder / name for name in _LIBRARIES] for folder in _FOLDERS)
    libraries = next((paths for paths in found if all(p.exists() for p in paths)), None)
    if config is None or libraries is None:
        raise BuildError(
            "the native stack has no headers of GCC's C++ library",
            where=str(prefix),
            cause='toolchain = "zig" compiles against them',
            fix=f"pixi add {LIBSTDCXX}_{toolchain.platform}, then `geowheel lock`; or set "
            '[tool.geowheel] toolchain = "machine"',
        )
    stubs = work / "stubs"
    write(stubs / "sys" / "single_threaded.h", _SINGLE_THREADED)
    machine_headers, headers = config.parents[1:3]
    # By -I: zig puts its own C library before every -isystem. SYSHDR: no warnings are theirs.
    own = [stubs, headers, machine_headers, headers / "backward"]
    own = [path.relative_to(work) for path in own] if keeps else own
    linking = shlex.join([*map(str, libraries), "-Wl,--allow-shlib-undefined"])
    compiling = shlex.join(["-nostdinc++", "-D_GLIBCXX_SYSHDR", *(f"-I{path}" for path in own)])
    caches = f"export ZIG_GLOBAL_CACHE_DIR={shlex.quote(str(runtimes))}"
    head = f"#!/bin/sh\n{caches} ZIG_LOCAL_CACHE_DIR={shlex.quote(str(objects))}\n{_KNOWN}"
    # Some build systems compile C++ by $CC. The libraries by their paths: to zig, -lstdc++ is
    # its own. CMake looks for ar and ranlib beside the compilers.
    zig, cxx = shlex.quote(str(program)), shlex.quote(str(work / "c++"))
    run = f'exec {zig} cc -target {toolchain.target} "$@"\n'
    # What only asks goes to clang itself, to which a glibc is no part of a target.
    asked = f'exec {zig} cc -target {toolchain.target.removesuffix(f".{GLIBC}")} "$@"'
    question = f'case "$*" in --version|-v|-dump*|-print*) {asked} ;; esac\n'
    scripts = {
        "cc": f'{question}case " $* " in\n*.cpp" "*|*.cc" "*|*.cxx" "*|*.C" "*) '
        f'exec {cxx} "$@" ;;\nesac\n{run}',
        "c++": f'{question}case " $* " in\n'
        f'*" -c "* | *" -E "*) set -- {compiling} "$@" ;;\n'
        f'*) set -- {compiling} "$@" {linking} ;;\nesac\n{run}',
        **dict.fromkeys(("ar", "ranlib"), f'exec {zig} "${{0##*/}}" "$@"\n'),
    }
    for name, text in scripts.items():
        with whole(work / name) as part:
            part.write_text(head + text, encoding="utf-8")
            part.chmod(0o755)
    return Toolchain(
        cc=work / "cc",
        cxx=work / "c++",
        ar=str(work / "ar"),
        version=f"zig {toolchain.asset.version}",
        target=toolchain.target,
        linker=f"zig {toolchain.asset.version}",
        libc=f"glibc {GLIBC}",
        libstdcxx=f"C++ headers of GCC {re.findall(_NUMBER, str(headers))[-1]}",
        compile_flags=compilers.COMPILE_FLAGS,
        link_flags=_LINK_FLAGS,
        host_flags=compilers.HOST_FLAGS,
        cxx_libraries=tuple(map(str, libraries)),
        cxx_archive=next(prefix.rglob("libstdc++.a"), Path()),
        host_link_flags=("-Wl,--build-id=none", "-Wl,--allow-shlib-undefined"),
    )


def unpacked_at(zig: Zig, cache: Path) -> Path:
    """Return where it is unpacked, or will be."""
    return cache / "toolchains" / f"zig-{zig.asset.sha256[:16]}"


def kept_at(zig: Zig, cache: Path) -> tuple[Path, Path]:
    """Return where its runtimes are kept, and the modules; each goes or stays as a whole."""
    return cache / CACHE / zig.asset.sha256[:16], cache / OBJECTS / zig.asset.sha256[:16]


def _unpacked(archive: Path, folder: Path) -> Path:
    program = folder / "ziglang" / "zig"
    if not program.is_file():
        with whole(folder) as part, open_zip(archive) as wheel:
            wheel.extractall(part)
            (part / "ziglang" / "zig").chmod(0o755)
    touch(folder)
    return program

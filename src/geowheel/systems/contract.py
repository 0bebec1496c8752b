"""What a system is asked, and the values that it answers with.

linux, macos and windows have one `SystemFacts` each; `geowheel.systems.of` leads to them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from geowheel.binary.closure import Binary
from geowheel.digest import digest
from geowheel.machine.process import Result
from geowheel.targets import Platform, Target

SHIM: Final = "libgeowheel-floor"
"""How the library is called that a lowered wheel brings of ours."""
UNIX_PREFIX: Final = "/usr/lib/geowheel-native-prefix"
"""The fixed prefix string of Linux and macOS: only root can create a folder there, and on macOS
nobody (System Integrity Protection)."""


@dataclass(frozen=True, kw_only=True)
class PrefixLayout:
    """Where a conda package of this system puts what; relative to the prefix, with slashes."""

    prefix_string: str
    """Written over conda's placeholders. Libraries may look there at run time, so it is a path that
    no unprivileged user can create."""
    libraries: str
    """Shared libraries that are loaded: `lib`, on Windows `Library/bin`."""
    more_libraries: tuple[str, ...] = ()
    """Folders with some libraries as well: on Windows `.`, where conda puts Visual C++'s runtime
    beside python.exe."""
    link_libraries: str
    """What a linker is given: `lib`, on Windows `Library/lib`."""
    headers: str
    plugins: str
    """Driver plugins of GDAL, which it looks for by itself."""
    programs: str
    gdal_data: str
    proj_data: str
    ca_bundle: str


UNIX_LAYOUT: Final = PrefixLayout(
    prefix_string=UNIX_PREFIX,
    libraries="lib",
    link_libraries="lib",
    headers="include",
    plugins="lib/gdalplugins",
    programs="bin",
    gdal_data="share/gdal",
    proj_data="share/proj",
    ca_bundle="ssl/cacert.pem",
)
"""Of conda packages for Linux and for macOS alike."""
UNIX_PACKAGES: Final = "lib/python{python}/site-packages"


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """The C and C++ compilers, and the runtimes that they link against."""

    cc: Path
    cxx: Path
    version: str
    """First line of what the C++ compiler says of its version."""
    target: str
    """`x86_64-linux-gnu`: what it compiles for."""
    linker: str
    libc: str
    """`glibc 2.36`, `macOS SDK 14.2`: whose headers and symbols are used."""
    libstdcxx: str
    """Name of the C++ runtime that it links, its version included where there is one."""
    compile_flags: tuple[str, ...]
    """Of every object file of the bindings."""
    link_flags: tuple[str, ...]
    host_flags: tuple[str, ...]
    """For what a host compiles itself. setuptools takes CFLAGS in place of the interpreter's own
    flags, so they have to be whole: without them nothing would be optimised."""
    host_link_flags: tuple[str, ...]
    ar: str = "ar"
    cxx_archive: Path = Path()
    """The C++ runtime as a static library, where there is one."""
    cxx_libraries: tuple[str, ...] = ("-lstdc++", "-lgcc_s")
    """How the C++ runtime is linked where the C compiler links."""

    def digest(self) -> str:
        """Return the digest of all but the places of the programs."""
        known = (self.version, self.target, self.linker, self.libc, self.libstdcxx)
        flags = (self.compile_flags, self.link_flags, self.host_flags, self.host_link_flags)
        return digest((known, flags))

    def describe(self) -> str:
        """Return a line for people."""
        return ", ".join(filter(None, (self.version, self.libc, self.libstdcxx)))


@dataclass(frozen=True, kw_only=True)
class SystemFacts:
    """What differs between systems until a wheel is repaired."""

    layout: PrefixLayout
    entry_libraries: Mapping[str, str]
    """`gdal` and `proj` to how the name of their library begins: `libgdal.so`."""
    find_toolchain: Callable[[Platform, Mapping[str, str]], Toolchain]
    """The machine's compilers for a platform, or those that CC and CXX name in the environment.

    Raises MachineError when one is missing, or compiles for another platform."""
    gdal_library: str
    """The file of libgdal in a prefix, as it would be loaded."""
    plugin_endings: tuple[str, ...]
    is_program: Callable[[Path], bool]
    """Whether a person can start the file in a folder of programs."""
    ending: str
    packages: str
    link_flags: Mapping[str, str] = field(default_factory=dict)
    """Variables for a host's build that links libgdal, whose own needs lie in `{libraries}`."""

    def extension_suffix(self, target: Target) -> str:
        """Return what CPython's extension modules end with: `.cpython-312-x86_64-linux-gnu.so`."""
        version = target.python.replace(".", "")
        return self.ending.format(version=version, architecture=target.platform.architecture)

    def site_packages(self, target: Target) -> str:
        """Return where conda's Python keeps packages, relative to the prefix."""
        return self.packages.format(python=target.python)

    def link_variables(self, libraries: Path) -> dict[str, str]:
        """Return more variables for a build that links libgdal, whose needs lie there too."""
        return {name: text.format(libraries=libraries) for name, text in self.link_flags.items()}

    def is_plugin(self, file_name: str) -> bool:
        """Return whether GDAL would take a file of its plugin folder for a plugin."""
        return file_name.lower().endswith(self.plugin_endings)


class Run(Protocol):
    """A way to run a command: `Step.run`, or a Runner."""

    def __call__(
        self, argv: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path
    ) -> Result: ...


@dataclass(frozen=True, kw_only=True)
class Bundled:
    """A library of the native stack and its copy in the wheel."""

    soname: str
    """The name by which the libraries' users ask for it, before the repair: `libgdal.so.32`,
    `libgdal.36.dylib`, `gdal.dll`."""
    source: str
    """The file, relative to the library folder: `libgdal.so.32.3.6.2`, `../../msvcp140.dll`."""
    path: str
    """The copy, relative to the wheel: `GDAL.libs/libgdal-1a2b3c4d.so.32.3.6.2`."""


@dataclass(frozen=True, kw_only=True)
class RepairRequest:
    """What a repair works on."""

    raw: Path
    library_folder: Path
    """The native stack's libraries (`PrefixLayout.libraries` in the prefix)."""
    more_folders: tuple[Path, ...] = ()
    """Folders that hold some as well, searched after it (`PrefixLayout.more_libraries`)."""
    plugins: str
    """The folder of GDAL's plugins, relative to the wheel; it need not be there."""
    folder: Path
    """Scratch space, which is made."""
    accept_code: tuple[str, ...] = ()
    """Patterns of paths of code that libraries may open on a user's machine."""
    platform: Platform
    floor: str | None = None
    """The newest glibc that a Linux wheel may need: what needs a newer one is lowered."""
    toolchain: Toolchain | None = None
    """What compiles a shim where lowering needs one."""
    owners: Mapping[str, object] = field(default_factory=dict)
    """Packages by the paths of their files, relative to the prefix; only for messages."""
    run: Run
    environ: Mapping[str, str]
    """Only asked for PATH and the like."""


@dataclass(frozen=True, kw_only=True)
class RepairedTree:
    """A repaired wheel, still unpacked: more files may be added before it is packed."""

    tree: Path
    filename: str
    """What to call the packed wheel: the raw wheel's name with the one new platform tag."""
    platform_tag: str
    """`manylinux_2_35_x86_64`, `macosx_11_0_arm64`, `win_amd64`."""
    bundled: tuple[Bundled, ...]
    """Sorted by soname; two sonames may lead to one copy. Modules come last."""
    binaries: Mapping[str, Binary]
    """Every compiled file of the tree, by relative path, as it is after the repair."""
    notes: tuple[str, ...] = ()
    """What a person should know about the result, a line each."""
    code: "tuple[CodeAt, ...]" = ()
    lowered: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Rows of the table of lowering to the symbols that they were for: `pow@GLIBC_2.29`."""


@dataclass(frozen=True, kw_only=True)
class CodeAt:
    """Where a file of the wheel would load code from: a path of the system, or several."""

    file: str
    text: str
    """As it was in the library."""
    written: str
    """As it is now: below $ORIGIN, where modules are bundled; below /sys, where nothing is; or the
    same."""
    why: str


@dataclass(frozen=True, kw_only=True)
class Forcing:
    """What makes the oldest system that a wheel runs on no older."""

    needs: str
    """`GLIBC_2.35`, `macOS 13.0`."""
    packages: tuple[str, ...]
    """The packages of the files, sorted; files of no package by their path."""
    files: tuple[str, ...]

"""What the modules of the systems answer with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from geowheel.binary.loading import Binary
from geowheel.process import Result
from geowheel.targets import Platform


@dataclass(frozen=True, kw_only=True)
class PrefixLayout:
    """Where a conda package of this system puts what; relative to the prefix, with slashes."""

    prefix_string: str
    """Written over conda's placeholders. Libraries may look there at run time, so it is a path that
    no unprivileged user can create."""
    libraries: str
    """Shared libraries that are loaded: `lib`, on Windows `Library/bin`."""
    link_libraries: str
    """What a linker is given: `lib`, on Windows `Library/lib`."""
    headers: str
    plugins: str
    """Driver plugins of GDAL, which it looks for by itself."""
    programs: str
    gdal_data: str
    proj_data: str
    ca_bundle: str


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
    """The file, relative to the library folder: `libgdal.so.32.3.6.2`."""
    path: str
    """The copy, relative to the wheel: `GDAL.libs/libgdal-1a2b3c4d.so.32.3.6.2`."""


@dataclass(frozen=True, kw_only=True)
class RepairRequest:
    """What a repair works on."""

    raw: Path
    library_folder: Path
    """The native stack's libraries (`PrefixLayout.libraries` in the prefix)."""
    plugins: str
    """The folder of GDAL's plugins, relative to the wheel; it need not be there."""
    folder: Path
    """Scratch space, which is made."""
    platform: Platform
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
    """Sorted by soname; two sonames may lead to one copy."""
    binaries: Mapping[str, Binary]
    """Every compiled file of the tree, by relative path, as it is after the repair."""
    notes: tuple[str, ...] = ()
    """What the step says of it: that a tool is experimental, that something was left out."""


@dataclass(frozen=True, kw_only=True)
class Forcing:
    """What makes the oldest system that a wheel runs on no older."""

    needs: str
    """`GLIBC_2.35`, `macOS 13.0`."""
    packages: tuple[str, ...]
    """The packages of the files, sorted; files of no package by their path."""
    files: tuple[str, ...]

"""One wheel, read once, as everything that the rules look at."""

import datetime
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar

from geowheel.binary.closure import Walk, follow
from geowheel.binary.elf import Elf
from geowheel.binary.elf_loading import ElfLoader
from geowheel.binary.formats import read_binaries
from geowheel.binary.macho import MachO
from geowheel.binary.macho_loading import DyldLoader
from geowheel.binary.pe import Pe
from geowheel.binary.pe_loading import PeLoader
from geowheel.binary.symbols import Symbols, read_symbols
from geowheel.contents.bill import SbomPackage, read_sbom
from geowheel.machine.archives import open_zip
from geowheel.machine.console import Step
from geowheel.wheel.reading import Wheel, unpack_wheel

from .outside import Outside

B = TypeVar("B", Elf, MachO, Pe)
# Where auditwheel, delvewheel and delocate put libraries, and what they add to a name.
_BUNDLE: Final = re.compile(r"(^|/)[^/]*\.(libs|dylibs)/")
_HASH: Final = re.compile(r"-[0-9a-f]{8,64}(?=\.|$)")
MUSL: Final = ("libc.musl-", "ld-musl-")
_MODULE: Final = re.compile(r"\.(abi3t?|cpython-[\w-]+)\.so$|\.pyd$")


@dataclass(frozen=True, kw_only=True)
class WheelContent:
    """A wheel whose parts agree, with its files unpacked below `tree` while it is looked at."""

    path: Path
    wheel: Wheel
    tree: Path
    binaries: Mapping[str, Elf | MachO | Pe]
    """By path, sorted."""
    symbols: Mapping[str, Symbols]
    packages: tuple[SbomPackage, ...]
    """Those that its SBOM names, geowheel's or another; empty where there is none."""
    outside: Outside | None = None

    @property
    def day(self) -> datetime.date:
        """The day that every rule takes for today."""
        return self.outside.day if self.outside else datetime.date.today()

    def of(self, kind: type[B]) -> dict[str, B]:
        """Return the compiled files of one format."""
        return {path: found for path, found in self.binaries.items() if isinstance(found, kind)}

    @cached_property
    def bundled(self) -> tuple[str, ...]:
        """The compiled files that lie where a repair puts libraries."""
        return tuple(filter(_BUNDLE.search, self.binaries))

    @cached_property
    def owners(self) -> Mapping[str, SbomPackage]:
        """The package that each file is from, as the SBOM says."""
        return {path: package for package in self.packages for path in package.files}

    def owner(self, member: str) -> str:
        """Name and version of the package that brought a file; of a library that no SBOM knows, its
        name; empty for the wheel's own."""
        if package := self.owners.get(member):
            return f"{package.name} {package.version}"
        return self.library(member) if _BUNDLE.search(member) else ""

    def library(self, member: str) -> str:
        """Return a library's name without its version, and without what a repair added to it."""
        return re.split(r"\.|-\d", _HASH.sub("", PurePosixPath(member).name))[0]

    def is_prebuilt(self, member: str) -> bool:
        """Return whether others compiled it: a conda package brought it, or a bundle has it."""
        if package := self.owners.get(member):
            return package.purl.startswith("pkg:conda/")
        return _BUNDLE.search(member) is not None

    def is_module(self, member: str) -> bool:
        """Return whether Python imports it."""
        exported = self.symbols[member].exported
        entries = ("PyInit_", "PyModExport_")
        return bool(_MODULE.search(member)) or any(n.startswith(entries) for n in exported)

    @cached_property
    def musl(self) -> bool:
        """Whether its ELF files are for musl, not for glibc."""
        return any(
            "-linux-musl" in path or any(n.startswith(MUSL) for n in elf.needed)
            for path, elf in self.of(Elf).items()
        )

    @cached_property
    def walks(self) -> tuple[Walk[Any], ...]:
        """What the compiled files load, for each system that they are for."""
        own = [path for path in self.of(Pe) if path in self.bundled]
        folder = PurePosixPath(own[0]).parent.as_posix() if own else ""
        windows = PeLoader(bundled=folder, preloaded=frozenset(own))
        unix = follow(self.of(Elf), ElfLoader()), follow(self.of(MachO), DyldLoader())
        return tuple(walk for walk in (*unix, follow(self.of(Pe), windows)) if walk.binaries)


@contextmanager
def opened_wheel(path: Path, step: Step, outside: Outside | None = None) -> Iterator[WheelContent]:
    """Unpack the wheel at `path` in a scratch folder, and read it.

    Raises IntegrityError for damage in it or in a compiled file, BuildError where its parts
    contradict each other; OSError when it cannot be read.
    """
    with step.elsewhere("audit") as folder:
        step.now("unpacking")
        tree = folder / "wheel"
        wheel = unpack_wheel(path, tree)
        with open_zip(path) as archive:
            packages = read_sbom(archive) or read_sbom(archive, ".cdx.json")
        step.now("reading its compiled files")
        binaries = read_binaries(tree)
        symbols = {name: read_symbols(tree / name, b, name=name) for name, b in binaries.items()}
        step.now("looking")
        yield WheelContent(
            path=path, wheel=wheel, tree=tree, binaries=binaries, symbols=symbols,
            packages=packages, outside=outside,
        )  # fmt: skip

"""One wheel, read once, as everything that the rules look at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

from geowheel.binary.elf import Elf, is_elf, read_elf
from geowheel.binary.macho import MachO, is_macho, read_macho
from geowheel.binary.pe import Pe, is_pe, read_pe
from geowheel.contents.bill import SbomPackage, read_sbom
from geowheel.machine.archives import open_zip
from geowheel.machine.console import Step
from geowheel.wheel.reading import Wheel, unpack_wheel

from .outside import Outside

B = TypeVar("B", Elf, MachO, Pe)
# auditwheel, delvewheel and delocate put libraries there; setuptools' and conda's own are beside.
_BUNDLE: Final = re.compile(r"(^|/)[^/]*\.(libs|dylibs)/")
_HASH: Final = re.compile(r"-[0-9a-f]{8,64}(?=\.|$)")


@dataclass(frozen=True, kw_only=True)
class WheelContent:
    """A wheel whose parts agree, with its files unpacked below `tree` while it is looked at."""

    path: Path
    wheel: Wheel
    tree: Path
    binaries: Mapping[str, Elf | MachO | Pe]
    """By path, sorted."""
    packages: tuple[SbomPackage, ...]
    """Those that its SBOM names, geowheel's or another; empty where there is none."""
    outside: Outside | None = None

    @cached_property
    def _owners(self) -> dict[str, SbomPackage]:
        return {path: package for package in self.packages for path in package.files}

    def owner(self, member: str) -> str:
        """Name and version of the package that brought a file; of a library that no SBOM knows, its
        name; empty for the wheel's own."""
        if package := self._owners.get(member):
            return f"{package.name} {package.version}"
        name = PurePosixPath(member).name
        return _HASH.sub("", name).partition(".")[0] if _BUNDLE.search(member) else ""

    def is_prebuilt(self, member: str) -> bool:
        """Return whether others compiled it: a conda package brought it, or a bundle has it."""
        if package := self._owners.get(member):
            return package.purl.startswith("pkg:conda/")
        return _BUNDLE.search(member) is not None

    @property
    def elves(self) -> dict[str, Elf]:
        return self._of(Elf)

    @property
    def machos(self) -> dict[str, MachO]:
        return self._of(MachO)

    @property
    def pes(self) -> dict[str, Pe]:
        return self._of(Pe)

    def _of(self, kind: type[B]) -> dict[str, B]:
        return {path: found for path, found in self.binaries.items() if isinstance(found, kind)}


_READERS: Final[tuple[tuple[Callable[[Path], bool], Callable[[Path], Elf | MachO | Pe]], ...]] = (
    (is_elf, read_elf), (is_macho, read_macho), (is_pe, read_pe),
)  # fmt: skip


@contextmanager
def opened_wheel(path: Path, step: Step, outside: Outside | None = None) -> Iterator[WheelContent]:
    """The wheel at `path`, unpacked in a scratch folder.

    Raises IntegrityError for damage in it or in a compiled file, BuildError where its parts
    contradict each other; OSError when it cannot be read.
    """
    with step.elsewhere("audit") as folder:
        step.now("unpacking")
        wheel = unpack_wheel(path, folder / "wheel")
        with open_zip(path) as archive:
            packages = read_sbom(archive) or read_sbom(archive, ".cdx.json")
        step.now("reading its compiled files")
        yield WheelContent(
            path=path,
            wheel=wheel,
            tree=folder / "wheel",
            binaries=dict(_binaries(folder / "wheel")),
            packages=packages,
            outside=outside,
        )


def _binaries(tree: Path) -> Iterator[tuple[str, Elf | MachO | Pe]]:
    for file in sorted(path for path in tree.rglob("*") if path.is_file()):
        name = file.relative_to(tree).as_posix()
        for fits, read in _READERS:
            if fits(file):
                yield name, read(file)
                break

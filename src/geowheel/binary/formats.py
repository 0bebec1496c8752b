"""Which system a compiled file is for, by how it begins."""

from collections.abc import Iterator
from pathlib import Path

from geowheel.errors import Fault
from geowheel.targets import Platform, System

from .elf import Elf, is_elf, read_elf
from .macho import MachO, is_macho, read_macho
from .pe import Pe, is_pe, read_pe
from .reading import read_tree


def system_of(path: Path) -> System | None:
    """Return the system whose loader takes the file; None where it is no compiled file."""
    kinds = {System.LINUX: is_elf, System.MACOS: is_macho, System.WINDOWS: is_pe}
    return next((system for system, fits in kinds.items() if fits(path)), None)


def read_binaries(tree: Path) -> dict[str, Elf | MachO | Pe]:
    """Return every compiled file below `tree`, whatever system it is for, as `read_tree` does it.

    Raises IntegrityError at the first damaged file, named by its path below the tree.
    """

    def read(path: Path) -> Elf | MachO | Pe:
        name, system = path.relative_to(tree).as_posix(), system_of(path)
        if system is System.LINUX:
            return read_elf(path, name=name)
        return (read_macho if system is System.MACOS else read_pe)(path, name=name)

    return read_tree(tree, lambda path: system_of(path) is not None, read)


def strangers(tree: Path, platform: Platform) -> Iterator[Fault]:
    """Yield each compiled file below `tree` that is for another system than the platform's."""
    for path in sorted(tree.rglob("*")):
        system = system_of(path)
        if system not in (None, platform.system):
            yield Fault(
                what=f"is compiled for {system}, and the wheel is for {platform}",
                where=path.relative_to(tree).as_posix(),
                cause="the host's build backend compiles for the machine that it runs on",
                fix="build the wheel on a machine of that platform, there or here repaired with "
                "`geowheel repair-wheel RAW DEST`",
            )

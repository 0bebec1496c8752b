"""What a distro channel holds, kept in its distro.json."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from geowheel.binary.system_libraries import system_libraries
from geowheel.errors import MachineError
from geowheel.machine.files import read_json, to_json, write
from geowheel.targets import Platform, System

STATE: Final = "distro.json"
NOARCH: Final = "noarch"


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What is known of the compiled files of a recipe's packages."""

    provides: tuple[str, ...]
    """Names of the libraries in lib/."""
    needs: tuple[str, ...]
    """Every DT_NEEDED."""
    floor: tuple[int, ...] = ()
    """The oldest glibc that they can be lowered to."""
    newest: str = ""
    """The file and the symbol that no older one has."""


@dataclass(frozen=True, kw_only=True)
class Converted(Contents):
    """What one recipe gave: kept in the channel's distro.json."""

    key: str
    """Digest of the recipe and of everything that converts it."""
    files: dict[str, str]
    """Path in the channel to sha256."""


@dataclass(frozen=True, kw_only=True)
class ChannelState:
    """What the channel holds, for all its platforms."""

    entries: dict[str, Converted] = field(default_factory=dict)
    """By the recipe's name below its subdir: `linux-64/libgdal-core`."""
    indexed: dict[str, str] = field(default_factory=dict)
    """Subdir to the digest of its `files`, and of what converted them, when the repodata was
    written."""

    def of(self, platform: Platform) -> dict[str, Converted]:
        """Return what is for a platform, or for all."""
        own = (f"{platform}/", f"{NOARCH}/")
        return {name: entry for name, entry in self.entries.items() if name.startswith(own)}

    def files(self, subdir: str) -> dict[str, str]:
        """Return the packages of a subdir: path in the channel to sha256."""
        return {
            path: sha256
            for entry in self.entries.values()
            for path, sha256 in entry.files.items()
            if path.startswith(f"{subdir}/")
        }


def read_state(folder: Path) -> ChannelState:
    """Return the state of the channel in `folder`; raises MachineError for another folder."""
    file = folder / STATE
    if not file.exists() and folder.is_dir() and any(folder.iterdir()):
        raise MachineError(
            "not a distro channel, and not empty",
            where=str(folder),
            cause="old packages are removed from a distro channel: it needs its own folder",
            fix="name a new or an empty folder",
        )
    return read_json(file, ChannelState) or ChannelState()  # damaged: everything is made again


def write_state(folder: Path, state: ChannelState) -> None:
    """Write it with one rename."""
    write(folder / STATE, to_json(state, ordered=True))


def gaps(entries: Mapping[str, Converted]) -> Iterator[str]:
    """Yield the libraries that some package needs and none has: a wheel would not load."""
    provided = {name for entry in entries.values() for name in entry.provides}
    found: dict[str, list[str]] = {}
    for path, entry in sorted(entries.items()):
        name = path.partition("/")[2]
        for library in entry.needs:
            if library not in provided | system_libraries(System.LINUX):
                found.setdefault(library, []).append(name)
    for library, needed_by in sorted(found.items()):
        yield f"{library}, which {', '.join(needed_by)} needs, is in no package"

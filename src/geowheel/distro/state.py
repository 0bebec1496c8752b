"""What a distro channel holds, kept in its distro.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from geowheel.errors import MachineError
from geowheel.machine.files import read_json, write
from geowheel.targets import Platform

STATE: Final = "distro.json"
NOARCH: Final = "noarch"


@dataclass(frozen=True, kw_only=True)
class Converted:
    """What one recipe gave: kept in the channel's distro.json."""

    key: str
    """Digest of the recipe and of everything that converts it."""
    files: dict[str, str]
    """Path in the channel to sha256."""
    provides: tuple[str, ...]
    needs: tuple[str, ...]


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
    """The state of the channel in `folder`; raises MachineError for another kind of folder."""
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
    text = msgspec.json.format(msgspec.json.encode(state, order="sorted"), indent=1)
    write(folder / STATE, text + b"\n")

"""The store: downloaded files by their sha256, shared by all projects of a user.

Bytes enter it only after their digest was checked, with one rename. A killed download leaves a
`.part` file that nobody reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from geowheel.digest import sha256_file
from geowheel.locks.assets import Asset
from geowheel.locks.channels import Mirrors
from geowheel.machine.console import Step
from geowheel.machine.files import touch

STALL: Final = 60.0  # seconds without one byte: the server is taken for dead


@dataclass(frozen=True, kw_only=True)
class Store:
    """A folder of files by digest."""

    folder: Path
    mirrors: Mirrors
    stall: float = STALL

    def path(self, asset: Asset) -> Path:
        """Where `asset` is, or would be."""
        return self.folder / asset.sha256[:2] / asset.sha256 / asset.file_name

    def missing(self, every: Iterable[Asset]) -> list[Asset]:
        """Those that have to be downloaded, each once."""
        places = {self.path(asset): asset for asset in every}
        return [asset for path, asset in places.items() if not path.is_file()]

    def obtain(self, every: Iterable[Asset], step: Step) -> list[Path]:
        """Download what is not there yet, and return where each of them is.

        Raises IntegrityError for wrong bytes, ChannelError for what no place has, MachineError
        when the disk is full. What arrived whole stays, so the next run goes on from there.
        """
        places = {self.path(asset): asset for asset in every}
        missing = {path: asset for path, asset in places.items() if not path.is_file()}
        for path in places.keys() - missing.keys():
            touch(path)
        if missing:
            from .downloading import download  # with all that it takes

            download(missing, self.mirrors, step, stall=self.stall, of=len(places))
        return list(places)

    def obtain_sound(self, every: Sequence[Asset], step: Step) -> None:
        """As `obtain`, but what is stored already is hashed again before it is trusted."""
        places = {self.path(asset): asset for asset in every}
        present = [path for path in places if path.is_file()]
        with ThreadPoolExecutor() as pool:
            digests = list(pool.map(sha256_file, present))
        for path, found in zip(present, digests, strict=True):
            if found != places[path].sha256:
                step.console.warn(f"{places[path]} was damaged in the store: fetching it again")
                path.unlink(missing_ok=True)
        self.obtain(every, step)

"""The store: downloaded files by their sha256, shared by all projects of a user.

Bytes enter it only after their digest was checked, with one rename, and leave it only after it
was checked again. A killed download leaves a `.part` file that nobody reads.
"""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from geowheel.digest import Artefact, sha256_file
from geowheel.locks.assets import Asset
from geowheel.locks.channels import Mirrors
from geowheel.machine.bounds import STALL
from geowheel.machine.console import Step
from geowheel.machine.files import touch


@dataclass(frozen=True, kw_only=True)
class Store:
    """A folder of files by digest."""

    folder: Path
    mirrors: Mirrors
    stall: float = STALL

    def path(self, asset: Asset) -> Path:
        """Return where `asset` is, or would be."""
        return self.folder / asset.sha256[:2] / asset.sha256 / asset.file_name

    def missing(self, every: Iterable[Asset]) -> list[Asset]:
        """Return those that have to be downloaded, each once."""
        places = {self.path(asset): asset for asset in every}
        return [asset for path, asset in places.items() if not path.is_file()]

    def obtain(self, every: Iterable[Asset], step: Step) -> list[Artefact]:
        """Hash what is there, download what is not or is damaged, and return where each of them is.

        Raises IntegrityError for wrong bytes, ChannelError for what no place has, MachineError
        when the disk is full. What arrived whole stays, so the next run goes on from there.
        """
        places = {self.path(asset): asset for asset in every}
        with ThreadPoolExecutor() as pool:
            sound = dict(zip(places, pool.map(_is_sound, places.items()), strict=True))
        missing = {path: asset for path, asset in places.items() if not sound[path]}
        for path in places.keys() - missing.keys():
            touch(path)
        for path in filter(os.path.lexists, missing):
            step.console.warn(f"{places[path]} was damaged in the store: fetching it again")
            path.unlink()
        if missing:
            from .downloading import download  # with all that it takes

            download(missing, self.mirrors, step, stall=self.stall, of=len(places))
        return [Artefact(path=path, sha256=asset.sha256) for path, asset in places.items()]


def _is_sound(wanted: tuple[Path, Asset]) -> bool:
    path, asset = wanted
    try:
        return sha256_file(path) == asset.sha256
    except OSError:
        return False

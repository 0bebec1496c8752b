"""fetch: from the locks to a prefix, and GDAL's sdist and the requirements into the store."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rattler.package_streaming import extract

from ..console import Step
from ..context import Context
from ..errors import IntegrityError
from ..ledger import Record
from ..native.build_lock import GROUPS, Download
from ..native.linker import NativeManifest, PlacedPackage, place
from ..native.pixi_lock import Package
from ..native.store import Store, Wanted
from ..systems import linux
from ..targets import Target
from .contract import Inputs, Outcome, ambient

PREFIX = "prefix"


@dataclass(frozen=True, kw_only=True)
class FetchInputs(Inputs):
    """The exact packages, and the string that stands for their prefix."""

    packages: tuple[Package, ...]
    requirements: tuple[Download, ...]
    prefix_string: str
    platform: str
    source: str
    store: Store = ambient()


def inputs(context: Context, _: Mapping[str, Record]) -> FetchInputs:
    """Everything that the locks name for this platform, for all configured pythons."""
    build = context.locks.build
    targets = [
        Target(python=python, platform=context.target.platform)
        for python in context.project.config.pythons
    ]
    downloads = {
        download
        for target in targets
        for group in GROUPS
        for download in build.requirements(group, target)
    }
    return FetchInputs(
        packages=context.locks.stack.packages,
        requirements=tuple(sorted({build.gdal_sdist, *downloads})),
        prefix_string=linux.PREFIX_STRING,
        platform=str(context.target.platform),
        source=context.locks.source.words,
        store=context.store,
    )


def run(inputs: FetchInputs, folder: Path, step: Step) -> Outcome:
    """Download what the store lacks, unpack, and place every file with its owner."""
    packages = {package: package_wanted(package) for package in inputs.packages}
    everything = [*packages.values(), *map(download_wanted, inputs.requirements)]
    inputs.store.obtain(everything, step)
    step.say(f"placing {len(packages)} packages of GDAL {_gdal_version(inputs)}'s native stack")
    prefix = folder / PREFIX
    prefix.mkdir()
    placed = _unpack_and_place(packages, inputs, prefix, step)
    manifest = NativeManifest(
        platform=inputs.platform,
        prefix_string=inputs.prefix_string,
        source=inputs.source,
        packages=tuple(placed),
    )
    manifest.write(folder)
    return Outcome(
        content=manifest.content(),
        facts={"gdal": manifest.gdal_version, "packages": len(placed), "source": inputs.source},
    )


def check(inputs: FetchInputs, record: Record, step: Step) -> str | None:
    """Asked for by name: hash the store again, and fetch again what is damaged or gone."""
    if not (record.folder / PREFIX).is_dir():
        return "the prefix is gone"
    everything = [*map(package_wanted, inputs.packages), *map(download_wanted, inputs.requirements)]
    for wanted in inputs.store.verify(everything):
        step.console.warn(f"{wanted.label} was damaged in the store: fetched again")
    inputs.store.obtain(everything, step)
    return None


def package_wanted(package: Package) -> Wanted:
    """A conda package as the store knows it."""
    return Wanted(label=str(package), file_name=package.file_name, url=package.url,
                  sha256=package.sha256, size=package.size)


def download_wanted(download: Download) -> Wanted:
    """A file of the Python package index as the store knows it."""
    return Wanted(label=f"{download.name} {download.version}", file_name=download.file_name,
                  url=download.url, sha256=download.sha256)


def _unpack_and_place(
    packages: Mapping[Package, Wanted], inputs: FetchInputs, prefix: Path, step: Step
) -> Sequence[PlacedPackage]:
    """Unpack side by side; place in the order of names, so that a clash is always the same."""
    with (
        tempfile.TemporaryDirectory(dir=prefix.parent, prefix="unpacked-") as scratch,
        ThreadPoolExecutor(max_workers=os.cpu_count()) as pool,
        step.progress("unpack", len(packages)) as advance,
    ):
        def unpack(package: Package) -> Path:
            goal = Path(scratch, package.sha256)
            _extract(inputs.store.path(packages[package]), goal, package)
            advance(1)
            return goal

        placed = []
        for package, unpacked in zip(packages, pool.map(unpack, packages), strict=True):
            placed.append(place(package, unpacked, prefix, prefix_string=inputs.prefix_string,
                                consume=True))
        return placed


def _extract(archive: Path, goal: Path, package: Package) -> None:
    try:
        extract(archive, goal)
    except (RuntimeError, OSError, ValueError) as error:
        raise IntegrityError(
            f"{package} cannot be unpacked: {error}",
            where=str(archive),
            cause="the channel holds a broken package: its bytes are those that the lock names",
            fix="lock another build of it",
        ) from None


def _gdal_version(inputs: FetchInputs) -> str:
    return next(p.version for p in inputs.packages if p.name == "libgdal-core")

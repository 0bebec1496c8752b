"""fetch: from the locks to a prefix, and GDAL's sdist and the requirements into the store."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rattler.package_streaming import extract

from geowheel.console import Step
from geowheel.context import Context
from geowheel.errors import IntegrityError
from geowheel.ledger import Record
from geowheel.native import pixi
from geowheel.native.build_lock import GROUPS, Download
from geowheel.native.linker import NativeManifest, PlacedPackage, place
from geowheel.native.pixi_lock import Package
from geowheel.native.store import Store, Wanted
from geowheel.systems import linux
from geowheel.targets import Platform, Target

from .contract import Inputs, Outcome, ambient

PREFIX = "prefix"


@dataclass(frozen=True, kw_only=True)
class FetchInputs(Inputs):
    """The exact packages, and the string that stands for their prefix."""

    packages: tuple[Package, ...]
    requirements: tuple[Download, ...]
    prefix_string: str
    platform: str
    store: Store = ambient()
    cache: Path = ambient()
    environ: Mapping[str, str] = ambient()


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
        store=context.store,
        cache=context.project.machine.cache,
        environ=context.project.machine.environ,
    )


def run(inputs: FetchInputs, folder: Path, step: Step) -> Outcome:
    """Download, unpack, and place every file with its owner: the same prefix whoever downloads."""
    requirements = [download_wanted(download) for download in inputs.requirements]
    prefix = folder / PREFIX
    prefix.mkdir()
    program = None
    if pixi.can_reach(inputs.packages, inputs.store.mirrors):
        program = pixi.find_pixi(inputs.environ, step)
    if program is not None:
        inputs.store.obtain(requirements, step)
        placed = _place_from_pixi(program, inputs, prefix, step)
    else:
        inputs.store.obtain([*map(package_wanted, inputs.packages), *requirements], step)
        placed = _place_from_store(inputs, prefix, step)
    manifest = NativeManifest(
        platform=inputs.platform,
        prefix_string=inputs.prefix_string,
        packages=tuple(placed),
    )
    manifest.write(folder)
    return Outcome(
        content=manifest.content(),
        facts={"gdal": manifest.gdal_version, "packages": len(placed)},
    )


def check(inputs: FetchInputs, record: Record, step: Step) -> str | None:
    """Asked for by name: hash the store again, and fetch again what is damaged or gone."""
    if not (record.folder / PREFIX).is_dir():
        return "the prefix is gone"
    everything = [*map(package_wanted, inputs.packages), *map(download_wanted, inputs.requirements)]
    damaged = inputs.store.verify(everything)
    for wanted in damaged:
        step.console.warn(f"{wanted.label} was damaged in the store: fetching it again")
    inputs.store.obtain(damaged, step)
    return None


def package_wanted(package: Package) -> Wanted:
    """A conda package as the store knows it."""
    return Wanted(
        label=str(package),
        file_name=package.file_name,
        url=package.url,
        sha256=package.sha256,
        size=package.size,
    )


def download_wanted(download: Download) -> Wanted:
    """A file of the Python package index as the store knows it."""
    return Wanted(
        label=f"{download.name} {download.version}",
        file_name=download.file_name,
        url=download.url,
        sha256=download.sha256,
    )


def _place_from_pixi(
    program: pixi.Pixi, inputs: FetchInputs, prefix: Path, step: Step
) -> list[PlacedPackage]:
    """pixi downloads and unpacks into a cache of ours, from where files are copied."""
    step.say(f"{len(inputs.packages)} packages through pixi {program.version}")
    with tempfile.TemporaryDirectory(dir=prefix.parent, prefix="pixi-") as scratch:
        unpacked = pixi.unpack(
            program, inputs.packages, Platform(inputs.platform), Path(scratch),
            mirrors=inputs.store.mirrors, cache=inputs.cache / "pixi", environ=inputs.environ,
            step=step,
        )  # fmt: skip
        return [
            place(package, unpacked[package], prefix, prefix_string=inputs.prefix_string,
                  consume=False)
            for package in inputs.packages
        ]  # fmt: skip


def _place_from_store(inputs: FetchInputs, prefix: Path, step: Step) -> list[PlacedPackage]:
    """Unpack side by side; place in the order of names, so that a clash is always the same."""
    step.say(f"placing {len(inputs.packages)} packages, GDAL {_gdal_version(inputs)} among them")
    with (
        tempfile.TemporaryDirectory(dir=prefix.parent, prefix="unpacked-") as scratch,
        ThreadPoolExecutor(max_workers=os.cpu_count()) as pool,
        step.progress("unpack", len(inputs.packages)) as advance,
    ):

        def unpack(package: Package) -> Path:
            goal = Path(scratch, package.sha256)
            _extract(inputs.store.path(package_wanted(package)), goal, package)
            advance(1)
            return goal

        unpacked = pool.map(unpack, inputs.packages)
        return [
            place(package, folder, prefix, prefix_string=inputs.prefix_string, consume=True)
            for package, folder in zip(inputs.packages, unpacked, strict=True)
        ]  # fmt: skip


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

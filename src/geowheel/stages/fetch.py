"""fetch: from the locks to a prefix, and GDAL's sdist and the requirements into the store."""

import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from geowheel import systems
from geowheel.digest import digest
from geowheel.errors import IntegrityError, some
from geowheel.locks import pixi
from geowheel.locks.assets import Package
from geowheel.machine.console import Step
from geowheel.machine.files import disk_faults, held, touch
from geowheel.prefix.linker import NativeManifest, Placing
from geowheel.prefix.unpacking import unpack_package
from geowheel.prefix.wrappers import write_wrappers
from geowheel.records.facts import FetchFacts
from geowheel.records.stage import Outcome
from geowheel.targets import GDAL_PACKAGE

from .inputs import PREFIX, FetchInputs


def run(inputs: FetchInputs, folder: Path, step: Step) -> Outcome[FetchFacts]:
    """Download, unpack, and place every file with its owner: the same prefix whoever downloads."""
    # What the other stages read in the store.
    beside = [*inputs.requirements, *inputs.prebuilt]
    prefix = folder / PREFIX
    program = None
    urls = [package.url for package in inputs.packages]
    if pixi.can_unpack(inputs.platform, inputs.machine) and pixi.can_reach(
        urls, inputs.store.mirrors
    ):
        program = pixi.find_pixi(inputs.environ, step)
    step.now("checking what is stored")
    with disk_faults(folder):
        placing = None
        if program is not None:
            inputs.store.obtain(beside, step)
            placing = _place_from_pixi(program, inputs, prefix, step)
        if placing is None:  # all at once: what does not answer is one fault
            inputs.store.obtain([*inputs.packages, *beside], step)
            placing = _place_from_store(inputs, prefix, step)
        manifest = placing.manifest()
        _check_contested(manifest, step)
        manifest.write(folder)
        write_wrappers(prefix, inputs.prefix_string)
    return Outcome(
        facts=FetchFacts(
            gdal=manifest.gdal_version,
            packages=len(manifest.packages),
            stack=digest(inputs.packages),
        )
    )


def _check_contested(manifest: NativeManifest, step: Step) -> None:
    """Warn once of what is contested; raises IntegrityError where it is GDAL's own, or data.

    For a bundled library `repair` raises it. Nothing else is used.
    """
    layout = systems.of(manifest.platform).layout
    data = (layout.plugins, layout.gdal_data, layout.proj_data, layout.ca_bundle)
    own = (*data, layout.headers, layout.link_libraries, layout.programs)
    for path, names in manifest.contested.items():
        used = own if any(name.startswith("libgdal") for name in names) else data
        if f"{path}/".startswith(tuple(f"{place}/" for place in used)):
            manifest.refuse_contested([path])
    if paths := [f"{path} ({', '.join(names)})" for path, names in manifest.contested.items()]:
        step.console.warn(
            "brought twice, with different content; nothing here uses it, and the first stays: "
            + some(paths)
        )


def check(inputs: FetchInputs, step: Step) -> None:
    """Hash the store again when asked for by name, and fetch again what is damaged.

    Packages that are placed already need not be in it; the other stages read the rest there.
    """
    stored = [package for package in inputs.packages if inputs.store.path(package).exists()]
    inputs.store.obtain([*stored, *inputs.requirements, *inputs.prebuilt], step)


def _place_from_pixi(
    program: pixi.Pixi, inputs: FetchInputs, prefix: Path, step: Step
) -> Placing | None:
    """Let pixi download and unpack into a cache of ours, from where files are copied.

    None where it gave up for a reason of its own, or where a package was changed since it was
    unpacked (pixi trusts it, the linker does not), which is thrown away.
    """
    step.say(f"{len(inputs.packages)} packages through pixi {program.version}")
    cache, source = inputs.cache / "pixi", None
    cache.mkdir(parents=True, exist_ok=True)
    placing = _placing(inputs, prefix)
    # pixi keeps one folder for all packages of a name, version and build, whatever their channel.
    with (
        held(cache / "geowheel.lock", step.say),
        tempfile.TemporaryDirectory(dir=prefix.parent, prefix="pixi-") as scratch,
    ):
        try:
            unpacked = pixi.unpack(
                program, inputs.packages, inputs.platform, Path(scratch),
                mirrors=inputs.store.mirrors, cache=cache, step=step,
            )  # fmt: skip
            for package, source in unpacked.items():
                touch(source)
                placing.place(package, source)
        except (pixi.PixiGaveUp, IntegrityError) as error:
            if source is not None:
                shutil.rmtree(source)
            elif isinstance(error, IntegrityError):
                raise  # wrong bytes came
            step.console.warn(f"{error.faults[0].what}: geowheel's own store goes on")
            shutil.rmtree(prefix)
            return None
    return placing


def _placing(inputs: FetchInputs, prefix: Path) -> Placing:
    """Say that the prefix is empty while it is placed."""
    prefix.mkdir()
    return Placing(
        prefix=prefix.resolve(), prefix_string=inputs.prefix_string, platform=inputs.platform
    )


def _place_from_store(inputs: FetchInputs, prefix: Path, step: Step) -> Placing:
    """Unpack side by side; place in the order of names: of contested files the same one stays."""
    version = next(p.version for p in inputs.packages if p.name == GDAL_PACKAGE)
    step.say(f"placing {len(inputs.packages)} packages, GDAL {version} among them")
    placing = _placing(inputs, prefix)
    with (
        tempfile.TemporaryDirectory(dir=prefix.parent, prefix="unpacked-") as scratch,
        ThreadPoolExecutor(max_workers=os.cpu_count()) as pool,
        step.progress("unpack", len(inputs.packages)) as advance,
    ):

        def unpack(package: Package) -> tuple[Path, dict[str, str]]:
            goal = Path(scratch, package.sha256)
            digests = unpack_package(inputs.store.path(package), goal, package)
            advance(1)
            return goal, digests

        waiting = [pool.submit(unpack, package) for package in inputs.packages]
        try:
            for package, future in zip(inputs.packages, waiting, strict=True):
                goal, digests = future.result()
                placing.place(package, goal, digests=digests)
            return placing
        finally:  # an error or Ctrl-C does not wait for the rest
            pool.shutdown(wait=True, cancel_futures=True)

"""fetch: from the locks to a prefix, and GDAL's sdist and the requirements into the store."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
from rattler import Client
from rattler.package_streaming import download_and_extract

from geowheel import systems
from geowheel.digest import TreeEntry, digest, read_entry, read_tree
from geowheel.errors import IntegrityError
from geowheel.locks import pixi
from geowheel.locks.assets import Package
from geowheel.locks.pixi_lock import some_of
from geowheel.locks.solving import wait_for_rattler
from geowheel.machine.console import Step
from geowheel.machine.files import disk_fault, disk_faults, held, touch
from geowheel.prefix.linker import MANIFEST, NativeManifest, Placing, read_native_manifest
from geowheel.prefix.wrappers import write_wrappers
from geowheel.records.facts import FetchFacts
from geowheel.records.ledger import Record, Stale, StaleReason
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
            inputs.store.obtain_sound(beside, step)
            placing = _place_from_pixi(program, inputs, prefix, step)
        if placing is None:  # all at once: what does not answer is one fault
            inputs.store.obtain_sound([*inputs.packages, *beside], step)
            placing = _place_from_store(inputs, prefix, step)
        manifest = placing.manifest()
        _check_contested(manifest, step)
        manifest.write(folder)
        write_wrappers(prefix, inputs.prefix_string)
    return Outcome(
        content=manifest.content(),
        facts=FetchFacts(
            gdal=manifest.gdal_version,
            packages=len(manifest.packages),
            stack=digest(inputs.packages),
        ),
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
            + some_of(paths)
        )


def check(inputs: FetchInputs, record: Record[FetchFacts], step: Step) -> Stale | None:
    """Asked for by name: hash the prefix and the store again, fetch again what is damaged.

    Packages that are placed already need not be in the store; the other stages read the rest there.
    """
    if (altered := _altered(record.folder)) is not None:
        return Stale(reason=StaleReason.ALTERED, of=f"{altered} in the prefix")
    gone = set(inputs.store.missing(inputs.packages))
    stored = [package for package in inputs.packages if package not in gone]
    inputs.store.obtain_sound([*stored, *inputs.requirements, *inputs.prebuilt], step)
    return None


def _altered(folder: Path) -> str | None:
    """The first file of the prefix that is not what was placed."""
    try:
        manifest = read_native_manifest(folder)
    except (OSError, msgspec.MsgspecError):
        return MANIFEST
    files = [file for placed in manifest.packages for file in placed.files]

    def sound(file: TreeEntry) -> bool:
        try:
            return read_entry(folder / PREFIX, file.path) == file
        except OSError:
            return False

    with ThreadPoolExecutor() as pool:
        verdicts = list(pool.map(sound, files))
    return next((f.path for f, good in zip(files, verdicts, strict=True) if not good), None)


def _place_from_pixi(
    program: pixi.Pixi, inputs: FetchInputs, prefix: Path, step: Step
) -> Placing | None:
    """pixi downloads and unpacks into a cache of ours, from where files are copied.

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
                placing.place(package, source, consume=False)
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
    """The empty prefix."""
    prefix.mkdir()
    return Placing(
        prefix=prefix.resolve(), prefix_string=inputs.prefix_string, platform=inputs.platform
    )


def _place_from_store(inputs: FetchInputs, prefix: Path, step: Step) -> Placing:
    """Unpack side by side; place in the order of names: of contested files the same one stays."""
    version = next(p.version for p in inputs.packages if p.name == GDAL_PACKAGE)
    step.say(f"placing {len(inputs.packages)} packages, GDAL {version} among them")
    placing, client = _placing(inputs, prefix), Client()
    with (
        tempfile.TemporaryDirectory(dir=prefix.parent, prefix="unpacked-") as scratch,
        ThreadPoolExecutor(max_workers=os.cpu_count()) as pool,
        step.progress("unpack", len(inputs.packages)) as advance,
    ):

        def unpack(package: Package) -> tuple[Path, dict[str, str]]:
            goal = Path(scratch, package.sha256)
            extract_package(inputs.store.path(package), goal, package, client)
            digests = read_tree(goal).paths()
            advance(1)
            return goal, digests

        waiting = [pool.submit(unpack, package) for package in inputs.packages]
        try:
            for package, future in zip(inputs.packages, waiting, strict=True):
                goal, digests = future.result()
                placing.place(package, goal, consume=True, digests=digests)
            return placing
        finally:  # an error or Ctrl-C does not wait for the rest
            pool.shutdown(wait=True, cancel_futures=True)


def extract_package(archive: Path, goal: Path, package: Package, client: Client) -> None:
    """Unpack a conda package; raises IntegrityError naming it, MachineError for a full disk.

    As if it were downloaded: py-rattler's `extract` keeps Python's lock while it works, and so
    neither a second package nor the linker would get on.
    """
    try:
        wait_for_rattler(download_and_extract(client, archive.resolve().as_uri(), goal))
    except (RuntimeError, OSError, ValueError) as error:
        # py-rattler gives the system's error as text only.
        number = re.search(r"os error (\d+)", str(error))
        fault = disk_fault(OSError(int(number[1]), str(error)), goal) if number else None
        raise fault or IntegrityError(
            f"{package} cannot be unpacked: {' '.join(str(error).split())}",
            where=str(archive),
            cause="the channel holds a broken package: its bytes are those that the lock names",
            fix="lock another build of it",
        ) from None

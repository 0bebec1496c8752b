"""repair: the native libraries into the wheel, one tag, canonical bytes."""

import json
import posixpath
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from geowheel import systems
from geowheel.contents.description import describe
from geowheel.contents.grids import without_grids
from geowheel.contents.licenses import LicenseGate
from geowheel.contents.origins import Origin
from geowheel.errors import BuildError
from geowheel.machine.console import Step
from geowheel.prefix.linker import read_native_manifest
from geowheel.project.places import Places
from geowheel.records.facts import LicenseFacts, Owner, PrefixString, RepairFacts
from geowheel.records.stage import Outcome
from geowheel.systems.contract import Forcing, RepairedTree, RepairRequest
from geowheel.wheel.leaks import check_leaks, in_words, overridden_by, prefix_strings
from geowheel.wheel.leftovers import check_leftovers
from geowheel.wheel.tags import parse_platform_tag
from geowheel.wheel.writing import write_wheel

from .inputs import ORIGINS, RepairInputs
from .zig import open_toolchain


def run(inputs: RepairInputs, folder: Path, step: Step) -> Outcome[RepairFacts]:
    """Bundle the libraries, tell the bootstrap where they are, explain the floor, pack."""
    work = folder / "work"
    work.mkdir()
    system = systems.of(inputs.platform)
    step.now("reading and checking the libraries")
    repairer = systems.repairer_of(inputs.platform)(
        RepairRequest(
            raw=inputs.raw.path,
            library_folder=inputs.prefix.folder / system.layout.libraries,
            more_folders=tuple(
                inputs.prefix.folder / folder for folder in system.layout.more_libraries
            ),
            plugins=inputs.places.plugins,
            folder=work,
            accept_code=inputs.accept_code,
            platform=inputs.platform,
            floor=inputs.floor[1],
            toolchain=open_toolchain(
                inputs.toolchain,
                inputs.store,
                cache=inputs.cache,
                prefix=inputs.prefix.folder,
                work=work / "toolchain",
                step=step,
            ),
            owners=read_native_manifest(inputs.prefix.folder.parent).owners,
            run=step.run,
            environ=inputs.environ,
        )
    )
    repaired = repairer.repair()
    for note in repaired.notes:
        step.console.warn(note)
    extras = repairer.extras(repaired, inputs.places.plugins)
    write_bundle(repaired, inputs.places, system.entry_libraries, extras)
    bootstrap = repaired.tree / inputs.places.bootstrap
    text = bootstrap.read_text(encoding="utf-8")
    bootstrap.write_text(text.replace("_REPAIRED = False", "_REPAIRED = True"), encoding="utf-8")
    step.now("finding the origin of every file")
    described = describe(
        repaired,
        prefix=inputs.prefix.folder,
        payload=json.loads((inputs.payload.folder.parent / ORIGINS).read_text("utf-8")),
        places=inputs.places,
        sdist=inputs.gdal_sdist,
        prebuilt=inputs.prebuilt,
        recipe=inputs.recipe,
        gate=LicenseGate(refuse=inputs.refuse, accept=inputs.accept, locked=inputs.locked),
        step=step,
    )
    forcing = repairer.forcing(repaired, {p: str(o) for p, o in described.origins.items()})
    check_floor(repaired, inputs.floor, forcing)
    step.say(f"{len(repaired.bundled)} libraries, {repaired.platform_tag}")
    check_leftovers(repaired.tree, repaired.binaries, described.own)
    step.now("looking for paths of this machine")
    check_leaks(repaired.tree, inputs.machine, described.packaged)
    prefix_string = system.layout.prefix_string
    baked = prefix_strings(repaired.tree, prefix_string)
    if baked:
        step.say(f"{in_words(baked, prefix_string)}: see `geowheel report`")
    lacking = without_grids(repaired.tree / inputs.places.proj_data)
    if lacking:
        step.say(f"less exact, without their grids: {', '.join(lacking)}")
    step.now("packing the wheel")
    kept = inputs.cache / "deflated"
    write_wheel(repaired.tree, folder, filename=repaired.filename, kept=kept)
    shutil.rmtree(work)
    return Outcome(
        facts=RepairFacts(
            tag=repaired.platform_tag,
            libraries=len(repaired.bundled),
            locked=inputs.locked,
            floor=tuple(forcing),
            owners=_owners(described.origins),
            sources=described.sources,
            code=repaired.code,
            lowered=repaired.lowered,
            without_grids=lacking,
            prefix_strings=tuple(
                PrefixString(
                    path=found.path,
                    text=found.text,
                    overridden=overridden_by(found.text, prefix_string),
                )
                for found in baked
            ),
            licenses=LicenseFacts(
                packages=described.texts.packages,
                without=described.texts.without,
                restricted=described.restricted,
            ),
        )
    )


def _owners(origins: Mapping[str, Origin]) -> tuple[Owner, ...]:
    files: dict[tuple[str, str], list[str]] = {}
    for path, origin in sorted(origins.items()):
        files.setdefault((origin.name, origin.version), []).append(path)
    return tuple(
        Owner(name=name, version=version, files=tuple(paths))
        for (name, version), paths in sorted(files.items())
    )


def write_bundle(
    repaired: RepairedTree,
    places: Places,
    entry_libraries: Mapping[str, str],
    extras: Mapping[str, str],
) -> None:
    """Name the bundled libraries and data for the bootstrap, relative to the import package."""
    found = {
        name: bundled.path
        for name, start in entry_libraries.items()
        for bundled in repaired.bundled
        if bundled.soname.startswith(start)
    }
    missing = sorted(set(entry_libraries) - set(found))
    if missing:
        raise BuildError(
            f"the wheel bundles no {' and no '.join(entry_libraries[name] for name in missing)}",
            where=repaired.filename,
            cause="the bindings are not linked to the native stack's libgdal"
            if places.has_bindings
            else "no extension module of the host is linked to the native stack's libgdal",
            fix=""
            if places.has_bindings
            else "link one: its build finds libgdal by GDAL_CONFIG, "
            "CMAKE_PREFIX_PATH or PKG_CONFIG_PATH (see docs/environment.md)",
        )
    found |= {
        "gdal_data": places.gdal_data,
        "proj_data": places.proj_data,
        "ca_bundle": places.ca_bundle,
        "plugins": places.plugins,
        **extras,
    }
    relative = {name: posixpath.relpath(path, places.package) for name, path in found.items()}
    # The bootstrap takes it apart by its quotes.
    text = json.dumps(relative, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    (repaired.tree / places.bundle).write_text(text, encoding="utf-8")


def check_floor(
    repaired: RepairedTree, allowed: tuple[str, str | None], forcing: Sequence[Forcing]
) -> None:
    """Refuse a wheel that needs a newer system than the host allows; say what forces it."""
    (name, newest), tag = allowed, parse_platform_tag(repaired.platform_tag)
    if newest and tag and tag.version > tuple(map(int, newest.split("."))):
        reasons = "; ".join(f"{item.needs} by {', '.join(item.packages[:3])}" for item in forcing)
        raise BuildError(
            f"the wheel is {repaired.platform_tag}, newer than the floor {name} {newest}",
            where=repaired.filename,
            cause=f"it needs {reasons}",
            fix=f"lock packages built for an older system, or raise [tool.geowheel.floor] {name}",
        )

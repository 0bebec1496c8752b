"""repair: the native libraries into the wheel, one tag, canonical bytes."""

from __future__ import annotations

import json
import posixpath
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from geowheel import systems
from geowheel.binary.wheel_writing import write_wheel
from geowheel.console import Step
from geowheel.contents.description import describe
from geowheel.contents.leaks import (
    check_leaks,
    in_words,
    machine_paths,
    overridden_by,
    prefix_strings,
)
from geowheel.contents.leftovers import check_leftovers
from geowheel.contents.licences import LicenceGate
from geowheel.context import Context
from geowheel.digest import Artefact
from geowheel.errors import BuildError
from geowheel.host.places import Places
from geowheel.ledger import Made, Record
from geowheel.native.build_lock import Download
from geowheel.native.pixi_lock import Package
from geowheel.systems.contract import Forcing, RepairedTree, RepairRequest, SystemModule
from geowheel.targets import Platform

from .contract import Inputs, Outcome, ambient
from .fetch import PREFIX


@dataclass(frozen=True, kw_only=True)
class RepairInputs(Inputs):
    """The raw wheel, the prefix, and the newest glibc that is allowed."""

    raw: Artefact
    prefix: Made
    platform: Platform
    places: Places
    gdal_sdist: Download
    floor: tuple[str, str | None]
    """What of the system counts, and the newest version of it that is allowed."""
    prebuilt: Package | None
    """The conda package that the bindings are from, where they are not compiled."""
    refuse: tuple[str, ...] | None
    """Patterns of licences; None: the usual ones."""
    accept: tuple[str, ...]
    locked: bool
    """Whether the native stack is from a committed lock."""
    repair_tools: Mapping[str, str]
    """Versions of auditwheel, patchelf, strip and zlib: the bytes depend on them."""
    environ: Mapping[str, str] = ambient()
    machine: tuple[str, ...] = ambient()
    """How paths of this machine begin, none of which may be in the wheel."""


def inputs(context: Context, upstream: Mapping[str, Record]) -> RepairInputs:
    """From the raw wheel and the prefix."""
    fetch = upstream["fetch"]
    config = context.project.config
    return RepairInputs(
        raw=only_wheel(upstream["build"]),
        prefix=fetch.made(PREFIX),
        platform=context.target.platform,
        places=config.places,
        gdal_sdist=context.locks.build.gdal_sdist,
        floor=config.floor.of(context.target.platform.system),
        prebuilt=context.prebuilt,
        refuse=config.licenses.refuse,
        accept=config.licenses.accept,
        locked=context.locks.source.committed,
        repair_tools=systems.of(context.target.platform).tool_versions(
            context.target.platform, context.project.machine.environ
        ),
        environ=context.project.machine.environ,
        machine=_machine(context),
    )


def run(inputs: RepairInputs, folder: Path, step: Step) -> Outcome:
    """Bundle, tell the bootstrap where the libraries are, explain the floor, pack."""
    work = folder / "work"
    work.mkdir()
    system = systems.of(inputs.platform)
    repaired = system.repair(
        RepairRequest(
            raw=inputs.raw.path,
            library_folder=inputs.prefix.folder / system.LAYOUT.libraries,
            more_folders=tuple(
                inputs.prefix.folder / folder for folder in system.LAYOUT.more_libraries
            ),
            plugins=inputs.places.plugins,
            folder=work,
            platform=inputs.platform,
            run=step.run,
            environ=inputs.environ,
        )
    )
    for note in repaired.notes:
        step.console.warn(note)
    _write_bundle(repaired, inputs.places, system)
    described = describe(
        repaired,
        fetched=inputs.prefix.folder.parent,
        places=inputs.places,
        sdist=inputs.gdal_sdist,
        prebuilt=inputs.prebuilt,
        gate=LicenceGate(refuse=inputs.refuse, accept=inputs.accept, locked=inputs.locked),
        step=step,
    )
    forcing = system.forcing(repaired, described.owners)
    _check_floor(repaired, inputs.floor, forcing)
    step.say(f"{len(repaired.bundled)} libraries, {repaired.platform_tag}")
    check_leftovers(repaired.tree, repaired.binaries, described.own)
    check_leaks(repaired.tree, inputs.machine)
    prefix_string = system.LAYOUT.prefix_string
    baked = prefix_strings(repaired.tree, prefix_string)
    for line in in_words(baked, prefix_string):
        step.say(line)
    wheel = write_wheel(repaired.tree, folder, filename=repaired.filename)
    shutil.rmtree(work)
    return Outcome(
        facts={
            "wheel": wheel.path.name,
            "sha256": wheel.sha256,
            "tag": repaired.platform_tag,
            "libraries": len(repaired.bundled),
            "floor": [asdict(item) for item in forcing],
            "owners": dict(described.owners),
            "prefix_strings": [
                {
                    "path": found.path,
                    "text": found.text,
                    "overridden": overridden_by(found.text, prefix_string),
                }
                for found in baked
            ],
            "licences": {
                "packages": described.texts.packages,
                "without": list(described.texts.without),
            },
        }
    )


def _machine(context: Context) -> tuple[str, ...]:
    project = context.project
    folders = [project.root, project.folder, project.machine.cache, *_home(project.machine.environ)]
    return machine_paths(folders)


def _home(environ: Mapping[str, str]) -> list[Path]:
    home = environ.get("HOME")
    return [Path(home)] if home and Path(home) != Path("/") else []


def only_wheel(record: Record) -> Artefact:
    """The one wheel that a record's stage made."""
    wheels = [output for output in record.outputs if output.path.endswith(".whl")]
    if len(wheels) != 1:
        raise BuildError(
            f"{record.stage} made {len(wheels)} wheels instead of one", where=str(record.folder)
        )
    return Artefact(path=record.folder / wheels[0].path, sha256=wheels[0].sha256)


def _write_bundle(repaired: RepairedTree, places: Places, system: SystemModule) -> None:
    """Name the bundled libraries and data for the bootstrap, relative to the import package."""
    entry_libraries = system.ENTRY_LIBRARIES
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
        **system.bundle_extras(repaired, places.plugins),
    }
    relative = {name: posixpath.relpath(path, places.package) for name, path in found.items()}
    text = json.dumps(relative, indent=1, sort_keys=True) + "\n"
    (repaired.tree / places.bundle).write_text(text, encoding="utf-8")


def _check_floor(
    repaired: RepairedTree, allowed: tuple[str, str | None], forcing: Sequence[Forcing]
) -> None:
    name, newest = allowed
    if newest is None:
        return
    _, major, minor, *_ = repaired.platform_tag.split("_")
    if (int(major), int(minor)) > tuple(int(part) for part in newest.split(".")):
        reasons = "; ".join(f"{item.needs} by {', '.join(item.packages[:3])}" for item in forcing)
        raise BuildError(
            f"the wheel is {repaired.platform_tag}, newer than the floor {name} {newest}",
            where=repaired.filename,
            cause=f"it needs {reasons}",
            fix=f"lock packages built for an older system, or raise [tool.geowheel.floor] {name}",
        )

"""vendor: everything that goes into the host's package, as a payload; no file of the host."""

import ast
import fnmatch
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from geowheel import systems
from geowheel.contents.origins import GEOWHEEL, SDIST
from geowheel.contents.programs import chosen, commands_of, programs_of, scripts_of
from geowheel.errors import BuildError
from geowheel.locks.native_stack import BINDINGS
from geowheel.machine.console import Step
from geowheel.machine.files import text_of
from geowheel.prefix.linker import NativeManifest, read_native_manifest
from geowheel.project.config import GRIDS, OWN_GRIDS
from geowheel.project.places import PACKAGE_INIT, Layout
from geowheel.records.facts import VendorFacts
from geowheel.records.stage import Outcome
from geowheel.systems.bootstrap import bootstrap_text
from geowheel.targets import GDAL_PACKAGE
from geowheel.wheel.private import make_private

from .bindings import unpack_sdist
from .inputs import ORIGINS, PAYLOAD, VendorInputs

DRIVER_ORDER: Final = "drivers.ini"
"""GDAL registers plugins first, and reorders all drivers by this file beside them where it is
(GDALDriverManager::ReorderDrivers): without it, every file is offered to the plugins first."""

GRID_ENDINGS = (".gsb", ".gtx", ".tif", ".gvb", ".ct2", ".las", ".los")
"""Of PROJ's formats: https://proj.org/en/stable/resource_files.html"""


def run(inputs: VendorInputs, folder: Path, step: Step) -> Outcome[VendorFacts]:
    """Lay out osgeo, osgeo_utils, data, plugins, programs and the bootstrap below payload/.

    What each file is from stands beside it: a conda package by its name, or what
    `geowheel.contents.origins` names.
    """
    payload, places = folder / PAYLOAD, inputs.places
    (payload / places.package).mkdir(parents=True)
    manifest = read_native_manifest(inputs.prefix.folder.parent)
    scripts = _copy_osgeo(inputs, payload, folder / "work", step) if places.has_bindings else {}
    bindings = BINDINGS if (inputs.bindings.folder / PACKAGE_INIT).is_file() else SDIST
    origins = {
        path.relative_to(payload).as_posix(): SDIST
        if path.is_relative_to(payload / places.utilities)
        else bindings
        for path in _files(payload)
    }
    step.now("copying data, plugins and programs")
    programs = programs_of(manifest, inputs.prefix.folder)
    wanted = chosen({*programs, *scripts}, inputs.programs)
    copies = {
        **dict(_data(inputs, manifest)),
        **(plugins := dict(_plugins(inputs, manifest))),
        **{f"{places.programs}/{name}": programs[name] for name in wanted & programs.keys()},
    }
    order = f"{systems.of(inputs.platform).layout.plugins}/{DRIVER_ORDER}"
    if plugins and order in manifest.owners:
        copies[f"{places.plugins}/{DRIVER_ORDER}"] = order
    for path, source in sorted(copies.items()):
        (payload / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(inputs.prefix.folder / source, payload / path)
        origins[path] = manifest.owners[source].name
    for name in wanted & programs.keys():
        (payload / places.programs / name).chmod(0o755)
    own = _own_files(inputs)
    if wanted & programs.keys():
        own[places.launcher] = text_of("inside", "programs.py")
    for path, text in own.items():
        (payload / path).parent.mkdir(exist_ok=True)
        (payload / path).write_text(text, encoding="utf-8")
        origins[path] = GEOWHEEL
    dropped = _exclude(payload, inputs.exclude)
    commands = commands_of(payload, places, scripts, wanted)
    if places.layout is Layout.PRIVATE:
        beside = (payload / places.package).parent
        step.say(f"imports made relative in {make_private(beside)} files")
    there = {path: origin for path, origin in origins.items() if (payload / path).is_file()}
    (folder / ORIGINS).write_text(json.dumps(there, indent=1, sort_keys=True), encoding="utf-8")
    step.say(
        f"{len(there)} files, {len(plugins)} plugins, {len(commands)} commands"
        + (f", {dropped} excluded" if dropped else "")
    )
    return Outcome(
        facts=VendorFacts(
            files=len(there), plugins=len(plugins), excluded=dropped, commands=commands
        )
    )


def _copy_osgeo(inputs: VendorInputs, payload: Path, work: Path, step: Step) -> dict[str, str]:
    """Copy osgeo and osgeo_utils; return the latter's commands, each with its module."""
    places = inputs.places
    inputs.store.obtain([inputs.gdal_sdist], step)
    source = unpack_sdist(inputs.store, inputs.gdal_sdist, work)
    package = payload / places.package
    modules = inputs.bindings.folder
    if not (modules / PACKAGE_INIT).is_file():  # prebuilt ones bring the Python made with them
        shutil.copytree(source / "osgeo", package, dirs_exist_ok=True)
    shutil.copytree(modules, package, dirs_exist_ok=True)
    shutil.copytree(source / "gdal-utils" / "osgeo_utils", payload / places.utilities)
    init = package / PACKAGE_INIT
    init.write_text(with_bootstrap(init.read_text(encoding="utf-8")), encoding="utf-8")
    scripts = scripts_of(source)
    shutil.rmtree(work)
    return scripts


def _own_files(inputs: VendorInputs) -> dict[str, str]:
    """Return what geowheel itself puts into the payload, path to text."""
    places = inputs.places
    between = '"""GDAL, its libraries and its data. Written by geowheel."""\n'
    return {
        places.bootstrap: bootstrap_text(inputs.platform.system),
        places.hook: text_of("inside", "pyinstaller_hook.py"),
        **dict.fromkeys(places.packages_between, between),
    }


def with_bootstrap(source: str) -> str:
    """Return osgeo/__init__.py with the bootstrap's import before its first other statement.

    GDAL registers all drivers while `_gdal` is imported, so search paths have to stand by then.
    A docstring and imports from __future__ keep their place, as the language demands.
    """
    line = 0
    for number, node in enumerate(ast.parse(source).body):
        docstring = (
            number == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        )
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if not (docstring or future):
            break
        line = node.end_lineno or 0
    # Not splitlines(), which also cuts at form feeds and the like: the parser does not.
    lines = io.StringIO(source).readlines()
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    added = "from . import _geowheel; _geowheel.configure()  # finds the bundled data\n"
    return "".join([*lines[:line], added, *lines[line:]])


def _data(inputs: VendorInputs, manifest: NativeManifest) -> Iterator[tuple[str, str]]:
    """Yield path in the payload and in the prefix of GDAL's and PROJ's data and certificates."""
    places, layout = inputs.places, systems.of(inputs.platform).layout
    for goal, folder, probe in (
        (places.gdal_data, layout.gdal_data, "gdalvrt.xsd"),
        (places.proj_data, layout.proj_data, "proj.db"),
    ):
        if f"{folder}/{probe}" not in manifest.owners:
            raise BuildError(
                f"the native stack has no {folder}/{probe}",
                cause="the channel's packages lay out their data in another way",
                fix="run fetch again, or report the channel's package",
            )
        left_out = _grids_left_out(inputs.grids, manifest, layout.proj_data)
        for path in manifest.owners:
            if path.startswith(f"{folder}/") and path not in left_out:
                yield goal + path.removeprefix(folder), path
    if layout.ca_bundle in manifest.owners:
        yield places.ca_bundle, layout.ca_bundle


def _grids_left_out(wanted: tuple[str, ...], manifest: NativeManifest, folder: str) -> set[str]:
    """Return the grids that nobody asked for; raises BuildError for a pattern that matches none."""
    grids = {
        path: OWN_GRIDS if owner.name != GRIDS else GRIDS
        for path, owner in manifest.owners.items()
        if path.startswith(f"{folder}/") and (owner.name == GRIDS or path.endswith(GRID_ENDINGS))
    }
    chosen_by = {
        pattern: {
            path
            for path, group in grids.items()
            if pattern == group or fnmatch.fnmatchcase(PurePosixPath(path).name, pattern)
        }
        for pattern in wanted
    }
    if lost := [pattern for pattern in wanted if not chosen_by[pattern] and pattern != OWN_GRIDS]:
        names = ", ".join(sorted(PurePosixPath(path).name for path in grids)[:10])
        raise BuildError(
            f"[tool.geowheel.data] grids: the native stack has no grid {', '.join(lost)}",
            cause=f"it has {names}" if names else f"{GRIDS} is not in the environment",
            fix=f"`pixi add {GRIDS}`, then `geowheel lock`; or name others, or leave it out",
        )
    return grids.keys() - set().union(*chosen_by.values())


def _plugins(inputs: VendorInputs, manifest: NativeManifest) -> Iterator[tuple[str, str]]:
    system = systems.of(inputs.platform)
    for path, owner in manifest.owners.items():
        if (
            path.startswith(f"{system.layout.plugins}/")
            and owner.name in {*inputs.plugins, GDAL_PACKAGE}
            and system.is_plugin(path)
        ):
            yield f"{inputs.places.plugins}/{PurePosixPath(path).name}", path


def _exclude(payload: Path, patterns: tuple[str, ...]) -> int:
    dropped = [
        path
        for path in _files(payload)
        if any(fnmatch.fnmatch(path.relative_to(payload).as_posix(), p) for p in patterns)
    ]
    for path in dropped:
        path.unlink()
    return len(dropped)


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        for name in names:
            yield Path(place, name)

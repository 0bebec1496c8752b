"""vendor: everything that goes into the host's package, as a payload; no file of the host."""

from __future__ import annotations

import ast
import fnmatch
import io
import os
import shutil
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

from geowheel import systems
from geowheel.contents.programs import (
    chosen,
    commands_of,
    programs_of,
    scripts_of,
)
from geowheel.errors import BuildError
from geowheel.machine.console import Step
from geowheel.prefix.linker import NativeManifest, read_native_manifest
from geowheel.project.config import GRIDS
from geowheel.project.places import (
    PACKAGE_INIT,
    Layout,
    Places,
)
from geowheel.records.stage import Outcome
from geowheel.systems.bootstrap import bootstrap_text
from geowheel.systems.contract import PrefixLayout
from geowheel.wheel.private import make_private

from .bindings import unpack_sdist
from .fetch import download_wanted
from .inputs import (
    COMMANDS,
    PAYLOAD,
    VendorInputs,
)


def run(inputs: VendorInputs, folder: Path, step: Step) -> Outcome:
    """Lay out osgeo, osgeo_utils, data, plugins, programs and the bootstrap below payload/."""
    payload, places = folder / PAYLOAD, inputs.places
    (payload / places.package).mkdir(parents=True)
    manifest = read_native_manifest(inputs.prefix.folder.parent)
    scripts = _copy_osgeo(inputs, payload, folder / "work", step) if places.has_bindings else {}
    bootstrap = bootstrap_text(inputs.platform.system)
    (payload / places.bootstrap).write_text(bootstrap, encoding="utf-8")
    step.now("copying data, plugins and programs")
    _copy_data(inputs, manifest, payload)
    plugins = _copy_plugins(inputs, manifest, payload / places.plugins)
    wanted = _copy_programs(inputs, manifest, scripts, payload)
    _make_packages(payload, places)
    dropped = _exclude(payload, inputs.exclude)
    commands = commands_of(payload, places, scripts, wanted)
    if places.layout is Layout.PRIVATE:
        beside = (payload / places.package).parent
        step.say(f"imports made relative in {make_private(beside)} files")
    count = sum(1 for path in payload.rglob("*") if path.is_file())
    step.say(
        f"{count} files, {plugins} plugins, {len(commands)} commands"
        + (f", {dropped} excluded" if dropped else "")
    )
    return Outcome(
        facts={"files": count, "plugins": plugins, "excluded": dropped, COMMANDS: commands}
    )


def _copy_osgeo(inputs: VendorInputs, payload: Path, work: Path, step: Step) -> dict[str, str]:
    """osgeo and osgeo_utils; the commands of the latter, each with its module."""
    places = inputs.places
    inputs.store.obtain([download_wanted(inputs.gdal_sdist)], step)
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


def _write_resource(name: str, goal: Path) -> None:
    text = files("geowheel.inside").joinpath(name).read_text(encoding="utf-8")
    goal.write_text(text, encoding="utf-8")


def _copy_programs(
    inputs: VendorInputs, manifest: NativeManifest, scripts: Mapping[str, str], payload: Path
) -> frozenset[str]:
    """The programs that are asked for, with the module that starts them; all commands' names."""
    programs = programs_of(manifest, inputs.prefix.folder)
    wanted = chosen({*programs, *scripts}, inputs.programs)
    goal = payload / inputs.places.programs
    for name in sorted(wanted & programs.keys()):
        goal.mkdir(exist_ok=True)
        shutil.copyfile(programs[name], goal / name)
        (goal / name).chmod(0o755)
    if goal.is_dir():
        _write_resource("programs.py", payload / inputs.places.launcher)
    return wanted


def _make_packages(payload: Path, places: Places) -> None:
    for path in places.packages_between:
        text = '"""GDAL, its libraries and its data. Written by geowheel."""\n'
        (payload / path).write_text(text, encoding="utf-8")


def with_bootstrap(source: str) -> str:
    """osgeo/__init__.py with the bootstrap's import before its first other statement.

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


def _copy_data(inputs: VendorInputs, manifest: NativeManifest, payload: Path) -> None:
    prefix, places, layout = inputs.prefix.folder, inputs.places, systems.of(inputs.platform).layout
    for goal, relative, probe in (
        (places.gdal_data, layout.gdal_data, "gdalvrt.xsd"),
        (places.proj_data, layout.proj_data, "proj.db"),
    ):
        source = prefix / relative
        if not (source / probe).is_file():
            raise BuildError(
                f"the native stack has no {relative}/{probe}",
                cause="the channel's packages lay out their data in another way",
                fix="run fetch again, or report the channel's package",
            )
        shutil.copytree(source, payload / goal)
    if not inputs.grids:  # there all the same, where a channel's proj needs them
        _remove_grids(manifest, layout, payload, places)
    if (prefix / layout.ca_bundle).is_file():
        goal_file = payload / places.ca_bundle
        goal_file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(prefix / layout.ca_bundle, goal_file)


def _remove_grids(
    manifest: NativeManifest, layout: PrefixLayout, payload: Path, places: Places
) -> None:
    for path, owner in manifest.owners.items():
        if owner.name == GRIDS and path.startswith(f"{layout.proj_data}/"):
            relative = path.removeprefix(f"{layout.proj_data}/")
            (payload / places.proj_data / relative).unlink()


def _copy_plugins(inputs: VendorInputs, manifest: NativeManifest, goal: Path) -> int:
    wanted = set(inputs.plugins) | {"libgdal-core"}
    system = systems.of(inputs.platform)
    found = [
        path
        for path, owner in manifest.owners.items()
        if path.startswith(f"{system.layout.plugins}/")
        and owner.name in wanted
        and system.is_plugin(path)
    ]
    for path in sorted(found):
        goal.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(inputs.prefix.folder / path, goal / Path(path).name)
    return len(found)


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

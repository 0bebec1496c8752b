"""vendor: everything that goes into the host's package, as a payload; no file of the host."""

from __future__ import annotations

import ast
import fnmatch
import io
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from geowheel.console import Step
from geowheel.context import Context
from geowheel.errors import BuildError
from geowheel.ledger import Made, Record
from geowheel.native.build_lock import Download
from geowheel.native.linker import read_native_manifest
from geowheel.native.store import Store
from geowheel.places import PACKAGE_INIT, Layout, Places
from geowheel.private import make_private
from geowheel.systems import linux

from .bindings import MODULES, unpack_sdist
from .contract import Inputs, Outcome, ambient
from .fetch import PREFIX, download_wanted

PAYLOAD = "payload"


@dataclass(frozen=True, kw_only=True)
class VendorInputs(Inputs):
    """What is vendored, and where to."""

    prefix: Made
    bindings: Made
    gdal_sdist: Download
    places: Places
    plugins: tuple[str, ...]
    exclude: tuple[str, ...]
    store: Store = ambient()


def inputs(context: Context, upstream: Mapping[str, Record]) -> VendorInputs:
    """From the prefix, the bindings and the configuration."""
    fetch, bindings = upstream["fetch"], upstream["bindings"]
    config = context.project.config
    return VendorInputs(
        prefix=fetch.made(PREFIX),
        bindings=bindings.made(MODULES),
        gdal_sdist=context.locks.build.gdal_sdist,
        places=config.places,
        plugins=config.plugins,
        exclude=config.exclude,
        store=context.store,
    )


def run(inputs: VendorInputs, folder: Path, step: Step) -> Outcome:
    """Lay out osgeo, osgeo_utils, the data, the plugins and the bootstrap below payload/."""
    payload, places = folder / PAYLOAD, inputs.places
    (payload / places.package).mkdir(parents=True)
    if places.has_bindings:
        _copy_osgeo(inputs, payload, folder / "work", step)
    bootstrap = files("geowheel.resources").joinpath("bootstrap.py").read_text(encoding="utf-8")
    (payload / places.bootstrap).write_text(bootstrap, encoding="utf-8")
    _copy_data(inputs.prefix.folder, payload, places)
    plugins = _copy_plugins(inputs, payload / places.plugins)
    _make_packages(payload, places)
    dropped = _exclude(payload, inputs.exclude)
    if places.layout is Layout.PRIVATE:
        beside = (payload / places.package).parent
        step.say(f"imports made relative in {make_private(beside)} files")
    count = sum(1 for path in payload.rglob("*") if path.is_file())
    step.say(f"{count} files, {plugins} plugins" + (f", {dropped} excluded" if dropped else ""))
    return Outcome(facts={"files": count, "plugins": plugins, "excluded": dropped})


def _copy_osgeo(inputs: VendorInputs, payload: Path, work: Path, step: Step) -> None:
    places = inputs.places
    inputs.store.obtain([download_wanted(inputs.gdal_sdist)], step)
    source = unpack_sdist(inputs.store, inputs.gdal_sdist, work)
    package = payload / places.package
    shutil.copytree(source / "osgeo", package, dirs_exist_ok=True)
    shutil.copytree(source / "gdal-utils" / "osgeo_utils", payload / places.utilities)
    for module in sorted(inputs.bindings.folder.iterdir()):
        shutil.copy2(module, package / module.name)
    init = package / PACKAGE_INIT
    init.write_text(with_bootstrap(init.read_text(encoding="utf-8")), encoding="utf-8")
    shutil.rmtree(work)


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


def _copy_data(prefix: Path, payload: Path, places: Places) -> None:
    for goal, relative, probe in (
        (places.gdal_data, linux.GDAL_DATA, "gdalvrt.xsd"),
        (places.proj_data, linux.PROJ_DATA, "proj.db"),
    ):
        source = prefix / relative
        if not (source / probe).is_file():
            raise BuildError(
                f"the native stack has no {relative}/{probe}",
                cause="the channel's packages lay out their data in another way",
                fix="run fetch again, or report the channel's package",
            )
        shutil.copytree(source, payload / goal)
    if (prefix / linux.CA_BUNDLE).is_file():
        goal_file = payload / places.ca_bundle
        goal_file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(prefix / linux.CA_BUNDLE, goal_file)


def _copy_plugins(inputs: VendorInputs, goal: Path) -> int:
    manifest = read_native_manifest(inputs.prefix.folder.parent)
    wanted = set(inputs.plugins) | {"libgdal-core"}
    found = [
        path
        for path, owner in manifest.owners.items()
        if path.startswith(linux.PLUGINS + "/") and owner.name in wanted and path.endswith(".so")
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

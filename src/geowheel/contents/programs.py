"""Console commands of a wheel: GDAL's own programs, and the scripts of osgeo_utils."""

import difflib
import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from geowheel import systems
from geowheel.errors import BuildError, Fault
from geowheel.machine.files import text_of
from geowheel.prefix.linker import NativeManifest
from geowheel.project.entry_points import console_scripts
from geowheel.project.places import ALL, Places

_OWNERS: Final = "libgdal"
"""How the names of GDAL's own packages begin: libgdal-core, libgdal-pg."""
_UTILITIES: Final = "osgeo_utils"


def programs_of(manifest: NativeManifest, prefix: Path) -> dict[str, str]:
    """Return GDAL's compiled programs in a prefix: names with paths in it.

    No script: gdal-config tells of the prefix, which the user of a wheel does not have.
    """
    system = systems.of(manifest.platform)
    found = {
        PurePosixPath(path).name: path
        for path, owner in manifest.owners.items()
        if PurePosixPath(path).parent == PurePosixPath(system.layout.programs)
        and owner.name.startswith(_OWNERS)
        and system.is_program(prefix / path)
    }
    # A command's name is the name of a function as well: entry points are imported.
    return {name: path for name, path in sorted(found.items()) if name.isidentifier()}


def scripts_of(sdist: Path) -> dict[str, str]:
    """Return the commands of osgeo_utils, by GDAL's unpacked sdist: `gdal_calc.py` to `gdal_calc`.

    GDAL installs `gdal_calc.py`, from 3.9 on `gdal_calc` too: here both, whatever its version. The
    names are those of its script files and of its metadata's entry points.
    """
    root = sdist / "gdal-utils"
    modules = {path.stem for path in (root / "scripts").glob("*.py")}
    for path in root.glob("*.egg-info/entry_points.txt"):
        references = console_scripts(path.read_text(encoding="utf-8")).values()
        modules |= {
            module.partition(".")[2]
            for module, _, function in (reference.partition(":") for reference in references)
            if module.startswith(f"{_UTILITIES}.") and function == "main"
        }
    present = sorted(name for name in modules if (root / _UTILITIES / f"{name}.py").is_file())
    return {command: name for name in present for command in (name, f"{name}.py")}


def chosen(known: Iterable[str], patterns: Sequence[str]) -> frozenset[str]:
    """Return the names that a pattern matches; raises BuildError for one that matches none."""
    names = sorted(known)
    if faults := [
        Fault(
            what=f"[tool.geowheel] programs: {pattern!r} is not one of GDAL's commands here",
            cause="the native stack's GDAL, or this layout, does not have it",
            fix=_remedy(pattern, names),
        )
        for pattern in patterns
        if pattern not in ALL and not fnmatch.filter(names, pattern)
    ]:
        raise BuildError(faults)
    return frozenset(name for pattern in patterns for name in fnmatch.filter(names, pattern))


def _remedy(pattern: str, names: Sequence[str]) -> str:
    if near := difflib.get_close_matches(pattern, names):
        return f"did you mean {' or '.join(near)}?"
    return f"name some of these: {', '.join(names)}" if names else "leave it out"


def commands_of(
    payload: Path, places: Places, scripts: Mapping[str, str], wanted: Iterable[str]
) -> dict[str, str]:
    """Return the console commands of a payload: name to `module:function`, of what lies in it.

    `scripts` gives the module of each command of osgeo_utils.
    """

    def found() -> Iterator[tuple[str, str]]:
        launcher = payload / places.launcher
        for name in sorted(wanted):
            utility = f"{places.utilities}/{scripts.get(name, '')}.py"
            if launcher.is_file() and (payload / places.programs / name).is_file():
                yield name, f"{_module(places.launcher)}:{name}"
            elif name in scripts and (payload / utility).is_file():
                yield name, f"{_module(utility)}:main"

    return dict(found())


def shell_scripts(commands: Mapping[str, str], places: Places, python: str) -> dict[str, str]:
    """Return the commands that are GDAL's programs, each with a script that starts it on Linux.

    `python` is the wheel's, `3.12` or `3.*`: where an installer puts packages depends on it. The
    start of Python would cost more than half of what the program itself costs.
    """
    template = text_of("inside", "program.sh")
    for name, value in {
        "PYTHON": python, "PACKAGE": places.package, "BUNDLE": places.bundle,
        "LAUNCHER": places.launcher, "MODULE": _module(places.launcher),
        "CA_BUNDLE": places.ca_bundle, "PLUGINS": places.plugins,
        "GDAL_DATA": places.gdal_data, "PROJ_DATA": places.proj_data,
    }.items():  # fmt: skip
        template = template.replace(f"@{name}@", value)
    started = f"{_module(places.launcher)}:"
    found = (name for name, called in commands.items() if called.startswith(started))
    return {name: template.replace("@NAME@", name) for name in found}


def _module(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")

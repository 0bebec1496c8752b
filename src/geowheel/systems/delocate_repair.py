"""Repairing macOS wheels: delocate's work, with libraries from the native stack and nowhere else.

The libraries go to `<Distribution>.dylibs` beside the wheel's packages, as auditwheel's go to
`<Distribution>.libs`: one place that does not depend on which packages a wheel has (delocate would
take the one of the distribution's name, or the first). Their file names stay. dyld tells libraries
apart by path, and finds a loaded one by its install name only for who asks by that very name: ours
are asked for by `@loader_path`, and their own is `/DLC/<Distribution>.dylibs/NAME`, so that two
distributions with a libgdal of one name never get each other's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from geowheel.binary.closure import check_closure
from geowheel.binary.macho import MachO, read_machos
from geowheel.binary.macho_loading import DyldLoader
from geowheel.errors import BuildError, Fault
from geowheel.machine.environments import isolated_environment
from geowheel.wheel.reading import (
    parse_filename,
    unpack_wheel,
    with_platform,
)

from . import repair_tools
from .children import ask
from .contract import (
    UNIX_PREFIX,
    Bundled,
    Forcing,
    RepairedTree,
    RepairRequest,
)

BUNDLE: Final = ".dylibs"
PREFIX_LIBRARIES: Final = f"{UNIX_PREFIX}/lib"
"""The library folder by the fixed prefix string, which the linker writes into install names too."""
OLDEST: Final = {"arm64": (11, 0), "x86_64": (10, 9)}
"""What a tag says at least: the first macOS on Apple's processors, and the one before which no
CPython that is still maintained runs (python.org)."""
EXPERIMENTAL: Final = (
    "experimental: not repaired on a Mac, but by repairwheel's tools in Apple's place; every "
    "library and every page of the signatures was checked, nothing of it was run"
)

_PACKAGE_ROOT: Final = Path(__file__).resolve().parents[2]
_UNIVERSAL: Final = {"universal2": ("arm64", "x86_64")}


def repair(request: RepairRequest) -> RepairedTree:
    """Unpack the raw wheel and bundle what it needs from the library folder.

    The result has one platform tag, the oldest macOS that every file runs on, and the same bytes
    wherever it is made (by Apple's tools, or by those in their place).

    Raises BuildError when the wheel has no Mach-O file, one that is not for the platform or that an
    installer moves, was repaired before or calls itself pure; when a library is not in the library
    folder (also when this machine has it), is for another machine, or has no room in its header; or
    when the result is not closed. IntegrityError for a damaged wheel; MachineError when a tool is
    missing.
    """
    raw, folder = request.raw, request.folder
    wheel = unpack_wheel(raw, tree := folder / "tree")
    machos = read_machos(tree)
    _check_machine(machos, raw.name, request.platform.architecture)
    _check_unrepaired(machos, raw.name)
    _check_places(machos)
    if wheel.pure:
        raise BuildError(
            "holds compiled files but says Root-Is-Purelib: true",
            where=raw.name,
            cause="the build backend does not know that the wheel is for one platform",
            fix="have the backend make a platform wheel (for hatchling: pure_python = false)",
        )
    env = isolated_environment(request.environ, PYTHONPATH=os.fspath(_PACKAGE_ROOT))
    if repair_tools.on_mac():
        for name in repair_tools.APPLE_TOOLS:
            repair_tools.apple_tool(name, env)
    bundle = raw.name.partition("-")[0] + BUNDLE
    answer = ask(
        "geowheel.systems._delocate",
        {
            "tree": os.fspath(tree.resolve()),
            "bundle": bundle,
            "library_folder": os.fspath(request.library_folder.resolve()),
            "prefix_library_folder": PREFIX_LIBRARIES,
            "genuine": repair_tools.on_mac(),
            "threads": os.cpu_count() or 1,
        },
        folder=folder,
        cwd=folder,
        run=request.run,
        env=env,
    )
    repaired = read_machos(tree)
    check_closure(repaired, DyldLoader())
    oldest = _oldest(repaired, request.platform.architecture)
    platform_tag = _platform_tag(oldest, request.platform.architecture)
    return RepairedTree(
        tree=tree,
        filename=with_platform(raw.name, platform_tag),
        platform_tag=platform_tag,
        bundled=tuple(
            Bundled(soname=b["soname"], source=b["source"], path=f"{bundle}/{b['name']}")
            for b in answer["bundled"]
        ),
        binaries=repaired,
        notes=(
            *([] if repair_tools.on_mac() else [EXPERIMENTAL]),
            *answer["notes"],
            *_deceptive(oldest, platform_tag),
        ),
    )


def forcing(repaired: RepairedTree, owners: Mapping[str, str]) -> tuple[Forcing, ...]:
    """The newest deployment target, and the files that have it; `owners` by path."""
    architecture = _tag_architecture(repaired.platform_tag)
    minima = {
        path: minimum
        for path, macho in sorted(repaired.binaries.items())
        if isinstance(macho, MachO) and (minimum := macho.minimum(architecture))
    }
    if not minima:
        return ()
    newest = max(minima.values())
    files = tuple(path for path, minimum in minima.items() if minimum == newest)
    return (
        Forcing(
            needs=f"macOS {_in_words(newest)}",
            packages=tuple(sorted({owners.get(path, path) for path in files})),
            files=files,
        ),
    )


# --- refusals --------------------------------------------------------------------------------


def _check_machine(machos: Mapping[str, MachO], name: str, architecture: str) -> None:
    if not machos:
        raise BuildError(
            "holds no compiled file",
            where=name,
            cause="the build backend did not pack the vendored extension modules",
        )
    faults = _tag_faults(name, architecture)
    wanted = {architecture, *_promised(name)}
    for path, macho in machos.items():
        if lacking := sorted(wanted - set(macho.architectures)):
            faults.append(
                Fault(
                    what=f"is for {', '.join(macho.architectures)} and not for "
                    f"{', '.join(lacking)}, as the wheel's tag or platform says",
                    where=path,
                    cause="it was compiled for another machine than the wheel",
                    fix=f'build with ARCHFLAGS="-arch {architecture}" and '
                    f"_PYTHON_HOST_PLATFORM=macosx-11.0-{architecture}, which sets the tag",
                )
            )
        if foreign := sorted({part.platform for part in macho.slices} - {"macOS", ""}):
            faults.append(Fault(what=f"is built for {foreign[0]}, not macOS", where=path))
    if faults:
        raise BuildError(faults)


def _tag_faults(name: str, architecture: str) -> list[Fault]:
    platforms = _platforms(name)
    right = ("any", *(f"_{a}" for a in (architecture, *_UNIVERSAL)))
    if all(p == "any" or (p.startswith("macosx_") and p.endswith(right)) for p in platforms):
        return []
    return [
        Fault(
            what=f"is tagged {'.'.join(platforms)}, and the wheel is for macOS on {architecture}",
            where=name,
            cause="the build backend took the tag of the machine or interpreter that it ran on",
            fix=f"build with _PYTHON_HOST_PLATFORM=macosx-11.0-{architecture}",
        )
    ]


def _promised(name: str) -> tuple[str, ...]:
    """The architectures of a tag for several."""
    return tuple(
        architecture
        for platform_tag in _platforms(name)
        for ending, several in _UNIVERSAL.items()
        if platform_tag.endswith(f"_{ending}")
        for architecture in several
    )


def _platforms(name: str) -> tuple[str, ...]:
    *_, tags = parse_filename(name)
    return tuple(dict.fromkeys(tag.rpartition("-")[2] for tag in tags))


def _check_unrepaired(machos: Mapping[str, MachO], name: str) -> None:
    repaired = [
        path
        for path, macho in machos.items()
        if any(part.endswith(BUNDLE) for part in path.split("/")[:-1])
        or any(install_name.startswith("/DLC/") for install_name in macho.install_names)
    ]
    if repaired:
        raise BuildError(
            f"was repaired before: it has {repaired[0]}",
            where=name,
            cause="it is a wheel from dist/, or the host's build repairs by itself",
            fix="give it the raw wheel, or leave delocate out of the host's build",
        )


def _check_places(machos: Mapping[str, MachO]) -> None:
    """Raise BuildError for files that an installer moves: their libraries stay where they are."""
    if faults := [
        Fault(
            what="would not find its libraries: what is in a .data folder is installed elsewhere",
            where=path,
            cause="the build backend packed it as a script or as data",
            fix="have it packed beside the Python modules",
        )
        for path in machos
        if path.partition("/")[0].endswith(".data")
    ]:
        raise BuildError(faults)


# --- the tag -----------------------------------------------------------------------------------


def _oldest(machos: Mapping[str, MachO], architecture: str) -> tuple[int, int, int]:
    """The oldest macOS that every file runs on."""
    minima = [minimum for macho in machos.values() if (minimum := macho.minimum(architecture))]
    return max([*minima, (*OLDEST[architecture], 0)])


def _platform_tag(oldest: tuple[int, int, int], architecture: str) -> str:
    """From macOS 11 on only the first number counts (packaging.tags.mac_platforms)."""
    major, minor, _ = oldest
    return f"macosx_{major}_{0 if major >= 11 else minor}_{architecture}"


def _tag_architecture(platform_tag: str) -> str:
    return platform_tag.split("_", 3)[3]


def _deceptive(oldest: tuple[int, int, int], platform_tag: str) -> list[str]:
    major, *rest = oldest
    if major < 11 or not any(rest):
        return []
    return [f"tagged {platform_tag}, but needs macOS {_in_words(oldest)}: a tag cannot say it"]


def _in_words(version: tuple[int, int, int]) -> str:
    major, minor, patch = version
    return f"{major}.{minor}.{patch}" if patch else f"{major}.{minor}"


def bundle_extras(repaired: RepairedTree, plugins: str) -> Mapping[str, str]:  # noqa: ARG001
    """Nothing: libraries find each other."""
    return {}

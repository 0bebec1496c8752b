"""Repairing Windows wheels: delvewheel's work, on Windows and on Linux alike.

delvewheel itself decides what to bundle, renames it and patches `__init__.py`. What is ours: it
finds libraries in the native stack only, never on the machine that builds; what is missing is told
before it starts, with all users; and the result is checked by the rules of the Windows loader.

Its patch in `__init__.py` stays. Our bootstrap adds the folder of the libraries as well, but runs
with the import package only, and a host's own extension module (`terrain/_fast.pyd`) may be
imported before that, or in a process that never imports it.
"""

from __future__ import annotations

import os
import posixpath
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath
from typing import Final

from packaging.utils import canonicalize_name

from geowheel.binary.closure import closure_faults
from geowheel.binary.pe import (
    Pe,
    read_pe,
    read_pes,
)
from geowheel.binary.pe_loading import (
    PeLoader,
    delayed_faults,
    load_order,
    needed_later,
    original_name,
)
from geowheel.binary.system_libraries import system_libraries
from geowheel.errors import BuildError, Fault
from geowheel.machine.environments import isolated_environment
from geowheel.project.places import PACKAGE_INIT
from geowheel.targets import Platform, System
from geowheel.wheel.reading import (
    Wheel,
    parse_filename,
    unpack_wheel,
)

from .contract import (
    Bundled,
    Forcing,
    RepairedTree,
    RepairRequest,
)

LIBRARY_FOLDER: Final = "libraries"
"""For the bootstrap: where the bundled libraries lie."""
PRELOADED: Final = "preload-"
"""For the bootstrap: what it loads, in the order of the numbers that follow."""

_PACKAGE_ROOT: Final = Path(__file__).resolve().parents[2]


def repair(request: RepairRequest) -> RepairedTree:
    """Unpack the raw wheel and bundle what it needs from the library folders.

    The result has the platform tag of the raw wheel, and the same bytes wherever it is made.

    Raises BuildError when the wheel has no PE file or one for another machine, says another
    platform in its name, was repaired before, has extension modules outside of packages, when a
    library is not in the library folders (also when this machine has it), or when the result is not
    closed; IntegrityError for a damaged wheel or library.
    """
    wheel = unpack_wheel(request.raw, tree := request.folder / "raw")
    raw = read_pes(tree)
    if faults := [*_wheel_faults(wheel, raw, request), *_place_faults(raw, tree)]:
        raise BuildError(faults)
    needs = _find_needs(raw, request)
    unmangled = needs.circles()
    made = _run_delvewheel(request, raw, needs, _namespaces(raw, tree), unmangled)
    repaired = request.folder / "tree"
    unpack_wheel(made, repaired)
    _undo(repaired, tree)
    binaries = read_pes(repaired)
    libraries = f"{request.raw.name.partition('-')[0]}.libs"
    bundled = _bundled(needs, binaries, libraries, request.library_folder)
    _check_closed(binaries, bundled, libraries, request.plugins)
    return RepairedTree(
        tree=repaired,
        filename=request.raw.name,
        platform_tag=_platform_tag(request.platform),
        bundled=bundled,
        binaries=binaries,
        notes=tuple(
            f"{name} keeps its name, since it and libraries that it needs need each other: another "
            "wheel's library of that name could take its place"
            for name in unmangled
        ),
    )


def forcing(repaired: RepairedTree, owners: Mapping[str, str]) -> tuple[Forcing, ...]:  # noqa: ARG001
    """None: no library of Windows is bundled, and its tags name no version."""
    return ()


def bundle_extras(repaired: RepairedTree, plugins: str) -> dict[str, str]:
    """What the bootstrap has to know besides the entry libraries, as paths in the wheel.

    `libraries` is the folder of the bundled libraries. `preload-000` and so on are those that the
    plugins in the folder `plugins` need, and those that are delay-loaded, in an order in which each
    comes after those that it needs.
    """
    binaries = {path: pe for path, pe in repaired.binaries.items() if isinstance(pe, Pe)}
    bundled = {item.path: binaries[item.path] for item in repaired.bundled}
    if not bundled:
        return {}
    loaded = _preloaded(binaries, bundled, plugins)
    return {
        LIBRARY_FOLDER: posixpath.dirname(next(iter(bundled))),
        **{f"{PRELOADED}{number:03}": path for number, path in enumerate(loaded)},
    }


# --- before delvewheel -----------------------------------------------------------------------


def _platform_tag(platform: Platform) -> str:
    return f"win_{platform.architecture}"


def _wheel_faults(
    wheel: Wheel, binaries: Mapping[str, Pe], request: RepairRequest
) -> Iterator[Fault]:
    name, tag = wheel.filename, _platform_tag(request.platform)
    tags = sorted({item.rpartition("-")[2] for item in parse_filename(name)[3]})
    if not binaries:
        yield Fault(
            what="holds no compiled file",
            where=name,
            cause="the build backend did not pack the vendored extension modules",
        )
    elif wheel.pure:
        yield Fault(
            what="holds compiled files but says Root-Is-Purelib: true",
            where=name,
            cause="the build backend does not know that the wheel is for one platform",
            fix="have the backend make a platform wheel (for hatchling: pure_python = false)",
        )
    if tags != [tag]:
        yield Fault(
            what=f"is tagged {', '.join(tags)}, and {request.platform} is {tag}",
            where=name,
            cause="the build backend tagged it for the machine that it ran on",
        )
    for path, binary in binaries.items():
        if binary.architectures != (request.platform.architecture,):
            what = f"is for {binary.architectures[0]}, the wheel for {request.platform}"
            yield Fault(what=what, where=path)
    repaired = {
        member.path
        for member in wheel.members
        if member.path == f"{wheel.dist_info}/DELVEWHEEL"
        or member.path.startswith(f"{name.partition('-')[0]}.libs/")
    }
    if repaired:
        yield Fault(
            what=f"was repaired before: it has {min(repaired)}",
            where=name,
            cause="the build backend repairs by itself, or a repaired wheel was given",
            fix="repair the wheel that the build backend makes, and switch off its own repair",
        )


def _place_faults(binaries: Mapping[str, Pe], tree: Path) -> Iterator[Fault]:
    """Extension modules whose folder has no `__init__.py`, where nothing can run before them."""
    for path in _extensions(binaries):
        if not (tree / path).with_name(PACKAGE_INIT).is_file():
            yield Fault(
                what="is an extension module outside of a package",
                where=path,
                cause=f"Windows finds bundled libraries only once an {PACKAGE_INIT} has named "
                "their folder, and here none would run before the module",
                fix=f"move it into a package, or add an {PACKAGE_INIT} beside it",
            )


def _extensions(paths: Iterable[str]) -> list[str]:
    return [path for path in paths if path.lower().endswith(".pyd")]


def _namespaces(binaries: Mapping[str, Pe], tree: Path) -> list[str]:
    """The packages without `__init__.py` above an extension module, which have to stay so."""
    parents = {
        parent
        for path in _extensions(binaries)
        for parent in PurePosixPath(path).parents
        if parent.name and not (tree / parent / PACKAGE_INIT).is_file()
    }
    return sorted(".".join(parent.parts) for parent in parents)


@dataclass(frozen=True, kw_only=True)
class _Needs:
    """The libraries of the native stack that a wheel needs, by their names in lower case."""

    files: dict[str, Path] = field(default_factory=dict)
    binaries: dict[str, Pe] = field(default_factory=dict)
    graph: dict[str, set[str]] = field(default_factory=dict)
    """Library to those that it needs."""
    own: frozenset[str]
    """Names of libraries that the wheel brings itself."""

    def circles(self) -> list[str]:
        """Libraries that are not renamed, so that no name depends on itself.

        delvewheel writes into a name what the names of the needed libraries are.
        """
        kept: list[str] = []
        graph = dict(self.graph)
        while circle := _circle(graph):
            kept.append(min(circle))
            graph = {name: graph[name] - {*kept} for name in graph if name not in kept}
        return kept


def _circle(graph: Mapping[str, Collection[str]]) -> list[str]:
    """The names of one circle in a graph; none when there is none."""
    ordered = {name: sorted(graph[name]) for name in sorted(graph)}
    try:
        TopologicalSorter(ordered).prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def _find_needs(raw: Mapping[str, Pe], request: RepairRequest) -> _Needs:
    """Follow the imports from the wheel through the library folders, as delvewheel will.

    Raises BuildError for every library that is not there, or is for another machine.
    """
    loader = PeLoader()
    needs = _Needs(own=frozenset(posixpath.basename(path).lower() for path in raw))
    stack = _Stack.in_folders((request.library_folder, *request.more_folders))
    users: dict[str, list[str]] = {}
    waiting = [(path, binary) for path, binary in raw.items()]
    while waiting:
        user, binary = waiting.pop()
        wanted = {name.lower() for name in (*binary.needed, *needed_later(user, binary))}
        wanted = {name for name in wanted if not loader.is_system(name)} - needs.own
        if user in needs.files:
            needs.graph[user] = wanted
        for name in sorted(wanted):
            users.setdefault(name, []).append(user)
            if name not in needs.files and (file := stack.files.get(name)):
                needs.files[name], needs.binaries[name] = file, read_pe(file)
                waiting.append((name, needs.binaries[name]))
    faults = [
        *_missing(users, needs, request),
        *_foreign(needs, request.platform),
        *stack.strays(needs.files),
    ]
    if faults:
        raise BuildError(faults)
    return needs


@dataclass(frozen=True, kw_only=True)
class _Stack:
    """The files of the library folders by their names in lower case, the first of each."""

    folders: tuple[Path, ...]
    files: Mapping[str, Path]

    @classmethod
    def in_folders(cls, folders: tuple[Path, ...]) -> _Stack:
        found: dict[str, Path] = {}
        for folder in folders:
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                if path.is_file():
                    found.setdefault(path.name.lower(), path)
        return cls(folders=folders, files=found)

    def strays(self, names: Iterable[str]) -> Iterator[Fault]:
        """Links that lead out of the folders."""
        inside = [folder.resolve() for folder in self.folders]
        for name in sorted(names):
            real = self.files[name].resolve()
            if not any(real.is_relative_to(folder) for folder in inside):
                yield Fault(
                    what=f"{name} is a link to {real}, which must not get into a wheel",
                    where=str(self.files[name]),
                    cause="it was put into the prefix by hand",
                    fix="run `geowheel fetch`, which places the prefix anew when it was changed",
                )


def _missing(
    users: Mapping[str, list[str]], needs: _Needs, request: RepairRequest
) -> Iterator[Fault]:
    for name in sorted(users.keys() - needs.files.keys()):
        yield Fault(
            what=f"{name}, needed by {', '.join(sorted(users[name]))}, is not in the native stack",
            where=str(request.library_folder),
            cause="a package is missing, or something was linked against another machine's",
            fix="add the package that has it to pixi.toml, and lock again"
            + ("; Visual C++'s runtime is vc14_runtime" if name.startswith("msvcp") else ""),
        )


def _foreign(needs: _Needs, platform: Platform) -> Iterator[Fault]:
    for name, binary in sorted(needs.binaries.items()):
        if binary.architectures != (platform.architecture,):
            yield Fault(
                what=f"is for {binary.architectures[0]}, the wheel for {platform}",
                where=str(needs.files[name]),
                cause="the lock has a package of another platform",
            )


# --- delvewheel ------------------------------------------------------------------------------


def _run_delvewheel(
    request: RepairRequest,
    raw: Mapping[str, Pe],
    needs: _Needs,
    namespaces: Iterable[str],
    unmangled: Iterable[str],
) -> Path:
    """The one wheel that delvewheel made."""
    goal, scratch = request.folder / "made", request.folder / "temporary"
    scratch.mkdir()
    here = request.library_folder
    folders = [os.path.relpath(folder, here) for folder in (here, *request.more_folders)]
    # PATH is where delvewheel searches, the machine's own included: so it names nothing else.
    # Relative to the working folder, since a folder's path may hold the separator.
    env = isolated_environment(
        request.environ,
        PATH=os.pathsep.join(folders),
        PYTHONPATH=os.fspath(_PACKAGE_ROOT),
        **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), os.fspath(scratch.resolve())),
    )
    excluded = sorted({*system_libraries(System.WINDOWS), "ext-ms-*", *needs.own})
    command: list[str | Path] = [
        sys.executable, "-P", "-m", "geowheel.systems._delvewheel",
        canonicalize_name(request.raw.name.partition("-")[0]),
        "repair", "--analyze-existing",
        *["--analyze-existing-exes"] * any(path.lower().endswith(".exe") for path in raw),
        "--exclude", os.pathsep.join(excluded),
        *(part for name in unmangled for part in ("--no-mangle", name)),
        *(part for name in _joined(namespaces) for part in ("--namespace-pkg", name)),
        "--test", "no_compress",  # the wheel is packed again later on, in our own way
        "--wheel-dir", goal.resolve(), request.raw.resolve(),
    ]  # fmt: skip
    try:
        request.run(command, env=env, cwd=here)
    except BuildError as error:
        raise _explained(error) from error
    wheels = sorted(goal.glob("*.whl"))
    if len(wheels) != 1:
        raise BuildError(
            f"delvewheel made {len(wheels)} wheels instead of one", where=request.raw.name
        )
    return wheels[0]


def _explained(error: BuildError) -> BuildError:
    """The same, or what it comes to for a library that cannot be changed."""
    found = re.search(r"Unable to rename the dependencies of\s+(\S+)\s+because", str(error))
    if found is None:
        return error
    return BuildError(
        "has no room for the new names of the libraries that it needs",
        where=found[1],
        cause="it has data behind its last section, mostly a symbol table, so that no section can "
        "be added",
        fix="report it to the package's maintainers: `strip` would remove it; "
        f"{error.faults[0].fix}",
    )


def _joined(names: Iterable[str]) -> list[str]:
    text = os.pathsep.join(names)
    return [text] if text else []


def _undo(repaired: Path, raw: Path) -> None:
    """Take back what delvewheel does to folders of data, and what depends on the file system.

    A folder at the top of the wheel without `__init__.py` gets an empty one with the patch, which
    would make a package of it. The load order, for Python before 3.10, is in no particular order.
    """
    for init in sorted(repaired.rglob(PACKAGE_INIT)):
        if not (raw / init.relative_to(repaired)).exists():
            init.unlink()
    for file in sorted(repaired.glob("*.libs/.load-order-*")):
        lines = sorted(file.read_text(encoding="utf-8").split())
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


# --- after delvewheel ------------------------------------------------------------------------


def _bundled(
    needs: _Needs, binaries: Mapping[str, Pe], libraries: str, library_folder: Path
) -> tuple[Bundled, ...]:
    """Each library with its copy; BuildError when delvewheel bundled others than were found."""
    copies = {
        original_name(posixpath.basename(path)).lower(): path
        for path in binaries
        if posixpath.dirname(path) == libraries
    }
    if different := sorted(copies.keys() ^ needs.files.keys()):
        raise BuildError(
            f"delvewheel and geowheel do not agree on what is bundled: {', '.join(different)}",
            cause="a library is found by one of them only",
            fix="report the packages that have it",
        )
    return tuple(
        Bundled(
            soname=file.name,
            source=Path(os.path.relpath(file, library_folder)).as_posix(),
            path=copies[name],
        )
        for name, file in sorted(needs.files.items())
    )


def _check_closed(
    binaries: Mapping[str, Pe], bundled: Iterable[Bundled], libraries: str, plugins: str
) -> None:
    copies = {item.path: binaries[item.path] for item in bundled}
    loader = PeLoader(
        bundled=libraries,
        preloaded=frozenset(_preloaded(binaries, copies, plugins)),
        plugins=plugins,
    )
    if faults := [*closure_faults(binaries, loader), *delayed_faults(binaries, loader)]:
        raise BuildError(faults)


def _preloaded(
    binaries: Mapping[str, Pe], bundled: Mapping[str, Pe], plugins: str
) -> tuple[str, ...]:
    """The bundled libraries that nobody would find when they are asked for, in load order."""
    names = {posixpath.basename(path).lower(): path for path in bundled}
    waiting = [
        name.lower()
        for path, binary in binaries.items()
        for name in (
            *(binary.needed if posixpath.dirname(path) == plugins else ()),
            *needed_later(path, binary),
        )
    ]
    found: dict[str, Pe] = {}
    while waiting:
        path = names.get(waiting.pop(), "")
        if path and path not in found:
            found[path] = bundled[path]
            waiting += [name.lower() for name in (*found[path].needed, *found[path].delayed)]
    return load_order(found)

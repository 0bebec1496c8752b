"""delocate at work on an unpacked wheel, in a process of its own.

`python -m geowheel.systems._delocate REQUEST`. REQUEST is a JSON file (see `Request`); the answer
is JSON on standard output: `{"faults": [...]}`, or what was bundled and what is worth saying.

Which library is copied, under which name and with which install name is delocate's work. Three
things are done differently, at the places that `_adapt` lists. Libraries are looked for in the
wheel and in the native stack and nowhere else: delocate would also take /usr/local/lib and any
absolute path. What delocate changes is planned first, refused where the header has no room for it,
and then done once a file, several files at a time: signing libgdal anew for each of its 60 needs
would hash it 60 times. And off a Mac, where Apple's tools are missing, files are changed and signed
by repairwheel's pure-Python ones (LLVM's install_name_tool corrupts a file whose header has no
room, and says nothing).
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import json
import os
import posixpath
import re
import struct
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import delocate.delocating
import delocate.libsana
import delocate.tools

from geowheel.binary.macho import (
    Kind,
    MachO,
    Slice,
    is_macho,
    read_macho,
    read_machos,
)
from geowheel.binary.macho_loading import (
    LOADER_PATH,
    RPATH,
    DyldLoader,
    folder_in_tree,
)
from geowheel.binary.macho_signature import signature_faults
from geowheel.errors import Fault, GeowheelError

from .children import RefusedError

DELOCATE: Final = "0.13.0"
REPAIRWHEEL: Final = "0.8.0"

ID_PREFIX: Final = delocate.delocating.DLC_PREFIX
_SIGNED: Final = ("dylib", "bundle", "execute")
"""The kinds of file that macOS wants signed, and that a wheel has a use for."""
_LIBPYTHON: Final = re.compile(r"(^|/)(libpython3[.\d]*t?\.dylib|Python3?)$")
_SIGNATURE_COMMAND: Final = 16
_LIBRARY_COMMAND: Final = 24
"""Bytes of struct dylib_command before its path."""
_MACHOTOOLS: Final = "repairwheel.macos.machotools"
_CHANGERS: Final = ("set_install_name", "set_install_id", "_delete_rpaths", "replace_signature")
_ADAPTED: Final = (
    (delocate.libsana, ("get_dependencies", "tree_libs_from_directory")),
    (
        delocate.delocating,
        ("set_install_name", "set_install_id", "validate_signature", "delocate_path",
         "_make_install_name_ids_unique"),
    ),
)  # fmt: skip
# Of macholib on a file that it cannot read or change, of delocate on a failed program of Apple's.
_TOOL_ERRORS: Final = (ValueError, LookupError, OSError, RuntimeError, struct.error)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to repair and with what; every path is absolute."""

    tree: str
    bundle: str
    """The folder for libraries, relative to the wheel."""
    library_folder: str
    prefix_library_folder: str
    """What `library_folder` is called in files with the fixed prefix string."""
    genuine: bool
    """Whether Apple's tools are there."""
    threads: int


def main(argument: str) -> int:
    """Answer the request in the file `argument`; 0, unless a tool failed unexpectedly."""
    request = Request(**json.loads(Path(argument).read_text(encoding="utf-8")))
    try:
        answer = _repair(request)
    except (RefusedError, GeowheelError) as refusal:
        answer = {"faults": [asdict(fault) for fault in refusal.faults]}
    except delocate.libsana.DelocationError as error:
        answer = {"faults": [asdict(Fault(what=f"delocate: {error}"))]}
    json.dump(answer, sys.stdout)
    return 0


def _repair(request: Request) -> dict[str, object]:
    _check_releases(request)
    libraries = _Libraries(request)
    libraries.walk()
    if faults := list(libraries.faults()):
        raise RefusedError(faults)
    plan = _Plan()
    _adapt(libraries, plan)
    folder = Path(request.tree, request.bundle)
    copied = delocate.delocating.delocate_path(request.tree, os.fspath(folder))
    delocate.delocating._make_install_name_ids_unique(
        sorted(os.fspath(folder / Path(library).name) for library in copied),
        ID_PREFIX + request.bundle,
    )
    if not copied:
        folder.rmdir()
    machos = read_machos(Path(request.tree))
    plan.clean(machos, Path(request.tree))
    if faults := list(plan.room_faults(machos, Path(request.tree))):
        raise RefusedError(faults)
    _change(plan, machos, request)
    return {"bundled": libraries.bundled(), "notes": libraries.notes()}


def _check_releases(request: Request) -> None:
    wanted = {"delocate": DELOCATE} | ({} if request.genuine else {"repairwheel": REPAIRWHEEL})
    if faults := [
        Fault(
            what=f"{name} {found} is installed, {release} is needed",
            cause="its inside changes between releases",
            fix="install geowheel with its pinned tools",
        )
        for name, release in wanted.items()
        if (found := _installed(name)) != release
    ]:
        raise RefusedError(faults)
    if faults := [
        Fault(
            what=f"{module.__name__} has no {name}, which is to be replaced or called",
            cause="it was changed after it was installed",
            fix="install geowheel with its pinned tools",
        )
        for module, names in (*_ADAPTED, (_tools(request.genuine), _CHANGERS))
        for name in names
        if not callable(getattr(module, name, None))
    ]:
        raise RefusedError(faults)


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "(no release)"


def _tools(genuine: bool) -> Any:
    """The module whose functions change and sign files; both sets have one signature."""
    return delocate.tools if genuine else importlib.import_module(_MACHOTOOLS)


# --- finding libraries -------------------------------------------------------------------------


@dataclass(kw_only=True)
class _Found:
    """What the walk saw of one name for a library."""

    users: set[str] = field(default_factory=set)
    place: Path | None = None
    """A file outside of wheel and native stack, where a link led."""


class _Libraries:
    """Finds what dyld would load, in the wheel and in the library folder and nowhere else."""

    def __init__(self, request: Request) -> None:
        self._tree = Path(request.tree)
        self._folder = Path(request.library_folder)
        self._prefix = request.prefix_library_folder
        self._loader = DyldLoader()
        self._macho = functools.cache(read_macho)
        self._places: dict[Path, dict[str, Path]] = {}
        self._missing: dict[str, _Found] = {}
        self._weak: dict[str, set[str]] = {}

    def walk(self) -> None:
        """Follow every file of the wheel, and what it loads; a ring ends where it began.

        From those that no other file of the wheel needs, as `geowheel.binary.closure` does: their
        search paths count for what they load.
        """
        machos = read_machos(self._tree)
        needed = {posixpath.basename(name) for macho in machos.values() for name in macho.libraries}
        visited: set[tuple[Path, tuple[Path, ...]]] = set()
        for is_needed in (False, True):
            for path in machos:
                place = self._tree / path
                if (place.name in needed) is is_needed and place not in {p for p, _ in visited}:
                    self._visit(place, visited)

    def _visit(self, path: Path, visited: set[tuple[Path, tuple[Path, ...]]]) -> None:
        waiting: deque[tuple[Path, tuple[Path, ...]]] = deque([(path, ())])
        while waiting:
            step = waiting.popleft()
            if step not in visited:
                visited.add(step)
                waiting += self._loaded(*step)

    def of(self, path: Path) -> Mapping[str, Path]:
        """Each library of a file by the name that it has for it; none of the system's."""
        return self._places.get(path, {})

    def _loaded(
        self, path: Path, inherited: tuple[Path, ...]
    ) -> Iterator[tuple[Path, tuple[Path, ...]]]:
        macho = self._macho(path)
        folders = (*self._own_folders(path, macho), *inherited)
        for name in macho.libraries:
            if self._loader.is_system(name):
                continue
            found = self._find(path, name, folders)
            if found is not None and self._is_ours(found):
                self._places.setdefault(path, {}).setdefault(name, found)
                yield found, folders if found.is_relative_to(self._tree) else ()
            elif name in macho.weak and found is None:
                self._weak.setdefault(name, set()).add(self._shown(path))
            else:
                missing = self._missing.setdefault(name, _Found())
                missing.users.add(self._shown(path))
                missing.place = found

    def _own_folders(self, path: Path, macho: MachO) -> tuple[Path, ...]:
        """Where it has @rpath looked for, as far as that is in the wheel or the native stack."""
        folders = []
        for entry in macho.rpaths:
            if entry == LOADER_PATH or entry.startswith(f"{LOADER_PATH}/"):
                text = os.path.normpath(f"{path.parent}{entry.removeprefix(LOADER_PATH)}")
                if self._is_ours(Path(text)):
                    folders.append(Path(text))
        return tuple(folders)

    def _find(self, path: Path, name: str, folders: Iterable[Path]) -> Path | None:
        """The first file that is there, links followed; it may be none of ours."""
        for place in self._candidates(path, name, folders):
            if place.is_file() and is_macho(place):
                return place.resolve()
        return None

    def _candidates(self, path: Path, name: str, folders: Iterable[Path]) -> Iterator[Path]:
        start, slash, rest = name.partition("/")
        if slash and start == RPATH:
            yield from (folder / rest for folder in folders)
            yield self._folder / rest
        elif slash and start == LOADER_PATH:
            place = Path(os.path.normpath(path.parent / rest))
            if self._is_ours(place):
                yield place
            # A file of the native stack that the wheel has in another place.
            yield self._folder / posixpath.basename(rest)
        elif name.startswith(f"{self._prefix}/"):
            yield self._folder / name.removeprefix(f"{self._prefix}/")
        elif name.startswith("/"):
            if self._is_ours(Path(os.path.normpath(name))):
                yield Path(name)
        elif not slash:  # an install name without any folder: the library was linked where it lay
            yield self._folder / name

    def _is_ours(self, path: Path) -> bool:
        return path.is_relative_to(self._tree) or path.is_relative_to(self._folder)

    def _shown(self, path: Path) -> str:
        root = self._tree if path.is_relative_to(self._tree) else self._folder
        return path.relative_to(root).as_posix()

    def faults(self) -> Iterator[Fault]:
        """Each library that is nowhere, or for another machine or system; by all of its users."""
        for name, missing in sorted(self._missing.items()):
            users = ", ".join(sorted(missing.users))
            cause, fix = _reason(name, missing.place, self._folder)
            yield Fault(
                what=f"{name}, needed by {users}, is not in the native stack",
                where=os.fspath(self._folder),
                cause=cause,
                fix=fix,
            )
        for path, places in sorted(self._places.items()):
            for place in places.values():
                yield from self._machine_faults(path, place)

    def _machine_faults(self, user: Path, place: Path) -> Iterator[Fault]:
        found, wanted = self._macho(place), self._macho(user).architectures
        if lacking := [name for name in wanted if name not in found.architectures]:
            yield Fault(
                what=f"needs {self._shown(place)}, which is for {', '.join(found.architectures)} "
                f"and not for {', '.join(lacking)}",
                where=self._shown(user),
                cause="the interpreter's own flags compile for two processors"
                if len(wanted) > 1
                else "the native stack is another platform's",
                fix=f'build with ARCHFLAGS="-arch {found.architectures[0]}"'
                if len(wanted) > 1
                else "fetch again",
            )
        if foreign := {part.platform for part in found.slices} - {"macOS", ""}:
            yield Fault(what=f"is built for {foreign.pop()}, not macOS", where=self._shown(place))

    def bundled(self) -> list[dict[str, str]]:
        """Each name by which a library of the native stack is asked for, and its file."""
        found = {
            (posixpath.basename(name), self._shown(place), place.name)
            for places in self._places.values()
            for name, place in places.items()
            if not place.is_relative_to(self._tree)
        }
        return [
            {"soname": soname, "source": source, "name": name}
            for soname, source, name in sorted(found)
        ]

    def notes(self) -> list[str]:
        """What was left out on purpose."""
        return [
            f"{name}, which {', '.join(sorted(users))} can do without, is not in the native stack"
            for name, users in sorted(self._weak.items())
        ]


def _reason(name: str, place: Path | None, folder: Path) -> tuple[str, str]:
    """The likely cause, and what to do."""
    if _LIBPYTHON.search(name):
        return (
            "it is linked to an interpreter, and would bring a second one into the process",
            "link extensions with -undefined dynamic_lookup and without libpython",
        )
    if place is not None:
        return f"{place} was found, which must not get into a wheel", "fetch the prefix again"
    if name.startswith("@executable_path/"):
        return (
            "it is looked for beside the interpreter's program, and that is not in the wheel",
            "link it by @rpath or @loader_path",
        )
    if name.startswith("/"):
        return (
            "it was linked against a library of the machine that built it, by its absolute path",
            f"build against the native stack's, in {folder}: its place is in GDAL_CONFIG, "
            "CMAKE_PREFIX_PATH and PKG_CONFIG_PATH (`geowheel env` prints them)",
        )
    return (
        "a package is missing, or something was linked against another machine's",
        "add the package that has it to pixi.toml, and lock again",
    )


# --- adapting delocate ---------------------------------------------------------------------------


def _adapt(libraries: _Libraries, plan: _Plan) -> None:
    """Make delocate find what `libraries` found, and note in `plan` what it would change."""

    def get_dependencies(
        lib_fname: str,
        executable_path: str | None = None,  # noqa: ARG001 - delocate passes it
        filt_func: object = None,  # noqa: ARG001
    ) -> Iterator[tuple[str, str]]:
        for name, place in libraries.of(Path(lib_fname)).items():
            yield os.fspath(place), name

    replacements: dict[Any, dict[str, Any]] = {
        delocate.libsana: {"get_dependencies": get_dependencies},
        delocate.delocating: {
            "set_install_name": plan.set_install_name,
            "set_install_id": plan.set_install_id,
            "validate_signature": lambda filename: None,  # noqa: ARG005 - signed at the end
        },
    }
    for module, functions in replacements.items():
        for name, function in functions.items():
            setattr(module, name, function)


@dataclass(frozen=True, kw_only=True)
class _Change:
    """All that is to be done to one file, besides signing."""

    names: tuple[tuple[str, str], ...] = ()
    """Install names of needed libraries, old and new."""
    install_id: str = ""
    rpaths: tuple[str, ...] = ()
    """To be removed: once for each time that it is there."""

    def growth(self, part: Slice) -> int:
        """By how many bytes the load commands of a slice get longer."""
        names, total = dict(self.names), 0
        for command in part.commands:
            if command.kind is Kind.RPATH:
                total -= command.size if command.path in self.rpaths else 0
            elif command.kind is Kind.ID:
                total += _command_size(self.install_id) - command.size if self.install_id else 0
            elif command.path in names:
                total += _command_size(names[command.path]) - command.size
        return total + (_SIGNATURE_COMMAND if part.signature_at is None else 0)

    def ordered(self) -> list[tuple[str, str]]:
        """What gets shorter first: then the header is never longer than in the end."""
        return sorted(self.names, key=lambda pair: (len(pair[1]) - len(pair[0]), pair))


def _command_size(path: str) -> int:
    """As macholib pads it (MachOHeader.rewriteDataForCommand), never less than Apple's own."""
    length = len(os.fsencode(path))
    return _LIBRARY_COMMAND + length + 8 - length % 8


class _Plan:
    """What is to be changed, by file; takes the calls that delocate would make."""

    def __init__(self) -> None:
        self._names: dict[Path, dict[str, str]] = {}
        self._ids: dict[Path, str] = {}
        self._rpaths: dict[Path, tuple[str, ...]] = {}

    def set_install_name(
        self, filename: str, oldname: str, newname: str, ad_hoc_sign: bool = True
    ) -> None:
        del ad_hoc_sign
        self._names.setdefault(Path(filename), {})[oldname] = newname

    def set_install_id(
        self, filename: str | os.PathLike[str], install_id: str, ad_hoc_sign: bool = True
    ) -> None:
        del ad_hoc_sign
        self._ids[Path(filename)] = install_id

    def clean(self, machos: Mapping[str, MachO], tree: Path) -> None:
        """Drop the places of the machine that linked the files.

        Search paths stay where they lead to libraries of the wheel, and are there once: since macOS
        15.4, dyld refuses a file that has one twice. Install names of the wheel's own files become
        unique as those of the bundled ones are.
        """
        folders = {posixpath.dirname(path) or "." for path in machos}
        for path, macho in machos.items():
            counted: Counter[str] = Counter()
            for part in macho.slices:
                counted |= Counter(part.rpaths)
            self._rpaths[tree / path] = tuple(
                entry
                for entry in counted.elements()
                if counted[entry] > 1 or folder_in_tree(path, entry) not in folders
            )
            if any(name.startswith("/") for name in macho.install_names):
                self._ids.setdefault(tree / path, ID_PREFIX + path)

    def of(self, path: Path) -> _Change:
        return _Change(
            names=tuple(sorted(self._names.get(path, {}).items())),
            install_id=self._ids.get(path, ""),
            rpaths=self._rpaths.get(path, ()),
        )

    def room_faults(self, machos: Mapping[str, MachO], tree: Path) -> Iterator[Fault]:
        """Each file whose header is too short; nothing has been changed yet."""
        for path, macho in sorted(machos.items()):
            change = self.of(tree / path)
            for part in macho.slices:
                if (growth := change.growth(part)) > part.header_room:
                    yield Fault(
                        what=f"its header has {part.header_room} bytes left for load commands "
                        f"({part.architecture}), and {growth} are needed for the install names "
                        "that a wheel wants",
                        where=path,
                        cause="it was linked without room for longer names",
                        fix="link it with -Wl,-headerpad_max_install_names; if it is a package's, "
                        "lock another build of it and tell the channel",
                    )


# --- changing files ------------------------------------------------------------------------------


def _change(plan: _Plan, machos: Mapping[str, MachO], request: Request) -> None:
    """Change and sign every file of the wheel, the largest first, several at a time."""
    tree = Path(request.tree)
    paths = [tree / path for path, macho in machos.items() if _is_signed(macho)]
    paths.sort(key=lambda path: (-path.stat().st_size, path))
    changes = [plan.of(path) for path in paths]
    genuine = [request.genuine] * len(paths)
    # Threads: Apple's tools are processes of their own, and hashing lets go of the interpreter.
    with ThreadPoolExecutor(request.threads) as pool:
        done = pool.map(_change_file, paths, changes, genuine)
        faults = [fault for several in done for fault in several]
    if faults:
        raise RefusedError(faults)


def _is_signed(macho: MachO) -> bool:
    return all(part.file_type in _SIGNED for part in macho.slices)


def _change_file(path: Path, change: _Change, genuine: bool) -> list[Fault]:
    """What went wrong. A file that needs no change keeps its signature, if that is right."""
    tools = _tools(genuine)
    changed = change != _Change()
    try:
        if change.rpaths:
            tools._delete_rpaths(path, change.rpaths, ad_hoc_sign=False)
        for old, new in change.ordered():
            tools.set_install_name(path, old, new, ad_hoc_sign=False)
        if change.install_id:
            tools.set_install_id(path, change.install_id, ad_hoc_sign=False)
        if changed or signature_faults(path):
            tools.replace_signature(path, "-")
    except _tool_errors(genuine) as error:
        text = str(error).strip() or type(error).__name__
        return [Fault(what=f"cannot be changed: {text}", where=path.name)]
    return list(signature_faults(path))


def _tool_errors(genuine: bool) -> tuple[type[Exception], ...]:
    """What the tools raise; their own errors are plain Exceptions."""
    if genuine:
        return (*_TOOL_ERRORS, delocate.tools.InstallNameError)
    machotools = importlib.import_module(_MACHOTOOLS)
    return (*_TOOL_ERRORS, machotools.InstallNameError, machotools.machosign.SigningException)


if __name__ == "__main__":
    sys.exit(main(os.fsdecode(sys.argv[1])))

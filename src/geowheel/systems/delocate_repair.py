"""macOS wheels: delocate's work, with libraries from the native stack and nowhere else.

The libraries go to `<Distribution>.dylibs` beside the wheel's packages, as auditwheel's go to
`<Distribution>.libs`: one place that does not depend on which packages a wheel has (delocate would
take the one of the distribution's name, or the first). Their file names stay. dyld tells libraries
apart by path, and finds a loaded one by its install name only for who asks by that very name: ours
are asked for by `@loader_path`, and their own is `/DLC/<Distribution>.dylibs/NAME`, so that two
distributions with a libgdal of one name never get each other's.

What delocate changes is gathered, refused where a header has no room for it, and then done once a
file, several files at a time: signing libgdal anew for each of its 60 needs would hash it 60 times.
Off a Mac, where Apple's tools are missing, files are changed and signed by repairwheel's
pure-Python ones (LLVM's install_name_tool corrupts a file whose header has no room, and says
nothing).
"""

import importlib
import os
import posixpath
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import delocate.delocating
import delocate.tools

from geowheel.binary.closure import Walk, closure_faults
from geowheel.binary.macho import MachO, PathUse, Slice, read_macho, read_machos
from geowheel.binary.macho_loading import DyldLoader
from geowheel.binary.macho_signature import signature_faults
from geowheel.errors import Fault
from geowheel.machine.environments import isolated_environment
from geowheel.wheel.reading import Wheel
from geowheel.wheel.tags import macos_tag, parse_platform_tag

from . import repair_tools
from .contract import UNIX_PREFIX, Bundled, Forcing, RepairedTree
from .repairing import (
    AGAINST_STACK,
    FOR_ANOTHER,
    LOCK_AGAIN,
    LOCK_ANOTHER,
    RefusedError,
    Repairer,
    RepairPlan,
    check_release,
    platform_tags,
    repaired_before,
)

DELOCATE: Final = "0.13.0"
REPAIRWHEEL: Final = "0.8.0"
ID_PREFIX: Final = delocate.delocating.DLC_PREFIX
PREFIX_LIBRARIES: Final = f"{UNIX_PREFIX}/lib"
"""The library folder by the fixed prefix string, which the linker writes into install names too."""
EXPERIMENTAL: Final = (
    "experimental: not repaired on a Mac, but by repairwheel's tools in Apple's place; every "
    "library and every page of the signatures was checked, nothing of it was run"
)

_SIGNED: Final = ("dylib", "bundle", "execute")
"""The kinds of file that macOS wants signed, and that a wheel has a use for."""
_SIGNATURE_COMMAND: Final = 16
_LIBRARY_COMMAND: Final = 24
"""Bytes of struct dylib_command before its path."""


class MacosRepairer(Repairer[MachO]):
    """Repairs with delocate; the tag is of the oldest macOS that every file runs on."""

    tool = "delocate_repair"
    read = staticmethod(read_machos)
    read_one = staticmethod(read_macho)
    bundle = ".dylibs"

    def loader(self, binaries: Mapping[str, MachO]) -> DyldLoader:
        del binaries
        folders = tuple(folder.as_posix() for folder in self.stack)
        shipped = {path.name for folder in self.stack for path in folder.glob("*.dylib")}
        return DyldLoader(stack=folders, stack_name=PREFIX_LIBRARIES, shipped=shipped)

    def closed(self, plan: RepairPlan, binaries: Mapping[str, MachO]) -> list[Fault]:
        del plan
        return closure_faults(binaries, DyldLoader())

    def copy(self, name: str, place: Path, bundle: str) -> Bundled:
        return Bundled(
            soname=posixpath.basename(name),
            source=self.shown(place.as_posix()),
            path=f"{bundle}/{place.name}",
        )

    def tag(self, binaries: Mapping[str, MachO]) -> str:
        architecture = self.request.platform.architecture
        return str(macos_tag(_oldest(binaries, architecture), architecture))

    def tools(self) -> dict[str, str]:
        if not repair_tools.on_mac():
            return {}
        env = isolated_environment(self.request.environ)
        return {n: os.fspath(repair_tools.apple_tool(n, env)) for n in repair_tools.APPLE_TOOLS}

    def one_processor(self) -> str:
        own = self.request.platform.architecture
        return (
            f'build with ARCHFLAGS="-arch {own}" and '
            f"_PYTHON_HOST_PLATFORM=macosx-11.0-{own}, which sets the tag"
        )

    def may_miss(self, binary: MachO, name: str) -> bool:
        return name in binary.weak

    def architectures(self, wheel: Wheel) -> set[str]:
        """Return the platform's, and both of a tag for several."""
        tags = filter(None, map(parse_platform_tag, platform_tags(wheel)))
        promised = (tag.architectures for tag in tags if tag.architecture == "universal2")
        return {self.request.platform.architecture}.union(*promised)

    def faults(self, wheel: Wheel, binaries: Mapping[str, MachO], tree: Path) -> Iterator[Fault]:
        del tree
        own, tags = self.request.platform.architecture, platform_tags(wheel)
        parsed = [parse_platform_tag(tag) for tag in tags if tag != "any"]
        if any(
            tag is None or tag.kind != "macosx" or tag.architecture not in (own, "universal2")
            for tag in parsed
        ):
            yield Fault(
                what=f"is tagged {'.'.join(tags)}, and the wheel is for macOS on {own}",
                where=wheel.filename,
                cause="the build backend took the tag of the machine or interpreter it ran on",
                fix=self.one_processor(),
            )
        yield from _foreign_systems(binaries)
        yield from repaired_before(
            wheel,
            (
                path
                for path, macho in binaries.items()
                if any(part.endswith(self.bundle) for part in path.split("/")[:-1])
                or any(name.startswith(ID_PREFIX) for name in macho.install_names)
            ),
        )

    def stack_faults(self, walk: Walk[MachO]) -> Iterator[Fault]:
        yield from super().stack_faults(walk)
        yield from _foreign_systems(
            {self.shown(path): macho for path, macho in walk.binaries.items()}
        )

    def reason(self, name: str, place: Path | None, own: bool) -> tuple[str, str]:
        last = posixpath.basename(name)
        if last.startswith("libpython3") or last in ("Python", "Python3"):
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
                "it was linked against a library of the machine that built it, by its absolute "
                "path",
                AGAINST_STACK if own else LOCK_ANOTHER,
            )
        return FOR_ANOTHER, LOCK_AGAIN

    def notes(self, plan: RepairPlan, walk: Walk[MachO]) -> Iterator[str]:
        if not plan.tools:
            yield EXPERIMENTAL
        left: dict[str, set[str]] = {}
        for path, name in walk.missing:
            left.setdefault(name, set()).add(self.shown(path))
        for name, users in sorted(left.items()):
            can = ", ".join(sorted(users))
            yield f"{name}, which {can} can do without, is not in the native stack"
        loader = self.loader(walk.binaries)
        for path, macho in sorted(walk.binaries.items()):
            for name in filter(loader.is_system, macho.libraries):
                last = posixpath.basename(name)
                # Apple's libc++ is a part of the system that others of the process use as well.
                if last in loader.shipped and "libc++" not in last:
                    yield f"{self.shown(path)} takes {name}, though the native stack has a {last}"
        oldest = _oldest(walk.binaries, self.request.platform.architecture)
        if oldest[0] >= 11 and any(oldest[1:]):
            words = _in_words(oldest)
            yield f"tagged {plan.platform_tag}, but needs macOS {words}: a tag cannot say it"

    @classmethod
    def forcing(cls, repaired: RepairedTree, owners: Mapping[str, str]) -> tuple[Forcing, ...]:
        """Return the newest deployment target, and the files that have it."""
        tag = parse_platform_tag(repaired.platform_tag)
        minima = {
            path: minimum
            for path, macho in sorted(repaired.binaries.items())
            if isinstance(macho, MachO) and tag and (minimum := macho.minimum(tag.architecture))
        }
        newest = max(minima.values(), default=(0, 0, 0))
        files = tuple(path for path, minimum in minima.items() if minimum == newest)
        packages = tuple(sorted({owners.get(path, path) for path in files}))
        needs = f"macOS {_in_words(newest)}"
        return (Forcing(needs=needs, packages=packages, files=files),) if files else ()


def _foreign_systems(binaries: Mapping[str, MachO]) -> Iterator[Fault]:
    for path, macho in binaries.items():
        if foreign := sorted({part.platform for part in macho.slices} - {"macOS", ""}):
            yield Fault(what=f"is built for {foreign[0]}, not macOS", where=path)


def _oldest(binaries: Mapping[str, MachO], architecture: str) -> tuple[int, int, int]:
    """Return the oldest macOS that every file runs on; zeros where none states one."""
    minima = (macho.minimum(architecture) for macho in binaries.values())
    return max(filter(None, minima), default=(0, 0, 0))


def _in_words(version: tuple[int, int, int]) -> str:
    return ".".join(map(str, version if version[2] else version[:2]))


# --- in delocate's process -----------------------------------------------------------------------


def carry_out(plan: RepairPlan) -> None:
    """Have delocate copy the libraries and say the names that change, then change the files."""
    genuine = bool(plan.tools)
    check_release(delocate=DELOCATE, **({} if genuine else {"repairwheel": REPAIRWHEEL}))
    tree = Path(plan.tree)
    wanted: dict[str, dict[str, str]] = {}
    for user, libraries in plan.needs.items():
        for name, place in libraries.items():
            wanted.setdefault(os.fspath(tree / place), {})[os.fspath(tree / user)] = name
    changes: dict[Path, FileChange] = {}

    def set_install_name(filename: str, oldname: str, newname: str) -> None:
        changes.setdefault(Path(filename), FileChange()).names[oldname] = newname

    delocating: Any = delocate.delocating
    delocating.set_install_name = set_install_name
    if plan.copies:
        (tree / plan.bundle).mkdir()
    try:
        delocating.delocate_tree_libs(wanted, os.fspath(tree / plan.bundle), os.fspath(tree))
    except delocating.DelocationError as error:
        raise RefusedError(Fault(what=f"delocate: {error}")) from None
    machos = read_machos(tree)
    copies = {copy.path for copy in plan.copies}
    for path, macho in machos.items():
        change = changes.setdefault(tree / path, FileChange())
        change.rpaths = leaving(path, macho, machos)
        if path in copies or any(name.startswith("/") for name in macho.install_names):
            change.install_id = ID_PREFIX + path
    if faults := [
        fault
        for path, macho in machos.items()
        for fault in room_faults(path, macho, changes[tree / path])
    ]:
        raise RefusedError(*faults)
    _change([tree / path for path, macho in machos.items() if _is_signed(macho)], changes, genuine)


@dataclass(kw_only=True)
class FileChange:
    """All that is to be done to one file, besides signing."""

    names: dict[str, str] = field(default_factory=dict)
    """Install names of needed libraries, old to new."""
    install_id: str = ""
    rpaths: tuple[str, ...] = ()
    """To be removed: once for each time that it is there."""

    def growth(self, part: Slice) -> int:
        """Return by how many bytes the load commands of a slice get longer."""
        total = 0 if part.signature_at else _SIGNATURE_COMMAND
        for command in part.commands:
            if command.kind is PathUse.RPATH:
                total -= command.size if command.path in self.rpaths else 0
                continue
            new = self.install_id if command.kind is PathUse.ID else self.names.get(command.path)
            # As macholib pads it (MachOHeader.rewriteDataForCommand), never less than Apple's own.
            length = len(os.fsencode(new or ""))
            total += _LIBRARY_COMMAND + length + 8 - length % 8 - command.size if new else 0
        return total


def leaving(path: str, macho: MachO, machos: Iterable[str]) -> tuple[str, ...]:
    """Return the search paths that go: the linking machine's, and what is there twice.

    They stay where they lead to libraries of the wheel. Since macOS 15.4, dyld refuses a file that
    has one twice.
    """
    folders = {posixpath.dirname(other) or "." for other in machos}
    loader = DyldLoader()
    counted: Counter[str] = Counter()
    for part in macho.slices:
        counted |= Counter(part.rpaths)
    return tuple(
        entry
        for entry in counted.elements()
        if counted[entry] > 1 or loader.folder(path, entry) not in folders
    )


def room_faults(path: str, macho: MachO, change: FileChange) -> Iterator[Fault]:
    """Say that the header of a file is too short, while nothing has been changed yet."""
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


def _is_signed(macho: MachO) -> bool:
    return all(part.file_type in _SIGNED for part in macho.slices)


def _change(paths: list[Path], changes: Mapping[Path, FileChange], genuine: bool) -> None:
    """Change and sign every file, the largest first, several at a time."""
    paths.sort(key=lambda path: (-path.stat().st_size, path))
    # The functions of both sets of tools have one signature.
    tools: Any = delocate.tools
    errors: list[type[Exception]] = [
        # Of macholib on a file that it cannot read or change, of delocate on a failed program.
        ValueError, LookupError, OSError, RuntimeError, struct.error,
    ]  # fmt: skip
    if not genuine:
        tools = importlib.import_module("repairwheel.macos.machotools")
        errors.append(tools.machosign.SigningException)
    errors.append(tools.InstallNameError)

    def change_file(path: Path) -> list[Fault]:
        try:
            _change_file(path, changes[path], tools)
        except tuple(errors) as error:
            text = str(error).strip() or type(error).__name__
            return [Fault(what=f"cannot be changed: {text}", where=path.name)]
        return list(signature_faults(path))

    # Threads: Apple's tools are processes of their own, and hashing lets go of the interpreter.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        if faults := [fault for several in pool.map(change_file, paths) for fault in several]:
            raise RefusedError(*faults)


def _change_file(path: Path, change: FileChange, tools: Any) -> None:
    """Change a file; one that needs no change keeps its signature, if that is right."""
    if change.rpaths:
        tools._delete_rpaths(path, change.rpaths, ad_hoc_sign=False)
    # What gets shorter first: then the header is never longer than in the end.
    for old, new in sorted(
        change.names.items(), key=lambda pair: (len(pair[1]) - len(pair[0]), pair)
    ):
        tools.set_install_name(path, old, new, ad_hoc_sign=False)
    if change.install_id:
        tools.set_install_id(path, change.install_id, ad_hoc_sign=False)
    if change != FileChange() or signature_faults(path):
        tools.replace_signature(path, "-")

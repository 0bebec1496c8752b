"""One plan of a repair for every system, and a tool that carries it out in a process of its own.

What a wheel needs is followed by the rules of its system's loader, in the wheel and in the native
stack and nowhere else: what is missing is told before anything is changed, with all of its users.
The plan says what is copied, what the files ask for and which tag the wheel gets. auditwheel,
delocate or delvewheel do it; they keep state in their modules, change folders or are adapted from
outside. The result is checked by the loader's rules again.
"""

import functools
import importlib
import importlib.metadata
import os
import posixpath
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final, Generic, TypeVar

import msgspec

from geowheel.binary.closure import Binary, Loader, Walk, follow, foreign
from geowheel.errors import BuildError, Fault, GeowheelError
from geowheel.machine.environments import isolated_environment
from geowheel.wheel.reading import Wheel, parse_filename, unpack_wheel, with_platform

from .contract import Bundled, CodeAt, Forcing, RepairedTree, RepairRequest
from .lowering import Lowering

AGAINST_STACK: Final = (
    "build against the native stack's: its place is in GDAL_CONFIG, CMAKE_PREFIX_PATH and "
    "PKG_CONFIG_PATH (`geowheel env` prints them)"
)
FOR_ANOTHER: Final = "a package is missing, or something was linked against other libraries"
LOCK_ANOTHER: Final = "lock another build of the package, and report this one to the channel"
LOCK_AGAIN: Final = "add the package that has it to pixi.toml, and lock again"

_PACKAGE_ROOT: Final = Path(__file__).resolve().parents[2]
_ANSWER: Final = msgspec.json.Decoder(tuple[list[Fault], dict[str, tuple[str, ...]]])


@dataclass(frozen=True, kw_only=True)
class RepairPlan:
    """What is done to an unpacked wheel; written to a file for the process of the tool.

    Paths of the wheel are relative to it, those of the native stack absolute.
    """

    tree: str
    """The folder of the unpacked wheel, absolute."""
    raw: str
    """The raw wheel, absolute."""
    bundle: str
    """The folder for libraries."""
    folders: tuple[str, ...]
    """The native stack's library folders, as a search would go through them."""
    needs: Mapping[str, Mapping[str, str]]
    """Each file, of the wheel and of the stack, to its libraries' names and where they are."""
    copies: tuple[Bundled, ...]
    """By soname. delvewheel puts a hash into the names that it gives."""
    platform_tag: str
    overwritten: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Each file of the repaired wheel to its strings that change, and what is written over them."""
    tools: Mapping[str, str] = field(default_factory=dict)
    """Programs by name that the tool calls."""
    lowering: Lowering | None = None
    """The floor that a Linux wheel is lowered to."""

    @property
    def distribution(self) -> str:
        """As the file's name spells it."""
        return Path(self.raw).name.partition("-")[0]

    def bundled_by(self, path: str) -> dict[str, str]:
        """Return the stack's libraries that a file of the wheel needs, directly or not, by name."""
        found: dict[str, str] = {}
        waiting, seen = [path], {path}
        while waiting:
            for name, place in self.needs.get(waiting.pop(), {}).items():
                if posixpath.isabs(place):
                    found[name] = place
                if place not in seen:
                    seen.add(place)
                    waiting.append(place)
        return found


class RefusedError(Exception):
    """In the tool's process: why it does not repair."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__()
        self.faults = faults


B = TypeVar("B", bound=Binary)


class Repairer(ABC, Generic[B]):
    """Repairs the wheels of one system; the methods below `repair` are that system's answers."""

    tool: ClassVar[str]
    """The module that carries out a plan, with its function `carry_out`."""
    read: Callable[[Path], dict[str, B]]
    """Every compiled file of the system's format below a folder."""
    read_one: Callable[[Path], B]
    bundle: ClassVar[str] = ".libs"
    """What the folder for libraries is called after the distribution's name."""
    moves_scripts: ClassVar[bool] = False
    """Whether the tool moves programs out of .data/scripts, beside the Python modules."""

    def __init__(self, request: RepairRequest) -> None:
        self.request = request
        self.stack = tuple(f.resolve() for f in (request.library_folder, *request.more_folders))
        self._key = self.loader({}).key
        self._read = functools.cache(self.read_one)
        self._listing = functools.cache(self._list)

    def repair(self) -> RepairedTree:
        """Unpack the raw wheel and bundle what it needs from the library folders.

        The result has one platform tag and the same bytes wherever it is made. Raises BuildError
        when the wheel has no binary or one for another architecture, when a library is not in the
        library folders (also when this machine has it), and when the result is not closed;
        IntegrityError for a damaged wheel; MachineError when a tool is missing.
        """
        request = self.request
        wheel = unpack_wheel(request.raw, tree := (request.folder / "tree"))
        binaries = self.read(tree)
        if faults := [*self._wheel_faults(wheel, binaries), *self.faults(wheel, binaries, tree)]:
            raise BuildError(faults)
        bundle = f"{request.raw.name.partition('-')[0]}{self.bundle}"
        walk = follow(binaries, self.loader(binaries), self._in_stack)
        modules: dict[str, Bundled] = {}
        while more := {m.path: m for m in self.modules(walk, bundle) if m.path not in modules}:
            for path, module in more.items():
                (tree / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.stack[0] / module.source, tree / path)
                binaries[path] = self.read_one(tree / path)
            modules |= more
            walk = follow(binaries, self.loader(binaries), self._in_stack)
        if faults := [*self.stack_faults(walk), *self._lost_faults(walk)]:
            raise BuildError(faults)
        every = (item for links in walk.links.values() for item in links.items())
        asked = {(name, place) for name, place in every if posixpath.isabs(place)}
        copied = {self.copy(name, Path(place), bundle): place for name, place in asked}
        code = tuple(self.code(walk, {place: copy.path for copy, place in copied.items()}))
        lowering = self.lowering(bundle, [*copied, *modules.values()])
        plan = RepairPlan(
            tree=os.fspath(tree.resolve()),
            raw=os.fspath(request.raw.resolve()),
            bundle=bundle,
            folders=tuple(map(os.fspath, self.stack)),
            needs=walk.links,
            copies=tuple(sorted(copied, key=lambda copy: copy.soname)),
            platform_tag=lowering.policy if lowering else self.tag(walk.binaries),
            tools=self.tools(),
            lowering=lowering,
            overwritten=_overwritten(code),
        )
        lowered = self._carry_out(plan)
        repaired = self.read(tree)
        plan = self.placed(plan, repaired)
        if faults := self.closed(plan, repaired):
            raise BuildError(faults)
        return RepairedTree(
            tree=tree,
            filename=with_platform(request.raw.name, plan.platform_tag),
            platform_tag=plan.platform_tag,
            bundled=(*plan.copies, *sorted(modules.values(), key=lambda module: module.path)),
            binaries=repaired,
            notes=tuple(self.notes(plan, walk)),
            code=code,
            lowered=lowered,
        )

    # --- what a system answers

    @abstractmethod
    def loader(self, binaries: Mapping[str, B]) -> Loader[B]:
        """Return the rules by which libraries are found before the repair: in the stack too."""

    @abstractmethod
    def closed(self, plan: RepairPlan, binaries: Mapping[str, B]) -> list[Fault]:
        """Return what is wrong with the repaired wheel, by the rules of the loader at a user's."""

    @abstractmethod
    def copy(self, name: str, place: Path, bundle: str) -> Bundled:
        """Return the copy of a library of the stack that is asked for by `name`."""

    @abstractmethod
    def tag(self, binaries: Mapping[str, B]) -> str:
        """Return the platform tag of a wheel with these binaries, of the wheel and of the stack."""

    @abstractmethod
    def reason(self, name: str, place: Path | None, own: bool) -> tuple[str, str]:
        """Return cause and fix where a library is missing, or was found at another place.

        `own` says whether a file of the wheel asks for it; else only the native stack's do.
        """

    def faults(self, wheel: Wheel, binaries: Mapping[str, B], tree: Path) -> Iterable[Fault]:
        """Yield what else is wrong with the raw wheel."""
        del wheel, binaries, tree
        return ()

    def may_miss(self, binary: B, name: str) -> bool:
        """Return whether a file can do without a library."""
        del binary, name
        return False

    def one_processor(self) -> str:
        """Return how to compile for one processor alone, where compilers take several."""
        return ""

    def tools(self) -> dict[str, str]:
        """Return the programs that the tool calls; raises MachineError when one is missing."""
        return {}

    def modules(self, walk: Walk[B], bundle: str) -> Iterable[Bundled]:
        """Yield the modules that a library would open by a path, wherever it finds them."""
        del walk, bundle
        return ()

    def code(self, walk: Walk[B], copies: Mapping[str, str]) -> Iterable[CodeAt]:
        """Yield the paths of code in each file; `copies` by the places of the stack's files."""
        del walk, copies
        return ()

    def lowering(self, bundle: str, bundled: Iterable[Bundled]) -> Lowering | None:
        """Return the floor that the tool lowers a wheel to; None: it does not."""
        del bundle, bundled
        return None

    def placed(self, plan: RepairPlan, binaries: Mapping[str, B]) -> RepairPlan:
        """Return the plan with the names that the tool gave to the copies."""
        del binaries
        return plan

    def notes(self, plan: RepairPlan, walk: Walk[B]) -> Iterable[str]:
        """Yield what a person should know about the result, a line each."""
        del plan, walk
        return ()

    @classmethod
    def extras(cls, repaired: RepairedTree, plugins: str) -> Mapping[str, str]:
        """Return what the bootstrap has to know besides the entry libraries: paths in the wheel.

        `plugins` is the folder of GDAL's plugins in the wheel. Nothing where libraries find each
        other.
        """
        del repaired, plugins
        return {}

    @classmethod
    def forcing(cls, repaired: RepairedTree, owners: Mapping[str, str]) -> tuple[Forcing, ...]:
        """Return what makes the oldest system that the wheel runs on no older; `owners` by path."""
        del repaired, owners
        return ()

    # --- what is the same for all

    def _wheel_faults(self, wheel: Wheel, binaries: Mapping[str, B]) -> Iterator[Fault]:
        if not binaries:
            yield Fault(
                what="holds no compiled file",
                where=wheel.filename,
                cause='layout = "none", and the host compiles no extension module or packs none',
                fix='set layout = "private" in [tool.geowheel] for a package that imports osgeo',
            )
        elif wheel.pure:
            yield Fault(
                what="holds compiled files but says Root-Is-Purelib: true",
                where=wheel.filename,
                cause="the build backend does not know that the wheel is for one platform",
                fix="have the backend make a platform wheel (for hatchling: pure_python = false)",
            )
        wanted = self.architectures(wheel)
        for path, binary in binaries.items():
            if lacking := sorted(wanted - {*binary.architectures}):
                yield Fault(
                    what=f"is for {', '.join(binary.architectures)} and not for "
                    f"{', '.join(lacking)}, as the wheel's tag or platform says",
                    where=path,
                    cause="it was compiled for another architecture than the wheel",
                    fix=self.one_processor(),
                )

    def _lost_faults(self, walk: Walk[B]) -> Iterator[Fault]:
        """Yield files that are installed nobody knows where, and need libraries there."""
        for path, links in walk.links.items():
            root, kind, *rest = *path.split("/"), ""
            moved = self.moves_scripts and kind == "scripts" and len(rest) == 2
            if (
                root.endswith(".data")
                and not moved
                and any(not found.startswith(f"{root}/{kind}/") for found in links.values())
            ):
                yield Fault(
                    what="would not find its libraries: what is in a .data folder is installed "
                    "elsewhere",
                    where=path,
                    cause="the build backend packed it as a script or as data",
                    fix="have it packed beside the Python modules",
                )

    def architectures(self, wheel: Wheel) -> set[str]:
        """Return those that every file of the wheel has to be for."""
        del wheel
        return {self.request.platform.architecture}

    def _in_stack(self, place: str) -> tuple[str, B] | None:
        found = self._found(place)
        if found is None or not self._is_inside(found):
            return None
        return found.as_posix(), self._read(found)

    def _found(self, place: str) -> Path | None:
        """Return the file at a place below the library folders, links followed, even outside."""
        folder, _, name = place.rpartition("/")
        if not posixpath.isabs(place) or not self._is_inside(Path(os.path.normpath(folder))):
            return None
        path = self._listing(folder).get(self._key(name))
        return None if path is None else path.resolve()

    def _is_inside(self, path: Path) -> bool:
        return any(path.is_relative_to(folder) for folder in self.stack)

    def _list(self, folder: str) -> dict[str, Path]:
        """Return the files of a folder by the loader's key, the first of each."""
        files = sorted(Path(folder).iterdir()) if Path(folder).is_dir() else []
        return {self._key(path.name): path for path in reversed(files) if path.is_file()}

    def stack_faults(self, walk: Walk[B]) -> Iterator[Fault]:
        """Yield libraries that are nowhere, by their users, or are for another architecture."""
        users: dict[str, set[str]] = {}
        own: set[str] = set()
        places: dict[str, Path] = {}
        for (path, name), searched in walk.missing.items():
            place = next(filter(None, map(self._found, searched)), None)
            if place is None and self.may_miss(walk.binaries[path], name):
                continue
            users.setdefault(name, set()).add(self.shown(path))
            own |= set() if posixpath.isabs(path) else {name}
            if place is not None:
                places[name] = place
        for name in sorted(users):
            cause, fix = self.reason(name, places.get(name), name in own)
            yield Fault(
                what=f"{name}, needed by {', '.join(sorted(users[name]))}, is not in the native "
                "stack",
                where=os.fspath(self.request.library_folder),
                cause=cause,
                fix=fix,
            )
        for path, _, found, words in foreign(walk):
            yield Fault(
                what=f"needs {self.shown(found)}, which is for another architecture ({words})",
                where=self.shown(path),
                cause="the native stack is another platform's, or the file is for two processors",
                fix=self.one_processor() or "fetch again",
            )

    def shown(self, path: str) -> str:
        """Return a wheel's file by its path, one of the stack relative to its folder."""
        if not posixpath.isabs(path):
            return path
        return Path(os.path.relpath(path, self.stack[0])).as_posix()

    def _carry_out(self, plan: RepairPlan) -> dict[str, tuple[str, ...]]:
        """Start the tool's process, and raise BuildError with the faults that it answers."""
        folder = self.request.folder.resolve()
        file, answer = folder / "plan.json", folder / "answer.json"
        file.write_bytes(msgspec.json.format(msgspec.json.encode(plan)))
        env = isolated_environment(self.request.environ, PYTHONPATH=os.fspath(_PACKAGE_ROOT))
        command = (sys.executable, "-P", "-m", __name__, file, answer, self.tool)
        self.request.run(command, env=env, cwd=folder)
        faults, lowered = _ANSWER.decode(answer.read_bytes())
        if faults:
            raise BuildError(faults)
        return lowered


def _overwritten(code: Iterable[CodeAt]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for item in code:
        if item.written != item.text:
            found.setdefault(item.file, {})[item.text] = item.written
    return found


def platform_tags(wheel: Wheel) -> list[str]:
    """Return the platform tags that the wheel's name states, sorted."""
    return sorted({tag.rpartition("-")[2] for tag in parse_filename(wheel.filename)[3]})


def repaired_before(wheel: Wheel, signs: Iterable[str]) -> Iterator[Fault]:
    """Say that the wheel is not raw, by the first of the files that only a repair makes."""
    if found := sorted(signs):
        yield Fault(
            what=f"was repaired before: it has {found[0]}",
            where=wheel.filename,
            cause="it is a wheel from dist/, or the build backend repairs by itself",
            fix="give it the wheel that the build backend makes, and switch off its own repair",
        )


def check_release(**wanted: str) -> None:
    """Raise RefusedError where a package whose inside is used is of another release."""
    faults = []
    for name, release in wanted.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "(no release)"
        if found != release:
            faults.append(
                Fault(
                    what=f"{name} {found} is installed, {release} is needed",
                    cause="its inside changes between releases",
                    fix="install geowheel with its pinned tools",
                )
            )
    if faults:
        raise RefusedError(*faults)


def main(plan: str, answer: str, tool: str) -> None:
    """Carry out the plan in a file, and write the faults of doing so to another one."""
    faults: tuple[Fault, ...] = ()
    lowered = None
    try:
        module = importlib.import_module(f"geowheel.systems.{tool}")
        lowered = module.carry_out(msgspec.json.decode(Path(plan).read_bytes(), type=RepairPlan))
    except (RefusedError, GeowheelError) as refusal:
        faults = refusal.faults
    Path(answer).write_bytes(msgspec.json.encode((faults, lowered or {})))


if __name__ == "__main__":
    # By its own name: the tool's module raises this module's errors.
    importlib.import_module("geowheel.systems.repairing").main(*sys.argv[1:])

"""Linux: a wheel's floor is lowered, without a byte of code or data being moved.

Each symbol whose version is newer than the floor is bound to an older one with the same contract,
or taken from a shim of pure C that the wheel carries, or refused: lowering.toml says what may be
done, and about which symbols alone. What glibc and libstdc++ have at a floor is auditwheel's to
say. A version never loses a symbol, nor gets one later, so what a linker bound to a version that
the floor has is defined there.
"""

from __future__ import annotations

import functools
import posixpath
import tomllib
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from geowheel.binary.elf import Elf
from geowheel.binary.elf_editing import GLOBAL, OBJECT, UNIQUE, WEAK, EditableElf, NeededVersion
from geowheel.binary.elf_loading import ElfLoader
from geowheel.binary.system_libraries import system_libraries
from geowheel.errors import BuildError, Fault
from geowheel.targets import System

from .contract import Lowered, Run, Toolchain

SHIM: Final = "libgeowheel-floor"
_TABLE, _SOURCE = "lowering.toml", "lowering_shim.c"
_PREFIX: Final = "geowheel_floor_"
_TLS: Final = 6
_DT_RELR, _RELATIVE = 36, "GLIBC_ABI_DT_RELR"
_OLDEST_ON_ARM: Final = (2, 17)
_OF_PYTHON: Final = (b"Py", b"_Py")


class LoweringRow(msgspec.Struct, frozen=True, kw_only=True, rename={"versions": "from"}):
    """A row of the table."""

    name: str
    why: str
    source: str
    versions: tuple[str, ...]
    library: str = ""
    needs: str = ""
    rebind: Mapping[str, tuple[str, ...]] = {}
    shim: tuple[str, ...] = ()
    zero: tuple[str, ...] = ()


class Way(NamedTuple):
    """What is done about a symbol of one version."""

    row: str
    name: str
    """Of the symbol that is taken in its place."""
    version: str
    """Of that symbol; empty for the shim's."""
    library: str = ""
    """What has to be loaded for it besides."""
    data: bool = False
    needs: str = ""
    """A version that a system has to have for it."""


class Refused(NamedTuple):
    """A reference that cannot be lowered."""

    symbol: str
    version: str
    why: str

    def __str__(self) -> str:
        return f"{self.symbol}@{self.version}" if self.symbol else self.version


@dataclass(frozen=True, kw_only=True)
class Lowering:
    """The floor of a wheel, and the shim that it has for it."""

    policy: str
    """`manylinux_2_28_x86_64`."""
    architecture: str
    families: tuple[str, ...]
    """How the versions begin that a policy is about: `GLIBCXX`."""
    known: frozenset[str]
    """Every version that a system of the floor has."""
    shim: str = ""
    """Path in the wheel; empty where nothing is taken from it."""

    def lacks(self, need: NeededVersion) -> bool:
        """Return whether a system of the floor may not have that version."""
        return (
            need.library in system_libraries(System.LINUX)
            and need.name.partition("_")[0] in self.families
            and need.name not in self.known
        )

    def is_for(self, elf: Elf) -> bool:
        """Return whether a file needs what a system of the floor may not have."""
        needs = (NeededVersion(library, n) for library, ns in elf.versions.items() for n in ns)
        return any(map(self.lacks, needs))

    def way(self, symbol: str, version: str) -> Way | None:
        """Return what to do about a symbol that is too new; None: the table does not say."""
        ways = _ways(self.architecture).get((symbol, version), ())
        known = {"", *self.known}
        return next((way for way in ways if {way.version, way.needs} <= known), None)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is done about one file."""

    ways: Mapping[int, Way]
    """By the symbol's place in the file."""
    names: Mapping[int, str]
    """`pow@GLIBC_2.29`, by the same places."""
    newer: frozenset[int]
    """The indices of the versions that it needs no more."""
    refused: tuple[Refused, ...]

    def versions(
        self, before: Mapping[str, tuple[str, ...]], lowering: Lowering
    ) -> dict[str, tuple[str, ...]]:
        """Return the versions of `Elf.versions` as they will be."""
        after: dict[str, set[str]] = {
            library: {name for name in names if not lowering.lacks(NeededVersion(library, name))}
            for library, names in before.items()
        }
        after.setdefault("libc.so.6", set()).update(way.version for way in self.ways.values())
        return {library: tuple(sorted(names - {""})) for library, names in after.items()}

    @property
    def uses_shim(self) -> bool:
        return any(not way.version for way in self.ways.values())


@functools.cache  # data of the package, asked for with every symbol
def _ways(architecture: str) -> dict[tuple[str, str], list[Way]]:
    found: dict[tuple[str, str], list[Way]] = {}
    for row in rows():
        ways = {
            symbol: Way(row.name, other or symbol, _first(version, architecture), row.library)
            for version, symbols in row.rebind.items()
            for symbol, _, other in (text.partition("=") for text in symbols)
        }
        for symbol in (*row.shim, *row.zero):
            ways[symbol] = Way(
                row.name, _PREFIX + symbol, "", data=symbol in row.zero, needs=row.needs
            )
        for symbol, way in ways.items():
            for version in row.versions:
                found.setdefault((symbol, version), []).append(way)
    return found


def rows() -> tuple[LoweringRow, ...]:
    """Return the table."""
    text = files("geowheel.systems").joinpath(_TABLE).read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text)["row"], tuple[LoweringRow, ...])


def _first(version: str, architecture: str) -> str:
    """The version, or the first that glibc has for the architecture."""
    family, _, number = version.partition("_")
    if architecture != "aarch64" or family != "GLIBC":
        return version
    parts = max(tuple(map(int, number.split("."))), _OLDEST_ON_ARM)
    return f"GLIBC_{'.'.join(map(str, parts))}"


def decide(image: EditableElf, lowering: Lowering) -> Decision:
    """Return what is to be done about a file; nothing is changed."""
    newer = {number for number, need in image.needs.items() if lowering.lacks(need)}
    ways, refused, used = dict[int, Way](), list[Refused](), set[int]()
    for at, symbol in enumerate(image.symbols):
        if symbol.number not in newer:
            continue
        used.add(symbol.number)
        name, version = symbol.name.decode(), image.needs[symbol.number].name
        way = lowering.way(name, version)
        # What a program defines of a library is a copy of its variable.
        data = symbol.info & 15 == OBJECT or symbol.defined
        if way is not None and (way.data or not data) and symbol.info & 15 != _TLS:
            ways[at] = way
        else:
            refused.append(Refused(name, version, _why(symbol.info)))
    for number in sorted(newer - used):
        name = image.needs[number].name
        if not name.rpartition("_")[2][:1].isdigit():  # no symbol: what ld.so has to know
            refused.append(Refused("", name, "ld.so has to know a way of binding that is newer"))
    relative = _DT_RELR in dict(image.tags) and _RELATIVE not in lowering.known
    if relative and all(need.name != _RELATIVE for need in image.needs.values()):
        refused.append(Refused("", _RELATIVE, "its relative relocations are packed"))
    names = {
        at: f"{symbol.name.decode()}@{image.needs[symbol.number].name}"
        for at, symbol in enumerate(image.symbols)
        if at in ways
    }
    return Decision(ways=ways, names=names, newer=frozenset(newer), refused=tuple(refused))


def lowered_rows(decided: Mapping[str, Decision]) -> tuple[Lowered, ...]:
    """Return what each row of the table does, by the decisions about the files of a wheel."""
    done: dict[str, set[tuple[str, str]]] = {}
    for path, decision in decided.items():
        for at, way in decision.ways.items():
            done.setdefault(way.row, set()).add((decision.names[at], path))
    return tuple(
        Lowered(
            row=row.name,
            why=row.why,
            symbols=tuple(sorted({symbol for symbol, _ in done[row.name]})),
            files=tuple(sorted({path for _, path in done[row.name]})),
        )
        for row in rows()
        if row.name in done
    )


def _why(info: int) -> str:
    if info & 15 == _TLS:
        return "it is thread-local data, whose place is bound to its library"
    if info >> 4 == UNIQUE:
        return "it has to be the same object in the whole process"
    if info & 15 == OBJECT:
        return "it is data, such as a vtable, for which nothing can stand in"
    return "no older version of it is known to do the same"


def lower(
    images: Mapping[str, EditableElf],
    links: MutableMapping[str, Mapping[str, str]],
    lowering: Lowering,
) -> None:
    """Lower the files of a wheel; what needs the shim then has it among its links.

    Raises BuildError for what cannot be lowered, and for what nobody would define at the floor.
    """
    faults = []
    for path, image in images.items():
        decision = decide(image, lowering)
        faults += [refusal(item, [path], lowering) for item in decision.refused]
        for at, way in decision.ways.items():
            symbol = image.symbols[at]
            library = way.library or image.needs[symbol.number].library
            version = image.version_of(library, way.version) if way.version else GLOBAL
            if symbol.name != way.name.encode():
                symbol = symbol.called(way.name.encode())
            if symbol.defined:
                image.drop_copy(at)
            image.symbols[at] = symbol._replace(version=version)
        for number in decision.newer:
            del image.needs[number]
        for library in sorted({way.library for way in decision.ways.values()} - {""}):
            image.add_library(library)
        if decision.uses_shim:
            _load_shim(path, image, lowering.shim)
            name = posixpath.basename(lowering.shim)
            links[path] = {**links.get(path, {}), name: lowering.shim}
    if faults := faults or list(_link_faults(images, links, lowering)):
        raise BuildError(faults)


def _load_shim(path: str, image: EditableElf, shim: str) -> None:
    loader, (folder, name) = ElfLoader(), posixpath.split(shim)
    image.add_library(name)
    entries = (image.search_path or "").split(":") if image.search_path else []
    if all(loader.folder(path, entry) != folder for entry in entries):
        below = posixpath.relpath(folder or ".", posixpath.dirname(path) or ".")
        image.set_search_path(":".join([*entries, posixpath.normpath(f"$ORIGIN/{below}")]))


def refusal(item: Refused, places: list[str], lowering: Lowering) -> Fault:
    """Return that a reference of the files at those places cannot be lowered."""
    return Fault(
        what=f"needs {item}, newer than the floor {lowering.policy} and not to be lowered",
        where=", ".join(places),
        cause=item.why,
        fix="lock an older build of the package, or raise [tool.geowheel] floor",
    )


def loaded_with(path: str, links: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What ld.so loads with a file, in its order, without the file itself."""
    found = [path]
    for other in found:
        found += [new for new in dict.fromkeys(links.get(other, {}).values()) if new not in found]
    return found[1:]


def _link_faults(
    images: Mapping[str, EditableElf], links: Mapping[str, Mapping[str, str]], lowering: Lowering
) -> Iterator[Fault]:
    """Each reference that nothing defines at the floor: in the wheel, in Python, in the system.

    A file may find its symbols in what its users load. What was linked without its library gets it.
    """
    loaded = {path: [path, *loaded_with(path, links)] for path in images}
    scopes: dict[str, set[str]] = {path: set() for path in images}
    for every in loaded.values():
        for path in every:
            scopes.setdefault(path, set()).update(every)
    for path, image in images.items():
        exported = [images[other].exported for other in scopes[path] if other in images]
        named = {library: images.get(place) for library, place in links.get(path, {}).items()}
        for at, symbol in enumerate(image.symbols):
            if at == 0 or symbol.defined or symbol.info >> 4 == WEAK:
                continue
            need, name = image.needs.get(symbol.number), symbol.name
            if need is None:
                known = name.startswith(_OF_PYTHON) or any(name in names for names in exported)
                if not known and (way := lowering.way(name.decode(), "")) is not None:
                    known, version = True, image.version_of(way.library, way.version)
                    image.symbols[at] = symbol._replace(version=version)
                    image.add_library(way.library)
            elif (library := named.get(need.library)) is not None:
                known = name in library.exported
            else:
                known = need.library in system_libraries(System.LINUX)
            if not known:
                yield Fault(
                    what=f"needs {name.decode()}, which nothing defines at the floor "
                    f"{lowering.policy}",
                    where=path,
                    cause="the library that defines it is not asked for",
                )


def make_shim(goal: Path, toolchain: Toolchain, run: Run, env: Mapping[str, str]) -> None:
    """Compile the shim of a wheel; what it needs is lowered with the wheel's other files."""
    with as_file(files("geowheel.systems").joinpath(_SOURCE)) as source:
        command: tuple[str | Path, ...] = (
            toolchain.cc, *toolchain.compile_flags, "-fno-omit-frame-pointer",
            *toolchain.link_flags, "-nostdlib", f"-Wl,-soname,{goal.name}",
            source, "-o", goal, "-lstdc++", "-lc",
        )  # fmt: skip
        goal.parent.mkdir(parents=True, exist_ok=True)
        run(command, env=env, cwd=goal.parent)


def shim_source() -> bytes:
    """The shim's C, on which its name depends."""
    return files("geowheel.systems").joinpath(_SOURCE).read_bytes()

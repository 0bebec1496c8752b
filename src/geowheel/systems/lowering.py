"""Linux: a wheel's floor is lowered, without a byte of code or data being moved.

Each symbol whose version is newer than the floor is bound to an older one with the same contract,
or taken from a shim of pure C that the wheel carries, or refused: lowering.toml says what may be
done, and about which symbols alone. What a floor has is auditwheel's to say: a version never loses
a symbol, nor gets one later, so what a linker bound to a version of the floor is defined there.
"""

import functools
import posixpath
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from geowheel.binary.elf_editing import GLOBAL, OBJECT, TLS, WEAK, EditableElf, NeededVersion
from geowheel.binary.system_libraries import system_libraries
from geowheel.errors import BuildError, Fault
from geowheel.machine.files import table_of
from geowheel.targets import System

from .contract import Run, Toolchain

_TABLE, _SOURCE = "lowering.toml", "lowering_shim.c"
_PREFIX: Final = "geowheel_floor_"
_UNKNOWN: Final = "no older version of it is known to do the same"
_OBSTACLES: Final = {
    OBJECT: "it is data, such as a vtable, for which nothing can stand in",
    TLS: "it is thread-local data, whose place is bound to its library",
}
_FILESYSTEM: Final = NeededVersion("libstdc++.so.6", "GLIBCXX_3.4.26")
_OBJECT: Final = re.compile(rb"(?<!-)(fs_\w+\.o)/ *(?=\d).{32}(\d+) *`\n", re.DOTALL)
"""The header of an object file of std::filesystem in libstdc++.a (ar(5))."""
_DT_RELR, _RELATIVE = 36, NeededVersion("libc.so.6", "GLIBC_ABI_DT_RELR")


class LoweringRow(msgspec.Struct, frozen=True, kw_only=True, rename={"versions": "from"}):
    """A row of the table; several names have spaces between them."""

    why: str
    source: str
    versions: str
    rebind: Mapping[str, str] = {}
    shim: str = ""
    objects: str = ""
    zero: str = ""
    only: str = ""
    """The architecture that it is about; empty: every one."""
    without: str = ""
    """The library that came with the functions: no file needs it any more."""


class Way(NamedTuple):
    """What is taken in the place of a symbol of one version."""

    row: str
    name: str
    version: str
    """Empty for the shim's."""
    library: str = ""
    """What has to be loaded for it besides."""
    data: bool = False
    without: str = ""
    """What need not be loaded any more."""


@dataclass(frozen=True, kw_only=True)
class Lowering:
    """The floor of a wheel, and the shim that it may have for it."""

    policy: str
    """`manylinux_2_28_x86_64`."""
    known: Mapping[str, frozenset[str]]
    """The versions that a system of the floor has, by how they begin: `GLIBCXX`."""
    shim: str = ""
    """Path in the wheel."""
    owners: Mapping[str, str] = field(default_factory=dict)
    """The packages of files of the wheel, for messages."""

    @property
    def glibc(self) -> tuple[int, ...]:
        """The policy's version."""
        return tuple(map(int, self.policy.split("_")[1:3]))

    def lacks(self, need: NeededVersion) -> bool:
        """Return whether a system of the floor may not have that version."""
        family, _, version = need.name.partition("_")
        system = need.library in system_libraries(System.LINUX)
        return system and version not in self.known.get(family, {version})

    def way(self, symbol: str, version: str) -> Way | None:
        """Return what to take for a symbol of a version; None: the table does not say."""
        ways = _ways(self.policy.split("_", 3)[3]).get((symbol, version), ())
        known = (w for w in ways if not self.lacks(NeededVersion("libc.so.6", w.version)))
        return next(known, None)


def rows() -> dict[str, LoweringRow]:
    """Return the table by the rows' names."""
    return table_of("systems", _TABLE, dict[str, dict[str, LoweringRow]])["row"]


@functools.cache  # data of the package, asked for with every symbol
def _ways(architecture: str) -> dict[tuple[str, str], list[Way]]:
    found: dict[tuple[str, str], list[Way]] = {}
    arm = architecture == "aarch64"
    for row, item in rows().items():
        if item.only not in ("", architecture):
            continue
        ways = {name: Way(row, _PREFIX + name, "", data=True) for name in item.zero.split()}
        ways |= {name: Way(row, name, "") for name in item.objects.split()}
        for key, symbols in {**item.rebind, "": item.shim}.items():
            version, _, library = key.partition(" ")
            if arm and version.startswith("GLIBC_2.") and int(version.split(".")[1]) < 17:
                version = "GLIBC_2.17"
            for symbol, _, other in (text.partition("=") for text in symbols.split()):
                prefix = "" if version else _PREFIX
                name = prefix + (other or symbol)
                ways[symbol] = Way(row, name, version, library, without=item.without)
        for name, way in ways.items():
            for every in item.versions.split():
                found.setdefault((name, every), []).append(way)
    return found


def lower(
    images: MutableMapping[str, EditableElf],
    links: MutableMapping[str, Mapping[str, str]],
    floor: Lowering,
) -> dict[str, tuple[str, ...]]:
    """Lower the files of a wheel, and return rows with the symbols that they were for.

    A shim that nobody needs goes. Raises BuildError for what cannot be lowered.
    """
    faults, done = list[Fault](), dict[str, set[str]]()
    folder, name = posixpath.split(floor.shim)
    for path, image in images.items():
        without = set[str]()
        owner = floor.owners.get(path, "")
        where = f"{path} ({owner})" if owner else path
        for at, symbol, found in list(_newer(image, floor)):
            if isinstance(found, Way):
                done.setdefault(found.row, set()).add(symbol)
                without.add(found.without)
                _take(image, at, found, image.needs[image.symbols[at].number].library)
                if not found.version and path != floor.shim:
                    below = posixpath.relpath(folder or ".", posixpath.dirname(path) or ".")
                    image.add_library(name, f"$ORIGIN/{below}".removesuffix("/."))
                    links[path] = {**links.get(path, {}), name: floor.shim}
                continue
            what = f"needs {symbol}, newer than the floor {floor.policy} and not to be lowered"
            fix = "lock an older build of the package, or raise [tool.geowheel] floor"
            faults.append(Fault(what=what, where=where, cause=found, fix=fix))
        image.needs = {at: need for at, need in image.needs.items() if not floor.lacks(need)}
        for library in without - {need.library for need in image.needs.values()}:
            image.drop_library(library)
    if faults:
        raise BuildError(faults)
    if all(name not in found for found in links.values()):
        images.pop(floor.shim).path.unlink()
    return {row: tuple(sorted(symbols)) for row, symbols in sorted(done.items())}


def _newer(image: EditableElf, floor: Lowering) -> Iterator[tuple[int, str, Way | str]]:
    """Yield each symbol that is too new, its number first, and what to do or why nothing can be."""
    newer = {number: need for number, need in image.needs.items() if floor.lacks(need)}
    used = set[int]()
    for at, symbol in enumerate(image.symbols):
        if (need := newer.get(symbol.number)) is None:
            continue
        used.add(symbol.number)
        name = symbol.name.decode()
        way = floor.way(name, need.name)
        # What a program defines of a library is a copy of its variable.
        data = symbol.info & 15 == OBJECT or symbol.defined
        if way is None or symbol.info & 15 == TLS or (data and not way.data):
            yield at, f"{name}@{need.name}", _OBSTACLES.get(symbol.info & 15, _UNKNOWN)
        else:
            yield at, f"{name}@{need.name}", way
    marks = {need.name for number, need in newer.items() if number not in used}
    if _DT_RELR in dict(image.tags) and floor.lacks(_RELATIVE):
        marks.add(_RELATIVE.name)
    for mark in sorted(marks):
        if not mark.rpartition("_")[2][:1].isdigit():  # no symbol has it, ld.so has to know it
            yield 0, mark, "the file is bound in a way that an older ld.so does not know"


def oldest_floor(paths: Iterable[Path], floors: Iterable[Lowering]) -> tuple[tuple[int, ...], str]:
    """Return the oldest of the policies' glibc that files can be lowered to; 99 where none is.

    And what no older one has. The policies come in their order.
    """
    older, why = iter(floors), ""
    floor = next(older, None)
    for image in map(EditableElf, paths):
        while floor and image.symbols:
            refused = (text for _, text, found in _newer(image, floor) if isinstance(found, str))
            if not (symbol := next(refused, "")):
                break
            why, floor = f"{image.path.name} needs {symbol}", next(older, None)
    return floor.glibc if floor else (99,), why


def has_no_home(
    path: str, image: EditableElf, at: int, exported: Collection[bytes], floor: Lowering
) -> list[Fault]:
    """Return that nothing defines a symbol; a file may find it in what its users load."""
    symbol, name = image.symbols[at], image.symbols[at].name.decode()
    weak = symbol.info >> 4 == WEAK or not name
    if weak or name.startswith(("Py", "_Py")) or symbol.name in exported:
        return []
    if way := floor.way(name, "none"):
        _take(image, at, way)
        return []
    what = f"needs {name}, which nothing defines at the floor {floor.policy}"
    return [Fault(what=what, where=path, cause="it was linked without the library that does")]


def _take(image: EditableElf, at: int, way: Way, library: str = "") -> None:
    symbol = image.symbols[at]
    if symbol.defined:
        image.drop_copy(at)
    if symbol.name != way.name.encode():
        symbol = symbol.called(way.name.encode())
    library = way.library or library
    version = image.version_of(library, way.version) if way.version else GLOBAL
    image.symbols[at] = symbol._replace(version=version)
    if way.version:
        image.add_library(library)


def make_shim(
    goal: Path, floor: Lowering, toolchain: Toolchain, run: Run, env: Mapping[str, str]
) -> None:
    """Compile the shim of a wheel; what it needs is lowered with the wheel's other files."""
    folder, archive, objects = goal.with_suffix(".made"), toolchain.cxx_archive, list[Path]()
    folder.mkdir(parents=True)
    if floor.lacks(_FILESYSTEM) and archive.is_file():
        for found in _OBJECT.finditer(data := archive.read_bytes()):
            objects.append(folder / found[1].decode())
            objects[-1].write_bytes(data[found.end() : found.end() + int(found[2])])
    names = [f"{_PREFIX}*", *(n for r in rows().values() for n in r.objects.split() if objects)]
    text = f"{{ global: {'; '.join(names)}; local: *; }};\n"
    (script := folder / "names").write_text(text)
    with as_file(files("geowheel.systems").joinpath(_SOURCE)) as source:
        command: tuple[str | Path, ...] = (
            toolchain.cc, *toolchain.compile_flags, *toolchain.link_flags, "-nostdlib",
            "-Wl,--gc-sections", f"-Wl,-soname,{goal.name}", f"-Wl,--version-script={script}",
            source, *objects, "-o", goal, *toolchain.cxx_libraries, "-lpthread", "-ldl", "-lm",
            "-lc",
        )  # fmt: skip
        run(command, env=env, cwd=folder)
    shutil.rmtree(folder)

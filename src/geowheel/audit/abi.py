"""Which Pythons a wheel's modules are for, and whether one wheel could be for all of them.

abi3info has CPython's own list of the stable ABI, as abi3audit takes it.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final

from abi3info import DATAS, FUNCTIONS
from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag, parse_tag
from packaging.version import Version

from geowheel.errors import some
from geowheel.wheel.reading import headers_of

from .content import WheelContent
from .rules import Look, Mark

STABLE: Final[Mapping[str, tuple[int, int]]] = {
    item.symbol.name: (item.added.major, item.added.minor)
    for item in (*FUNCTIONS.values(), *DATAS.values())
}
"""Every name of the stable ABI, and the CPython that first has it."""
_PYTHON: Final = re.compile(r"_?Py[A-Z_]")
_MACROS: Final = re.compile(
    r"_Py_(DecRefShared|MergeZeroLocalRefcount|NegativeRefcount|FatalErrorFunc|ctype_\w+|ascii_\w+)$|"
    r"_PyUnicode_(Is|To)[A-Z]\w+$"
)
"""Private names that public macros and inline functions of Python.h stand for."""
_SHARED, _OWN = "_Py_DecRefShared", "_Py_Dealloc"
"""What Py_DECREF calls in a free-threaded CPython, and in the other, without Py_LIMITED_API."""


@dataclass(frozen=True, kw_only=True)
class AbiFacts:
    """What the modules of a wheel take from CPython."""

    modules: int
    stable: bool
    """Whether the tags say that it is for all newer Pythons too."""
    free_threaded: bool
    """Whether they say that it is for a free-threaded Python."""
    obstacles: Mapping[str, tuple[str, ...]]
    """Module to the names that are not in the stable ABI; those without any are left out."""
    oldest: str
    """The CPython from which on it is stable, or could be: `3.11`; with obstacles the tags'."""
    saved: int
    """How many wheels one on the stable ABI would save, of the Pythons in abi.toml from there."""
    numpy: str
    """The oldest NumPy whose C API it takes; empty where it takes none, or does not say."""

    def __str__(self) -> str:
        if not self.modules:
            return "it takes nothing of CPython"
        names = sorted({name for found in self.obstacles.values() for name in found})
        where = f"{some(names)}, in {len(self.obstacles)} of {self.modules} modules"
        text = f"of one version; in the way of abi3: {where if names else 'no name'}; "
        text += f"from {self.oldest} on it would save {self.saved} wheels"
        text = f"stable, from {self.oldest} on" if self.stable else text
        free, numpy = "free-threaded, ", f"; NumPy {self.numpy} or newer"
        return free * self.free_threaded + text + numpy * bool(self.numpy)


def abi_table() -> dict[tuple[int, int], list[str]]:
    """Return the rows of abi.toml, the oldest CPython first."""
    text = resources.files("geowheel.audit").joinpath("abi.toml").read_text(encoding="utf-8")
    return {(int(name[0]), int(name[2:])): row for name, row in tomllib.loads(text).items()}


def abi_facts(content: WheelContent) -> AbiFacts:
    """Return what the wheel's compiled files take from CPython and NumPy."""
    taken, promised = _taken(content), _oldest(content, "abi3")
    own = promised or _oldest(content, "cp") or (3, 2)
    every = {name for names in taken.values() for name in names}
    oldest = promised or min(own, max((STABLE.get(name, own) for name in every), default=own))
    numpys = [symbols.numpy for symbols in content.symbols.values() if symbols.numpy]
    return AbiFacts(
        modules=len(taken),
        stable=promised is not None,
        free_threaded=True in _kinds(content),
        obstacles={
            path: outside
            for path, names in taken.items()
            if (outside := tuple(n for n in names if n not in STABLE))
        },
        oldest="{}.{}".format(*oldest),
        saved=max(0, sum(version >= oldest for version in abi_table()) - 1),
        numpy=max(numpys, key=Version, default=""),
    )


def _tags(content: WheelContent) -> set[Tag]:
    return {tag for text in content.wheel.tags for tag in parse_tag(text)}


def _kinds(content: WheelContent) -> set[bool]:
    """Say for which CPythons the tags are: whether free-threaded."""
    return {tag.abi.endswith("t") for tag in _tags(content)}


def _taken(content: WheelContent) -> dict[str, list[str]]:
    """Return the names of CPython that each file takes; files that take none are left out."""
    every = {
        path: sorted(name for name in symbols.imported if _PYTHON.match(name))
        for path, symbols in content.symbols.items()
    }
    return {path: names for path, names in every.items() if names}


def _oldest(content: WheelContent, abi: str) -> tuple[int, int] | None:
    """Return the oldest CPython of the tags whose ABI begins so; None where none does."""
    tags = (tag for tag in _tags(content) if tag.abi.startswith(abi))
    found = (re.fullmatch(r"cp3(\d+)", tag.interpreter) for tag in tags)
    return min(((3, int(match[1])) for match in found if match), default=None)


def _unstable(content: WheelContent) -> Iterator[Mark]:
    promised = _oldest(content, "abi3")
    for path, names in _taken(content).items():
        if promised is None and ".abi3." not in path:
            continue
        if outside := [name for name in names if name not in STABLE]:
            yield Mark(f"takes {some(outside)}, which the stable ABI does not have", path)
        for name in names:
            if promised and STABLE.get(name, promised) > promised:
                yield Mark(f"takes {name}, stable since CPython {STABLE[name][1]}", path)


def _private(content: WheelContent) -> Iterator[Mark]:
    for path, names in _taken(content).items():
        own = [n for n in names if n[0] == "_" and n not in STABLE and not _MACROS.match(n)]
        if own and _oldest(content, "abi3") is None:
            yield Mark(f"takes CPython's private {some(own)}", path)


def _other_kind(content: WheelContent) -> Iterator[Mark]:
    """Yield modules whose reference counts are of the other kind of CPython than the tags."""
    kinds = _kinds(content)
    for path, names in _taken(content).items():
        free = _SHARED in names
        if (free or _OWN in names) and kinds == {not free}:
            words = "a free-threaded CPython" if free else "CPython with the GIL"
            yield Mark(f"is compiled for {words}, the tags are of the other", path)


def _with_the_gil(content: WheelContent) -> Iterator[Mark]:
    for path in filter(content.is_module, _taken(content)):
        if True in _kinds(content) and not content.symbols[path].free:
            yield Mark("does not say that it runs without the GIL", path)


def _one_wheel(content: WheelContent) -> Iterator[Mark]:
    facts = abi_facts(content)
    if facts.saved and facts.modules and not (facts.stable or facts.obstacles):
        yield Mark(f"could be one abi3 wheel from {facts.oldest} on, in place of {facts.saved + 1}")


def _old_numpy(content: WheelContent) -> Iterator[Mark]:
    required = headers_of(content.wheel.metadata).get_all("Requires-Dist", [])
    bounds = [bound for text in map(str, required) for bound in _lower_bounds(text)]
    for path, symbols in content.symbols.items():
        if bounds and symbols.numpy and max(bounds) < Version(symbols.numpy):
            yield Mark(f"needs NumPy {symbols.numpy}, and the metadata allow an older one", path)


def _lower_bounds(text: str) -> Iterator[Version]:
    """Yield the lower bounds of a requirement of NumPy, 0 where it has none."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return
    if requirement.name.lower() == "numpy":
        yield Version("0")
        for spec in requirement.specifier:
            if spec.operator in (">=", ">", "~=", "=="):
                yield Version(spec.version.removesuffix(".*"))


LOOKS: Final[Mapping[str, Look]] = {
    "stable-abi": _unstable,
    "private-api": _private,
    "free-threaded": _other_kind,
    "gil": _with_the_gil,
    "one-wheel": _one_wheel,
    "numpy-floor": _old_numpy,
}

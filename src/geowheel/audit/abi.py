"""What a wheel's modules take from CPython, against what its tags promise.

abi3info has CPython's own list of the stable ABI, as abi3audit takes it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from abi3info import DATAS, FUNCTIONS  # type: ignore[import-untyped]
from packaging.tags import Tag, parse_tag

from geowheel.errors import some

from .content import WheelContent
from .rules import Look, Mark

STABLE: Final[Mapping[str, tuple[int, int]]] = {
    item.symbol.name: (item.added.major, item.added.minor)
    for item in (*FUNCTIONS.values(), *DATAS.values())
}
"""Every name of the stable ABI, and the CPython that first has it."""
_PYTHON: Final = re.compile(r"_?Py[A-Z_]")


def _tags(content: WheelContent) -> set[Tag]:
    return {tag for text in content.wheel.tags for tag in parse_tag(text)}


def _taken(content: WheelContent) -> dict[str, list[str]]:
    """The names of CPython that each file takes; files that take none are left out."""
    every = {
        path: sorted(name for name in symbols.imported if _PYTHON.match(name))
        for path, symbols in content.symbols.items()
    }
    return {path: names for path, names in every.items() if names}


def _promised(content: WheelContent) -> tuple[int, int] | None:
    """The CPython from which on the tags promise the stable ABI; None where they do not."""
    stable = [tag.interpreter[3:] for tag in _tags(content) if tag.abi.startswith("abi3")]
    return min(((3, int(minor)) for minor in stable if minor.isdigit()), default=None)


def _unstable(content: WheelContent) -> Iterator[Mark]:
    promised = _promised(content)
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
        own = [name for name in names if name not in STABLE and name.startswith("_Py")]
        if own and _promised(content) is None:
            yield Mark(f"takes CPython's private {some(own)}", path)


LOOKS: Final[Mapping[str, Look]] = {"stable-abi": _unstable, "private-api": _private}

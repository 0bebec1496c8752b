"""Linux: a wheel's libraries bind to each other, whatever else the process has loaded.

ld.so finds a symbol by its name, and looks first in what is loaded for all: the program, LD_PRELOAD
and every library that came with RTLD_GLOBAL. So another GDAL in front answers in place of ours.
Symbol versions do not help: a library that has none satisfies all of them. Here

- what one file of a wheel takes from another has a second name there, and is asked for by that;
- DF_SYMBOLIC lets a library find in itself what it defines itself, and STV_PROTECTED all but the
  variables that it shares with a program of the wheel;
- STB_GNU_UNIQUE, which is one in the process whatever the scope, becomes STB_WEAK, or gets another
  name where several files of the wheel define it.

What ld.so makes of all of it stands in glibc's elf/dl-lookup.c.
"""

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from geowheel.binary.closure import follow
from geowheel.binary.elf import read_elves
from geowheel.binary.elf_editing import DT_FLAGS, OBJECT, PROTECTED, UNIQUE, WEAK, EditableElf
from geowheel.binary.elf_loading import ElfLoader
from geowheel.digest import sha256_bytes
from geowheel.errors import BuildError, Fault

from .lowering import Lowering, has_no_home, lower

_DF_SYMBOLIC: Final = 2
_FOR_ALL: Final = frozenset({b"malloc", b"_Znwm"})
"""A library that defines these stands in for the system's: all have to find it, or nobody."""
_OF_THE_SYSTEM: Final = re.compile(rb"_Z(GV)?N(Ss|SbIwSt|St.*2idE$)")
"""Of libstdc++, which has them as well: locale facets and the strings of its older ABI."""


def bind(
    tree: Path, distribution: str, lowering: Lowering | None = None
) -> dict[str, tuple[str, ...]]:
    """Bind the ELF files of an unpacked wheel to each other, once all have their final names.

    Before that they are lowered, where that is asked for: returns how, or raises BuildError; each
    reference is then defined in the wheel, in Python, or by the system at the floor.
    """
    elves = read_elves(tree)
    links: dict[str, Mapping[str, str]] = dict(follow(elves, ElfLoader()).links)
    images = {path: image for path in elves if (image := EditableElf(tree / path)).symbols}
    lowered = lower(images, links, lowering) if lowering else {}
    mark = mark_of(distribution, images)
    own = {path: _unique(image) for path, image in images.items()}
    unique = Counter(name for names in own.values() for name in names)
    # Variables of a program may be copies of a library's, which must not prefer its own.
    rows = (s for image in images.values() if image.program for s in image.symbols if s.defined)
    shared = {s.name for s in rows if s.info & 15 == OBJECT and s.name[:3] != b"_ZT"}
    every, lost = {name for image in images.values() for name in image.exported}, list[Fault]()
    for path, image in images.items():
        loaded = [images[other] for other in _loaded(path, links) if other in images]
        for at, symbol in enumerate(image.symbols):
            if unique[symbol.name] > 1:
                image.symbols[at] = symbol.called(symbol.name + mark)
            elif symbol.name in own[path]:
                image.symbols[at] = symbol._replace(info=WEAK << 4 | symbol.info & 15)
            elif not symbol.defined:
                need = image.needs.get(symbol.number)
                named = images.get(links[path].get(need.library, "")) if need else None
                asked = loaded if need is None else [named] if named in loaded else []
                exporting = (other for other in asked if symbol.name in other.exported)
                library = next(exporting, None)
                if library and not library.exported & _FOR_ALL:
                    image.symbols[at] = symbol.called(symbol.name + mark)
                    library.asked.add(symbol.name)
                elif lowering and not library and (need is None or named):
                    lost += has_no_home(path, image, at, every, lowering)
        if image.program or image.exported & _FOR_ALL:
            continue
        if not image.exported & shared:
            image.set_tag(DT_FLAGS, dict(image.tags).get(DT_FLAGS, 0) | _DF_SYMBOLIC)
            continue
        for at, symbol in enumerate(image.symbols):
            if symbol.defined and symbol.info >> 4 != UNIQUE and symbol.name not in shared:
                image.symbols[at] = symbol._replace(other=symbol.other | PROTECTED)
    if lost:
        raise BuildError(lost)
    for image in images.values():
        image.write(mark)
    return lowered


def mark_of(distribution: str, paths: Iterable[str]) -> bytes:
    """Return what the second names of a wheel's symbols end in, by whose they are.

    The names of copies hold their content's hash. Endings do not count: those of modules name a
    Python, and the libraries of the wheels for several Pythons are to be the same.
    """
    stems = {f"{folder}/{name.partition('.')[0]}" for folder, name in map(posixpath.split, paths)}
    return b"." + sha256_bytes("\0".join([distribution, *sorted(stems)]).encode())[:8].encode()


def _loaded(path: str, links: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return what ld.so loads with a file, in its order, without the file itself."""
    found = [path]
    for other in found:
        found += [new for new in dict.fromkeys(links.get(other, {}).values()) if new not in found]
    return found[1:]


def _unique(image: EditableElf) -> set[bytes]:
    found = {s.name for s in image.symbols if s.defined and s.info >> 4 == UNIQUE}
    return {name for name in found if not _OF_THE_SYSTEM.match(name)}

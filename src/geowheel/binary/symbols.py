"""The symbols of a compiled file: what it takes from others, and gives them.

Loading needs none of it: `geowheel.binary.elf` is for that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .elf import Elf
from .elf_editing import EditableElf
from .reading import damage_named

_PROCESSORS: Final = frozenset({"x86_64", "aarch64"})
_ABSOLUTE: Final = 0xFFF1  # SHN_ABS


@dataclass(frozen=True, kw_only=True)
class Symbols:
    """Empty for what is not looked into: other formats, 32 bits and rare processors."""

    imported: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Symbol to the version that it has to have and the library that has it; empty texts where the
    file does not say."""
    exported: frozenset[str] = frozenset()


def read_symbols(path: Path, binary: object, *, name: str) -> Symbols:
    """Return the symbols of a file that was read before; raises IntegrityError for damage."""
    if not isinstance(binary, Elf) or _PROCESSORS.isdisjoint(binary.architectures):
        return Symbols()
    with damage_named("ELF", path, name):
        image = EditableElf(path)
        if not image.symbols:
            return Symbols()
        needs = {number: (need.name, need.library) for number, need in image.needs.items()}
        imported, exported = dict[str, tuple[str, str]](), set[str]()
        for symbol in image.symbols:
            text = symbol.name.decode("utf-8", "replace")
            if text and not symbol.section:
                imported[text] = needs.get(symbol.number, ("", ""))
            # Neither hidden nor a version's own name.
            elif symbol.defined and symbol.other & 3 in (0, 3) and symbol.section != _ABSOLUTE:
                exported.add(text)
        return Symbols(imported=imported, exported=frozenset(exported))

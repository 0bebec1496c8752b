"""The symbols of a compiled file, and what else only its code and data tell.

Loading needs none of it: `geowheel.binary.elf` and its like are for that.
"""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from .elf import Elf
from .elf_editing import EditableElf
from .macho import MachO, symbol_names
from .pe import Pe, function_names
from .reading import damage_named

_FRAMES: Final = {"x86_64": b"\x55\x48\x89\xe5", "aarch64": b"\xfd\x03\x00\x91"}
"""`push %rbp; mov %rsp,%rbp` and `mov x29, sp`: how a function with a frame pointer begins."""
_EDITABLE: Final = frozenset({*_FRAMES, "ppc64le", "riscv64"})
# numpy/core/include/numpy/__multiarray_api.h: what import_array() says to an older NumPy.
_NUMPY: Final = re.compile(
    rb"module was compiled against NumPy C-API version 0x%x \(NumPy (\d+\.\d+)"
)
# Beside another of a module's slots, of 16 bytes each, Py_mod_gil with Py_MOD_GIL_NOT_USED (1). Its
# number is 4, from CPython 3.15 on 87, and then flags lie behind it (PEP 820).
_FREE: Final = re.compile(
    rb"[\1-\3\x50-\x60]\0..\0{4}.{8}[\x04\x57]\0..\0{4}\x01\0{7}|"
    rb"[\x04\x57]\0..\0{4}\x01\0{7}[\1-\3\x50-\x60]\0..\0{4}", re.DOTALL,
)  # fmt: skip
_LIBRARY: Final[Mapping[type[object], re.Pattern[bytes]]] = {
    Elf: re.compile(rb"(?<![\w.+-])lib[\w+-]+\.so(?:\.\d+)*(?![\w.*%-])"),
    MachO: re.compile(rb"(?<![\w.+-])lib[\w+-]+(?:\.\d+)*\.dylib(?![\w.*%-])"),
    Pe: re.compile(rb"(?<![\w.+%-])[\w+-]+\.(?:dll|DLL)(?![\w.*%-])"),
}
_ABSOLUTE: Final = 0xFFF1  # SHN_ABS
_WEAK: Final = 2  # STB_WEAK
_UNWINDING: Final = 0x6474E550  # PT_GNU_EH_FRAME


@dataclass(frozen=True, kw_only=True)
class Symbols:
    """What one compiled file takes from others, and gives them."""

    imported: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Symbol to the version that it has to have and the library that has it; empty texts where the
    file does not say, or is an ELF file of 32 bits or of s390x."""
    exported: frozenset[str] = frozenset()
    weak: frozenset[str] = frozenset()
    """What of an ELF file's imports may be missing."""
    numpy: str = ""
    """The oldest NumPy whose C API it takes: `1.23`; empty where it takes none, or does not say."""
    frames: float | None = None
    """How many of its functions keep a frame pointer, from 0 to 1; None where that is not known."""
    free: bool = False
    """Whether a module says that it runs without the GIL."""
    named: frozenset[str] = frozenset()
    """Libraries that texts in it name; those that it is linked with may be among them."""


def read_symbols(path: Path, binary: Elf | MachO | Pe, *, name: str) -> Symbols:
    """Return the symbols of a file that was read before; raises IntegrityError for damage."""
    frames, imported, weak = None, dict[str, tuple[str, str]](), frozenset[str]()
    with damage_named("compiled", path, name, ELFError, ConstructError):
        data: bytes | bytearray = path.read_bytes()
        texts, architecture = data, binary.architectures[0]
        if isinstance(binary, Elf) and architecture in _EDITABLE:
            image = EditableElf(path)
            imported, exported, weak = _of_elf(image)
            frames = _frames(image, _FRAMES[architecture]) if architecture in _FRAMES else None
            texts = b"\0".join(image.own_data())
        elif isinstance(binary, Elf):
            imported, exported, weak = _of_any_elf(path)
        else:
            taken, exported = (symbol_names if isinstance(binary, MachO) else function_names)(path)
            imported = dict.fromkeys(taken, ("", ""))
        python = any(name.startswith("Py") for name in imported)
        numpy = _NUMPY.search(data) if python else None
        free = python and ("PyUnstable_Module_SetGIL" in imported or _FREE.search(data) is not None)
    return Symbols(
        imported=imported, exported=exported, weak=weak, numpy=numpy[1].decode() if numpy else "",
        frames=frames, free=free,
        named=frozenset(name.decode() for name in _LIBRARY[type(binary)].findall(texts)),
    )  # fmt: skip


_Names = tuple[dict[str, tuple[str, str]], frozenset[str], frozenset[str]]
"""Imported, exported, and what of the imported is weak."""


def _of_elf(image: EditableElf) -> _Names:
    imported, exported, weak = dict[str, tuple[str, str]](), set[str](), set[str]()
    for symbol in image.symbols:
        text = symbol.name.decode("utf-8", "replace")
        if text and not symbol.section:
            need = image.needs.get(symbol.number)
            imported[text] = (need.name, need.library) if need else ("", "")
            weak.update([text] if symbol.info >> 4 == _WEAK else ())
        # Neither hidden nor a version's own name.
        elif symbol.defined and symbol.other & 3 in (0, 3) and symbol.section != _ABSOLUTE:
            exported.add(text)
    return imported, frozenset(exported), frozenset(weak)


def _of_any_elf(path: Path) -> _Names:
    """Return what an ELF file of any kind takes and gives."""
    with path.open("rb") as stream:
        table = ELFFile(stream).get_section_by_name(".dynsym")
        every = table.iter_symbols() if isinstance(table, SymbolTableSection) else ()
        rows = [(r.name, r["st_shndx"], r["st_info"]["bind"]) for r in every if r.name]
    taken = dict.fromkeys((name for name, at, _ in rows if at == "SHN_UNDEF"), ("", ""))
    weak = frozenset(name for name, _, bind in rows if bind == "STB_WEAK")
    return taken, frozenset(name for name, *_ in rows) - taken.keys(), weak & taken.keys()


def _frames(image: EditableElf, begin: bytes) -> float | None:
    """Compare how often a frame is set up with the functions that .eh_frame_hdr counts.

    Its header is four bytes of encodings, a pointer of four, and the count (LSB Core, 10.6.2).
    """
    header = next((row for row in image.segments if row[0] == _UNWINDING), None)
    if header is None or header[5] < 12:
        return None
    encodings = image.data[header[2] : header[2] + 4]
    if encodings[1] & 0xF not in (3, 0xB) or encodings[2] != 3:
        return None
    (functions,) = struct.unpack_from("<I", image.data, header[2] + 8)
    return min(1.0, image.data.count(begin) / functions) if functions else None

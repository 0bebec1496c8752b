"""Rules about what a compiler and a linker could have made safer."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from geowheel.binary.elf import Elf, Relro
from geowheel.binary.macho import MachO
from geowheel.binary.macho_signature import signature_faults
from geowheel.binary.pe import Pe
from geowheel.errors import some

from .content import WheelContent
from .rules import Look, Mark

_FRAMES: Final = 0.5  # of all functions; stubs and leaves have none
_BITS: Final = {0o002: "everybody may write to it", 0o6000: "runs as its owner or group"}
# What glibc has a checking variant of, which a compiler takes with _FORTIFY_SOURCE.
_UNCHECKED: Final = frozenset(
    ["gets", "getwd", "sprintf", "stpcpy", "strcat", "strcpy", "strncat", "strncpy", "vsprintf"]
)
# What a module may export: compilers do so with instances of libstdc++'s templates, Cython with
# one variable, whatever they are told.
_EXPECTED: Final = re.compile(
    r"_ZZ?(N?K?|T[ISTV]N?K?|GVN?K?)S[absiodt]|_ZNK?9__gnu_cxx|(PyInit|PyModExport|__pyx_module_is_main)_|"
    r"_(init|fini)$"
)
_BASELINE: Final = frozenset(["", "x86-64", "x86-64-v2"])
"""The oldest processors: with AArch64 those of armv8-a, which needs no note."""
_FLAGS: Final[Mapping[str, tuple[type[Any], Callable[[Any], bool], str]]] = {
    "bind-now": (Elf, lambda elf: elf.bind_now, "functions are looked up at their first call"),
    "relro": (Elf, lambda elf: elf.relro is not Relro.NONE, "its relocated data stays writable"),
    "executable-stack": (
        Elf, lambda elf: not elf.executable_stack, "asks for an executable stack",
    ),
    "text-relocations": (
        Elf, lambda elf: not elf.text_relocations, "has relocations in its code",
    ),
    "aslr": (Pe, lambda pe: pe.dynamic_base and pe.high_entropy, "is not loaded at any address"),
    "dep": (Pe, lambda pe: pe.nx, "does not refuse to execute data"),
    "cpu": (
        Elf, lambda elf: elf.cpu in _BASELINE, "is not to be loaded on older processors",
    ),
    "cpu-used": (
        Elf, lambda elf: elf.cpu_used in _BASELINE,
        "has instructions of newer processors, which it may or may not look for first",
    ),
    "cfg": (Pe, lambda pe: pe.control_flow_guard, "does not check its indirect calls"),
}  # fmt: skip
"""The kind of file, what is right, and what is said of one that is not."""


def _flag(kind: type[Any], right: Callable[[Any], bool], words: str) -> Look:
    def look(content: WheelContent) -> Iterator[Mark]:
        return (Mark(words, path) for path, b in content.of(kind).items() if not right(b))

    return look


def _unprotected(content: WheelContent) -> Iterator[Mark]:
    for path in content.of(Elf):
        names = content.symbols[path].imported
        # A file of constants has no buffer to protect.
        if "__stack_chk_fail" not in names and len(names) > 20:
            yield Mark("nothing in it notices an overrun of the stack", path)


def _unfortified(content: WheelContent) -> Iterator[Mark]:
    for path in content.of(Elf):
        names = content.symbols[path].imported
        if (plain := _UNCHECKED & names.keys()) and not any(n.endswith("_chk") for n in names):
            yield Mark(f"calls {some(sorted(plain))} without a check of the length", path)


def _frameless(content: WheelContent) -> Iterator[Mark]:
    for path, symbols in content.symbols.items():
        if symbols.frames is not None and symbols.frames < _FRAMES:
            yield Mark("its functions keep no frame pointer", path)


def _visible(content: WheelContent) -> Iterator[Mark]:
    for path in filter(content.is_module, content.symbols):
        more = (name for name in content.symbols[path].exported if not _EXPECTED.match(name))
        if names := sorted(more, key=lambda name: (len(name), name)):  # long ones fill a screen
            yield Mark(f"exports more than its PyInit function: {some(names, 3)}", path)


def _writable(content: WheelContent) -> Iterator[Mark]:
    # Python on Windows calls every file writable for all: there the bits mean nothing.
    windows = all("-win" in tag for tag in content.wheel.tags)
    for member in () if windows else content.wheel.members:
        for bits, words in _BITS.items():
            if member.mode & bits:
                yield Mark(words, member.path)


def _stray_paths(content: WheelContent) -> Iterator[Mark]:
    for walk in content.walks:
        for path, binary in walk.binaries.items():
            for _, fault in walk.loader.strays(path, binary):
                yield Mark(fault.what, path)


def _unsigned(content: WheelContent) -> Iterator[Mark]:
    for path, macho in content.of(MachO).items():
        if any(name.startswith("arm64") for name in macho.architectures):
            for fault in signature_faults(content.tree / path, name=path):
                if fault.what.startswith("arm64"):
                    yield Mark(fault.what, path)


LOOKS: Final[Mapping[str, Look]] = {
    **{id: _flag(*flag) for id, flag in _FLAGS.items()},
    "rpath": _stray_paths,
    "stack-protector": _unprotected,
    "fortify": _unfortified,
    "frame-pointers": _frameless,
    "visibility": _visible,
    "permissions": _writable,
    "signature": _unsigned,
}

"""What the readers give of compiled files, made without any file."""

from collections.abc import Mapping

from geowheel.binary.elf import Elf, Relro
from geowheel.binary.pe import Pe


def elf(
    *needed: str,
    rpath: tuple[str, ...] = (),
    runpath: tuple[str, ...] = (),
    machine: str = "EM_X86_64",
    versions: Mapping[str, tuple[str, ...]] | None = None,
    symbols: bool = False,
    debug: bool = False,
) -> Elf:
    return Elf(
        machine=machine, bits=64, soname=None, needed=needed, rpath=rpath, runpath=runpath,
        versions=versions or {}, bind_now=True, relro=Relro.FULL, text_relocations=False,
        executable_stack=False,
        symbols=symbols, debug=debug,
    )  # fmt: skip


def pe(*needed: str, delayed: tuple[str, ...] = (), machine: str = "AMD64") -> Pe:
    return Pe(
        machine=f"IMAGE_FILE_MACHINE_{machine}", needed=needed, delayed=delayed, nx=True,
        dynamic_base=True, high_entropy=True, control_flow_guard=False, symbols=False, debug=False,
    )  # fmt: skip

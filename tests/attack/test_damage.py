"""Fuzzers: files with flipped bits and cut ends are read, or refused as what they are."""

from pathlib import Path

from geowheel.binary.elf import read_elf
from geowheel.binary.macho import read_macho
from geowheel.binary.macho_signature import signature_faults
from geowheel.binary.pe import read_pe
from geowheel.wheel.reading import read_wheel
from geowheel.wheel.writing import write_wheel
from tests.support.attack import attack
from tests.support.damage import damaged
from tests.support.macho_files import ARM64, X86_64, make_fat, make_macho
from tests.unit.binary import test_elf, test_macho, test_pe
from tests.unit.wheel.test_wheel import FILENAME, make_tree, noise

FAT = make_fat((X86_64, make_macho(machine=X86_64)), (ARM64, test_macho.FULL))


@attack("ELF files", range(1000), refused=200)
def test_elf_files(seed: int, _: Path) -> None:
    read_elf(damaged(test_elf.FULL, seed))


@attack("Mach-O files, thin and fat", range(1000), refused=200)
def test_macho_files(seed: int, _: Path) -> None:
    whole = (test_macho.FULL, FAT)[seed % 2]
    data = damaged(whole, seed, [[at for at, value in enumerate(whole) if value]])
    read_macho(data)
    signature_faults(data)


@attack("PE files", range(500), refused=100)
def test_pe_files(seed: int, _: Path) -> None:
    # Mostly where something is: the headers' end and the section's are empty.
    read_pe(damaged(test_pe.FULL, seed, (range(0x1A0), range(len(test_pe.FULL)))))


@attack("wheels, flipped and cut", range(300), refused=200)
def test_wheels(seed: int, folder: Path) -> None:
    tree = make_tree(folder / "tree", {"pkg/a": noise(4000), "pkg/b": b"b" * 300})
    path = write_wheel(tree, folder, filename=FILENAME).path
    path.write_bytes(damaged(path.read_bytes(), seed))
    read_wheel(path)

"""For which system a file is compiled."""

from pathlib import Path

import pytest

from geowheel.binary.formats import strangers, system_of
from geowheel.targets import Platform, System

ELF = b"\x7fELF" + bytes(60)
MACHO = b"\xcf\xfa\xed\xfe" + bytes(60)
PE = b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0"


@pytest.mark.parametrize(
    ("data", "system"),
    [(ELF, System.LINUX), (MACHO, System.MACOS), (PE, System.WINDOWS), (b"MZ text", None),
     (b"", None)],
)  # fmt: skip
def test_a_file_says_how_it_begins(tmp_path: Path, data: bytes, system: System | None) -> None:
    (tmp_path / "file").write_bytes(data)
    assert system_of(tmp_path / "file") is system


@pytest.mark.parametrize("platform", list(Platform))
def test_only_binaries_of_another_system_are_strangers(tmp_path: Path, platform: Platform) -> None:
    for name, data in {"a.so": ELF, "b.dylib": MACHO, "c.dll": PE, "d.txt": b"text"}.items():
        (tmp_path / "pkg").mkdir(exist_ok=True)
        (tmp_path / "pkg" / name).write_bytes(data)
    own = {System.LINUX: "a.so", System.MACOS: "b.dylib", System.WINDOWS: "c.dll"}
    found = {fault.where for fault in strangers(tmp_path, platform)}
    assert found == {f"pkg/{name}" for system, name in own.items() if system is not platform.system}

"""Mach-O files crafted byte by byte: what is read of them, and what damage does."""

import struct
from pathlib import Path

import pytest
from tests.support.macho_files import (
    ARM64,
    ID,
    LAZY,
    LOAD,
    REEXPORT,
    RPATH,
    UPWARD,
    WEAK,
    X86_64,
    build_version,
    make_fat,
    make_macho,
    path_command,
    version_min,
)

from geowheel.binary.macho import PathUse, is_macho, read_macho, read_machos, symbol_names
from geowheel.binary.macho_signature import signature_faults
from geowheel.errors import IntegrityError

FULL = make_macho(
    path_command(ID, "@rpath/libgdal.36.dylib"), path_command(LOAD, "@rpath/libproj.25.dylib"),
    path_command(WEAK, "@rpath/libmaybe.dylib"), path_command(REEXPORT, "@loader_path/libre.dylib"),
    path_command(UPWARD, "@rpath/libup.dylib"), path_command(LAZY, "@rpath/liblate.dylib"),
    path_command(LOAD, "/usr/lib/libSystem.B.dylib"), path_command(RPATH, "@loader_path/"),
    path_command(RPATH, "/opt/build/lib"), build_version((13, 3, 1)),
    symbols=(("_PyLong_FromLong", 0x01), ("_PyInit__gdal", 0x0F), ("__ZN4hidden", 0x1F),
             ("_static", 0x0E), ("a stab", 0x24)),
)  # fmt: skip


def test_everything_is_read(tmp_path: Path) -> None:
    macho = read_macho(FULL)
    (part,) = macho.slices
    assert (macho.architectures, part.file_type) == (("arm64",), "dylib")
    assert macho.install_names == ("@rpath/libgdal.36.dylib",)
    assert macho.needed == (
        "@rpath/libproj.25.dylib", "@loader_path/libre.dylib", "@rpath/libup.dylib",
        "@rpath/liblate.dylib", "/usr/lib/libSystem.B.dylib",
    )  # fmt: skip
    assert macho.weak == ("@rpath/libmaybe.dylib",)
    assert set(macho.libraries) == {*macho.needed, *macho.weak}
    assert macho.rpaths == ("@loader_path/", "/opt/build/lib")
    assert (part.platform, part.minimum) == ("macOS", (13, 3, 1))
    assert macho.minimum("arm64") == (13, 3, 1)
    assert macho.minimum("x86_64") is None
    proj = next(command for command in part.libraries if "proj" in command.path)
    assert proj.kind is PathUse.LOAD
    assert part.header_room == 64
    assert macho.leftovers == ()
    assert signature_faults(FULL) == ()
    (tmp_path / "_gdal.so").write_bytes(FULL)
    assert [*map(set, symbol_names(tmp_path / "_gdal.so"))] == [
        {"PyLong_FromLong"}, {"PyInit__gdal"},
    ]  # fmt: skip


def test_a_fat_file_has_a_value_for_each_architecture() -> None:
    intel = make_macho(path_command(LOAD, "@rpath/liba.dylib"), version_min((10, 15, 0)),
                       machine=X86_64)  # fmt: skip
    arm = make_macho(path_command(WEAK, "@rpath/liba.dylib"), build_version((11, 0, 0)))
    data = make_fat((X86_64, intel), (ARM64, arm))
    macho = read_macho(data)
    assert macho.architectures == ("x86_64", "arm64")
    assert (macho.minimum("x86_64"), macho.minimum("arm64")) == ((10, 15, 0), (11, 0, 0))
    # What one slice insists on has to be there.
    assert (macho.needed, macho.weak) == (("@rpath/liba.dylib",), ())
    assert signature_faults(data) == ()
    data = make_macho().replace(b"__TEXT".ljust(16, b"\0"), b"__DWARF".ljust(16, b"\0"))
    assert read_macho(data).leftovers == ("__DWARF",)
    macho = read_macho(make_macho(version_min((10, 13, 0)), machine=X86_64))
    assert macho.minimum("x86_64") == (10, 13, 0)
    assert macho.slices[0].platform == "macOS"
    (name,) = read_macho(make_macho(machine=(18, 10))).architectures
    assert name == "CPU type 18, subtype 10"
    assert read_macho(make_macho(machine=(0x0100000C, 0x80000002))).architectures == ("arm64e",)
    for at in (16, 20):  # ncmds, sizeofcmds
        with pytest.raises(IntegrityError):
            read_macho(FULL[:at] + b"\xff\xff\xff\x7f" + FULL[at + 4 :])


def test_what_is_a_macho_file(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.so").write_bytes(FULL)
    (tmp_path / "a.dylib").write_bytes(make_fat((ARM64, make_macho())))
    (tmp_path / "link.so").symlink_to("a.dylib")
    (tmp_path / "Main.class").write_bytes(b"\xca\xfe\xba\xbe\0\0\0\x34" + bytes(64))
    (tmp_path / "short").write_bytes(b"\xca\xfe\xba\xbe")
    (tmp_path / "text.py").write_text("MachO")
    assert list(read_machos(tmp_path)) == ["a.dylib", "b/two.so"]
    assert not is_macho(tmp_path)


@pytest.mark.parametrize(
    "data", [b"", FULL[:4], b"PK\3\4", FULL[:200], FULL[:-1], b"\xca\xfe\xba\xbe" + bytes(40)]
)
def test_what_is_no_macho_is_named(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "libbroken.dylib"
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="libbroken") as caught:
        read_macho(path)
    assert caught.value.faults[0].fix


def test_a_damaged_signature_is_a_fault() -> None:
    changed = bytearray(FULL)
    changed[FULL.index(b"codecode") + 1000] ^= 1
    (fault,) = signature_faults(bytes(changed), name="libgdal.dylib")
    assert (fault.where, fault.what) == (
        "libgdal.dylib", "arm64: 1 of 1 pages differ from what was signed",
    )  # fmt: skip
    changed = bytearray(make_macho(code=b"c" * 20000))
    changed[10000] ^= 1
    assert "1 of 5 pages differ" in signature_faults(bytes(changed))[0].what
    (fault,) = signature_faults(make_macho(signed=False))
    assert "arm64: it has no signature" in fault.what
    at = FULL.index(b"\xfa\xde\x0c\x02") + 32  # codeLimit
    (limit,) = struct.unpack_from(">I", FULL, at)
    data = FULL[:at] + struct.pack(">I", limit - 16) + FULL[at + 4 :]
    assert f"is for {limit - 16} bytes, not for {limit}" in signature_faults(data)[0].what

"""PE files crafted byte by byte."""

import struct
from pathlib import Path

import pytest

from geowheel.binary.pe import function_names, is_pe, read_pe, read_pes
from geowheel.errors import IntegrityError

AMD64, ARM64, I386 = 0x8664, 0xAA64, 0x14C
HIGH_ENTROPY, DYNAMIC_BASE, NX, GUARD = 0x20, 0x40, 0x100, 0x4000
DATA = 0x1000  # address of the one section
NT = 0x80  # offset of the PE header
HEADERS = 0x400


class Data:
    """The section's content, which grows."""

    def __init__(self) -> None:
        self.bytes = b""

    def add(self, data: bytes) -> int:
        """Its address."""
        address = DATA + len(self.bytes)
        self.bytes += data
        return address

    def text(self, text: str) -> int:
        return self.add(text.encode() + b"\0")


def make_pe(
    *,
    imports: tuple[str, ...] = (),
    delayed: tuple[str, ...] = (),
    flags: int = HIGH_ENTROPY | DYNAMIC_BASE | NX,
    machine: int = AMD64,
    section: bytes = b".rdata",
    symbols: int = 0,
    functions: tuple[str, ...] = (),
    exports: tuple[str, ...] = (),
    bits: int = 64,
    end: bytes = bytes(20),
) -> bytes:
    """A DLL with these tables and nothing to run; `end` closes the import table.

    `functions` are of the first library.
    """
    data = Data()
    directories = [(0, 0)] * 16
    if exports:
        names = data.add(struct.pack(f"<{len(exports)}I", *map(data.text, exports)))
        directories[0] = (data.add(struct.pack("<24xI4xI4x", len(exports), names)), 40)
    if imports:
        rows = [struct.pack("<5I", 1, 0, 0, data.text(name), 1) for name in imports]
        hints = [data.add(b"\0\0" + name.encode() + b"\0") for name in functions]
        ordinal = 1 << 63  # for what is imported by its number
        lookup = data.add(struct.pack(f"<{len(hints) + 2}Q", *hints, ordinal, 0))
        rows = [struct.pack("<I", lookup) + packed[4:] for packed in rows]
        directories[1] = (data.add(b"".join(rows) + end), 20)
    if delayed:
        rows = [struct.pack("<8I", 1, data.text(name), *[1] * 6) for name in delayed]
        directories[13] = (data.add(b"".join(rows) + bytes(32)), 32)
    raw = data.bytes.ljust(-(-len(data.bytes) // 512) * 512 or 512, b"\0")
    wide = "Q" if bits == 64 else "I"
    optional = struct.pack(
        f"<HBBIIIII{'' if bits == 64 else 'I'}{wide}IIHHHHHHIIIIHH{wide * 4}II",
        0x20B if bits == 64 else 0x10B, 14, 44, 0, len(raw), 0, 0, DATA,
        *[] if bits == 64 else [0],
        0x180000000 if bits == 64 else 0x10000000,
        0x1000, 512, 6, 0, 0, 0, 6, 1, 0, 0x3000, HEADERS, 0, 2, flags, 0, 0, 0, 0, 0, 16,
    ) + b"".join(struct.pack("<II", *row) for row in directories)  # fmt: skip
    at = HEADERS + len(raw) if symbols else 0
    table = bytes(18 * symbols) + struct.pack("<I", 30) + b".debug_info\0" if symbols else b""
    header = struct.pack("<HHIIIHH", machine, 1, 0, at, symbols, len(optional), 0x2022)
    row = section.ljust(8, b"\0") + struct.pack(
        "<IIIIIIHHI", len(raw), DATA, len(raw), HEADERS, 0, 0, 0, 0, 0x40000040
    )
    dos = b"MZ" + bytes(58) + struct.pack("<I", NT)
    start = dos.ljust(NT, b"\0") + b"PE\0\0" + header + optional + row
    return start.ljust(HEADERS, b"\0") + raw + table


FULL = make_pe(
    imports=("gdal.dll", "KERNEL32.dll", "api-ms-win-crt-heap-l1-1-0.dll"),
    delayed=("dbghelp.dll",),
    flags=HIGH_ENTROPY | DYNAMIC_BASE | NX | GUARD,
    symbols=2,
    functions=("PyLong_FromLong", "GDALOpen"),
    exports=("PyInit__gdal", "helper"),
    section=b"/4",
)


def test_everything_is_read(tmp_path: Path) -> None:
    pe = read_pe(FULL)
    assert (pe.machine, pe.architectures) == ("IMAGE_FILE_MACHINE_AMD64", ("amd64",))
    assert pe.needed == ("gdal.dll", "KERNEL32.dll", "api-ms-win-crt-heap-l1-1-0.dll")
    assert pe.delayed == ("dbghelp.dll",)
    assert (pe.nx, pe.dynamic_base, pe.high_entropy, pe.control_flow_guard) == (True,) * 4
    assert (pe.symbols, pe.debug) == (True, True)
    assert pe.leftovers == (".debug_*", "COFF symbols")
    (tmp_path / "_gdal.pyd").write_bytes(FULL)
    taken, given = function_names(tmp_path / "_gdal.pyd")
    assert (*sorted(taken), *sorted(given)) == (
        "GDALOpen", "PyLong_FromLong", "PyInit__gdal", "helper",
    )  # fmt: skip
    pe = read_pe(make_pe(flags=0))
    assert (pe.needed, pe.delayed, pe.leftovers) == ((), (), ())
    assert not (pe.nx or pe.dynamic_base or pe.high_entropy or pe.control_flow_guard)
    pe = read_pe(make_pe(machine=I386, bits=32, imports=("kernel32.dll",)))
    assert pe.needed == ("kernel32.dll",)


@pytest.mark.parametrize(
    ("machine", "architecture"),
    [(AMD64, "amd64"), (ARM64, "arm64"), (I386, "x86"), (0x1234, "machine 0x1234")],
)  # fmt: skip
def test_machines_are_named_as_platforms_are_where_one_is(machine: int, architecture: str) -> None:
    assert read_pe(make_pe(machine=machine)).architectures == (architecture,)


def test_a_tree_is_read_in_order_without_links_and_other_files(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.pyd").write_bytes(FULL)
    (tmp_path / "a.DLL").write_bytes(make_pe())
    (tmp_path / "program").write_bytes(make_pe())
    (tmp_path / "link.dll").symlink_to("a.DLL")
    (tmp_path / "text.py").write_text("MZ" + " " * 80)
    assert list(read_pes(tmp_path)) == ["a.DLL", "b/two.pyd", "program"]
    assert not is_pe(tmp_path / "text.py")
    assert not is_pe(tmp_path / "b")
    (tmp_path / "gdal.dll").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(IntegrityError, match=r"gdal\.dll: damaged or no PE file"):
        read_pes(tmp_path)


@pytest.mark.parametrize(
    "data", [b"", b"MZ", b"PK\3\4", FULL[:100], FULL[:300], FULL[: HEADERS + 511], make_pe()[:-1]]
)
def test_what_is_no_pe_is_named(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.dll"
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="broken") as caught:
        read_pe(path)
    assert caught.value.faults[0].fix
    with pytest.raises(IntegrityError, match="a name of its own"):
        read_pe(data, name="a name of its own")


@pytest.mark.parametrize("name", ["", "..\\evil.dll", "C:x.dll", "gdal\x01.dll", "gdäl.dll", "*"])
def test_a_name_that_no_library_has_is_damage(name: str) -> None:
    with pytest.raises(IntegrityError):
        read_pe(make_pe(imports=(name,)))


def test_a_table_without_an_end_is_refused_soon() -> None:
    """One record again and again, as far as anybody would read."""
    name = struct.pack("<5I", 1, 0, 0, DATA, 1)
    endless = make_pe(imports=("a.dll",), end=name * 2_000_000)
    with pytest.raises(IntegrityError, match="does not end"):
        read_pe(endless)

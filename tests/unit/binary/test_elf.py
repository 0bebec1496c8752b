"""ELF files crafted byte by byte, and one of the running interpreter's."""

import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from geowheel.binary.elf import Relro, read_elf, read_elves
from geowheel.binary.floor import floor
from geowheel.errors import IntegrityError

PT_LOAD, PT_DYNAMIC, PT_NOTE, PT_GNU_STACK, PT_GNU_RELRO = 1, 2, 4, 0x6474E551, 0x6474E552
DT_NEEDED, DT_STRTAB, DT_SONAME, DT_RPATH, DT_RUNPATH = 1, 5, 14, 15, 29
DT_BIND_NOW, DT_FLAGS, DT_RELR, DT_FLAGS_1 = 24, 30, 36, 0x6FFFFFFB
SHT_PROGBITS, SHT_STRTAB, SHT_DYNAMIC, SHT_VERNEED = 1, 3, 6, 0x6FFFFFFE


class Strings:
    """A string table that grows."""

    def __init__(self) -> None:
        self.data = b"\0"

    def add(self, text: str) -> int:
        offset = len(self.data)
        self.data += text.encode() + b"\0"
        return offset


def make_elf(
    *,
    tags: tuple[tuple[int, str | int], ...] = (),
    versions: Mapping[str, tuple[str, ...]] | None = None,
    segments: tuple[tuple[int, int], ...] = (),
    sections: tuple[str, ...] = (),
    machine: int = 62,
    notes: bytes = b"",
) -> bytes:
    """A 64-bit little-endian shared library with this dynamic section and nothing to run.

    `notes` are those of a segment PT_NOTE.
    """
    strings = Strings()
    verneed = make_verneed(versions or {}, strings)
    entries = [(tag, strings.add(v) if isinstance(v, str) else v) for tag, v in tags]
    header_end = 64 + 56 * (2 + len(segments))
    strings_at, verneed_at = header_end, header_end + len(strings.data)
    dynamic_at = verneed_at + len(verneed)
    entries += [(DT_STRTAB, strings_at), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in entries)
    names = Strings()
    names_at = dynamic_at + len(dynamic)
    table = [
        (names.add(".dynstr"), SHT_STRTAB, strings_at, len(strings.data), 0, 0),
        (names.add(".dynamic"), SHT_DYNAMIC, dynamic_at, len(dynamic), 1, 0),
        (
            names.add(".gnu.version_r"),
            SHT_VERNEED,
            verneed_at,
            len(verneed),
            1,
            len(versions or {}),
        ),
        *((names.add(name), SHT_PROGBITS, names_at, 0, 0, 0) for name in sections),
    ]
    own = names.add(".shstrtab")
    table.append((own, SHT_STRTAB, names_at, len(names.data), 0, 0))
    sections_at = names_at + len(names.data)
    count = len(table) + 1
    header = b"\x7fELF\2\1\1" + bytes(9) + struct.pack(
        "<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, sections_at, 0, 64, 56, 2 + len(segments),
        64, count, count - 1,
    )  # fmt: skip
    size = sections_at + 64 * count
    programs = [
        struct.pack("<IIQQQQQQ", PT_LOAD, 5, 0, 0, 0, size, size, 4096),
        struct.pack("<IIQQQQQQ", PT_DYNAMIC, 6, dynamic_at, dynamic_at, 0, len(dynamic), 0, 8),
        *(
            struct.pack("<IIQQQQQQ", kind, flags, size, 0, 0, len(notes) * (kind == PT_NOTE), 0, 8)
            for kind, flags in segments
        ),
    ]
    rows = [
        struct.pack("<IIQQQQIIQQ", name, kind, 0, offset, offset, length, link, info, 1, 0)
        for name, kind, offset, length, link, info in table
    ]
    parts = [header, *programs, strings.data, verneed, dynamic, names.data, bytes(64), *rows, notes]
    return b"".join(parts)


def make_verneed(versions: Mapping[str, tuple[str, ...]], strings: Strings) -> bytes:
    data = b""
    for library, names in versions.items():
        data += struct.pack("<HHIII", 1, len(names), strings.add(library), 16, 16 + 16 * len(names))
        for name in names:
            data += struct.pack("<IHHII", 0, 0, 2, strings.add(name), 16)
    return data


FULL = make_elf(
    tags=(
        (DT_NEEDED, "libgdal.so.32"),
        (DT_NEEDED, "libc.so.6"),
        (DT_SONAME, "libpart.so.1"),
        (DT_RUNPATH, "$ORIGIN/../GDAL.libs:/opt/python/lib"),
        (DT_FLAGS, 8),
    ),
    versions={"libm.so.6": ("GLIBC_2.35",), "libc.so.6": ("GLIBC_2.34", "GLIBC_2.2.5")},
    segments=((PT_GNU_STACK, 6), (PT_GNU_RELRO, 4)),
    sections=(".symtab", ".debug_info"),
)


def test_everything_is_read() -> None:
    elf = read_elf(FULL)
    assert elf.machine == "EM_X86_64"
    assert elf.bits == 64
    assert elf.soname == "libpart.so.1"
    assert elf.needed == ("libgdal.so.32", "libc.so.6")
    assert elf.rpath == ()
    assert elf.runpath == ("$ORIGIN/../GDAL.libs", "/opt/python/lib")
    assert elf.versions == {
        "libc.so.6": ("GLIBC_2.2.5", "GLIBC_2.34"),
        "libm.so.6": ("GLIBC_2.35",),
    }
    assert (elf.bind_now, elf.relro, elf.executable_stack) == (True, Relro.FULL, False)
    assert (elf.symbols, elf.debug) == (True, True)


def test_a_plain_library_has_nothing_special() -> None:
    elf = read_elf(make_elf())
    assert (elf.soname, elf.needed, elf.search_path, elf.versions) == (None, (), (), {})
    assert (elf.bind_now, elf.relro, elf.executable_stack) == (False, Relro.NONE, True)
    assert (elf.symbols, elf.debug) == (False, False)
    assert read_elf(make_elf(segments=((PT_GNU_RELRO, 4),))).relro is Relro.PARTIAL
    elf = read_elf(make_elf(tags=((DT_RELR, 0),)))
    assert [str(need) for need in floor({"a.so": elf})] == ["GLIBC_2.36"]
    both = read_elf(make_elf(tags=((DT_RPATH, "/a"), (DT_RUNPATH, "/b"))))
    assert (both.rpath, both.runpath, both.search_path) == (("/a",), ("/b",), ("/b",))
    assert replace(both, runpath=()).search_path == ("/a",)


def note(*properties: tuple[int, int], name: bytes = b"GNU\0", kind: int = 5) -> bytes:
    rows = b"".join(struct.pack("<IIII", each, 4, value, 0) for each, value in properties)
    return struct.pack("<III", len(name), len(rows), kind) + name + rows


NEEDED, USED, BTI, PAUTH = 0xC0008002, 0xC0010002, 0xC0000000, 0xC0000001


@pytest.mark.parametrize(
    ("machine", "notes", "cpu", "used"),
    [
        (62, b"", "", ""),
        (62, note((NEEDED, 1)), "x86-64", ""),
        (62, note((NEEDED, 2), (USED, 15)), "x86-64-v2", "x86-64-v4"),
        (62, note((NEEDED, 7)), "x86-64-v3", ""),
        (62, note(name=b"stapsdt\0", kind=3) + bytes(4) + note((NEEDED, 1 << 5)), "x86-64-v4", ""),
        (62, note((NEEDED, 4), kind=1) + note((NEEDED, 4), name=b"FDO\0", kind=4), "", ""),
        (62, note((NEEDED, 4))[:20], "", ""),  # cut off
        (62, b"\xff" * 64, "", ""),
        (183, note((BTI, 3)), "", ""),
        (183, note((BTI, 3), (PAUTH, 0)), "armv8.3-a", ""),
    ],
)
def test_notes_say_which_processors(machine: int, notes: bytes, cpu: str, used: str) -> None:
    elf = read_elf(make_elf(segments=((PT_NOTE, 4),), machine=machine, notes=notes))
    assert (elf.cpu, elf.cpu_used) == (cpu, used)


@pytest.mark.parametrize(("flags", "asks"), [(6, False), (7, True)])
def test_a_stack_says_whether_code_may_run_on_it(flags: int, *, asks: bool) -> None:
    assert read_elf(make_elf(segments=((PT_GNU_STACK, flags),))).executable_stack is asks


@pytest.mark.parametrize("tag", [(DT_BIND_NOW, 0), (DT_FLAGS, 8), (DT_FLAGS_1, 1)])
def test_each_way_to_say_bind_now(tag: tuple[int, int]) -> None:
    assert read_elf(make_elf(tags=(tag,))).bind_now


@pytest.mark.parametrize("tag", [(DT_FLAGS, 2), (DT_FLAGS_1, 8)])
def test_other_flags_are_not_bind_now(tag: tuple[int, int]) -> None:
    assert not read_elf(make_elf(tags=(tag,))).bind_now


def test_a_tree_is_read_in_order_without_links_and_other_files(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.so").write_bytes(FULL)
    (tmp_path / "a.so").write_bytes(make_elf())
    (tmp_path / "link.so").symlink_to("a.so")
    (tmp_path / "text.py").write_text("ELF")
    assert list(read_elves(tmp_path)) == ["a.so", "b/two.so"]


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"PK\3\4", FULL[:100], FULL[:-1]])
def test_what_is_no_elf_is_named(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "libbroken.so"
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="libbroken") as caught:
        read_elf(path)
    assert caught.value.faults[0].fix


def test_verneed_that_never_ends_is_refused() -> None:
    damaged = bytearray(FULL)
    at = FULL.rindex(struct.pack("<II", 1, 2))  # sh_link and sh_info of .gnu.version_r
    damaged[at + 4 : at + 8] = struct.pack("<I", 0xFFFFFFFF)
    with pytest.raises(IntegrityError):
        read_elf(bytes(damaged))

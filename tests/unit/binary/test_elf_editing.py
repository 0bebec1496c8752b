"""DT_GNU_HASH as it is made, read back as ld.so does it."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from geowheel.binary.elf_editing import elf_hash, gnu_hash, hash_table

FIRST = 3


def places(table: bytes, value: int) -> list[int]:
    """The symbols that ld.so would look at for a hash (glibc, elf/dl-lookup.c)."""
    buckets, first, words, shift = struct.unpack_from("<4I", table)
    bloom = struct.unpack_from(f"<{words}Q", table, 16)[value // 64 % words]
    if not (bloom >> (value % 64) & 1 and bloom >> ((value >> shift) % 64) & 1):
        return []
    chain = 16 + 8 * words + 4 * buckets
    (at,) = struct.unpack_from("<I", table, 16 + 8 * words + 4 * (value % buckets))
    found, end = [], at == 0
    while not end:
        (known,) = struct.unpack_from("<I", table, chain + 4 * (at - first))
        found += [at] if known | 1 == value | 1 else []
        at, end = at + 1, bool(known & 1)
    return found


@given(
    st.lists(st.binary(min_size=1, max_size=9), unique=True),
    st.binary(max_size=9),
    st.integers(1, 40),
)
def test_each_name_is_found_at_its_place(names: list[bytes], other: bytes, buckets: int) -> None:
    hashes = sorted(map(gnu_hash, names), key=lambda value: value % buckets)
    table = hash_table(hashes, buckets, FIRST)
    for at, value in enumerate(hashes, FIRST):
        assert at in places(table, value)
    if gnu_hash(other) | 1 not in {value | 1 for value in hashes}:
        assert places(table, gnu_hash(other)) == []


def test_names_have_the_hashes_of_the_specification() -> None:
    known = {"": 0x1505, "printf": 0x156B2BB8, "exit": 0x7C967E3F, "syscall": 0xBAC212A0}
    assert {name: gnu_hash(name.encode()) for name in known} == known


def test_versions_have_the_hashes_of_the_specification() -> None:
    known = {"": 0, "GLIBC_2.2.5": 0x09691A75, "GLIBC_2.34": 0x069691B4}
    assert {name: elf_hash(name.encode()) for name in known} == known

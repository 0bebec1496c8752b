"""The table of lowering, and which of its rows a floor takes."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from geowheel.systems.lowering import Lowering, rows

OLD = ("GLIBC_2.2.5", "GLIBC_2.17", "GLIBC_2.25", "GLIBC_2.28")


def lowering(*known: str, architecture: str = "x86_64") -> Lowering:
    return Lowering(
        policy="manylinux_2_28_x86_64", architecture=architecture, families=("GLIBC",),
        known=frozenset(known),
    )  # fmt: skip


def test_each_row_says_why_and_by_whom_and_the_shim_defines_what_it_promises() -> None:
    assert all(row.why and row.versions and row.source.startswith("https://") for row in rows())
    source = files("geowheel.systems").joinpath("lowering_shim.c").read_text(encoding="utf-8")
    defined = re.findall(r"^(?:FLOOR\([^,]+, |REPLACE_COLD\()(\w+)", source, re.MULTILINE)
    defined += [f"{n}C1Ev" for n in re.findall(r"^EMPTY_STREAM\((\w+)", source, re.MULTILINE)]
    promised = [symbol for row in rows() for symbol in (*row.shim, *row.zero)]
    assert sorted(promised) == sorted(set(defined) - {"name"})


@pytest.mark.parametrize(
    ("symbol", "version", "floor", "taken"),
    [
        ("pthread_create", "GLIBC_2.34", lowering(*OLD), ("pthread_create", "GLIBC_2.2.5")),
        ("pthread_create", "GLIBC_2.34", lowering(*OLD, architecture="aarch64"),
         ("pthread_create", "GLIBC_2.17")),
        ("thrd_exit", "GLIBC_2.34", lowering(*OLD, architecture="aarch64"),
         ("thrd_exit", "GLIBC_2.28")),
        ("dn_expand", "GLIBC_2.34", lowering(*OLD), ("__dn_expand", "GLIBC_2.2.5")),
        ("pthread_cond_clockwait", "GLIBC_2.34", lowering(*OLD),
         ("geowheel_floor_pthread_cond_clockwait", "")),
        ("pthread_cond_clockwait", "GLIBC_2.34", lowering(*OLD, "GLIBC_2.30"),
         ("pthread_cond_clockwait", "GLIBC_2.30")),
        ("pthread_cond_clockwait", "GLIBC_2.34", lowering("GLIBC_2.2.5"), None),
        ("pthread_create", "GLIBC_2.99", lowering(*OLD), None),
        ("unheard_of", "GLIBC_2.34", lowering(*OLD), None),
    ],
)  # fmt: skip
def test_the_floor_decides_which_row_is_taken(
    symbol: str, version: str, floor: Lowering, taken: tuple[str, str] | None
) -> None:
    way = floor.way(symbol, version)
    assert (way and (way.name, way.version)) == taken

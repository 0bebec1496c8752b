"""The table of lowering, and which of its rows a floor takes."""

import re
from importlib.resources import files

import pytest

from geowheel.systems.lowering import Lowering, rows


def lowering(*known: str, architecture: str = "x86_64") -> Lowering:
    policy = f"manylinux_2_28_{architecture}"
    return Lowering(policy=policy, known={"GLIBC": frozenset(known)}, shim="a.libs/shim.so")


def test_each_row_says_why_and_by_whom_and_the_shim_defines_what_it_promises() -> None:
    every = rows().values()
    assert all(row.why and row.versions and row.source.startswith("https://") for row in every)
    source = files("geowheel.systems").joinpath("lowering_shim.c").read_text(encoding="utf-8")
    defined = set(re.findall(r"^FLOOR\([^,]+, (\w+)\)", source, re.MULTILINE))
    kinds = re.findall(r"^STREAM\((\w+),", source, re.MULTILINE)
    defined |= {f"_ZNSt7__cxx11{kind}IcSt11char_traitsIcESaIcEEC1Ev" for kind in kinds}
    defined |= {
        f"_ZGVnN{count}v_{name}"
        for count, name in re.findall(r"^VECTOR\(\w+, (\d), \w+, (\w+)\)", source, re.MULTILINE)
    }
    promised = [text for row in every for text in f"{row.shim} {row.zero}".split()]
    assert defined == {text.rpartition("=")[2] for text in promised}


@pytest.mark.parametrize(
    ("symbol", "version", "floor", "taken"),
    [
        ("pthread_create", "GLIBC_2.34", lowering("2.2.5"), ("pthread_create", "GLIBC_2.2.5")),
        ("pthread_create", "GLIBC_2.34", lowering("2.17", architecture="aarch64"),
         ("pthread_create", "GLIBC_2.17")),
        ("thrd_exit", "GLIBC_2.34", lowering("2.17", "2.28", architecture="aarch64"),
         ("thrd_exit", "GLIBC_2.28")),
        ("res_query", "GLIBC_2.34", lowering("2.2.5"), ("__res_query", "GLIBC_2.2.5")),
        ("stat64", "GLIBC_2.33", lowering("2.2.5"), ("geowheel_floor_stat", "")),
        ("sem_clockwait", "GLIBC_2.34", lowering("2.2.5"), ("geowheel_floor_sem_clockwait", "")),
        ("sem_clockwait", "GLIBC_2.34", lowering("2.2.5", "2.30"),
         ("sem_clockwait", "GLIBC_2.30")),
        ("pthread_create", "GLIBC_2.99", lowering("2.2.5"), None),
        ("unheard_of", "GLIBC_2.34", lowering("2.2.5"), None),
        ("_ZGVnN2v_cos", "GLIBC_2.38", lowering("2.17", architecture="aarch64"),
         ("geowheel_floor__ZGVnN2v_cos", "")),
        ("_ZGVnN2v_cos", "GLIBC_2.38", lowering("2.2.5"), None),
    ],
)  # fmt: skip
def test_the_floor_decides_whether_a_row_is_taken(
    symbol: str, version: str, floor: Lowering, taken: tuple[str, str] | None
) -> None:
    way = floor.way(symbol, version)
    assert (way and (way.name, way.version)) == taken

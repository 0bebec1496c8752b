"""Which wheel pip picks where, and why none: from names and a table, on no real system."""

import datetime
import json
import re
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging import _manylinux, _musllinux
from packaging import tags as packaging_tags
from packaging.version import Version
from tests.support.hosts import make_console, make_project

from geowheel.cli import main
from geowheel.errors import UsageError
from geowheel.release.coverage.obstacles import HindranceKind
from geowheel.release.coverage.table import Coverage, coverage, names_of, plain, show, summary
from geowheel.release.coverage.wheel_names import needs, parse_names
from geowheel.wheel.tags import python_tags
from geowheel.wheel.user_systems import (
    Base,
    Family,
    UserPython,
    UserSystem,
    load_user_systems,
    parse_base,
    platforms,
)

TABLE = load_user_systems()
TODAY = datetime.date(2026, 11, 21)


def system(
    base: str, *, pip: str = "26.1", python: str = "3.12", arch: str = "x86_64"
) -> UserSystem:
    return UserSystem(
        name=f"a system with {base}", group="ours", base=parse_base(base), architectures=(arch,),
        interpreters=(UserPython(python=python, pip=pip),), end_of_life=None, source="a test",
    )  # fmt: skip


def outcome(names: list[str], *systems: UserSystem) -> Coverage:
    (row,) = coverage(names, replace(TABLE, systems=systems))
    return row


def gdal(python: str, platform: str, version: str = "3.12.1") -> str:
    return f"gdal-{version}-cp{python}-cp{python}-{platform}.whl"


@pytest.mark.parametrize("row", TABLE.systems, ids=lambda row: row.name)
def test_each_row_says_where_it_was_read_and_has_what_it_needs(row: UserSystem) -> None:
    assert len(row.source) > 20
    assert row.architectures
    assert row.interpreters
    for interpreter in row.interpreters:
        assert re.fullmatch(r"3\.\d+", interpreter.python)
        assert not interpreter.pip or Version(interpreter.pip) >= Version("9")


def test_systems_are_found_by_a_part_of_their_name() -> None:
    found = [s.name for s in TABLE.named(["DEBIAN 1", "ubi"]).systems]
    assert found[:3] == ["Debian 11", "Debian 12", "Debian 13"]
    assert any("UBI" in name for name in found)
    assert TABLE.named([]) == TABLE
    with pytest.raises(UsageError, match="no system has 'beos'"):
        TABLE.named(["debian", "beos"])


@given(
    version=st.tuples(st.just(2), st.integers(5, 60)),
    architecture=st.sampled_from(["x86_64", "i686", "aarch64", "ppc64le"]),
)
def test_manylinux_is_as_packaging_counts(version: tuple[int, int], architecture: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_manylinux, "_get_glibc_version", lambda: version)
        patch.setattr(_manylinux, "_have_compatible_abi", lambda *_: True)
        expected = list(_manylinux.platform_tags([architecture]))
    found = platforms(Base(family=Family.GLIBC, version=version), architecture)
    assert list(found) == [f"linux_{architecture}", *expected]


@given(minor=st.integers(0, 9))
def test_musllinux_platforms_are_those_that_packaging_counts(minor: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        version = _musllinux._MuslVersion(1, minor)
        patch.setattr(_musllinux, "_get_musl_version", lambda _: version)
        expected = list(_musllinux.platform_tags(["aarch64"]))
    found = platforms(Base(family=Family.MUSL, version=(1, minor)), "aarch64")
    assert list(found) == ["linux_aarch64", *expected]


def test_the_tags_of_this_interpreter_are_those_of_packaging() -> None:
    own = packaging_tags.interpreter_version()
    python = f"{own[0]}.{own[1:]}"
    names = list(dict.fromkeys(t.platform for t in packaging_tags.sys_tags()))
    names.remove("any")
    assert list(python_tags(python, names)) == list(packaging_tags.sys_tags())


def test_no_function_of_the_running_machine_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse = Mock(side_effect=AssertionError("asked the running interpreter"))
    for name in ("_cpython_abis", "interpreter_version", "interpreter_name", "platform_tags"):
        monkeypatch.setattr(packaging_tags, name, refuse)
    monkeypatch.setattr("platform.mac_ver", refuse)
    assert len(coverage([gdal("312", "manylinux_2_28_x86_64")], TABLE)) >= 200


def test_a_name_with_several_tags_counts_by_its_best() -> None:
    row = outcome(
        [gdal("312", "manylinux_2_28_x86_64"), gdal("313", "manylinux_2_28_x86_64")],
        system("glibc 2.36", python="3.13"),
    )
    assert row.wheel == gdal("313", "manylinux_2_28_x86_64")
    assert row.platform == "manylinux_2_28_x86_64"
    assert row.reasons == ()
    name = gdal("312", "manylinux_2_17_x86_64.manylinux2014_x86_64.manylinux_2_28_x86_64")
    assert outcome([name], system("glibc 2.36")).platform == "manylinux_2_28_x86_64"
    assert outcome([name], system("glibc 2.17")).platform == "manylinux_2_17_x86_64"
    assert outcome([name], system("glibc 2.17", pip="19.3")).platform == "manylinux2014_x86_64"
    rows = coverage(["geowheel-1.0-py3-none-any.whl"], TABLE)
    assert {row.wheel for row in rows} == {"geowheel-1.0-py3-none-any.whl"}


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (gdal("312", "manylinux_2_36_x86_64", "3.11.0"), gdal("312", "manylinux_2_28_x86_64")),
        (gdal("312", "manylinux_2_28_x86_64"), gdal("312", "manylinux_2_36_x86_64")),
        (gdal("312", "manylinux_2_36_x86_64", "3.13.0rc1"), gdal("312", "manylinux_2_28_x86_64")),
        (gdal("312", "manylinux_2_28_x86_64", "3.12.1-2"),
         gdal("312", "manylinux_2_28_x86_64", "3.12.1-10")),
        ("gdal-3.12.1-cp39-abi3-manylinux_2_28_x86_64.whl", gdal("312", "manylinux_2_17_x86_64")),
        ("gdal-3.12.1-py3-none-any.whl", gdal("312", "manylinux1_x86_64")),
    ],
    ids=["version", "platform", "final", "build", "own-abi", "pure"],
)  # fmt: skip
def test_of_two_that_match_pip_takes_one(worse: str, better: str) -> None:
    assert outcome([worse, better], system("glibc 2.36")).wheel == better
    assert outcome([worse], system("glibc 2.36")).wheel == worse


def test_paths_and_urls_are_taken_by_their_last_part() -> None:
    name = gdal("312", "win_amd64")
    spelled = [name, f"/a/dist/{name}", rf"C:\dist\{name}", f"https://a.invalid/simple/{name}"]
    assert [wheel.file for wheel in parse_names(spelled)] == [name]
    with pytest.raises(UsageError) as caught:
        coverage(["gdal-3.12.1.tar.gz", gdal("312", "win_amd64"), "b.whl"], TABLE)
    assert len(caught.value.faults) == 2
    names = [gdal("312", "win_amd64"), "Terrain_Tools-1-cp312-cp312-manylinux_2_28_x86_64.whl"]
    rows = coverage(names, replace(TABLE, systems=(system("glibc 2.36"),)))
    assert [(row.project, row.wheel) for row in rows] == [
        ("gdal", None), ("terrain-tools", names[1])
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "where", "expected", "text", "fix"),
    [
        ([gdal("312", "manylinux_2_36_x86_64")], system("glibc 2.31"), [HindranceKind.TOO_OLD],
         "needs glibc 2.36, this system has 2.31", "floor] glibc"),
        ([gdal("312", "manylinux_2_28_x86_64")], system("musl 1.2"), [HindranceKind.MUSL],
         "musl", "slim"),
        ([gdal("312", "musllinux_1_2_x86_64")], system("musl 1.1"), [HindranceKind.TOO_OLD],
         "needs musl 1.2, this system has 1.1", "older musl"),
        ([gdal("312", "manylinux_2_28_x86_64")], system("glibc 2.36", arch="aarch64"),
         [HindranceKind.ARCHITECTURE], "no wheel for aarch64, only for x86_64", "geowheel matrix"),
        ([gdal("312", "manylinux_2_28_x86_64")], system("glibc 2.36", python="3.9"),
         [HindranceKind.PYTHON], "only for 3.12", "pythons"),
        (["gdal-3.13.3-cp311-abi3-manylinux_2_28_x86_64.whl"], system("glibc 2.36", python="3.9"),
         [HindranceKind.PYTHON], "only for 3.11 and newer", "pythons"),
        ([gdal("312", "manylinux_2_36_x86_64")], system("glibc 2.31", python="3.9"),
         [HindranceKind.PYTHON, HindranceKind.TOO_OLD], "no wheel for this Python", "pythons"),
        ([gdal("312", "manylinux_2_28_x86_64")], system("glibc 2.28", pip="20.2.4"),
         [HindranceKind.PIP], "pip 20.2.4 does not know manylinux_2_28", "'pip>=20.3'"),
        ([gdal("312", "manylinux_2_28_x86_64")], system("macOS 14.0", arch="arm64"),
         [HindranceKind.SYSTEM], "no wheel for macOS, only for Linux with glibc",
         "build for macOS"),
        ([gdal("312", "win32")], system("Windows", arch="amd64"), [HindranceKind.ARCHITECTURE],
         "no wheel for amd64, only for x86", "build for amd64"),
        ([gdal("312", "macosx_14_0_arm64")], system("macOS 13.0", arch="arm64"),
         [HindranceKind.TOO_OLD], "needs macOS 14.0, this system has 13.0", "floor] macos"),
        ([gdal("312", "macosx_11_0_arm64")], system("macOS 12.0", arch="arm64", pip="20.2"),
         [HindranceKind.PIP], "does not know macosx_11_0", "'pip>=20.3'"),
        ([gdal("312", "macosx_12_3_arm64")], system("macOS 13.0", arch="arm64"),
         [HindranceKind.TAG], "macosx_12_3_arm64", "platform that pip knows"),
    ],
)  # fmt: skip
def test_a_reason_and_what_to_do(
    names: list[str], where: UserSystem, expected: list[HindranceKind], text: str, fix: str
) -> None:
    row = outcome(names, where)
    assert row.wheel is None
    assert [reason.obstacle for reason in row.reasons] == expected
    assert text in row.reasons[0].what
    assert fix in row.reasons[0].fix


PLATFORMS = st.one_of(
    st.builds(
        "manylinux_2_{}_{}".format, st.integers(17, 45), st.sampled_from(["x86_64", "aarch64"])
    ),
    st.builds("musllinux_1_{}_x86_64".format, st.integers(1, 3)),
    st.builds("macosx_{}_0_{}".format, st.integers(10, 27), st.sampled_from(["x86_64", "arm64"])),
    st.sampled_from(
        ["manylinux2014_x86_64", "win_amd64", "win_arm64", "win32", "any", "linux_x86_64"]
    ),
)


@given(platform=PLATFORMS)
def test_what_a_tag_asks_for_is_what_the_system_of_that_name_accepts(platform: str) -> None:
    for base, architecture in needs(platform):
        old_arm = architecture == "arm64" and base.version < (11, 0)
        unversioned = base.version == (0, 0) or base == Base(family=Family.MACOS, version=(10, 0))
        if not (unversioned or (base.family is Family.MACOS and old_arm)):
            assert platform in platforms(base, architecture)


def test_an_ended_system_is_marked_by_the_day_that_is_given() -> None:
    debian = TABLE.named(["Debian 12"]).systems[0]
    (row,) = coverage(
        [gdal("311", "manylinux_2_28_x86_64")],
        replace(TABLE, systems=(replace(debian, architectures=("x86_64",)),)),
    )  # fmt: skip
    last = datetime.date(2026, 7, 11)
    assert row.end_of_life == last
    assert not row.ended(last)
    assert row.ended(last + datetime.timedelta(days=1))
    assert plain(row, last)["end_of_life"] == "2026-07-11"
    assert "1 of 1 systems in support" in summary([row], last)
    assert "0 of 0" in summary([row], TODAY)


def test_what_is_alike_is_a_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    names = [gdal(p, f"manylinux_2_28_{a}") for p in ("311", "312") for a in ("x86_64", "aarch64")]
    rows = coverage(names, TABLE.named(["Debian 13", "Rocky 8", "macOS 15"]))
    found = show(rows, TODAY, make_console(tmp_path))
    captured = capsys.readouterr()
    text = captured.out
    assert captured.err == ""
    assert text.count("\n  Debian 13  ") == text.count("Rocky 8") == 1
    first = text[text.index("Rocky 8") :].splitlines()
    assert "glibc 2.28" in first[0]
    assert first[1].split() == ["x86_64,", "aarch64", "3.12", "manylinux_2_28"]
    assert len(found["rows"]) == len(rows)
    json.dumps(found)


def test_the_wheels_of_the_host_are_taken_from_dist(tmp_path: Path) -> None:
    project = make_project(tmp_path, name="My.Host")
    with pytest.raises(UsageError, match=r"no wheel of My\.Host"):
        names_of(project)
    project.dist.mkdir()
    own = "my_host-1-cp312-cp312-manylinux_2_28_x86_64.whl"
    for name in (own, gdal("312", "win_amd64"), "my_host-1.tar.gz"):
        (project.dist / name).touch()
    assert names_of(project) == (own,)


def test_named_wheels_need_no_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = gdal("312", "manylinux_2_28_x86_64")
    options = ["--json", "--quiet", "--date", "2026-01-01", "--root"]
    arguments = ["coverage", name, *options, str(tmp_path)]
    assert main([*arguments, "--system", "ubuntu 24.04", "--system", "rocky 10"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["date"] == "2026-01-01"
    outcomes = {(r["system"][:6], r["architecture"]): r["wheel"] for r in found["rows"]}
    assert outcomes == {
        ("Ubuntu", "x86_64"): name, ("Ubuntu", "aarch64"): None,
        ("RHEL, ", "x86_64"): name, ("RHEL, ", "aarch64"): None,
    }  # fmt: skip
    assert {r["ended"] for r in found["rows"]} == {False}
    assert found["rows"][1]["reasons"][0]["obstacle"] == "architecture"
    assert main([*arguments, "--system", "beos"]) == 2

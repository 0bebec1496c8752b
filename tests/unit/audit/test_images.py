"""Which image fits a floor, and which images float."""

import datetime
from pathlib import Path

import pytest

from geowheel.audit.images import advise, base_images, floating
from geowheel.audit.registry import RULES, rule_named
from geowheel.audit.rules import weigh
from geowheel.errors import UsageError
from geowheel.project.config import AuditLevel, AuditPolicy
from geowheel.wheel.user_systems import load_user_systems
from tests.support.hosts import make_console

TODAY = datetime.date(2026, 11, 28)
DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("floor", "day", "architecture", "image"),
    [
        ("manylinux_2_28", TODAY, "x86_64", "manylinux_2_28_x86_64"),
        ("2.36", TODAY, "aarch64", "manylinux_2_34_aarch64"),
        ("2.39", TODAY, "aarch64", "manylinux_2_39_aarch64"),
        ("2.39", TODAY, "riscv64", "manylinux_2_39_riscv64"),
        ("manylinux2014", TODAY, "x86_64", "manylinux2014_x86_64"),
        ("manylinux_2_34_x86_64", TODAY, "x86_64", "manylinux_2_34_x86_64"),
        # What is out of support comes last, however new it is.
        ("2.35", TODAY, "armv7l", "manylinux_2_35_armv7l"),
        ("2.39", datetime.date(2034, 1, 1), "x86_64", "manylinux_2_34_x86_64"),
        ("2.34", datetime.date(2029, 6, 1), "x86_64", "manylinux_2_34_x86_64"),
        ("musllinux_1_2", TODAY, "ppc64le", "musllinux_1_2_ppc64le"),
    ],
)
def test_the_newest_image_that_a_floor_allows(
    tmp_path: Path, floor: str, day: datetime.date, architecture: str, image: str
) -> None:
    found = advise(floor, day, make_console(tmp_path))
    assert found[architecture].partition("@")[0] == f"quay.io/pypa/{image}"
    assert (len(found) == 1) is floor.endswith("x86_64")


@pytest.mark.parametrize("floor", ["2.5", "musllinux_1_1", "macosx_11_0", "2", "latest"])
def test_a_floor_without_an_image_is_refused(tmp_path: Path, floor: str) -> None:
    with pytest.raises(UsageError, match="no image of pypa"):
        advise(floor, TODAY, make_console(tmp_path))


def test_the_table_says_what_the_table_of_systems_says() -> None:
    systems = load_user_systems().systems
    for tag, until, (image, libc, base, compiler) in base_images():
        name = base.replace("AlmaLinux", "RHEL, UBI, AlmaLinux, Rocky")
        for system in (s for s in systems if name in s.name.split(", RHEL") or s.name == name):
            assert (str(system.base), system.end_of_life) == (libc, until)
        assert libc.split()[1] == "{}.{}".format(*tag.version) and compiler.startswith("GCC ")
        assert "@sha256:" in image or image.endswith("manylinux_2_39_aarch64")


FLOATING = {
    ".github/workflows/w.yml": """
# image: commented:1
    runs-on: ubuntu-24.04
    container: quay.io/pypa/manylinux_2_28_x86_64:latest
    container: ${{ matrix.container }}
    container:
      image: "debian:13"
      image: debian@DIGEST
      image: debian@${{ matrix.digest }}
      image: python:${{ matrix.python }}
      container: ci/manylinux2014.Dockerfile
      vmImage: ubuntu-latest
      container_name: none
    uses: docker://alpine:3.22
    run: docker run -v /x:/y ghcr.io/me/build /y
          CIBW_MANYLINUX_X86_64_IMAGE: manylinux_2_28
          CIBW_MUSLLINUX_X86_64_IMAGE: quay.io/pypa/musllinux_1_2_x86_64:2026.08.15-1
""",
    ".gitlab-ci.yml": "image: python\n  image: ubuntu-24.04\n",
    "pyproject.toml": '[tool.cibuildwheel]\nmanylinux-x86_64-image = "me/image:1"\n'
    'manylinux-aarch64-image = "manylinux2014"\nsearch = "ghcr.io/me/x:{version}"\n',
    "Dockerfile": "FROM --platform=linux/amd64 debian:13 AS build\nFROM build\nFROM scratch\n",
}


def test_images_without_a_digest_are_named_with_their_line(tmp_path: Path) -> None:
    for name, text in FLOATING.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text.replace("DIGEST", DIGEST), encoding="utf-8")
    found = {(mark.member, mark.words.split(" names ")[0], *mark.names)
             for mark in floating(tmp_path)}  # fmt: skip
    workflow = ".github/workflows/w.yml"
    assert found == {
        (workflow, "line 4", "quay.io/pypa/manylinux_2_28_x86_64:latest"),
        (workflow, "line 7", "debian:13"),
        (workflow, "line 10", "python:"),
        (workflow, "line 14", "alpine:3.22"),
        (workflow, "line 15", "ghcr.io/me/build"),
        (workflow, "line 17", "quay.io/pypa/musllinux_1_2_x86_64:2026.08.15-1"),
        (".gitlab-ci.yml", "line 1", "python"),
        ("pyproject.toml", "line 2", "me/image:1"),
        ("Dockerfile", "line 1", "debian:13"),
    }


@pytest.mark.parametrize(
    ("policy", "level"),
    [
        (AuditPolicy(), AuditLevel.ERROR),
        (AuditPolicy(levels={"floating-image": AuditLevel.WARN}), AuditLevel.WARN),
        (AuditPolicy(exceptions={"floating-image debian:*": "only for notes"}), AuditLevel.OFF),
    ],
)
def test_the_policy_says_how_bad_that_is(
    tmp_path: Path, policy: AuditPolicy, level: AuditLevel
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM debian:13\n", encoding="utf-8")
    (found,) = weigh(rule_named("floating-image"), floating(tmp_path), policy)
    assert (found.level, found.member, found.wheel) == (level, "Dockerfile", "")
    assert rule_named("floating-image") in RULES

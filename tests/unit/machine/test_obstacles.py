"""What stands against a wheel here is known before anything is downloaded."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
from tests.unit.machine.test_hints import DEBIAN, UBUNTU, linux

from geowheel.machine import obstacles


def test_the_newest_glibc_is_auditwheels() -> None:
    spec = importlib.util.find_spec("auditwheel")
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent
    policies = json.loads((folder / "policy" / "manylinux-policy.json").read_text("utf-8"))
    names = [re.fullmatch(r"manylinux_(\d+)_(\d+)", policy["name"]) for policy in policies]
    assert max((int(n[1]), int(n[2])) for n in names if n) == obstacles.NEWEST_GLIBC


@pytest.mark.parametrize("version", [None, (2, 17), obstacles.NEWEST_GLIBC])
def test_a_glibc_with_a_policy_is_no_obstacle(version: tuple[int, int] | None) -> None:
    assert obstacles.too_new(linux(DEBIAN), version) is None


def test_a_glibc_without_a_policy_is_said_with_the_way_on() -> None:
    found = obstacles.too_new(linux(DEBIAN, root=False), (2, 43))
    assert found is not None
    assert found.what == "glibc 2.43: no manylinux policy has it yet"
    assert "sudo mmdebstrap" in found.fix and " trixie " in found.fix
    ubuntu = obstacles.too_new(linux(UBUNTU), (2, 43))
    assert ubuntu is not None and " noble " in ubuntu.fix and "sudo" not in ubuntu.fix


def test_a_python_that_is_not_configured_leads_to_one_that_is() -> None:
    pythons = ("3.11", "3.12", "3.13")
    machine = linux(DEBIAN, offers=lambda package: "3.13" in package)
    assert obstacles.not_configured(machine, "3.12", pythons, lambda _: False) is None
    assert obstacles.not_configured(machine, "3.14", (), lambda _: False) is None
    there = obstacles.not_configured(machine, "3.14", pythons, lambda version: version == "3.12")
    assert there is not None
    assert there.cause.endswith("3.11, 3.12, 3.13; this machine has 3.12")
    assert there.fix == "`geowheel wheel --python 3.12`; or add 3.14 to pythons"
    none = obstacles.not_configured(machine, "3.14", pythons, lambda _: False)
    assert none is not None
    assert none.cause.endswith("this machine has none of them")
    assert none.fix.startswith("`apt-get install -y python3.13 python3.13-dev python3.13-venv`, ")
    assert "; then `geowheel wheel --python 3.13`" in none.fix

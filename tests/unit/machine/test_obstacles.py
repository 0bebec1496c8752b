"""What stands against a wheel here is known before anything is downloaded."""

from tests.unit.machine.test_hints import DEBIAN, linux

from geowheel.machine import obstacles


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

"""The command that installs what a machine lacks, for each distribution's os-release."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from geowheel.machine import hints
from geowheel.machine.hints import (
    Machine,
    Manager,
    Need,
)

DEBIAN = """\
PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
ID=debian
"""
UBUNTU = 'PRETTY_NAME="Ubuntu 24.04.1 LTS"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n'
MINT = 'PRETTY_NAME="Linux Mint 22"\nID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_ID="22"\n'
FEDORA = 'PRETTY_NAME="Fedora Linux 42"\nID=fedora\nVERSION_ID=42\n'
ROCKY = 'PRETTY_NAME="Rocky Linux 9.4"\nID="rocky"\nID_LIKE="rhel centos fedora"\n'
LEAP = 'PRETTY_NAME="openSUSE Leap 15.6"\nID="opensuse-leap"\nID_LIKE="suse opensuse"\n'
ALPINE = 'PRETTY_NAME="Alpine Linux v3.20"\nID=alpine\nVERSION_ID=3.20.1\n'
ARCH = 'PRETTY_NAME="Arch Linux"\nID=arch\n'


def has_all(_: str) -> bool:
    return True


def only_3_11(package: str) -> bool:
    """Debian 12's archive, as far as it counts here."""
    return "python3.12" not in package and "python3.13" not in package


def linux(
    text: str, *, root: bool = True, offers: Callable[[str], bool | None] = has_all
) -> Machine:
    return hints.machine(system="linux", os_release=text, root=root, offers=offers)


@pytest.mark.parametrize(
    ("text", "compiler", "headers", "venv"),
    [
        (DEBIAN, "apt-get install -y gcc g++", "python3.12-dev", "python3.12-venv"),
        (UBUNTU, "apt-get install -y gcc g++", "python3.12-dev", "python3.12-venv"),
        (MINT, "apt-get install -y gcc g++", "python3.12-dev", "python3.12-venv"),
        (FEDORA, "dnf install -y gcc gcc-c++", "python3.12-devel", "python3.12"),
        (ROCKY, "dnf install -y gcc gcc-c++", "python3.12-devel", "python3.12"),
        (LEAP, "zypper install -y gcc gcc-c++", "python312-devel", "python312"),
        (ALPINE, "apk add build-base", "python3-dev", "python3"),
        (ARCH, "pacman -S base-devel", "python", "python"),
    ],
    ids=["debian", "ubuntu", "mint", "fedora", "rocky", "leap", "alpine", "arch"],
)
def test_each_distribution_has_its_command(
    text: str, compiler: str, headers: str, venv: str
) -> None:
    machine = linux(text)

    assert hints.install(Need.COMPILER, on=machine) == compiler
    assert hints.install(Need.HEADERS, on=machine, python="3.12").endswith(f" {headers}")
    assert hints.install(Need.VENV, on=machine, python="3.12").endswith(f" {venv}")


def test_who_is_not_root_needs_sudo() -> None:
    machine = linux(DEBIAN, root=False)

    assert hints.install(Need.COMPILER, on=machine) == "sudo apt-get install -y gcc g++"


def test_a_cross_compiler_is_named_as_debian_spells_it() -> None:
    machine = linux(DEBIAN)
    wanted = {"aarch64-linux-gnu": "aarch64-linux-gnu", "x86_64-linux-gnu": "x86-64-linux-gnu"}
    for triplet, name in wanted.items():
        command = hints.install(Need.CROSS_COMPILER, on=machine, triplet=triplet)
        assert command == f"apt-get install -y g++-{name}"
    said = hints.install(Need.CROSS_COMPILER, on=linux(FEDORA), triplet="aarch64-linux-gnu")
    assert said == "install GCC for aarch64-linux-gnu with its C library, as aarch64-linux-gnu-g++"


@pytest.mark.parametrize(
    ("text", "package"),
    [(DEBIAN, "qemu-user"), (FEDORA, "qemu-user"), (LEAP, "qemu-linux-user"), (ARCH, "qemu-user")],
)
def test_an_emulator_of_programs_is_no_emulator_of_machines(text: str, package: str) -> None:
    assert hints.install(Need.EMULATOR, on=linux(text)).endswith(f" {package}")


def test_macos_has_its_own_tools() -> None:
    machine = hints.machine(system="darwin")

    assert hints.install(Need.COMPILER, on=machine) == "xcode-select --install"
    assert hints.install(Need.INTERPRETER, on=machine, python="3.13") == "brew install python@3.13"


def test_windows_has_its_own_tools() -> None:
    machine = hints.machine(system="win32")

    assert machine.manager is Manager.WINGET
    assert "Python.Python.3.13" in hints.install(Need.INTERPRETER, on=machine, python="3.13")


@pytest.mark.parametrize("text", ["", "ID=plan9\n", "# nothing\n\nrubbish\n"])
def test_an_unknown_system_gets_words(text: str) -> None:
    machine = linux(text)

    assert machine.manager is None
    for need in Need:
        assert hints.install(need, on=machine, python="3.12").startswith("install ")
    assert hints.interpreters(on=machine, python="3.12") == (
        "`pyenv install 3.12` or `uv python install 3.12`"
    )


def test_an_interpreter_that_the_release_has_comes_from_it() -> None:
    said = hints.interpreters(on=linux(DEBIAN), python="3.11")

    assert said.startswith("`apt-get install -y python3.11 python3.11-dev python3.11-venv`, ")
    assert "uv python install 3.11" in said


def test_an_interpreter_that_the_release_lacks_is_not_promised() -> None:
    assert "apt-get" not in hints.interpreters(on=linux(DEBIAN, offers=only_3_11), python="3.12")
    told = hints.install(Need.INTERPRETER, on=linux(DEBIAN, offers=only_3_11), python="3.12")
    assert told.startswith("install Python 3.12 with its headers: apt has no python3.12 and no ")


def test_deadsnakes_is_for_ubuntu() -> None:
    ubuntu, debian = linux(UBUNTU, offers=only_3_11), linux(DEBIAN, offers=only_3_11)
    assert "deadsnakes" in hints.interpreters(on=ubuntu, python="3.13")
    assert "deadsnakes" not in hints.interpreters(on=ubuntu, python="3.11")
    assert "deadsnakes" not in hints.interpreters(on=debian, python="3.13")


def test_without_lists_apt_is_to_get_them_first() -> None:
    """As in a container's image: apt-cache knows nothing, and apt-get would find nothing."""
    told = hints.install(Need.COMPILER, on=linux(DEBIAN, root=False, offers=lambda _: None))
    assert told == "sudo apt-get update && sudo apt-get install -y gcc g++"


def test_no_package_is_advised_that_apt_does_not_have() -> None:
    told = hints.install(Need.HEADERS, on=linux(DEBIAN, offers=only_3_11), python="3.12")
    assert told == "install the headers (Python.h) of Python 3.12: apt has no python3.12-dev here"


def test_the_newest_glibc_is_auditwheels() -> None:
    spec = importlib.util.find_spec("auditwheel")
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent
    policies = json.loads((folder / "policy" / "manylinux-policy.json").read_text("utf-8"))
    names = [re.fullmatch(r"manylinux_(\d+)_(\d+)", policy["name"]) for policy in policies]
    assert max((int(n[1]), int(n[2])) for n in names if n) == hints.NEWEST_GLIBC


@pytest.mark.parametrize("version", [None, (2, 17), hints.NEWEST_GLIBC])
def test_a_glibc_with_a_policy_is_no_obstacle(version: tuple[int, int] | None) -> None:
    assert hints.too_new(linux(DEBIAN), version) is None


def test_a_glibc_without_a_policy_is_said_with_the_way_on() -> None:
    found = hints.too_new(linux(DEBIAN, root=False), (2, 43))
    assert found is not None
    assert found.what == "glibc 2.43: no manylinux policy has it yet"
    assert "sudo mmdebstrap" in found.fix and " trixie " in found.fix
    ubuntu = hints.too_new(linux(UBUNTU), (2, 43))
    assert ubuntu is not None and " noble " in ubuntu.fix and "sudo" not in ubuntu.fix


def test_a_python_that_is_not_configured_leads_to_one_that_is() -> None:
    pythons = ("3.11", "3.12", "3.13")
    machine = linux(DEBIAN, offers=lambda package: "3.13" in package)
    assert hints.not_configured(machine, "3.12", pythons, lambda _: False) is None
    assert hints.not_configured(machine, "3.14", (), lambda _: False) is None
    there = hints.not_configured(machine, "3.14", pythons, lambda version: version == "3.12")
    assert there is not None
    assert there.cause.endswith("3.11, 3.12, 3.13; this machine has 3.12")
    assert there.fix == "`geowheel wheel --python 3.12`; or add 3.14 to pythons"
    none = hints.not_configured(machine, "3.14", pythons, lambda _: False)
    assert none is not None
    assert none.cause.endswith("this machine has none of them")
    assert none.fix.startswith("`apt-get install -y python3.13 python3.13-dev python3.13-venv`, ")
    assert "; then `geowheel wheel --python 3.13`" in none.fix


def test_quotes_in_os_release_are_the_shells() -> None:
    machine = linux('PRETTY_NAME=\'My "own" Linux\'\nID="debian\nID_LIKE=debian\n')

    assert machine.name == 'My "own" Linux'
    assert machine.manager is Manager.APT


def test_every_manager_knows_every_need() -> None:
    for manager in Manager:
        machine = Machine(name="x", manager=manager, root=True)
        for need in Need:
            command = hints.install(need, on=machine, python="3.12")
            assert len(command.split()) >= 2
            assert "{" not in command


def test_this_machine_is_read_without_asking_a_tool() -> None:
    assert hints.this_machine().name

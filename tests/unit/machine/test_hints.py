"""The command that installs what a machine lacks, for each distribution's os-release."""

from collections.abc import Callable, Mapping

import pytest

from geowheel.machine import hints
from geowheel.machine.hints import Need, OperatingSystem

DEBIAN = {"PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)", "ID": "debian", "VERSION_ID": "12"}
UBUNTU = {"PRETTY_NAME": "Ubuntu 24.04.1 LTS", "ID": "ubuntu", "ID_LIKE": "debian"}
MINT = {"PRETTY_NAME": "Linux Mint 22", "ID": "linuxmint", "ID_LIKE": "ubuntu debian"}
FEDORA = {"PRETTY_NAME": "Fedora Linux 42", "ID": "fedora"}


def has_all(_: str) -> bool:
    return True


def only_3_11(package: str) -> bool:
    """Debian 12's archive, as far as it counts here."""
    return "python3.12" not in package and "python3.13" not in package


def linux(
    said: Mapping[str, str], *, root: bool = True, offers: Callable[[str], bool | None] = has_all
) -> OperatingSystem:
    return hints.machine(system="linux", os_release=said, root=root, offers=offers)


@pytest.mark.parametrize("said", [DEBIAN, UBUNTU, MINT], ids=lambda said: said["ID"])
def test_apt_has_a_command_for_every_need(said: Mapping[str, str]) -> None:
    told = {need: hints.install(need, on=linux(said), python="3.12") for need in Need}
    assert told[Need.COMPILER] == "apt-get install -y gcc g++"
    assert told[Need.HEADERS] == "apt-get install -y python3.12-dev"
    assert all(command.startswith("apt-get install -y ") for command in told.values())
    assert "{" not in "".join(told.values())


@pytest.mark.parametrize(
    "machine",
    [linux({}), linux(FEDORA), hints.machine(system="darwin"), hints.machine(system="win32")],
    ids=lambda machine: machine.name,
)
def test_where_no_command_was_tried_there_are_words(machine: OperatingSystem) -> None:
    for need in Need:
        assert hints.install(need, on=machine, python="3.12").startswith("install ")
    assert hints.interpreters(on=machine, python="3.12") == (
        "`pyenv install 3.12` or `uv python install 3.12`"
    )


def test_an_interpreter_comes_from_the_release_that_has_it() -> None:
    said = hints.interpreters(on=linux(DEBIAN), python="3.11")
    assert said.startswith("`apt-get install -y python3.11 python3.11-dev python3.11-venv`, ")
    assert "uv python install 3.11" in said
    assert "apt-get" not in hints.interpreters(on=linux(DEBIAN, offers=only_3_11), python="3.12")
    told = hints.install(Need.INTERPRETER, on=linux(DEBIAN, offers=only_3_11), python="3.12")
    assert told.startswith("install Python 3.12 with its headers: apt has no python3.12 and no ")
    ubuntu, debian = linux(UBUNTU, offers=only_3_11), linux(DEBIAN, offers=only_3_11)
    assert "deadsnakes" in hints.interpreters(on=ubuntu, python="3.13")
    assert "deadsnakes" not in hints.interpreters(on=ubuntu, python="3.11")
    assert "deadsnakes" not in hints.interpreters(on=debian, python="3.13")
    # As in a container's image: apt-cache knows nothing, and apt-get would find nothing.
    told = hints.install(Need.COMPILER, on=linux(DEBIAN, root=False, offers=lambda _: None))
    assert told == "sudo apt-get update && sudo apt-get install -y gcc g++"
    told = hints.install(Need.HEADERS, on=linux(DEBIAN, offers=only_3_11), python="3.12")
    assert told == "install the headers (Python.h) of Python 3.12: apt has no python3.12-dev here"


def test_this_machine_is_read_without_asking_a_tool() -> None:
    assert hints.this_machine().name

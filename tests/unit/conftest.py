"""Unit tests touch no tool and no network: trying raises."""

import os
import socket
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from geowheel.machine.console import Console
from geowheel.project.project import Project
from geowheel.stages.inputs import InstalledInputs
from tests.support.hosts import make_console, make_project


class Forbidden(AssertionError):
    """A unit test started a process or opened a connection."""


@pytest.fixture(autouse=True)
def called_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the nox session that runs these tests nor the terminal around it shows in them."""
    for name in [name for name in os.environ if name.startswith("GEOWHEEL_")] + ["COLUMNS"]:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def no_tools_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object, **_: object) -> NoReturn:
        raise Forbidden(f"unit tests start no process and open no connection: {arguments[1:]!r}")

    monkeypatch.setattr(subprocess.Popen, "__init__", forbidden)
    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr(socket, "create_connection", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    # Tries bubblewrap and the kernel's namespaces.
    monkeypatch.setattr("geowheel.machine.sandbox._attempt", lambda *_: "not in a unit test")
    # Asks apt-cache: here the archive has everything.
    monkeypatch.setattr("geowheel.machine.hints.apt_offers", lambda _: True)


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return make_console(tmp_path)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What the stages `test` and `lab` install into environments that nobody makes."""
    wheels: list[Path] = []

    def install(inputs: InstalledInputs, folder: Path, _: object) -> Path:
        wheels.append(inputs.wheel.path)
        return folder / "bin" / "python"

    for stage in ("test", "lab"):
        monkeypatch.setattr(f"geowheel.stages.{stage}.install_wheel", install)
    return wheels

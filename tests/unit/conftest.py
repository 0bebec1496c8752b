"""Unit tests touch no tool and no network: trying raises."""

import os
import socket
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from geowheel.machine.console import Console
from geowheel.project.project import Project
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

    def make_environment(_: object, folder: Path, *__: object, **___: object) -> Path:
        return folder / "bin" / "python"

    def install(_: object, __: Path, wheel: Path, **___: object) -> None:
        wheels.append(wheel)

    for stage in ("test", "lab"):
        monkeypatch.setattr(f"geowheel.stages.{stage}.make_environment", make_environment)
        monkeypatch.setattr(f"geowheel.stages.{stage}.pip_install", install)
    return wheels

"""Fixture channels and a server: made once, behaving well again for every test."""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from geowheel.targets import Platform
from tests.support.debian_root import OLDEST, CannotMakeRootError, DebianRoot, make_archive, unpack
from tests.support.fixture_channel import Sandbox, Server, stack, write_index, write_samples
from tests.support.made_once import made_once
from tests.support.private_hosts import (
    Installed,
    PrivateHosts,
    install,
    make_private_hosts,
    private_hosts_of,
)
from tests.support.project_copy import Built
from tests.support.pypi_server import PypiServer
from tests.support.windows_fixtures import WindowsStack, compile_stacks


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a fixture channel and a Python index."""
    root = tmp_path_factory.mktemp("served")
    write_samples(root / "channel", stack())
    write_index(root)
    server = Server(root)
    yield server
    server.close()


@pytest.fixture
def server(served: Server) -> Iterator[Server]:
    """The server, behaving well and counting from nothing."""
    served.reset()
    yield served
    served.reset()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PypiServer]:
    """A package index that takes uploads."""
    made = PypiServer(folder=tmp_path / "packages", control=tmp_path / "control")
    made.start()
    yield made
    made.stop()


def make_sandbox(base: Path, server: Server) -> Sandbox:
    made = Sandbox(
        root=base / "project", cache=base / "cache", home=base / "home", server=server,
        channel=f"{server.url}/channel",
    )  # fmt: skip
    made.home.mkdir()
    made.write()
    return made


@pytest.fixture
def sandbox(server: Server, tmp_path: Path) -> Sandbox:
    """A host without a lock, an empty cache."""
    return make_sandbox(tmp_path, server)


@pytest.fixture(scope="session")
def locked_once(served: Server, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """A host whose locks `geowheel lock` wrote; not to be changed."""
    made = make_sandbox(tmp_path_factory.mktemp("locked"), served)
    made.good("lock")
    return made


@pytest.fixture
def locked(locked_once: Sandbox, sandbox: Sandbox) -> Sandbox:
    """A host with committed locks of its own, an empty cache."""
    for path in (locked_once.pixi_lock, locked_once.conda_lock, locked_once.build_lock):
        shutil.copy(path, sandbox.root)
    sandbox.server.reset()
    return sandbox


@pytest.fixture(scope="session")
def private_hosts(built_once: Built, tmp_path_factory: pytest.TempPathFactory) -> PrivateHosts:
    """hosts/terrain and a second private host with another GDAL build, both made by geowheel."""
    folder, made = made_once(
        tmp_path_factory, "private", lambda folder: make_private_hosts(built_once, folder)
    )
    root = tmp_path_factory.mktemp("private") / "project"
    shutil.copytree(folder / "project", root, symlinks=True)
    return private_hosts_of(built_once, folder, root, made)


@pytest.fixture(scope="session")
def three_hosts(
    built_once: Built, private_hosts: PrivateHosts, tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    """Their wheels and that of hosts/gdal in one environment."""
    return install(built_once, private_hosts, tmp_path_factory.mktemp("three"))


@pytest.fixture(scope="session")
def windows_stacks(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Platform, WindowsStack]:
    """A native stack for Windows, for x64 and for ARM; not to be changed."""
    return compile_stacks(tmp_path_factory.mktemp("windows-stacks"))


@pytest.fixture(scope="module")
def debian_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DebianRoot]:
    """A bare root of the other Debian release, a module's own; unpacked from one archive."""
    yield from _root(tmp_path_factory, "")


@pytest.fixture(scope="session")
def oldest_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DebianRoot]:
    """A bare root of the oldest Debian release that can be had."""
    yield from _root(tmp_path_factory, OLDEST)


def _root(tmp_path_factory: pytest.TempPathFactory, suite: str) -> Iterator[DebianRoot]:
    try:
        folder, suite = made_once(
            tmp_path_factory,
            f"debian{suite}",
            lambda folder: make_archive(folder / "root.tar", suite),
        )
    except CannotMakeRootError as error:
        reason = f"NOT RUN: no root file system of Debian can be made here: {error}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    root = unpack(folder / "root.tar", suite, tmp_path_factory.mktemp("debian") / suite)
    yield root
    root.remove()

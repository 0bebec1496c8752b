"""`lock --upgrade` and the format of pixi.lock: by py-rattler, and by pixi where there is one."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import rattler

from geowheel.locks.build_lock import read_build_lock
from geowheel.locks.pixi_lock import lock_format
from geowheel.targets import Platform
from tests.integration.test_lock import add, names
from tests.support.files import write_program
from tests.support.fixture_channel import Sample, Sandbox, stack, write_samples

SOLVERS = ["py-rattler", "pixi"]


@pytest.fixture(params=SOLVERS)
def project(request: pytest.FixtureRequest, sandbox: Sandbox) -> Sandbox:
    """Locked from a channel of its own, which newer packages come to afterwards."""
    extra = {}
    if request.param == "pixi":
        pixi = request.getfixturevalue("pixi_cli")
        extra = {"GEOWHEEL_PIXI": str(pixi), "PIXI_HOME": str(sandbox.home / "pixi"),
                 "PIXI_CACHE_DIR": str(sandbox.home / "pixi cache")}  # fmt: skip
    channel = sandbox.server.root / sandbox.root.parent.name
    write_samples(channel, stack())
    made = replace(sandbox, channel=f"{sandbox.server.url}/{channel.name}", extra=extra)
    made.write()
    result = made.good("lock")
    assert f"solving with {request.param}" in result.err
    newer = [s for s in stack(gdal="3.11.0") if s.name.startswith("libgdal")]
    add(made, Sample(name="libz", version="1.4"), Sample(name="libproj", version="9.6.0"), *newer)
    return made


def now(project: Sandbox) -> set[str]:
    found = names(project.pixi_lock, "default", Platform.LINUX_64)
    assert found == names(project.pixi_lock, "default", Platform.OSX_ARM64)
    return {name for name in found if not name.startswith("ca-")}


OLD = {"libgdal-core 3.10.3", "libgdal-hdf5 3.10.3", "libproj 9.5.0", "libz 1.3"}


def test_several_and_gdal_with_its_sdist(project: Sandbox) -> None:
    result = project.run(
        "lock", "--upgrade", "libgdal-core", "--upgrade", "libgdal-hdf5", "--upgrade", "libproj"
    )
    assert result.code == 0, result.err
    assert now(project) == {
        "libgdal-core 3.11.0", "libgdal-hdf5 3.11.0", "libproj 9.6.0", "libz 1.3",
    }  # fmt: skip
    assert read_build_lock(project.build_lock).gdal_sdist.version == "3.11.0"


def test_bare_upgrades_everything(project: Sandbox) -> None:
    project.good("lock", "--upgrade")
    assert now(project) == {
        "libgdal-core 3.11.0", "libgdal-hdf5 3.11.0", "libproj 9.6.0", "libz 1.4",
    }  # fmt: skip


def test_a_new_wish_is_solved_beside_an_upgrade(project: Sandbox) -> None:
    project.edit("pixi.toml", "[dependencies]", '[dependencies]\npython = "*"')
    project.good("lock", "--upgrade", "libz", "--upgrade", "python")
    assert now(project) == OLD - {"libz 1.3"} | {"libz 1.4", "python 3.12.1"}


def test_one_package_is_upgraded_and_the_rest_stays(project: Sandbox) -> None:
    before = project.pixi_lock.read_bytes()
    project.run("lock", "--upgrade", "libgdalcore").refused(2, "did you mean libgdal-core")
    project.run("lock", "--upgrade", "libz", "--check").refused(2, "--check writes nothing")
    assert project.pixi_lock.read_bytes() == before
    build = project.build_lock.read_bytes()
    project.good("lock", "--upgrade", "libz")
    assert now(project) == OLD - {"libz 1.3"} | {"libz 1.4"}
    assert project.build_lock.read_bytes() == build
    again = project.run("lock", "--upgrade", "libz")
    assert "libz stays at 1.4 h0: nothing newer fits" in again.out


def numpy_of(project: Sandbox) -> str:
    every = read_build_lock(project.build_lock).pylock.packages
    return str(next(p.version for p in every if p.name == "numpy"))


def test_the_build_lock_keeps_what_is_locked_until_it_is_named(sandbox: Sandbox) -> None:
    held = 'requires = ["tiny-test", "numpy<2.2"]'
    sandbox.edit("pyproject.toml", 'requires = ["tiny-test"]', held)
    sandbox.good("lock")
    first = read_build_lock(sandbox.build_lock)
    assert {str(p.version) for p in first.pylock.packages if p.name == "numpy"} == {
        "2.1.0", "2.2.0"
    }  # fmt: skip
    # The wish is gone: the lock has to be made anew, and what it has of the tests' numpy stays.
    sandbox.edit("pyproject.toml", held, 'requires = ["tiny-test", "numpy"]')
    sandbox.good("lock")
    test = [p for p in read_build_lock(sandbox.build_lock).pylock.packages
            if p.name == "numpy" and '"test"' in str(p.marker)]  # fmt: skip
    assert [str(p.version) for p in test] == ["2.1.0"]
    native = sandbox.pixi_lock.read_bytes()
    result = sandbox.good("lock", "--upgrade", "NumPy")
    assert numpy_of(sandbox) == "2.2.0" and "- numpy 2.1.0" in result.out
    assert sandbox.pixi_lock.read_bytes() == native
    sandbox.good("lock", "--check")


def in_format_6(lock: Path) -> bytes:
    """The same lock as pixi before 0.68 wrote it."""
    read, packages = rattler.LockFile.from_path(lock), {}
    lines = ["version: 6", "environments:"]
    for name, environment in read.environments():
        urls = [repr(channel).split('"')[1] for channel in environment.channels()]
        lines += [f"  {name}:", "    channels:", *(f"    - url: {url}" for url in urls)]
        lines += ["    packages:"]
        for platform in environment.platforms():
            lines += [f"      {platform.subdir}:"]
            for record in environment.conda_repodata_records_for_platform(platform) or []:
                lines += [f"      - conda: {record.url}"]
                packages[record.url] = record
    lines += ["packages:"]
    for url, record in sorted(packages.items()):
        assert record.sha256 is not None and record.md5 is not None
        lines += [f"- conda: {url}", f"  sha256: {record.sha256.hex()}"]
        lines += [f"  md5: {record.md5.hex()}"]
        if record.depends:
            lines += ["  depends:", *(f"  - {need}" for need in record.depends)]
        lines += [f"  license: {record.license}", f"  size: {record.size}"]
    return ("\n".join(lines) + "\n").encode()


@pytest.fixture
def older(project: Sandbox) -> Sandbox:
    project.pixi_lock.write_bytes(in_format_6(project.pixi_lock))
    assert lock_format(project.pixi_lock) == 6
    return project


def test_an_older_format_stays_until_it_may_change(older: Sandbox) -> None:
    before = older.pixi_lock.read_bytes()
    result = older.good("lock")
    assert "stays as it is, in format 6" in result.err
    older.run("lock", "--upgrade", "libz").refused(4,
        "the lock is of format 6", "to change: libz", "pixi may be as old",
        "`geowheel lock --upgrade-format",
    )  # fmt: skip
    older.edit("pixi.toml", "[dependencies]", '[dependencies]\npython = "*"')
    older.run("lock").refused(4, "to change: python", "--upgrade-format")
    assert older.pixi_lock.read_bytes() == before
    assert not list(older.root.glob(".*lock*"))
    older.good("lock", "--upgrade-format")
    assert lock_format(older.pixi_lock) == 7
    assert now(older) == OLD | {"python 3.12.1"}


def test_a_damaged_lock_of_an_older_format_is_made_anew(locked: Sandbox) -> None:
    whole = in_format_6(locked.pixi_lock)
    locked.pixi_lock.write_bytes(whole[: len(whole) // 2])
    locked.good("lock")
    assert lock_format(locked.pixi_lock) == 7


STANDS_IN = """#!/bin/sh
case "$1" in
--version) echo "pixi 9.0.0";;
*) sed -i 's/^version: 7/version: 8/' pixi.lock;;
esac
"""


@pytest.fixture
def future(locked: Sandbox) -> Callable[..., Sandbox]:
    """A pixi that writes a format of which nobody knows anything yet."""
    program = write_program(locked.home / "pixi", STANDS_IN)
    return lambda: replace(locked, extra={"GEOWHEEL_PIXI": str(program)})


def test_what_a_newer_pixi_wrote_is_taken_back(future: Callable[..., Sandbox]) -> None:
    project = future()
    before = project.pixi_lock.read_bytes()
    project.run("lock").refused(4, "would be written in a newer one", "--upgrade-format")
    assert project.pixi_lock.read_bytes() == before
    shutil.copy(project.pixi_lock, project.root / "copy")
    project.run("lock", "--upgrade-format").refused(4, "upgrade geowheel")

"""`lock` against a loopback channel and index: by py-rattler, and by pixi where there is one."""

import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import rattler

from geowheel.cli.arguments import parser
from geowheel.locks.build_lock import read_build_lock
from geowheel.locks.pixi_lock import read_lock, records
from geowheel.targets import Platform, Target
from tests.support.fixture_channel import (
    GDAL,
    RUNNING,
    Sample,
    Sandbox,
    index,
    stack,
    write_sample,
    write_samples,
)

ENVIRONMENTS = """
[target.linux.dependencies]
patchelf = "*"
[target.linux-64.dependencies]
patchelf = ">=0.18"
[feature.old.dependencies]
libz = "<1.4"
[feature.linux]
platforms = ["linux-64"]
[feature.linux.dependencies]
python = "*"
[feature.more]
channels = [{ channel = "SECOND", priority = 2 }]
[feature.more.dependencies]
second = "*"
[feature.host.host-dependencies]
python = "*"
[feature.nothing]
[environments]
old = ["old"]
on-linux = ["linux"]
more = ["more"]
host = ["host"]
together = { features = ["old"], solve-group = "one" }
with-it = { features = ["host"], solve-group = "one" }
nothing = { features = ["nothing"], no-default-feature = true }
"""


def names(lock: Path, environment: str, platform: Platform) -> set[str]:
    """`libz 1.3` of everything that is locked."""
    every = records(read_lock(lock), environment, platform, lock)
    return {f"{record.name.normalized} {record.version}" for record in every}


def packages(lock: Path) -> dict[str, set[tuple[str, bytes | None]]]:
    """URL and sha256 of all records by environment and subdir: what two locks have to agree on."""
    found: dict[str, set[tuple[str, bytes | None]]] = {}
    for name, environment in rattler.LockFile.from_path(lock).environments():
        for platform in environment.platforms():
            every = environment.conda_repodata_records_for_platform(platform) or []
            found[f"{name} {platform.subdir}"] = {(r.url, r.sha256) for r in every}
    return found


@pytest.fixture
def changing(sandbox: Sandbox) -> Sandbox:
    """A channel of one's own, to which packages can be added."""
    channel = sandbox.server.root / sandbox.root.parent.name
    write_samples(channel, [*stack(), Sample(name="patchelf", version="0.18")])
    made = replace(sandbox, channel=f"{sandbox.server.url}/{channel.name}")
    made.write()
    return made


def add(project: Sandbox, *samples: Sample) -> None:
    """Packages that the channel offers from now on, for all platforms."""
    folder = project.server.root / project.channel.rpartition("/")[2]
    for sample in samples:
        for platform in (Platform.LINUX_64, Platform.OSX_ARM64):
            write_sample(folder, sample, platform)
    index(folder)


def test_all_platforms_and_the_build_lock_are_written(changing: Sandbox) -> None:
    result = changing.good("lock")
    assert "packages of the native stack: linux-64 5, osx-arm64 5" in result.out
    expected = {f"libgdal-core {GDAL}", f"libgdal-hdf5 {GDAL}", "libproj 9.5.0", "libz 1.3",
                "ca-certificates 2026.1"}  # fmt: skip
    assert names(changing.pixi_lock, "default", Platform.LINUX_64) == expected
    assert names(changing.pixi_lock, "default", Platform.OSX_ARM64) == expected
    lock = read_build_lock(changing.build_lock)
    assert lock.gdal_sdist.file_name == f"gdal-{GDAL}.tar.gz"
    for platform, tag in ((Platform.LINUX_64, "manylinux"), (Platform.OSX_ARM64, "macosx")):
        target = Target(python=RUNNING, platform=platform)
        (numpy,) = lock.requirements("bindings", target)
        assert (numpy.version, tag in numpy.file_name) == ("2.2.0", True)
        tests = [d.name for d in lock.requirements("test", target)]
        assert tests == ["numpy", "tiny-test"]
    assert not list(changing.root.glob(".lock-*"))


def test_it_is_the_same_again_byte_for_byte(changing: Sandbox, tmp_path: Path) -> None:
    changing.good("lock")
    other = replace(changing, root=tmp_path / "other", cache=tmp_path / "other cache")
    other.write()
    other.good("lock")
    for name in ("pixi.lock", "pylock.geowheel.toml"):
        assert (changing.root / name).read_bytes() == (other.root / name).read_bytes()
    before = changing.pixi_lock.read_bytes()
    again = changing.run("lock")
    assert "the native stack did not change" in again.out
    assert "pylock.geowheel.toml is current" in again.out
    assert changing.pixi_lock.read_bytes() == before


def test_what_still_fits_is_kept_and_the_difference_is_shown(changing: Sandbox) -> None:
    changing.good("lock")
    add(changing, Sample(name="libz", version="1.4"), Sample(name="libproj", version="9.6.0"))
    changing.edit("pixi.toml", "[dependencies]", '[dependencies]\nlibproj = ">=9.6"')
    result = changing.good("lock")
    assert {"libproj 9.6.0", "libz 1.3"} < names(changing.pixi_lock, "default", Platform.LINUX_64)
    (row, other) = [line.split() for line in result.out.splitlines() if "libproj" in line]
    assert row == ["linux-64", "libproj", "9.5.0", "h0", "9.6.0", "h0"]
    assert "osx-arm64" in other
    assert "libz" not in result.flat


def test_a_changed_gdal_changes_the_build_lock(changing: Sandbox) -> None:
    changing.good("lock")
    add(changing, *(s for s in stack(gdal="3.11.0") if s.name.startswith("libgdal")))
    changing.edit("pixi.toml", 'libgdal-core = "*"', 'libgdal-core = ">=3.11"')
    result = changing.good("lock")
    assert f"- gdal {GDAL}" in result.out and "+ gdal 3.11.0" in result.out
    assert read_build_lock(changing.build_lock).gdal_sdist.version == "3.11.0"


def test_environments_are_locked_as_pixi_combines_them(changing: Sandbox) -> None:
    second = changing.server.root / "second"
    write_samples(second, [Sample(name="second"), Sample(name="libz", version="1.5")])
    add(changing, Sample(name="libz", version="1.4"))
    changing.write(pixi=ENVIRONMENTS.replace("SECOND", f"{changing.server.url}/second"))
    changing.good("lock")
    lock = changing.pixi_lock

    def libz(environment: str) -> str:
        every = names(lock, environment, Platform.LINUX_64)
        return next(name for name in every if name.startswith("libz"))

    assert libz("default") == "libz 1.4"
    assert libz("old") == "libz 1.3"
    assert libz("with-it") == libz("together") == "libz 1.3"  # one group, solved together
    assert libz("more") == "libz 1.5"  # of the channel that goes first there
    assert "patchelf 0.18" in names(lock, "default", Platform.LINUX_64)
    assert "patchelf 0.18" not in names(lock, "default", Platform.OSX_ARM64)
    assert "python 3.12.1" in names(lock, "host", Platform.OSX_ARM64)
    assert "python 3.12.1" not in names(lock, "together", Platform.LINUX_64)
    assert set(packages(lock)) >= {"on-linux linux-64", "old osx-arm64"}
    assert "on-linux osx-arm64" not in packages(lock)
    changing.good("lock", "--check")


def test_packages_of_a_channel_that_is_gone_are_not_kept(changing: Sandbox) -> None:
    changing.good("lock")
    changing.edit("pixi.toml", changing.channel, f"{changing.server.url}/channel")
    changing.good("lock")
    assert changing.channel not in changing.pixi_lock.read_text()
    changing.good("fetch")


@pytest.mark.parametrize("name", ["pixi_lock", "build_lock"])
def test_a_damaged_lock_is_made_anew(locked: Sandbox, name: str) -> None:
    path: Path = getattr(locked, name)
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    locked.good("lock")
    assert path.read_bytes() == good


@pytest.mark.parametrize("name", ["pixi.lock", "pylock.geowheel.toml"])
def test_a_lock_with_the_marks_of_a_merge_stops_it(locked: Sandbox, name: str) -> None:
    path = locked.root / name
    text = f"<<<<<<< HEAD\n{path.read_text()}=======\n>>>>>>> other\n"
    path.write_text(text)
    for command in ("lock", "fetch"):
        locked.run(command).refused(3, "holds the marks of a merge", f"--theirs {name}")
    assert path.read_text() == text


def test_check_is_content_and_writes_nothing(locked: Sandbox) -> None:
    before = {path.name: path.read_bytes() for path in locked.root.iterdir() if path.is_file()}
    locked.good("lock", "--check")
    assert before == {p.name: p.read_bytes() for p in locked.root.iterdir() if p.is_file()}
    assert not locked.server.counts


def test_check_finds_what_is_missing(sandbox: Sandbox, locked_once: Sandbox) -> None:
    sandbox.run("lock", "--check").refused(4, "there is no lock", "commit pixi.lock")
    shutil.copy(locked_once.pixi_lock, sandbox.root)
    sandbox.run("lock", "--check").refused(4, "there is no build lock")


def test_a_lock_of_another_channel_is_not_written(sandbox: Sandbox) -> None:
    sandbox.run("lock", "--channel", sandbox.channel).refused(2,
        "a lock holds what the manifest's channels offer", "GEOWHEEL_MIRRORS=URL=PLACE",
        f"`geowheel wheel --channel {sandbox.channel} ",
    )  # fmt: skip
    assert not sandbox.pixi_lock.exists()


@pytest.mark.parametrize("command", ["lock", "fetch"])
def test_what_is_advised_is_a_command_that_is_taken(sandbox: Sandbox, command: str) -> None:
    with sandbox.server.stopped():
        text = sandbox.run(command).flat
    assert f"cannot read {sandbox.channel}" in text
    advised = [shlex.split(line) for line in re.findall("`geowheel ([^`]+)`", text)]
    assert advised
    for words in advised:
        taken = parser().parse_args(words)
        assert words[0] != "lock" or taken.channel is None
    assert "--channel" not in re.sub("`[^`]+`", "", text), "an option without its command"


@pytest.mark.parametrize(
    ("pixi", "text"),
    [
        ('[pypi-dependencies]\nrequests = "*"', "pypi-dependencies"),
        ('[feature.x.target.linux-64.pypi-dependencies]\nrequests = "*"', "pypi-dependencies"),
        ('[target.unix.dependencies]\nmine = { path = "../mine" }', "dependencies from a path"),
    ],
)
def test_what_only_pixi_can_solve_is_refused(sandbox: Sandbox, pixi: str, text: str) -> None:
    sandbox.write(pixi=pixi)
    sandbox.run("lock").refused(
        4, f"only pixi itself can solve {text}", "pixi.toml", "install pixi"
    )
    assert not sandbox.pixi_lock.exists()


def test_what_cannot_be_solved_is_explained(sandbox: Sandbox) -> None:
    sandbox.edit("pixi.toml", 'libgdal-core = "*"', 'libgdal-core = ">=4"')
    sandbox.run("lock").refused(4, "linux-64: nothing satisfies", "libgdal-core >=4",
            "loosen the specs")  # fmt: skip
    sandbox.edit("pixi.toml", 'libgdal-core = ">=4"', 'libgdal-core = "*"')
    sandbox.edit(
        "pixi.toml", "[dependencies]", '[system-requirements]\nlibc = "2.5"\n[dependencies]'
    )
    sandbox.run("lock").refused(4, "nothing satisfies", "__glibc")
    assert not sandbox.pixi_lock.exists()


def test_a_channel_out_of_reach_leaves_the_old_lock(locked: Sandbox) -> None:
    before = locked.pixi_lock.read_bytes()
    shutil.rmtree(locked.cache, ignore_errors=True)
    with locked.server.stopped():
        locked.run("lock").refused(5, "Connection refused")
    assert locked.pixi_lock.read_bytes() == before


def test_a_wheel_that_one_target_lacks_is_said_and_stops_only_that_target(sandbox: Sandbox) -> None:
    sandbox.edit("pyproject.toml", 'requires = ["tiny-test"]', 'requires = ["only-macos"]')
    result = sandbox.good("lock")
    assert f"only-macos 1.0 has no wheel for cp{RUNNING.replace('.', '')}-linux-64" in result.err
    sandbox.run("fetch").refused(4, "test requirements of", "only-macos")


def test_an_index_out_of_reach_says_which_variable_helps(locked: Sandbox) -> None:
    locked.build_lock.unlink()
    locked.run("lock", UV_DEFAULT_INDEX="http://127.0.0.1:1/simple", UV_HTTP_RETRIES="0").refused(5,
        "the Python package index cannot be reached", "UV_DEFAULT_INDEX",
    )  # fmt: skip


def test_the_index_of_the_users_own_settings_is_used(locked: Sandbox) -> None:
    before = locked.build_lock.read_bytes()
    locked.build_lock.unlink()
    settings = locked.home / ".config" / "uv" / "uv.toml"
    settings.parent.mkdir(parents=True)
    index_url = locked.environ["UV_DEFAULT_INDEX"]
    settings.write_text(f'[[index]]\nurl = "{index_url}"\ndefault = true\n')
    locked.good("lock", UV_DEFAULT_INDEX="")
    locked.build_lock.unlink()
    settings = locked.home / ".config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"[global]\nindex-url = {index_url}\n")
    (locked.home / ".config" / "uv").rename(locked.home / "not uv's")
    assert locked.run("lock", UV_DEFAULT_INDEX="").code == 0, "pip.conf names the index"
    assert locked.build_lock.read_bytes() == before


@pytest.fixture
def pixi_project(changing: Sandbox, pixi_cli: Path) -> Sandbox:
    """Many environments, and a pixi whose caches are its own."""
    second = changing.server.root / "second"
    write_samples(second, [Sample(name="second"), Sample(name="libz", version="1.5")])
    add(changing, Sample(name="libz", version="1.4"))
    made = replace(
        changing, extra={"GEOWHEEL_PIXI": str(pixi_cli), "PIXI_HOME": str(changing.home / "pixi")}
    )
    made.write(pixi=ENVIRONMENTS.replace("SECOND", f"{changing.server.url}/second"))
    return made


def pixi(project: Sandbox, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = project.environ
    return subprocess.run(
        [environ["GEOWHEEL_PIXI"], *arguments], cwd=project.root, capture_output=True, text=True,
        env=environ | {"PIXI_CACHE_DIR": str(project.home / "pixi cache")}, check=False,
    )  # fmt: skip


def test_pixi_and_py_rattler_lock_the_same(pixi_project: Sandbox) -> None:
    result = pixi_project.good("lock")
    assert "solving with pixi" in result.err
    by_pixi = packages(pixi_project.pixi_lock)
    pixi_project.pixi_lock.unlink()
    pixi_project.good("lock", GEOWHEEL_PIXI="none")
    assert packages(pixi_project.pixi_lock) == by_pixi
    accepted = pixi(pixi_project, "lock", "--check")
    assert accepted.returncode == 0, accepted.stderr
    installed = pixi(pixi_project, "install", "--locked", "-e", "old")
    assert installed.returncode == 0, installed.stderr
    pixi_project.good("lock", "--check")


SYSTEMS = """
[feature.new.system-requirements]
libc = { family = "glibc", version = "2.35" }
macos = "14.0"
[environments]
new = ["new"]
"""


@pytest.mark.parametrize(
    ("old", "new", "pixi_toml"),
    [
        ("[dependencies]", '[system-requirements]\nlibc = "2.20"\n[dependencies]', SYSTEMS),
        ('platforms = ["linux-64"', 'platforms = [{name = "my-linux", platform = "linux-64", '
         'glibc = "2.35"}', '[target.my-linux.dependencies]\npatchelf = "*"'),
    ],
)  # fmt: skip
def test_system_requirements_are_understood_both_ways(
    changing: Sandbox, pixi_cli: Path, old: str, new: str, pixi_toml: str
) -> None:
    project = replace(changing, extra={"GEOWHEEL_PIXI": str(pixi_cli)})
    project.write(pixi=pixi_toml)
    project.edit("pixi.toml", old, new)
    project.good("lock", GEOWHEEL_PIXI="none")
    accepted = pixi(project, "lock", "--check")
    assert accepted.returncode == 0, accepted.stderr
    by_rattler = packages(project.pixi_lock)
    project.pixi_lock.unlink()
    project.good("lock")
    assert packages(project.pixi_lock) == by_rattler
    project.good("lock", "--check", GEOWHEEL_PIXI="none")


def test_a_pyproject_manifest_asks_for_its_python(changing: Sandbox, pixi_cli: Path) -> None:
    project = replace(changing, extra={"GEOWHEEL_PIXI": str(pixi_cli)})
    text = (project.root / "pixi.toml").read_text()
    tables = text.replace("[workspace]", "[tool.pixi.workspace]")
    tables = tables.replace("[dependencies]", "[tool.pixi.dependencies]")
    path = project.root / "pyproject.toml"
    path.write_text(path.read_text().replace('name = "host"', 'name = "host"\nversion = "1"')
                    + tables)  # fmt: skip
    (project.root / "pixi.toml").unlink()
    project.good("lock", GEOWHEEL_PIXI="none")
    assert "python 3.12.1" in names(project.pixi_lock, "default", Platform.LINUX_64)
    accepted = pixi(project, "lock", "--check")
    assert accepted.returncode == 0, accepted.stderr


def test_pixi_is_told_of_the_mirrors_that_it_does_not_know(pixi_project: Sandbox) -> None:
    real, named = pixi_project.channel, "https://conda.example.invalid/main"
    pixi_project.edit("pixi.toml", real, named)
    mirror = f"{named}={real}"
    own = pixi_project.home / "pixi" / "config.toml"  # PIXI_HOME's, whose other words count
    own.parent.mkdir()
    own.write_text(f'pinning-strategy = "semver"\n[mirrors]\n"{named}/" = ["{real}/none"]\n')
    result = pixi_project.good("lock", GEOWHEEL_MIRRORS=mirror)
    assert "solving with pixi" in result.err
    assert named in pixi_project.pixi_lock.read_text()
    assert "semver" in own.read_text()
    # Beside the manifest pixi reads it last, so pixi is not asked.
    beside = pixi_project.root / ".pixi" / "config.toml"
    beside.parent.mkdir()
    beside.write_text(f'[mirrors]\n"{named}" = ["{real}"]\n')
    result = pixi_project.good("lock", GEOWHEEL_MIRRORS=mirror)
    assert "py-rattler: pixi would go by" in result.err
    pixi_project.good("lock")


def test_a_temporary_folder_below_a_project_changes_nothing(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    place = tmp_path / "other" / "temporary"
    place.mkdir(parents=True)
    (place.parent / "pyproject.toml").write_text('[project]\nname = "other"\nversion = "1"\n')
    (place.parent / "uv.toml").write_text("no-index = true\n")
    sandbox.good("lock", TMPDIR=str(place))

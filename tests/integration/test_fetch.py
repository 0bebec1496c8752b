"""fetch against a loopback channel: what it gives, what it refuses, what it leaves behind."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from geowheel.digest import sha256_bytes, sha256_file
from geowheel.distro.channel import read_distribution
from geowheel.errors import ChannelError, GeowheelError, IntegrityError
from geowheel.locks.assets import Asset
from geowheel.locks.channels import Mirrors
from geowheel.machine.console import Console
from geowheel.prefix.downloading import AT_ONCE
from geowheel.prefix.linker import read_native_manifest
from geowheel.prefix.store import Store
from geowheel.systems import linux
from geowheel.targets import Platform
from tests.support.files import write_files, write_program
from tests.support.fixture_channel import (
    GDAL,
    Fault,
    Result,
    Sample,
    Sandbox,
    index,
    stack,
    write_sample,
    write_samples,
)

STACK = {
    "ca-certificates-2026.1-h0.conda", f"libgdal-core-{GDAL}-h0.conda",
    f"libgdal-hdf5-{GDAL}-h0.conda", "libproj-9.5.0-h0.conda", "libz-1.3-h0.conda",
}  # fmt: skip
FILES = 9  # of the stack, GDAL's sdist and three wheels


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Until it holds; fails when the process ends before."""
    deadline = time.monotonic() + 30
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"{text!r} was never said")


def test_everything_is_downloaded_once_and_placed_with_its_owner(locked: Sandbox) -> None:
    locked.good("fetch")
    assert locked.stored() == STACK
    assert len(locked.server.counts) == FILES
    assert set(locked.server.counts.values()) == {1}
    manifest = read_native_manifest(locked.prefix().parent)
    assert {path: owner.name for path, owner in manifest.owners.items()} == {
        "bin/proj-config": "libproj",
        "lib/gdalplugins/gdal_HDF5.so": "libgdal-hdf5",
        "lib/libgdal.so": "libgdal-core",
        "lib/libgdal.so.36": "libgdal-core",
        "lib/libproj.so.25": "libproj",
        "lib/libz.so.1": "libz",
        "share/proj/proj.db": "libproj",
        "ssl/cacert.pem": "ca-certificates",
    }
    found = {
        path.relative_to(locked.prefix()).as_posix()
        for path in locked.prefix().rglob("*")
        if path.is_symlink() or path.is_file()
    }
    assert found == set(manifest.owners)
    script = (locked.prefix() / "bin/proj-config").read_text()
    assert (
        script
        == f"#!{linux.FACTS.layout.prefix_string}/bin/sh\necho {linux.FACTS.layout.prefix_string}\n"
    )
    library = (locked.prefix() / "lib/libgdal.so.36").read_bytes()
    assert f"gdal\0{linux.FACTS.layout.prefix_string}/share/gdal\0".encode() in library
    assert library.endswith(b"\0tail")
    assert (locked.prefix() / "lib/libgdal.so").readlink() == Path("libgdal.so.36")


def test_without_a_lock_it_is_solved_into_the_work_folder(sandbox: Sandbox) -> None:
    result = sandbox.good("fetch")
    assert "not locked: no lock is committed" in result.err
    assert not sandbox.pixi_lock.exists() and not sandbox.build_lock.exists()
    sandbox.server.reset()
    sandbox.good("fetch")
    assert not sandbox.server.counts


def test_after_kill_9_only_what_is_missing_is_asked_for(locked: Sandbox) -> None:
    slow = locked.server.fault("libz-1.3-h0.conda", Fault(hold_after=100))
    with locked.start("fetch") as process:
        wait_for(lambda: slow.reached.is_set() and len(locked.stored()) == len(STACK) - 1, process)
        wait_for(lambda: len(locked.stored("")) >= FILES - 1, process)
        process.kill()
    locked.server.reset()
    locked.good("fetch")
    assert list(locked.server.counts) == ["/channel/linux-64/libz-1.3-h0.conda"]
    assert len(locked.left_behind()) == 1  # the one finished entry, no part and no scratch


def test_two_projects_at_once_share_a_download(locked: Sandbox, tmp_path: Path) -> None:
    other = replace(locked, root=tmp_path / "other")
    shutil.copytree(locked.root, other.root)
    slow = locked.server.fault("libz-1.3-h0.conda", Fault(hold_after=100, times=1))
    with locked.start("fetch") as first:
        wait_for(lambda: slow.reached.is_set() and len(locked.stored("")) >= FILES - 1, first)
        with other.start("fetch") as second:
            wait_for_line(second, "downloading 1 of 9 files")
            slow.release.set()
            second.communicate()
            first.communicate()
    assert (first.returncode, second.returncode) == (0, 0)
    assert locked.server.counts["/channel/linux-64/libz-1.3-h0.conda"] == 2
    assert locked.native() == other.native()


CHANNEL = "https://conda.example.invalid/main"


@pytest.fixture
def elsewhere(sandbox: Sandbox) -> Sandbox:
    """A channel that only a mirror has."""
    made = replace(sandbox, channel=CHANNEL)
    made.write()
    return made


def mirrored(sandbox: Sandbox, *places: str) -> Sandbox:
    return replace(
        sandbox, extra={"GEOWHEEL_MIRRORS": " ".join(f"{CHANNEL}={place}" for place in places)}
    )


@pytest.mark.parametrize("way", ["http", "folder", "pixi"])
def test_a_mirror_serves_while_the_lock_names_the_channel(elsewhere: Sandbox, way: str) -> None:
    url, folder = f"{elsewhere.server.url}/channel", elsewhere.server.root / "channel"
    project = mirrored(elsewhere, {"http": url, "folder": str(folder)}.get(way, ""))
    if way == "pixi":  # where pixi looks last
        project = elsewhere
        write_files(project.root, {".pixi/config.toml": f'[mirrors]\n"{CHANNEL}" = ["{url}"]\n'})
    project.good("lock")
    text = project.pixi_lock.read_text()
    assert f"{CHANNEL}/linux-64/libz-1.3-h0.conda" in text
    assert elsewhere.server.url not in text and str(folder) not in text
    project.good("fetch")
    assert len(elsewhere.server.asked(".conda")) == (0 if way == "folder" else len(STACK))
    assert project.stored() == STACK
    urls = {placed["package"]["url"] for placed in project.native()["packages"]}
    assert all(url.startswith(CHANNEL + "/") for url in urls)


def test_a_server_that_says_not_modified_is_asked_again(elsewhere: Sandbox) -> None:
    project = mirrored(elsewhere, f"{elsewhere.server.url}/channel")
    project.server.fault("/repodata_shards.msgpack.zst", Fault(status=304))
    project.run("lock").refused(5, "304 Not Modified", "as `python3 -m http.server` does")
    project.server.fault("/repodata_shards.msgpack.zst", Fault(status=304, times=1))
    project.good("lock")


def test_wrong_bytes_of_one_mirror_are_said(elsewhere: Sandbox) -> None:
    url = elsewhere.server.url
    project = mirrored(elsewhere, f"{url}/bad", f"{url}/channel")
    shutil.copytree(elsewhere.server.root / "channel", elsewhere.server.root / "bad",
                    dirs_exist_ok=True)  # fmt: skip
    project.good("lock")
    elsewhere.server.fault("/bad/linux-64/libz-1.3-h0.conda", Fault(altered=True))
    result = project.good("fetch")
    assert f"{url}/bad/linux-64/libz-1.3-h0.conda gave wrong bytes for libz 1.3 h0" in result.err


def test_wrong_bytes_are_refused_with_both_digests_and_the_url(locked: Sandbox) -> None:
    locked.server.fault("libz-1.3-h0.conda", Fault(altered=True))
    archive = locked.server.root / "channel/linux-64/libz-1.3-h0.conda"
    data = archive.read_bytes()
    wrong = sha256_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    result = locked.run("fetch")
    result.refused(6, "libz 1.3 h0: wrong bytes", f"wanted {sha256_file(archive)}",
        f"sha256 is {wrong}",
        f"{locked.channel}/linux-64/libz-1.3-h0.conda",
    )  # fmt: skip
    assert locked.left_behind() == []
    assert locked.stored() == STACK - {"libz-1.3-h0.conda"}


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault(status=404), "answered 404"),
        (Fault(status=500), "answered 500"),
        (Fault(cut_after=200), "the transfer broke off"),
    ],
)
def test_what_is_not_had_is_named_the_rest_kept(locked: Sandbox, fault: Fault, text: str) -> None:
    locked.server.fault("libz-1.3-h0.conda", replace(fault))
    locked.run("fetch").refused(5, "libz 1.3 h0 cannot be fetched", text, "GEOWHEEL_MIRRORS",
        f"{locked.channel}/linux-64/libz-1.3-h0.conda",
    )  # fmt: skip
    assert fault.status != 404 or locked.server.asked("libz-1.3-h0.conda").total() == 1
    assert locked.left_behind() == []
    locked.server.reset()
    locked.good("fetch")
    assert list(locked.server.counts) == ["/channel/linux-64/libz-1.3-h0.conda"]


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(cut_after=200), Fault(altered=True)])
def test_what_passes_is_tried_again(locked: Sandbox, fault: Fault) -> None:
    locked.server.fault("libz-1.3-h0.conda", replace(fault, times=1))
    locked.good("fetch")
    assert locked.server.asked("libz-1.3-h0.conda").total() == 2


def test_a_server_that_is_gone_is_one_fault_and_not_one_for_each_file(locked: Sandbox) -> None:
    with locked.server.stopped():
        result = locked.run("fetch")
    result.refused(
        5, f"127.0.0.1:{locked.server.port} cannot be reached: Connection refused", "and 4 more"
    )
    assert result.err.count("cannot be fetched") == 1
    assert locked.left_behind() == []


def test_a_dead_server_is_not_asked_for_every_file(locked: Sandbox, tmp_path: Path) -> None:
    locked.server.fault(".conda", Fault(hang_up=True))
    every = [
        Asset(name=f"p{n}", version="1", sha256=f"{n:064}", url=f"{locked.channel}/{n}.conda")
        for n in range(3 * AT_ONCE)
    ]
    with (
        Console(logs=tmp_path, quiet=True).step("fetch", "") as step,
        pytest.raises(ChannelError, match=r"p0 1, .* p4 1 and 19 more cannot be fetched"),
    ):
        Store(folder=tmp_path / "store", mirrors=Mirrors()).obtain(every, step)
    assert len(locked.server.asked(".conda")) == AT_ONCE


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (Fault(hold_after=0), ChannelError, r"127\.0\.0\.1:\d+ sent 0 bytes in 0\.2 s"),
        (Fault(hold_after=100), ChannelError, r"127\.0\.0\.1:\d+ sent \d+ bytes in 0\.2 s"),
        (Fault(hold_after=0, drips=True), ChannelError, r"127\.0\.0\.1:\d+ sent \d+ bytes"),
        (Fault(more=1), IntegrityError, r"more than [\d,]+ bytes came"),
        (Fault(more=9_000_000), IntegrityError, r"more than [\d,]+ bytes came"),
    ],
)
def test_a_download_has_an_end(
    locked: Sandbox, tmp_path: Path, fault: Fault, kind: type[GeowheelError], said: str
) -> None:
    archive = locked.server.root / "channel/linux-64/libz-1.3-h0.conda"
    locked.server.fault("libz-1.3-h0.conda", fault)
    url, size = f"{locked.channel}/linux-64/{archive.name}", archive.stat().st_size
    wanted = Asset(name="libz", version="1.3", sha256=sha256_file(archive), url=url, size=size)
    stall = 60 if fault.more else 0.2  # seconds
    store = Store(folder=tmp_path / "store", mirrors=Mirrors(), stall=stall)
    with Console(logs=tmp_path, quiet=True).step("fetch", "") as step:
        with pytest.raises(kind, match=f"libz 1.3.*{said}"):
            store.obtain([wanted], step)
        assert not [path for path in store.folder.rglob("*.conda") if path.is_file()]
        pairs = ((locked.channel, locked.channel), (locked.channel, str(archive.parents[1])))
        two = replace(store, mirrors=Mirrors(pairs=pairs))
        (found,) = two.obtain([wanted], step)
    fault.release.set()
    assert sha256_file(found.path) == wanted.sha256, "the next place gave it"


@pytest.mark.parametrize(
    ("name", "old", "new", "texts"),
    [
        ("pixi.toml", 'libgdal-core = "*"', 'libgdal-core = ">=3.11"',
         ["linux-64: locked libgdal-core 3.10.3 is not libgdal-core >=3.11"]),
        ("pixi.toml", 'channels = ["', 'channels = ["conda-forge", "',
         ["pixi.toml asks for https://conda.anaconda.org/conda-forge/"]),
        ("pixi.toml", "[dependencies]", '[system-requirements]\nlibc = "2.12"\n[dependencies]',
         ["libgdal-core-3.10.3-h0.conda needs __glibc >=2.17", "the manifest promises 2.12"]),
        ("pixi.lock", "  depends:\n  - libproj >=9\n", "  depends:\n  - libproj >=10\n",
         ["libgdal-core needs libproj >=10, the lock has 9.5.0"]),
        ("pixi.lock", "/channel/linux-64/libz-1.3", "/other/linux-64/libz-1.3",
         ["libz 1.3 h0 is locked from", "/other/linux-64/libz-1.3-h0.conda, which is in none of"]),
        ("pyproject.toml", 'requires = ["tiny-backend"]', 'requires = ["tiny-backend", "numpy"]',
         ["the build lock is not of this GDAL version"]),
    ],
)  # fmt: skip
def test_a_lock_that_no_longer_fits_is_refused(
    locked: Sandbox, name: str, old: str, new: str, texts: list[str]
) -> None:
    locked.edit(name, old, new)
    locked.run("fetch").refused(4, "run `geowheel lock", *texts)
    assert not locked.server.counts
    assert locked.left_behind() == []


def test_frozen_wants_a_committed_lock(sandbox: Sandbox) -> None:
    sandbox.run("fetch", "--frozen").refused(4, "no lock is committed, and --frozen forbids")
    sandbox.good("fetch")
    # What was solved into the work folder meanwhile is no committed lock either.
    sandbox.run("fetch", "--frozen").refused(4, "no lock is committed, and --frozen forbids")
    sandbox.run("fetch", "--frozen", "--channel", sandbox.channel).refused(4, "asks for another")


def test_an_unreachable_channel_says_the_ways_on(sandbox: Sandbox) -> None:
    with sandbox.server.stopped():
        sandbox.run("fetch").refused(5, f"cannot read {sandbox.channel}", "Connection refused",
            "GEOWHEEL_MIRRORS=URL=PLACE", "`geowheel wheel --channel distro ",
        )  # fmt: skip
    assert not list(sandbox.root.glob(".geowheel/locks/*/pixi.lock"))


@pytest.fixture
def fallback(sandbox: Sandbox) -> Sandbox:
    """A host that allows the distro channel, which was made before, and an unreachable channel."""
    folder = sandbox.cache / "channels" / f"distro-{read_distribution()}"
    shutil.copytree(sandbox.server.root / "channel", folder)
    sandbox.write(channel="http://127.0.0.1:1/channel", extra='channel-fallback = "distro"')
    return sandbox


def test_the_fallback_is_loud_and_only_for_the_work_folder(fallback: Sandbox) -> None:
    result = fallback.good("fetch")
    assert "using this distribution's own packages instead" in result.flat
    assert "INSTEAD OF http://127.0.0.1:1/channel, which was out of reach" in result.flat
    assert not fallback.pixi_lock.exists()
    again = fallback.run("fetch")
    assert "INSTEAD OF" in again.err  # said in every run


@pytest.mark.distro
def test_a_suite_that_is_none_gives_way_to_the_next_channel(fallback: Sandbox) -> None:
    extra = 'channel-fallback = ["distro:none", "distro"]'
    fallback.write(channel="http://127.0.0.1:1/channel", extra=extra)
    result = fallback.run("fetch")
    assert result.code == 0, result.err
    assert "distro:none cannot be used, the next one is:" in result.flat
    assert f"distro-{read_distribution()}, INSTEAD OF" in result.flat


def test_no_fallback_where_a_channel_is_meant(fallback: Sandbox, locked_once: Sandbox) -> None:
    fallback.run("fetch", "--frozen").refused(4, "no lock is committed")
    fallback.run("fetch", "--channel", "http://127.0.0.1:1/other").refused(5, "cannot read")
    fallback.run("fetch", GEOWHEEL_CHANNEL="http://127.0.0.1:1/other").refused(5, "cannot read")
    fallback.write(channel=locked_once.channel, extra='channel-fallback = "distro"')
    shutil.copy(locked_once.pixi_lock, fallback.root)
    shutil.copy(locked_once.build_lock, fallback.root)
    with fallback.server.stopped():
        fallback.run("fetch").refused(5, "cannot be reached: Connection refused")


def test_a_platform_that_no_distribution_has_gets_no_fallback(fallback: Sandbox) -> None:
    fallback.write(
        channel="http://127.0.0.1:1/channel",
        extra='channel-fallback = "distro"',
        platforms=("linux-64", "osx-arm64"),
    )
    result = fallback.run("fetch", "--platform", "osx-arm64")
    result.refused(5, "cannot read http://127.0.0.1:1/channel")


def test_a_channel_indexed_again_is_solved_again(sandbox: Sandbox, tmp_path: Path) -> None:
    folder = tmp_path / "my channel"
    write_samples(folder, stack(), [Platform.LINUX_64])
    sandbox.good("fetch", "--channel", str(folder))
    first = sandbox.native()
    assert "https://my-channel.invalid/linux-64/" in first["packages"][1]["package"]["url"]
    second = sandbox.run("fetch", "--channel", str(folder))
    assert "solving" not in second.err
    write_sample(folder, Sample(name="libz", version="1.4"), Platform.LINUX_64)
    index(folder)
    third = sandbox.run("fetch", "--channel", str(folder))
    assert third.code == 0 and "solving" in third.err
    assert "libz-1.4-h0.conda" in sandbox.stored()


def test_another_channel_is_asked_for_the_native_stack_alone(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "channel"
    write_samples(folder, stack(), [Platform.LINUX_64])
    sandbox.edit("pixi.toml", "libgdal-core", "gdal")  # which brings it on conda-forge
    result = sandbox.good("fetch", "--channel", str(folder))
    assert "left out, as no channel here has it: gdal" in result.flat
    assert sandbox.native()["packages"]


def test_a_broken_package_is_refused_by_name(sandbox: Sandbox, tmp_path: Path) -> None:
    folder = tmp_path / "channel"
    write_samples(folder, stack(), [Platform.LINUX_64])
    sandbox.write(channel=str(folder), platforms=["linux-64"])
    package = folder / "linux-64" / "libz-1.3-h0.conda"
    sandbox.good("lock")
    before = sha256_file(package)
    package.write_bytes(package.read_bytes()[:-300])
    # What cannot be unpacked cannot be indexed: the lock is made to name it.
    sandbox.edit("pixi.lock", before, sha256_file(package))
    said = ("libz 1.3 h0 cannot be unpacked", "holds a broken package")
    sandbox.run("fetch").refused(6, *said)
    assert sandbox.left_behind() == []


def flip_a_byte(sandbox: Sandbox, name: str) -> Path:
    (path,) = (sandbox.cache / "store").glob(f"??/*/{name}")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("fresh", [False, True], ids=["fetched here", "by another project"])
def test_a_flipped_byte_in_the_store_is_fetched_again(locked: Sandbox, fresh: bool) -> None:
    locked.good("fetch")
    path = flip_a_byte(locked, "libproj-9.5.0-h0.conda")
    if fresh:
        shutil.rmtree(locked.root / ".geowheel")
    locked.server.reset()
    result = locked.good("fetch")
    assert "libproj 9.5.0 h0 was damaged in the store" in result.err
    assert list(locked.server.counts) == ["/channel/linux-64/libproj-9.5.0-h0.conda"]
    assert sha256_file(path) == path.parent.name


def test_an_edited_file_of_the_prefix_is_placed_again(locked: Sandbox) -> None:
    locked.good("fetch")
    path = locked.prefix() / "share/proj/proj.db"
    path.write_bytes(b"Sqlite")
    result = locked.good("fetch")
    assert "prefix/share/proj/proj.db was changed" in result.err
    assert path.read_bytes() == b"SQLite"


LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""


def run_limited(sandbox: Sandbox, limit: int, *arguments: str) -> Result:
    """As on a full disk: no file may grow beyond `limit` bytes. Works as any user."""
    found = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *sandbox.command(*arguments)],
        env=sandbox.environ, cwd=sandbox.root, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return Result(code=found.returncode, out=found.stdout, err=found.stderr)


def test_a_disk_that_is_full_while_unpacking(locked: Sandbox) -> None:
    locked.good("fetch")
    shutil.rmtree(locked.root / ".geowheel")
    result = run_limited(locked, 20_000, "fetch")  # libz.so.1 has 30 kB
    result.refused(7, "the disk is full")
    assert locked.left_behind() == []


def test_a_disk_that_is_really_full(locked: Sandbox) -> None:
    locked.cache.mkdir()
    mount = f"mount -t tmpfs -o size=16k tmpfs {locked.cache}"
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*unshare, mount], capture_output=True, check=False).returncode
    ):
        reason = "NOT RUN: no user namespaces here, so no small file system can be mounted"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    found = subprocess.run(
        [*unshare, f'{mount} && exec "$@"', "sh", *locked.command("fetch")],
        env=locked.environ, cwd=locked.root, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    result = Result(code=found.returncode, out=found.stdout, err=found.stderr)
    result.refused(7, "the disk is full: No space left on device", "GEOWHEEL_CACHE")
    assert locked.left_behind() == []


def test_where_pixi_gives_up_the_own_store_goes_on(locked: Sandbox, tmp_path: Path) -> None:
    fake = write_program(tmp_path / "pixi", '#!/bin/sh\n[ "$1" = --version ] && echo pixi 0.77.0'
                         " && exit\necho failed to link >&2\nexit 1\n")  # fmt: skip
    result = replace(locked, extra={"GEOWHEEL_PIXI": str(fake)}).run("fetch")
    assert result.code == 0, result.err
    said = [line for line in result.err.splitlines() if "geowheel's own store goes on" in line]
    assert len(said) == 1 and "pixi did not unpack" in said[0]
    assert locked.stored() == STACK


@pytest.fixture
def with_pixi(locked: Sandbox, pixi_cli: Path) -> Sandbox:
    return replace(locked, extra={"GEOWHEEL_PIXI": str(pixi_cli)})


def test_through_pixi_the_prefix_is_the_same(locked: Sandbox, with_pixi: Sandbox) -> None:
    result = with_pixi.good("fetch")
    assert "packages through pixi" in result.err
    assert not with_pixi.stored()
    through_pixi = with_pixi.native()
    shutil.rmtree(locked.root / ".geowheel")
    locked.good("fetch")
    assert locked.stored() == STACK
    assert locked.native() == through_pixi


def test_what_was_damaged_in_pixis_cache_is_thrown_away(with_pixi: Sandbox) -> None:
    with_pixi.good("fetch")
    before = with_pixi.native()
    shutil.rmtree(with_pixi.root / ".geowheel")
    (path,) = with_pixi.cache.glob("pixi/pkgs/libproj-*/share/proj/proj.db")
    path.write_bytes(b"Sqlite")
    result = with_pixi.good("fetch")
    assert "libproj 9.5.0 h0: share/proj/proj.db has sha256" in result.flat
    assert with_pixi.native() == before
    assert not path.exists()


@pytest.mark.parametrize(
    ("fault", "code", "text"),
    [(Fault(altered=True), 6, "libz 1.3 h0"), (Fault(status=404), 5, "libz 1.3 h0")],
)
def test_pixis_refusals_are_ours(with_pixi: Sandbox, fault: Fault, code: int, text: str) -> None:
    with_pixi.server.fault("libz-1.3-h0.conda", replace(fault))
    with_pixi.run("fetch").refused(code, "pixi did not unpack", text)
    assert with_pixi.left_behind() == []


def test_a_namesake_of_another_channel_is_not_taken(with_pixi: Sandbox, tmp_path: Path) -> None:
    with_pixi.good("fetch")
    other = with_pixi.server.root / "other"
    different = [
        replace(s, files={"lib/libz.so.1": b"other"}) if s.name == "libz" else s for s in stack()
    ]
    write_samples(other, different, [Platform.LINUX_64])
    project = replace(with_pixi, root=tmp_path / "other")
    project.write(channel=f"{with_pixi.server.url}/other", platforms=["linux-64"])
    project.good("fetch")
    assert (project.prefix() / "lib/libz.so.1").read_bytes() == b"other"

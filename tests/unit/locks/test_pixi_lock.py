from pathlib import Path

import pytest
from tests.support.hosts import make_package

from geowheel.errors import LockError
from geowheel.locks.locking import difference
from geowheel.locks.native_stack import NativeStack, closure_of, native_stack, oldest_macos
from geowheel.locks.pixi_lock import (
    Solved,
    check_channels,
    check_satisfies,
    read_lock,
    records,
    write_lock,
)
from geowheel.project.manifest import EnvironmentSpec
from geowheel.project.pixi_tables import Spec
from geowheel.targets import Platform

PLUGINS = ("libgdal-netcdf", "libgdal-hdf4", "libgdal-hdf5")


def stack(path: Path, platform: Platform = Platform.LINUX_64) -> NativeStack:
    every = records(read_lock(path), "default", platform, path)
    return native_stack(every, platform, PLUGINS, path)


@pytest.mark.parametrize(
    ("platform", "packages", "megabytes"),
    [(Platform.LINUX_64, 72, 76.1), (Platform.OSX_ARM64, 68, 56.8), (Platform.WIN_64, 57, 59.5)],
)
def test_the_closure_of_a_real_environment_is_taken(
    conda_forge_lock: Path, platform: Platform, packages: int, megabytes: float
) -> None:
    found = stack(conda_forge_lock, platform)
    assert len(found.packages) == packages
    assert sum(p.size or 0 for p in found.packages) / 1e6 == pytest.approx(megabytes, abs=0.05)
    assert found.gdal_version == "3.12.3"
    assert "python" in found.left_out and "gdal" in found.left_out


def test_a_misspelt_plugin_is_told_what_is_nearly_the_same(conda_forge_lock: Path) -> None:
    every = records(read_lock(conda_forge_lock), "default", Platform.LINUX_64, conda_forge_lock)
    with pytest.raises(LockError) as caught:
        native_stack(every, Platform.LINUX_64, ["libgdal-netcfd"], conda_forge_lock)
    assert "no libgdal-netcfd in the environment for linux-64" in str(caught.value)
    assert "did you mean libgdal-netcdf?" in str(caught.value)
    assert "leave it out of plugins" in str(caught.value)


def test_grids_join_the_native_stack_when_asked_for(tmp_path: Path) -> None:
    packages = [
        make_package(name, version="9.5.0", build="h0_0", sha256="ab" * 32, depends=depends,
                     url=f"https://c.invalid/linux-64/{name}-9.5.0-h0_0.conda")
        for name, depends in (("libgdal-core", ("proj",)), ("proj", ()), ("ca-certificates", ()),
                              ("proj-data", ()))
    ]  # fmt: skip
    path = tmp_path / "pixi.lock"
    records_of = [package.record() for package in packages]
    write_lock(path, [Solved(environment="default", platform=Platform.LINUX_64,
                             virtual_packages=(), channels=("https://c.invalid/",),
                             records=records_of)])  # fmt: skip
    every = records(read_lock(path), "default", Platform.LINUX_64, path)
    plain = native_stack(every, Platform.LINUX_64, (), path)
    assert plain.left_out == ("proj-data",)
    asked = native_stack(every, Platform.LINUX_64, ("proj-data",), path)
    assert {p.name for p in asked.packages} - {p.name for p in plain.packages} == {"proj-data"}


def test_a_record_without_sha256_is_refused(conda_forge_lock: Path, tmp_path: Path) -> None:
    text = conda_forge_lock.read_text(encoding="utf-8")
    start = text.index(
        "- conda: https://conda.anaconda.org/conda-forge/linux-64/libgdal-core-",
        text.index("\npackages:"),
    )
    line = text.index("  sha256: ", start)
    path = tmp_path / "pixi.lock"
    path.write_text(text[:line] + text[text.index("\n", line) + 1 :], encoding="utf-8")
    with pytest.raises(LockError, match=r"libgdal-core-.* has no sha256"):
        stack(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version: 99\nenvironments: {}\npackages: []\n", "written by a newer pixi"),
        ("nonsense", "the file is damaged"),
        (None, r"there is no lock\n  next: .*`geowheel lock`$"),
    ],
)
def test_a_lock_that_cannot_be_read(tmp_path: Path, text: str | None, expected: str) -> None:
    if text is not None:
        (tmp_path / "pixi.lock").write_text(text, encoding="utf-8")
    with pytest.raises(LockError, match=expected):
        read_lock(tmp_path / "pixi.lock")


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("libgdal-core >=3.12", None),
        ("libgdal-core <3", r"locked libgdal-core 3.12.3 is not libgdal-core <3"),
        ("no-such-package *", r"no-such-package \* is not locked"),
    ],
)
def test_a_lock_has_what_is_asked(conda_forge_lock: Path, spec: str, fault: str | None) -> None:
    every = records(read_lock(conda_forge_lock), "default", Platform.LINUX_64, conda_forge_lock)
    asked = EnvironmentSpec(
        name="default",
        platform=Platform.LINUX_64,
        channels=(),
        virtual_packages=("__unix=0=0", "__linux=4.18", "__glibc=2.28"),
        specs=(Spec(name=spec.split()[0], text=spec),),
    )
    found = [fault.what for fault in check_satisfies(every, asked, conda_forge_lock)]
    assert found == [] if fault is None else fault.replace("\\", "") in found[0]


def test_what_is_written_is_read_again(conda_forge_lock: Path, tmp_path: Path) -> None:
    every = records(read_lock(conda_forge_lock), "default", Platform.LINUX_64, conda_forge_lock)
    path = tmp_path / "pixi.lock"
    virtual = ("__unix=0=0", "__linux=4.18", "__glibc=2.28", "__archspec=0=x86_64")
    for _ in range(2):
        write_lock(
            path,
            [
                Solved(
                    environment="default",
                    platform=Platform.LINUX_64,
                    virtual_packages=virtual,
                    channels=("https://conda.anaconda.org/conda-forge/",),
                    records=every,
                )
            ],
        )
    assert path.read_text(encoding="utf-8").startswith("version: 7")
    assert stack(path) == stack(conda_forge_lock)
    assert [p.name for p in tmp_path.iterdir()] == ["pixi.lock"]


def test_the_difference_is_by_package(conda_forge_lock: Path) -> None:
    old = stack(conda_forge_lock)
    new = NativeStack(platform=old.platform, packages=old.packages[1:], left_out=())
    gone = old.packages[0]
    assert difference(old, new) == [(gone.name, f"{gone.version} {gone.build}", "-")]
    assert difference(old, old) == []
    found = stack(conda_forge_lock)
    forge = "https://conda.anaconda.org/conda-forge/"
    assert check_channels(found.packages, [forge], conda_forge_lock) == []
    faults = check_channels(found.packages, ["https://conda.anaconda.org/conda/"], conda_forge_lock)
    assert len(faults) == len(found.packages)


PIXI_LOCK = """\
version: 7
platforms:
- name: linux-64
- name: p1
  subdir: linux-64
  virtual-packages:
  - __glibc=2.35
environments:
  default:
    channels:
    - url: https://x.invalid/c/
    packages:
      p1:
      - conda: https://x.invalid/c/linux-64/libgdal-core-3.10.0-h0.conda
packages:
- conda: https://x.invalid/c/linux-64/libgdal-core-3.10.0-h0.conda
  sha256: 67b3be535a1ac8f677de0dc0d77ec38bb681b38b2813244deb27a48da1f2bcea
  depends:
  - __glibc >=2.30
"""


def test_a_platform_is_known_by_its_subdir_whatever_pixi_calls_it(tmp_path: Path) -> None:
    path = tmp_path / "pixi.lock"
    path.write_text(PIXI_LOCK, encoding="utf-8")
    (record,) = records(read_lock(path), "default", Platform.LINUX_64, path)
    assert record.name.normalized == "libgdal-core"
    with pytest.raises(LockError, match=r"osx-64 is not locked \(the lock has linux-64\)"):
        records(read_lock(path), "default", Platform.OSX_64, path)


@pytest.mark.parametrize(
    ("virtual", "fault"),
    [
        (("__glibc=2.30",), None),
        (("__glibc=2.28",), "needs __glibc >=2.30, but the manifest promises 2.28"),
        ((), "the manifest promises none of it"),
    ],
)
def test_a_lock_may_need_less(tmp_path: Path, virtual: tuple[str, ...], fault: str | None) -> None:
    path = tmp_path / "pixi.lock"
    path.write_text(PIXI_LOCK, encoding="utf-8")
    every = records(read_lock(path), "default", Platform.LINUX_64, path)
    asked = EnvironmentSpec(
        name="default", platform=Platform.LINUX_64, channels=(), specs=(), virtual_packages=virtual
    )
    found = check_satisfies(every, asked, path)
    assert [fault is not None and fault in item.what for item in found] == [True] * bool(fault)


def test_only_what_names_need_is_their_closure(conda_forge_lock: Path) -> None:
    every = records(read_lock(conda_forge_lock), "default", Platform.LINUX_64, conda_forge_lock)
    names = [record.name.normalized for record in closure_of(["libgdal-core"], every)]
    assert "proj" in names and "libgdal-core" in names and "gdal" not in names
    assert closure_of(["no-such-package"], every) == []
    every = records(read_lock(conda_forge_lock), "default", Platform.LINUX_64, conda_forge_lock)
    without = [record for record in every if record.name.normalized != "libgdal-core"]
    with pytest.raises(LockError, match="no libgdal-core in the environment"):
        native_stack(without, Platform.LINUX_64, (), conda_forge_lock)


@pytest.mark.parametrize(
    ("platform", "depends", "expected"),
    [
        (Platform.OSX_ARM64, ("__osx >=11.0", "libz"), "11.0"),
        (Platform.OSX_ARM64, ("libz >=1",), "11.0"),
        (Platform.OSX_64, ("__osx >=10.9",), "10.13"),
        (Platform.OSX_64, ("__osx >=10.13,<27", "__osx >=12.3"), "12.3"),
        (Platform.LINUX_64, ("__glibc >=2.17",), None),
        (Platform.WIN_64, (), None),
    ],
)
def test_the_oldest_macos_is_what_the_packages_ask_for(
    platform: Platform, depends: tuple[str, ...], expected: str | None
) -> None:
    package = make_package("libgdal-core", depends=depends)
    found = NativeStack(platform=platform, packages=(package,), left_out=())
    assert oldest_macos(found) == expected

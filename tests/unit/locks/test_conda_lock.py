from pathlib import Path

import pytest
from rattler import MatchSpec

from geowheel.errors import LockError, MachineError
from geowheel.locks import conda_lock
from geowheel.locks.conda_lock import (
    content,
    dependencies,
    difference,
    input_hashes,
    refuse_what_would_be_lost,
    stale,
    written_hashes,
)
from geowheel.locks.pixi_lock import read_lock
from geowheel.project.manifest import Manifest, find_manifest
from geowheel.targets import Platform

PIXI = """[workspace]
channels = ["conda-forge"]
platforms = ["linux-64", "osx-arm64"]
[dependencies]
libgdal-core = "*"
"""
HASHES = """  content_hash:
    linux-64: 0000000000000000000000000000000000000000000000000000000000000abc
    osx-arm64: '0000000000000000000000000000000000000000000000000000000000000000'
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    (tmp_path / "pixi.toml").write_text(PIXI)
    return find_manifest(tmp_path)


@pytest.mark.parametrize(
    ("needs", "expected"),
    [
        (["libz >=1.3,<2.0a0"], {"libz": ">=1.3,<2.0a0"}),
        (["libz"], {"libz": ""}),
        (["libz *"], {"libz": "*"}),
        (["libz>=1"], {"libz": ">=1"}),
        (["conda-forge::libz 1.*"], {"libz": "1.*"}),
        (["python >=3.9", "python"], {"python": ">=3.9"}),
        (["python", "python"], {"python": ""}),
        (["python >=3.9", "python <4"], {"python": ">=3.9,<4"}),
        (["python * *_cp312", "python >=3.9"], {"python": ">=3.9 *_cp312"}),
        (["python >=3.12,<3.13 *_cp312", "python >=3.12,<3.13"],
         {"python": ">=3.12,<3.13 *_cp312"}),
        (["a 1.*|2.*", "a <3"], {"a": "(1.*|2.*),<3"}),
        (["python_abi 3.12.* *_cp312", "__glibc >=2.17,<3.0.a0"],
         {"python_abi": "3.12.* *_cp312", "__glibc": ">=2.17,<3.0.a0"}),
    ],
)  # fmt: skip
def test_several_needs_of_one_name_are_one(needs: list[str], expected: dict[str, str]) -> None:
    found = dependencies(needs)
    assert found == expected
    for name, wanted in found.items():
        MatchSpec(f"{name} {wanted}".strip())  # it can be read again


def test_a_difference_names_platform_and_package(conda_forge_lock: Path) -> None:
    lock = read_lock(conda_forge_lock)
    every = content(lock, "default", [Platform.LINUX_64], conda_forge_lock)
    less = frozenset(package for package in every if package[1] != "zstd")
    other = frozenset((*package[:4], "0" * 32) for package in every if package[1] == "libzlib")
    assert difference(every, every) == []
    assert difference(every, less) == ["linux-64 zstd"]
    changed = (less - {p for p in less if p[1] == "libzlib"}) | other
    assert difference(every, changed) == ["linux-64 libzlib", "linux-64 zstd"]


def test_the_inputs_are_channels_specs_and_systems(manifest: Manifest, tmp_path: Path) -> None:
    before = input_hashes(manifest, "default")
    assert set(before) == {"linux-64", "osx-arm64"} and len(set(before.values())) == 2
    (tmp_path / "pixi.toml").write_text("# a comment\n" + PIXI)
    assert input_hashes(find_manifest(tmp_path), "default") == before
    for old, new in (
        ('"*"', '">=3"'),
        ("conda-forge", "bioconda"),
        ("[dependencies]", '[system-requirements]\nlibc = "2.34"\n[dependencies]'),
    ):
        (tmp_path / "pixi.toml").write_text(PIXI.replace(old, new))
        after = input_hashes(find_manifest(tmp_path), "default")
        assert after["linux-64"] != before["linux-64"]


def test_written_hashes_are_read_without_a_yaml_parser(tmp_path: Path) -> None:
    path = tmp_path / "conda-lock.yml"
    path.write_text(f"version: 1\nmetadata:\n{HASHES}  channels:\n  - url: x\npackage: []\n")
    assert written_hashes(path) == {"linux-64": "0" * 61 + "abc", "osx-arm64": "0" * 64}
    path.write_text("version: 1\n")
    assert written_hashes(path) == {}


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conda_lock, "lacking", lambda: "conda-lock is not installed")


@pytest.mark.usefixtures("lacking")
def test_what_cannot_be_renewed_is_refused(manifest: Manifest) -> None:
    refuse_what_would_be_lost(manifest)  # none there: nothing is lost
    manifest.conda_lock_path.write_text("# Written by geowheel\n")
    with pytest.raises(MachineError, match="conda-lock is not installed") as caught:
        refuse_what_would_be_lost(manifest)
    (fault,) = caught.value.faults
    assert fault.where == str(manifest.conda_lock_path)
    assert "pip install 'geowheel[conda-lock]'" in fault.fix
    manifest.conda_lock_path.write_bytes(b"\xff# Written by geowheel\n")
    with pytest.raises(LockError, match="geowheel did not write it"):
        refuse_what_would_be_lost(manifest)


def test_a_missing_one_may_be_stale(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conda_lock, "lacking", lambda: None)
    (fault,) = stale(manifest, "default")
    assert fault.what == "there is no conda-lock.yml"
    monkeypatch.setattr(conda_lock, "lacking", lambda: "conda-lock is not installed")
    assert stale(manifest, "default") == []


@pytest.mark.parametrize(
    ("version", "expected"),
    [("4.0.3", None), ("4.9", None), ("3.0.4", "conda-lock 3.0.4"), ("5.0", "conda-lock 5.0")],
)
def test_only_a_known_model_is_used(
    monkeypatch: pytest.MonkeyPatch, version: str, expected: str | None
) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _: version)
    found = conda_lock.lacking()
    assert found is None if expected is None else expected in str(found)


def test_a_lock_of_conda_lock_is_used_where_there_is_no_other(manifest: Manifest) -> None:
    assert manifest.committed_lock is None
    manifest.conda_lock_path.write_text("")
    assert manifest.committed_lock == manifest.conda_lock_path
    manifest.lock_path.write_text("")
    assert manifest.committed_lock == manifest.lock_path

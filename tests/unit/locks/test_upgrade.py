"""What `--upgrade` lets go of, and the format of a lock."""

from pathlib import Path

import pytest

from geowheel.errors import UsageError
from geowheel.locks import pixi_lock
from geowheel.locks.upgrades import EVERYTHING, Upgrade, choose
from geowheel.targets import Platform

CONDA = {"libgdal-core", "libproj", "numpy"}
INDEX = {"NumPy", "Tiny_Backend", "gdal"}


def test_what_is_asked_for_is_let_go_of() -> None:
    upgrade = choose([], conda=CONDA, index=INDEX)
    assert upgrade == Upgrade()
    assert upgrade.keeps_conda("libproj") and upgrade.keeps_index("numpy")
    assert not upgrade.of_conda and not upgrade.of_index
    upgrade = choose(["NumPy", "tiny-backend", "libproj"], conda=CONDA, index=INDEX)
    assert upgrade.conda == {"numpy", "libproj"}
    assert upgrade.index == {"numpy", "tiny-backend"}
    assert upgrade.keeps_conda("libgdal-core") and not upgrade.keeps_index("numpy")
    upgrade = choose([EVERYTHING, "libproj"], conda=CONDA, index=INDEX)
    assert not upgrade.keeps_conda("anything") and not upgrade.keeps_index("anything")
    assert upgrade.of_conda and upgrade.of_index


def test_unknown_names_are_all_told_with_near_ones() -> None:
    with pytest.raises(UsageError) as caught:
        choose(["libporj", "zzz", "libproj"], conda=CONDA, index=INDEX)
    first, second = caught.value.faults
    assert "--upgrade libporj" in first.what and "did you mean libproj" in first.cause
    assert "--upgrade zzz" in second.what and not second.cause
    with pytest.raises(UsageError, match="did you mean libgdal-core"):
        choose(["GDAL"], conda=CONDA, index=INDEX)


def test_the_format_of_a_real_lock_is_read(conda_forge_lock: Path, tmp_path: Path) -> None:
    assert pixi_lock.lock_format(conda_forge_lock) == 6
    assert pixi_lock.lock_format(tmp_path / "none") is None
    (tmp_path / "odd").write_bytes(b"\xff")
    assert pixi_lock.lock_format(tmp_path / "odd") is None


def test_locks_are_compared_by_packages(conda_forge_lock: Path, tmp_path: Path) -> None:
    lock = pixi_lock.read_lock(conda_forge_lock)
    solved = [
        pixi_lock.Solved(
            environment=name,
            platform=Platform(str(platform.subdir)),
            virtual_packages=(),
            channels=("https://conda.anaconda.org/conda-forge/",),
            records=pixi_lock.records(lock, name, Platform(str(platform.subdir)), conda_forge_lock),
        )
        for name, environment in lock.environments()
        for platform in environment.platforms()
    ]
    pixi_lock.write_lock(tmp_path / "pixi.lock", solved)
    assert pixi_lock.lock_format(tmp_path / "pixi.lock") == pixi_lock.FORMAT
    assert pixi_lock.differing(lock, pixi_lock.read_lock(tmp_path / "pixi.lock")) == []
    pixi_lock.write_lock(tmp_path / "pixi.lock", solved[1:])
    assert "libgdal-core" in pixi_lock.differing(lock, pixi_lock.read_lock(tmp_path / "pixi.lock"))
    assert {v.split()[0] for v in pixi_lock.locked_names(lock)["libgdal-core"]} == {"3.12.3"}

"""A raw wheel over a native stack, and the repair to try on them: the same for every system."""

import functools
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from geowheel import systems
from geowheel.errors import BuildError, GeowheelError
from geowheel.machine.process import Runner
from geowheel.systems.contract import RepairedTree, RepairRequest
from geowheel.targets import Platform
from geowheel.wheel.writing import write_wheel


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A folder with a native stack and a raw wheel."""

    folder: Path
    lib: Path
    platform: Platform
    raw: Path = Path()
    plugins: str = "osgeo/_plugins"
    more_folders: tuple[Path, ...] = ()
    accept_code: tuple[str, ...] = ()
    floor: str | None = None
    owners: Mapping[str, str] = field(default_factory=dict)

    @functools.cached_property
    def repaired(self) -> RepairedTree:
        return self.repair("work")

    def repair(self, name: str, **environ: str) -> RepairedTree:
        """Do what the stage does, in a folder of that name."""
        return self.repair_wheel(self.raw, name, **environ)

    def repair_wheel(self, raw: Path, name: str, **environ: str) -> RepairedTree:
        scratch = self.folder / name
        request = RepairRequest(
            raw=raw, library_folder=self.lib, more_folders=self.more_folders,
            plugins=self.plugins, folder=scratch, platform=self.platform,
            accept_code=self.accept_code, floor=self.floor, owners=self.owners,
            toolchain=systems.of(self.platform).find_toolchain(self.platform, os.environ)
            if self.floor
            else None,
            run=Runner(scratch / "logs"), environ={"PATH": os.environ["PATH"]} | environ,
        )  # fmt: skip
        return systems.repairer_of(self.platform)(request).repair()

    def refused(self, kind: type[GeowheelError] = BuildError, **environ: str) -> str:
        """What the refusal says."""
        with pytest.raises(kind) as caught:
            self.repair("refused", **environ)
        return str(caught.value)

    def makes_the_same_bytes(self, there: Self, monkeypatch: pytest.MonkeyPatch) -> RepairedTree:
        """Repair elsewhere, as somebody with another umask and another epoch."""
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "999999999")
        before = os.umask(0o077)
        try:
            other = there.repair(
                "elsewhere", TMPDIR=str(there.folder), SOURCE_DATE_EPOCH="999999999"
            )
        finally:
            os.umask(before)
        one, two = (
            write_wheel(repaired.tree, there.folder / name, filename=repaired.filename)
            for name, repaired in (("one", self.repaired), ("two", other))
        )
        assert one.sha256 == two.sha256
        assert other.bundled == self.repaired.bundled
        return other


def pack(tree: Path, folder: Path, tag: str, *, name: str = "Pkg", pure: bool = False) -> Path:
    """A raw wheel of a tree, as a build backend leaves it."""
    for old in tree.glob("*.dist-info"):
        shutil.rmtree(old)
    info = tree / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "WHEEL").write_text(f"Wheel-Version: 1.0\nRoot-Is-Purelib: {str(pure).lower()}\n")
    return write_wheel(tree, folder, filename=f"{name}-1.0-{tag}.whl").path

"""A channel with real GDAL plugins: the distro channel's packages, and small drivers made here.

No distribution ships a driver as a loadable file, and conda-forge is not always in reach. Each
plugin is compiled against the headers of the prefix and needs a library of its own, as those of
conda-forge do; the broken ones are the planted faults.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from geowheel.distro.conda_package import (
    PackageMetadata,
    read_payload,
    with_content_build,
    write_package,
)
from geowheel.targets import Platform
from tests.support.fixture_channel import index

LIBRARY_SOURCE: Final = "int toy_answer(void) { return 42; }\n"
PLUGIN_SOURCE: Final = """
#include "gdal_priv.h"
extern "C" int toy_answer(void);

class ToyBand final : public GDALRasterBand {
  public:
    explicit ToyBand(GDALDataset *owner) {
        poDS = owner; nBand = 1; eDataType = GDT_Byte;
        nBlockXSize = owner->GetRasterXSize(); nBlockYSize = 1;
    }
    CPLErr IReadBlock(int, int y, void *data) override {
        for (int x = 0; x < nBlockXSize; x++)
            static_cast<GByte *>(data)[x] = static_cast<GByte>(toy_answer() + 10 * y + x);
        return CE_None;
    }
};

class ToyDataset final : public GDALDataset {
  public:
    static int Identify(GDALOpenInfo *info) {
        return info->nHeaderBytes >= 4 && memcmp(info->pabyHeader, NAME " ", 4) == 0;
    }
    static GDALDataset *Open(GDALOpenInfo *info) {
        if (!Identify(info)) return nullptr;
        ToyDataset *made = new ToyDataset();
        made->nRasterXSize = made->nRasterYSize = 3;
        made->SetBand(1, new ToyBand(made));
        return made;
    }
};

extern "C" CPL_DLL void REGISTER() {
    if (!GDALCheckVersion(GDAL_VERSION_MAJOR, MINOR, "driver " NAME)) return;
    if (GDALGetDriverByName(NAME)) return;
    GDALDriver *driver = new GDALDriver();
    driver->SetDescription(NAME);
    driver->SetMetadataItem(GDAL_DCAP_RASTER, "YES");
    driver->pfnIdentify = ToyDataset::Identify;
    driver->pfnOpen = ToyDataset::Open;
    GetGDALDriverManager()->RegisterDriver(driver);
}
"""


@dataclass(frozen=True, kw_only=True)
class Toy:
    """One plugin package; the driver's name has three letters."""

    package: str
    driver: str
    depends: tuple[str, ...] = ("libtoy",)
    minor: str = "GDAL_VERSION_MINOR"
    kept: float = 1.0
    """The part of the file that is packaged."""


SOUND: Final = Toy(package="libgdal-toy", driver="TOY")
WITHOUT_LIBRARY: Final = Toy(package="libgdal-toy-alone", driver="TOA", depends=())
OF_ANOTHER_GDAL: Final = Toy(package="libgdal-toy-newer", driver="TON", minor="99")
TRUNCATED: Final = Toy(package="libgdal-toy-truncated", driver="TOT", kept=0.6)


def write_plugin_channel(distro: Path, prefix: Path, folder: Path, scratch: Path) -> Path:
    """The channel in `distro` with toys, compiled against `prefix`, in `folder`.

    It has the same name, so that all other packages are locked as they were.
    """
    goal = folder / distro.name
    ignored = shutil.ignore_patterns("repodata*", "distro.json")
    shutil.copytree(distro, goal, ignore=ignored, copy_function=os.link)
    subdir = goal / Platform.LINUX_64
    (core,) = subdir.glob("libgdal-core-*.conda")
    version = core.name.split("-")[2]
    library = _compile_library(scratch / "libtoy" / "lib")
    _pack("libtoy", "1.0", (), scratch / "libtoy", subdir)
    for toy in (SOUND, WITHOUT_LIBRARY, OF_ANOTHER_GDAL, TRUNCATED):
        _compile_plugin(toy, prefix, library, scratch / toy.package)
        depends = (f"libgdal-core =={version}", *toy.depends)
        _pack(toy.package, version, depends, scratch / toy.package, subdir)
    index(goal)
    return goal


def _compile_library(folder: Path) -> Path:
    folder.mkdir(parents=True)
    source = folder.parent.parent / "toy.c"
    source.write_text(LIBRARY_SOURCE, encoding="utf-8")
    made = folder / "libtoy.so.1.0"
    _run("gcc", "-shared", "-fPIC", "-O1", "-Wl,-soname,libtoy.so.1", source, "-o", made)
    for name in ("libtoy.so.1", "libtoy.so"):
        (folder / name).symlink_to(made.name)
    return folder


def _compile_plugin(toy: Toy, prefix: Path, library: Path, tree: Path) -> None:
    source = tree.parent / f"{toy.package}.cpp"
    source.write_text(PLUGIN_SOURCE, encoding="utf-8")
    made = tree / "lib" / "gdalplugins" / f"gdal_{toy.driver}.so"
    made.parent.mkdir(parents=True)
    _run(
        "g++", "-shared", "-fPIC", "-O1", "-std=c++17", "-w",
        f'-DNAME="{toy.driver}"', f"-DREGISTER=GDALRegister_{toy.driver}", f"-DMINOR={toy.minor}",
        f"-I{prefix / 'include'}", source, "-o", made,
        f"-L{prefix / 'lib'}", "-lgdal", f"-L{library}", "-ltoy",
        "-Wl,-rpath,$ORIGIN/..", "-Wl,--allow-shlib-undefined",
    )  # fmt: skip
    data = made.read_bytes()
    made.write_bytes(data[: int(len(data) * toy.kept)])


def _pack(name: str, version: str, depends: tuple[str, ...], tree: Path, subdir: Path) -> None:
    payload = read_payload(tree)
    metadata = PackageMetadata(
        name=name, version=version, build="toy", subdir=Platform.LINUX_64, depends=depends,
        license="MIT",
    )  # fmt: skip
    write_package(payload, with_content_build(metadata, payload), subdir)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


def ask_for(manifest: Path, names: Iterable[str]) -> None:
    """Add packages to the dependencies of a pixi.toml."""
    added = "".join(f'{name} = "*"\n' for name in names)
    text = manifest.read_text(encoding="utf-8")
    assert "ca-certificates" in text
    manifest.write_text(text.replace("ca-certificates", f"{added}ca-certificates"), "utf-8")


def name_in_plugins(pyproject: Path, name: str) -> None:
    """Add a package to plugins in [tool.geowheel]."""
    text = pyproject.read_text(encoding="utf-8")
    assert '"libgdal-netcdf"]' in text
    text = text.replace('"libgdal-netcdf"]', f'"libgdal-netcdf", "{name}"]')
    pyproject.write_text(text, encoding="utf-8")

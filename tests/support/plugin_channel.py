"""A channel with real GDAL plugins: the distro channel's packages, and small drivers made here.

No distribution ships a driver as a loadable file, and conda-forge is not always in reach. Each
plugin is compiled against the headers of the prefix and needs a library of its own, as those of
conda-forge do; the broken ones are the planted faults.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from geowheel.targets import Platform
from tests.support.fixture_channel import Sample, write_samples

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
    scratch.mkdir()
    library = _compile_library(scratch)
    samples = [
        Sample(
            name="libtoy", version="1.0", build="toy", files={"lib/libtoy.so.1.0": library},
            links=dict.fromkeys(("lib/libtoy.so.1", "lib/libtoy.so"), "libtoy.so.1.0"),
        )
    ]  # fmt: skip
    for toy in (SOUND, WITHOUT_LIBRARY, OF_ANOTHER_GDAL, TRUNCATED):
        plugin = _compile_plugin(toy, prefix, scratch)
        samples.append(
            Sample(
                name=toy.package, version=version, build="toy",
                depends=(f"libgdal-core =={version}", *toy.depends),
                files={f"lib/gdalplugins/gdal_{toy.driver}.so": plugin},
            )
        )  # fmt: skip
    write_samples(goal, samples, (Platform.LINUX_64,))
    return goal


def _compile_library(folder: Path) -> bytes:
    source, made = folder / "toy.c", folder / "libtoy.so"
    source.write_text(LIBRARY_SOURCE, encoding="utf-8")
    _run("gcc", "-shared", "-fPIC", "-O1", "-Wl,-soname,libtoy.so.1", source, "-o", made)
    return made.read_bytes()


def _compile_plugin(toy: Toy, prefix: Path, folder: Path) -> bytes:
    source, made = folder / f"{toy.package}.cpp", folder / f"gdal_{toy.driver}.so"
    source.write_text(PLUGIN_SOURCE, encoding="utf-8")
    _run(
        "g++", "-shared", "-fPIC", "-O1", "-std=c++17", "-w",
        f'-DNAME="{toy.driver}"', f"-DREGISTER=GDALRegister_{toy.driver}", f"-DMINOR={toy.minor}",
        f"-I{prefix / 'include'}", source, "-o", made,
        f"-L{prefix / 'lib'}", "-lgdal", f"-L{folder}", "-ltoy",
        "-Wl,-rpath,$ORIGIN/..", "-Wl,--allow-shlib-undefined",
    )  # fmt: skip
    data = made.read_bytes()
    return data[: int(len(data) * toy.kept)]


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

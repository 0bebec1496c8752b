"""Channels for platforms that this machine is not, with all that hosts/gdal asks for.

`python -m tests.support.foreign_channels DIR` writes one for win-64 and osx-arm64, to try
`nox -s wheel-3.12 -- --platform win-64 --bindings prebuilt --channel DIR` by hand.
"""

import sys
import tempfile
from pathlib import Path
from typing import Final

from geowheel.targets import Platform
from tests.support.fixture_channel import GDAL, Sample, write_samples
from tests.support.macos_fixtures import macos_samples
from tests.support.windows_fixtures import compile_stack, windows_samples

MORE_PLUGINS: Final = {
    "libgdal-grib": "gdal_GRIB",
    "libgdal-hdf4": "gdal_HDF4",
    "libgdal-netcdf": "gdal_netCDF",
}
"""What hosts/gdal names beside libgdal-hdf5: the same plugin under other names."""
PLUGINS: Final = 1 + len(MORE_PLUGINS)


def write_channel(channel: Path, platform: Platform) -> Path:
    """Write and index the packages of a platform; returns the channel."""
    windows = platform is Platform.WIN_64
    with tempfile.TemporaryDirectory(prefix="geowheel-") as name:
        scratch = Path(name)
        samples = (
            windows_samples(compile_stack(platform, scratch))
            if windows
            else macos_samples(scratch, platform)
        )
    (hdf5,) = (sample for sample in samples if sample.name == "libgdal-hdf5")
    (plugin,) = (path for path in hdf5.files if "gdalplugins" in path)
    more = [
        Sample(
            name=package, version=GDAL,
            files={plugin.replace("gdal_HDF5", stem): hdf5.files[plugin]},
            depends=(f"libgdal-core {GDAL}.*", "hdf5" if windows else "libgdal-hdf5"),
        )
        for package, stem in MORE_PLUGINS.items()
    ]  # fmt: skip
    write_samples(channel, [*samples, *more], (platform,))
    return channel


if __name__ == "__main__":
    for platform in (Platform.WIN_64, Platform.OSX_ARM64):
        write_channel(Path(sys.argv[1]).absolute(), platform)

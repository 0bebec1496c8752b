"""Channels for platforms that this machine is not, with all that hosts/gdal asks for.

`python -m tests.support.foreign_channels DIR` writes one for win-64 and osx-arm64, to try
`nox -s wheel-3.12 -- --platform win-64 --bindings prebuilt --channel DIR` by hand.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from geowheel.targets import Platform
from tests.support import macos_fixtures, windows_fixtures
from tests.support.fixture_channel import GDAL, Sample, index, write_sample, write_samples
from tests.support.macos_fixtures import write_macos_channel
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
    with tempfile.TemporaryDirectory(prefix="geowheel-") as scratch:
        if platform is Platform.WIN_64:
            stack = compile_stack(platform, Path(scratch))
            plugin = stack.data(windows_fixtures.PLUGIN)
            more = list(_more_plugins(plugin, "Library/lib/gdalplugins", ".dll", "hdf5"))
            write_samples(channel, [*windows_samples(stack), *more], (platform,))
            return channel
        write_macos_channel(channel, Path(scratch), platform=platform)
        made = Path(scratch, "prefix", "lib", "gdalplugins", macos_fixtures.PLUGIN).read_bytes()
        for sample in _more_plugins(made, "lib/gdalplugins", ".dylib", "libgdal-hdf5"):
            write_sample(channel, sample, platform)
    index(channel)
    return channel


def _more_plugins(data: bytes, folder: str, suffix: str, needs: str) -> Iterator[Sample]:
    for package, stem in MORE_PLUGINS.items():
        yield Sample(
            name=package,
            version=GDAL,
            depends=(f"libgdal-core {GDAL}.*", needs),
            files={f"{folder}/{stem}{suffix}": data},
        )


if __name__ == "__main__":
    for platform in (Platform.WIN_64, Platform.OSX_ARM64):
        write_channel(Path(sys.argv[1]).absolute(), platform)

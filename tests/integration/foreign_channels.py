"""Channels for platforms that this machine is not, with all that hosts/gdal asks for.

`python -m tests.integration.foreign_channels DIR` writes one for win-64 and osx-arm64, to try
`nox -s wheel-3.12 -- --platform win-64 --bindings prebuilt --channel DIR` by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from geowheel.targets import Platform

from .fixture_channel import GDAL, Sample, write_samples
from .windows_fixtures import PLUGIN, WindowsStack, compile_stack, windows_samples

MORE_PLUGINS: Final = {"libgdal-hdf4": "gdal_HDF4", "libgdal-netcdf": "gdal_netCDF"}
"""What hosts/gdal names beside libgdal-hdf5: the same plugin under other names."""


def write_windows_channel(channel: Path, scratch: Path) -> Path:
    """Write and index a channel for win-64; returns it."""
    stack = compile_stack(Platform.WIN_64, scratch / "windows")
    samples = [*windows_samples(stack), *_more_windows_plugins(stack)]
    write_samples(channel, samples, (Platform.WIN_64,))
    return channel


def _more_windows_plugins(stack: WindowsStack) -> Iterator[Sample]:
    for package, stem in MORE_PLUGINS.items():
        yield Sample(
            name=package,
            version=GDAL,
            depends=(f"libgdal-core {GDAL}.*", "hdf5"),
            files={f"Library/lib/gdalplugins/{stem}.dll": stack.data(PLUGIN)},
        )


if __name__ == "__main__":
    folder = Path(sys.argv[1]).absolute()
    write_windows_channel(folder, folder.with_name(f".{folder.name}-made"))

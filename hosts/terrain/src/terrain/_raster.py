"""A raster in memory, and where it lies."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from terrain._gradient import grid

GeoTransform: TypeAlias = tuple[float, float, float, float, float, float]
FilePath: TypeAlias = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True, eq=False)
class Raster:
    """One band: its values, GDAL's six geotransform numbers, its CRS as WKT, its no-data value.

    `crs` is empty and `nodata` is None where there is none.
    """

    array: npt.NDArray[Any]
    geotransform: GeoTransform
    crs: str = ""
    nodata: float | None = None

    def __post_init__(self) -> None:
        if isinstance(grid("array", self.array), np.ma.MaskedArray):
            raise TypeError("array is masked, which files are not: fill it with the no-data value")
        if len(self.geotransform) != 6 or not all(map(math.isfinite, self.geotransform)):
            raise ValueError(f"geotransform is {self.geotransform!r}; it has to be six numbers")

    @classmethod
    def read(cls, path: FilePath, band: int = 1) -> Raster:
        """A band of any raster that GDAL reads; InputError if that is not possible."""
        from terrain import _gdal

        with _gdal.opened(path, band) as source:
            return cls(
                array=source.read(0, source.rows),
                geotransform=source.geotransform,
                crs=source.crs,
                nodata=source.nodata,
            )

    def write(self, path: FilePath) -> None:
        """A GeoTIFF, complete or not at all; OutputError if that is not possible."""
        from terrain import _gdal

        layout = _gdal.Layout(
            rows=self.array.shape[0],
            columns=self.array.shape[1],
            dtype=self.array.dtype,
            geotransform=self.geotransform,
            crs=self.crs,
            nodata=self.nodata,
        )
        with _gdal.created(path, layout) as target:
            target.write(0, self.array)

    def like(self, array: npt.ArrayLike, nodata: float | None = math.nan) -> Raster:
        """Other values in the same place; NaN among them becomes the no-data value."""
        values = grid("array", array)
        if values.shape != self.array.shape:
            raise ValueError(f"array has the shape {values.shape}, the raster {self.array.shape}")
        if nodata is not None and not math.isnan(nodata) and values.dtype.kind == "f":
            values = values.copy()
            values[np.isnan(values)] = nodata
        return replace(self, array=values, nodata=nodata)

    @property
    def cell_size(self) -> tuple[float, float]:
        """Width and height of a cell in the units of the CRS, for slope, aspect and hillshade."""
        return cell_size(self.geotransform)

    def ground_cell_size(self) -> tuple[float, float]:
        """`cell_size`, in metres at the raster's centre if the CRS counts in degrees."""
        from terrain import _gdal

        return _gdal.ground_cell_size(self.geotransform, self.crs, self.array.shape[0])


def cell_size(geotransform: GeoTransform) -> tuple[float, float]:
    """Width and height of a cell; the height is negative where rows go from south to north."""
    _, width, row_skew, _, column_skew, height = geotransform
    if row_skew or column_skew:
        raise ValueError("the raster is rotated: warp it to rows from west to east first")
    return width, -height

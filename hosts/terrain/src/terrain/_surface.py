"""Slope, aspect and hillshade: of a gradient, and of a whole array."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from terrain._gradient import (
    BLOCK_CELLS,
    AnyArray,
    CellSize,
    Gradient,
    Heights,
    Method,
    Stencil,
    blocks,
    gradient,
    grid,
    heights,
    one_of,
    positive,
)

SlopeUnits = Literal["degrees", "percent"]
FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
Quantity: TypeAlias = Callable[[Gradient], Heights]


@dataclass(frozen=True, kw_only=True)
class Slope:
    units: SlopeUnits = "degrees"
    z_factor: float = 1.0

    def __post_init__(self) -> None:
        one_of("units", self.units, get_args(SlopeUnits))
        positive("z_factor", self.z_factor)

    def __call__(self, surface: Gradient) -> Heights:
        rise: Heights = self.z_factor * np.hypot(surface.east, surface.north)
        return 100.0 * rise if self.units == "percent" else np.degrees(np.arctan(rise))


@dataclass(frozen=True, kw_only=True)
class Aspect:
    zero_for_flat: bool = False

    def __call__(self, surface: Gradient) -> Heights:
        # 0.0 - x and not -x: it never gives -0.0, which would turn north into south.
        azimuth = np.degrees(np.arctan2(0.0 - surface.east, 0.0 - surface.north))
        # Rounding may bring a tiny negative angle to 360.
        azimuth = np.where(azimuth < 0, azimuth + 360.0, azimuth)
        azimuth[azimuth >= 360.0] = 0.0
        flat = (surface.east == 0) & (surface.north == 0)
        azimuth[flat] = 0.0 if self.zero_for_flat else np.nan
        return azimuth


@dataclass(frozen=True, kw_only=True)
class Hillshade:
    azimuth: float = 315.0
    altitude: float = 45.0
    z_factor: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.azimuth):
            raise ValueError(f"azimuth is {self.azimuth!r}; it has to be a number of degrees")
        if not 0 <= self.altitude <= 90:
            raise ValueError(f"altitude is {self.altitude!r}; it has to be from 0 to 90 degrees")
        positive("z_factor", self.z_factor)

    def __call__(self, surface: Gradient) -> Heights:
        azimuth, altitude = math.radians(self.azimuth), math.radians(self.altitude)
        towards = math.sin(azimuth) * surface.east + math.cos(azimuth) * surface.north
        light = math.sin(altitude) - math.cos(altitude) * self.z_factor * towards
        steepness = self.z_factor**2 * (surface.east**2 + surface.north**2)
        shade: Heights = 1.0 + 254.0 * np.maximum(light / np.sqrt(1.0 + steepness), 0.0)
        return shade


def slope(
    dem: npt.ArrayLike,
    cell_size: CellSize,
    *,
    units: SlopeUnits = "degrees",
    method: Method = "horn",
    z_factor: float = 1.0,
    nodata: float | None = None,
    compute_edges: bool = False,
) -> FloatArray:
    """How steep a surface is, in degrees or in percent.

    `cell_size` is the width and height of a cell, in the units of the heights; a pair where they
    differ, with a negative height where the first row is the southernmost. `z_factor` multiplies
    the heights: 0.3048 for feet over metres. Cells without data (`nodata`, NaN, infinities, masked)
    are NaN in the result, and so are their neighbours and the border unless `compute_edges` is set.
    The result is float32, or float64 for float64 and large integers.
    """
    stencil = Stencil.checked(cell_size, method, compute_edges)
    return _of_array(dem, nodata, stencil, Slope(units=units, z_factor=z_factor))


def aspect(
    dem: npt.ArrayLike,
    cell_size: CellSize,
    *,
    method: Method = "horn",
    zero_for_flat: bool = False,
    nodata: float | None = None,
    compute_edges: bool = False,
) -> FloatArray:
    """Which way a surface falls: degrees from north, clockwise, from 0 up to but not 360.

    Flat cells are NaN, or 0 with `zero_for_flat`. The other arguments are those of `slope`.
    """
    stencil = Stencil.checked(cell_size, method, compute_edges)
    return _of_array(dem, nodata, stencil, Aspect(zero_for_flat=zero_for_flat))


def hillshade(
    dem: npt.ArrayLike,
    cell_size: CellSize,
    *,
    azimuth: float = 315.0,
    altitude: float = 45.0,
    z_factor: float = 1.0,
    method: Method = "horn",
    nodata: float | None = None,
    compute_edges: bool = False,
) -> FloatArray:
    """How bright a surface is, from 1 (in the shade) to 255 (facing the light); not rounded.

    The light comes from `azimuth`, degrees from north, clockwise, at `altitude` degrees above the
    horizon. The other arguments are those of `slope`.
    """
    stencil = Stencil.checked(cell_size, method, compute_edges)
    light = Hillshade(azimuth=azimuth, altitude=altitude, z_factor=z_factor)
    return _of_array(dem, nodata, stencil, light)


def float_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type of a result: float32 where it holds every height, else float64."""
    single = np.dtype(np.float32)
    return single if np.result_type(dtype, single) == single else np.dtype(np.float64)


def _of_array(
    dem: npt.ArrayLike,
    nodata: float | None,
    stencil: Stencil,
    quantity: Quantity,
    cells: int = BLOCK_CELLS,
) -> FloatArray:
    array: AnyArray = grid("dem", dem)
    result: FloatArray = np.empty(array.shape, float_type(array.dtype))
    rows_in_all, columns = array.shape
    for block in blocks(rows_in_all, columns, cells):
        rows = heights(array[block.first : block.last], nodata)
        result[block.start : block.stop] = quantity(gradient(rows, block, stencil))
    return result

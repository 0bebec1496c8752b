"""The gradient of a surface from 3 x 3 neighbourhoods, block of rows by block of rows.

Borders and no-data follow gdaldem. Without `compute_edges` a cell needs all eight neighbours. With
it a neighbour that has no data is taken to be as high as the cell itself, and the row or column
beyond the border is extrapolated from the two before it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

AnyArray: TypeAlias = npt.NDArray[Any]
Heights: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]
Method = Literal["horn", "zevenbergen-thorne"]
CellSize: TypeAlias = float | tuple[float, float]

# 2 MB a temporary array, of which there are some thirty: little memory, and near the caches.
BLOCK_CELLS = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Gradient:
    """Rise per horizontal unit towards the east and the north; NaN where it is unknown."""

    east: Heights
    north: Heights


@dataclass(frozen=True, kw_only=True)
class Stencil:
    """How a gradient is taken: checked once, then applied to any number of blocks."""

    cell_size: tuple[float, float]
    method: Method = "horn"
    compute_edges: bool = False

    @classmethod
    def checked(cls, cell_size: CellSize, method: Method, compute_edges: bool) -> Stencil:
        return cls(
            cell_size=_cell_sizes(cell_size),
            method=one_of("method", method, get_args(Method)),
            compute_edges=compute_edges,
        )


@dataclass(frozen=True, kw_only=True)
class Block:
    """Rows `start` to `stop` of a raster, and the rows around them that their cells look at."""

    start: int
    stop: int
    total: int

    @property
    def first(self) -> int:
        return max(self.start - 1, 0)

    @property
    def last(self) -> int:
        return min(self.stop + 1, self.total)

    @property
    def at_top(self) -> bool:
        return self.start == 0

    @property
    def at_bottom(self) -> bool:
        return self.stop == self.total


def blocks(rows: int, columns: int, cells: int = BLOCK_CELLS) -> Iterator[Block]:
    """The blocks of a raster, from the top, each of about `cells` cells and at least one row."""
    height = max(1, cells // max(columns, 1))
    for start in range(0, rows, height):
        yield Block(start=start, stop=min(start + height, rows), total=rows)


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> Any:
    """The value, if it is one of those allowed."""
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}; it has to be one of {', '.join(allowed)}")
    return value


def positive(name: str, value: float) -> float:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} is {value!r}; it has to be a finite number above 0")
    return float(value)


def grid(name: str, array: npt.ArrayLike) -> AnyArray:
    """The array, if it is a two-dimensional one of real numbers. A mask is kept."""
    checked: AnyArray = np.asanyarray(array)
    if checked.ndim != 2:
        raise ValueError(f"{name} has {checked.ndim} dimensions; it has to have rows and columns")
    if checked.dtype.kind not in "iuf":
        raise TypeError(f"{name} holds {checked.dtype}; it has to hold integers or real numbers")
    return checked


def missing(array: AnyArray, nodata: float | None) -> Mask:
    """Where an array has no data: the no-data value, NaN, infinities, and what a mask hides."""
    values: AnyArray = np.ma.getdata(array)
    absent: Mask = ~np.isfinite(values)
    if nodata is not None:
        # In the array's own precision: files often store the no-data value as float64.
        with np.errstate(over="ignore"):
            absent |= values == nodata
    if isinstance(array, np.ma.MaskedArray):
        absent |= np.ma.getmaskarray(array)
    return absent


def heights(dem: AnyArray, nodata: float | None) -> Heights:
    """The heights as float64, NaN where there is no data."""
    values: Heights = np.ma.getdata(dem).astype(np.float64)
    values[missing(dem, nodata)] = np.nan
    return values


def gradient(rows: Heights, block: Block, stencil: Stencil) -> Gradient:
    """The gradient of a block; `rows` are its rows `first` to `last`."""
    edges = stencil.compute_edges and block.total >= 2 and rows.shape[1] >= 2
    frame = _framed(rows, block)
    if not edges:
        return _of_frame(frame, replace(stencil, compute_edges=False))
    _extrapolate(frame, block)
    result = _of_frame(frame, stencil)
    _corners(result, frame, block, stencil)
    return result


def _cell_sizes(cell_size: CellSize) -> tuple[float, float]:
    sizes = cell_size if isinstance(cell_size, tuple) else (cell_size, cell_size)
    if len(sizes) != 2 or not all(math.isfinite(size) and size != 0 for size in sizes):
        raise ValueError(
            f"cell_size is {cell_size!r}; it has to be a number, or a pair (width, height) "
            "of numbers, finite and not 0"
        )
    return float(sizes[0]), float(sizes[1])


def _framed(rows: Heights, block: Block) -> Heights:
    """The rows with a column of NaN on both sides, and a row of NaN where the raster ends."""
    ends = (int(block.at_top), int(block.at_bottom))
    return np.pad(rows, (ends, (1, 1)), constant_values=np.nan)


def _extrapolate(frame: Heights, block: Block) -> None:
    frame[:, 0] = 2 * frame[:, 1] - frame[:, 2]
    frame[:, -1] = 2 * frame[:, -2] - frame[:, -3]
    if block.at_top:
        frame[0, 1:-1] = 2 * frame[1, 1:-1] - frame[2, 1:-1]
    if block.at_bottom:
        frame[-1, 1:-1] = 2 * frame[-2, 1:-1] - frame[-3, 1:-1]


def _corners(result: Gradient, frame: Heights, block: Block, stencil: Stencil) -> None:
    """The raster's corners: gdaldem extrapolates them along the column and repeats the column."""
    ends = [row for row, there in ((0, block.at_top), (-1, block.at_bottom)) if there]
    for row in ends:
        near = frame[:3] if row == 0 else frame[-3:]
        left, right = near[:, [1, 1, 2]], near[:, [-3, -2, -2]]
        for column, window in ((0, left), (-1, right)):
            corner = _of_frame(window, stencil)
            result.east[row, column] = corner.east[0, 0]
            result.north[row, column] = corner.north[0, 0]


def _of_frame(frame: Heights, stencil: Stencil) -> Gradient:
    """The gradient of all cells of a frame but its outermost."""
    window = _neighbours(frame)
    absent = _neighbours(np.isnan(frame))
    centre = window[4]
    if stencil.compute_edges:
        unknown: Mask = absent[4]
        window = [
            np.where(gone, centre, values) for gone, values in zip(absent, window, strict=True)
        ]
    else:
        unknown = np.logical_or.reduce(absent)
    right_left, top_bottom, weight = _differences(window, stencil.method)
    width, height = stencil.cell_size
    east = right_left / (weight * width)
    north = top_bottom / (weight * height)
    east[unknown] = np.nan
    north[unknown] = np.nan
    return Gradient(east=east, north=north)


def _neighbours(frame: npt.NDArray[Any]) -> list[AnyArray]:
    """Nine views, row by row: the north-western neighbours of all cells first, themselves fifth."""
    rows, columns = frame.shape[0] - 2, frame.shape[1] - 2
    return [frame[i : i + rows, j : j + columns] for i in range(3) for j in range(3)]


def _differences(window: list[Heights], method: Method) -> tuple[Heights, Heights, float]:
    """Right minus left, top minus bottom, and how many cell sizes they are apart in all."""
    nw, n, ne, w, _, e, sw, s, se = window
    if method == "zevenbergen-thorne":
        return e - w, n - s, 2.0
    return (ne + 2 * e + se) - (nw + 2 * w + sw), (nw + 2 * n + ne) - (sw + 2 * s + se), 8.0

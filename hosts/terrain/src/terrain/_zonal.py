"""Statistics of the values in each zone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from terrain._gradient import AnyArray, grid, missing

Column: TypeAlias = npt.NDArray[np.float64]
Counts: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ZonalStatistics:
    """A table in columns: one row a zone, in ascending order of the zones.

    `std` is of the values themselves, not of a sample. A zone without any data has the count 0, the
    sum 0 and NaN elsewhere.
    """

    zone: Counts
    count: Counts
    sum: Column
    mean: Column
    min: Column
    max: Column
    std: Column
    median: Column

    def __len__(self) -> int:
        return len(self.zone)

    def rows(self) -> Iterator[dict[str, int | float]]:
        """The rows, each under the names of the columns."""
        names = [field.name for field in fields(self)]
        columns = [getattr(self, name).tolist() for name in names]
        for values in zip(*columns, strict=True):
            yield dict(zip(names, values, strict=True))


def zonal_statistics(
    values: npt.ArrayLike,
    zones: npt.ArrayLike,
    *,
    nodata: float | None = None,
    zones_nodata: float | None = None,
) -> ZonalStatistics:
    """Count, sum, mean, minimum, maximum, standard deviation and median of the values per zone.

    `zones` holds the number of each cell's zone. Cells without data in `values` (`nodata`, NaN,
    infinities, masked) count nowhere; cells without data in `zones` belong to no zone.
    """
    value_grid, zone_grid = grid("values", values), grid("zones", zones)
    if value_grid.shape != zone_grid.shape:
        raise ValueError(
            f"values has the shape {value_grid.shape} and zones {zone_grid.shape}; "
            "they have to cover the same cells"
        )
    inside = ~missing(zone_grid, zones_nodata)
    numbers, labels = np.unique(_whole(np.ma.getdata(zone_grid)[inside]), return_inverse=True)
    usable = ~missing(value_grid, nodata)[inside]
    data: Column = np.ma.getdata(value_grid)[inside][usable].astype(np.float64)
    return _table(numbers, labels[usable], data)


def _whole(zones: AnyArray) -> Counts:
    """The zones as integers."""
    if zones.dtype.kind == "f":
        outside = (zones != np.trunc(zones)) | (np.abs(zones) >= 2.0**63)
    else:
        outside = zones > np.iinfo(np.int64).max
    if outside.any():
        raise ValueError(f"zones has {zones[outside][0]!s}; zones have to be whole numbers")
    return zones.astype(np.int64)


def _table(numbers: Counts, labels: npt.NDArray[np.intp], data: Column) -> ZonalStatistics:
    size = len(numbers)
    count: Counts = np.bincount(labels, minlength=size).astype(np.int64)
    total = _summed(labels, data, size)
    there = count > 0
    mean = _divided(total, count)
    squares = _summed(labels, (data - mean[labels]) ** 2, size)
    # Sorted by zone and within it: extremes and the middle are found at known places.
    ordered = data[np.lexsort((data, labels))]
    end = np.cumsum(count)[there]
    start = end - count[there]
    middle = (ordered[(start + end - 1) // 2] + ordered[(start + end) // 2]) / 2

    def filled(known: npt.NDArray[Any]) -> Column:
        column = np.full(size, np.nan)
        column[there] = known
        return column

    return ZonalStatistics(
        zone=numbers,
        count=count,
        sum=total,
        mean=mean,
        min=filled(ordered[start]),
        max=filled(ordered[end - 1]),
        std=np.sqrt(_divided(squares, count)),
        median=filled(middle),
    )


def _summed(labels: npt.NDArray[np.intp], data: Column, size: int) -> Column:
    return np.bincount(labels, weights=data, minlength=size).astype(np.float64)


def _divided(total: Column, count: Counts) -> Column:
    result: Column = np.full(len(count), np.nan)
    np.divide(total, count, out=result, where=count > 0)
    return result

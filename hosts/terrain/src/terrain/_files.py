"""From file to file: surfaces block by block, so that memory is bounded; zones as a whole."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from terrain import _gdal
from terrain._atomic import replaced
from terrain._errors import NO_ROOM, InputError, OutputError
from terrain._gradient import BLOCK_CELLS, AnyArray, Heights, Method, Stencil, blocks, heights
from terrain._gradient import gradient as gradient_of
from terrain._raster import cell_size
from terrain._surface import Quantity
from terrain._zonal import ZonalStatistics, zonal_statistics


@dataclass(frozen=True, kw_only=True)
class Band:
    """A band of a file; `nodata` replaces what the file says."""

    path: str
    number: int = 1
    nodata: float | None = None


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How a result is stored."""

    dtype: npt.DTypeLike
    nodata: float

    def encoded(self, values: Heights) -> AnyArray:
        filled = np.where(np.isnan(values), self.nodata, values)
        if np.dtype(self.dtype).kind in "iu":
            filled = np.floor(filled + 0.5)
        return filled.astype(self.dtype)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What all surfaces have in common; without a scale, degrees become metres by themselves."""

    method: Method = "horn"
    compute_edges: bool = False
    scale: float | None = None


# As gdaldem stores them.
REAL = Encoding(dtype=np.float32, nodata=-9999.0)
SHADES = Encoding(dtype=np.uint8, nodata=0.0)


def write_surface(
    dem: Band,
    destination: str,
    quantity: Quantity,
    encoding: Encoding,
    options: Options,
    cells: int = BLOCK_CELLS,
) -> None:
    """A quantity of the surface of `dem`, as a GeoTIFF."""
    with _gdal.opened(dem.path, dem.number) as source:
        stencil = Stencil.checked(
            _cell_size(source, options.scale), options.method, options.compute_edges
        )
        nodata = source.nodata if dem.nodata is None else dem.nodata
        layout = _gdal.Layout(
            rows=source.rows,
            columns=source.columns,
            dtype=np.dtype(encoding.dtype),
            geotransform=source.geotransform,
            crs=source.crs,
            nodata=encoding.nodata,
        )
        with _gdal.created(destination, layout) as target:
            for block in blocks(source.rows, source.columns, cells):
                rows = heights(source.read(block.first, block.last), nodata)
                values = quantity(gradient_of(rows, block, stencil))
                target.write(block.start, encoding.encoded(values))


def write_zonal_statistics(values: Band, zones: Band, destination: str) -> None:
    """A CSV table of the values in each zone."""
    if Path(destination).suffix.lower() != ".csv":
        raise OutputError(f"{destination}: is written as a table; give it a name in .csv")
    with (
        _gdal.opened(values.path, values.number) as value_source,
        _gdal.opened(zones.path, zones.number) as zone_source,
    ):
        _check_same_cells(value_source, zone_source)
        value_array = value_source.read(0, value_source.rows)
        zone_array = zone_source.read(0, zone_source.rows)
        nodata = value_source.nodata if values.nodata is None else values.nodata
        zones_nodata = zone_source.nodata if zones.nodata is None else zones.nodata
    try:
        table = zonal_statistics(value_array, zone_array, nodata=nodata, zones_nodata=zones_nodata)
    except ValueError as error:
        raise InputError(f"{zones.path}: {error}") from error
    _write_table(table, Path(destination))


def _cell_size(source: _gdal.Source, scale: float | None) -> tuple[float, float]:
    _, _, row_skew, _, column_skew, _ = source.geotransform
    if row_skew or column_skew:
        raise InputError(f"{source.path}: is rotated; make it north-up first, with gdalwarp")
    if scale is None:
        try:
            return _gdal.ground_cell_size(source.geotransform, source.crs, source.rows)
        except InputError as error:
            raise InputError(f"{source.path}: {error}") from error
    width, height = cell_size(source.geotransform)
    return width * scale, height * scale


def _check_same_cells(values: _gdal.Source, zones: _gdal.Source) -> None:
    """Whether two bands cover the same cells, to a hundredth of one."""
    differences = []
    if (values.rows, values.columns) != (zones.rows, zones.columns):
        differences.append(
            f"{zones.columns} x {zones.rows} cells are not {values.columns} x {values.rows}"
        )
    elif not _same_place(values, zones):
        differences.append(f"{zones.geotransform} is not the place {values.geotransform}")
    if not _gdal.same_crs(values.crs, zones.crs):
        differences.append("the coordinate systems differ")
    if differences:
        raise InputError(
            f"{zones.path}: does not cover the cells of {values.path}: {'; '.join(differences)}; "
            "bring it onto them first, with gdalwarp -r near"
        )


def _same_place(one: _gdal.Layout, other: _gdal.Layout) -> bool:
    tolerance = 0.01 * min(abs(one.geotransform[1]), abs(one.geotransform[5]))
    corners = ((0, 0), (one.columns, 0), (0, one.rows))
    return all(math.dist(_at(one, *corner), _at(other, *corner)) <= tolerance for corner in corners)


def _at(layout: _gdal.Layout, column: int, row: int) -> tuple[float, float]:
    x, width, row_skew, y, column_skew, height = layout.geotransform
    return x + column * width + row * row_skew, y + column * column_skew + row * height


def _write_table(table: ZonalStatistics, destination: Path) -> None:
    with replaced(destination) as made:
        try:
            with made.open("w", encoding="utf-8", newline="") as stream:
                writer = csv.DictWriter(stream, [field.name for field in fields(table)])
                writer.writeheader()
                for row in table.rows():
                    writer.writerow({name: _cell(value) for name, value in row.items()})
        except OSError as error:
            raise OutputError(
                f"{destination}: cannot be written: {error.strerror}{NO_ROOM}"
            ) from error


def _cell(value: float) -> str:
    return "" if math.isnan(value) else repr(value)

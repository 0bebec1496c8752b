"""All that terrain does with GDAL. No other module imports it."""

from __future__ import annotations

import math
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from terrain._atomic import replaced
from terrain._errors import NO_ROOM, GdalMissingError, InputError, OutputError, TerrainError
from terrain._raster import FilePath, GeoTransform, cell_size

try:
    from terrain._vendor.osgeo import gdal, gdal_array, osr
except ModuleNotFoundError as error:
    if not (error.name or "").startswith("terrain._vendor"):
        raise
    raise GdalMissingError(
        "terrain is installed without its GDAL (terrain/_vendor/osgeo is missing): "
        "install a wheel of terrain-gdal, which carries it; a source tree does not"
    ) from error

# This GDAL is terrain's own: another `osgeo` in the process keeps its setting.
gdal.UseExceptions()
osr.UseExceptions()

_CREATION = ("COMPRESS=DEFLATE", "BIGTIFF=IF_SAFER")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Everything about a raster but its values."""

    rows: int
    columns: int
    dtype: np.dtype[Any]
    geotransform: GeoTransform
    crs: str
    nodata: float | None


@dataclass(frozen=True, kw_only=True)
class Source(Layout):
    """A band to read; its rows come when they are asked for."""

    path: str
    band: Any = field(repr=False)

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """The rows from `start` up to `stop`."""
        with _told(InputError, f"{self.path}: rows {start} to {stop} cannot be read"):
            rows = self.band.ReadAsArray(0, start, self.columns, stop - start)
        return cast("npt.NDArray[Any]", rows)


@dataclass(kw_only=True)
class Target:
    """A band to write."""

    path: str
    dataset: Any
    sums: list[tuple[int, int, int]] = field(default_factory=list)
    """The first row, the one after the last, and the checksum of what was written."""

    def write(self, start: int, rows: npt.NDArray[Any]) -> None:
        """These rows, the first of which is `start`."""
        values = np.ascontiguousarray(rows, dtype=rows.dtype.newbyteorder("="))
        with _told(OutputError, f"{self.path}: cannot be written", NO_ROOM):
            self.dataset.GetRasterBand(1).WriteArray(values, 0, start)
        self.sums.append((start, start + len(values), zlib.crc32(values.data)))

    def close(self) -> str:
        """What GDAL complains about while it writes the rest, or nothing."""
        complaint = ""
        for step in (type(self.dataset).FlushCache, _close):
            try:
                step(self.dataset)
            except RuntimeError as error:
                complaint = complaint or _reason(error)
        self.dataset = None
        return complaint

    def check(self, made: Path) -> None:
        """Whether all that was written can be read.

        GDAL 3.10.3 says nothing when the disk is full at the very end: its GTiff driver does not
        look at what the last flush of its own write buffer, of 64 kB, returns.
        """
        with _told(OutputError, f"{self.path}: cannot be written", NO_ROOM):
            dataset = gdal.Open(str(made))
            try:
                for start, stop, expected in self.sums:
                    rows = dataset.GetRasterBand(1).ReadAsArray(0, start, None, stop - start)
                    if zlib.crc32(rows.data) != expected:
                        raise RuntimeError(f"rows {start} to {stop} are not what was written")
            finally:
                _close(dataset)


def _close(dataset: Any) -> None:
    """Close a dataset and raise what goes wrong; Python's own end of it would lose that.

    Dataset.Close(), which GDAL has from 3.8 on, is not for this. When closing fails, GDAL has freed
    the dataset, but in GDAL 3.10.3 the Python object still owns it and frees it once more at its
    own end. This is a fault of GDAL's Python code; Debian's own osgeo crashes in the same way:

        gdal.UseExceptions()
        dataset = gdal.GetDriverByName("GTiff").Create("out.tif", 300, 300)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        try:
            dataset.Close()
        except RuntimeError:
            del dataset

    SWIG's destructor is there in every version, and gives the dataset up before it closes it.
    """
    type(dataset).__swig_destroy__(dataset)


@contextmanager
def opened(path: FilePath, number: int = 1) -> Iterator[Source]:
    """A band of a georeferenced raster."""
    name = os.fspath(path)
    dataset = _open(name)
    try:
        yield _source(name, dataset, number)
    finally:
        with suppress(RuntimeError):  # nothing was written, so nothing can be lost now
            _close(dataset)


@contextmanager
def created(path: FilePath, layout: Layout) -> Iterator[Target]:
    """A new GeoTIFF of one band. It takes its name when the block has ended without an error."""
    destination = Path(path)
    if destination.suffix.lower() not in (".tif", ".tiff"):
        raise OutputError(f"{destination}: is written as a GeoTIFF; give it a name in .tif")
    code = gdal_array.NumericTypeCodeToGDALTypeCode(layout.dtype.type)
    if not code:
        raise OutputError(
            f"{destination}: GDAL {gdal.__version__} has no rasters of {layout.dtype}; "
            "convert the array, to float32 for example"
        )
    with replaced(destination) as made:
        with _told(OutputError, f"{destination}: cannot be created"):
            dataset = gdal.GetDriverByName("GTiff").Create(
                str(made), layout.columns, layout.rows, 1, code, list(_CREATION)
            )
        target = Target(path=str(destination), dataset=dataset)
        del dataset
        try:
            with _told(OutputError, f"{destination}: cannot be created"):
                _describe(target.dataset, layout)
            yield target
        finally:
            complaint = target.close()
        if complaint:
            raise OutputError(f"{destination}: cannot be written: {complaint}{NO_ROOM}")
        target.check(made)


def ground_cell_size(geotransform: GeoTransform, crs: str, rows: int) -> tuple[float, float]:
    """The cell size; in metres at the raster's centre where the CRS counts in degrees."""
    width, height = cell_size(geotransform)
    if not crs:
        return width, height
    with _told(InputError, "the coordinate system cannot be used"):
        reference = _reference(crs)
    if not reference.IsGeographic():
        return width, height
    unit = reference.GetAngularUnits()
    latitude = (geotransform[3] + geotransform[5] * rows / 2) * unit
    if abs(latitude) >= math.pi / 2:
        raise InputError(
            f"the centre of the raster is at the latitude {math.degrees(latitude):g}: "
            "correct its georeference, or give the scale yourself"
        )
    metres = reference.GetSemiMajor() * unit
    return width * metres * math.cos(latitude), height * metres


def same_crs(one: str, other: str) -> bool:
    """Whether two CRS are the same, as far as both are known."""
    if not one or not other or one == other:
        return True
    return bool(_reference(one).IsSame(_reference(other)))


def _reference(crs: str) -> Any:
    return osr.SpatialReference(crs)


@contextmanager
def _told(kind: type[TerrainError], what: str, remedy: str = "") -> Iterator[None]:
    """GDAL's errors as ours, with the file's name."""
    try:
        yield
    except RuntimeError as error:
        raise kind(f"{what}: {_reason(error)}{remedy}") from error


def _reason(error: RuntimeError) -> str:
    return str(error).strip() or gdal.GetLastErrorMsg() or "GDAL gives no reason"


def _open(name: str) -> Any:
    try:
        return gdal.OpenEx(name, gdal.OF_RASTER | gdal.OF_VERBOSE_ERROR)
    except RuntimeError as error:
        damaged = f"is not a raster that this GDAL reads, or is damaged: {_reason(error)}"
        raise InputError(f"{name}: {_no_file(name) or damaged}") from error


def _no_file(name: str) -> str:
    """Why there is no file of that name, or nothing."""
    try:
        mode = Path(name).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "" if name.startswith("/vsi") else "there is no such file; check the path"
    except OSError:  # GDAL's own error says it
        return ""
    return "is a folder; name a raster file in it" if stat.S_ISDIR(mode) else ""


def _source(name: str, dataset: Any, number: int) -> Source:
    if not 1 <= number <= dataset.RasterCount:
        raise InputError(
            f"{name}: has no band {number}; name one from 1 to {dataset.RasterCount}"
            if dataset.RasterCount
            else f"{name}: has no bands of its own; name one of its subdatasets (see gdalinfo)"
        )
    geotransform = dataset.GetGeoTransform(can_return_null=True)
    if geotransform is None:
        raise InputError(
            f"{name}: is not georeferenced, so the size of its cells is unknown; "
            "give it an extent first, with gdal_translate -a_ullr for example"
        )
    band = dataset.GetRasterBand(number)
    kind = gdal_array.GDALTypeCodeToNumericTypeCode(band.DataType)
    if kind is None or np.dtype(kind).kind not in "iuf":
        raise InputError(
            f"{name}: band {number} holds {gdal.GetDataTypeName(band.DataType)}; "
            "it has to hold integers or real numbers"
        )
    return Source(
        path=name,
        band=band,
        rows=dataset.RasterYSize,
        columns=dataset.RasterXSize,
        dtype=np.dtype(kind),
        geotransform=geotransform,
        crs=dataset.GetProjection(),
        nodata=band.GetNoDataValue(),
    )


def _describe(dataset: Any, layout: Layout) -> None:
    dataset.SetGeoTransform(layout.geotransform)
    if layout.crs:
        _reference(layout.crs)  # SetProjection itself is silent about what it cannot use
        dataset.SetProjection(layout.crs)
    if layout.nodata is not None:
        dataset.GetRasterBand(1).SetNoDataValue(layout.nodata)

"""The command line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import get_args

from terrain import __version__
from terrain._errors import GdalMissingError, InputError, OutputError
from terrain._gradient import Method
from terrain._standard_error import say, without_libtiff
from terrain._surface import Aspect, Hillshade, Quantity, Slope, SlopeUnits

EXIT_INSTALLATION = 1
EXIT_INPUT = 3
EXIT_OUTPUT = 4
EXIT_INTERRUPTED = 130

_EPILOG = """\
exit codes: 0 done; 1 terrain itself does not work; 2 wrong arguments; 3 an input cannot be used;
4 the output cannot be written.
The output appears complete or not at all; one that was there before is replaced.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the result is the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        with without_libtiff():
            _run(parser, options)
    except InputError as error:
        return _failed(str(error), EXIT_INPUT)
    except OutputError as error:
        return _failed(str(error), EXIT_OUTPUT)
    except GdalMissingError as error:
        return _failed(str(error), EXIT_INSTALLATION)
    except KeyboardInterrupt:
        return _failed("interrupted; nothing was written", EXIT_INTERRUPTED)
    return 0


def _failed(message: str, code: int) -> int:
    say(f"terrain: error: {message}")
    return code


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    # Here and not above: --help needs no GDAL.
    from terrain import _files

    band = _files.Band(path=options.input, number=options.band, nodata=options.nodata)
    if options.command == "zonal":
        zones = _files.Band(path=options.zones, number=options.zones_band)
        _files.write_zonal_statistics(band, zones, options.output)
        return
    try:
        quantity = _quantity(options)
    except ValueError as error:
        parser.error(str(error))
    _files.write_surface(
        band,
        options.output,
        quantity,
        _files.SHADES if options.command == "hillshade" else _files.REAL,
        _files.Options(
            method=options.method, compute_edges=options.compute_edges, scale=options.scale
        ),
    )


def _quantity(options: argparse.Namespace) -> Quantity:
    if options.command == "slope":
        return Slope(units=options.units, z_factor=options.z_factor)
    if options.command == "aspect":
        return Aspect(zero_for_flat=options.zero_for_flat)
    return Hillshade(azimuth=options.azimuth, altitude=options.altitude, z_factor=options.z_factor)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="terrain",
        description="Slope, aspect, hillshade and zonal statistics of elevation rasters.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"terrain {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _slope(commands.add_parser("slope", help="how steep the surface is"))
    _aspect(
        commands.add_parser("aspect", help="which way the surface falls, from north, clockwise")
    )
    _hillshade(commands.add_parser("hillshade", help="how bright the surface is in the light"))
    _zonal(commands.add_parser("zonal", help="statistics of the values in each zone, as CSV"))
    return parser


def _slope(parser: argparse.ArgumentParser) -> None:
    _surface(parser, "a GeoTIFF of float32, no-data -9999")
    parser.add_argument("--units", choices=get_args(SlopeUnits), default="degrees")
    _z_factor(parser)


def _aspect(parser: argparse.ArgumentParser) -> None:
    _surface(parser, "a GeoTIFF of float32, no-data -9999, also where the surface is flat")
    parser.add_argument("--zero-for-flat", action="store_true", help="0 where it is flat")


def _hillshade(parser: argparse.ArgumentParser) -> None:
    _surface(parser, "a GeoTIFF of bytes from 1 to 255, no-data 0")
    parser.add_argument(
        "--azimuth",
        type=_number,
        default=315.0,
        metavar="DEGREES",
        help="where the light comes from, from north, clockwise (default: 315)",
    )
    parser.add_argument(
        "--altitude",
        type=_number,
        default=45.0,
        metavar="DEGREES",
        help="how high the light is above the horizon (default: 45)",
    )
    _z_factor(parser)


def _zonal(parser: argparse.ArgumentParser) -> None:
    _input(parser, "a raster of values")
    parser.add_argument("output", metavar="OUT", help="a .csv file")
    parser.add_argument(
        "--zones", required=True, metavar="FILE", help="a raster of zone numbers, of the same cells"
    )
    parser.add_argument("--zones-band", type=int, default=1, metavar="N", help="(default: 1)")


def _surface(parser: argparse.ArgumentParser, output: str) -> None:
    _input(parser, "a raster of heights")
    parser.add_argument("output", metavar="OUT", help=output)
    parser.add_argument("--method", choices=get_args(Method), default="horn")
    parser.add_argument(
        "--compute-edges",
        action="store_true",
        help="also at the border and beside cells without data",
    )
    parser.add_argument(
        "--scale",
        type=_positive,
        metavar="S",
        help="units of height in a unit of length: 3.28084 for feet over metres (default: 1, "
        "and metres over degrees where the coordinates are longitude and latitude)",
    )


def _input(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("input", metavar="IN", help=what)
    parser.add_argument("--band", type=int, default=1, metavar="N", help="of IN (default: 1)")
    parser.add_argument(
        "--nodata", type=_number, metavar="VALUE", help="of IN, instead of what it says itself"
    )


def _z_factor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--z-factor", type=_positive, default=1.0, metavar="Z", help="multiplies the heights"
    )


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return value


def _positive(text: str) -> float:
    value = _number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0")
    return value

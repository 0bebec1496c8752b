"""A probe of OGR_OGDI, a driver whose own drivers are modules that libogdi opens by a path."""

from __future__ import annotations

import struct
from pathlib import Path

from .bindings import Osgeo
from .gdal import Gdal

OGDI = "OGR_OGDI"


def write_vrf(library: Path) -> None:
    """The least that OGDI takes for a Vector Product Format library (MIL-STD-2407): its extent."""

    def table(name: str, columns: str, row: bytes = b"") -> bytes:
        fields = "".join(f"{column},N,-,-,-,:" for column in columns.split())
        head = f"L;{name};-;{fields};\n".encode()
        return struct.pack("<i", len(head)) + head + row

    library.mkdir()
    row = struct.pack("<i8s4f", 1, library.name.encode().ljust(8), 8, 47, 9, 48)
    columns = "ID=I,1 LIBRARY_NAME=T,8 XMIN=F,1 YMIN=F,1 XMAX=F,1 YMAX=F,1"
    library.with_name("lat").write_bytes(table("libraries", columns, row))
    columns = "ID=I,1 COVERAGE_NAME=T,8 DESCRIPTION=T,20 LEVEL=I,1"
    (library / "cat").write_bytes(table("coverages", columns))


def probe_ogdi(gdal: Gdal, folder: Path) -> str:
    library = folder / "places"
    write_vrf(library)
    Osgeo(gdal).OpenEx(f"gltp:/vrf{library}", 0x44, ("OGR_OGDI",)).close()
    return "opened a library of OGDI's driver vrf"

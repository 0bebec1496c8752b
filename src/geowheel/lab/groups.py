"""Every other group of cases, and all of them in the order of the report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from . import coexistence
from .cases import (
    SERVER,
    Case,
    Judge,
    Offer,
)

VARIABLES: Final = ("PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "GDAL_DRIVER_PATH")
KINDS: Final = ("empty", "missing", "wrong version")
FORMATS: Final = (("GTiff", ".tif", False), ("GPKG", ".gpkg", True), ("netCDF", ".nc", False),
                  ("GeoJSON", ".json", True))  # fmt: skip
DAMAGED: Final = 50
"""Damaged files of each format: 200 in all."""
GDAL_BUNDLES: Final = ("GDAL_CURL_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
PROJ_BUNDLES: Final = ("PROJ_CURL_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
NO_OSGEO: Final = "layout none: the wheel has no osgeo to ask"
NO_SERVER: Final = (
    f"{SERVER} is not locked: name peers in [tool.geowheel.lab] and run `geowheel lock`"
)
NO_BUBBLEWRAP: Final = "no bwrap on PATH (apt install bubblewrap), or it cannot be used here"


def every_case(offer: Offer) -> tuple[Case, ...]:
    """All cases; those that this machine or this wheel cannot run say why."""
    found = (
        *coexistence.cases(offer), *_poison(offer), *_https(offer), *_parts(), *_malformed(offer),
        *_processes(), *_sites(), *_slim(offer),
    )  # fmt: skip
    return tuple(
        replace(case, skip=NO_OSGEO) if case.bindings and not offer.bindings else case
        for case in found
    )


def _poison(offer: Offer) -> Iterator[Case]:
    group = "poisoned environment"
    yield Case(group=group, name="the process is left alone",
               function="poison:process_is_left_alone")  # fmt: skip
    for variable in VARIABLES:
        for kind in KINDS:
            yield Case(group=group, name=f"{variable} names a folder: {kind}",
                       function="poison:by_a_folder",
                       asked={"variable": variable, "kind": kind})  # fmt: skip
    yield Case(group=group, name="LD_LIBRARY_PATH with files of an older GDAL's names",
               function="poison:by_old_libraries")  # fmt: skip
    yield Case(
        group=group,
        name="LD_LIBRARY_PATH with a whole other GDAL",
        function="poison:by_another_gdal",
        asked={"other_libraries": offer.other_gdal},
        skip="" if offer.other_gdal else "the prefix is gone",
    )


def _https(offer: Offer) -> Iterator[Case]:
    def case(name: str, function: str, **asked: object) -> Case:
        return Case(group="https", name=name, function=f"net:{function}", asked=asked,
                    skip="" if offer.server else NO_SERVER)  # fmt: skip

    for who, function, variables in (
        ("GDAL", "by_gdal", GDAL_BUNDLES),
        ("PROJ", "by_proj", PROJ_BUNDLES),
    ):
        yield case(f"{who} refuses an untrusted server", function, variable="", bundle="",
                   trusted=False)  # fmt: skip
        for variable in variables:
            yield case(f"{who} trusts whom {variable} names", function, variable=variable,
                       bundle="ca.pem", trusted=True)  # fmt: skip
        yield case(f"{who} refuses whom {variables[0]} does not name", function,
                   variable=variables[0], bundle="other.pem", trusted=False)  # fmt: skip
    yield case("netCDF's DAP refuses an untrusted server", "by_dap", trusted=False)
    yield case("netCDF's DAP trusts whom .ncrc names", "by_dap", trusted=True)
    yield case("GDAL trusts whom its option names later", "by_gdal", variable="", bundle="",
               option="ca.pem", trusted=True)  # fmt: skip
    yield case("both trust whom the wheel's own bundle names", "own_bundle")


def _parts() -> Iterator[Case]:
    yield Case(group="parts", name="the bundled libgdal answers", function="parts:library",
               bindings=False)  # fmt: skip
    yield Case(group="parts", name="every plugin loads and registers", function="parts:plugins")
    yield Case(group="parts", name="every program answers and works", function="parts:programs")


def _malformed(offer: Offer) -> Iterator[Case]:
    for driver, suffix, vector in FORMATS:
        asked = {"driver": driver, "suffix": suffix, "vector": vector, "seed": offer.seed}
        yield Case(
            group="malformed files",
            name=f"{DAMAGED} damaged {driver} of seed {offer.seed}",
            function="damage:survive",
            asked={**asked, "count": DAMAGED},
            judge=Judge.REFERENCE,
        )
        yield Case(group="malformed files", name=f"1000 opens of {driver} leave no handle",
                   function="damage:leak", asked=asked)  # fmt: skip


def _processes() -> Iterator[Case]:
    for name in ("threads", "spawn", "fork"):
        title = "threads" if name == "threads" else f"children by {name}"
        yield Case(group="processes", name=title, function=f"processes:{name}")


def _sites() -> Iterator[Case]:
    for name, function in (
        ("elsewhere, with spaces and other letters", "relocated"),
        ("read-only", "read_only"),
        ("in a zip: refused with words", "zipped"),
        ("import in under 150 ms over bare osgeo", "import_time"),
    ):
        yield Case(group="site-packages", name=name, function=f"sites:{function}")


def _slim(offer: Offer) -> Iterator[Case]:
    lacking = "" if offer.bubblewrap else NO_BUBBLEWRAP
    yield Case(
        group="slim root",
        name="Python, the C runtimes and nothing else",
        function="slim:works",
        # An emulator finds the C runtimes in a root of its own.
        skip="an emulator runs this interpreter" if offer.emulated else lacking,
    )

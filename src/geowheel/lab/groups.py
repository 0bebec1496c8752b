"""All cases of the lab, by group, in the order of the report."""

import random
from collections.abc import Iterator
from typing import Any, Final

from .cases import OURS, SERVER, Case, Equipment, Judge

RANDOM_ORDERS: Final = 20
SHORTEST: Final = 3
VARIABLES: Final = ("PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "GDAL_DRIVER_PATH")
FOLDERS: Final = ("empty", "missing", "wrong version")
FORMATS: Final = (("GTiff", ".tif", False), ("GPKG", ".gpkg", True), ("netCDF", ".nc", False),
                  ("GeoJSON", ".json", True))  # fmt: skip
DAMAGED: Final = 50
"""Damaged files of each format: 200 in all."""
BUNDLES: Final = (
    ("GDAL", ("GDAL_CURL_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")),
    ("PROJ", ("PROJ_CURL_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")),
)
NO_SERVER: Final = (
    f"{SERVER} is not locked: name peers in [tool.geowheel.lab] and run `geowheel lock`"
)
NO_BUBBLEWRAP: Final = "no bwrap on PATH (apt install bubblewrap), or it cannot be used here"
EMULATED: Final = "an emulator runs this interpreter"


def every_case(offer: Equipment) -> tuple[Case, ...]:
    """Return all cases; those that this machine or this wheel cannot run say why."""
    groups = (_coexistence, _poison, _https, _malformed, _the_rest)
    return tuple(case for group in groups for case in group(offer))


def orders(peers: tuple[str, ...], seed: int) -> list[tuple[str, ...]]:
    """Yield orders of three and more libraries, ours among them: the same for the same seed."""
    dice = random.Random(seed)
    found: dict[tuple[str, ...], None] = {}
    for _ in range(RANDOM_ORDERS * 50):  # few peers have few orders
        chosen = [OURS, *dice.sample(peers, dice.randint(SHORTEST - 1, len(peers)))]
        dice.shuffle(chosen)
        found[tuple(chosen)] = None
        if len(found) == RANDOM_ORDERS:
            break
    return list(found)


def _coexistence(offer: Equipment) -> Iterator[Case]:
    """Yield each library alone, ours first and last with each, and longer orders at random."""
    group = "coexistence"

    def case(name: str, *order: str, skip: str = "") -> Case:
        needs = () if skip else tuple(f"{group}: {library} alone" for library in order)
        return Case(
            group=group, name=name, function="libraries:together", asked={"order": list(order)},
            peers=True, judge=Judge.NUMBERS, needs=needs, skip=skip,
        )  # fmt: skip

    for library in (OURS, *offer.peers):
        yield case(f"{library} alone", library)
    for peer in offer.peers:
        yield case(f"{OURS} first, then {peer}", OURS, peer)
        yield case(f"{peer} first, then {OURS}", peer, OURS)
    for peer, why in offer.lacking.items():
        yield case(f"{OURS} and {peer}", OURS, peer, skip=why)
    if len(offer.peers) + 1 >= SHORTEST:
        for number, order in enumerate(orders(offer.peers, offer.seed), 1):
            yield case(f"order {number:02} of seed {offer.seed}: {', '.join(order)}", *order)


def _poison(offer: Equipment) -> Iterator[Case]:
    def case(name: str, function: str, skip: str = "", **asked: Any) -> Case:
        return Case(group="poisoned environment", name=name, function=f"poison:{function}",
                    asked=asked, skip=skip)  # fmt: skip

    yield case("the process is left alone", "process_is_left_alone")
    for variable in VARIABLES:
        for kind in FOLDERS:
            yield case(f"{variable} names a folder: {kind}", "by_a_folder",
                       variable=variable, kind=kind)  # fmt: skip
    yield case("LD_LIBRARY_PATH with files of an older GDAL's names", "by_old_libraries")
    gone = "" if offer.other_gdal else "the prefix is gone"
    for name, first, skip in (
        ("LD_LIBRARY_PATH with a whole other GDAL", "", ""),
        ("LD_PRELOAD of another GDAL", "LD_PRELOAD", EMULATED * offer.emulated),
        ("another GDAL came with RTLD_GLOBAL", "RTLD_GLOBAL", ""),
    ):
        yield case(name, "by_another_gdal", gone or skip, other_libraries=offer.other_gdal,
                   first=first)  # fmt: skip


def _https(offer: Equipment) -> Iterator[Case]:
    skip = "" if offer.server else NO_SERVER

    def case(name: str, function: str, **asked: Any) -> Case:
        return Case(group="https", name=name, function=f"net:{function}", asked=asked, skip=skip)

    for who, variables in BUNDLES:
        yield case(f"{who} refuses an untrusted server", "by", who=who, trusted=False)
        for variable in variables:
            yield case(f"{who} trusts whom {variable} names", "by", who=who, trusted=True,
                       variable=variable, bundle="ca.pem")  # fmt: skip
        yield case(f"{who} refuses whom {variables[0]} does not name", "by", who=who,
                   trusted=False, variable=variables[0], bundle="other.pem")  # fmt: skip
    yield case("netCDF's DAP refuses an untrusted server", "by_dap", trusted=False)
    yield case("netCDF's DAP trusts whom .ncrc names", "by_dap", trusted=True)
    yield case("GDAL trusts whom its option names later", "by", who="GDAL", option="ca.pem",
               trusted=True)  # fmt: skip
    yield case("both trust whom the wheel's own bundle names", "own_bundle")


def _malformed(offer: Equipment) -> Iterator[Case]:
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


def _the_rest(offer: Equipment) -> Iterator[Case]:
    for group, name, function in (
        ("parts", "the bundled libgdal answers", "parts:library"),
        ("parts", "every plugin loads and registers", "parts:plugins"),
        ("parts", "every program answers and works", "parts:programs"),
        ("processes", "threads", "processes:threads"),
        ("processes", "children by spawn", "processes:spawn"),
        ("processes", "children by fork", "processes:fork"),
        ("site-packages", "elsewhere, with spaces and other letters", "sites:relocated"),
        ("site-packages", "read-only", "sites:read_only"),
        ("site-packages", "in a zip: refused with words", "sites:zipped"),
        ("site-packages", "import in under 150 ms over bare osgeo", "sites:import_time"),
    ):
        yield Case(group=group, name=name, function=function)
    # An emulator finds the C runtimes in a root of its own.
    lacking = EMULATED if offer.emulated else "" if offer.bubblewrap else NO_BUBBLEWRAP
    yield Case(group="slim root", name="Python, the C runtimes and nothing else",
               function="slim:works", skip=lacking)  # fmt: skip

"""Linux: second names of symbols, which say whose they are."""

from geowheel.systems.own_symbols import mark_of

COPIES = ("pkg.libs/libgdal-0a1b2c3d.so.36.3", "pkg.libs/ogdi/4.1/libvrf.so")


def test_the_wheels_for_all_pythons_have_the_same_libraries() -> None:
    one, other = (
        mark_of("pkg", [*COPIES, f"osgeo/_gdal.cpython-{python}-x86_64-linux-gnu.so"])
        for python in ("311", "312")
    )
    assert one == other and len(one) == 9


def test_another_wheel_has_other_names() -> None:
    modules = ["osgeo/_gdal.abi3.so"]
    others = [
        mark_of("pkg", [*COPIES, *modules]),
        mark_of("other", [*COPIES, *modules]),
        mark_of("pkg", [*(path.replace("0a1b", "ffff") for path in COPIES), *modules]),
        mark_of("pkg", [*COPIES, "a/b/osgeo/_gdal.abi3.so"]),
    ]
    assert len({*others}) == 4

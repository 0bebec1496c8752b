"""What the Windows loader finds in a wheel, and in which order libraries are loaded."""

from collections.abc import Mapping

import pytest
from tests.support.binaries import pe

from geowheel.binary.closure import closure_faults
from geowheel.binary.pe import Pe
from geowheel.binary.pe_loading import PeLoader, delayed_faults

LIBS = "GDAL.libs"
PLUGINS = "osgeo/_plugins"


CLOSED = {
    "osgeo/_gdal.cp312-win_amd64.pyd": pe("GDAL-1.dll", "python312.dll", "VCRUNTIME140.dll"),
    "osgeo/_plugins/gdal_X.dll": pe("gdal-1.dll", "x-3.dll", "KERNEL32.dll"),
    "GDAL.libs/gdal-1.dll": pe("proj-2.dll", "msvcp140-4.dll", "WS2_32.dll"),
    "GDAL.libs/proj-2.dll": pe("api-ms-win-crt-heap-l1-1-0.dll", "ext-ms-win-x-l1-1-0.dll"),
    "GDAL.libs/x-3.dll": pe("proj-2.dll"),
    "GDAL.libs/msvcp140-4.dll": pe("ucrtbase.dll"),
}
PRELOADED = tuple(path for path in CLOSED if path.startswith(LIBS))


def faults(
    binaries: Mapping[str, Pe], preloaded: tuple[str, ...] = PRELOADED, bundled: str = LIBS
) -> list[str]:
    loader = PeLoader(bundled=bundled, preloaded=preloaded, plugins=PLUGINS)
    return [str(fault) for fault in closure_faults(binaries, loader)]


def test_a_closed_wheel_passes_whatever_the_case() -> None:
    assert faults(CLOSED) == []
    # Python's added folders are those of Python's own process.
    (text,) = faults({**CLOSED, "osgeo/tool.exe": pe("gdal-1.dll")}, ())[-1:]
    assert "tool.exe: needs gdal-1.dll, which the Windows loader would not find" in text


@pytest.mark.parametrize("name", ["msvcp140.dll", "mfc42.dll", "icuuc.dll", "vcomp140.dll"])
def test_what_some_machines_lack_is_not_windows_own(name: str) -> None:
    assert not PeLoader().is_system(name)


@pytest.mark.parametrize(
    "name",
    ["KERNEL32.dll", "WINSPOOL.DRV", "python3.dll", "python312.dll", "python313t.dll",
     "vcruntime140_1.dll", "API-MS-WIN-CORE-PATH-L1-1-0.DLL"],
)  # fmt: skip
def test_what_every_machine_has_is_known(name: str) -> None:
    assert PeLoader().is_system(name)


def test_what_plugins_and_extensions_find() -> None:
    """LoadLibrary searches neither the plugin's own folder nor those that Python added."""
    (text,) = faults(CLOSED, tuple(p for p in PRELOADED if "x-3" not in p))
    assert "gdal_X.dll: needs x-3.dll, which the Windows loader would not find" in text
    assert "searched is no folder" in text
    beside = {**CLOSED, "osgeo/_plugins/x-5.dll": pe()}
    beside["osgeo/_plugins/gdal_X.dll"] = pe("x-5.dll")
    assert "x-5.dll, which the Windows loader would not find" in "".join(faults(beside))
    binaries = {**CLOSED, "osgeo/own.dll": pe()}
    binaries["osgeo/_gdal.cp312-win_amd64.pyd"] = pe("own.dll", "gdal-1.dll")
    assert faults(binaries) == []
    binaries["terrain/_fast.pyd"] = pe("own.dll")
    (text,) = faults(binaries)
    assert "it is osgeo/own.dll, but searched is terrain, GDAL.libs" in text


def test_what_is_loaded_on_first_use_has_to_be_there_by_then() -> None:
    binaries = {
        "GDAL.libs/a-1.dll": pe(delayed=("b-2.dll", "dbghelp.dll")),
        "GDAL.libs/b-2.dll": pe(),
    }
    (fault,) = delayed_faults(binaries, PeLoader(bundled=LIBS))
    assert fault.what.startswith("loads b-2.dll on its first use")
    loader = PeLoader(bundled=LIBS, preloaded=("GDAL.libs/b-2.dll",))
    assert delayed_faults(binaries, loader) == []
    name = f"GDAL.libs/msvcp140-{'0a' * 16}.dll"
    assert delayed_faults({name: pe(delayed=("concrt140.dll",))}, PeLoader()) == []
    assert delayed_faults({"x.dll": pe(delayed=("concrt140.dll",))}, PeLoader()) != []

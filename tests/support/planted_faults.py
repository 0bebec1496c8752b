"""Faults to plant into an installed wheel, and the cases of the lab that have to see each."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Site:
    """An installed osgeo that may be changed: a copy of hard links, so files are replaced."""

    environment: Path

    @property
    def packages(self) -> Path:
        (found,) = self.environment.glob("lib/python3.*/site-packages")
        return found

    @property
    def osgeo(self) -> Path:
        return self.packages / "osgeo"

    def replace(self, path: Path, text: str) -> None:
        """Another file of that name: writing into it would change the original."""
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        """Change the one occurrence of `old` in a file of osgeo."""
        text = (self.osgeo / name).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{name} has {text.count(old)} of {old!r}"
        self.replace(self.osgeo / name, text.replace(old, new))

    def append(self, name: str, code: str) -> None:
        path = self.osgeo / name
        self.replace(path, path.read_text(encoding="utf-8") + "\n" + code)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is planted, which cases are run, and which of them fail."""

    name: str
    plant: Callable[[Site], None]
    cases: tuple[str, ...]
    failing: tuple[str, ...]
    """Patterns of full names: exactly these fail, and each of them matches one."""
    words: str = ""
    """In the detail of each failure."""


def at_start(code: str) -> Callable[[Site], None]:
    """When the bootstrap begins its work."""
    return lambda site: site.edit("_geowheel.py", "    gdal, proj = _library(", f"    {code}\n"
                                  "    gdal, proj = _library(")  # fmt: skip


def in_bootstrap(old: str, new: str) -> Callable[[Site], None]:
    return lambda site: site.edit("_geowheel.py", old, new)


def in_gdal(code: str) -> Callable[[Site], None]:
    return lambda site: site.append("gdal.py", code)


def without(pattern: str) -> Callable[[Site], None]:
    def plant(site: Site) -> None:
        found = list(site.packages.glob(pattern))
        assert found
        for path in found:
            path.unlink()

    return plant


def absolute_paths(site: Site) -> None:
    bundle = json.loads((site.osgeo / "_geowheel.json").read_text(encoding="utf-8"))
    fixed = {name: os.path.normpath(site.osgeo / path) for name, path in bundle.items()}
    site.replace(site.osgeo / "_geowheel.json", json.dumps(fixed))


def plain_names(site: Site) -> None:
    """What _gdal takes from libgdal has no name of the wheel's own."""
    for path in site.osgeo.glob("_gdal.*.so"):
        data = path.read_bytes()
        names = set(re.findall(rb"\0(\w+\.[0-9a-f]{8})\0", data))
        for name in names:
            data = data.replace(b"\0%s\0" % name, b"\0%s\0" % name[:-9].ljust(len(name), b"\0"))
        assert names
        path.unlink()
        path.write_bytes(data)


def broken_plugin(site: Site) -> None:
    (site.osgeo / "_plugins").mkdir(exist_ok=True)
    site.replace(site.osgeo / "_plugins" / "gdal_Planted.so", "no library")


def broken_program(site: Site) -> None:
    program = site.environment / "bin" / "gdalinfo"
    site.replace(program, "#!/bin/sh\necho GDAL; test $1 = --version\n")
    program.chmod(0o755)


CRASH: Final = """
_open = OpenEx
def OpenEx(path, *more):
    if "damaged-007" in path:
        import os
        os.abort()
    return _open(path, *more)
"""
LEAK: Final = """
_open, _kept = OpenEx, []
def OpenEx(path, *more):
    if path[:1] == "/":  # and no GeoJSON
        _kept.append(open(path))
    return _open(path, *more)
"""
OTHER_NUMBERS: Final = """
import sys
Geometry.GetArea = lambda self, area=Geometry.GetArea: area(self) + ("fiona" in sys.modules)
"""
ONLY_MAIN_THREAD: Final = """
_warp = AutoCreateWarpedVRT
def AutoCreateWarpedVRT(*arguments, **more):
    import threading
    assert threading.current_thread() is threading.main_thread()
    return _warp(*arguments, **more)
"""
NO_FORK: Final = "import os; os.register_at_fork(after_in_child=lambda: os._exit(3))"
NO_SPAWN: Final = (
    "import multiprocessing; assert multiprocessing.parent_process() is None, 'a child'"
)

FAULTS: Final = (
    Fault(
        name="the bootstrap writes os.environ",
        plant=at_start('os.environ["GDAL_PLANTED"] = "1"'),
        cases=("poisoned environment", "processes"), failing=("poisoned environment: *",),
        words="environment variables were changed",
    ),
    Fault(
        name="the bootstrap leaves GDAL_DRIVER_PATH to the environment",
        plant=in_bootstrap('"GDAL_DRIVER_PATH", "GDAL_CURL_CA_BUNDLE")', '"GDAL_CURL_CA_BUNDLE")'),
        cases=("poisoned environment",),
        failing=("*GDAL_DRIVER_PATH names a folder: wrong version",), words="gdal_Another.so",
    ),
    Fault(
        name="the bootstrap leaves GDAL_DATA to the environment",
        plant=in_bootstrap('for name in ("GDAL_DATA", "GDAL_DRIVER', 'for name in ("GDAL_DRIVER'),
        cases=("*GDAL_DATA*", "*left alone"),
        failing=("*: empty", "*: missing", "*: wrong version"),
    ),
    Fault(
        name="proj.db is gone",
        plant=without("osgeo/_data/proj/proj.db"), cases=("processes", "parts", "*left alone"),
        failing=("processes: *", "*left alone", "parts: *"), words="proj",
    ),
    Fault(
        name="a library is gone",
        plant=without("gdal.libs/libgeos_c-*"),
        cases=("parts", "*zip*", "children by spawn", "*LD_LIBRARY_PATH*"),
        failing=("parts: the bundled libgdal answers", "parts: every plugin*",
                 "parts: every program*", "processes: children by spawn", "*LD_LIBRARY_PATH*"),
        words="libgeos_c",
    ),
    Fault(
        name="_gdal asks for the names that every GDAL has", plant=plain_names,
        cases=("poisoned environment: *another GDAL*",),
        failing=("*LD_PRELOAD*", "*RTLD_GLOBAL"), words="GetDescription",
    ),
    Fault(
        name="the user's certificates are ignored",
        plant=in_bootstrap("named = (os.environ.get(name) for name in variables)", "named = ()"),
        cases=("https",),
        failing=("https: GDAL trusts whom *_* names", "https: PROJ trusts whom *_* names"),
    ),
    Fault(
        name="the wheel's own certificates are ignored",
        plant=in_bootstrap("return [ca_bundle]", "return []"), cases=("https",),
        failing=("https: both trust whom the wheel's own bundle names",),
    ),
    Fault(
        name="no certificate is looked at",
        plant=at_start(
            'os.putenv("GDAL_HTTP_UNSAFESSL", "YES"); os.putenv("PROJ_UNSAFE_SSL", "TRUE")'
        ),
        cases=("https",), failing=("https: GDAL refuses *", "https: PROJ refuses *"),
        words="nobody trusts",
    ),
    Fault(
        name="netCDF is told to trust whom the user did not name",
        plant=at_start(
            'open(os.path.expanduser("~/.ncrc"), "w").write('
            '"HTTP.SSL.CAINFO=" + os.path.expanduser("~/ca.pem"))'
        ),
        cases=("*DAP*",), failing=("*DAP refuses*",),
    ),
    Fault(
        name="netCDF is kept from the user's settings",
        plant=at_start('open(os.path.expanduser("~/.ncrc"), "w").close()'), cases=("*DAP*",),
        failing=("*DAP trusts*",),
    ),
    Fault(
        name="a plugin that cannot be loaded",
        plant=broken_plugin, cases=("parts",), failing=("parts: every plugin loads and registers",),
        words="gdal_Planted.so",
    ),
    Fault(
        name="a program that says its version and does no work",
        plant=broken_program, cases=("parts",), failing=("parts: every program answers and works",),
        words="gdalinfo a.tif: exit code 1",
    ),
    Fault(
        name="a crash that the prefix does not have",
        plant=in_gdal(CRASH), cases=("malformed files",),
        failing=("malformed files: 50 damaged *",),
        words="SIGABRT; the prefix's own program ended with ",
    ),
    Fault(
        name="a file handle that stays open",
        plant=in_gdal(LEAK), cases=("malformed files",),
        failing=("malformed files: 1000 opens of *",), words="are left open",
    ),
    Fault(
        name="work in the main thread only",
        plant=in_gdal(ONLY_MAIN_THREAD), cases=("processes",), failing=("processes: threads",),
    ),
    Fault(
        name="a forked child that ends",
        plant=in_gdal(NO_FORK), cases=("processes",), failing=("processes: children by fork",),
    ),
    Fault(
        name="a spawned child that cannot import",
        plant=in_gdal(NO_SPAWN), cases=("processes",), failing=("processes: children by spawn",),
    ),
    Fault(
        name="paths of the folder of the installation",
        plant=absolute_paths, cases=("site-packages",), failing=("*elsewhere*", "*read-only"),
    ),
    Fault(
        name="a file is written beside the bootstrap",
        plant=at_start('open(os.path.join(_HERE, "written"), "w").close()'),
        cases=("site-packages",), failing=("*read-only",),
    ),
    Fault(
        name="a zip file is not said to be one",
        plant=in_bootstrap("except NotADirectoryError as error:", "except KeyError as error:"),
        cases=("site-packages",), failing=("*in a zip*",), words="NotADirectoryError",
    ),
    Fault(
        name="a slow bootstrap",
        plant=at_start('__import__("time").sleep(0.2)'), cases=("site-packages",),
        failing=("*under 150 ms*",), words="are the bootstrap's",
    ),
    Fault(
        name="a library of the system",
        plant=in_gdal('import ctypes; ctypes.CDLL("libz.so.1")'), cases=("slim root", "processes"),
        failing=("slim root: *",), words="libz.so.1",
    ),
)  # fmt: skip
BESIDE_PEERS: Final = Fault(
    name="other numbers beside fiona", plant=lambda site: site.append("ogr.py", OTHER_NUMBERS),
    cases=("ours first, then *",), failing=("coexistence: ours first, then fiona",),
    words="but alone",
)  # fmt: skip

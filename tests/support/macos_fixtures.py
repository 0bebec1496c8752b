"""Real Mach-O files and conda packages for macOS, compiled by ziglang on any machine.

A native stack in small, laid out as conda-forge does on macOS (read off its package listings, and
not from a Mac here): real files with full versions and links beside them, install names
`@rpath/NAME`, LC_RPATH `@loader_path/` and the like, headers with room for longer names, the
prefix placeholder in strings and search paths, plugins in lib/gdalplugins, the Python bindings in
lib/python3.12/site-packages. Each file does a little arithmetic, so that a Mac could run it.
"""

import shutil
import struct
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from geowheel.distro.conda_package import PREFIX_PLACEHOLDER
from geowheel.targets import Platform
from tests.support import macho_files
from tests.support.fixture_channel import Sample
from tests.support.zig import zig

PYTHON: Final = "3.12"
GDAL: Final = "3.10.3"
EXTENSION: Final = "_gdal.cpython-312-darwin.so"
PLUGIN: Final = "gdal_HDF5.dylib"
SITE_PACKAGES: Final = f"lib/python{PYTHON}/site-packages"
ZIG_ARCHITECTURES: Final = {"arm64": "aarch64", "x86_64": "x86_64"}
MACHINES: Final = {"x86_64": macho_files.X86_64, "arm64": macho_files.ARM64}
OLDEST: Final = {"arm64": "11.0", "x86_64": "10.13"}
"""conda-forge's own deployment targets."""

CRS: Final = "int crs_answer(void) { return 3; }\n"
HDF5: Final = "int hdf5_answer(void) { return 5; }\n"
PROJ: Final = "int crs_answer(void); int proj_answer(void) { return 20 + crs_answer(); }\n"
GDAL_SOURCE: Final = """
int proj_answer(void);
const char *gdal_data(void) { return "%s/share/gdal"; }
int gdal_answer(void) { return 100 + proj_answer(); }
"""
PLUGIN_SOURCE: Final = """
int gdal_answer(void), hdf5_answer(void);
int GDALRegister_HDF5(void) { return gdal_answer() + hdf5_answer(); }
"""
# A real extension module without Python's headers: struct PyModuleDef as 3.12 has it.
EXTENSION_SOURCE: Final = """
#include <stddef.h>
typedef struct _object PyObject;
int gdal_answer(void);
PyObject *PyLong_FromLong(long);
PyObject *PyModule_Create2(void *, int);
static PyObject *answer(PyObject *self, PyObject *args) { return PyLong_FromLong(gdal_answer()); }
static struct { const char *name; void *function; int flags; const char *doc; } methods[] = {
    {"answer", (void *)answer, 4, NULL}, {0}};
static struct {
    ptrdiff_t count; void *type; void *init; ptrdiff_t index; void *copy;
    const char *name; const char *doc; ptrdiff_t size; void *methods; void *slots[4];
} module = {1, 0, 0, 0, 0, "_gdal", 0, -1, methods, {0}};
PyObject *PyInit__gdal(void) { return PyModule_Create2(&module, 1013); }
"""


def compile_macho(
    out: Path,
    source: str,
    *links: Path,
    architecture: str = "arm64",
    minimum: str = "",
    install_name: str = "",
    rpaths: tuple[str, ...] = (),
    flags: tuple[str, ...] = ("-Wl,-headerpad_max_install_names",),
) -> Path:
    """A library or, with undefined symbols left to the process, an extension or plugin.

    zig has no -bundle: extensions are dylibs here, which Python loads as well.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    target = f"{ZIG_ARCHITECTURES[architecture]}-macos.{minimum or OLDEST[architecture]}"
    name = install_name or f"@rpath/{out.name}"
    zig(
        "cc", "-target", target, "-O1", "-g0", "-dynamiclib", "-o", out, "-xc", "-", "-xnone",
        *links, f"-Wl,-install_name,{name}", "-Wl,-undefined,dynamic_lookup",
        *(f"-Wl,-rpath,{path}" for path in rpaths), *flags, text=source,
    )  # fmt: skip
    return out


def make_library(lib: Path, stem: str, version: str, source: str, *links: Path,
                 **options: object) -> Path:  # fmt: skip
    """`libz.1.3.dylib`, and the links `libz.1.dylib` and `libz.dylib`; the one users ask for."""
    major = version.partition(".")[0]
    asked = lib / f"{stem}.{major}.dylib"
    real = compile_macho(
        lib / f"{stem}.{version}.dylib", source, *links,
        install_name=f"@rpath/{asked.name}", rpaths=("@loader_path/",), **options,  # type: ignore[arg-type]
    )  # fmt: skip
    for link in (asked, lib / f"{stem}.dylib"):
        link.unlink(missing_ok=True)
        link.symlink_to(real.name)
    return asked


def make_stack(
    prefix: Path, *, architecture: str = "arm64", placeholder: str = "/usr/share"
) -> Path:
    """A prefix with libgdal, libproj and what they need, the plugin and the extension."""
    lib = prefix / "lib"
    crs = make_library(lib, "libcrs", "3.1", CRS, architecture=architecture)
    proj = make_library(lib, "libproj", "25.9.4", PROJ, crs, architecture=architecture)
    gdal = make_library(
        lib, "libgdal", f"36.{GDAL}", GDAL_SOURCE % placeholder, proj, architecture=architecture
    )
    hdf5 = make_library(lib, "libhdf5", "310.5", HDF5, architecture=architecture)
    compile_macho(
        lib / "gdalplugins" / PLUGIN, PLUGIN_SOURCE, gdal, hdf5,
        architecture=architecture, rpaths=("@loader_path/../", f"{placeholder}/lib"),
    )  # fmt: skip
    compile_macho(
        prefix / SITE_PACKAGES / "osgeo" / EXTENSION, EXTENSION_SOURCE, gdal,
        architecture=architecture, rpaths=("@loader_path/../../../../",),
    )  # fmt: skip
    return lib


def make_stacks(root: Path) -> dict[str, Path]:
    """The library folders of a stack for each architecture, compiled at the same time."""
    with ThreadPoolExecutor(2) as pool:
        made = {a: pool.submit(make_stack, root / a, architecture=a) for a in MACHINES}
        return {architecture: future.result() for architecture, future in made.items()}


def make_fat(out: Path, parts: Mapping[str, Path]) -> Path:
    """A fat file of thin ones, as lipo makes it."""
    thin = ((MACHINES[architecture], path.read_bytes()) for architecture, path in parts.items())
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(macho_files.make_fat(*thin))
    out.chmod(0o755)
    return out


def make_weak(path: Path, name: str) -> None:
    """Turn a file's need of `name` into a weak one (LC_LOAD_WEAK_DYLIB)."""
    data = path.read_bytes()
    at = data.index(name.encode() + b"\0") - 24
    assert struct.unpack_from("<I", data, at) == (0xC,)
    path.write_bytes(data[:at] + struct.pack("<I", 0x80000018) + data[at + 4 :])


def raw_wheel_tree(tree: Path, lib: Path) -> Path:
    """What a build backend packs: the extension, the plugin, a little Python; no library."""
    package = tree / "osgeo"
    plugins = package / "_plugins"
    plugins.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    shutil.copy(lib.parent / SITE_PACKAGES / "osgeo" / EXTENSION, package)
    shutil.copy(lib / "gdalplugins" / PLUGIN, plugins)
    return tree


def macos_samples(scratch: Path, platform: Platform) -> list[Sample]:
    """The stack above as conda packages; compiled in a folder, and no Mac is needed.

    Which package has which file is as in conda-forge's: `libgdal-core` has the data and the
    library, `libgdal-hdf5` one plugin, `gdal` the bindings of one interpreter.
    """
    prefix, holder = scratch / "prefix", PREFIX_PLACEHOLDER
    make_stack(prefix, architecture=platform.architecture, placeholder=holder)

    def compiled(name: str, version: str, *patterns: str, **more: Any) -> Sample:
        paths = [path for pattern in patterns for path in prefix.glob(pattern)]
        files = {p.relative_to(prefix).as_posix(): p for p in paths if not p.is_dir()}
        texts = more.pop("texts", {}).items()
        return Sample(
            name=name, version=version,
            files={n: p.read_bytes() for n, p in files.items() if not p.is_symlink()}
            | {n: text.encode() for n, text in texts},
            links={n: str(p.readlink()) for n, p in files.items() if p.is_symlink()}, **more,
        )  # fmt: skip

    return [
        compiled(
            "libgdal-core", GDAL, "lib/libgdal.*",
            depends=("proj >=9.4,<10.0a0", "__osx >=11.0"),
            with_placeholder=(f"lib/libgdal.36.{GDAL}.dylib", "bin/gdal-config"),
            texts={
                "share/gdal/gdalvrt.xsd": "<xs:schema/>\n",
                "bin/gdal-config": f"#!/bin/sh\nCONFIG_LIBS='-L{holder}/lib -lgdal'\n"
                f"case $1 in --version) echo {GDAL};; --libs) echo $CONFIG_LIBS;; esac\n",
            },
        ),
        compiled(
            "libgdal-hdf5", GDAL, "lib/gdalplugins/*", "lib/libhdf5.*",
            depends=(f"libgdal-core {GDAL}.*",), with_placeholder=(f"lib/gdalplugins/{PLUGIN}",),
        ),
        compiled("proj", "9.4.1", "lib/libproj.*", depends=("libcrs",),
                 texts={"share/proj/proj.db": "SQLite format 3\0"}),
        compiled("libcrs", "3.1", "lib/libcrs.*"),
        compiled(
            "gdal", GDAL, f"{SITE_PACKAGES}/osgeo/*", build="py312h0_0",
            depends=(f"libgdal-core {GDAL}.*", "python >=3.12,<3.13.0a0",
                     "python_abi 3.12.* *_cp312", "numpy >=1.23,<3"),
            texts={f"{SITE_PACKAGES}/{path}": text for path, text in BINDINGS.items()},
        ),
        compiled("ca-certificates", "2026.1", texts={"ssl/cacert.pem": "PEM\n"}, noarch=True,
                 depends=("__unix",)),
        # What `gdal` depends on, and no wheel takes anything from.
        compiled("python", "3.12.13", texts={"bin/python3.12": "not of the stack\n"},
                 build="h0_0_cpython"),
        compiled("python_abi", "3.12", build="8_cp312", noarch=True),
        compiled("numpy", "2.1.0"),
    ]  # fmt: skip


# As setuptools installs GDAL's bindings, and conda-forge packs them.
BINDINGS: Final = {
    "osgeo/__init__.py": f"__version__ = '{GDAL}'\nfrom . import _gdal\n",
    "osgeo/gdal.py": "from . import _gdal\nanswer = _gdal.answer\n",
    "osgeo_utils/__init__.py": "",
    "osgeo_utils/gdal_calc.py": "def main():\n    return 0\n",
    f"gdal-{GDAL}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: GDAL\nVersion: {GDAL}\n",
    f"gdal-{GDAL}.dist-info/RECORD": "",
    f"gdal-{GDAL}.dist-info/top_level.txt": "osgeo\nosgeo_utils\n",
}

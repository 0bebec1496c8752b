"""A native stack for Windows in small, compiled here: libraries, a plugin, an extension module.

The libraries have the names and the functions that the bootstrap calls. They are linked without the
C runtime, which makes a link short; what they take from others stands for what GDAL's take:
KERNEL32.dll and VCRUNTIME140.dll are there on every machine with CPython, MSVCP140.dll is not.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from geowheel.distro.conda_package import PREFIX_PLACEHOLDER
from geowheel.targets import Platform
from tests.support.files import write_files
from tests.support.fixture_channel import GDAL, Sample
from tests.support.repair_bench import pack
from tests.support.zig import zig

EXTENSION_STEM: Final = "_gdal.cp312"
PLUGIN: Final = "gdal_HDF5.dll"
ANSWER: Final = 36_942
"""What `plugin_answer` gives when every library is the right one."""

_ZIG: Final = {Platform.WIN_64: ("x86_64", "i386:x86-64"), Platform.WIN_ARM64: ("aarch64", "arm64")}
_EXPORT: Final = "#define API __declspec(dllexport)\n#define FROM __declspec(dllimport)\n"
# What the C runtime brings otherwise.
_START: Final = """
int _DllMainCRTStartup(void *library, unsigned reason, void *more) { return 1; }
int DllMainCRTStartup(void *library, unsigned reason, void *more) { return 1; }
unsigned _tls_index = 0;
int _fltused = 0;
"""
_SYSTEM: Final = {
    "KERNEL32.dll": ("GetLastError", "GetProcAddress", "LoadLibraryA"),
    "VCRUNTIME140.dll": ("strrchr",),
    "python312.dll": ("PyModule_Create2",),
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file to link: its C text and what it is linked with."""

    text: str
    needs: tuple[str, ...] = ()
    system: tuple[str, ...] = ()


SOURCES: Final[Mapping[str, Source]] = {
    "msvcp140.dll": Source(text="API int msvcp_answer(void) { return 2; }"),
    "sqlite3.dll": Source(text="API int sqlite3_answer(void) { return 40; }"),
    "hdf5.dll": Source(
        text="FROM int sqlite3_answer(void);"
        "API int hdf5_answer(void) { return 900 + sqlite3_answer(); }",
        needs=("sqlite3.dll",),
    ),
    "proj_9.dll": Source(
        text=f"""
API const char *proj_compiled_in = "{PREFIX_PLACEHOLDER}/Library/share/proj";
FROM int sqlite3_answer(void), msvcp_answer(void);
static const char *first, *bundle;
API const char *proj_context_get_user_writable_directory(void *context, int create)
{{ return "C:/Users/me/proj"; }}
API void proj_context_set_search_paths(void *context, int count, const char *const *paths)
{{ first = count > 0 ? paths[0] : 0; }}
API void proj_context_set_ca_bundle_path(void *context, const char *path) {{ bundle = path; }}
API const char *proj_first_path(void) {{ return first; }}
API int proj_answer(void) {{ return sqlite3_answer() + msvcp_answer(); }}
""",
        needs=("sqlite3.dll", "msvcp140.dll"),
    ),
    "gdal.dll": Source(
        text="""
FROM int proj_answer(void), msvcp_answer(void);
FROM void *LoadLibraryA(const char *), *GetProcAddress(void *, const char *);
FROM unsigned GetLastError(void);
FROM char *strrchr(const char *, int);
static const char *data;
API void CPLSetConfigOption(const char *name, const char *value)
{ if (!strrchr(name, 'R')) data = value; }
API void OSRSetPROJSearchPaths(const char *const *paths) {}
API const char *GDALVersionInfo(const char *request) { return "3.10.3"; }
API const char *gdal_data(void) { return data; }
API int gdal_answer(void) { return 36000 + proj_answer() * msvcp_answer() / 2 - 42; }
/* As GDAL's CPLGetSymbol does: the plugin's answer, or minus the error of Windows. */
API int plugin_answer(const char *path) {
    void *plugin = LoadLibraryA(path);
    int (*answer)(void) = plugin ? (int (*)(void))GetProcAddress(plugin, "GDALRegister_HDF5") : 0;
    return answer ? answer() : -(int)GetLastError();
}
""",
        needs=("proj_9.dll", "msvcp140.dll"),
        system=("KERNEL32.dll", "VCRUNTIME140.dll"),
    ),
    PLUGIN: Source(
        text="FROM int gdal_answer(void), hdf5_answer(void);"
        "API int GDALRegister_HDF5(void) { return gdal_answer() + hdf5_answer() + 2; }",
        needs=("gdal.dll", "hdf5.dll"),
    ),
    f"{EXTENSION_STEM}.pyd": Source(
        text="FROM int gdal_answer(void); FROM void *PyModule_Create2(void *, int);"
        "API void *PyInit__gdal(void) { return gdal_answer() ? PyModule_Create2(0, 0) : 0; }",
        needs=("gdal.dll",),
        system=("python312.dll",),
    ),
}


@dataclass(frozen=True, kw_only=True)
class WindowsStack:
    """Linked files of one platform in one folder, and where they belong."""

    platform: Platform
    folder: Path

    @property
    def extension(self) -> str:
        """`_gdal.cp312-win_amd64.pyd`."""
        return f"{EXTENSION_STEM}-win_{self.platform.architecture}.pyd"

    def data(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def prefix(self, goal: Path) -> Path:
        """A prefix as conda lays it out, with Visual C++'s runtime at its root only."""
        libraries = goal / "Library" / "bin"
        libraries.mkdir(parents=True)
        for name in ("sqlite3.dll", "hdf5.dll", "proj_9.dll", "gdal.dll"):
            (libraries / name).write_bytes(self.data(name))
        (goal / "msvcp140.dll").write_bytes(self.data("msvcp140.dll"))
        return goal


def compile_stack(platform: Platform, folder: Path) -> WindowsStack:
    """Link everything; the first link for a platform takes 2 s, the others next to nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, functions in _SYSTEM.items():
        import_library(platform, folder, name, functions)
    for name, source in SOURCES.items():  # each after what it needs
        link(platform, folder, name, source)
    made = WindowsStack(platform=platform, folder=folder)
    (folder / f"{EXTENSION_STEM}.pyd").rename(folder / made.extension)
    return made


def compile_stacks(folder: Path) -> dict[Platform, WindowsStack]:
    """For x64 and ARM at once."""
    with ThreadPoolExecutor(2) as pool:
        stacks = pool.map(lambda platform: compile_stack(platform, folder / platform), _ZIG)
        return {stack.platform: stack for stack in stacks}


def import_library(platform: Platform, folder: Path, name: str, functions: Sequence[str]) -> None:
    """What a linker is given for a DLL that is not here."""
    listing = folder / f"{name}.def"
    listing.write_text("EXPORTS\n" + "".join(f"{function}\n" for function in functions))
    zig("dlltool", "-m", _ZIG[platform][1], "-d", listing, "-l", _library(folder, name), "-D", name)


def link(platform: Platform, folder: Path, name: str, source: Source) -> Path:
    """One DLL in `folder`, where the import libraries of those that it needs lie as well.

    Or a program, by its name: it begins at `wWinMainCRTStartup`.
    """
    goal, text = folder / name, folder / f"{name}.c"
    kind = ["-Wl,--subsystem,console"] if name.endswith(".exe") else ["-shared"]
    text.write_text(_EXPORT + _START + source.text, encoding="utf-8")
    zig(
        "cc", "-target", f"{_ZIG[platform][0]}-windows-gnu", *kind, "-O1", "-s", "-nostdlib",
        "-w", "-fno-builtin", "-fno-sanitize=all", "-o", goal, text,
        *(_library(folder, needed) for needed in (*source.needs, *source.system)),
        f"-Wl,--out-implib={_library(folder, name)}",
    )  # fmt: skip
    return goal


def _library(folder: Path, name: str) -> Path:
    return folder / f"{name.lower()}.lib"


INIT: Final = '"""GDAL."""\n\nfrom . import _geowheel; _geowheel.configure()\n'


def wheel_files(stack: WindowsStack) -> dict[str, bytes]:
    """What the raw wheel of a host holds, without its .dist-info."""
    return {
        "osgeo/__init__.py": INIT.encode(),
        "osgeo/gdal.py": b"from . import _gdal\n",
        f"osgeo/{stack.extension}": stack.data(stack.extension),
        f"osgeo/_plugins/{PLUGIN}": stack.data(PLUGIN),
        "osgeo/_data/gdal/gdalvrt.xsd": b"<xsd/>",
        "osgeo_utils/__init__.py": b"",
    }


def write_raw(
    files: Mapping[str, bytes],
    folder: Path,
    *,
    tag: str = "cp312-cp312-win_amd64",
    name: str = "GDAL",
    pure: bool = False,
) -> Path:
    """A wheel as a build backend leaves it."""
    tree = write_files(folder / f"tree-{name}", files)
    return pack(tree, folder, tag, name=name, pure=pure)


def windows_samples(stack: WindowsStack, *, gdal: str = GDAL) -> list[Sample]:
    """The stack as conda packages for its platform, and GDAL's Python bindings for Python 3.12.

    Paths are those that conda-forge's recipes test for: gdal-feedstock (%LIBRARY_LIB%/gdalplugins,
    Library/bin/gdal.dll), vc-feedstock (each DLL in Library/bin and at the prefix's root, since
    build 34), ca-certificates-feedstock (noarch, one build for Windows: Library/ssl). Assumed are
    the name of proj_9.dll, that the bindings have a .dist-info folder, and a placeholder in a DLL,
    which on Windows few packages have.
    """
    holder = PREFIX_PLACEHOLDER.encode()
    runtime = {f"{place}msvcp140.dll": stack.data("msvcp140.dll") for place in ("", "Library/bin/")}
    return [
        Sample(
            name="libgdal-core", version=gdal,
            depends=("proj >=9", "libsqlite", "vc14_runtime >=14.44", "__win"),
            files={
                "Library/bin/gdal.dll": stack.data("gdal.dll"),
                "Library/lib/gdal.lib": b"!<arch>\n",
                "Library/lib/pkgconfig/gdal.pc": b"prefix=" + holder + b"/Library\n",
                "Library/include/gdal.h": b"/* GDAL */\n",
                "Library/share/gdal/gdalvrt.xsd": b"<xsd/>",
            },
            with_placeholder=("Library/lib/pkgconfig/gdal.pc",),
        ),
        Sample(name="libgdal-hdf5", version=gdal, depends=(f"libgdal-core {gdal}.*", "hdf5"),
               files={f"Library/lib/gdalplugins/{PLUGIN}": stack.data(PLUGIN)}),
        Sample(
            name="proj", version="9.5.0", depends=("libsqlite", "vc14_runtime >=14.44"),
            files={"Library/bin/proj_9.dll": stack.data("proj_9.dll"),
                   "Library/share/proj/proj.db": b"SQLite format 3\0"},
            with_placeholder=("Library/bin/proj_9.dll",),
        ),
        Sample(name="hdf5", version="1.14.6", depends=("libsqlite",),
               files={"Library/bin/hdf5.dll": stack.data("hdf5.dll")}),
        Sample(name="libsqlite", version="3.50.0",
               files={"Library/bin/sqlite3.dll": stack.data("sqlite3.dll")}),
        Sample(name="vc14_runtime", version="14.44.35208", files=runtime),
        Sample(name="ca-certificates", version="2026.1", build="h4c7d964_0", depends=("__win",),
               files={"Library/ssl/cacert.pem": b"PEM", "Library/ssl/cert.pem": b"PEM"},
               noarch=True),
        Sample(
            name="gdal", version=gdal, build="py312h7ee17fb_0", files=bindings(stack, gdal),
            depends=(f"libgdal-core {gdal}.*", "numpy >=1.23,<3", "python >=3.12,<3.13.0a0"),
        ),
        Sample(name="numpy", version="2.2.0", build="py312h0_0"),
        Sample(name="python", version="3.12.1", files={"python.exe": b"not of the stack"}),
    ]  # fmt: skip


def bindings(stack: WindowsStack, gdal: str = GDAL) -> dict[str, bytes]:
    """What conda-forge's package `gdal` holds, in small."""
    packages, info = "Lib/site-packages", f"Lib/site-packages/GDAL-{gdal}.dist-info"
    return {
        f"{packages}/osgeo/__init__.py": f'"""GDAL."""\n\n__version__ = "{gdal}"\n'.encode(),
        f"{packages}/osgeo/gdal.py": b"from . import _gdal\n",
        f"{packages}/osgeo/{stack.extension}": stack.data(stack.extension),
        f"{packages}/osgeo_utils/__init__.py": b"",
        f"{packages}/osgeo_utils/gdal_merge.py": b"def main(argv=None):\n    return 0\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: GDAL\nVersion: {gdal}\n".encode(),
        f"{info}/RECORD": b"",
        f"{info}/entry_points.txt": b"[console_scripts]\n"
        b"gdal_merge = osgeo_utils.gdal_merge:main\n",
        "Scripts/gdal_merge.py": b"import osgeo_utils.gdal_merge\n",
    }

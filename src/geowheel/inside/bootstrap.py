"""Set up the GDAL and PROJ that this wheel carries: `configure()`. Written by geowheel.

It works through the API of the bundled libraries alone. os.environ is never written: a PROJ_DATA
set for us would break pyproj and rasterio in the same process, and one set for them must not break
us. Who wants other data on purpose says so with the variables GEOWHEEL_GDAL_DATA,
GEOWHEEL_PROJ_DATA, GEOWHEEL_GDAL_DRIVER_PATH and GEOWHEEL_CA_BUNDLE. In a wheel that was not
repaired nothing is bundled and nothing is done; in a repaired one, data that is gone is an error.
"""

from __future__ import annotations

import ctypes
import os

_DONE: list[bool] = []  # functools takes longer to import
_HERE = os.path.dirname(os.path.abspath(__file__))
_REPAIRED = False
# A bundle that the user names, and that can be read, wins over ours.
_USER_BUNDLES = ("GDAL_CURL_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def _library(path: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(
            "the bundled library %s cannot be loaded: %s. Reinstall the package with pip."
            % (path, error)
        ) from error


def _lost(path: str) -> ImportError:
    return ImportError(
        "%s is gone, and without it GDAL gives wrong answers. What packs programs has to collect "
        "the data of this package (PyInstaller is told by the package itself, unless its hooks are "
        "left out). Else reinstall the package with pip." % path
    )


def _read_bundle() -> dict[str, str] | None:
    """Where the libraries and the data lie; None where nothing is bundled."""
    path = os.path.join(_HERE, "_geowheel.json")
    try:
        with open(path, encoding="utf-8") as file:
            words = file.read().split('"')[1::2]  # json takes longer to import; these are plain
    except FileNotFoundError:
        if _REPAIRED:
            raise _lost(path) from None
        return None
    except NotADirectoryError as error:
        raise ImportError(
            "%s lies in a zip file, and libraries cannot be loaded from one. Install the wheel "
            "with pip." % _HERE
        ) from error
    paths = [os.path.normpath(os.path.join(_HERE, relative)) for relative in words[1::2]]
    bundle = dict(zip(words[::2], paths, strict=True))
    for path in (bundle["gdal_data"], os.path.join(bundle["proj_data"], "proj.db")):
        if _REPAIRED and not os.path.exists(path):
            raise _lost(path)
    return bundle


def _named(name: str, *, several: bool) -> list[str]:
    """What the user names instead of ours; a path that cannot be read is left out, aloud."""
    value = os.environ.get(name, "")
    paths = [path for path in (value.split(os.pathsep) if several else [value]) if path]
    found = [path for path in paths if os.access(path, os.R_OK)]
    for path in paths:
        if path not in found:
            import warnings

            text = "%s names %s, which is not there or cannot be read: left out"
            warnings.warn(text % (name, path), RuntimeWarning, stacklevel=2)
    return [os.path.abspath(path) for path in found]


def _drivers(plugins: str) -> list[str]:
    """Folders of driver plugins: the user's, then ours.

    Plugins of another GDAL, found through a variable or a path compiled in, would not fit.
    """
    if os.environ.get("GEOWHEEL_GDAL_DRIVER_PATH") == "disable":
        return ["disable"]
    ours = [plugins] if os.path.isdir(plugins) else []
    return _named("GEOWHEEL_GDAL_DRIVER_PATH", several=True) + ours or ["disable"]


def _trusted(ca_bundle: str, chosen: list[str], variables: tuple[str, ...]) -> list[str]:
    """The certificates to set: those chosen on purpose, or ours unless the user names others."""
    if chosen:
        return chosen
    named = (os.environ.get(name) for name in variables)
    if any(path and os.access(path, os.R_OK) for path in named) or not os.path.exists(ca_bundle):
        return []
    return [ca_bundle]


def _settings(bundle: dict[str, str]) -> dict[str, list[str]]:
    """What GDAL and PROJ are told, by the names of their own variables; empty: nothing."""
    chosen = _named("GEOWHEEL_CA_BUNDLE", several=False)
    ours = bundle["ca_bundle"]
    return {
        "GDAL_DATA": _named("GEOWHEEL_GDAL_DATA", several=False) or [bundle["gdal_data"]],
        # Ours stays behind the user's, which may hold grids and no proj.db.
        "PROJ_DATA": [*_named("GEOWHEEL_PROJ_DATA", several=True), bundle["proj_data"]],
        "GDAL_DRIVER_PATH": _drivers(bundle["plugins"]),
        "GDAL_CURL_CA_BUNDLE": _trusted(ours, chosen, _USER_BUNDLES),
        "PROJ_CURL_CA_BUNDLE": _trusted(ours, chosen, ("PROJ_CURL_CA_BUNDLE", *_USER_BUNDLES)),
    }


def variables() -> dict[str, str]:
    """The same for a program of this wheel, as variables of its own environment."""
    bundle = _read_bundle()
    settings = _settings(bundle) if bundle else {}
    found = {name: os.pathsep.join(paths) for name, paths in settings.items() if paths}
    # PROJ before 9.1 knows only the old name.
    return {**found, "PROJ_LIB": found["PROJ_DATA"]} if found else {}


def hook_dirs() -> list[str]:
    """Where PyInstaller finds the hook; an entry point of its own group."""
    return [os.path.join(_HERE, "_pyinstaller")]


def _search_paths(proj: ctypes.CDLL, data: list[str]) -> list[bytes]:
    """What was set, then the folder that projsync writes to, which the search would lose."""
    folder = proj.proj_context_get_user_writable_directory
    folder.argtypes = [ctypes.c_void_p, ctypes.c_int]
    folder.restype = ctypes.c_char_p
    return [path for path in (*map(os.fsencode, data), folder(None, 0)) if path]


def _set_up_proj(proj: ctypes.CDLL, paths: list[bytes], certificates: list[str]) -> None:
    """PROJ's default context: the contexts that other bundled libraries make are copies of it."""
    array = (ctypes.c_char_p * len(paths))(*paths)
    proj.proj_context_set_search_paths.argtypes = [
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_char_p),
    ]
    proj.proj_context_set_search_paths.restype = None
    proj.proj_context_set_search_paths(None, len(paths), array)
    for path in certificates:
        proj.proj_context_set_ca_bundle_path.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        proj.proj_context_set_ca_bundle_path.restype = None
        proj.proj_context_set_ca_bundle_path(None, os.fsencode(path))


def _set_up_gdal(gdal: ctypes.CDLL, paths: list[bytes], settings: dict[str, list[str]]) -> None:
    option = gdal.CPLSetConfigOption
    option.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    option.restype = None
    for name in ("GDAL_DATA", "GDAL_DRIVER_PATH", "GDAL_CURL_CA_BUNDLE"):
        if settings[name]:
            option(name.encode(), os.fsencode(os.pathsep.join(settings[name])))
    array = (ctypes.c_char_p * (len(paths) + 1))(*paths, None)
    gdal.OSRSetPROJSearchPaths.argtypes = [ctypes.POINTER(ctypes.c_char_p)]
    gdal.OSRSetPROJSearchPaths.restype = None
    gdal.OSRSetPROJSearchPaths(array)


# geowheel: what the system needs


def configure() -> bool:
    """Point the bundled libraries to the bundled data; has to run before drivers register.

    True where it did; False in a wheel that was not repaired, and in a checkout.
    """
    if _DONE:  # once: later settings of the user stay
        return True
    bundle = _read_bundle()
    if bundle is None:
        return False
    settings = _settings(bundle)
    # geowheel: before loading
    gdal, proj = _library(bundle["gdal"]), _library(bundle["proj"])
    paths = _search_paths(proj, settings["PROJ_DATA"])
    _set_up_proj(proj, paths, settings["PROJ_CURL_CA_BUNDLE"])
    _set_up_gdal(gdal, paths, settings)
    _DONE.append(True)
    return True

"""Set up the GDAL and PROJ that this wheel carries. Written by geowheel; imported before `_gdal`.

It works through the API of the bundled libraries alone. os.environ is never written: a PROJ_DATA
set for us would break pyproj and rasterio in the same process, and one set for them must not break
us. Without `_libraries.json`, which the repair of a wheel writes, nothing is bundled and nothing
is done.
"""

from __future__ import annotations

import ctypes
import json
import os

_HERE = os.path.dirname(os.path.abspath(__file__))
_DATA = os.path.join(_HERE, "_data")
_PLUGINS = os.path.join(_HERE, "_plugins")
_CA_BUNDLE = os.path.join(_DATA, "cacert.pem")
# A bundle that the user names, and that can be read, wins over ours.
_USER_BUNDLES = ("GDAL_CURL_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def _library(libraries: dict[str, str], name: str) -> ctypes.CDLL:
    path = os.path.normpath(os.path.join(_HERE, libraries[name]))
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(
            "the bundled library %s cannot be loaded: %s. Reinstall the package; a wheel cannot be "
            "imported from a zip file." % (path, error)
        ) from error


def _named_by_user(names: tuple[str, ...]) -> bool:
    paths = (os.environ.get(name) for name in names)
    return any(path and os.access(path, os.R_OK) for path in paths)


def _search_paths(proj: ctypes.CDLL) -> list[bytes]:
    """Ours first, then the folder that projsync writes to, which the search would lose."""
    folder = proj.proj_context_get_user_writable_directory
    folder.argtypes = [ctypes.c_void_p, ctypes.c_int]
    folder.restype = ctypes.c_char_p
    return [path for path in (os.fsencode(os.path.join(_DATA, "proj")), folder(None, 0)) if path]


def _set_up_proj(proj: ctypes.CDLL, paths: list[bytes]) -> None:
    """PROJ's default context: the contexts that other bundled libraries make are copies of it."""
    array = (ctypes.c_char_p * len(paths))(*paths)
    proj.proj_context_set_search_paths.argtypes = [
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_char_p),
    ]
    proj.proj_context_set_search_paths.restype = None
    proj.proj_context_set_search_paths(None, len(paths), array)
    if os.path.exists(_CA_BUNDLE) and not _named_by_user(("PROJ_CURL_CA_BUNDLE", *_USER_BUNDLES)):
        proj.proj_context_set_ca_bundle_path.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        proj.proj_context_set_ca_bundle_path.restype = None
        proj.proj_context_set_ca_bundle_path(None, os.fsencode(_CA_BUNDLE))


def _set_up_gdal(gdal: ctypes.CDLL, paths: list[bytes]) -> None:
    option = gdal.CPLSetConfigOption
    option.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    option.restype = None
    option(b"GDAL_DATA", os.fsencode(os.path.join(_DATA, "gdal")))
    # Plugins of another GDAL, found through a variable or a path compiled in, would not fit.
    plugins = os.fsencode(_PLUGINS) if os.path.isdir(_PLUGINS) else b"disable"
    option(b"GDAL_DRIVER_PATH", plugins)
    if os.path.exists(_CA_BUNDLE) and not _named_by_user(_USER_BUNDLES):
        option(b"GDAL_CURL_CA_BUNDLE", os.fsencode(_CA_BUNDLE))
    array = (ctypes.c_char_p * (len(paths) + 1))(*paths, None)
    gdal.OSRSetPROJSearchPaths.argtypes = [ctypes.POINTER(ctypes.c_char_p)]
    gdal.OSRSetPROJSearchPaths.restype = None
    gdal.OSRSetPROJSearchPaths(array)


def set_up() -> None:
    """Point the bundled libraries to the bundled data; has to run before drivers register."""
    try:
        with open(os.path.join(_HERE, "_libraries.json"), encoding="utf-8") as file:
            libraries = json.load(file)
    except FileNotFoundError:
        return
    gdal = _library(libraries, "gdal")
    proj = _library(libraries, "proj")
    paths = _search_paths(proj)
    _set_up_proj(proj, paths)
    _set_up_gdal(gdal, paths)


set_up()

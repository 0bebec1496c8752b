"""Set up the GDAL and PROJ that this wheel carries: `configure()`. Written by geowheel.

It works through the API of the bundled libraries alone. os.environ is never written: a PROJ_DATA
set for us would break pyproj and rasterio in the same process, and one set for them must not break
us. Without `_geowheel.json`, which the repair of a wheel writes, nothing is bundled and nothing is
done.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os

_HERE = os.path.dirname(os.path.abspath(__file__))
# A bundle that the user names, and that can be read, wins over ours.
_USER_BUNDLES = ("GDAL_CURL_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


def _library(path: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(
            "the bundled library %s cannot be loaded: %s. Reinstall the package; a wheel cannot be "
            "imported from a zip file." % (path, error)
        ) from error


def _trusted(ca_bundle: str, variables: tuple[str, ...]) -> bytes | None:
    """Our certificates, unless the wheel has none or the user names others."""
    named = (os.environ.get(name) for name in variables)
    if any(path and os.access(path, os.R_OK) for path in named) or not os.path.exists(ca_bundle):
        return None
    return os.fsencode(ca_bundle)


def _search_paths(proj: ctypes.CDLL, data: str) -> list[bytes]:
    """Ours first, then the folder that projsync writes to, which the search would lose."""
    folder = proj.proj_context_get_user_writable_directory
    folder.argtypes = [ctypes.c_void_p, ctypes.c_int]
    folder.restype = ctypes.c_char_p
    return [path for path in (os.fsencode(data), folder(None, 0)) if path]


def _set_up_proj(proj: ctypes.CDLL, paths: list[bytes], certificates: bytes | None) -> None:
    """PROJ's default context: the contexts that other bundled libraries make are copies of it."""
    array = (ctypes.c_char_p * len(paths))(*paths)
    proj.proj_context_set_search_paths.argtypes = [
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_char_p),
    ]
    proj.proj_context_set_search_paths.restype = None
    proj.proj_context_set_search_paths(None, len(paths), array)
    if certificates:
        proj.proj_context_set_ca_bundle_path.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        proj.proj_context_set_ca_bundle_path.restype = None
        proj.proj_context_set_ca_bundle_path(None, certificates)


def _set_up_gdal(
    gdal: ctypes.CDLL, paths: list[bytes], bundle: dict[str, str], certificates: bytes | None
) -> None:
    option = gdal.CPLSetConfigOption
    option.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    option.restype = None
    option(b"GDAL_DATA", os.fsencode(bundle["gdal_data"]))
    # Plugins of another GDAL, found through a variable or a path compiled in, would not fit.
    plugins = os.fsencode(bundle["plugins"]) if os.path.isdir(bundle["plugins"]) else b"disable"
    option(b"GDAL_DRIVER_PATH", plugins)
    if certificates:
        option(b"GDAL_CURL_CA_BUNDLE", certificates)
    array = (ctypes.c_char_p * (len(paths) + 1))(*paths, None)
    gdal.OSRSetPROJSearchPaths.argtypes = [ctypes.POINTER(ctypes.c_char_p)]
    gdal.OSRSetPROJSearchPaths.restype = None
    gdal.OSRSetPROJSearchPaths(array)


@functools.lru_cache(maxsize=None)  # once: later settings of the user stay
def configure() -> bool:
    """Point the bundled libraries to the bundled data; has to run before drivers register.

    True where it did; False in a wheel that was not repaired, and in a checkout.
    """
    try:
        with open(os.path.join(_HERE, "_geowheel.json"), encoding="utf-8") as file:
            relative = json.load(file)
    except FileNotFoundError:
        return False
    except NotADirectoryError as error:
        raise ImportError(
            "%s is inside a zip file, and shared libraries cannot be loaded from there: install "
            "the wheel with pip." % _HERE
        ) from error
    bundle = {name: os.path.normpath(os.path.join(_HERE, path)) for name, path in relative.items()}
    gdal, proj = _library(bundle["gdal"]), _library(bundle["proj"])
    paths = _search_paths(proj, bundle["proj_data"])
    _set_up_proj(
        proj, paths, _trusted(bundle["ca_bundle"], ("PROJ_CURL_CA_BUNDLE", *_USER_BUNDLES))
    )
    _set_up_gdal(gdal, paths, bundle, _trusted(bundle["ca_bundle"], _USER_BUNDLES))
    return True

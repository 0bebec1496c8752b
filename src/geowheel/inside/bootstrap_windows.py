"""A part of the bootstrap, in wheels for Windows only; what is above the line stays here."""

from __future__ import annotations

import os

from .bootstrap import _library

# geowheel: what the system needs


def _before_loading(bundle: dict[str, str]) -> None:
    """Let Windows find the bundled libraries by their names.

    GDAL loads plugins with LoadLibrary, which searches no added folder: what they need, and what is
    loaded on first use, is found only where it is loaded already.
    """
    folder = bundle.get("libraries", "")
    if os.path.isdir(folder):
        # Searched until close() of the handle is called, so nobody has to keep it.
        os.add_dll_directory(folder)  # type: ignore[attr-defined,unused-ignore]
    for name in sorted(bundle):
        if name.startswith("preload-"):
            _library(bundle[name])

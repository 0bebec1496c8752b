"""Tells PyInstaller what this package needs besides its modules. Written by geowheel.

As `hook-PACKAGE._geowheel.py` it is asked wherever the package's bootstrap is imported, beside the
hooks that others have for the package itself.
"""

from __future__ import annotations

import json
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
_NAME = Path(__file__).name[len("hook-") : -len("._geowheel.py")]
_SITE = _PACKAGE.parents[_NAME.count(".")]


def _below(*paths: Path) -> list[tuple[str, str]]:
    """Each file there, with the folder that it has in the program."""
    found = {file for path in paths for file in (path, *path.rglob("*")) if file.is_file()}
    return [(str(file), str(file.parent.relative_to(_SITE))) for file in sorted(found)]


_file = _PACKAGE / "_geowheel.json"
_bundle = {n: _PACKAGE / path for n, path in json.loads(_file.read_text("utf-8")).items()}
_bundle = {name: path.resolve() for name, path in _bundle.items()}
binaries = _below(_bundle["gdal"].parent, _bundle["plugins"])
datas = _below(_file, *(_bundle[name] for name in ("gdal_data", "proj_data", "ca_bundle")))
# Modules that are asked for by computed names.
_modules = sorted(path.name for path in _PACKAGE.iterdir() if path.suffix in (".so", ".pyd"))
hiddenimports = [_NAME + "." + name.partition(".")[0] for name in _modules]

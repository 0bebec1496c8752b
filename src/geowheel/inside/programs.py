"""GDAL's own programs as console commands: `gdalinfo()` becomes gdalinfo. Written by geowheel.

The program lies in the wheel, with the bundled libraries. What it is told of the bundled data is
what the bootstrap tells the libraries, here by variables, which it alone sees. It is not a part of
osgeo, since importing that would load GDAL before the program loads it again.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location

_HERE = os.path.dirname(os.path.abspath(__file__))
_BESIDE = os.path.join(os.path.dirname(_HERE), "osgeo")
_PACKAGE = _BESIDE if os.path.basename(_HERE) == "osgeo_utils" else _HERE


def __getattr__(name: str) -> Callable[[], int]:
    """The function of a console command, by the name of the program."""
    path = os.path.join(_PACKAGE, "_programs", name)
    if os.name == "nt":
        path += ".exe"
    if name.startswith("__") or not os.path.isfile(path):
        raise AttributeError("this package has no program %s" % name)
    return functools.partial(_become, path)


def _become(path: str) -> int:
    arguments = [path, *sys.argv[1:]]
    environment = {**os.environ, **_variables()}
    if os.name == "nt":  # no exec there that keeps the exit code
        import subprocess

        return subprocess.call(arguments, env=environment)
    # Python ignores these, and a program would inherit that: `gdalinfo | head` has to end.
    for ignored in ("SIGPIPE", "SIGXFZ", "SIGXFSZ"):
        if hasattr(signal, ignored):
            signal.signal(getattr(signal, ignored), signal.SIG_DFL)
    try:
        os.execve(path, arguments, environment)
    except OSError as error:
        sys.stderr.write(
            "%s cannot be started: %s. Is the file system mounted with noexec, or did an installer "
            "take away the file's mode? Reinstall the package with pip.\n" % (path, error.strerror)
        )
    return 126  # as shells say it


def _variables() -> dict[str, str]:
    """The bootstrap's choice. Loaded by its path, since its package would load GDAL."""
    spec = spec_from_file_location("_geowheel", os.path.join(_PACKAGE, "_geowheel.py"))
    bootstrap = module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(bootstrap)  # type: ignore[union-attr]
    variables: dict[str, str] = bootstrap.variables()
    return variables


if __name__ == "__main__":
    sys.exit(__getattr__(sys.argv.pop(1))())

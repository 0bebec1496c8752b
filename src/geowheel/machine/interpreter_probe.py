"""What an interpreter is, as JSON on standard output: `interpreters.py` has each one run this.

It runs in any Python 3 that a machine has: no newer syntax, and ASCII only, whatever the locale.
"""

import hashlib
import importlib.util
import json
import os
import platform
import struct
import sys
import sysconfig


def libc():
    if not sys.platform.startswith("linux"):
        return ""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or "unknown"
    except (AttributeError, OSError, ValueError):
        pass
    kinds = [var("HOST_GNU_TYPE"), var("SOABI"), var("MULTIARCH")]
    return "musl" if any("musl" in kind for kind in kinds) else "unknown"


def var(name):
    value = sysconfig.get_config_var(name)
    return "" if value is None else str(value)


def has(module):
    spec = importlib.util.find_spec(module)
    return spec is not None and spec.has_location


def first(paths):
    for path in paths:
        if path and os.path.isfile(path):
            return path
    return None


def executable():
    if sys.prefix == sys.base_prefix:
        return sys.executable
    name = "python%d.%d" % sys.version_info[:2]
    return (
        first(
            [
                os.path.join(sys.base_prefix, "bin", name),
                os.path.join(sys.base_prefix, "python.exe"),
                getattr(sys, "_base_executable", ""),
            ]
        )
        or sys.executable
    )


def include():
    known = [sysconfig.get_path("include"), var("INCLUDEPY"), sysconfig.get_path("platinclude")]
    header = first([os.path.join(path, "Python.h") for path in known if path])
    return (os.path.dirname(header), True) if header else (known[0] or known[1], False)


def headers(folder, there):
    path = os.path.join(folder, "pyconfig.h")
    if not there or not os.path.isfile(path):
        path = sysconfig.get_config_h_filename()
    if not there or not os.path.isfile(path):
        return ""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


folder, there = include()
print(
    json.dumps(
        {
            "executable": os.path.realpath(executable()),
            "version": sys.version.split()[0],
            "implementation": sys.implementation.name,
            "soabi": var("SOABI"),
            "extension_suffix": var("EXT_SUFFIX"),
            "machine": platform.machine(),
            "bits": struct.calcsize("P") * 8,
            "libc": libc(),
            "debug": var("Py_DEBUG") == "1" or hasattr(sys, "gettotalrefcount"),
            "free_threaded": var("Py_GIL_DISABLED") == "1",
            "shared": var("Py_ENABLE_SHARED") == "1",
            "deployment_target": var("MACOSX_DEPLOYMENT_TARGET"),
            "include": folder,
            "headers": headers(folder, there),
            "venv": has("venv"),
        }
    )
)

"""A root file system with nothing in it but Python and the C runtimes, entered with bubblewrap.

What the interpreter needs is found as its loader finds it: by starting it and asking what it has
mapped. So is what other distributions need that the host imports: NumPy's wheel takes zlib from the
system. Nothing else of this machine's libraries is there.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import subprocess
import sys
import sysconfig
from typing import Any

from . import ours, parts, probe

RUNTIMES = (
    "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1",
    "libresolv.so.2", "libmvec.so.1", "libanl.so.1", "libnss_files.so.2", "libnss_dns.so.2",
    "libgcc_s.so.1", "libstdc++.so.6",
)  # fmt: skip
"""What a wheel may take from the system."""
ABSENT = (
    "libexpat.so.1", "libz.so.1", "libglib-2.0.so.0", "libX11.so.6", "libGL.so.1", "libxml2.so.2",
    "libcurl.so.4", "libsqlite3.so.0", "libgdal.so", "libproj.so", "libgomp.so.1", "libffi.so.8",
)  # fmt: skip
"""What slim images lack; libffi only where the interpreter has it built in."""
CLOSURE = """
import ctypes, importlib, json, sys
for name in sys.argv[1:]:
    try:
        ctypes.CDLL(name) if ".so" in name else importlib.import_module(name)
    except (ImportError, OSError):
        pass  # names of other glibc versions
with open("/proc/self/maps") as file:
    paths = {line.split(None, 5)[5].strip() for line in file if "/" in line}
sys.stdout.write(json.dumps(sorted(p for p in paths if ".so" in p)))
"""


def works(asked: dict[str, Any]) -> dict[str, Any]:
    """Real work in a root that holds the environment, the interpreter and the C runtimes."""
    expected = ours.work(asked)
    libraries = _libraries(imported_beside(asked))
    wrapper = [asked["bwrap"], *_root(libraries), "--bind", asked["folder"], asked["folder"]]
    report = probe.again(asked, "slim:inside", *wrapper, expected=expected, libraries=libraries)
    return {"detail": report["detail"]}


def _root(libraries: list[str]) -> list[str]:
    """bubblewrap's arguments for a root of the interpreter, its libraries and the environment."""
    arguments = ["--unshare-all", "--die-with-parent", "--new-session"]
    arguments += ["--tmpfs", "/tmp", "--proc", "/proc", "--dev", "/dev"]
    for path in [*libraries, loader(), *_executables()]:
        arguments += ["--ro-bind", os.path.realpath(path), path]
    for path in {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), sys.prefix,
                 os.path.dirname(os.path.abspath(__file__))}:  # fmt: skip
        arguments += ["--ro-bind", path, path]
    return arguments


def _executables() -> list[str]:
    """The interpreter by each name on the way from this environment's link to the file itself."""
    path = sys.executable
    found = []
    while os.path.islink(path):
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
        found.append(path)
    return [path for path in found if not path.startswith(sys.prefix + os.sep)]


def inside(asked: dict[str, Any]) -> dict[str, Any]:
    """In the slim root: the same numbers, and nothing loaded but the wheel's and the runtimes."""
    before = ours.loaded()
    there = [name for name in ABSENT if _loads(name)]
    own = tuple(os.path.basename(path) for path in asked["libraries"])
    strange = [name for name in there if not any(file.startswith(name) for file in own)]
    assert not strange, "not slim: %s is there" % strange
    assert ours.work(asked) == asked["expected"]
    ours.own_data(asked)
    ours.own_libraries(asked)
    site = os.path.realpath(ours.site_of(asked))
    foreign = {path for path in ours.loaded() - before if not path.startswith(site)}
    foreign -= {os.path.realpath(path) for path in asked["libraries"]} | {*asked["libraries"]}
    foreign -= {path for path in foreign if _is_runtime(path) or "/lib-dynload/" in path}
    assert not foreign, "loaded from outside of the wheel: %s" % sorted(foreign)
    programs = parts.programs(asked)
    assert "skipped" in programs or programs["detail"]
    words = "%d libraries of the machine" % len(asked["libraries"])
    known = ", %s of the interpreter or of what the host imports among them" % there
    return {"detail": words + (known if there else "")}


def imported_beside(asked: dict[str, Any]) -> list[str]:
    """Return the packages of other distributions that were imported with the host."""
    site = os.path.realpath(ours.site_of(asked)) + os.sep
    own = asked["package"].partition(".")[0]
    files = {name: getattr(module, "__file__", None) for name, module in [*sys.modules.items()]}
    inside = (name for name, f in files.items() if f and os.path.realpath(f).startswith(site))
    found = {name.partition(".")[0] for name in inside}
    return sorted(found - {own})


def _libraries(imported: list[str]) -> list[str]:
    """The shared libraries of the machine that the interpreter, the C runtimes and these packages
    load, by the names they go by."""
    said = subprocess.run(
        [sys.executable, "-I", "-c", CLOSURE, *RUNTIMES, *imported],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    found = [path for path in json.loads(said) if not path.startswith(sys.prefix + os.sep)]
    # A library is looked for by its soname, which may be a link to the file that is mapped.
    names = set(found)
    for path in found:
        folder = os.path.dirname(path)
        for name in os.listdir(folder) if "/python" not in path else ():
            other = os.path.join(folder, name)
            if os.path.islink(other) and ".so" in name and os.path.realpath(other) == path:
                names.add(other)
    return sorted(names)


def loader() -> str:
    """The dynamic loader by the name that the executable asks for: PT_INTERP of a 64-bit ELF file.

    https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.pheader.html
    """
    with open(os.path.realpath(sys.executable), "rb") as file:
        data = file.read()
    table, size, count = *struct.unpack_from("<Q", data, 32), *struct.unpack_from("<HH", data, 54)
    headers = [
        struct.unpack_from("<IIQQQQ", data, table + number * size) for number in range(count)
    ]
    start, length = next((h[2], h[5]) for h in headers if h[0] == 3)
    return data[start : start + length].rstrip(b"\0").decode()


def _is_runtime(path: str) -> bool:
    return os.path.basename(path).startswith(tuple(name.partition(".so")[0] for name in RUNTIMES))


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True

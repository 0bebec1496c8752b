"""Projects outside this repository, and the environment of somebody who never saw it."""

import os
import shutil
import subprocess
import sys
import threading
import venv
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from geowheel.digest import sha256_file
from tests.support.project_copy import REPOSITORY


def build_toolkit(folder: Path) -> Path:
    """geowheel's own wheel, of this checkout."""
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "build", "-q", "--wheel", "--out-dir", folder, REPOSITORY], check=True)
    (made,) = folder.glob("*.whl")
    return made


class ToolkitIndex:
    """A PEP 503 index on loopback with geowheel and nothing else; it asks no other index."""

    def __init__(self, wheel: Path, folder: Path) -> None:
        page = folder / "simple" / "geowheel"
        page.mkdir(parents=True)
        shutil.copy(wheel, page)
        # With the hash, no cache of pip's or uv's can bring another checkout's.
        link = f"{wheel.name}#sha256={sha256_file(wheel)}"
        (page / "index.html").write_text(f'<!DOCTYPE html><a href="{link}">{wheel.name}</a>')

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """The tests' own output is enough."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self._http.server_port}/simple/"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@dataclass(frozen=True, kw_only=True)
class Adopter:
    """A machine with a nox that has nothing beside it, and two indexes: the usual one, and ours."""

    index: ToolkitIndex
    cache: Path
    """GEOWHEEL_CACHE."""
    nox: Path
    """The environment that nox alone is installed in."""

    @property
    def environ(self) -> dict[str, str]:
        ours = ("GEOWHEEL_", "WHEEL_", "PYTHON", "VIRTUAL_ENV", "NOX")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return kept | {
            "PATH": f"{self.nox / 'bin'}:{kept['PATH']}",
            "PIP_EXTRA_INDEX_URL": self.index.url,
            "UV_INDEX": self.index.url,
            "NO_PROXY": "127.0.0.1",
            "GEOWHEEL_CACHE": str(self.cache),
            "GEOWHEEL_CHANNEL": "distro",
            "GEOWHEEL_PIXI": "none",
            "COLUMNS": "200",
        }

    def run(self, folder: Path, *argv: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever its exit code; without a terminal."""
        return subprocess.run(
            argv, cwd=folder, env=self.environ, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False,
        )  # fmt: skip

    def geowheel(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """geowheel from the index, installed nowhere: as `pipx run` has it."""
        uv = Path(sys.executable).with_name("uv")
        return self.run(
            folder, uv, "tool", "run", "--python", sys.executable, "geowheel", *arguments
        )


def make_nox(folder: Path) -> Path:
    """A fresh environment with nox in it, and what nox itself needs."""
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "nox"]
    subprocess.run(pip, check=True)
    return folder


_BUILD = """\
[build-system]
requires = [{requires}]
build-backend = "{backend}"
[project]
name = "adopted"
{version}
requires-python = ">=3.11"
"""


def _project(requires: str, backend: str, more: str = "") -> dict[str, str]:
    version = 'dynamic = ["version"]' if "scm" in requires else 'version = "1.0"'
    text = _BUILD.format(requires=requires, backend=backend, version=version)
    return {"pyproject.toml": text + more, "src/adopted/__init__.py": '"""A package."""\n'}


# As their own documentation begins, with the package in src/; none says anything of GDAL's files.
PURE = {
    "setuptools": _project('"setuptools>=77"', "setuptools.build_meta"),
    "setuptools_scm": _project(
        '"setuptools>=77", "setuptools_scm>=8"', "setuptools.build_meta", "[tool.setuptools_scm]\n"
    ),
    "hatchling": _project('"hatchling"', "hatchling.build"),
    "poetry-core": _project('"poetry-core>=2"', "poetry.core.masonry.api"),
}
# What `init` tells to add stands in here already.
_INIT = """\
try:
    from ._geowheel import configure
except ModuleNotFoundError:  # not built by geowheel: the system's GDAL and its data
    pass
else:
    configure()
from ._core import release
"""
_CORE = """\
#include <Python.h>
#include <gdal.h>
static PyObject *release(PyObject *, PyObject *) {
    return PyUnicode_FromString(GDALVersionInfo("RELEASE_NAME"));
}
static PyMethodDef methods[] = {
    {"release", release, METH_NOARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_core", nullptr, -1, methods};
PyMODINIT_FUNC PyInit__core() { return PyModule_Create(&module); }
"""
_CMAKE = """\
cmake_minimum_required(VERSION 3.18)
project(adopted LANGUAGES CXX)
find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)
find_package(GDAL REQUIRED)
python_add_library(_core MODULE core.cpp WITH_SOABI)
target_link_libraries(_core PRIVATE GDAL::GDAL)
install(TARGETS _core DESTINATION adopted)
"""
_MESON = """\
project('adopted', 'cpp')
py = import('python').find_installation(pure: false)
flags = run_command('gdal-config', '--cflags', check: true).stdout().strip().split()
libraries = run_command('gdal-config', '--libs', check: true).stdout().strip().split()
py.install_sources('src/adopted/__init__.py', subdir: 'adopted')
py.extension_module('_core', 'core.cpp', cpp_args: flags, link_args: libraries,
                    install: true, subdir: 'adopted')
"""
_SOURCES = {"src/adopted/__init__.py": _INIT, "core.cpp": _CORE}
COMPILING = {
    "scikit-build-core": _project('"scikit-build-core"', "scikit_build_core.build")
    | _SOURCES
    | {"CMakeLists.txt": _CMAKE},
    "meson-python": _project('"meson-python"', "mesonpy") | _SOURCES | {"meson.build": _MESON},
}

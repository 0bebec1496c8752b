"""The environments that commands run in: named variables are let through, the rest is not.

What the user's shell holds must not reach a compiler, a build backend or a test by accident.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from geowheel.errors import MachineError

EPOCH: Final = 1577836800
"""2020-01-01T00:00:00Z, the time of everything that is made: a constant, as reproducible builds
need (https://reproducible-builds.org/specs/source-date-epoch/)."""

_MACHINE: Final = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT")
_NETWORK: Final = (
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
    "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "NETRC", "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME", "RATTLER_AUTH_FILE", "PIXI_HOME", "PIXI_CONFIG_FILE", "PIXI_NO_CONFIG",
)  # fmt: skip
# What says a version in git's place: setuptools-scm, pdm-backend, pbr, versioningit and the like.
_VERSION: Final = re.compile(
    r"\w+_PRETEND_(VERSION|METADATA)\w*|SETUPTOOLS_SCM_OVERRIDES_FOR_\w+|PDM_BUILD_SCM_VERSION"
    r"|PBR_VERSION|\w+_DYNAMIC_VERSIONING_(BYPASS|OVERRIDE)"
)
# What compilers and build backends would read.
_BUILD: Final = re.compile(
    r"CC|CXX|(C|CPP|CXX|F|FC|LD|RUST|ARCH)FLAGS|C(PLUS_INCLUDE_|_INCLUDE_)?PATH|PIP_CONFIG_SETTINGS"
    r"|(CMAKE|SKBUILD|MESON(PY)?|MATURIN|CARGO|PYO3|PKG_CONFIG|PDM_BUILD|HATCH)_\w+|\w*PACKAGE_DATA"
    r"|(GDAL|PROJ|GEOS|NETCDF4|HDF5)_(CONFIG|VERSION|DIR|LIBS|PREFIX|INCDIR|LIBDIR)"
)
_INDEX_PREFIXES: Final = ("PIP_", "UV_")


def isolated_environment(environ: Mapping[str, str], **extra: str) -> dict[str, str]:
    """Return the basics for compilers, backends and tests: a fixed locale and epoch."""
    kept = {name: environ[name] for name in _MACHINE if name in environ}
    fixed = {
        "LC_ALL": "C.UTF-8",
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "PYTHONNOUSERSITE": "1",
        "PYTHONHASHSEED": "0",
    }
    return kept | fixed | extra


def version_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which the user sets a version that a backend takes from git."""
    return {name: environ[name] for name in sorted(environ) if _VERSION.fullmatch(name)}


def unused_build_variables(
    environ: Mapping[str, str], used: Collection[str], named: Collection[str]
) -> list[str]:
    """Return the names of what is set for builds and does not reach the host's backend.

    `named` are words of its build files: what these read of the environment is among them.
    """
    found = (name for name in sorted(environ) if _BUILD.fullmatch(name) or name in named)
    return [name for name in found if name not in used]


def tool_environment(environ: Mapping[str, str], **extra: str) -> dict[str, str]:
    """Return the same for our tools that use the network: with proxies, certificates, indexes."""
    kept = {name: environ[name] for name in (*_MACHINE, *_NETWORK) if name in environ}
    index = {k: v for k, v in environ.items() if k.startswith(_INDEX_PREFIXES)}
    if "PIP_INDEX_URL" in index:
        index.setdefault("UV_DEFAULT_INDEX", index["PIP_INDEX_URL"])
    return kept | index | {"LC_ALL": "C.UTF-8"} | extra


def tool_path(name: str) -> Path:
    """Return a program of the tool environment; raises MachineError when it is not there."""
    found = shutil.which(name, path=os.fspath(Path(sys.executable).parent))
    if found is None:
        raise MachineError(
            f"{name} is not installed beside {sys.executable}",
            cause="the tool environment is incomplete",
            fix="install geowheel with its dependencies: `pip install geowheel`",
        )
    return Path(found)


# --- the package index that the user has set for pip, told to uv, which does not read pip.conf ---

# pip's keys, and the variable of uv with the same meaning
# (https://docs.astral.sh/uv/reference/environment/). More indexes stand one a line in pip.conf.
_SETTINGS: Final = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
}


def index_environment(environ: Mapping[str, str], **extra: str) -> dict[str, str]:
    """Return the environment for uv, with the index of pip.conf where uv itself has none set."""
    env = tool_environment(environ, **extra)
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or "/")
    config = environ.get("XDG_CONFIG_HOME") or home / ".config"
    folders = [Path(config, "uv"), home / "AppData/Roaming/uv", Path("/etc/uv")]
    told = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_CONFIG_FILE")
    if any(name.startswith(told) and env[name] for name in env) or any(
        (folder / "uv.toml").is_file() for folder in folders
    ):
        return env
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"], env=env,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return env | uv_settings(listed.stdout)


def uv_settings(listed: str) -> dict[str, str]:
    """Return uv's variables for what `pip config list` prints: `global.index-url='https://...'`."""
    found: dict[str, str] = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        name = _SETTINGS.get(key.rpartition(".")[2])
        if name and value.startswith(("'", '"')):
            found[name] = " ".join(str(ast.literal_eval(value)).split())
    return found

"""pixi's own configuration, as far as it says where packages are: the files and their order.

As crates/pixi_config/src/lib.rs of pixi 0.77 has them (`config_path_system`, `config_path_global`,
`load_with`): a file that is read later overrides a mirror of the same URL.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from geowheel.project.project import Machine
from geowheel.project.pyproject import read_toml
from geowheel.targets import System

_FILE: Final = Path("pixi", "config.toml")
_TRUE: Final = ("y", "yes", "t", "true", "on", "1")


def pixis_mirrors(machine: Machine, workspace: Path) -> list[tuple[str, str, Path]]:
    """Return the mirrors that pixi uses in a workspace: URL prefix, a place, the file that says so.

    A prefix ends at a slash. Raises ConfigError for what is no TOML.
    """
    found: dict[str, list[tuple[str, str, Path]]] = {}
    for file in (*_global_files(machine), project_file(workspace)):
        for url, places in config_at(file).get("mirrors", {}).items():
            key = url.rstrip("/") + "/"
            found[key] = [(key, place, file) for place in places]
    return [mirror for mirrors in found.values() for mirror in mirrors]


def project_file(workspace: Path) -> Path:
    """Return the configuration beside a manifest, which pixi reads last."""
    return workspace / ".pixi" / "config.toml"


def home_file(environ: Mapping[str, str]) -> Path:
    """Return the last of a user's own files."""
    own = Path(environ.get("HOME") or Path.home(), ".pixi")
    return Path(environ.get("PIXI_HOME") or own, "config.toml")


def config_at(file: Path) -> dict[str, Any]:
    """Return what a file of pixi's says; nothing where there is none."""
    return read_toml(file) if file.is_file() else {}


def _global_files(machine: Machine) -> Iterator[Path]:
    environ, system = machine.environ, machine.platform.system
    home = Path(environ.get("HOME") or Path.home())
    if environ.get("PIXI_NO_CONFIG", "").lower() in _TRUE:
        return
    if named := environ.get("PIXI_CONFIG_FILE"):
        yield Path(named)
        return
    xdg = environ.get("XDG_CONFIG_HOME", "")
    if system is System.WINDOWS:
        yield Path("C:/ProgramData") / _FILE
        yield Path(environ.get("APPDATA") or home / "AppData/Roaming") / _FILE
    else:
        yield Path("/etc") / _FILE
        if xdg or system is System.LINUX:
            yield Path(xdg or home / ".config") / _FILE
        if system is System.MACOS:
            yield home / "Library/Application Support" / _FILE
    yield home_file(environ)

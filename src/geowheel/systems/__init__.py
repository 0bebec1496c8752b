"""What differs between Linux, macOS and Windows: one module each, with one set of answers."""

from __future__ import annotations

from geowheel.targets import Platform, System

from . import linux, macos, windows
from .contract import SystemModule


def of(platform: Platform) -> SystemModule:
    """The module of a platform's system; the only way to it."""
    modules: dict[System, SystemModule] = {
        System.LINUX: linux,
        System.MACOS: macos,
        System.WINDOWS: windows,
    }
    return modules[platform.system]

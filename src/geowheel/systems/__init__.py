"""What differs between Linux, macOS and Windows: one module each, with one set of answers."""

from __future__ import annotations

from geowheel.targets import Platform, System

from . import (
    linux,
    macos,
    windows,
)
from .contract import RepairModule, SystemModule


def of(platform: Platform) -> SystemModule:
    """The module of a platform's system; the only way to it."""
    modules: dict[System, SystemModule] = {
        System.LINUX: linux,
        System.MACOS: macos,
        System.WINDOWS: windows,
    }
    return modules[platform.system]


def repair_of(platform: Platform) -> RepairModule:
    """What repairs a wheel for a platform; imported when something is repaired, with its tools."""
    match platform.system:
        case System.LINUX:
            from . import auditwheel_repair

            return auditwheel_repair
        case System.MACOS:
            from . import delocate_repair

            return delocate_repair
        case System.WINDOWS:
            from . import delvewheel_repair

            return delvewheel_repair

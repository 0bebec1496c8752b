"""What differs between Linux, macOS and Windows: one module each, with one set of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geowheel.targets import Platform, System

from . import linux, macos, windows
from .contract import SystemFacts

if TYPE_CHECKING:
    from .repairing import Repairer


def of(platform: Platform) -> SystemFacts:
    """Return the answers of a platform's system; the only way to them."""
    match platform.system:
        case System.LINUX:
            return linux.FACTS
        case System.MACOS:
            return macos.FACTS
        case System.WINDOWS:
            return windows.FACTS


def repairer_of(platform: Platform) -> type[Repairer[Any]]:
    """Return what repairs a wheel for a platform, imported with its tools when it is needed."""
    match platform.system:
        case System.LINUX:
            from .auditwheel_repair import LinuxRepairer

            return LinuxRepairer
        case System.MACOS:
            from .delocate_repair import MacosRepairer

            return MacosRepairer
        case System.WINDOWS:
            from .delvewheel_repair import WindowsRepairer

            return WindowsRepairer

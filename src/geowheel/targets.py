"""Platforms (conda subdirs), systems and targets (interpreter + platform)."""

import enum
import re
from dataclasses import dataclass
from typing import Final

from geowheel.errors import UsageError, nearest

PYTHON_VERSION = re.compile(r"3\.\d{1,2}t?")


class System(enum.StrEnum):
    """What differs between the three operating systems is in `geowheel.systems`."""

    LINUX = "linux"
    MACOS = "macos"
    WINDOWS = "windows"


class Platform(enum.StrEnum):
    """A conda subdir; the only way a platform is named, except in wheel tags."""

    LINUX_64 = "linux-64"
    LINUX_AARCH64 = "linux-aarch64"
    OSX_64 = "osx-64"
    OSX_ARM64 = "osx-arm64"
    WIN_64 = "win-64"
    WIN_ARM64 = "win-arm64"

    @property
    def system(self) -> System:
        return {"linux": System.LINUX, "osx": System.MACOS, "win": System.WINDOWS}[
            self.partition("-")[0]
        ]

    @property
    def architecture(self) -> str:
        """The architecture as wheel tags and compilers of that system name it."""
        return {
            Platform.LINUX_64: "x86_64",
            Platform.LINUX_AARCH64: "aarch64",
            Platform.OSX_64: "x86_64",
            Platform.OSX_ARM64: "arm64",
            Platform.WIN_64: "amd64",
            Platform.WIN_ARM64: "arm64",
        }[self]


GDAL_PACKAGE: Final = "libgdal-core"
"""The conda package of libgdal, which the native stack of every platform is built on."""
OLDEST_MACOS: Final = {Platform.OSX_64: "10.13", Platform.OSX_ARM64: "11.0"}
"""What conda-forge builds for, its own MACOSX_DEPLOYMENT_TARGET: `__osx >=` in its packages."""


def parse_platform(text: str) -> Platform:
    """Return the platform named `text`; raises UsageError with the known ones."""
    try:
        return Platform(text)
    except ValueError:
        raise UsageError(
            f"unknown platform {text!r}",
            cause="platforms are named as conda's subdirs are",
            fix=f"{nearest(text, Platform)} The platforms are {', '.join(Platform)}".strip(),
        ) from None


def is_emulated(platform: Platform, machine: Platform) -> bool:
    """Return whether programs of a platform are run by an emulator on a machine: both are Linux."""
    return {platform.system, machine.system} == {System.LINUX} and platform is not machine


@dataclass(frozen=True, kw_only=True, order=True)
class Target:
    """An interpreter version on a platform: what one wheel is made for."""

    python: str
    """`3.12`: major and minor of a CPython; `3.14t` of one that is free-threaded (PEP 703)."""
    platform: Platform

    @property
    def version(self) -> str:
        """`3.14` of both."""
        return self.python.removesuffix("t")

    @property
    def interpreter_tag(self) -> str:
        """`cp314` of both, as PEP 425 writes it."""
        return "cp" + self.version.replace(".", "")

    @property
    def abi_tag(self) -> str:
        """`cp312`, `cp314t`."""
        return "cp" + self.python.replace(".", "")

    def __str__(self) -> str:
        return f"{self.abi_tag}-{self.platform}"


def parse_target(text: str) -> Target | None:
    """Return the target that `str` of it is `text`; None for anything else, a platform among it."""
    tag, _, name = text.partition("-")
    digits = tag.removeprefix("cp3")
    if name not in set(Platform) or not digits.removesuffix("t").isdecimal() or tag == digits:
        return None
    return Target(python=f"3.{digits}", platform=Platform(name))

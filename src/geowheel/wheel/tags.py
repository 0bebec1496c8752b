"""Platform tags of wheels (PEP 425, PEP 600): what they say, and which one a wheel gets."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from packaging.tags import Tag, compatible_tags, cpython_tags

from geowheel.targets import OLDEST_MACOS, Platform, System

LEGACY_MANYLINUX: Final[Mapping[str, tuple[int, int]]] = {
    "manylinux2014": (2, 17), "manylinux2010": (2, 12), "manylinux1": (2, 5),
}  # fmt: skip
"""PEP 513, 571 and 599: the glibc that each of the old names stands for."""
SYSTEMS: Final = {
    "linux": System.LINUX, "manylinux": System.LINUX, "musllinux": System.LINUX,
    "macosx": System.MACOS, "win": System.WINDOWS,
}  # fmt: skip
"""How the tags of a system begin."""
_VERSIONED: Final = re.compile(r"(manylinux|musllinux|macosx)_(\d+)_(\d+)_(\w+)")
_OLDEST_MACOS: Final = {"arm64": (11, 0), "x86_64": (10, 9)}
"""What a tag says at least: the first macOS on Apple's processors, and the one before which no
CPython that is still maintained runs (python.org)."""


_FAT: Final = {
    "universal2": ("x86_64", "arm64"), "universal": ("x86_64",), "intel": ("x86_64",),
    "fat64": ("x86_64",),
}  # fmt: skip
"""What a format of macOS runs on; packaging.tags has it the other way, in _mac_binary_formats."""


@dataclass(frozen=True, kw_only=True)
class PlatformTag:
    """A platform tag, taken apart: `manylinux_2_35_x86_64`."""

    kind: str
    """`manylinux`, a key of `SYSTEMS`."""
    version: tuple[int, int]
    """Of glibc, musl or macOS; zeros where the tag names none."""
    architecture: str

    @property
    def system(self) -> System:
        return SYSTEMS[self.kind]

    @property
    def architectures(self) -> tuple[str, ...]:
        """What it promises to run on: of a fat format of macOS each processor."""
        fat = _FAT if self.kind == "macosx" else {}
        return fat.get(self.architecture, (self.architecture,))

    @property
    def published(self) -> bool:
        """Whether it is of a kind that an index takes."""
        return self.kind != "linux"

    def is_for(self, platform: Platform) -> bool:
        return (self.system, self.architecture) == (platform.system, platform.architecture)

    def __str__(self) -> str:
        version = "_".join(map(str, self.version)) if any(self.version) else ""
        return "_".join(filter(None, (self.kind, version, self.architecture)))


def python_tags(python: str, platforms: Sequence[str]) -> tuple[Tag, ...]:
    """Return what a CPython accepts on the platforms named, best first: pip's own order."""
    major, minor = map(int, python.removesuffix("t").split("."))
    # Without an ABI packaging asks the running interpreter. Until 3.7 the name ended with an m.
    abi = "cp" + python.replace(".", "") + ("m" if (major, minor) < (3, 8) else "")
    return (
        *cpython_tags((major, minor), [abi], platforms),
        *compatible_tags((major, minor), f"cp{major}{minor}", platforms),
    )


def parse_platform_tag(text: str) -> PlatformTag | None:
    """Return the parts of a platform tag; None for `any` and for those that nobody knows."""
    if match := _VERSIONED.fullmatch(text):
        version = int(match[2]), int(match[3])
        return PlatformTag(kind=match[1], version=version, architecture=match[4])
    kind, _, architecture = "win_x86".partition("_") if text == "win32" else text.partition("_")
    if kind in LEGACY_MANYLINUX:
        version = LEGACY_MANYLINUX[kind]
        return PlatformTag(kind="manylinux", version=version, architecture=architecture)
    if kind in ("linux", "win"):
        return PlatformTag(kind=kind, version=(0, 0), architecture=architecture)
    return None


def raw_platform_tag(platform: Platform) -> PlatformTag:
    """Return the tag before a repair: `linux_x86_64`, `macosx_11_0_arm64`, `win_amd64`.

    On macOS the oldest of the platform: repair makes it what the binaries ask for.
    """
    kind = {System.LINUX: "linux", System.MACOS: "macosx", System.WINDOWS: "win"}[platform.system]
    major, _, minor = OLDEST_MACOS.get(platform, "0.0").partition(".")
    version = int(major), int(minor)
    return PlatformTag(kind=kind, version=version, architecture=platform.architecture)


def is_raw_tag(platform: Platform, text: str) -> bool:
    """Return whether a wheel with this platform tag may be one for the platform, not yet repaired.

    Repaired ones for macOS and Windows have the same kind of tag: the repair looks into them.
    """
    tag = parse_platform_tag(text)
    return tag is not None and tag.is_for(platform) and tag.kind in ("linux", "macosx", "win")


def macos_tag(oldest: tuple[int, ...], architecture: str) -> PlatformTag:
    """Return the tag of a wheel whose files run on that macOS and newer.

    From macOS 11 on only the first number counts (packaging.tags.mac_platforms).
    """
    major, minor, *_ = max(oldest, _OLDEST_MACOS.get(architecture, (10, 9)))
    version = (major, 0 if major >= 11 else minor)
    return PlatformTag(kind="macosx", version=version, architecture=architecture)


def manylinux_tags(newest: tuple[int, int], architecture: str) -> Iterator[str]:
    """Yield what a system with that glibc accepts, best first; as packaging._manylinux does.

    x86 goes down to glibc 2.5, all others to 2.17.
    """
    names = {version: name for name, version in LEGACY_MANYLINUX.items()}
    oldest = 5 if architecture in ("x86_64", "i686") else 17
    for minor in range(newest[1], oldest - 1, -1):
        version = (newest[0], minor)
        yield str(PlatformTag(kind="manylinux", version=version, architecture=architecture))
        if name := names.get(version):
            yield f"{name}_{architecture}"

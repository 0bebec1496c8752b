"""A wheel's tags against what is in it: nothing else tells pip where it can be installed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from packaging.tags import Tag
from packaging.utils import parse_wheel_filename

from geowheel.binary.elf import Elf, read_elf
from geowheel.binary.floor import floor
from geowheel.binary.formats import system_of
from geowheel.binary.macho import MachO, read_macho
from geowheel.binary.pe import Pe, read_pe
from geowheel.errors import Fault
from geowheel.targets import Platform, System

from .reading import Wheel

_LINUX: Final = re.compile(r"manylinux_(\d+)_(\d+)_(\w+)")
_MACOS: Final = re.compile(r"macosx_(\d+)_(\d+)_(\w+)")
# Older names of three of them: https://packaging.python.org/en/latest/specifications/
# platform-compatibility-tags/#manylinux
_LEGACY: Final = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_WINDOWS: Final = {"win_amd64": "amd64", "win_arm64": "arm64"}
# `_gdal.cpython-312-x86_64-linux-gnu.so`, `_gdal.cp312-win_amd64.pyd`
_OF_CPYTHON: Final = re.compile(r"\.(?:cpython-|cp)(\d{2,3})[a-z]?-[\w-]+\.(?:so|pyd)$")


def tag_faults(wheel: Wheel, tree: Path) -> Iterator[Fault]:
    """What the tags promise and the content below `tree` does not keep."""
    tags = parse_wheel_filename(wheel.filename)[3]
    binaries = {
        path.relative_to(tree).as_posix(): system
        for path in sorted(tree.rglob("*"))
        if (system := system_of(path)) is not None
    }
    if any(tag.platform == "any" for tag in tags):
        yield from _pure_faults(wheel, binaries)
        return
    if wheel.pure:
        yield Fault(
            what="WHEEL says Root-Is-Purelib, its tags name a platform",
            where=wheel.filename,
            cause="it would be installed where no compiled file belongs",
        )
    yield from _module_faults(wheel.filename, tags, binaries)
    for platform in sorted({tag.platform for tag in tags}):
        yield from _platform_faults(wheel.filename, platform, binaries, tree)


def _pure_faults(wheel: Wheel, binaries: Mapping[str, System]) -> Iterator[Fault]:
    for path, system in binaries.items():
        yield Fault(
            what=f"{path} is compiled for {system}, and the tag says any platform",
            where=wheel.filename,
            fix="leave it out, or tag the wheel for its platform",
        )


def _module_faults(
    where: str, tags: frozenset[Tag], binaries: Mapping[str, System]
) -> Iterator[Fault]:
    """Extension modules that name a CPython for which the wheel is not."""
    versions = {tag.interpreter.removeprefix("cp") for tag in tags if tag.interpreter[:2] == "cp"}
    for path in binaries:
        found = _OF_CPYTHON.search(PurePosixPath(path).name)
        if found and found[1] not in versions:
            yield Fault(
                what=f"{path} is of CPython {found[1][0]}.{found[1][1:]}, the tags are of "
                f"{', '.join(sorted(tag.interpreter for tag in tags))}",
                where=where,
                cause="the wheel was tagged by hand, or built by another interpreter",
            )


def _platform_faults(
    where: str, platform: str, binaries: Mapping[str, System], tree: Path
) -> Iterator[Fault]:
    stated = _parse(platform)
    if stated is None:
        yield Fault(
            what=f"{platform} is no platform tag that an index takes",
            where=where,
            cause="this is a raw wheel, or its tag was written by hand",
            fix="only repaired wheels are published: `geowheel repair`",
        )
        return
    system, architecture, oldest = stated
    read: dict[str, Elf | MachO | Pe] = {}
    for path, of in binaries.items():
        if of is not system:
            yield Fault(what=f"{path} is compiled for {of}, the tag is {platform}", where=where)
            continue
        read[path] = _read(of, tree / path)
        if architecture not in read[path].architectures:
            has = ", ".join(read[path].architectures)
            yield Fault(what=f"{path} is for {has}, the tag is {platform}", where=where)
    yield from _floor_faults(where, platform, oldest, read, architecture)


def _read(system: System, path: Path) -> Elf | MachO | Pe:
    match system:
        case System.LINUX:
            return read_elf(path)
        case System.MACOS:
            return read_macho(path)
        case System.WINDOWS:
            return read_pe(path)


def _floor_faults(
    where: str,
    platform: str,
    oldest: tuple[int, int],
    read: Mapping[str, Elf | MachO | Pe],
    architecture: str,
) -> Iterator[Fault]:
    """Compiled files that ask for a newer system than the tag promises to do with."""
    elves = {path: binary for path, binary in read.items() if isinstance(binary, Elf)}
    for need in floor(elves):
        if need.family == "GLIBC" and need.version[:2] > oldest:
            yield Fault(
                what=f"{need.forced_by[0].path} needs {need}, the tag is {platform}", where=where
            )
    for path, binary in read.items():
        if isinstance(binary, MachO):
            minimum = binary.minimum(architecture)
            if minimum is not None and minimum[:2] > oldest:
                needs = ".".join(map(str, minimum[:2]))
                yield Fault(what=f"{path} needs macOS {needs}, the tag is {platform}", where=where)


def _parse(platform: str) -> tuple[System, str, tuple[int, int]] | None:
    """System, architecture and oldest version that a platform tag states; None for another."""
    if match := _LINUX.fullmatch(platform):
        return _known(System.LINUX, match[3], (int(match[1]), int(match[2])))
    if match := _MACOS.fullmatch(platform):
        return _known(System.MACOS, match[3], (int(match[1]), int(match[2])))
    legacy, _, architecture = platform.partition("_")
    if legacy in _LEGACY:
        return _known(System.LINUX, architecture, _LEGACY[legacy])
    if platform in _WINDOWS:
        return System.WINDOWS, _WINDOWS[platform], (0, 0)
    return None


def _known(
    system: System, architecture: str, oldest: tuple[int, int]
) -> tuple[System, str, tuple[int, int]] | None:
    every = {platform.architecture for platform in Platform if platform.system is system}
    return (system, architecture, oldest) if architecture in every else None

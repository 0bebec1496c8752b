"""A wheel's tags against what is in it: nothing else tells pip where it can be installed."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Final

from packaging.tags import Tag
from packaging.utils import parse_wheel_filename

from geowheel.binary.elf import ARCHITECTURES, Elf
from geowheel.binary.floor import floor
from geowheel.binary.macho import MachO
from geowheel.binary.pe import Pe
from geowheel.errors import Fault
from geowheel.targets import Platform, System

from .reading import Wheel
from .tags import PlatformTag, macos_tag, parse_platform_tag

# `_gdal.cpython-314t-x86_64-linux-gnu.so`, `_gdal.cp312-win_amd64.pyd`; what such a file loads
_OF_CPYTHON: Final = re.compile(r"\.(?:cpython-|cp)(\d{2,3}[a-z]*)-[\w-]+\.(?:so|pyd)$")
_DLL: Final = re.compile(r"python(\d{2,3}t?)\.dll", re.IGNORECASE)
_SYSTEMS: Final = {Elf: System.LINUX, MachO: System.MACOS, Pe: System.WINDOWS}
_KNOWN: Final = "Linux, macOS or Windows"
_ARCHITECTURES: Final = frozenset({"x86", *ARCHITECTURES, *(p.architecture for p in Platform)})


def tag_faults(wheel: Wheel, binaries: Mapping[str, Elf | MachO | Pe]) -> Iterator[Fault]:
    """Yield what the tags promise and the content does not keep; `binaries` are the compiled files
    by path, as `read_binaries` gives them."""
    tags = parse_wheel_filename(wheel.filename)[3]
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
        yield from _platform_faults(wheel.filename, platform, binaries)


def _pure_faults(wheel: Wheel, binaries: Mapping[str, Elf | MachO | Pe]) -> Iterator[Fault]:
    for path, binary in binaries.items():
        yield Fault(
            what=f"{path} is compiled for {_SYSTEMS[type(binary)]}, and the tag says any platform",
            where=wheel.filename,
            fix="leave it out, or tag the wheel for its platform",
        )


def _module_faults(
    where: str, tags: frozenset[Tag], binaries: Mapping[str, Elf | MachO | Pe]
) -> Iterator[Fault]:
    """Yield modules that are, by name or by what they load, of a CPython without a tag."""
    abis = {tag.interpreter if tag.abi == "none" else tag.abi for tag in tags}
    for path, binary in binaries.items():
        loaded = binary.needed if isinstance(binary, Pe) else ()
        named = [_OF_CPYTHON.search(PurePosixPath(path).name), *map(_DLL.fullmatch, loaded)]
        for abi in sorted({f"cp{found[1]}" for found in named if found} - abis):
            yield Fault(
                what=f"{path} is of CPython {abi[2]}.{abi[3:]}, the tags are of "
                f"{', '.join(sorted({f'{tag.interpreter}-{tag.abi}' for tag in tags}))}",
                where=where,
                cause="the wheel was tagged by hand, or built by another interpreter",
            )


def _platform_faults(
    where: str, platform: str, binaries: Mapping[str, Elf | MachO | Pe]
) -> Iterator[Fault]:
    tag = parse_platform_tag(platform)
    if tag is None or not tag.published:
        yield Fault(
            what=f"{platform} is not a platform tag that an index takes for {_KNOWN}",
            where=where,
            cause="this is a raw wheel, or its tag was written by hand",
            fix="only repaired wheels are published: `geowheel repair`",
        )
        return
    wanted = _ARCHITECTURES & {*tag.architectures}
    read = {path: b for path, b in binaries.items() if _SYSTEMS[type(b)] is tag.system}
    for path, binary in binaries.items():
        if path not in read:
            system = _SYSTEMS[type(binary)]
            yield Fault(what=f"{path} is compiled for {system}, the tag is {platform}", where=where)
        elif not wanted <= {*binary.architectures}:
            has = ", ".join(binary.architectures)
            yield Fault(what=f"{path} is for {has}, the tag is {platform}", where=where)
    for path, needs in _too_new(tag, read, wanted):
        yield Fault(what=f"{path} needs {needs}, the tag is {platform}", where=where)


def _too_new(
    tag: PlatformTag, read: Mapping[str, Elf | MachO | Pe], architectures: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Yield path and words of what asks for a newer system than the tag does."""
    for need in floor({path: elf for path, elf in read.items() if isinstance(elf, Elf)}):
        if need.family == "GLIBC" and need.version[:2] > tag.version:
            yield need.paths[0], str(need)
    for path, binary in read.items():
        for architecture in architectures:
            minimum = binary.minimum(architecture) if isinstance(binary, MachO) else None
            # macosx_10_9_universal2 is macOS 11 on Apple's processors.
            if minimum and minimum[:2] > max(tag.version, macos_tag((0,), architecture).version):
                yield path, f"macOS {minimum[0]}.{minimum[1]}"

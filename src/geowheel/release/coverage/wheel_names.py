"""What the names of wheels say: which one pip picks, and what each asks of a system."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from packaging.tags import Tag
from packaging.utils import BuildTag, InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from geowheel.errors import Fault, UsageError

from .user_systems import (
    OLD_NAMES,
    Base,
    Family,
)

# What a format of macOS runs on; packaging.tags has the other direction, in _mac_binary_formats.
_MAC_FORMATS: Final[Mapping[str, tuple[str, ...]]] = {
    "universal2": ("x86_64", "arm64"),
    "universal": ("x86_64",),
    "intel": ("x86_64",),
    "fat64": ("x86_64",),
}
_LINUX_TAG = re.compile(r"(many|musl)linux_(\d+)_(\d+)_(\w+)")
_MACOS_TAG = re.compile(r"macosx_(\d+)_(\d+)_(\w+)")


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """What a wheel's name says."""

    file: str
    project: str
    """The normalised name of the distribution."""
    version: Version
    build: BuildTag
    tags: frozenset[Tag]

    @property
    def platforms(self) -> frozenset[str]:
        return frozenset(tag.platform for tag in self.tags)

    @property
    def needs(self) -> tuple[Need, ...]:
        """What its platform tags ask for, one alternative each."""
        return tuple(need for platform in sorted(self.platforms) for need in needs(platform))


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a platform tag asks for."""

    base: Base
    architectures: tuple[str, ...]


def parse_names(names: Sequence[str]) -> tuple[Wheel, ...]:
    """The wheels of these names, each once; paths and URLs will do.

    Raises UsageError with every name that is not a wheel's.
    """
    wheels: dict[str, Wheel] = {}
    faults: list[Fault] = []
    for name in (re.split(r"[/\\]", name)[-1] for name in names):
        try:
            project, version, build, accepted = parse_wheel_filename(name)
        except InvalidWheelFilename as error:
            faults.append(Fault(what=str(error), fix="name wheels"))
        else:
            wheels[name] = Wheel(
                file=name, project=project, version=version, build=build, tags=accepted
            )
    if faults:
        raise UsageError(faults)
    return tuple(wheels[name] for name in sorted(wheels))


def pick(wheels: Sequence[Wheel], accepted: Sequence[Tag]) -> Wheel | None:
    """The wheel that pip takes with these tags, best first; None when it takes none.

    As pip's CandidateEvaluator (src/pip/_internal/index/package_finder.py): of what matches a final
    version before any other, then the newest version, the best tag, the highest build number. Names
    decide between equals, so that no order of files does.
    """
    ranks = {tag: rank for rank, tag in reversed(list(enumerate(accepted)))}
    matching = {
        wheel: min(ranks[tag] for tag in wheel.tags & ranks.keys())
        for wheel in wheels
        if wheel.tags & ranks.keys()
    }
    final = [wheel for wheel in matching if not wheel.version.is_prerelease]
    return max(
        final or matching,
        key=lambda wheel: (wheel.version, -matching[wheel], wheel.build, wheel.file),
        default=None,
    )


def best_platform(wheel: Wheel, accepted: Sequence[Tag]) -> str:
    """The platform of a wheel's best accepted tag; raises StopIteration when it has none."""
    return next(tag.platform for tag in accepted if tag in wheel.tags)


def needs(platform: str) -> tuple[Need, ...]:
    """What a platform tag asks for, one alternative each; empty for `any` and unknown ones."""
    if found := _LINUX_TAG.fullmatch(platform):
        family = Family.GLIBC if found[1] == "many" else Family.MUSL
        return (_need(family, (int(found[2]), int(found[3])), found[4]),)
    if found := _MACOS_TAG.fullmatch(platform):
        formats = _MAC_FORMATS.get(found[3], (found[3],))
        return (_need(Family.MACOS, (int(found[1]), int(found[2])), *formats),)
    return tuple(_older_need(platform))


def _older_need(platform: str) -> Iterator[Need]:
    """Of a tag without a version in it."""
    kind, _, architecture = platform.partition("_")
    if kind in OLD_NAMES:
        yield _need(Family.GLIBC, OLD_NAMES[kind], architecture)
    elif kind == "win":
        yield _need(Family.WINDOWS, (0, 0), architecture)
    elif kind == "win32":
        yield _need(Family.WINDOWS, (0, 0), "x86")
    elif kind == "linux":  # pip takes it on every Linux of that architecture
        yield _need(Family.GLIBC, (0, 0), architecture)
        yield _need(Family.MUSL, (0, 0), architecture)


def _need(family: Family, version: tuple[int, int], *architectures: str) -> Need:
    return Need(base=Base(family=family, version=version), architectures=architectures)

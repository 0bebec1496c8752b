"""What the names of wheels say: which one pip picks, and what each asks of a system."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from packaging.tags import Tag
from packaging.utils import BuildTag, InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from geowheel.errors import Fault, UsageError
from geowheel.wheel.tags import parse_platform_tag
from geowheel.wheel.user_systems import Base, Family

_FAMILIES: Final[Mapping[str, tuple[Family, ...]]] = {
    "manylinux": (Family.GLIBC,),
    "musllinux": (Family.MUSL,),
    "linux": (Family.GLIBC, Family.MUSL),  # pip takes it on every Linux of that architecture
    "macosx": (Family.MACOS,),
    "win": (Family.WINDOWS,),
}


@dataclass(frozen=True, kw_only=True)
class NamedWheel:
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
    def needs(self) -> tuple[tuple[Base, str], ...]:
        """What its platform tags ask for and on which architecture, one alternative each."""
        return tuple(need for platform in sorted(self.platforms) for need in needs(platform))


def parse_names(names: Sequence[str]) -> tuple[NamedWheel, ...]:
    """Return the wheels of these names, each once; paths and URLs will do.

    Raises UsageError with every name that is not a wheel's.
    """
    wheels: dict[str, NamedWheel] = {}
    faults: list[Fault] = []
    for name in (re.split(r"[/\\]", name)[-1] for name in names):
        try:
            project, version, build, accepted = parse_wheel_filename(name)
        except InvalidWheelFilename as error:
            faults.append(Fault(what=str(error), fix="name wheels"))
        else:
            wheels[name] = NamedWheel(
                file=name, project=project, version=version, build=build, tags=accepted
            )
    if faults:
        raise UsageError(faults)
    return tuple(wheels[name] for name in sorted(wheels))


def pick(wheels: Sequence[NamedWheel], accepted: Sequence[Tag]) -> NamedWheel | None:
    """Return the wheel that pip takes with these tags, best first; None when it takes none.

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


def best_platform(wheel: NamedWheel, accepted: Sequence[Tag]) -> str:
    """Return the platform of a wheel's best accepted tag; raises StopIteration when it has none."""
    return next(tag.platform for tag in accepted if tag in wheel.tags)


def needs(platform: str) -> Iterator[tuple[Base, str]]:
    """Return what a platform tag asks for and where, one alternative each; nothing if unknown."""
    tag = parse_platform_tag(platform)
    if tag is None:
        return
    for family in _FAMILIES[tag.kind]:
        for architecture in tag.architectures:
            yield Base(family=family, version=tag.version), architecture

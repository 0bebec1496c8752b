"""size: a repaired wheel against its budget, with what fills it by package."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from geowheel.machine.console import Step, megabytes
from geowheel.project.places import Places
from geowheel.records.facts import Cost, KindCost, LargeMember, PackageCost, SizeFacts
from geowheel.records.stage import Outcome
from geowheel.wheel.reading import read_wheel

from .inputs import SizeInputs

LARGEST = 10
UNKNOWN = "of no package"
C = TypeVar("C", bound=Cost)


class Packed(Protocol):
    """A file of a wheel, as far as its bytes go."""

    @property
    def path(self) -> str: ...
    @property
    def packed(self) -> int: ...
    @property
    def size(self) -> int: ...


def run(inputs: SizeInputs, folder: Path, step: Step) -> Outcome[SizeFacts]:
    """Measure; a verdict, never an exception."""
    wheel = read_wheel(inputs.wheel.path)
    compressed = inputs.wheel.path.stat().st_size
    installed = wheel.installed_size
    problems = [
        f"{what} {megabytes(actual)} is over the budget of {budget:g} MB"
        for what, actual, budget in (
            ("wheel file", compressed, inputs.wheel_mb),
            ("installed size", installed, inputs.installed_mb),
        )
        if actual > budget * 1e6
    ]
    known = {path: str(owner) for owner in inputs.owners for path in owner.files}
    owners = {m.path: known.get(m.path, UNKNOWN) for m in wheel.members}
    largest = [
        LargeMember(path=m.path, packed=m.packed, size=m.size, package=owners[m.path])
        for m in sorted(wheel.members, key=lambda m: (-m.packed, m.path))[:LARGEST]
    ]
    kinds = {m.path: kind_of(m.path, inputs.places) for m in wheel.members}
    facts = SizeFacts(
        sha256=inputs.wheel.sha256,
        wheel=inputs.wheel.path.name,
        compressed=compressed,
        installed=installed,
        wheel_mb=inputs.wheel_mb,
        installed_mb=inputs.installed_mb,
        largest=tuple(largest),
        kinds=costs(KindCost, wheel.members, kinds),
        packages=costs(PackageCost, wheel.members, owners),
        problems=tuple(problems),
    )
    facts.write(folder)
    step.say(
        f"{megabytes(compressed)} of {inputs.wheel_mb:g} MB, "
        f"{megabytes(installed)} installed of {inputs.installed_mb:g} MB"
    )
    return Outcome(facts=facts, passed=not problems)


def kind_of(path: str, places: Places) -> str:
    """Return what a member of the wheel is there for; what can be chosen in the configuration."""
    folder = path.partition("/")[0]
    if folder.endswith(".dist-info"):
        described = path.startswith((f"{folder}/licenses/", f"{folder}/sboms/"))
        return "licenses and SBOM" if described else "metadata"
    if folder.endswith(".libs"):
        return "libraries"
    if path in (places.ca_bundle, places.bootstrap, places.bundle):
        return "certificates" if path == places.ca_bundle else "bindings"
    kinds = {
        places.gdal_data: "GDAL data",
        places.proj_data: "PROJ data",
        places.plugins: "plugins",
        places.programs: "programs",
    }
    if places.has_bindings:
        kinds |= {places.package: "bindings", places.utilities: "utilities"}
    return next((kind for place, kind in kinds.items() if path.startswith(f"{place}/")), "host")


def costs(kind: type[C], members: Iterable[Packed], by: Mapping[str, str]) -> tuple[C, ...]:
    """Return what each part takes in the wheel and installed, largest first; `by` names parts."""
    packed: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for member in members:
        packed[by[member.path]] += member.packed
        size[by[member.path]] += member.size
    found = [kind(name=name, packed=total, size=size[name]) for name, total in packed.items()]
    return tuple(sorted(found, key=lambda cost: (-cost.packed, cost.name)))

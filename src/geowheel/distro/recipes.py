"""Which conda packages are made of which .debs: decided from what the archive's index says."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rattler import Version

from geowheel.project.config import LIBSTDCXX
from geowheel.targets import Platform

from .debian import Deb, Distribution, Relation, conda_version, resolve, sanitised, split_version
from .tables import Table

CA_CERTIFICATES: Final = "ca-certificates"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What one conda package is made of."""

    name: str
    version: str
    build: str
    """Without the digest of the content: `debian12_1_b2`."""
    subdir: Platform | None
    depends: tuple[str, ...]
    debs: tuple[Deb, ...]
    """The first one gave version and build."""
    distribution: Distribution

    @property
    def size(self) -> int:
        """Of its .debs, in bytes."""
        return sum(deb.size for deb in self.debs)


def plan_recipes(
    kept: Mapping[str, Deb], table: Table, distribution: Distribution, platform: Platform
) -> tuple[Recipe, ...]:
    """Return one recipe for each conda package that `kept` makes, by name."""
    groups: dict[str, list[Deb]] = {}
    documents = {name: deb for name, deb in kept.items() if table.only_documents(name)}
    kept = {name: deb for name, deb in kept.items() if name not in documents}
    for deb in kept.values():
        groups.setdefault(table.conda_name(deb.name), []).append(deb)
    for debs in groups.values():
        debs.sort(key=lambda deb: (table.rank(deb.name), deb.name))
        debs.extend(_answers(debs, documents))
    versions = {name: conda_version(debs[0].version) for name, debs in groups.items()}
    recipes = []
    for name, debs in sorted(groups.items()):
        _, revision = split_version(debs[0].version)
        recipe = Recipe(
            # conda-forge's packages of compilers are named for what they compile for.
            name=f"{name}_{platform}" if name == LIBSTDCXX else name,
            version=versions[name],
            build=f"{distribution.build_prefix}_{sanitised(revision)}".rstrip("_"),
            subdir=None if name == CA_CERTIFICATES else platform,
            depends=_depends(name, debs, kept, table, versions),
            debs=tuple(debs),
            distribution=distribution,
        )
        recipes.append(recipe)
    return tuple(recipes)


def _answers(debs: Iterable[Deb], candidates: Mapping[str, Deb]) -> list[Deb]:
    """Return those of `candidates` that one of `debs` depends on."""
    groups = [group for deb in debs for group in deb.depends]
    found = [deb for group in groups if (deb := resolve(group, candidates))]
    return list({deb.name: deb for deb in found}.values())


def _depends(
    name: str,
    debs: Iterable[Deb],
    kept: Mapping[str, Deb],
    table: Table,
    versions: Mapping[str, str],
) -> tuple[str, ...]:
    """Return conda dependencies, each with the highest lower bound that the .debs name."""
    bounds: dict[str, str] = {}
    for alternatives in (group for deb in debs for group in deb.depends):
        needed = resolve(alternatives, kept)
        if needed is None or (other := table.conda_name(needed.name)) in (name, LIBSTDCXX):
            continue  # the runtime itself is the system's
        bound = _lower_bound(alternatives, needed, versions[other])
        old = bounds.setdefault(other, bound)
        if bound and (not old or Version(old) < Version(bound)):
            bounds[other] = bound
    return tuple(
        f"{other} >={bound}" if bound else other for other, bound in sorted(bounds.items())
    )


def _lower_bound(alternatives: Sequence[Relation], needed: Deb, version: str) -> str:
    """Return the least version asked for, as conda writes it; empty when there is none to use."""
    for relation in alternatives:
        if relation.name == needed.name and relation.operator in (">=", "=", ">>"):
            bound = conda_version(relation.version)
            # Debian orders some versions in another way than conda (+really, ~git).
            return bound if Version(bound) <= Version(version) else ""
    return ""

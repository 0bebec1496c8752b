"""What `lock --upgrade` and `--upgrade-format` let go of; everything else stays as it is locked."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from packaging.utils import canonicalize_name

from geowheel.errors import Fault, UsageError, nearest
from geowheel.targets import GDAL_PACKAGE

EVERYTHING: Final = "*"
"""What a bare `--upgrade` stands for; no package has such a name."""


@dataclass(frozen=True, kw_only=True)
class Upgrade:
    """Packages that need not stay at their locked version; whether the format may change."""

    conda: frozenset[str] = frozenset()
    index: frozenset[str] = frozenset()
    """Packages of the Python package index, in the build lock."""
    everything: bool = False
    new_format: bool = False

    def keeps_conda(self, name: str) -> bool:
        return not self.everything and name not in self.conda

    def keeps_index(self, name: str) -> bool:
        return not self.everything and name not in self.index

    @property
    def of_conda(self) -> bool:
        """Whether anything of pixi.lock is let go of."""
        return self.everything or bool(self.conda)

    @property
    def of_index(self) -> bool:
        """Whether anything of the build lock is let go of."""
        return self.everything or bool(self.index)


def choose(
    asked: Sequence[str], *, conda: Iterable[str], index: Iterable[str], new_format: bool = False
) -> Upgrade:
    """Decide what the names on the command line mean, given what each lock has or is asked for.

    A name that both locks know is let go of in both. Raises UsageError with every name that
    neither knows, and the nearest ones.
    """
    everything = EVERYTHING in asked
    names = {name for name in asked if name != EVERYTHING}
    known_conda, known_index = set(conda), {canonicalize_name(name) for name in index}
    # GDAL's own sdist is of the version that pixi.lock has, whatever the index offers.
    known_index.discard(canonicalize_name("gdal"))
    of_conda = {name.lower() for name in names} & known_conda
    of_index = {str(canonicalize_name(name)) for name in names} & known_index
    unknown = [
        name
        for name in sorted(names)
        if name.lower() not in of_conda and canonicalize_name(name) not in of_index
    ]
    if unknown:
        raise UsageError([_unknown(name, known_conda | known_index) for name in unknown])
    return Upgrade(
        conda=frozenset(of_conda),
        index=frozenset(of_index),
        everything=everything,
        new_format=new_format,
    )


def _unknown(name: str, known: set[str]) -> Fault:
    named = GDAL_PACKAGE if name.lower() == "gdal" else name.lower()
    return Fault(
        what=f"--upgrade {name}: no package of that name is locked or asked for",
        cause=nearest(named, sorted(known)),
        fix="ask for it in pixi.toml or pyproject.toml; `geowheel lock` then takes its newest, and "
        "that of everything where nothing is locked yet",
    )

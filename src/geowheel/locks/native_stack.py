"""The native stack: the part of a locked environment that goes into a wheel."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from packaging.version import Version

from geowheel.errors import Fault, LockError, nearest
from geowheel.project.config import LIBSTDCXX, OPTIONAL
from geowheel.targets import GDAL_PACKAGE, OLDEST_MACOS, Platform

from .assets import Package
from .pixi_lock import match_spec

if TYPE_CHECKING:
    from rattler import RepoDataRecord

BINDINGS: Final = "gdal"
"""conda-forge's package of GDAL's Python bindings."""
ALWAYS: Final = (GDAL_PACKAGE, "ca-certificates")


@dataclass(frozen=True, kw_only=True)
class NativeStack:
    """The closure of libgdal-core, the named plugins and ca-certificates on one platform."""

    platform: Platform
    packages: tuple[Package, ...]
    left_out: tuple[str, ...]
    """Names of the environment's other packages."""

    @property
    def gdal(self) -> Package:
        """libgdal itself."""
        return next(package for package in self.packages if package.name == GDAL_PACKAGE)

    @property
    def gdal_version(self) -> str:
        """The one source of the GDAL version."""
        return self.gdal.version


def oldest_macos(stack: NativeStack) -> str | None:
    """Return the oldest macOS that a stack runs on, its newest `__osx >=VERSION`; None elsewhere.

    At least what the platform's packages are built for by conda-forge.
    """
    if stack.platform not in OLDEST_MACOS:
        return None
    needs = (need for package in stack.packages for need in package.depends)
    found = (re.match(r"__osx\s*>=\s*(\d+(?:\.\d+)*)", need) for need in needs)
    return max([OLDEST_MACOS[stack.platform], *(match[1] for match in found if match)], key=Version)


def native_stack(
    every: Sequence[RepoDataRecord], platform: Platform, plugins: Iterable[str], path: Path
) -> NativeStack:
    """Return the part of an environment that goes into a wheel.

    Raises LockError when libgdal-core, a plugin or something that they need is not there, or a
    record has no sha256: without one nothing could be verified.
    """
    by_name = {record.name.normalized: record for record in every}
    roots = (*ALWAYS, *plugins)
    if missing := [name for name in roots if name not in by_name and name not in OPTIONAL]:
        raise LockError([_absent(name, platform, by_name, path) for name in missing])
    closure = closure_of(roots, every)
    if faults := _incomplete(closure, by_name, path):
        raise LockError(faults)
    kept = {record.name.normalized for record in closure}
    return NativeStack(
        platform=platform,
        packages=tuple(sorted(Package.of(record, str(path)) for record in closure)),
        left_out=tuple(sorted(set(by_name) - kept)),
    )


def _absent(name: str, platform: Platform, by_name: Mapping[str, object], path: Path) -> Fault:
    """Say that a root of the native stack is not locked, and which names are nearly the same."""
    what = f"no {name} in the environment for {platform}"
    if name == GDAL_PACKAGE:
        cause = "no GDAL is asked for, or an old `libgdal` without the -core split"
    else:
        near = nearest(name, [other for other in by_name if other != GDAL_PACKAGE])
        cause = f"pixi.toml does not ask for it{near and ': ' + near}"
    fix = f"pixi add {name}, then `geowheel lock`"
    if name.startswith(LIBSTDCXX):
        fix += '; or set toolchain = "machine" in [tool.geowheel]'
    elif name not in ALWAYS:
        fix += "; or leave it out of plugins in [tool.geowheel]"
    return Fault(what=what, where=str(path), cause=cause, fix=fix)


def closure_of(names: Iterable[str], every: Sequence[RepoDataRecord]) -> list[RepoDataRecord]:
    """Return the records that `names` need, themselves included, in the order of `every`."""
    by_name = {record.name.normalized: record for record in every}
    needed: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in needed and name in by_name:  # not there: a virtual package such as __glibc
            needed.add(name)
            waiting += map(name_of, by_name[name].depends)
    return [record for record in every if record.name.normalized in needed]


def _incomplete(
    closure: Sequence[RepoDataRecord], by_name: Mapping[str, RepoDataRecord], path: Path
) -> list[Fault]:
    """Return the closure's needs that the lock does not meet: it was cut or edited by hand."""
    faults = []
    for record in closure:
        for need in (need for need in record.depends if not need.startswith("__")):
            found = by_name.get(name_of(need))
            if found is None or not match_spec(need, path).matches(found):
                has = f"has {found.version}" if found else "does not have it"
                what = f"{record.name.normalized} needs {need}, the lock {has}"
                cause = "the lock was edited by hand, or merged wrongly"
                fix = "run `geowheel lock`"
                faults.append(Fault(what=what, where=str(path), cause=cause, fix=fix))
    return faults


def name_of(need: str) -> str:
    """Return `libfoo` of the dependency `libfoo >=1`, whatever follows the name."""
    return re.split(r"[\s=<>!~\[;]", need, maxsplit=1)[0].rpartition("::")[2].lower()

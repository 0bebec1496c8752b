"""Solving the build lock: once for all interpreters and platforms, by uv."""

import re
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, cast

import tomli_w
from packaging.markers import Marker
from packaging.pylock import Package, Pylock
from packaging.tags import Tag
from packaging.version import Version

from geowheel.digest import digest
from geowheel.errors import ChannelError, LockError, some
from geowheel.machine import files
from geowheel.machine.console import Step
from geowheel.machine.credentials import advice, without_login
from geowheel.machine.environments import index_environment, tool_path
from geowheel.targets import Platform, Target

from .build_lock import (
    LAB,
    NEWEST_MACOS,
    SERVER,
    Requirements,
    macos_of,
    marker_environment,
    target_tags,
    wheel_tags,
)

_SDIST: Final = "sdist"  # the group of GDAL itself, which no installer could install
_WHEELS_ONLY: Final = "no-build = true\n"  # uv's setting
_OPTIONS: Final = (
    "--universal", "--no-annotate", "--no-header", "--quiet", "--native-tls",
    "--no-python-downloads", "--format", "pylock.toml", "--output-file", "pylock.toml",
)  # fmt: skip
_UNREACHED: Final = re.compile("sending request|dns error|Failed to fetch|client error|40[13] [UF]")


def solve_build_lock(
    wanted: Requirements,
    path: Path,
    *,
    keep: Sequence[Package] = (),
    macos: Mapping[Platform, tuple[str, ...]] | None = None,
    environ: Mapping[str, str],
    step: Step,
) -> None:
    """Solve every group against the index and write the lock in one step.

    Packages that are locked already, `keep`, stay at their version where it still fits. `macos`
    is BuildLock's, by platform: only what is warned of depends on it, never the lock.
    Raises ChannelError when the index cannot be reached, LockError when a group has no solution.
    """
    index = index_environment(environ)
    uv = _Uv(wanted=wanted, keep=keep, environ=environ, index=index, step=step)
    solved = step.side_by_side(uv.group, [*wanted.groups, _SDIST])
    packages: dict[tuple[str, str, str], tuple[Package, set[str]]] = {}
    targets = [Target(python=v, platform=p) for v in wanted.pythons for p in wanted.platforms]
    for group, every in zip(wanted.groups, solved, strict=False):
        for found in every:
            package, gaps = _for_targets(found, targets, group, macos or {})
            if package is None:
                continue
            if gaps and group != LAB:  # the lab says itself what it goes without
                step.console.warn(f"{package.name} {package.version} has no wheel for {gaps}")
            packages.setdefault(_order(package), (package, set()))[1].add(group)
    merged = [_in_groups(package, groups) for package, groups in packages.values()]
    merged += [_in_groups(package, {_SDIST}) for package in solved[-1]]
    lock = Pylock(
        lock_version=Version("1.0"),
        dependency_groups=[*wanted.groups, _SDIST],
        created_by="geowheel",
        packages=sorted(merged, key=_order),
        tool={"geowheel": {"solved-from": digest(wanted)}},
    )
    files.write(path, tomli_w.dumps(dict(lock.to_dict())))


def _order(package: Package) -> tuple[str, str, str]:
    return package.name, str(package.version), str(package.marker)


@dataclass(frozen=True, kw_only=True)
class _Uv:
    """`uv pip compile` for what is wanted."""

    wanted: Requirements
    keep: Sequence[Package]
    environ: Mapping[str, str]
    index: Mapping[str, str]
    """The environment for uv."""
    step: Step = field(repr=False)

    def group(self, group: str) -> list[Package]:
        """Return what a dependency group comes to."""
        if group == _SDIST:
            return self._gdal()
        asked = self.wanted.of(group)
        if not asked:
            return []
        # `_in_groups` wrote the group's name into the markers.
        sign = f'"{group}" in dependency_groups'
        keep = [package for package in self.keep if sign in str(package.marker)]
        try:
            return self._compile(asked, keep=keep)
        except LockError:
            if group != LAB:
                raise
        return self._peers(keep)

    def _peers(self, keep: Sequence[Package]) -> list[Package]:
        """Return the lab's peers but those without a wheel for a configured python."""
        kept: list[str] = []
        for peer in self.wanted.peers:
            try:
                self._compile((peer, *kept, *self.wanted.test), keep=keep)
                kept.append(peer)
            except LockError as error:
                self.step.console.warn(f"the lab goes without {peer}: {error.faults[0].what}")
        return self._compile((*kept, *self.wanted.test, *SERVER), keep=keep)

    def _gdal(self) -> list[Package]:
        """Return GDAL's sdist, of the locked libgdal's version."""
        version = self.wanted.gdal_version
        # uv would build the sdist to learn its requirements, and it needs gdal-config for that.
        static = (
            f'[[dependency-metadata]]\nname = "gdal"\nversion = "{version}"\nrequires-dist = []\n'
        )
        packages = self._compile((f"gdal=={version}",), settings=static)
        gdal = [p for p in packages if p.name == "gdal" and p.sdist is not None]
        if not gdal:
            raise LockError(
                f"the index has no sdist of GDAL {version}",
                cause="it is a mirror that keeps wheels only",
                fix="point UV_DEFAULT_INDEX or PIP_INDEX_URL to an index that has it",
            )
        return [replace(package, marker=None, wheels=None) for package in gdal]

    def _compile(
        self,
        requirements: Sequence[str],
        *,
        settings: str = _WHEELS_ONLY,
        keep: Sequence[Package] = (),
    ) -> list[Package]:
        oldest = min((p.removesuffix("t") for p in self.wanted.pythons), key=Version)
        # In its own folder uv reads this beside the user's own settings, where a mirror may stand.
        with tempfile.TemporaryDirectory(prefix="geowheel-") as scratch:
            folder = Path(scratch)
            (folder / "uv.toml").write_text(settings, encoding="utf-8")
            # Below another project uv would read that one's settings in their place.
            (folder / "pyproject.toml").write_text("[tool.uv.workspace]\n", encoding="utf-8")
            (folder / "requirements.in").write_text("\n".join(requirements) + "\n", "utf-8")
            lock = folder / "pylock.toml"
            if keep:  # uv prefers what an output file already has
                locked = [{"name": str(p.name), "version": str(p.version)} for p in keep]
                known = {"lock-version": "1.0", "created-by": "geowheel", "packages": locked}
                lock.write_text(tomli_w.dumps(known), encoding="utf-8")
            result = self.step.run(
                [
                    *(tool_path("uv"), "pip", "compile", "requirements.in", *_OPTIONS),
                    *("--python", sys.executable, "--python-version", oldest),
                ],
                env=self.index,
                cwd=folder,
                check=False,
            )
            if result.returncode != 0:
                raise _explain(requirements, result.stderr, result.log)
            data = tomllib.loads(lock.read_text("utf-8"))
            for package in data.get("packages", ()):
                for file in filter(None, (*package.get("wheels", ()), package.get("sdist"))):
                    file["url"] = self._public(package["name"], file.get("url", ""))
            return list(Pylock.from_dict(data).packages)

    def _public(self, name: str, url: str) -> str:
        """Return the URL that a lock names; raises LockError for what is on no web server."""
        try:
            return without_login(url, self.environ)
        except ValueError as error:
            raise LockError(
                f"{name} comes from no index: {error}",
                cause="UV_FIND_LINKS or uv's settings name a folder, or the index has a wrong URL",
                fix="unset it, or serve the folder as an index",
            ) from None


def _explain(requirements: Sequence[str], output: str, log: Path) -> LockError | ChannelError:
    asked, said = ", ".join(requirements), output.strip()
    if _UNREACHED.search(output):
        help = advice(
            output,
            "no route to it from here, no proxy or mirror",
            "set UV_DEFAULT_INDEX or PIP_INDEX_URL to a mirror",
        )
        return ChannelError(
            f"the Python package index cannot be reached while solving {asked}:\n{said}",
            cause=help["cause"],
            fix=f"{help['fix']}; the whole output is in {log}",
        )
    return LockError(
        f"no solution for {asked}:\n{said}",
        cause="the index has no such version for one of the configured pythons",
        fix=f"loosen the requirement; the whole output is in {log}",
    )


def _in_groups(package: Package, groups: set[str]) -> Package:
    inside = " or ".join(f"'{group}' in dependency_groups" for group in sorted(groups))
    marker = f"({package.marker}) and ({inside})" if package.marker else inside
    return replace(package, marker=Marker(marker), index=None)


def _for_targets(
    package: Package,
    targets: Sequence[Target],
    group: str,
    macos: Mapping[Platform, tuple[str, ...]],
) -> tuple[Package | None, str]:
    """Keep the wheels that some target can use, and no sdist; name the targets that have none.

    The package is None when no target asks for it. A target without a wheel fails later, when it
    is built. Raises LockError when no target has one.
    """
    asking = [target for target in targets if _asks(target, package)]
    if not asking:
        return None, ""
    every = frozenset[Tag]().union(*(target_tags(t, macos=(NEWEST_MACOS,)) for t in asking))
    wheels = [wheel for wheel in package.wheels or () if wheel_tags(wheel) & every]
    found = frozenset[Tag]().union(*map(wheel_tags, wheels))
    gaps = []
    for target in asking:
        versions = macos_of(group, target, macos.get(target.platform, ()))
        if found.isdisjoint(target_tags(target, macos=versions)):
            gaps.append(str(target))
    if not wheels:
        raise LockError(
            f"{package.name} {package.version} has no wheel for {some(gaps, 4)}",
            cause="the index holds its sdist only, or wheels of other systems",
            fix="ask for another version of what needs it",
        )
    return replace(package, wheels=wheels, sdist=None), some(gaps, 4)


def _asks(target: Target, package: Package) -> bool:
    environment = cast("Mapping[str, str]", marker_environment(target))
    return package.marker is None or package.marker.evaluate(dict(environment))

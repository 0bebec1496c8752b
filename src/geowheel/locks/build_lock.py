"""The build lock, `pylock.geowheel.toml` (PEP 751): all that comes from the Python package index.

GDAL's sdist of exactly the locked libgdal's version, and the requirements of every target in three
dependency groups: `bindings` (NumPy's headers), `build` (the host's backend), `test`. Where the
host names peers for the lab, they are a fourth, `lab`, which only that stage downloads. Solved once
for all interpreters and platforms by `uv pip compile --universal`.
"""

from __future__ import annotations

import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Final, cast
from urllib.parse import unquote

import tomli_w
from packaging.markers import Environment, Marker
from packaging.pylock import Package, PackageSdist, PackageWheel, Pylock, PylockValidationError
from packaging.pylock import PylockSelectError as SelectError
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from geowheel.digest import digest
from geowheel.errors import ChannelError, Fault, LockError
from geowheel.machine import files
from geowheel.machine.console import Step
from geowheel.machine.credentials import LACKING, refused
from geowheel.machine.environments import tool_environment, tool_path
from geowheel.targets import OLDEST_MACOS, Platform, System, Target
from geowheel.wheel.tags import manylinux_tags

FILE_NAME: Final = "pylock.geowheel.toml"
GROUPS: Final = ("bindings", "build", "test")
LAB: Final = "lab"  # the peers with what the tests need: one environment holds both
WHEELS_ONLY: Final = "no-build = true\n"  # uv's setting
SDIST: Final = "sdist"  # the group of GDAL itself, which no installer could install
SERVER: Final = ("trustme",)  # certificates of the lab's HTTPS server
INTO_WHEEL: Final = ("bindings", "build")
"""Groups of which something may get into a wheel: their own floor would be the wheel's."""
TESTING_MACOS: Final = "13.0"  # of the machines that test a wheel
_NEWEST_MACOS: Final = "30.0"  # any: the lock keeps them all, a run takes what its floor allows
BINDINGS: Final = ("numpy>=2",)  # compiled against NumPy 2's headers it runs with 2.x, not 1.26's


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """What the build lock is solved from; its digest is written into the lock."""

    def digest(self) -> str:
        """Of what is asked for, geowheel's own part included."""
        parts = (self.gdal_version, self.pythons, self.platforms, self.build, self.test)
        # The lock of a host that never runs the lab stays what it was.
        return digest((parts, BINDINGS, self.peers) if self.peers else (parts, BINDINGS))

    gdal_version: str
    pythons: tuple[str, ...]
    platforms: tuple[Platform, ...]
    build: tuple[str, ...]
    test: tuple[str, ...]
    peers: tuple[str, ...] = ()
    """Of the lab."""

    @property
    def groups(self) -> tuple[str, ...]:
        """The dependency groups of the lock."""
        return (*GROUPS, LAB) if self.peers else GROUPS

    def of(self, group: str) -> tuple[str, ...]:
        lab = (*self.peers, *self.test, *SERVER) if self.peers else ()
        return {"bindings": BINDINGS, "build": self.build, "test": self.test, LAB: lab}[group]


@dataclass(frozen=True, kw_only=True, order=True)
class Download:
    """One file of the index."""

    name: str
    version: str
    file_name: str
    url: str
    sha256: str
    size: int | None = field(default=None, compare=False)
    """In bytes, where the index says it: an index may say it in one answer and not in the next,
    so the same file can stand in a lock with and without."""


@dataclass(frozen=True, kw_only=True)
class BuildLock:
    """A parsed build lock."""

    path: Path
    pylock: Pylock
    macos: tuple[str, ...] = ()
    """Versions of macOS that the run's wheel may ask for, the wanted one first; none named: the
    oldest that conda-forge builds for."""

    @property
    def solved_from(self) -> str:
        """The digest of the Requirements that it was solved from."""
        return str((self.pylock.tool or {}).get("geowheel", {}).get("solved-from", ""))

    @property
    def gdal_sdist(self) -> Download:
        """GDAL's own sdist; raises LockError when the lock has none."""
        for package in self.pylock.packages:
            if package.name == "gdal" and package.sdist is not None:
                return _download(package, package.sdist, self.path)
        raise LockError("no sdist of GDAL in it", where=str(self.path), fix="run `geowheel lock`")

    def requirements(self, group: str, target: Target) -> tuple[Download, ...]:
        """The wheels that `group` needs on `target`; raises LockError when one has no wheel.

        What may get into the wheel is taken for the target's floor, whatever this machine is.
        """
        tags = target_tags(target, macos=_versions(group, target, self.macos))
        try:
            chosen = self._select(group, target, tags)
        except SelectError as error:
            if faults := self._too_new(group, target, tags):
                raise LockError(faults) from None
            raise LockError(
                f"{group} requirements of {target}: {error}",
                where=str(self.path),
                cause="no wheel of that version for this interpreter and platform",
                fix="ask for another version, then run `geowheel lock`",
            ) from None
        wheels = []
        for package, artefact in chosen:
            if not isinstance(artefact, PackageWheel):
                raise LockError(
                    f"{package.name} {package.version} has no wheel for {target}",
                    where=str(self.path),
                    fix="ask for a version that has one, then run `geowheel lock`",
                )
            wheels.append(_download(package, artefact, self.path))
        return tuple(sorted(wheels))

    def _select(
        self, group: str, target: Target, tags: Sequence[Tag]
    ) -> list[tuple[Package, object]]:
        return list(
            self.pylock.select(
                environment=marker_environment(target), tags=tags, dependency_groups=[group]
            )
        )

    def _too_new(self, group: str, target: Target, tags: Sequence[Tag]) -> list[Fault]:
        """Packages that have a wheel for the target's system, but only for a newer one."""
        if target.platform.system is not System.MACOS:
            return []
        try:
            chosen = self._select(group, target, target_tags(target, macos=(_NEWEST_MACOS,)))
        except SelectError:
            return []  # something has no wheel at all, which says more
        floor = max(_versions(group, target, self.macos), key=Version)
        return [
            Fault(
                what=f"{package.name} {package.version} has no wheel for macOS {floor}, only "
                f"{unquote(artefact.filename)}",
                where=str(self.path),
                cause=f"{target} is made for macOS {floor} and newer; a requirement for a newer "
                "one can raise that",
                fix=f"ask for another version of {package.name} and run `geowheel lock`, or raise "
                "[tool.geowheel.floor] macos",
            )
            for package, artefact in chosen
            if isinstance(artefact, PackageWheel) and not _wheel_tags(artefact) & set(tags)
        ]

    def offered(self, group: str, target: Target) -> tuple[tuple[Download, ...], tuple[str, ...]]:
        """The wheels of `group` on `target`, and the names of what has none there."""
        if group not in (self.pylock.dependency_groups or ()):
            return (), ()
        found: list[Download] = []
        without: list[str] = []
        for package in self.pylock.packages:
            alone = replace(self, pylock=replace(self.pylock, packages=[package]))
            try:
                found += alone.requirements(group, target)
            except LockError:
                without.append(canonicalize_name(package.name))
        return tuple(sorted(found)), tuple(without)


def read_build_lock(path: Path) -> BuildLock:
    """The parsed lock; raises LockError when it is missing or not PEP 751."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        return BuildLock(path=path, pylock=Pylock.from_dict(data))
    except FileNotFoundError:
        raise LockError(
            "there is no build lock", where=str(path), fix="run `geowheel lock`"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, PylockValidationError) as error:
        raise LockError(
            f"not a valid pylock file: {error}",
            where=str(path),
            fix="restore it, or run `geowheel lock`",
        ) from None


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
    packages: dict[tuple[str, str, str], tuple[Package, set[str]]] = {}
    targets = [Target(python=v, platform=p) for v in wanted.pythons for p in wanted.platforms]
    for group in wanted.groups:
        for found in _solve_group(wanted, group, _of_group(keep, group), environ, step):
            package, gaps = _for_targets(found, targets, group, macos or {})
            if package is None:
                continue
            if gaps and group != LAB:  # the lab says itself what it goes without
                step.console.warn(f"{package.name} {package.version} has no wheel for {gaps}")
            key = (package.name, str(package.version), str(package.marker))
            packages.setdefault(key, (package, set()))[1].add(group)
    merged = [_in_groups(package, groups) for package, groups in packages.values()]
    gdal = [_in_groups(p, {SDIST}) for p in _solve_gdal(wanted, environ, step)]
    lock = Pylock(
        lock_version=Version("1.0"),
        dependency_groups=[*wanted.groups, SDIST],
        created_by="geowheel",
        packages=sorted(merged + gdal, key=lambda p: (p.name, str(p.version), str(p.marker))),
        tool={"geowheel": {"solved-from": digest(wanted)}},
    )
    _write(lock, path)


def marker_environment(target: Target) -> Environment:
    """The environment of PEP 508 markers on a target, which need not be this machine."""
    linux = target.platform.system is System.LINUX
    windows = target.platform.system is System.WINDOWS
    architecture = target.platform.architecture
    return Environment(
        implementation_name="cpython",
        implementation_version=f"{target.python}.0",
        os_name="nt" if windows else "posix",
        platform_machine=architecture.upper() if windows else architecture,
        platform_release="",
        platform_system="Linux" if linux else "Windows" if windows else "Darwin",
        platform_version="",
        python_full_version=f"{target.python}.0",
        platform_python_implementation="CPython",
        python_version=target.python,
        sys_platform="linux" if linux else "win32" if windows else "darwin",
    )


def _versions(group: str, target: Target, macos: tuple[str, ...]) -> tuple[str, ...]:
    """The versions of macOS that a wheel of a group may ask for, the wanted one first."""
    if group not in INTO_WHEEL:
        return (TESTING_MACOS,)
    return macos or (OLDEST_MACOS.get(target.platform, ""),)


@cache
def target_tags(target: Target, *, macos: tuple[str, ...] = ()) -> Sequence[Tag]:
    """Wheel tags that a build on a target accepts, best first.

    Linux: manylinux up to 2_28, since newer ones would not install on every machine that builds.
    macOS: all up to the first version of `macos`, then those up to the next; by default up to the
    oldest one that conda-forge builds for.
    """
    machine = target.platform.architecture
    if target.platform.system is System.LINUX:
        choices = [[*manylinux_tags((2, 28), machine), f"linux_{machine}"]]
    elif target.platform.system is System.MACOS:
        versions = map(Version, macos or (OLDEST_MACOS[target.platform],))
        choices = [list(mac_platforms((v.major, v.minor), machine)) for v in versions]
    else:
        choices = [[f"win_{machine}"]]
    return list(dict.fromkeys(tag for names in choices for tag in _tags(target, names)))


def _tags(target: Target, platforms: Sequence[str]) -> Iterator[Tag]:
    major, _, minor = target.python.partition(".")
    version = (int(major), int(minor))
    yield from cpython_tags(version, platforms=platforms)
    yield from compatible_tags(version, target.interpreter_tag, platforms)


def _solve_group(
    wanted: Requirements,
    group: str,
    keep: Sequence[Package],
    environ: Mapping[str, str],
    step: Step,
) -> list[Package]:
    if not wanted.of(group):
        return []
    try:
        return _compile(wanted.of(group), wanted, WHEELS_ONLY, environ, step, keep=keep)
    except LockError:
        if group != LAB:
            raise
    return _solve_peers(wanted, keep, environ, step)


def _solve_peers(
    wanted: Requirements, keep: Sequence[Package], environ: Mapping[str, str], step: Step
) -> list[Package]:
    """Without the peers that have no wheel for a configured python: no lab is worth no wheel."""
    kept: list[str] = []
    for peer in wanted.peers:
        try:
            _compile((peer, *kept, *wanted.test), wanted, WHEELS_ONLY, environ, step, keep=keep)
            kept.append(peer)
        except LockError as error:
            step.console.warn(f"the lab goes without {peer}: {error.faults[0].what}")
    return _compile((*kept, *wanted.test, *SERVER), wanted, WHEELS_ONLY, environ, step, keep=keep)


def _of_group(packages: Sequence[Package], group: str) -> list[Package]:
    """Those that a group asks for: `_in_groups` wrote its name into their markers."""
    return [
        package for package in packages if f'"{group}" in dependency_groups' in str(package.marker)
    ]


def _preferences(packages: Sequence[Package]) -> str:
    """A pylock file with names and versions alone: uv prefers what an output file already has."""
    every = [{"name": str(p.name), "version": str(p.version)} for p in packages]
    return tomli_w.dumps({"lock-version": "1.0", "created-by": "geowheel", "packages": every})


def _solve_gdal(wanted: Requirements, environ: Mapping[str, str], step: Step) -> list[Package]:
    # uv would build the sdist to learn its requirements, and it needs gdal-config for that.
    static = (
        f'[[dependency-metadata]]\nname = "gdal"\nversion = "{wanted.gdal_version}"\n'
        "requires-dist = []\n"
    )
    packages = _compile((f"gdal=={wanted.gdal_version}",), wanted, static, environ, step)
    gdal = [package for package in packages if package.name == "gdal" and package.sdist is not None]
    if not gdal:
        raise LockError(
            f"the index has no sdist of GDAL {wanted.gdal_version}",
            cause="it is a mirror that keeps wheels only",
            fix="point UV_DEFAULT_INDEX or PIP_INDEX_URL to an index that has it",
        )
    return [replace(package, marker=None, wheels=None) for package in gdal]


def _compile(
    requirements: Sequence[str],
    wanted: Requirements,
    settings: str,
    environ: Mapping[str, str],
    step: Step,
    *,
    keep: Sequence[Package] = (),
) -> list[Package]:
    oldest = min(wanted.pythons, key=lambda python: int(python.partition(".")[2]))
    # In its own folder uv reads this beside the user's own settings, where a mirror may stand.
    with tempfile.TemporaryDirectory(prefix="geowheel-") as scratch:
        folder = Path(scratch)
        (folder / "uv.toml").write_text(settings, encoding="utf-8")
        (folder / "requirements.in").write_text("\n".join(requirements) + "\n", encoding="utf-8")
        if keep:
            (folder / "pylock.toml").write_text(_preferences(keep), encoding="utf-8")
        result = step.run(
            [
                tool_path("uv"),
                "pip",
                "compile",
                "requirements.in",
                "--universal",
                "--python",
                sys.executable,
                "--python-version",
                oldest,
                "--no-annotate",
                "--no-header",
                "--quiet",
                "--native-tls",
                "--no-python-downloads",
                "--format",
                "pylock.toml",
                "--output-file",
                "pylock.toml",
            ],
            env=tool_environment(environ),
            cwd=folder,
            check=False,
        )
        if result.returncode != 0:
            raise _explain(requirements, result.stderr, result.log)
        data = tomllib.loads((folder / "pylock.toml").read_text(encoding="utf-8"))
    return list(Pylock.from_dict(data).packages)


def _explain(requirements: Sequence[str], output: str, log: Path) -> LockError | ChannelError:
    asked = ", ".join(requirements)
    network = ("error sending request", "dns error", "Failed to fetch", "client error")
    if refused(output):
        return ChannelError(
            f"the Python package index cannot be read while solving {asked}:\n{output.strip()}",
            cause=LACKING,
            fix="put a line for its host into ~/.netrc (or the file that NETRC names), or see uv's "
            f"own ways; the whole output is in {log}",
        )
    if any(sign in output for sign in network):
        return ChannelError(
            f"the Python package index cannot be reached while solving {asked}:\n{output.strip()}",
            cause="no route to it from here, or a proxy or mirror that is not set",
            fix=f"set UV_DEFAULT_INDEX or PIP_INDEX_URL to a mirror; the whole output is in {log}",
        )
    return LockError(
        f"no solution for {asked}:\n{output.strip()}",
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
    """The package with the wheels that some target can use, and no sdist; and who has none.

    None when no target asks for it. A target without a wheel fails later, when it is built: here
    it is only said. Raises LockError when no target has one.
    """
    asking = [
        target
        for target in targets
        if package.marker is None or package.marker.evaluate(dict(_texts(target)))
    ]
    if not asking:
        return None, ""
    tags = {
        target: frozenset(
            target_tags(target, macos=_versions(group, target, macos.get(target.platform, ())))
        )
        for target in asking
    }
    usable = (target_tags(target, macos=(_NEWEST_MACOS,)) for target in asking)
    every = frozenset[Tag]().union(*usable)
    wheels = [wheel for wheel in package.wheels or () if _wheel_tags(wheel) & every]
    if any(wheel.url is None for wheel in wheels):
        raise LockError(
            f"{package.name} {package.version} comes from a local folder, not from an index",
            cause="UV_FIND_LINKS or uv's own settings name a folder of wheels",
            fix="unset it, or serve the folder as an index",
        )
    found = frozenset[Tag]().union(*map(_wheel_tags, wheels))
    gaps = [str(target) for target in asking if not found & tags[target]]
    if not wheels:
        raise LockError(
            f"{package.name} {package.version} has no wheel for {_some(gaps)}",
            cause="the index holds its sdist only, or wheels of other systems",
            fix="ask for another version of what needs it",
        )
    return replace(package, wheels=wheels, sdist=None), _some(gaps)


def _wheel_tags(wheel: PackageWheel) -> frozenset[Tag]:
    try:
        return parse_wheel_filename(unquote(wheel.filename))[3]
    except InvalidWheelFilename:
        return frozenset()  # some indexes hold very old names


def _texts(target: Target) -> Mapping[str, str]:
    return cast("Mapping[str, str]", marker_environment(target))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _write(lock: Pylock, path: Path) -> None:
    files.write(path, tomli_w.dumps(dict(lock.to_dict())))


def _download(package: Package, artefact: PackageSdist | PackageWheel, where: Path) -> Download:
    sha256 = artefact.hashes.get("sha256")
    if not sha256 or not artefact.url:
        raise LockError(
            f"{package.name} {package.version} has no URL or no sha256",
            where=str(where),
            fix="run `geowheel lock`",
        )
    return Download(
        name=canonicalize_name(package.name),
        version=str(package.version),
        file_name=unquote(artefact.filename),
        url=artefact.url,
        sha256=sha256,
        size=artefact.size,
    )

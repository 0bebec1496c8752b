"""The pixi CLI, where it is installed: it solves and locks, and it downloads and unpacks.

Placing files is never left to it (see `linker`). Run for real with the version that
docs/platforms.md names.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.version import Version

from geowheel.errors import BuildError, ChannelError, IntegrityError, LockError, MachineError
from geowheel.machine.console import Step
from geowheel.machine.credentials import LACKING, login, refused
from geowheel.machine.environments import tool_environment
from geowheel.targets import Platform, System

from .assets import Package
from .channels import Mirrors
from .pixi_lock import Solved, write_lock
from .upgrades import Upgrade

OLDEST: Final = Version("0.68")
"""The first that writes lock format 7, which older ones cannot read."""
VARIABLE: Final = "GEOWHEEL_PIXI"
_OUT_OF_REACH: Final = re.compile(r"error sending request|HTTP status|\(404|dns error")


@dataclass(frozen=True, kw_only=True)
class Pixi:
    """A pixi program with its version."""

    path: Path
    version: Version


def find_pixi(environ: Mapping[str, str], step: Step) -> Pixi | None:
    """Return the pixi that GEOWHEEL_PIXI or PATH names, None where there is none (or an older one).

    `GEOWHEEL_PIXI=none` asks for none. Raises MachineError when GEOWHEEL_PIXI names something else
    than a pixi of a usable version.
    """
    named = environ.get(VARIABLE)
    if named == "none":
        return None
    found = shutil.which(named or "pixi", path=environ.get("PATH", ""))
    if found is not None:
        path = Path(found).absolute()  # it is run in other folders than this one
        version = _version(path, environ, step)
        if version is not None and version >= OLDEST:
            return Pixi(path=path, version=version)
    if named:
        raise MachineError(
            f"{VARIABLE}={named} is not a pixi of {OLDEST} or newer",
            cause="PyPI's `pixi` is an unrelated program; the pixi CLI comes from prefix.dev",
            fix=f"unset {VARIABLE}, or point it to the pixi program",
        )
    return None


def _version(path: Path, environ: Mapping[str, str], step: Step) -> Version | None:
    try:
        result = step.run(
            [path, "--version"],
            env=tool_environment(environ),
            cwd=Path.cwd(),
            check=False,
            timeout=20,
        )
    except OSError:
        return None
    match = re.fullmatch(r"pixi (\d+(?:\.\d+)+)", result.stdout.strip())
    return Version(match[1]) if match and result.returncode == 0 else None


def lock(
    pixi: Pixi, manifest: Path, upgrade: Upgrade, *, environ: Mapping[str, str], step: Step
) -> None:
    """`pixi lock`, or `pixi update`: brings pixi.lock beside the manifest up to date.

    Raises LockError or ChannelError with what pixi said.
    """
    _solve(pixi, manifest, upgrade, (), environ, step)


def would_change(
    pixi: Pixi, manifest: Path, upgrade: Upgrade, *, environ: Mapping[str, str], step: Step
) -> list[str]:
    """Names of the packages that `lock` would change; writes nothing.

    Raises as `lock` does.
    """
    said = json.loads(_solve(pixi, manifest, upgrade, ("--dry-run", "--json"), environ, step))
    return sorted(
        {
            change["name"]
            for by_platform in said.get("environment", {}).values()
            for changes in by_platform.values()
            for change in changes
        }
    )


def _solve(
    pixi: Pixi,
    manifest: Path,
    upgrade: Upgrade,
    options: Sequence[str],
    environ: Mapping[str, str],
    step: Step,
) -> str:
    """Standard output of `pixi lock` or `pixi update`; both install nothing."""
    names = () if upgrade.everything else sorted(upgrade.conda)
    command = ["update", "--no-install", *names] if upgrade.of_conda else ["lock", "--no-install"]
    result = step.run(
        [pixi.path, *command, *options, "--manifest-path", manifest, "--color", "never"],
        env=tool_environment(environ),
        cwd=manifest.parent,
        check=False,
    )
    if result.returncode != 0:
        text = result.stderr.strip()
        said = f"pixi {command[0]} failed:\n{text}"
        log = f"the whole output is in {result.log}"
        if refused(text):
            fix = f"{login(unwrapped(text))}; {log}"
            raise ChannelError(said, where=str(manifest), cause=LACKING, fix=fix)
        kind = ChannelError if _OUT_OF_REACH.search(text) else LockError
        raise kind(said, where=str(manifest), fix=log)
    return result.stdout


def unwrapped(text: str) -> str:
    """pixi's error without the lines that it draws beside it."""
    return " ".join(re.sub("[│├╰─▶×]", " ", text).split())


def unpack(
    pixi: Pixi,
    packages: Sequence[Package],
    platform: Platform,
    folder: Path,
    *,
    mirrors: Mirrors,
    cache: Path,
    environ: Mapping[str, str],
    step: Step,
) -> dict[Package, Path]:
    """Let pixi download and unpack packages into a cache of ours; where each of them then lies.

    The environment that pixi links on the way, in `folder`, is thrown away by the caller. Raises
    IntegrityError for a wrong sha256, ChannelError for what cannot be fetched, BuildError else.
    """
    channels = sorted({package.channel_url for package in packages})
    (folder / "pixi.toml").write_text(
        "[workspace]\n"
        'name = "geowheel-native"\n'
        f"channels = {json.dumps(channels)}\n"
        f"platforms = {json.dumps([str(platform)])}\n",
        encoding="utf-8",
    )
    # Always read by pixi, whatever else is configured: the mirrors of this very run.
    (folder / ".pixi").mkdir()
    (folder / ".pixi" / "config.toml").write_text(_mirror_table(channels, mirrors), "utf-8")
    solved = Solved(
        environment="default",
        platform=platform,
        virtual_packages=(),
        channels=tuple(channels),
        records=[package.record() for package in packages],
    )
    write_lock(folder / "pixi.lock", [solved])
    result = step.run(
        [
            *(pixi.path, "install", "--frozen", "--no-hard-links", "--color", "never"),
            *("--manifest-path", folder / "pixi.toml", "--platform", str(platform)),
        ],
        env=tool_environment(environ, PIXI_CACHE_DIR=str(cache)),
        cwd=folder,
        check=False,
    )
    places = {p: cache / "pkgs" / f"{p.name}-{p.version}-{p.build}" for p in packages}
    missing = [p for p, place in places.items() if not (place / "info" / "paths.json").is_file()]
    if missing:
        raise _explain(result.stderr, result.log, missing)
    return places


def can_unpack(platform: Platform, machine: Platform) -> bool:
    """Whether pixi gets as far as unpacking everything.

    It links while it unpacks, and ends at the first Mach-O with a placeholder where there is no
    codesign (0.77: some packages were unpacked by then, some not).
    """
    return platform.system is not System.MACOS or machine.system is System.MACOS


def can_reach(packages: Sequence[Package], mirrors: Mirrors) -> bool:
    """Whether every package has an http place: pixi takes no folder for a mirror."""
    return all(
        place.startswith("http") for package in packages for place in mirrors.of(package.url)
    )


def _mirror_table(channels: Sequence[str], mirrors: Mirrors) -> str:
    lines = ["[mirrors]"]
    for channel in channels:
        places = [place for place in mirrors.of(channel) if place != channel]
        if places:
            lines.append(f"{json.dumps(channel)} = {json.dumps(places)}")
    return "\n".join(lines) + "\n"


def _explain(
    text: str, log: Path, missing: list[Package]
) -> IntegrityError | ChannelError | MachineError | BuildError:
    names = ", ".join(map(str, missing[:5])) + (" ..." if len(missing) > 5 else "")
    said = f"pixi did not unpack {names}:\n{text.strip()}"
    fix = f"the whole output is in {log}; GEOWHEEL_PIXI=none uses geowheel's own store"
    if "No space left" in text or "os error 28" in text:
        return MachineError(
            said, cause="the disk is full", fix="free some space, then run it again"
        )
    if "mismatch" in text or "sha256" in text:
        return IntegrityError(said, fix=fix)
    if refused(text):
        return ChannelError(said, cause=LACKING, fix=f"{login(unwrapped(text))}; {fix}")
    if _OUT_OF_REACH.search(text):
        return ChannelError(said, fix=fix)
    return BuildError(said, fix=fix)

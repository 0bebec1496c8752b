"""The pixi CLI, where it is installed: it solves and locks.

Run for real with the version that docs/platforms.md names.
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

from geowheel.errors import ChannelError, LockError, MachineError
from geowheel.machine.console import Step
from geowheel.machine.credentials import LACKING, login, refused
from geowheel.machine.environments import tool_environment

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
    pixi: Pixi,
    manifest: Path,
    upgrade: Upgrade,
    options: Sequence[str] = (),
    *,
    environ: Mapping[str, str],
    step: Step,
) -> str:
    """`pixi lock`, or `pixi update`: brings pixi.lock beside the manifest up to date.

    Returns what pixi says on standard output; both install nothing. Raises LockError or
    ChannelError with what pixi said.
    """
    names = () if upgrade.everything else sorted(upgrade.conda)
    command = ["update", "--no-install", *names] if upgrade.of_conda else ["lock", "--no-install"]
    result = step.run(
        [pixi.path, *command, *options, "--manifest-path", manifest, "--color", "never"],
        env=tool_environment(environ),
        cwd=manifest.parent,
        check=False,
    )
    if result.returncode == 0:
        return result.stdout
    text, where = result.stderr.strip(), str(manifest)
    said = f"pixi {command[0]} failed:\n{text}"
    log = f"the whole output is in {result.log}"
    if refused(text):
        raise ChannelError(said, where=where, cause=LACKING, fix=f"{login(text)}; {log}")
    kind = ChannelError if _OUT_OF_REACH.search(text) else LockError
    raise kind(said, where=where, fix=log)


def would_change(
    pixi: Pixi, manifest: Path, upgrade: Upgrade, *, environ: Mapping[str, str], step: Step
) -> list[str]:
    """Names of the packages that `lock` would change; writes nothing.

    Raises as `lock` does.
    """
    options = ("--dry-run", "--json")
    said = lock(pixi, manifest, upgrade, options, environ=environ, step=step)
    names = {
        change["name"]
        for by_platform in json.loads(said).get("environment", {}).values()
        for changes in by_platform.values()
        for change in changes
    }
    return sorted(names)

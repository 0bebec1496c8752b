"""The pixi CLI, where it is installed: it solves and locks, and it downloads and unpacks.

Placing files is never left to it (see `linker`). Run for real with the version that
docs/platforms.md names.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tomli_w
from packaging.version import Version

from geowheel.errors import BuildError, ChannelError, IntegrityError, LockError, MachineError
from geowheel.machine.console import Step
from geowheel.machine.credentials import advice
from geowheel.machine.environments import tool_environment
from geowheel.machine.process import Result
from geowheel.targets import Platform, System

from .assets import Package
from .channels import NOT_MODIFIED, STRANGE_SERVER, Mirrors
from .pixi_config import config_at, home_file, project_file
from .pixi_lock import Solved, write_lock
from .upgrades import Upgrade

OLDEST: Final = Version("0.68")
"""The first that writes lock format 7, which older ones cannot read."""
VARIABLE: Final = "GEOWHEEL_PIXI"
_OUT_OF_REACH: Final = re.compile(
    r"error sending request|HTTP status|\(404|dns error|coalesced request failed"
)


class PixiGaveUp(BuildError):
    """pixi did not unpack everything, for a reason of its own."""


@dataclass(frozen=True, kw_only=True)
class Pixi:
    """A pixi program with its version, and the variables that it is run with."""

    path: Path
    version: Version
    environ: Mapping[str, str]


def find_pixi(environ: Mapping[str, str], step: Step) -> Pixi | None:
    """Return the pixi that GEOWHEEL_PIXI or PATH names, None where there is none (or an older one).

    `GEOWHEEL_PIXI=none` asks for none. Raises MachineError when GEOWHEEL_PIXI names something else
    than a pixi of a usable version.
    """
    named = environ.get(VARIABLE)
    if named == "none":
        return None
    if found := shutil.which(named or "pixi", path=environ.get("PATH", "")):
        path = Path(found).absolute()  # it is run in other folders than this one
        env, here = tool_environment(environ), Path.cwd()
        with suppress(OSError):
            result = step.run([path, "--version"], env=env, cwd=here, check=False, timeout=20)
            match = re.fullmatch(r"pixi (\d+(?:\.\d+)+)", result.stdout.strip())
            version = Version(match[1] if match and result.returncode == 0 else "0")
            if version >= OLDEST:
                return Pixi(path=path, version=version, environ=environ)
    if named:
        raise MachineError(
            f"{VARIABLE}={named} is not a pixi of {OLDEST} or newer",
            cause="PyPI's `pixi` is an unrelated program; the pixi CLI comes from prefix.dev",
            fix=f"unset {VARIABLE}, or point it to the pixi program",
        )
    return None


def lock(
    pixi: Pixi, manifest: Path, upgrade: Upgrade, mirrors: Mapping[str, Sequence[str]], step: Step
) -> None:
    """Bring pixi.lock beside the manifest up to date by `pixi lock` or `pixi update`.

    `mirrors` are http places of channels by URL, beside pixi's own. Installs nothing. Raises
    LockError or ChannelError with what pixi said.
    """
    names = () if upgrade.everything else sorted(upgrade.conda)
    command = ["update", "--no-install", *names] if upgrade.of_conda else ["lock", "--no-install"]

    def ask(home: str, **more: str) -> Result:
        return step.run(
            [pixi.path, *command, "--manifest-path", manifest, "--color", "never"],
            env=tool_environment(pixi.environ, PIXI_HOME=home, **more),
            cwd=manifest.parent,
            check=False,
        )

    with tempfile.TemporaryDirectory(prefix="geowheel-pixi-") as home:
        _write_mirrors(Path(home, "config.toml"), mirrors, config_at(home_file(pixi.environ)))
        result = ask(home)
        if NOT_MODIFIED in result.stderr:
            step.say(f"{STRANGE_SERVER}: asking again without what pixi keeps")
            result = ask(home, PIXI_CACHE_DIR=str(Path(home, "cache")))
    if result.returncode != 0:
        text, log = result.stderr.strip(), f"the whole output is in {result.log}"
        raise _refusal(text, f"pixi {command[0]} failed", log, str(manifest)) or LockError(
            f"pixi {command[0]} failed:\n{text}", where=str(manifest), fix=log
        )


def _refusal(text: str, what: str, fix: str, where: str = "") -> ChannelError | None:
    """Return the error for what a server refused or does not have; None for something else."""
    said = f"{what}:\n{text}"
    help = advice(unwrapped(text), "", "")
    if help["fix"]:
        return ChannelError(said, where=where, cause=help["cause"], fix=f"{help['fix']}; {fix}")
    return ChannelError(said, where=where, fix=fix) if _OUT_OF_REACH.search(text) else None


def unwrapped(text: str) -> str:
    """Return pixi's error without the lines that it draws beside it."""
    return " ".join(re.sub("[│├╰─▶×]", " ", text).split())


def unpack(
    pixi: Pixi,
    packages: Sequence[Package],
    platform: Platform,
    folder: Path,
    *,
    mirrors: Mirrors,
    cache: Path,
    step: Step,
) -> dict[Package, Path]:
    """Let pixi download and unpack packages into a cache of ours; where each of them then lies.

    The environment that pixi links on the way, in `folder`, is thrown away by the caller. Raises
    IntegrityError for a wrong sha256, ChannelError for what cannot be fetched, PixiGaveUp else.
    """
    channels = sorted({package.channel_url for package in packages})
    (folder / "pixi.toml").write_text(
        "[workspace]\n"
        'name = "geowheel-native"\n'
        f"channels = {json.dumps(channels)}\n"
        f"platforms = {json.dumps([str(platform)])}\n",
        encoding="utf-8",
    )
    # Read last by pixi, whatever else is configured: the mirrors of this very run.
    (folder / ".pixi").mkdir()
    _write_mirrors(project_file(folder), {channel: mirrors.of(channel) for channel in channels})
    records = [package.record() for package in packages]
    solved = Solved(
        environment="default", platform=platform, virtual_packages=(), channels=tuple(channels),
        records=records,
    )  # fmt: skip
    write_lock(folder / "pixi.lock", [solved])
    result = step.run(
        [
            *(pixi.path, "install", "--frozen", "--no-hard-links", "--color", "never"),
            *("--manifest-path", folder / "pixi.toml", "--platform", str(platform)),
        ],
        env=tool_environment(pixi.environ, PIXI_CACHE_DIR=str(cache)),
        cwd=folder,
        check=False,
    )
    places = {p: cache / "pkgs" / f"{p.name}-{p.version}-{p.build}" for p in packages}
    missing = [p for p, place in places.items() if not (place / "info" / "paths.json").is_file()]
    if missing:
        raise _explain(result.stderr, result.log, missing)
    return places


def can_unpack(platform: Platform, machine: Platform) -> bool:
    """Return whether pixi gets as far as unpacking everything.

    It links while it unpacks, and ends at the first Mach-O with a placeholder where there is no
    codesign (0.77: some packages were unpacked by then, some not).
    """
    return platform.system is not System.MACOS or machine.system is System.MACOS


def can_reach(urls: Iterable[str], mirrors: Mirrors) -> bool:
    """Return whether every URL has an http place: pixi takes no folder for a mirror."""
    return all(place.startswith("http") for url in urls for place in mirrors.of(url))


def _write_mirrors(
    file: Path, mirrors: Mapping[str, Sequence[str]], config: Mapping[str, Any] = {}
) -> None:
    """Write a configuration of pixi's with these mirrors in the place of others of their URLs."""
    before = config.get("mirrors", {}).items()
    kept = {url: places for url, places in before if url.rstrip("/") + "/" not in mirrors}
    data = {**config, "mirrors": {**kept, **{url: list(of) for url, of in mirrors.items()}}}
    file.write_text(tomli_w.dumps(data), encoding="utf-8")


def _explain(
    text: str, log: Path, missing: list[Package]
) -> IntegrityError | ChannelError | MachineError | PixiGaveUp:
    names = ", ".join(map(str, missing[:5]))
    what = f"pixi did not unpack {len(missing)} packages ({names}{' ...' * (len(missing) > 5)})"
    said = f"{what}:\n{text.strip()}"
    fix = f"the whole output is in {log}"
    own = f"{fix}; GEOWHEEL_PIXI=none uses geowheel's own store"
    if "No space left" in text or "os error 28" in text:
        return MachineError(
            said, cause="the disk is full", fix="free some space, then run it again"
        )
    if "mismatch" in text or "sha256" in text:
        return IntegrityError(said, fix=own)
    return _refusal(text.strip(), what, own) or PixiGaveUp(f"{what}; {fix}")

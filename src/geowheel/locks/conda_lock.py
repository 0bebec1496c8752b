"""conda-lock.yml beside pixi.lock: the same packages, for people who install with conda-lock.

It is rendered from the finished pixi.lock through conda-lock's own model (geowheel's extra
`conda-lock`), so the two never come from different solves. It has one environment, the one that
[tool.geowheel] names. Reading one needs no extra: py-rattler knows conda-lock's format 1, and calls
its environment `default`.
"""

from __future__ import annotations

import importlib.metadata
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geowheel.digest import digest
from geowheel.errors import Fault, LockError, MachineError, some
from geowheel.project.manifest import Manifest
from geowheel.targets import Platform

from .channels import configured_channels
from .native_stack import name_of
from .pixi_lock import locked_channels, read_lock, records

if TYPE_CHECKING:
    from rattler import LockFile, RepoDataRecord

FILE_NAME: Final = "conda-lock.yml"
ENVIRONMENT: Final = "default"
"""What py-rattler calls the one environment of a conda-lock.yml."""
INSTALL: Final = "pip install 'geowheel[conda-lock]'"
_MAJOR: Final = "4"
_SIGN: Final = "# Written by geowheel"
_HEADER: Final = f"""\
{_SIGN} (`geowheel lock`) from pixi.lock, which stays the original. Do not edit it.
# Install it as an environment: conda-lock install -n NAME {FILE_NAME}
"""

Content = frozenset[tuple[str, str, str, str, str]]
"""Platform, name, URL with version and build, sha256 and md5 of every package."""


def lacking() -> str | None:
    """Return why conda-lock's model cannot be used; None when it can. Imports none of it."""
    try:
        found = importlib.metadata.version("conda-lock")
    except importlib.metadata.PackageNotFoundError:
        return "conda-lock is not installed"
    if found.partition(".")[0] != _MAJOR:
        return f"conda-lock {found} is installed, its model is known for {_MAJOR}.x"
    return None


def is_ours(path: Path) -> bool:
    """Return whether geowheel wrote it: somebody else's is never overwritten."""
    return path.read_text(encoding="utf-8", errors="replace").startswith(_SIGN)


def refuse_what_would_be_lost(manifest: Manifest) -> None:
    """Raise where `lock` would leave a conda-lock.yml stale, or overwrite somebody else's.

    LockError for one that geowheel did not write, MachineError when the extra is not installed.
    """
    path = manifest.conda_lock_path
    if not path.is_file():
        return
    if not is_ours(path):
        raise LockError(
            "it would be overwritten, and geowheel did not write it",
            where=str(path),
            cause="it was made by conda-lock itself, or for something else",
            fix=f"remove or rename it; `geowheel lock` writes {FILE_NAME} from pixi.lock",
        )
    if reason := lacking():
        raise MachineError(
            f"it would no longer be what pixi.lock says: {reason}",
            where=str(path),
            cause="geowheel's extra conda-lock is what writes it",
            fix=f"{INSTALL}; or remove the file",
        )


def content(lock: LockFile, environment: str, platforms: Iterable[Platform], path: Path) -> Content:
    """List what a lock, pixi's or conda-lock's, has for an environment on these platforms.

    Raises LockError when one of them is not locked.
    """
    return frozenset(
        (
            str(platform),
            record.name.normalized,
            f"{record.url} {record.version} {record.build}",
            (record.sha256 or b"").hex(),
            (record.md5 or b"").hex(),
        )
        for platform in platforms
        for record in records(lock, environment, platform, path)
    )


def stale(manifest: Manifest, environment: str) -> list[Fault]:
    """Say where conda-lock.yml is not what `lock` would write for this pixi.lock; needs no extra.

    A missing one counts where the extra is installed: it is asked for by that.
    """
    path = manifest.conda_lock_path
    if not path.is_file():
        missing = Fault(
            what=f"there is no {FILE_NAME}",
            where=str(path),
            cause="the extra conda-lock is installed, and with it `lock` writes one",
            fix="run `geowheel lock`",
        )
        return [] if lacking() else [missing]
    platforms = manifest.platforms_of(environment)
    pixi_lock = manifest.lock_path
    try:
        pixis = content(read_lock(pixi_lock), environment, platforms, pixi_lock)
        found = content(read_lock(path), ENVIRONMENT, platforms, path)
    except LockError as error:
        return list(error.faults)
    if changed := difference(pixis, found):
        what = f"it differs from pixi.lock in {some(changed)}"
    elif is_ours(path) and written_hashes(path) != input_hashes(manifest, environment):
        what = f"it was written for another {manifest.path.name}"
    else:
        return []
    fix = "run `geowheel lock`" if is_ours(path) else "remove one of the two"
    return [Fault(what=what, where=str(path), cause="only one of the two was renewed", fix=fix)]


def difference(one: Content, other: Content) -> list[str]:
    """Return `linux-64 libz` of every package in which two locks differ."""
    return sorted({f"{package[0]} {package[1]}" for package in one ^ other})


def input_hashes(manifest: Manifest, environment: str) -> dict[str, str]:
    """Return, by platform, a digest of what was asked for: `metadata.content_hash`."""
    found = {}
    for platform in manifest.platforms_of(environment):
        spec = manifest.environment(environment, platform)
        channels = configured_channels(spec.channels, manifest.path.parent)
        wanted = tuple((item.name, item.text) for item in spec.specs)
        urls = tuple(channel.url for channel in channels)  # never a folder's path
        found[str(platform)] = digest((urls, wanted, spec.virtual_packages))
    return found


def written_hashes(path: Path) -> dict[str, str]:
    """Return the `metadata.content_hash` of a file that geowheel wrote; empty where it has none."""
    text = path.read_text(encoding="utf-8")
    block = re.search(r"^  content_hash:\n((?:    .*\n)+)", text, re.MULTILINE)
    lines = re.findall(r"^    ([\w-]+): '?([0-9a-f]{64})'?$", block[1] if block else "", re.M)
    return dict(lines)


def render(lock: LockFile, manifest: Manifest, environment: str) -> str:
    """Render an environment of pixi.lock as conda-lock.yml; the same bytes every time.

    Raises LockError when a package has no md5, which conda-lock's format demands.
    """
    # Loads pydantic, a YAML parser and a copy of Poetry: 0.4 s, for this one command.
    from conda_lock.lockfile import write_conda_lock_file
    from conda_lock.lockfile.v2prelim.models import Lockfile, LockMeta
    from conda_lock.models.channel import Channel

    path = manifest.lock_path
    platforms = manifest.platforms_of(environment)
    every = {platform: records(lock, environment, platform, path) for platform in platforms}
    if without := [
        f"{platform} {record.file_name}"
        for platform, found in every.items()
        for record in found
        if record.md5 is None
    ]:
        raise LockError(
            f"no md5, which {FILE_NAME} cannot be without: {some(without)}",
            where=str(path),
            cause="the channel's index gives none",
            fix=f"index the channel again, then run `geowheel lock`; or remove {FILE_NAME}",
        )
    # Channel.from_string would look for parts of a URL in this machine's environment variables.
    channels = [Channel(url=url, used_env_vars=()) for url in locked_channels(lock, environment)]
    rendered = Lockfile(
        package=[_locked(record, platform) for platform in platforms for record in every[platform]],
        metadata=LockMeta(
            content_hash=input_hashes(manifest, environment),
            channels=channels,
            platforms=sorted(platforms),
            sources=[manifest.path.name],
        ),
    )
    with tempfile.TemporaryDirectory(prefix="geowheel-") as scratch:
        part = Path(scratch, FILE_NAME)
        # Its own comment tells people to solve again with conda-lock, which reads no pixi.toml.
        write_conda_lock_file(rendered, part, None, include_help_text=False)
        return _HEADER + part.read_text(encoding="utf-8")


def _locked(record: RepoDataRecord, platform: Platform) -> Any:
    """Make conda-lock's LockedDependency; a noarch package is of the platform that locks it."""
    from conda_lock.lockfile.v2prelim.models import HashModel, LockedDependency

    return LockedDependency(
        name=record.name.normalized,
        version=str(record.version),
        manager="conda",
        platform=str(platform),
        dependencies=dependencies(record.depends),
        url=record.url,
        hash=HashModel(md5=(record.md5 or b"").hex(), sha256=(record.sha256 or b"").hex() or None),
        build=str(record.build),
        categories={"main"},
    )


def dependencies(needs: Iterable[str]) -> dict[str, str]:
    """Map each name to one specification: a package may have several, conda-lock's format one.

    `["python >=3.9", "python * *_cp312"]` gives `{"python": ">=3.9 *_cp312"}`.
    """
    found: dict[str, list[str]] = {}
    for need in needs:
        rest = need.partition("::")[2] or need
        wanted = re.sub(r"^[^\s=<>!~\[;]+\s*", "", rest).strip()
        found.setdefault(name_of(need), []).append(wanted)
    return {name: _together(wanted) for name, wanted in found.items()}


def _together(wanted: Sequence[str]) -> str:
    """Return one specification for several of one name."""
    distinct = list(dict.fromkeys(text for text in wanted if text not in ("", "*")))
    if len(distinct) < 2:
        return distinct[0] if distinct else wanted[0]
    versions, builds = [], []
    for text in distinct:
        version, _, build = text.partition(" ")
        if version not in ("", "*"):
            versions.append(f"({version})" if "|" in version else version)
        builds += [build] if build else []
    # Two patterns for one build string cannot be written; what is locked fits both anyway.
    return " ".join([",".join(dict.fromkeys(versions)) or "*", *builds[:1]])

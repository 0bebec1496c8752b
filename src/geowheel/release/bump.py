"""`geowheel bump`: a new version, in its one source and in the changelog, both or neither.

Nothing is committed and nothing tagged: what comes next is said. Changes of the same files that
are not committed are no reason to refuse (who just wrote the changelog has them): none is lost, and
they are named, since they go into the same commit.
"""

from __future__ import annotations

import datetime
import enum
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from geowheel.console import Console
from geowheel.errors import ConfigError, GeowheelError, LockError, UsageError
from geowheel.host.config import TABLE, Release
from geowheel.host.edits import Change, write
from geowheel.host.files import git_changed, git_tags
from geowheel.host.project import Project
from geowheel.host.pyproject import is_pure, read_toml, release_from
from geowheel.native.locks import locks_at_hand

from .changelog import Changelog, read_changelog, released
from .versions import Origin, VersionSource, version_source, versions_of_tags, with_version


class Part(enum.StrEnum):
    """What of a version is raised by one."""

    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"
    POST = "post"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the command line asks for; with neither, the version that the source says."""

    version: str | None = None
    part: Part | None = None
    date: datetime.date
    only_show: bool = False


@dataclass(frozen=True, kw_only=True)
class Released:
    """What is released: a host project, or a project of pure Python such as geowheel itself."""

    folder: Path
    release: Release
    environ: Mapping[str, str]
    gdal_version: Callable[[], str]
    """GDAL's version by the lock; raises LockError."""

    @property
    def changelog(self) -> Path:
        return self.folder / self.release.changelog


@dataclass(frozen=True, kw_only=True)
class Bump:
    """What is to be done, and why."""

    version: Version
    now: str | None
    """The version that the source says now; None where it only says whom it follows."""
    source: VersionSource
    changes: tuple[Change, ...]
    news: str


def what_is_released(
    folder: Path, environ: Mapping[str, str], open_host: Callable[[], Project]
) -> Released:
    """The project in a folder, opened by `open_host` where it has a table of ours.

    Raises ConfigError for a pyproject.toml that cannot be followed.
    """
    path = folder / "pyproject.toml"
    if is_pure(data := read_toml(path)):
        release = release_from(data, path)
        return Released(folder=folder, release=release, environ=environ, gdal_version=_no_gdal)
    project = open_host()
    return Released(
        folder=project.folder, release=project.config.release, environ=environ,
        gdal_version=lambda: gdal_version_at_hand(project),
    )  # fmt: skip


def gdal_version_at_hand(project: Project) -> str:
    """GDAL's version by the locks of all platforms; raises LockError for none or several."""
    platforms = project.manifest.platforms_of(project.config.environment)
    found = [locks_at_hand(project, platform) for platform in platforms]
    versions = sorted({locks.stack.gdal_version for locks in found if locks is not None})
    if len(versions) != 1:
        raise LockError(
            f"GDAL is locked as {' and as '.join(versions)}" if versions else "there is no lock",
            where=str(project.manifest.lock_path),
            cause="the version of the wheels is to be GDAL's",
            fix="run `nox -s lock`",
        )
    return versions[0]


def bump(project: Released, wish: Wish, console: Console) -> dict[str, Any]:
    """Show what changes, and change it unless it is only shown; the summary for --json.

    Raises UsageError or ConfigError with every reason against it, and what `write` raises.
    """
    planned = plan(project, wish)
    _show(project, planned, wish, console)
    if not wish.only_show:
        write(planned.changes, project.folder, command="geowheel bump")
    _say_next(project, planned, wish, console)
    return {
        "version": str(planned.version),
        "before": planned.now,
        "date": str(wish.date),
        "files": [str(project.folder / change.path) for change in planned.changes],
        "written": not wish.only_show,
    }


def plan(project: Released, wish: Wish) -> Bump:
    """What `bump` would do; reads only. Raises as it does."""
    source = version_source(project.folder / "pyproject.toml", project.release)
    changelog = read_changelog(project.changelog)
    now = source.version
    if source.origin is Origin.GIT:
        tagged = versions_of_tags(git_tags(project.folder, project.environ))
        now = str(max(tagged)) if tagged else None
    version = next_version(wish, source.origin, now, changelog, project.gdal_version)
    errors: list[GeowheelError] = []
    text = changelog.text
    try:
        _check_newer(version, source.origin, now, changelog)
    except UsageError as error:
        errors.append(error)
    try:
        text = released(changelog, str(version), wish.date)
    except ConfigError as error:
        errors.append(error)
    if errors:
        raise type(errors[0])([fault for error in errors for fault in error.faults])
    # The changelog last: where a bump was killed in between, the same one again does the rest.
    path = Path(os.path.relpath(changelog.path, project.folder)).as_posix()
    edit = with_version(source, version, project.folder)
    moved = Change(path=path, before=changelog.text, after=text)
    news = changelog.unreleased.text if changelog.unreleased else ""
    changes = (moved,) if edit is None else (edit, moved)
    return Bump(version=version, now=now, source=source, changes=changes, news=news)


def next_version(
    wish: Wish,
    origin: Origin,
    now: str | None,
    changelog: Changelog,
    gdal_version: Callable[[], str],
) -> Version:
    """The version that is asked for; raises UsageError for one that makes no sense here.

    Parts are raised from the newest version in the changelog; from the source's, where it has none.
    """
    newest = max(changelog.versions, default=None)
    if origin is Origin.GDAL:
        return _following(wish, Version(gdal_version()), newest)
    if wish.version is not None:
        return _parsed(wish.version)
    before = newest or (Version(now) if now is not None else None)
    if wish.part is not None and before is not None:
        return raised(before, wish.part)
    said = Version(now) if now is not None and wish.part is None else None
    if said is not None and not said.is_devrelease and (newest is None or said > newest):
        return said
    raise UsageError(
        f"which version comes after {before}?" if before else "which version is the first one?",
        where=str(changelog.path),
        fix="name it, or say --major, --minor, --patch or --post"
        if before
        else "name it: geowheel bump 0.1.0",
    )


def raised(version: Version, part: Part) -> Version:
    """The next version; of a pre-release the one that it leads to, where that is large enough."""
    numbers = [*version.release, 0, 0, 0][: max(3, len(version.release))]
    epoch = f"{version.epoch}!" if version.epoch else ""
    if part is Part.POST:
        return Version(f"{version.public.partition('.post')[0]}.post{(version.post or 0) + 1}")
    index = {Part.MAJOR: 0, Part.MINOR: 1, Part.PATCH: 2}[part]
    led_to = version.is_prerelease and not any(numbers[index + 1 :])
    if not led_to:
        numbers = [*numbers[:index], numbers[index] + 1, *(0 for _ in numbers[index + 1 : 3])]
    return Version(epoch + ".".join(map(str, numbers)))


def _following(wish: Wish, gdal: Version, newest: Version | None) -> Version:
    """The version of wheels that carry this GDAL: its own, or one with a post number."""
    again = newest is not None and _without_post(newest) == gdal
    if wish.part is Part.POST and newest is not None and again:
        return raised(newest, Part.POST)
    if wish.part is None and wish.version is None and not again:
        return gdal
    if wish.version is not None and _without_post(_parsed(wish.version)) == gdal:
        return _parsed(wish.version)
    asked = f"--{wish.part}" if wish.part else wish.version
    raise UsageError(
        f"{asked} does not fit: the version follows GDAL's, which is {gdal}"
        if asked
        else f"{newest} was released with this GDAL already",
        cause='[tool.geowheel.release] version = "gdal"',
        fix="say --post for another build of the same GDAL; lock another GDAL for another version"
        if again
        else "say no version: geowheel bump",
    )


def _without_post(version: Version) -> Version:
    return Version(version.public.partition(".post")[0])


def _parsed(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        raise UsageError(f"{text!r} is no version (PEP 440)", fix="write it as 1.2.0") from None


def _check_newer(version: Version, origin: Origin, now: str | None, changelog: Changelog) -> None:
    """Newer than all that were released; the source may say it already, where nobody got it."""
    newest = max(changelog.versions, default=None)
    if newest is not None and version <= newest:
        raise UsageError(f"{version} is not newer than {newest}", where=str(changelog.path))
    behind = now is not None and version < Version(now)
    tagged = origin is Origin.GIT and now is not None and version == Version(now)
    if behind or tagged:
        raise UsageError(f"{version} is not newer than {now}, which {origin} says")


def _show(project: Released, planned: Bump, wish: Wish, console: Console) -> None:
    console.header(f"{planned.now or planned.source.origin} -> {planned.version}")
    rows = [
        ["version", str(planned.source.origin), _where(planned, project)],
        ["changelog", f"Unreleased becomes {planned.version} - {wish.date}",
         planned.changes[-1].path],
    ]  # fmt: skip
    console.table("what changes", ["", "what", "where"], rows)
    for line in planned.news.splitlines():
        console.line(f"  {line}")
    paths = [change.path for change in planned.changes]
    for path in git_changed(project.folder, project.environ, paths):
        console.warn(f"{path} has changes that are not committed: they go into the same commit")


def _where(planned: Bump, project: Released) -> str:
    if len(planned.changes) > 1:
        return planned.changes[0].path
    if planned.source.origin is Origin.GIT:
        return "in no file: the tag is the version"
    said = os.path.relpath(planned.source.path, project.folder)
    return f"{said}, where nothing has to change"


def _say_next(project: Released, planned: Bump, wish: Wish, console: Console) -> None:
    console.line()
    if wish.only_show:
        console.line("nothing was written: --dry-run")
        return
    files = " ".join(change.path for change in planned.changes)
    console.line(f"next, in {project.folder}:")
    console.line(f"  git commit -m 'Version {planned.version}' {files}")
    if planned.source.origin is Origin.GIT:
        console.line(
            f"  git tag v{planned.version}     before the wheels are made: it is their version"
        )


def _no_gdal() -> str:
    raise ConfigError(f"no [{TABLE}] table: a project without a GDAL cannot follow its version")

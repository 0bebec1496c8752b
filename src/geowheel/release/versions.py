"""Where a project's version comes from, which one its wheels have, and how it is changed there.

There is one source, which the build backend reads as well: `[project] version`, a file that
hatchling or setuptools reads, a git tag, or the locked GDAL. Nothing here is run or imported.
"""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from geowheel.errors import ConfigError
from geowheel.host.config import Follows, Release
from geowheel.host.edits import Change
from geowheel.host.files import git_tags
from geowheel.host.project import Project
from geowheel.host.pyproject import parse_toml
from geowheel.stages.build import GDAL_VERSION_VARIABLE, HOST_VERSION_VARIABLE

# hatchling's own, for `source = "regex"` without a pattern:
# https://hatch.pypa.io/latest/plugins/version-source/regex/
_HATCH: Final = r"(?i)^(__version__|VERSION)(?: ?: ?str)? *= *(['\"])v?(?P<version>.+?)\2"
# setuptools-scm's default, which hatch-vcs takes over:
# https://setuptools-scm.readthedocs.io/en/latest/config/ (tag_regex)
_TAG: Final = re.compile(r"(?:[\w-]+-)?(?P<version>[vV]?\d+(?:\.\d+){0,2}[^+]*)(?:\+.*)?")
_FROM_GIT: Final = frozenset({"setuptools-scm", "hatch-vcs"})


class Origin(enum.StrEnum):
    """The one place that a version comes from."""

    TABLE = "[project] version"
    FILE = "a file that the build backend reads"
    GIT = "a git tag"
    GDAL = "the locked GDAL"


@dataclass(frozen=True, kw_only=True)
class VersionSource:
    """Where the version is said, and what is said there."""

    origin: Origin
    pyproject: Path
    path: Path
    """The file that a new version is written to; for a git tag nothing is."""
    text: str
    """That file's own text."""
    version: str | None
    """What it says; None where it only says whom the version follows."""
    release: Release
    pattern: str = ""
    """Of a file: the regular expression whose group `version` is replaced."""


def version_of(project: Project, gdal_version: str) -> str:
    """The version of the wheels that carry this GDAL, as PEP 440 spells it.

    Raises ConfigError as `version_source` does, and for a version from git where HEAD has no tag.
    """
    source = version_source(project.host.path, project.config.release)
    if source.origin is Origin.GDAL:
        return str(Version(source.release.following(gdal_version) or gdal_version))
    if source.origin is Origin.GIT:
        tags = git_tags(project.folder, project.machine.environ, at_head=True)
        versions = versions_of_tags(tags)
        if not versions:
            raise ConfigError(
                "the version comes from git, and HEAD has no tag of one",
                where=str(project.host.path),
                fix="commit everything, then tag that commit: git tag v1.2.0",
            )
        return str(max(versions))
    assert source.version is not None
    return str(Version(source.version))


def versions_of_tags(tags: Sequence[str]) -> list[Version]:
    """The versions that tags name as setuptools-scm reads them; other tags name none."""
    matches = (_TAG.fullmatch(tag) for tag in tags)
    texts = [match["version"] for match in matches if match]
    return [Version(text) for text in texts if _is_version(text)]


def version_source(pyproject: Path, release: Release) -> VersionSource:
    """The one source of the version of the project in that file's folder.

    Raises ConfigError where there is none that is understood, where what it says is no version
    (PEP 440), and where the host is to follow GDAL and has a version of its own as well.
    """
    text = _read(pyproject)
    data = parse_toml(text, pyproject)
    found = _find(pyproject, text, data, release)
    if release.version is Follows.GDAL and found is not None and found.origin is not Origin.GDAL:
        raise ConfigError(
            f'two sources of the version: {found.origin}, and release.version = "gdal"',
            where=str(pyproject),
            fix='say dynamic = ["version"] in [project] and have the build backend read '
            f'{HOST_VERSION_VARIABLE}; or remove version = "gdal"',
        )
    if found is None and release.version is Follows.GDAL:
        # A setup.py or another plugin reads the variable; `build` checks what came of it.
        return _follows_gdal(pyproject, text, release)
    if found is None:
        raise ConfigError(
            "geowheel does not know where this project's version comes from",
            where=str(pyproject),
            cause="it is dynamic, and the build backend is told where by something else than "
            "[tool.hatch.version], [tool.setuptools.dynamic], setuptools-scm or hatch-vcs",
            fix="write it to [project] version, or let one of these read it",
        )
    if found.version is not None and not _is_version(found.version):
        raise ConfigError(f"{found.version!r} is no version (PEP 440)", where=str(found.path))
    return found


def with_version(source: VersionSource, version: Version, folder: Path) -> Change | None:
    """The one edit that makes this the version, below `folder`; None where no file says it.

    Raises ConfigError for a version that the source cannot say.
    """
    if source.origin is Origin.GIT:
        return None
    if source.origin is Origin.FILE:
        found = _search(source.pattern, source.text)
        assert found is not None
        start, end = found.span("version")
        after = source.text[:start] + str(version) + source.text[end:]
    elif source.origin is Origin.TABLE:
        after = _with_table_version(source, version)
    else:
        after = _with_post(source, version.post or 0)
    if after == source.text:
        return None
    path = Path(os.path.relpath(source.path, folder)).as_posix()
    return Change(path=path, before=source.text, after=after)


def _find(
    pyproject: Path, text: str, data: Mapping[str, Any], release: Release
) -> VersionSource | None:
    static = data.get("project", {}).get("version")
    if isinstance(static, str):
        return VersionSource(
            origin=Origin.TABLE, pyproject=pyproject, path=pyproject, text=text, version=static,
            release=release,
        )  # fmt: skip
    if _backend(data).startswith("hatchling"):
        hatch = _table(data, "tool", "hatch", "version")
        kind = hatch.get("source", "regex")
        variables = (GDAL_VERSION_VARIABLE, HOST_VERSION_VARIABLE)
        if kind == "env" and hatch.get("variable") in variables:
            return _from_variable(hatch["variable"], pyproject, text, release)
        if kind == "regex" and isinstance(hatch.get("path"), str):
            pattern = hatch.get("pattern")
            pattern = pattern if isinstance(pattern, str) else _HATCH
            return _from_file(pyproject, hatch["path"], pattern, release)
        if kind == "vcs":
            return _from_git(pyproject, text, release)
        return None
    if _backend(data).startswith("setuptools"):
        said = _table(data, "tool", "setuptools", "dynamic", "version").get("file")
        if isinstance(said, str):
            return _from_file(pyproject, said, r"\A\s*(?P<version>\S+)\s*\Z", release)
    required = {_name(text) for text in data.get("build-system", {}).get("requires", [])}
    return _from_git(pyproject, text, release) if required & _FROM_GIT else None


def _from_variable(variable: str, pyproject: Path, text: str, release: Release) -> VersionSource:
    follows = release.version is Follows.GDAL
    if variable == HOST_VERSION_VARIABLE and not follows:
        what = f'{variable} is only set with release.version = "gdal"'
        fix = 'add [tool.geowheel.release] with version = "gdal"'
        raise ConfigError(what, where=str(pyproject), fix=fix)
    if variable == GDAL_VERSION_VARIABLE and release.post:
        raise ConfigError(
            f"{variable} has no post number",
            where=str(pyproject),
            fix=f'set variable = "{HOST_VERSION_VARIABLE}" in [tool.hatch.version]',
        )
    return _follows_gdal(pyproject, text, release)


def _follows_gdal(pyproject: Path, text: str, release: Release) -> VersionSource:
    return VersionSource(
        origin=Origin.GDAL, pyproject=pyproject, path=pyproject, text=text, version=None,
        release=release,
    )  # fmt: skip


def _from_git(pyproject: Path, text: str, release: Release) -> VersionSource:
    return VersionSource(
        origin=Origin.GIT, pyproject=pyproject, path=pyproject, text=text, version=None,
        release=release,
    )  # fmt: skip


def _from_file(pyproject: Path, name: str, pattern: str, release: Release) -> VersionSource:
    path = pyproject.parent / name
    text = _read(path)
    found = _search(pattern, text)
    if found is None:
        raise ConfigError(
            "no version in it",
            where=str(path),
            cause=f"{pyproject.name} names it as the place of the version",
            fix='add a line such as __version__ = "0.1.0"',
        )
    return VersionSource(
        origin=Origin.FILE, pyproject=pyproject, path=path, text=text, version=found["version"],
        release=release, pattern=pattern,
    )  # fmt: skip


def _search(pattern: str, text: str) -> re.Match[str] | None:
    """As hatchling searches; None as well for an expression that is none or has no such group."""
    try:
        found = re.search(pattern, text, flags=re.MULTILINE)
    except re.error:
        return None
    return found if found and found.groupdict().get("version") else None


def _with_table_version(source: VersionSource, version: Version) -> str:
    def wanted(data: dict[str, Any]) -> None:
        data["project"]["version"] = str(version)

    spelled = re.compile(r"""(\bversion\b["']?\s*=\s*)(["'])[^"'\n]*\2""")
    after = (
        _replaced(source.text, found, f"{found[1]}{found[2]}{version}{found[2]}")
        for found in spelled.finditer(source.text)
    )
    return _the_one(source, after, wanted, f'version = "{version}" in [project]')


def _with_post(source: VersionSource, post: int) -> str:
    if source.release.post == post:
        return source.text

    def wanted(data: dict[str, Any]) -> None:
        data["tool"]["geowheel"]["release"]["post"] = post

    return _the_one(
        source, _post_candidates(source.text, post), wanted,
        f'post = {post}, and version = "gdal", in [tool.geowheel.release]',
    )  # fmt: skip


def _post_candidates(text: str, post: int) -> Iterator[str]:
    """Texts with the number somewhere: in the place of another one, or after `version = "gdal"`."""
    for found in re.finditer(r"(\bpost\s*=\s*)\d+", text):
        yield _replaced(text, found, f"{found[1]}{post}")
    end = "\r\n" if "\r\n" in text else "\n"
    for found in re.finditer(r"""\bversion\s*=\s*(["'])gdal\1""", text):
        yield _replaced(text, found, f"{found[0]}{end}post = {post}")
        yield _replaced(text, found, f"{found[0]}, post = {post}")


def _the_one(
    source: VersionSource,
    candidates: Iterator[str],
    change: Callable[[dict[str, Any]], None],
    words: str,
) -> str:
    """The candidate that says what is wanted and nothing else than before: TOML is asked, no guess.

    Raises ConfigError when there is none.
    """
    data = parse_toml(source.text, source.path)
    try:
        change(data)
    except KeyError:
        candidates = iter(())
    for text in candidates:
        try:
            if parse_toml(text, source.path) == data:
                return text
        except ConfigError:
            continue
    raise ConfigError("the version has no place that can be edited", where=str(source.path),
                      fix=f"write {words} by hand")  # fmt: skip


def _replaced(text: str, found: re.Match[str], new: str) -> str:
    return text[: found.start()] + new + text[found.end() :]


def _read(path: Path) -> str:
    """The text with the line ends that it has."""
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ConfigError("there is no such file", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8: {error}", where=str(path)) from None


def _table(data: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    found: Any = data
    for name in names:
        found = found.get(name, {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}


def _backend(data: Mapping[str, Any]) -> str:
    # PEP 517: what a project without the table gets.
    return str(_table(data, "build-system").get("build-backend", "setuptools.build_meta"))


def _name(requirement: str) -> str:
    return canonicalize_name(Requirement(requirement).name)


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True

"""CHANGELOG.md as Keep a Changelog 1.1.0 has it: read, and Unreleased moved to a version.

https://keepachangelog.com/en/1.1.0/: one heading of the second level for each version, newest
first, its date in ISO 8601; groups by kind of change; link references at the end.
"""

from __future__ import annotations

import datetime
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.version import InvalidVersion, Version

from geowheel.errors import ConfigError, Fault

GROUPS: Final = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
UNRELEASED: Final = "Unreleased"

# Markdown ends lines with these alone; str.splitlines() knows more.
_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_HEADING: Final = re.compile(r" {0,3}##(?!#)(?P<text>.*)")
_GROUP: Final = re.compile(r" {0,3}###(?!#)(?P<text>.*)")
_FENCE: Final = re.compile(r" {0,3}(?P<mark>`{3,}|~{3,})(?P<more>.*)")
_REFERENCE: Final = re.compile(r" {0,3}\[(?P<name>[^\]]+)\]:\s*(?P<url>\S+).*")
_NAME: Final = r"(?:\[(?P<linked>[^\]]+)\](?:\([^)]*\))?|(?P<plain>[^\s\[\]]+))"
_TITLE: Final = re.compile(
    rf"{_NAME}(?:\s+-\s+(?P<date>\S+)(?P<yanked>\s+\[YANKED\])?)?", re.IGNORECASE
)
_COMMENT: Final = re.compile(r"<!--.*?-->", re.DOTALL)
_COMPARISON: Final = re.compile(r"(?P<start>\S*/compare/)(?P<tag>\S+?)\.\.\.HEAD")
_WANTED: Final = "## [1.2.0] - 2026-11-21"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What changed in one version, or since the last one."""

    version: str
    """As it is written; `Unreleased` for what is not released."""
    date: datetime.date | None
    """None only for Unreleased."""
    text: str
    """Everything below the heading, without the empty lines and link references around it."""
    introduction: str
    """What stands before the first group."""
    groups: Mapping[str, str]
    """The text below each heading of the third level, in the order of the file."""
    line: int
    """Where the heading is, counted from 1."""
    yanked: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing: headings and comments are no news."""
        said = (self.introduction, *self.groups.values())
        return not any(_COMMENT.sub("", text).strip() for text in said)


@dataclass(frozen=True, kw_only=True)
class Changelog:
    """A changelog that was understood as a whole."""

    path: Path
    text: str
    """The file's own text, byte for byte."""
    entries: tuple[Entry, ...]
    links: Mapping[str, str]
    """Link references at the end, by their name in lower case."""

    @property
    def unreleased(self) -> Entry | None:
        """What is not released yet; None where there is no such heading."""
        return next((entry for entry in self.entries if entry.version == UNRELEASED), None)

    @property
    def versions(self) -> tuple[Version, ...]:
        """The released versions, in the order of the file."""
        return tuple(Version(e.version) for e in self.entries if e.version != UNRELEASED)

    def entry(self, version: str) -> Entry | None:
        """The entry of a version, however it is spelled (PEP 440); None where there is none."""
        wanted = Version(version)
        released = (entry for entry in self.entries if entry.version != UNRELEASED)
        return next((entry for entry in released if Version(entry.version) == wanted), None)


def read_changelog(path: Path) -> Changelog:
    """The changelog in a file; raises ConfigError when it is missing, and as `parse_changelog`."""
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(
            "there is no changelog",
            where=str(path),
            fix="write one as https://keepachangelog.com/en/1.1.0/ has it: a title, and "
            f"## [{UNRELEASED}] with what changed",
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8: {error}", where=str(path)) from None
    return parse_changelog(text, path)


def parse_changelog(text: str, path: Path) -> Changelog:
    """What the text of a changelog says; `path` is for messages.

    Raises ConfigError with every malformed or repeated heading, by file and line.
    """
    lines = _LINE.findall(text)
    faults: list[Fault] = []
    starts = list(_headings(lines, _HEADING))
    end = _references(lines)
    bounds = [*(number for number, _ in starts), end]
    entries: list[Entry] = []
    for (number, title), following in zip(starts, bounds[1:], strict=True):
        body = lines[number + 1 : following]
        entry = _entry(title, body, number + 1, path, faults)
        if entry is not None:
            entries.append(entry)
    faults += _repeated(entries, path)
    if faults:
        raise ConfigError(faults)
    return Changelog(path=path, text=text, entries=tuple(entries), links=_links(lines[end:]))


def released(changelog: Changelog, version: str, date: datetime.date) -> str:
    """The changelog's text with all of Unreleased moved to a version; every other byte stays.

    A comparison link of Unreleased (`.../compare/v1.1.0...HEAD`) goes on from the new version,
    which gets one of its own. Raises ConfigError when nothing is unreleased, or the version is
    there.
    """
    if (there := changelog.entry(version)) is not None:
        raise ConfigError(f"{version} is in it already", where=f"{changelog.path}:{there.line}")
    unreleased = changelog.unreleased
    if unreleased is None or unreleased.is_empty:
        raise ConfigError(
            "nothing is unreleased",
            where=f"{changelog.path}:{unreleased.line}" if unreleased else str(changelog.path),
            cause=f"what changed since the last version was not written below ## [{UNRELEASED}]",
            fix="write there, for the people who use it, what changed",
        )
    lines = _LINE.findall(changelog.text)
    number = unreleased.line - 1
    end = _ending(lines[number])
    name = f"[{version}]" if "[" in lines[number] else version  # as this project writes them
    lines[number] = lines[number].rstrip("\r\n") + f"{end * 2}## {name} - {date}{end}"
    _relink(lines, changelog, version)
    return "".join(lines)


def _headings(lines: Sequence[str], pattern: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    """Index and text of each heading that is no part of a code block or comment."""
    fence = ""
    commented = False
    for number, line in enumerate(lines):
        plain = line.rstrip("\r\n")
        found = _FENCE.match(plain)
        if fence:
            closes = found and found["mark"].startswith(fence) and not found["more"].strip()
            fence = "" if closes else fence
        elif commented:
            commented = "-->" not in plain
        elif found:
            fence = found["mark"]
        elif heading := pattern.fullmatch(plain):
            yield number, heading["text"]
        else:
            commented = plain.rfind("<!--") > plain.rfind("-->")


def _references(lines: Sequence[str]) -> int:
    """Where the block of link references at the end begins; the number of lines without one."""
    begin = len(lines)
    for number in range(len(lines) - 1, -1, -1):
        if _REFERENCE.fullmatch(lines[number].rstrip("\r\n")):
            begin = number
        elif lines[number].strip():
            break
    return begin


def _links(lines: Sequence[str]) -> dict[str, str]:
    matches = (_REFERENCE.fullmatch(line.rstrip("\r\n")) for line in lines)
    return {match["name"].lower(): match["url"] for match in matches if match}


def _entry(
    title: str, body: Sequence[str], line: int, path: Path, faults: list[Fault]
) -> Entry | None:
    """One entry; None, and a fault, for a heading that is none."""
    where = f"{path}:{line}"
    groups: dict[str, str] = {}
    found = [(number, name.strip()) for number, name in _headings(body, _GROUP)]
    bounds = [*(number for number, _ in found), len(body)]
    for (number, name), following in zip(found, bounds[1:], strict=True):
        if problem := _wrong_group(name, groups):
            faults.append(Fault(what=problem, where=f"{path}:{line + 1 + number}"))
        groups[name] = "".join(body[number + 1 : following]).strip()
    match = _TITLE.fullmatch(title.strip())
    if match is None or not title.startswith((" ", "\t")):
        faults.append(_malformed(title, where))
        return None
    name = match["linked"] or match["plain"]
    unreleased = name.lower() == UNRELEASED.lower()
    date = _date(match["date"])
    if unreleased == bool(match["date"]) or not (unreleased or (date and _is_version(name))):
        faults.append(_malformed(title, where))
        return None
    return Entry(
        version=UNRELEASED if unreleased else name, date=date, line=line,
        text="".join(body).strip(), introduction="".join(body[: bounds[0]]).strip(), groups=groups,
        yanked=bool(match["yanked"]),
    )  # fmt: skip


def _wrong_group(name: str, before: Mapping[str, str]) -> str | None:
    """What is wrong with a group's heading: a second one of the name, or a typing error.

    Kinds of change beyond the six are the project's own business.
    """
    if name in before:
        return f"a second group {name!r} of the same version"
    near = difflib.get_close_matches(name.title(), GROUPS, n=1, cutoff=0.75)
    if near and name not in GROUPS:
        return f"unknown group {name!r}; did you mean {near[0]!r}?"
    return None


def _malformed(title: str, where: str) -> Fault:
    return Fault(
        what=f"{'##' + title.rstrip()!r} is no heading of a version",
        where=where,
        fix=f"write it as {_WANTED}, or ## [{UNRELEASED}] without a date",
    )


def _date(text: str | None) -> datetime.date | None:
    try:
        # fromisoformat() also reads 20261121.
        return datetime.datetime.strptime(text or "", "%Y-%m-%d").date()
    except ValueError:
        return None


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _repeated(entries: Sequence[Entry], path: Path) -> Iterator[Fault]:
    """A fault for each version that is there twice, and for Unreleased below a version."""
    seen: dict[str | Version, Entry] = {}
    for entry in entries:
        name = entry.version
        key = name if name == UNRELEASED else Version(name)
        if key in seen:
            what = f"a second entry of {name}; the first is in line {seen[key].line}"
            yield Fault(what=what, where=f"{path}:{entry.line}")
        elif key == UNRELEASED and seen:
            what = f"{UNRELEASED} comes after a version: the newest comes first"
            yield Fault(what=what, where=f"{path}:{entry.line}")
        seen.setdefault(key, entry)


def _relink(lines: list[str], changelog: Changelog, version: str) -> None:
    """Move the comparison link of Unreleased on, where its tag names the last version."""
    if not changelog.versions:
        return
    last = next(e.version for e in changelog.entries if e.version != UNRELEASED)
    for number in range(_references(lines), len(lines)):
        found = _REFERENCE.fullmatch(lines[number].rstrip("\r\n"))
        link = found and _COMPARISON.fullmatch(found["url"])
        if not found or not link or found["name"].lower() != UNRELEASED.lower():
            continue
        if not link["tag"].endswith(last):
            continue
        tag = link["tag"].removesuffix(last) + version
        end = _ending(lines[number])
        moved = lines[number].rstrip("\r\n").replace(f"{link['tag']}...HEAD", f"{tag}...HEAD")
        own = f"[{version}]: {link['start']}{link['tag']}...{tag}"
        closing = "" if lines[number].rstrip("\r\n") == lines[number] else end
        lines[number] = f"{moved}{end}{own}{closing}"


def _ending(line: str) -> str:
    """How a line ends; of the last one, which may have no end, as Unix ends them."""
    return line[len(line.rstrip("\r\n")) :] or "\n"

"""What a rule is, and what the policy makes of where a wheel breaks it."""

from __future__ import annotations

import datetime
import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from geowheel.errors import ConfigError, nearest
from geowheel.project.config import TABLE, AuditLevel, AuditPolicy

from .content import WheelContent

DATED: Final = "vulnerability"
"""The rule whose exceptions end: what does no harm today may do so tomorrow."""
_UNTIL: Final = re.compile(r"until (\d{4}-\d\d-\d\d)\s*$")


class Mark(NamedTuple):
    """One place where a wheel breaks a rule."""

    words: str
    member: str = ""
    """The path in the wheel; empty where it is about the whole wheel."""
    package: str = ""
    """Name and version; empty: that of the member."""
    names: tuple[str, ...] = ()
    """By which an exception may call it, besides its path and its package."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that a wheel should or should not be."""

    id: str
    """Stable: configurations and SARIF files name it."""
    title: str
    """What a wheel that keeps it is like, in a few words."""
    level: AuditLevel
    """What breaking it counts for, unless the policy says otherwise."""
    prebuilt: AuditLevel | None = None
    """The same for files that others compiled, where that differs."""
    why: str
    remedy: str
    look: Callable[[WheelContent], Iterable[Mark]]
    """Yields the places; every one of them, whatever the policy says."""

    def usual(self, *, prebuilt: bool) -> AuditLevel:
        """Return the level without a policy, for a file that others compiled or another one."""
        return (self.prebuilt or self.level) if prebuilt else self.level


@dataclass(frozen=True, kw_only=True)
class WheelFinding:
    """A place where a wheel breaks a rule, and what the policy makes of it."""

    rule: str
    level: AuditLevel
    """`off` for what an exception allows."""
    wheel: str
    member: str
    package: str
    words: str
    reason: str = ""
    """The exception's."""


def judge(rule: Rule, content: WheelContent, policy: AuditPolicy) -> Iterator[WheelFinding]:
    """Yield the findings of one rule; none where the policy switches it off."""
    if policy.levels.get(rule.id) is AuditLevel.OFF:
        return
    for mark in rule.look(content):
        usual = rule.usual(prebuilt=content.is_prebuilt(mark.member))
        if (level := policy.levels.get(rule.id, usual)) is AuditLevel.OFF:
            continue
        package = mark.package or content.owner(mark.member)
        reason = _allowed(
            rule.id, (*mark.names, mark.member, package, package.partition(" ")[0]), policy
        )
        yield WheelFinding(
            rule=rule.id,
            level=AuditLevel.OFF if reason else level,
            wheel=content.wheel.filename,
            member=mark.member,
            package=package,
            words=mark.words,
            reason=reason,
        )


def _allowed(rule: str, names: Iterable[str], policy: AuditPolicy) -> str:
    """The reason of the exception that fits; empty where none does."""
    names = [name for name in names if name]
    for key, reason in policy.exceptions.items():
        about, _, pattern = key.partition(" ")
        if (
            about == rule
            and until(reason) >= datetime.date.today()
            and any(fnmatch.fnmatchcase(name, pattern) for name in names)
        ):
            return reason
    return ""


def until(reason: str) -> datetime.date:
    """Return the last day of an exception, by "until YYYY-MM-DD" at its end; else the last of all.

    Raises ConfigError for a day that does not exist.
    """
    try:
        return datetime.date.fromisoformat((_UNTIL.findall(reason) or ["9999-12-31"])[0])
    except ValueError as error:
        raise ConfigError(f"[{TABLE}.audit.exceptions] {reason!r}: {error}") from None


def check_policy(policy: AuditPolicy, rules: Sequence[Rule]) -> None:
    """Raise ConfigError for rules that do not exist, and for exceptions without a pattern."""
    known = [rule.id for rule in rules]
    for key in (*policy.levels, *policy.exceptions):
        name, _, pattern = key.partition(" ")
        if name not in known:
            raise ConfigError(
                f"[{TABLE}.audit] there is no rule {name!r}",
                fix=nearest(name, known) or "`geowheel audit --explain RULE` names them all",
            )
        reason = policy.exceptions.get(key)
        if reason and until(reason) == datetime.date.max and name == DATED:
            raise ConfigError(
                f"[{TABLE}.audit.exceptions] {key!r} does not say until when it counts",
                fix='end the reason with the day, such as "no writer is built; until 2027-06-30"',
            )
        if reason and not pattern.strip():
            raise ConfigError(
                f"[{TABLE}.audit.exceptions] {key!r} does not say where the rule may be broken",
                fix=f'write a pattern after it, such as "{name} libcurl", or "{name} *"',
            )

"""What a rule is, and what the policy makes of where a wheel breaks it."""

import datetime
import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from geowheel.errors import ConfigError, nearest
from geowheel.machine.files import table_of
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
    relock: str = ""
    """The package whose newer version mends it, as `lock --upgrade` takes it; empty: none does."""
    command: str = ""
    """The command that brings that version, in backticks."""


Look = Callable[[WheelContent], Iterable[Mark]]
"""Yields every place where a wheel breaks a rule, whatever the policy says."""


@dataclass(frozen=True)
class Rule:
    """A row of rules.toml with its id, and who looks; `prebuilt`: in what others compiled."""

    id: str
    level: AuditLevel
    prebuilt: AuditLevel
    title: str
    why: str
    remedy: str
    look: Look


@dataclass(frozen=True, kw_only=True)
class WheelFinding:
    """A place where a wheel breaks a rule; where an exception allows it, with its reason."""

    rule: str
    level: AuditLevel
    """`off` for what an exception allows."""
    wheel: str
    member: str
    package: str
    words: str
    reason: str
    relock: str = ""
    command: str = ""
    """Both as in Mark."""


def rules_of(looks: Mapping[str, Look]) -> tuple[Rule, ...]:
    """Return the rules of rules.toml, in its order; `looks` has all of them by their ids."""
    kind = dict[str, tuple[AuditLevel, AuditLevel, str, str, str]]
    rows = table_of("audit", "rules.toml", kind)
    return tuple(Rule(id, *row, looks[id]) for id, row in rows.items())


def judge(rule: Rule, content: WheelContent, policy: AuditPolicy) -> Iterator[WheelFinding]:
    """Yield the findings of one rule; none where the policy switches it off."""
    if policy.levels.get(rule.id) is not AuditLevel.OFF:
        yield from weigh(rule, rule.look(content), policy, content)


def weigh(
    rule: Rule, marks: Iterable[Mark], policy: AuditPolicy, content: WheelContent | None = None
) -> Iterator[WheelFinding]:
    """Yield what the policy makes of places; without a wheel they are in a project's own files."""
    today = content.day if content else datetime.date.today()
    for words, member, package, more, relock, command in marks:
        usual = rule.prebuilt if content and content.is_prebuilt(member) else rule.level
        level = policy.levels.get(rule.id, usual)
        owner = package or (content.owner(member) if content else "")
        names = {*more, member, owner, owner.partition(" ")[0]} - {""}
        keys = [f"{rule.id} {name}" for name in names]
        fits = (r for key, r in policy.exceptions.items() if fnmatch.filter(keys, key))
        reason = next((reason for reason in fits if until(reason) >= today), "")
        yield WheelFinding(
            rule=rule.id, level=AuditLevel.OFF if reason else level,
            wheel=content.wheel.filename if content else "", member=member, package=owner,
            words=words, reason=reason, relock=relock, command=command,
        )  # fmt: skip


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
        if name not in known or (key in policy.exceptions and not pattern.strip()):
            raise ConfigError(
                f"[{TABLE}.audit] {key!r} is not a rule, nor a rule and a pattern for an exception",
                fix=nearest(name, known) if name not in known else f'write "{name} libcurl"',
            )
        if name == DATED and until(policy.exceptions.get(key, "")) == datetime.date.max:
            raise ConfigError(
                f"[{TABLE}.audit.exceptions] {key!r} does not say until when it counts",
                fix='end the reason with the day, such as "no writer is built; until 2027-06-30"',
            )

"""The command `audit`: every rule over some wheels, against the policy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from geowheel.errors import AuditError, UsageError
from geowheel.machine.console import Console
from geowheel.machine.files import write
from geowheel.project.config import AuditLevel, AuditPolicy

from .content import opened_wheel
from .outside import Outside
from .registry import RULES, rule_named
from .rules import Rule, WheelFinding, check_policy, judge
from .sarif import sarif_of

_SHOWN = 3  # files of one line


def wheels_of(named: Sequence[Path], dist: Path) -> list[Path]:
    """Return the wheels that are asked for; raises UsageError where there is none."""
    for path in named:
        if not path.is_file():
            raise UsageError("there is no such file", where=str(path), fix="name wheels: FILE.whl")
    found = [path.absolute() for path in named] or sorted(dist.glob("*.whl"))
    if not found:
        raise UsageError(
            "no wheel to look at",
            where=str(dist),
            fix="build one with `geowheel wheel`, or name some: `geowheel audit FILE.whl`",
        )
    return found


def audit(
    wheels: Iterable[Path],
    policy: AuditPolicy,
    console: Console,
    *,
    outside: Outside,
    sarif: Path | None = None,
) -> dict[str, Any]:
    """Show what is wrong with each wheel; the findings as plain values.

    Raises AuditError, with the same values in its note, where a finding's level is error.
    """
    check_policy(policy, RULES)
    findings: list[WheelFinding] = []
    for path in wheels:
        found = judged(path, RULES, policy, outside)
        show(path.name, found, console)
        findings += found
    if sarif is not None:
        write(sarif, json.dumps(sarif_of(findings, RULES), indent=1) + "\n")
    counts = {level: sum(f.level is level for f in findings) for level in AuditLevel}
    summary = {"findings": [asdict(finding) for finding in findings], "counts": counts}
    if counts[AuditLevel.ERROR]:
        error = AuditError(
            f"{counts[AuditLevel.ERROR]} findings that are errors under the policy",
            fix="`geowheel audit --explain RULE` says what to do about one; an exception with its "
            "reason goes into [tool.geowheel.audit.exceptions]",
        )
        error.add_note(json.dumps(summary))
        raise error
    return summary


def judged(
    path: Path, rules: Iterable[Rule], policy: AuditPolicy, outside: Outside
) -> list[WheelFinding]:
    """Return what some rules find in a wheel; raises as `opened_wheel` does."""
    with outside.console.quiet_step("audit") as step, opened_wheel(path, step, outside) as content:
        return [finding for rule in rules for finding in judge(rule, content, policy)]


def show(name: str, findings: Sequence[WheelFinding], console: Console) -> None:
    """One line for each rule, level and package: how many files, and what is wrong there."""
    groups: dict[tuple[str, str, str, str], list[WheelFinding]] = {}
    for item in findings:
        level = f"allowed: {item.reason}" if item.reason else str(item.level)
        groups.setdefault((level, item.rule, item.package, item.words), []).append(item)
    rows = []
    for (level, rule, package, words), items in sorted(groups.items()):
        members = [item.member for item in items if item.member]
        more = f"\nand {len(members) - _SHOWN} more" if len(members) > _SHOWN else ""
        rows.append([level, rule, package, "\n".join(members[:_SHOWN]) + more, words])
    if rows:
        console.table(name, ["level", "rule", "package", "where", "what"], rows)
    else:
        console.result(f"{name}: keeps all {len(RULES)} rules")


def explain_rule(name: str, console: Console) -> dict[str, Any]:
    """Show what a rule is about and its remedy; raises UsageError where there is none such."""
    rule = rule_named(name)
    told = {
        "id": rule.id,
        "title": rule.title,
        "level": str(rule.level),
        "prebuilt": str(rule.usual(prebuilt=True)),
        "why": rule.why,
        "remedy": rule.remedy,
    }
    console.result(f"{rule.id}: {rule.title}")
    console.result(f"  level: {rule.level}; in what others compiled: {told['prebuilt']}")
    console.result(f"  why: {rule.why}")
    console.result(f"  remedy: {rule.remedy}")
    return told

"""The command `audit`: every rule over some wheels, against the policy."""

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
from .platform import platform_facts
from .registry import RULES, rule_named
from .rules import Rule, WheelFinding, check_policy, judge
from .sarif import sarif_of
from .showing import show


def audit(
    wheels: Sequence[Path],
    policy: AuditPolicy,
    console: Console,
    *,
    outside: Outside,
    sarif: Path | None = None,
) -> dict[str, Any]:
    """Show what is wrong with each wheel; facts and findings as plain values.

    Raises AuditError, with the same values in its note, where a finding's level is error, and
    UsageError where there is no wheel.
    """
    check_policy(policy, RULES)
    if not wheels or not all(path.is_file() for path in wheels):
        lost = next((str(path) for path in wheels if not path.is_file()), "dist/")
        fix = "build one with `geowheel wheel`, or name some: `geowheel audit FILE.whl`"
        raise UsageError("there is no wheel", where=lost, fix=fix)
    findings: list[WheelFinding] = []
    told: list[dict[str, Any]] = []
    for path in wheels:
        with console.quiet_step("audit") as step, opened_wheel(path, step, outside) as content:
            facts = platform_facts(content, outside.day)
            found = [finding for rule in RULES for finding in judge(rule, content, policy)]
            show(content, facts, found, console)
        findings += found
        told.append({"wheel": path.name, "platform": asdict(facts)})
    if sarif is not None:
        write(sarif, json.dumps(sarif_of(findings, RULES), indent=1) + "\n")
    counts = {str(level): sum(f.level is level for f in findings) for level in AuditLevel}
    summary = {"wheels": told, "findings": [asdict(f) for f in findings], "counts": counts}
    said = f"errors under the policy: {counts['error']}, warnings: {counts['warn']}"
    if counts[AuditLevel.ERROR]:
        fix = "`geowheel audit --explain RULE`, or an exception in [tool.geowheel.audit.exceptions]"
        error = AuditError(said, fix=fix)
        error.add_note(json.dumps(summary))
        raise error
    console.result(said)
    return summary


def judged(
    path: Path, rules: Iterable[Rule], policy: AuditPolicy, outside: Outside
) -> list[WheelFinding]:
    """Return what some rules find in a wheel; raises as `opened_wheel` does."""
    with outside.console.quiet_step("audit") as step, opened_wheel(path, step, outside) as content:
        return [finding for rule in rules for finding in judge(rule, content, policy)]


def explain_rule(name: str, console: Console) -> dict[str, Any]:
    """Show what a rule is about and its remedy; raises UsageError where there is none such."""
    rule = rule_named(name)
    fields = ("id", "title", "level", "prebuilt", "why", "remedy")
    told = {field: str(getattr(rule, field)) for field in fields}
    for field, text in told.items():
        console.result(f"{field:<10}{text}")
    return told

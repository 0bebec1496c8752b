"""The command `audit`: every rule over some wheels, against the policy."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from geowheel.errors import AuditError, UsageError
from geowheel.machine.console import Console
from geowheel.machine.files import to_json, write
from geowheel.project.config import AuditLevel, AuditPolicy

from . import trust
from .abi import abi_facts
from .content import opened_wheel
from .images import floating
from .outside import Outside
from .platform import platform_facts
from .registry import RULES, rule_named
from .rules import WheelFinding, check_policy, judge, weigh
from .sarif import sarif_of
from .showing import show, show_findings


def audit(
    wheels: Sequence[Path],
    policy: AuditPolicy,
    console: Console,
    *,
    outside: Outside,
    sarif: Path | None = None,
    project: Iterable[Path] = (),
) -> dict[str, Any]:
    """Show what is wrong with each wheel, and with a project's folders; as plain values.

    Raises AuditError, with the same values in its note, where a finding's level is error, and
    UsageError where there is no wheel.
    """
    check_policy(policy, RULES)
    if not wheels or not all(path.is_file() for path in wheels):
        lost = next((str(path) for path in wheels if not path.is_file()), "dist/")
        fix = "build one with `geowheel wheel`, or name some: `geowheel audit FILE.whl`"
        raise UsageError("there is no wheel", where=lost, fix=fix)
    images = (mark for folder in dict.fromkeys(project) for mark in floating(folder))
    findings = [*weigh(rule_named("floating-image"), images, policy)]
    show_findings(findings, console)
    told: list[dict[str, Any]] = []
    for path in wheels:
        with console.quiet_step("audit") as step, opened_wheel(path, step, outside) as content:
            facts, abi = platform_facts(content, outside.day), abi_facts(content)
            found = [finding for rule in RULES for finding in judge(rule, content, policy)]
            show(content, facts, abi, found, console)
        findings += found
        told.append({"wheel": path.name, "platform": asdict(facts), "python": asdict(abi)})
    if sarif is not None:
        write(sarif, to_json(sarif_of(findings, RULES)))
    counts = {str(level): sum(f.level is level for f in findings) for level in AuditLevel}
    summary = {"wheels": told, "findings": [asdict(f) for f in findings], "counts": counts}
    said = f"errors under the policy: {counts['error']}, warnings: {counts['warn']}"
    if counts[AuditLevel.ERROR]:
        fix = "`geowheel audit --explain RULE`, or an exception in [tool.geowheel.audit.exceptions]"
        raise AuditError(said, fix=fix).with_facts(summary)
    console.result(said)
    return summary


def decay(path: Path, policy: AuditPolicy, outside: Outside) -> list[WheelFinding]:
    """Return the errors that a wheel may get after it was made; raises as `opened_wheel` does."""
    rules = [*map(rule_named, trust.LOOKS)]
    with outside.console.quiet_step("audit") as step, opened_wheel(path, step, outside) as content:
        found = [finding for rule in rules for finding in judge(rule, content, policy)]
    return [finding for finding in found if finding.level is AuditLevel.ERROR]


def explain_rule(name: str, console: Console) -> dict[str, Any]:
    """Show what a rule is about and its remedy; raises UsageError where there is none such."""
    rule = rule_named(name)
    fields = ("id", "title", "level", "prebuilt", "why", "remedy")
    told = {field: str(getattr(rule, field)) for field in fields}
    for field, text in told.items():
        console.result(f"{field:<10}{text}")
    return told

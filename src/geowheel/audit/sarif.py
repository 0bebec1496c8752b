"""Findings as SARIF 2.1.0 (https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html)."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from geowheel import __version__
from geowheel.project.config import AuditLevel

from .rules import Rule, WheelFinding

_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS: Final = {AuditLevel.ERROR: "error", AuditLevel.WARN: "warning", AuditLevel.OFF: "note"}


def sarif_of(findings: Sequence[WheelFinding], rules: Sequence[Rule]) -> dict[str, Any]:
    """Return a log with one run; what an exception allows is a suppressed result."""
    told = [
        {
            "id": rule.id, "help": {"text": rule.remedy}, "fullDescription": {"text": rule.why},
            "shortDescription": {"text": rule.title},
            "defaultConfiguration": {"level": _LEVELS[rule.level]},
        }
        for rule in rules
    ]  # fmt: skip
    driver = {"name": "geowheel", "version": __version__, "rules": told}
    run = {"tool": {"driver": driver}, "results": [_result(f) for f in findings]}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(finding: WheelFinding) -> dict[str, Any]:
    owner = f" ({finding.package})" if finding.package else ""
    member = f"{finding.member}{owner}: " if finding.member else f"{finding.package}: ".lstrip(": ")
    place = f"{finding.wheel}/{finding.member}".rstrip("/")
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "level": _LEVELS[finding.level],
        "message": {"text": f"{member}{finding.words}"},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": quote(place)}}}],
    }
    if finding.reason:
        result["suppressions"] = [{"kind": "external", "justification": finding.reason}]
    return result

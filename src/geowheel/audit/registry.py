"""Every rule: the one list of them."""

from __future__ import annotations

from typing import Final

from geowheel.errors import UsageError, nearest

from . import hardening, trust
from .rules import Rule

RULES: Final[tuple[Rule, ...]] = (*hardening.RULES, *trust.RULES)


def rule_named(name: str) -> Rule:
    """Return the rule of that id; raises UsageError with the nearest one, or all."""
    found = next((rule for rule in RULES if rule.id == name), None)
    if found is None:
        known = [rule.id for rule in RULES]
        fix = nearest(name, known) or f"there are {', '.join(known)}"
        raise UsageError(f"there is no rule {name!r}", fix=fix)
    return found

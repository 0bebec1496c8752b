"""Every rule: the one list of them."""

from typing import Final

from geowheel.errors import UsageError, nearest

from . import abi, hardening, inside, platform, trust
from .rules import Rule, rules_of

RULES: Final[tuple[Rule, ...]] = rules_of(
    {**platform.LOOKS, **abi.LOOKS, **hardening.LOOKS, **inside.LOOKS, **trust.LOOKS}
)


def rule_named(name: str) -> Rule:
    """Return the rule of that id; raises UsageError with the nearest one, or all."""
    rules = {rule.id: rule for rule in RULES}
    if name not in rules:
        fix = nearest(name, rules) or f"there are {', '.join(rules)}"
        raise UsageError(f"there is no rule {name!r}", fix=fix)
    return rules[name]

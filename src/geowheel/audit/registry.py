"""Every rule: the one list of them."""

from typing import Final

from geowheel.errors import UsageError, nearest

from . import abi, hardening, images, inside, platform, trust
from .rules import Rule, rules_of

_LOOKS: Final = (m.LOOKS for m in (abi, hardening, images, inside, platform, trust))
RULES: Final = rules_of({id: look for looks in _LOOKS for id, look in looks.items()})


def rule_named(name: str) -> Rule:
    """Return the rule of that id; raises UsageError with the nearest one, or all."""
    rules = {rule.id: rule for rule in RULES}
    if name not in rules:
        fix = nearest(name, rules) or f"there are {', '.join(rules)}"
        raise UsageError(f"there is no rule {name!r}", fix=fix)
    return rules[name]

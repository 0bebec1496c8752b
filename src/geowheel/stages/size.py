"""size: a repaired wheel against its budget, with what fills it by package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from geowheel.binary.wheel import read_wheel
from geowheel.console import Step, megabytes
from geowheel.context import Context
from geowheel.digest import Artefact
from geowheel.ledger import Record

from .contract import Inputs, Outcome
from .repair import only_wheel, owner_of

LARGEST = 10


@dataclass(frozen=True, kw_only=True)
class SizeInputs(Inputs):
    """The wheel, the owners of its members, and the budgets in decimal megabytes."""

    wheel: Artefact
    owners: Mapping[str, str]
    wheel_mb: float
    installed_mb: float


def inputs(context: Context, upstream: Mapping[str, Record]) -> SizeInputs:
    """From the repaired wheel and the configuration."""
    repair = upstream["repair"]
    return SizeInputs(
        wheel=only_wheel(repair),
        owners=repair.facts["owners"],
        wheel_mb=context.project.wheel_budget_mb,
        installed_mb=context.project.config.budget.installed_mb,
    )


def run(inputs: SizeInputs, folder: Path, step: Step) -> Outcome:
    """Measure; a verdict, never an exception."""
    wheel = read_wheel(inputs.wheel.path)
    compressed = inputs.wheel.path.stat().st_size
    installed = wheel.installed_size
    problems = [
        f"{what} {megabytes(actual)} is over the budget of {budget:g} MB"
        for what, actual, budget in (
            ("wheel file", compressed, inputs.wheel_mb),
            ("installed size", installed, inputs.installed_mb),
        )
        if actual > budget * 1e6
    ]
    largest = [
        {"path": m.path, "packed": m.packed, "size": m.size,
         "package": owner_of(m.path, inputs.owners)}
        for m in sorted(wheel.members, key=lambda m: (-m.packed, m.path))[:LARGEST]
    ]  # fmt: skip
    facts = {
        "sha256": inputs.wheel.sha256,
        "wheel": inputs.wheel.path.name,
        "compressed": compressed,
        "installed": installed,
        "wheel_mb": inputs.wheel_mb,
        "installed_mb": inputs.installed_mb,
        "largest": largest,
        "problems": problems,
    }
    (folder / "size.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    step.say(
        f"{megabytes(compressed)} of {inputs.wheel_mb:g} MB, "
        f"{megabytes(installed)} installed of {inputs.installed_mb:g} MB"
    )
    return Outcome(facts=facts, passed=not problems)

"""What a person sees of an audited wheel: what it is, what forces its floor, what is wrong."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from geowheel.errors import some
from geowheel.machine.console import Console, megabytes

from .abi import AbiFacts
from .content import WheelContent
from .platform import FloorStep, PlatformFacts
from .rules import WheelFinding

_SHOWN: Final = 3  # of a cell
_ALIKE: Final = 4  # lines of one rule
_STEPS, _PACKAGES = 2, 6  # of the floor
_STYLES: Final = {"error": "red", "warn": "yellow"}


def show(
    content: WheelContent,
    facts: PlatformFacts,
    abi: AbiFacts,
    findings: Sequence[WheelFinding],
    console: Console,
) -> None:
    """Show what the wheel is, where it runs, what keeps it from other systems, what is wrong."""
    wheel, external = content.wheel, facts.external.items()
    sizes = megabytes(content.path.stat().st_size), megabytes(wheel.installed_size)
    for line in (
        "",
        wheel.filename,
        f"  size: {sizes[0]}, {sizes[1]} installed, {len(content.binaries)} compiled files",
        f"  its content allows: {', '.join(facts.consistent)}",
        f"  pip takes it on: {'; '.join(facts.systems) or 'no system that is known'}",
        f"  from the system: {', '.join(n + _newest(v) for n, v in external) or 'nothing'}",
        f"  Python ABI: {abi}",
    ):
        console.result(line)
    steps = [step for at, step in enumerate(facts.steps) if step.adds or not at][:_STEPS]
    if rows := [row for step in steps for row in _forcing(content, step)]:
        columns = ["floor", "forced by", "in", "of", "without all of these"]
        console.table("what forces the floor", columns, rows)
    show_findings(findings, console)
    if not findings:
        console.result("  it keeps all rules")


def show_findings(findings: Sequence[WheelFinding], console: Console) -> None:
    """Show a table of them; nothing where there are none."""
    if lines := list(_lines(findings)):
        columns = ["level", "rule", "where", "what"]
        console.table("findings", columns, lines, styles=_STYLES)


def _forcing(content: WheelContent, step: FloorStep) -> Iterator[list[str]]:
    """Yield a line for each package that forces a step, those with the fewest symbols first."""
    names: dict[str, set[str]] = {}
    files: dict[str, set[str]] = {}
    for version, symbol, path in step.symbols:
        package = content.owner(path) or "its own"
        names.setdefault(package, set()).add(f"{version} {symbol}".strip())
        files.setdefault(package, set()).add(path)
    order = sorted(names, key=lambda package: (len(names[package]), package))
    ending = f"{step.without}: {'; '.join(step.adds) or 'no system in support more'}"
    for package in order[:_PACKAGES]:
        yield [step.policy, _few(names[package]), _few(files[package]), package, ending]
        ending = ""
    if order[_PACKAGES:]:
        yield [step.policy, "", "", f"{len(order) - _PACKAGES} more: see --json", ""]


def _lines(findings: Iterable[WheelFinding]) -> Iterator[list[str]]:
    """Yield a line for each level, rule and text: in which files, or of which packages."""
    groups: dict[tuple[str, str], dict[str, Counter[str]]] = {}
    for item in findings:
        level = f"allowed: {item.reason}" if item.reason else str(item.level)
        places = groups.setdefault((level, item.rule), {}).setdefault(item.words, Counter())
        places[item.package or item.member] += 1
    for (level, rule), texts in sorted(groups.items()):
        order = sorted(texts, key=lambda words: -len(texts[words]))
        for words in order[:_ALIKE]:
            common = texts[words].most_common()
            names = [f"{name} ({count} files)" if count > 1 else name for name, count in common]
            yield [level, rule, _few(names, ordered=True), words]
        if order[_ALIKE:]:
            yield [level, rule, "", f"{len(order) - _ALIKE} more of its kind: see --json"]


def _few(texts: Iterable[str], *, ordered: bool = False) -> str:
    """Return the first of some texts, one a line, and how many more there are."""
    return some(texts if ordered else sorted(texts), _SHOWN).replace(", ", "\n")


def _newest(versions: Iterable[str]) -> str:
    """Return the newest version of each family in brackets: ` (GLIBC_2.28)`."""
    order = sorted(versions, key=lambda version: [int(n) for n in re.findall(r"\d+", version)])
    families = {version.partition("_")[0]: version for version in order}
    return f" ({', '.join(families.values())})" if families else ""

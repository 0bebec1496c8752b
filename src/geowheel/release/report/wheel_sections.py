"""The sections of the page about the wheels: sizes, verdicts, floors, where pip picks them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from geowheel.machine.console import seconds
from geowheel.release.coverage.table import Row

from . import pieces
from .markup import (
    Markup,
    join,
    tag,
)
from .values import (
    Finding,
    Report,
    State,
    Verdict,
    WheelReport,
)


def wheels(report: Report) -> pieces.Section:
    """Each wheel with its verdicts, its size against the budget and since the last release."""
    columns = ("wheel", "in the wheel", "installed", "since the last release", "verdicts")
    return pieces.section(
        "wheels",
        "Wheels",
        pieces.table("Wheels: size against budget, and verdicts", columns,
               map(_wheel_row, report.wheels), class_="stack wheels"),
    )  # fmt: skip


def _wheel_row(wheel: WheelReport) -> list[object]:
    record = None if wheel.recorded else tag("span", "! NO RECORD", class_="badge failed")
    name = [
        tag("span", wheel.target, class_="target"), " ", record,
        pieces.code(wheel.file, "file"),
        tag("span", f"sha256 {wheel.sha256[:16]}…", class_="small", title=wheel.sha256),
    ]  # fmt: skip
    return [
        name,
        pieces.against_budget(wheel.compressed, wheel.wheel_mb),
        pieces.against_budget(wheel.inside.installed, wheel.installed_mb),
        _since(wheel),
        pieces.badges(wheel),
    ]


def _since(wheel: WheelReport) -> Markup:
    if wheel.before is None:
        return tag("span", "nothing to compare with", class_="small")
    before = wheel.before
    return join(
        tag("span", f"from {before.version}", class_="small"),
        tag("span", pieces.change(wheel.compressed - before.compressed), class_="change"),
        tag("span", pieces.change(wheel.inside.installed - before.installed), " installed",
            class_="small"),
    )  # fmt: skip


def fills(report: Report) -> pieces.Section:
    """The treemap: what fills a wheel, package by package."""
    options = [
        tag("option", wheel.target, value=number) for number, wheel in enumerate(report.wheels)
    ]
    choice = tag("label", "Wheel", for_="wheel"), tag("select", options, id="wheel")
    measures = tag(
        "fieldset",
        tag("legend", "Count", class_="hidden"),
        pieces.radio("measure", "packed", "in the wheel", checked=True),
        pieces.radio("measure", "size", "installed"),
        class_="segments",
    )
    return pieces.section(
        "fills",
        "What fills a wheel",
        tag("div", choice, measures, class_="controls script"),
        tag("div", id="kinds", class_="script"),
        tag(
            "div",
            tag("div", id="treemap", role="group", aria_labelledby="fills-title",
                aria_describedby="treemap-help"),
            tag("div", id="detail", aria_live="polite"),
            class_="fills script",
        ),
        tag("p", "Every package is an area of its size. Click one, or move with the arrow keys.",
            id="treemap-help", class_="small script"),
        tag("p", "The map is drawn by the page's script, which does not run here; the sizes are in "
            "the table of packages.", class_="unscripted"),
    )  # fmt: skip


def verdicts(report: Report) -> pieces.Section:
    """What each verdict found, and what it did not try."""
    lead = "What was found about the very bytes of each wheel. What was not run is not a pass."
    return pieces.section("verdicts", "Verdicts", map(_verdicts_of, report.wheels), lead=lead)


def _verdicts_of(wheel: WheelReport) -> Markup:
    badges = pieces.badges(wheel)
    good = all(verdict.state is State.PASSED for verdict in wheel.verdicts)
    return tag(
        "details",
        tag("summary", tag("span", wheel.target, class_="target"), " ", badges),
        tag("div", map(_verdict, wheel.verdicts), class_="verdicts"),
        open=not good,
    )


def _verdict(verdict: Verdict) -> Markup:
    under = f", under {verdict.emulator}" if verdict.emulator else ""
    line: object = f"{verdict.words}{under}"
    if verdict.state is State.NOT_RUN:
        line = join("no record is about this wheel; next: ", tag("code", verdict.words))
    return tag(
        "details",
        tag("summary", tag("h3", verdict.stage), " ", pieces.badge(verdict.state), " ", line),
        _findings("failed", verdict.failed),
        _findings("not run", verdict.not_run),
        _groups(verdict) if verdict.groups else None,
        class_="verdict",
        open=verdict.state is not State.PASSED,
    )


def _findings(title: str, findings: Sequence[Finding]) -> Markup | None:
    if not findings:
        return None
    rows = [
        tag("li", tag("strong", ": ".join(filter(None, (f.group, f.name)))),
            tag("pre", f.detail.strip()) if f.detail.strip() else None)
        for f in findings
    ]  # fmt: skip
    css = "findings failed" if title == "failed" else "findings"
    return tag("div", tag("h4", f"{title}: {len(findings)}"), tag("ul", rows), class_=css)


def _groups(verdict: Verdict) -> Markup:
    rows = [
        [g.name, g.passed or "", g.failed or "", g.not_run or "", seconds(g.seconds)]
        for g in verdict.groups
    ]
    columns = ("cases", "passed", "failed", "not run", "time")
    return pieces.table("The lab's cases by group", columns, rows, class_="numbers")


def floors(report: Report) -> pieces.Section:
    """What each wheel needs of a system, which packages force it, where its packages are from."""
    found: dict[tuple[Markup, ...], list[str]] = {}
    for wheel in report.wheels:
        source = join(_lock(wheel), pieces.listing(_channels(wheel), "plain"))
        found.setdefault((pieces.code(wheel.tag), _forced(wheel), source), []).append(wheel.target)
    rows = [[", ".join(targets), *cells] for cells, targets in found.items()]
    lead = "The oldest system that each wheel runs on, and the packages that make it no older."
    columns = ("wheel", "platform tag", "needs, and what forces it", "packages from")
    table = pieces.table("Floors and sources", columns, rows, class_="stack")
    return pieces.section("floors", "Floors and sources", table, lead=lead)


def _lock(wheel: WheelReport) -> Markup:
    if wheel.locked is None:
        return tag("span", "○ unknown: no record", class_="badge not-run")
    if wheel.locked:
        return tag("span", "✓ committed lock", class_="badge passed")
    return tag("span", "○ no committed lock", class_="badge not-run")


def _channels(wheel: WheelReport) -> list[Markup]:
    count = Counter(c.source for c in wheel.inside.components if c.source)
    ordered = sorted(count.items(), key=lambda item: (-item[1], item[0]))
    return [join(pieces.code(name), f" {number}") for name, number in ordered]


def _forced(wheel: WheelReport) -> Markup:
    if not wheel.floor:
        return tag("span", "nothing that is known", class_="small")
    return pieces.listing(
        [
            join(tag("strong", forced.needs), " ",
                 tag("span", ", ".join(forced.packages), title=", ".join(forced.files)))
            for forced in wheel.floor
        ],
        "plain",
    )  # fmt: skip


def coverage(report: Report) -> pieces.Section | None:
    """Which wheel pip picks where; what is out of support comes last, folded."""
    if report.coverage is None:
        return None
    # By the day of the newest wheel, not by today: the same records give the same page.
    ended = [r for r in report.coverage if r.end_of_life and str(r.end_of_life) < report.date]
    current = [row for row in report.coverage if row not in ended]
    served = len({row.system for row in current if row.wheel})
    every = len({row.system for row in current})
    old = tag("summary", f"Out of support: {len({row.system for row in ended})} systems")
    return pieces.section(
        "coverage",
        "Coverage",
        _picks(current),
        tag("details", old, _picks(ended)) if ended else None,
        lead=f"Which wheel pip picks where: {served} of {every} systems in support get one.",
    )


def _picks(rows: Iterable[Row]) -> Markup:
    """A line for each wheel with the systems that get it, and for each reason to get none."""
    found: dict[tuple[str, str], dict[str, dict[str, None]]] = {}
    for row in sorted(rows, key=lambda row: row.wheel is None):
        none = [(f"○ {reason.what}", reason.fix) for reason in row.reasons]
        for why in none or [(f"✓ {row.wheel}", "")]:
            found.setdefault(why, {}).setdefault(row.system, {})[row.python] = None
    lines = [
        [what, "; ".join(f"{name} ({', '.join(pythons)})" for name, pythons in on.items()), fix]
        for (what, fix), on in found.items()
    ]
    return pieces.table("Coverage", ("pip picks", "on", "what to do"), lines, class_="stack small")

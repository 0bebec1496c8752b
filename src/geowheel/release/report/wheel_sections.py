"""The sections of the page about the wheels: sizes, verdicts, floors, where pip picks them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from geowheel.console import seconds

from . import pieces
from .markup import Markup, join, tag
from .values import Coverage, Finding, Report, State, Verdict, WheelReport


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
    words = f"{verdict.words}{under}"
    if verdict.state is State.NOT_RUN:
        line = tag("p", "No record is about this wheel. Next: ", tag("code", verdict.words))
    else:
        line = tag("p", words)
    return tag(
        "div",
        tag("h3", verdict.stage, " ", pieces.badge(verdict.state)),
        line,
        _findings("failed", verdict.failed),
        _findings("not run", verdict.not_run),
        _groups(verdict) if verdict.groups else None,
        class_="verdict",
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
    """What each wheel needs of a system, and which packages force it."""
    rows = [
        [tag("span", wheel.target, class_="target"), pieces.code(wheel.tag), _forced(wheel)]
        for wheel in report.wheels
    ]
    lead = "The oldest system that each wheel runs on, and the packages that make it no older."
    columns = ("wheel", "platform tag", "needs, and what forces it")
    return pieces.section(
        "floors", "Floors", pieces.table("Floors", columns, rows, class_="stack"), lead=lead
    )


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
    """A row for each system and architecture: its interpreters with a wheel, and those without."""
    if report.coverage is None:
        return None
    groups: dict[tuple[str, str, str, str], list[Coverage]] = {}
    for row in report.coverage:
        key = (row.system, row.base, row.until, row.architecture)
        groups.setdefault(key, []).append(row)
    rows = [
        [_system(*key), architecture, _with_wheel(group), _without_wheel(group)]
        for (*key, architecture), group in groups.items()
    ]
    remedies = dict.fromkeys(text for row in report.coverage for text in row.remedies)
    served = {row.system for row in report.coverage if row.wheel}
    number = len({row.system for row in report.coverage})
    columns = ("system", "architecture", "a wheel for", "none for")
    table = pieces.table("Coverage", columns, rows, class_="stack")
    box = tag("div", table, class_="scroll", tabindex="0", role="region", aria_label="Coverage")
    todo = [tag("h3", "What to do where there is none"), pieces.listing(remedies, "plain")]
    lead = f"Which wheel pip picks where: {len(served)} of {number} systems get one."
    return pieces.section("coverage", "Coverage", box, todo if remedies else None, lead=lead)


def _system(name: str, base: str, until: str) -> Markup:
    more = ", ".join(filter(None, (base, f"until {until}" if until else "")))
    return join(tag("span", name, class_="target"), " ", tag("span", more, class_="small"))


def _with_wheel(rows: Iterable[Coverage]) -> list[Markup]:
    """The interpreters, each with the file that it gets."""
    return [
        tag("span", "✓ ", row.python or "any", class_="badge passed", title=row.wheel)
        for row in rows
        if row.wheel
    ]


def _without_wheel(rows: Iterable[Coverage]) -> Markup | None:
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if not row.wheel:
            reasons.setdefault(row.reason, []).append(row.python)
    if not reasons:
        return None
    lines = [
        join(tag("strong", "○ ", ", ".join(pythons)), f" {reason}")
        for reason, pythons in reasons.items()
    ]
    return pieces.listing(lines, "plain")

"""The page of a report: one HTML file with its style and script in it, which asks for nothing.

Tables are whole without the script; it adds the treemap, the filters and the choice of a wheel.
What is data goes through `markup`, so no name of a file or a package can become markup.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Any, Final

from geowheel.console import megabytes, seconds

from .markup import Markup, inline_json, join, tag
from .report import Coverage, Finding, Report, State, Verdict, WheelReport, by_platform, open_points

_MARKS: Final[Mapping[State, str]] = {
    State.PASSED: "✓",
    State.FAILED: "✕",
    State.PARTIAL: "◐",
    State.NOT_RUN: "○",
}
_KIND: Final = re.compile(r"[^a-z]+")


def render(report: Report) -> str:
    """The page; the same report gives the same bytes."""
    script, style, template = (_resource(f"report.{kind}") for kind in ("js", "css", "html"))
    sections = [section for make in _SECTIONS if (section := make(report)) is not None]
    return Template(template).substitute(
        title=join(_title(report)),
        script_hash=_source_hash(script),
        style=style,
        script=script,
        facts=inline_json(_facts(report)),
        header=_header(report),
        navigation=join(tag("li", tag("a", name, href=f"#{key}")) for key, name, _ in sections),
        main=join(body for _, _, body in sections),
        footer=_footer(report),
    )


def _resource(name: str) -> str:
    return files("geowheel.resources").joinpath(name).read_text(encoding="utf-8")


def _source_hash(script: str) -> str:
    """How the page's own policy knows its one script, and no other."""
    value = hashlib.sha256(script.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(value).decode('ascii')}"


def _title(report: Report) -> str:
    return f"{report.host} {', '.join(report.versions)}"


def _facts(report: Report) -> dict[str, Any]:
    """What the script draws: the packages of each wheel."""
    return {
        "wheels": [
            {
                "target": wheel.target,
                "file": wheel.file,
                "parts": [
                    {
                        "name": part.name,
                        "version": part.version,
                        "kind": part.kind,
                        "packed": part.packed,
                        "size": part.size,
                        "files": part.files,
                        "licence": _licence_of(wheel, part.name),
                        "largest": [[f.path, f.packed, f.size] for f in part.largest],
                    }
                    for part in wheel.inside.parts
                ],
                "kinds": [[kind.name, kind.packed, kind.size] for kind in wheel.inside.kinds],
            }
            for wheel in report.wheels
        ]
    }


def _licence_of(wheel: WheelReport, name: str) -> str:
    return next((c.licence for c in wheel.inside.components if c.name == name), "")


# --- small parts -----------------------------------------------------------------------------


def _section(
    key: str, title: str, *children: object, lead: object = None
) -> tuple[str, str, Markup]:
    heading = tag("h2", title, id=f"{key}-title")
    paragraph = None if lead is None else tag("p", lead, class_="lead")
    body = tag("section", heading, paragraph, *children, id=key, aria_labelledby=f"{key}-title")
    return key, title, body


def _table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[object]], **attributes: str
) -> Markup:
    """A table whose rows become cards on a phone: each cell knows the name of its column."""
    head = tag("thead", tag("tr", [tag("th", name, scope="col") for name in columns]))
    body = tag("tbody", [tag("tr", _cells(columns, row)) for row in rows])
    table = tag("table", tag("caption", caption), head, body, **attributes)
    return tag("div", table, class_="table")


def _cells(columns: Sequence[str], row: Sequence[object]) -> list[Markup]:
    first, *others = row
    return [
        tag("th", first, scope="row"),
        *(
            tag("td", tag("div", cell), data_label=name)
            for name, cell in zip(columns[1:], others, strict=True)
        ),
    ]


def _badge(state: State, what: str = "", more: str = "") -> Markup:
    """A verdict as a sign and in words: never by its colour alone."""
    kind = state.name.lower().replace("_", "-")
    word = {State.FAILED: "FAILED", State.NOT_RUN: "NOT RUN"}.get(state, str(state))
    mark = tag("span", _MARKS[state], aria_hidden="true")
    return tag("span", mark, f" {what} {word}{more}".replace("  ", " "), class_=f"badge {kind}")


def _badges(wheel: WheelReport) -> Markup:
    """Every verdict on a wheel; a pass says as well what had no part in it."""
    return _list([_badge(v.state, v.stage, _reserve(v)) for v in wheel.verdicts], "badges")


def _reserve(verdict: Verdict) -> str:
    not_run = f", {len(verdict.not_run)} not run" if verdict.not_run else ""
    return not_run + (", emulated" if verdict.emulator else "")


def _bar(amount: float, limit: float) -> Markup:
    """A bar of `amount` with a line at `limit`; the number stands beside it."""
    full = max(amount, limit) or 1
    fill = tag("span", class_="fill", style=f"width:{100 * amount / full:.2f}%")
    line = tag("span", class_="limit", style=f"left:{100 * limit / full:.2f}%")
    over = amount > limit
    return tag("span", fill, line if over else None, class_="bar over" if over else "bar",
               aria_hidden="true")  # fmt: skip


def _amount(size: int) -> str:
    """`61.7 MB`, and smaller units for what is smaller; report.js has the same."""
    if size >= 1_000_000:
        return megabytes(size)
    return f"{size / 1e3:.0f} kB" if size >= 1000 else f"{size} bytes"


def _code(text: str, css: str | None = None) -> Markup:
    """A name that may be long: it breaks where names have joints."""
    pieces = [join(piece, Markup("<wbr>")) for piece in re.split(r"(?<=[-_/.])", text)]
    return tag("code", pieces, class_=css)


def _where(targets: Sequence[str], report: Report) -> Markup:
    """In which wheels something is, as short as can be."""
    if len(targets) == len(report.wheels):
        return tag("span", "all", class_="small everywhere")
    every = by_platform(wheel.target for wheel in report.wheels)
    words = [
        platform if names == every[platform] else f"{platform} ({', '.join(names)})"
        for platform, names in by_platform(targets).items()
    ]
    return tag("span", ", ".join(words), class_="small")


def _list(items: Iterable[object], css: str | None = None) -> Markup:
    return tag("ul", [tag("li", item) for item in items], class_=css)


# --- header and footer -----------------------------------------------------------------------


def _header(report: Report) -> Markup:
    number = len(report.wheels)
    words = [f"{number} wheel{'' if number == 1 else 's'}"]
    words += [f"made {report.date}"] if report.date else []
    return join(
        tag("p", "Release report", class_="kicker"),
        tag("h1", report.host, " ", tag("span", ", ".join(report.versions), class_="version")),
        tag("p", ", ".join(words), class_="subtitle"),
        _tiles(report),
        _points(report),
    )


def _tiles(report: Report) -> Markup:
    """The few numbers that a reader looks for."""
    largest = max(report.wheels, key=lambda wheel: wheel.compressed)
    tiles = [
        ("largest wheel", _amount(largest.compressed), f"of {largest.wheel_mb:g} MB"),
        ("installed", _amount(max(w.inside.installed for w in report.wheels)), "at most"),
        ("drivers", _extent(len(wheel.drivers) for wheel in report.wheels), "GDAL and OGR"),
        ("packages", _extent(len(w.inside.components) for w in report.wheels), "bundled"),
    ]
    rows = [
        tag("div", tag("dt", name), tag("dd", tag("strong", value), " ", tag("span", more)))
        for name, value, more in tiles
    ]
    return tag("dl", rows, class_="tiles")


def _extent(numbers: Iterable[int]) -> str:
    """`211`, or `180 to 211`; zero is what nobody counted."""
    known = sorted({number for number in numbers if number})
    if not known:
        return "unknown"
    return str(known[0]) if len(known) == 1 else f"{known[0]} to {known[-1]}"


def _points(report: Report) -> Markup:
    points = open_points(report)
    if not points:
        mark = tag("span", "✓", aria_hidden="true")
        text = " Every wheel has passed its size, test and lab, from a committed lock."
        return tag("p", mark, text, class_="notice good")
    title = f"{len(points)} open point{'' if len(points) == 1 else 's'}"
    return tag("div", tag("h2", title), _list(points), class_="notice bad", role="note")


def _footer(report: Report) -> Markup:
    day = f", from records up to {report.date}" if report.date else ""
    text = f"Written by geowheel {report.geowheel}{day}. The same facts for programs: "
    return tag("p", text, tag("code", "report.json"))


# --- sections --------------------------------------------------------------------------------


def _wheels(report: Report) -> tuple[str, str, Markup]:
    columns = ("wheel", "in the wheel", "installed", "since the last release", "verdicts")
    return _section(
        "wheels",
        "Wheels",
        _table("Wheels: size against budget, and verdicts", columns,
               map(_wheel_row, report.wheels), class_="stack wheels"),
    )  # fmt: skip


def _wheel_row(wheel: WheelReport) -> list[object]:
    record = None if wheel.recorded else tag("span", "! NO RECORD", class_="badge failed")
    name = [
        tag("span", wheel.target, class_="target"), " ", record,
        _code(wheel.file, "file"),
        tag("span", f"sha256 {wheel.sha256[:16]}…", class_="small", title=wheel.sha256),
    ]  # fmt: skip
    return [
        name,
        _against_budget(wheel.compressed, wheel.wheel_mb),
        _against_budget(wheel.inside.installed, wheel.installed_mb),
        _since(wheel),
        _badges(wheel),
    ]


def _against_budget(size: int, budget: float) -> Markup:
    over = tag("strong", " OVER BUDGET", class_="over") if size > budget * 1e6 else None
    amount = tag("span", _amount(size), class_="amount")
    of = tag("span", f"of {budget:g} MB", class_="small")
    return join(tag("span", amount, " ", of, over), _bar(size, budget * 1e6))


def _since(wheel: WheelReport) -> Markup:
    if wheel.before is None:
        return tag("span", "nothing to compare with", class_="small")
    before = wheel.before
    return join(
        tag("span", f"from {before.version}", class_="small"),
        tag("span", _change(wheel.compressed - before.compressed), class_="change"),
        tag("span", _change(wheel.inside.installed - before.installed), " installed",
            class_="small"),
    )  # fmt: skip


def _change(difference: int) -> str:
    if difference == 0:
        return "the same"
    return f"{'+' if difference > 0 else '−'}{_amount(abs(difference))}"


def _fills(report: Report) -> tuple[str, str, Markup]:
    options = [
        tag("option", wheel.target, value=number) for number, wheel in enumerate(report.wheels)
    ]
    choice = tag("label", "Wheel", for_="wheel"), tag("select", options, id="wheel")
    measures = tag(
        "fieldset",
        tag("legend", "Count", class_="hidden"),
        _radio("measure", "packed", "in the wheel", checked=True),
        _radio("measure", "size", "installed"),
        class_="segments",
    )
    return _section(
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


def _radio(name: str, value: str, label: str, *, checked: bool = False) -> Markup:
    button = tag("input", type="radio", name=name, value=value, checked=checked)
    return tag("label", button, tag("span", label))


def _verdicts(report: Report) -> tuple[str, str, Markup]:
    lead = "What was found about the very bytes of each wheel. What was not run is not a pass."
    return _section("verdicts", "Verdicts", map(_verdicts_of, report.wheels), lead=lead)


def _verdicts_of(wheel: WheelReport) -> Markup:
    badges = _badges(wheel)
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
        tag("h3", verdict.stage, " ", _badge(verdict.state)),
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
    return _table("The lab's cases by group", columns, rows, class_="numbers")


def _floors(report: Report) -> tuple[str, str, Markup]:
    rows = [
        [tag("span", wheel.target, class_="target"), _code(wheel.tag), _forced(wheel)]
        for wheel in report.wheels
    ]
    lead = "The oldest system that each wheel runs on, and the packages that make it no older."
    columns = ("wheel", "platform tag", "needs, and what forces it")
    return _section("floors", "Floors", _table("Floors", columns, rows, class_="stack"), lead=lead)


def _forced(wheel: WheelReport) -> Markup:
    if not wheel.floor:
        return tag("span", "nothing that is known", class_="small")
    return _list(
        [
            join(tag("strong", forced.needs), " ",
                 tag("span", ", ".join(forced.packages), title=", ".join(forced.files)))
            for forced in wheel.floor
        ],
        "plain",
    )  # fmt: skip


def _coverage(report: Report) -> tuple[str, str, Markup] | None:
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
    table = _table("Coverage", columns, rows, class_="stack")
    box = tag("div", table, class_="scroll", tabindex="0", role="region", aria_label="Coverage")
    todo = [tag("h3", "What to do where there is none"), _list(remedies, "plain")]
    lead = f"Which wheel pip picks where: {len(served)} of {number} systems get one."
    return _section("coverage", "Coverage", box, todo if remedies else None, lead=lead)


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
    return _list(lines, "plain")


def _drivers(report: Report) -> tuple[str, str, Markup]:
    found: dict[tuple[str, tuple[str, ...], str], list[str]] = {}
    for wheel in report.wheels:
        for driver in wheel.drivers:
            key = (driver.name, driver.kinds, _plugin(driver.plugin))
            found.setdefault(key, []).append(wheel.target)
    unknown = [wheel.target for wheel in report.wheels if not wheel.drivers]
    listed = [w for w in report.wheels if w.drivers]
    items = [
        _driver(*key, None if len(targets) == len(listed) else _where(targets, report))
        for key, targets in sorted(found.items(), key=lambda item: item[0][0].lower())
    ]
    note = f"Not known, since no test ran: {', '.join(unknown)}" if unknown else None
    return _section(
        "drivers",
        "Drivers",
        None if note is None else tag("p", note, class_="lead"),
        tag("div", _filter("driver-filter", "Filter drivers", "driver-list"), _kinds_of_drivers(),
            tag("output", id="driver-count", for_="driver-filter"), class_="controls script"),
        tag("ul", items, id="driver-list", class_="drivers", tabindex="0", aria_label="Drivers"),
        _offers(report),
    )  # fmt: skip


def _plugin(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def _driver(name: str, kinds: tuple[str, ...], plugin: str, where: Markup | None) -> Markup:
    return tag(
        "li",
        tag("span", name, class_="name"),
        [tag("span", kind, class_=f"tag {_css(kind)}") for kind in kinds or ("other",)],
        tag("span", f"plugin {plugin}", class_="small") if plugin else None,
        where,
        data_kinds=" ".join(map(_css, kinds)),
    )


def _css(kind: str) -> str:
    """A name as a part of a class."""
    return _KIND.sub("-", kind.lower()).strip("-")


def _filter(key: str, label: str, controls: str) -> Markup:
    box = tag("input", type="search", id=key, placeholder=label, aria_label=label,
              aria_controls=controls, autocomplete="off", spellcheck="false")  # fmt: skip
    return tag("span", box, class_="search")


def _kinds_of_drivers() -> Markup:
    return tag(
        "fieldset",
        tag("legend", "Kind of driver", class_="hidden"),
        _radio("kind", "", "all", checked=True),
        _radio("kind", "raster", "raster"),
        _radio("kind", "vector", "vector"),
        class_="segments",
    )


def _offers(report: Report) -> Markup | None:
    found: dict[str, list[str]] = {}
    for wheel in report.wheels:
        for offer in wheel.offers:
            found.setdefault(str(offer), []).append(wheel.target)
    if not found:
        return None
    rows = [join(text, " ", _where(targets, report))
            for text, targets in sorted(found.items())]  # fmt: skip
    title = tag("h3", "What the native stack offers beyond them")
    return tag("div", title, _list(rows, "plain"), class_="offers")


def _packages(report: Report) -> tuple[str, str, Markup]:
    found: dict[tuple[str, str, str], list[WheelReport]] = {}
    for wheel in report.wheels:
        for item in dict.fromkeys((c.name, c.version, c.licence) for c in wheel.inside.components):
            found.setdefault(item, []).append(wheel)
    nothing = tag("span", "none stated", class_="small")
    rows = [
        [name, version, licence or nothing, _largest_part(name, wheels),
         _where([wheel.target for wheel in wheels], report)]
        for (name, version, licence), wheels in sorted(found.items(), key=_by_name)
    ]  # fmt: skip
    without = [wheel.target for wheel in report.wheels if not wheel.inside.components]
    columns = ["package", "version", "licence", "in the wheel", "wheels"]
    if len(report.wheels) == 1:  # which has them all
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return _section(
        "packages",
        "Packages and licences",
        tag("p", f"No SBOM of geowheel in: {', '.join(without)}") if without else None,
        _licences(found),
        _without_text(report),
        tag("div", _filter("package-filter", "Filter packages or licences", "package-list"),
            tag("output", id="package-count", for_="package-filter"), class_="controls script"),
        tag("div", _table("Packages that the SBOM names", columns, rows, class_="stack",
                          id="package-list"),
            class_="scroll", tabindex="0", role="region", aria_label="Packages and licences"),
        lead="What is bundled, as the wheel's own SBOM (CycloneDX, PEP 770) names it.",
    )  # fmt: skip


def _by_name(item: tuple[tuple[str, str, str], object]) -> tuple[str, tuple[str, str, str]]:
    return item[0][0].lower(), item[0]


def _largest_part(name: str, wheels: Iterable[WheelReport]) -> str:
    sizes = [
        sum(part.packed for part in wheel.inside.parts if part.name == name) for wheel in wheels
    ]
    return _amount(max(sizes))


def _licences(found: Iterable[tuple[str, str, str]]) -> Markup:
    count = Counter(licence or "none stated" for _, _, licence in found)
    rows = [
        tag("li", tag("span", name), " ", tag("strong", number))
        for name, number in sorted(count.items(), key=lambda item: (-item[1], item[0]))
    ]
    title = tag("summary", f"{len(count)} licence expressions, counted by package")
    return tag("details", title, tag("ul", rows, class_="chips"), class_="licences")


def _without_text(report: Report) -> Markup | None:
    names = sorted({name for wheel in report.wheels for name in wheel.without_licence})
    if not names:
        return None
    return tag("p", "No licence text was found in the package of: ", ", ".join(names))


def _source(report: Report) -> tuple[str, str, Markup]:
    rows = [
        [tag("span", wheel.target, class_="target"), _lock(wheel), _list(_channels(wheel), "plain")]
        for wheel in report.wheels
    ]
    table = _table("Native stacks", ("wheel", "lock", "packages from"), rows, class_="stack")
    return _section("source", "Where the native stack came from", table)


def _lock(wheel: WheelReport) -> Markup:
    if wheel.locked is None:
        return tag("span", "○ unknown: no record", class_="badge not-run")
    if wheel.locked:
        return tag("span", "✓ committed lock", class_="badge passed")
    return tag("span", "✕ not from a committed lock", class_="badge failed")


def _channels(wheel: WheelReport) -> list[Markup]:
    count = Counter(c.source for c in wheel.inside.components if c.source)
    ordered = sorted(count.items(), key=lambda item: (-item[1], item[0]))
    return [join(_code(name), f" {number}") for name, number in ordered]


def _timings(report: Report) -> tuple[str, str, Markup]:
    stages = list(dict.fromkeys(t.stage for wheel in report.wheels for t in wheel.timings))
    known = [t.seconds for w in report.wheels for t in w.timings if t.seconds is not None]
    longest = max(known, default=0.0)
    rows = [_timing_row(wheel, stages, longest) for wheel in report.wheels]
    columns = ("wheel", *stages, "all")
    lead = "What each stage took when it last ran; a dash where its record is gone."
    table = _table("Stage timings", columns, rows, class_="stack timings")
    return _section("timings", "Timings", table, lead=lead)


def _timing_row(wheel: WheelReport, stages: Sequence[str], longest: float) -> list[object]:
    taken = {timing.stage: timing.seconds for timing in wheel.timings}
    cells: list[object] = [tag("span", wheel.target, class_="target")]
    for stage in stages:
        amount = taken.get(stage)
        cells.append("–" if amount is None else join(seconds(amount), _bar(amount, longest)))
    known = [amount for amount in taken.values() if amount is not None]
    return [*cells, tag("strong", seconds(sum(known))) if known else "–"]


_SECTIONS: Final[tuple[Callable[[Report], tuple[str, str, Markup] | None], ...]] = (
    _wheels, _fills, _verdicts, _floors, _coverage, _drivers, _packages, _source, _timings,
)  # fmt: skip

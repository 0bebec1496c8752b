"""What the sections of the page are put together from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from geowheel.machine.console import megabytes

from .markup import (
    Markup,
    join,
    tag,
)
from .values import (
    Report,
    State,
    Verdict,
    WheelReport,
    by_platform,
)

_MARKS: Final[Mapping[State, str]] = {
    State.PASSED: "✓",
    State.FAILED: "✕",
    State.PARTIAL: "◐",
    State.NOT_RUN: "○",
}


class Section(NamedTuple):
    """A part of the page that the navigation leads to."""

    key: str
    title: str
    body: Markup


def section(key: str, title: str, *children: object, lead: object = None) -> Section:
    """With its heading, under a key that links can name."""
    heading = tag("h2", title, id=f"{key}-title")
    paragraph = None if lead is None else tag("p", lead, class_="lead")
    body = tag("section", heading, paragraph, *children, id=key, aria_labelledby=f"{key}-title")
    return Section(key, title, body)


def table(
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


def badge(state: State, what: str = "", more: str = "") -> Markup:
    """A verdict as a sign and in words: never by its colour alone."""
    kind = state.name.lower().replace("_", "-")
    word = {State.FAILED: "FAILED", State.NOT_RUN: "NOT RUN"}.get(state, str(state))
    mark = tag("span", _MARKS[state], aria_hidden="true")
    return tag("span", mark, f" {what} {word}{more}".replace("  ", " "), class_=f"badge {kind}")


def badges(wheel: WheelReport) -> Markup:
    """Every verdict on a wheel; a pass says as well what had no part in it."""
    return listing([badge(v.state, v.stage, _reserve(v)) for v in wheel.verdicts], "badges")


def _reserve(verdict: Verdict) -> str:
    not_run = f", {len(verdict.not_run)} not run" if verdict.not_run else ""
    return not_run + (", emulated" if verdict.emulator else "")


def bar(amount: float, limit: float) -> Markup:
    """A bar of `amount` with a line at `limit`; the number stands beside it."""
    full = max(amount, limit) or 1
    fill = tag("span", class_="fill", style=f"width:{100 * amount / full:.2f}%")
    line = tag("span", class_="limit", style=f"left:{100 * limit / full:.2f}%")
    over = amount > limit
    return tag("span", fill, line if over else None, class_="bar over" if over else "bar",
               aria_hidden="true")  # fmt: skip


def amount(size: int) -> str:
    """`61.7 MB`, and smaller units for what is smaller; report.js has the same."""
    if size >= 1_000_000:
        return megabytes(size)
    return f"{size / 1e3:.0f} kB" if size >= 1000 else f"{size} bytes"


def code(text: str, css: str | None = None) -> Markup:
    """A name that may be long: it breaks where names have joints."""
    pieces = [join(piece, Markup("<wbr>")) for piece in re.split(r"(?<=[-_/.])", text)]
    return tag("code", pieces, class_=css)


def where(targets: Sequence[str], report: Report) -> Markup:
    """In which wheels something is, as short as can be."""
    if len(targets) == len(report.wheels):
        return tag("span", "all", class_="small everywhere")
    every = by_platform(wheel.target for wheel in report.wheels)
    words = [
        platform if names == every[platform] else f"{platform} ({', '.join(names)})"
        for platform, names in by_platform(targets).items()
    ]
    return tag("span", ", ".join(words), class_="small")


def listing(items: Iterable[object], css: str | None = None) -> Markup:
    """A list of whatever items."""
    return tag("ul", [tag("li", item) for item in items], class_=css)


def against_budget(size: int, budget: float) -> Markup:
    """A size, and how much of its budget it takes."""
    over = tag("strong", " OVER BUDGET", class_="over") if size > budget * 1e6 else None
    number = tag("span", amount(size), class_="amount")
    of = tag("span", f"of {budget:g} MB", class_="small")
    return join(tag("span", number, " ", of, over), bar(size, budget * 1e6))


def change(difference: int) -> str:
    """A difference in bytes with its sign, or that there is none."""
    if difference == 0:
        return "the same"
    return f"{'+' if difference > 0 else '−'}{amount(abs(difference))}"


def radio(name: str, value: str, label: str, *, checked: bool = False) -> Markup:
    """One choice of several of a `name`."""
    button = tag("input", type="radio", name=name, value=value, checked=checked)
    return tag("label", button, tag("span", label))


def search_box(key: str, label: str, controls: str) -> Markup:
    """Where words to filter a list by are typed; `controls` is the list's id."""
    box = tag("input", type="search", id=key, placeholder=label, aria_label=label,
              aria_controls=controls, autocomplete="off", spellcheck="false")  # fmt: skip
    return tag("span", box, class_="search")

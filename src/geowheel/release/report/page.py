"""The page of a report: one HTML file with its style and script in it, which asks for nothing.

Tables are whole without the script; it adds the treemap, the filters and the choice of a wheel.
What is data goes through `markup`, so no name of a file or a package can become markup.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from importlib.resources import files
from string import Template
from typing import Any, Final

import msgspec

from . import (
    content_sections,
    pieces,
    wheel_sections,
)
from .markup import (
    Markup,
    inline_json,
    join,
    tag,
)
from .values import (
    OpenPoint,
    Report,
    WheelReport,
    open_points,
)


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
    return files("geowheel.release.report").joinpath(name).read_text(encoding="utf-8")


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
                    asdict(part) | {"license": _license_of(wheel, part.name)}
                    for part in wheel.inside.parts
                ],
                "kinds": [msgspec.to_builtins(kind) for kind in wheel.inside.kinds],
            }
            for wheel in report.wheels
        ]
    }


def _license_of(wheel: WheelReport, name: str) -> str:
    return next((c.licence for c in wheel.inside.components if c.name == name), "")


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
        ("largest wheel", pieces.amount(largest.compressed), f"of {largest.wheel_mb:g} MB"),
        ("installed", pieces.amount(max(w.inside.installed for w in report.wheels)), "at most"),
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
    return join(
        _notice("Wrong", "bad", [point for point in points if point.wrong]),
        _notice("Not done yet", "wait", [point for point in points if not point.wrong]),
    )


def _notice(title: str, css: str, points: Sequence[OpenPoint]) -> Markup | None:
    if not points:
        return None
    rows = [join(tag("strong", point.cause), pieces.listing(point.where)) for point in points]
    heading = tag("h2", f"{title}: {len(points)}")
    return tag("div", heading, pieces.listing(rows), class_=f"notice {css}", role="note")


def _footer(report: Report) -> Markup:
    day = f", from records up to {report.date}" if report.date else ""
    text = f"Written by geowheel {report.geowheel}{day}. The same facts for programs: "
    return tag("p", text, tag("code", "report.json"))


_SECTIONS: Final[tuple[Callable[[Report], pieces.Section | None], ...]] = (
    wheel_sections.wheels,
    wheel_sections.fills,
    wheel_sections.verdicts,
    wheel_sections.floors,
    wheel_sections.coverage,
    content_sections.drivers,
    content_sections.packages,
    content_sections.timings,
)

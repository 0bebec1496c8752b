"""The page of a report: one HTML file with its style and script in it, which asks for nothing.

Tables are whole without the script; it adds the treemap, the filters and the choice of a wheel.
page.html is the template; Jinja2 escapes every value, so no name of a file or a package becomes
markup.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Final

import jinja2
import msgspec
from markupsafe import Markup

from geowheel.contents.restricted import Restricted, accepting, by_driver
from geowheel.machine.console import megabytes, seconds
from geowheel.machine.credentials import shown
from geowheel.machine.files import text_of
from geowheel.release.coverage.table import Coverage

from .values import Report, VerdictState, WheelReport, by_platform, open_points

MARKS: Final = {
    VerdictState.PASSED: "✓",
    VerdictState.FAILED: "✕",
    VerdictState.PARTIAL: "◐",
    VerdictState.NOT_RUN: "○",
}
WORDS: Final = {VerdictState.FAILED: "FAILED", VerdictState.NOT_RUN: "NOT RUN"}
SECTIONS: Final[tuple[tuple[str, str], ...]] = (
    ("wheels", "Wheels"), ("fills", "What fills a wheel"), ("verdicts", "Verdicts"),
    ("floors", "Floors and sources"), ("coverage", "Coverage"), ("drivers", "Drivers"),
    ("packages", "Packages and licenses"), ("timings", "Timings"),
)  # fmt: skip


def render(report: Report) -> str:
    """Return the page; the same report gives the same bytes."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    report = msgspec.convert(_seen(msgspec.to_builtins(report)), Report)
    every = by_platform(wheel.target for wheel in report.wheels)
    environment.filters |= {
        "amount": amount, "change": change, "joints": joints, "seconds": seconds,
        "in_short": lambda targets: in_short(targets, every),
    }  # fmt: skip
    script = text_of("release.report", "report.js")
    return environment.from_string(text_of("release.report", "page.html")).render(
        report=report,
        marks=MARKS,
        words=WORDS,
        PASSED=VerdictState.PASSED,
        NOT_RUN=VerdictState.NOT_RUN,
        sections=[s for s in SECTIONS if s[0] != "coverage" or report.coverage is not None],
        open_points=open_points(report),
        tiles=_tiles(report),
        floors=_floors(report),
        coverage=None if report.coverage is None else _coverage(report.coverage, report.date),
        **_drivers(report),
        **_packages(report),
        **_timings(report),
        facts=_facts(report),
        style=Markup(text_of("release.report", "report.css")),
        script=Markup(script),
        script_hash=_source_hash(script),
    )


def _seen(value: Any) -> Any:
    """Return plain values with their texts as a person may see them."""
    if isinstance(value, dict):
        return {key: _seen(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_seen(item) for item in value]
    return shown(value) if isinstance(value, str) else value


def _source_hash(script: str) -> str:
    """Return how the page's own policy knows its one script, and no other."""
    value = hashlib.sha256(script.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(value).decode('ascii')}"


def amount(size: int) -> str:
    """Return `61.7 MB`, and smaller units for what is smaller; report.js has the same."""
    if size >= 1_000_000:
        return megabytes(size)
    return f"{size / 1e3:.0f} kB" if size >= 1000 else f"{size} bytes"


def change(difference: int) -> str:
    """Return a difference in bytes with its sign, or that there is none."""
    sign = "+" if difference > 0 else "−"
    return f"{sign}{amount(abs(difference))}" if difference else "the same"


def joints(text: str) -> Markup:
    """Return a name that may be long: it breaks where names have joints."""
    return Markup("<wbr>").join(re.split(r"(?<=[-_/.])", text))


def in_short(targets: Sequence[str], every: dict[str, list[str]]) -> str:
    """Return targets by platform; their interpreters only where the platform has others as well."""
    return ", ".join(
        platform if names == every[platform] else f"{platform} ({', '.join(names)})"
        for platform, names in by_platform(targets).items()
    )


def _facts(report: Report) -> dict[str, Any]:
    """Return what the script draws: the packages of each wheel."""
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
    return next((c.license for c in wheel.inside.components if c.name == name), "")


def _tiles(report: Report) -> list[tuple[str, str, str]]:
    """Return the few numbers that a reader looks for."""
    largest = max(report.wheels, key=lambda wheel: wheel.compressed)
    return [
        ("largest wheel", amount(largest.compressed), f"of {largest.wheel_mb:g} MB"),
        ("installed", amount(max(w.inside.installed for w in report.wheels)), "at most"),
        ("drivers", _extent(len(wheel.drivers) for wheel in report.wheels), "GDAL and OGR"),
        ("packages", _extent(len(w.inside.components) for w in report.wheels), "bundled"),
    ]


def _extent(numbers: Iterable[int]) -> str:
    """Return `211`, or `180 to 211`; zero is what nobody counted."""
    known = sorted({number for number in numbers if number})
    if not known:
        return "unknown"
    return str(known[0]) if len(known) == 1 else f"{known[0]} to {known[-1]}"


def _floors(report: Report) -> list[tuple[tuple[Any, ...], list[str]]]:
    """Return what wheels need and where their packages are from; wheels that agree are one row."""
    found: dict[tuple[Any, ...], list[str]] = {}
    for wheel in report.wheels:
        channels = tuple(sorted(wheel.sources.items(), key=lambda item: (-item[1], item[0])))
        key = (wheel.tag, wheel.floor, wheel.locked, channels)
        found.setdefault(key, []).append(wheel.target)
    return list(found.items())


def _coverage(rows: Sequence[Coverage], date: str) -> dict[str, Any]:
    """Return which wheel pip picks where; what is out of support comes last.

    By the day of the newest wheel, not by today: the same records give the same page.
    """
    ended = [row for row in rows if row.end_of_life and str(row.end_of_life) < date]
    current = [row for row in rows if row not in ended]
    return {
        "current": _picks(current),
        "served": len({row.system for row in current if row.wheel}),
        "systems": len({row.system for row in current}),
        "ended": _picks(ended),
        "ended_systems": len({row.system for row in ended}),
    }


def _picks(rows: Iterable[Coverage]) -> list[dict[str, str]]:
    """Return a line for each wheel with the systems that get it, and each reason to get none."""
    found: dict[tuple[str, str], dict[str, dict[str, None]]] = {}
    for row in sorted(rows, key=lambda row: row.wheel is None):
        none = [(f"○ {reason.what}", reason.fix) for reason in row.reasons]
        for why in none or [(f"✓ {row.wheel}", "")]:
            found.setdefault(why, {}).setdefault(row.system, {})[row.python] = None
    return [
        {
            "what": what,
            "on": "; ".join(f"{name} ({', '.join(pythons)})" for name, pythons in on.items()),
            "fix": fix,
        }
        for (what, fix), on in found.items()
    ]


def _drivers(report: Report) -> dict[str, Any]:
    """Return GDAL's drivers in the wheels, and those that were left out."""
    found: dict[tuple[str, tuple[str, ...], str], list[str]] = {}
    offers: dict[str, list[str]] = {}
    for wheel in report.wheels:
        for driver in wheel.drivers:
            key = (driver.name, driver.kinds, PureWindowsPath(driver.plugin).name)
            found.setdefault(key, []).append(wheel.target)
        for offer in wheel.offers:
            offers.setdefault(str(offer), []).append(wheel.target)
    return {
        "drivers": sorted(found.items(), key=lambda item: item[0][0].lower()),
        "listed": sum(1 for wheel in report.wheels if wheel.drivers),
        "unknown_drivers": [wheel.target for wheel in report.wheels if not wheel.drivers],
        "offers": sorted(offers.items()),
    }


def _packages(report: Report) -> dict[str, Any]:
    """Return the packages of the SBOMs, and why some under the GPL or the like are there."""
    found: dict[tuple[str, str, str], list[WheelReport]] = {}
    accepted: dict[str, list[Restricted]] = {}
    for wheel in report.wheels:
        for item in dict.fromkeys((c.name, c.version, c.license) for c in wheel.inside.components):
            found.setdefault(item, []).append(wheel)
    for restricted in dict.fromkeys(r for wheel in report.wheels for r in wheel.restricted):
        if pattern := accepting(restricted.name, report.accept):
            accepted.setdefault(report.accept[pattern], []).append(restricted)
    return {
        "packages": [
            {
                "name": name,
                "version": version,
                "license": license,
                "packed": max(_packed(name, wheel) for wheel in wheels),
                "targets": [wheel.target for wheel in wheels],
            }
            for (name, version, license), wheels in sorted(
                found.items(), key=lambda item: (item[0][0].lower(), item[0])
            )
        ],
        "without_sbom": [w.target for w in report.wheels if not w.inside.components],
        "without_text": sorted({name for w in report.wheels for name in w.without_license}),
        # The others are open points.
        "accepted": [(why, by_driver(of)) for why, of in accepted.items()],
        "without_grids": sorted({name for w in report.wheels for name in w.without_grids}),
        "look_ups": sorted(
            {
                (PurePosixPath(found.path).name, found.text, found.overridden)
                for wheel in report.wheels
                for found in wheel.prefix_strings
            }
        ),
    }


def _packed(name: str, wheel: WheelReport) -> int:
    return sum(part.packed for part in wheel.inside.parts if part.name == name)


def _timings(report: Report) -> dict[str, Any]:
    """Return what the stages took for each wheel."""
    every = [timing for wheel in report.wheels for timing in wheel.timings]
    stages = list(dict.fromkeys(timing.stage for timing in every))
    unknown = dict.fromkeys(stages)
    return {
        "stages": stages,
        "longest": max((t.seconds for t in every if t.seconds is not None), default=0.0),
        "timings": [
            (wheel.target, unknown | {t.stage: t.seconds for t in wheel.timings})
            for wheel in report.wheels
        ],
    }

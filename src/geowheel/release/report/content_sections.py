"""The sections of the page about what is in the wheels, and how they were made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PureWindowsPath

from geowheel.contents.restricted import (
    Restricted,
    accepting,
    by_driver,
)
from geowheel.machine.console import seconds

from . import pieces
from .markup import (
    Markup,
    join,
    tag,
)
from .values import Report, WheelReport


def drivers(report: Report) -> pieces.Section:
    """GDAL's drivers in the wheels, and those that were left out."""
    found: dict[tuple[str, tuple[str, ...], str], list[str]] = {}
    for wheel in report.wheels:
        for driver in wheel.drivers:
            key = (driver.name, driver.kinds, PureWindowsPath(driver.plugin).name)
            found.setdefault(key, []).append(wheel.target)
    unknown = [wheel.target for wheel in report.wheels if not wheel.drivers]
    listed = [w for w in report.wheels if w.drivers]
    items = [
        _driver(*key, None if len(targets) == len(listed) else pieces.where(targets, report))
        for key, targets in sorted(found.items(), key=lambda item: item[0][0].lower())
    ]
    note = f"Not known, since no test ran: {', '.join(unknown)}" if unknown else None
    return pieces.section(
        "drivers",
        "Drivers",
        None if note is None else tag("p", note, class_="lead"),
        tag("div", pieces.search_box("driver-filter", "Filter drivers", "driver-list"),
            tag("output", id="driver-count", for_="driver-filter"), class_="controls script"),
        tag("ul", items, id="driver-list", class_="drivers", tabindex="0", aria_label="Drivers"),
        _offers(report),
    )  # fmt: skip


def _driver(name: str, kinds: tuple[str, ...], plugin: str, where: Markup | None) -> Markup:
    return tag(
        "li",
        tag("span", name, class_="name"),
        [tag("span", kind, class_="tag") for kind in kinds or ("other",)],
        tag("span", f"plugin {plugin}", class_="small") if plugin else None,
        where,
    )


def _offers(report: Report) -> Markup | None:
    found: dict[str, list[str]] = {}
    for wheel in report.wheels:
        for offer in wheel.offers:
            found.setdefault(str(offer), []).append(wheel.target)
    if not found:
        return None
    rows = [join(text, " ", pieces.where(targets, report))
            for text, targets in sorted(found.items())]  # fmt: skip
    title = tag("h3", "What the native stack offers beyond them")
    return tag("div", title, pieces.listing(rows, "plain"), class_="offers")


def packages(report: Report) -> pieces.Section:
    """The packages of the SBOMs with their licenses."""
    found: dict[tuple[str, str, str], list[WheelReport]] = {}
    for wheel in report.wheels:
        for item in dict.fromkeys((c.name, c.version, c.licence) for c in wheel.inside.components):
            found.setdefault(item, []).append(wheel)
    nothing = tag("span", "none stated", class_="small")
    rows = [
        [name, version, licence or nothing, _largest_part(name, wheels),
         pieces.where([wheel.target for wheel in wheels], report)]
        for (name, version, licence), wheels in sorted(
            found.items(), key=lambda item: (item[0][0].lower(), item[0])
        )
    ]  # fmt: skip
    without = [wheel.target for wheel in report.wheels if not wheel.inside.components]
    columns = ["package", "version", "license", "in the wheel", "wheels"]
    if len(report.wheels) == 1:  # which has them all
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return pieces.section(
        "packages",
        "Packages and licenses",
        tag("p", f"No SBOM of geowheel in: {', '.join(without)}") if without else None,
        _accepted(report),
        _without_text(report),
        tag("details",
            tag("summary", f"All {len(rows)} packages, each with its license"),
            tag("div",
                pieces.search_box("package-filter", "Filter packages or licenses", "package-list"),
                tag("output", id="package-count", for_="package-filter"), class_="controls script"),
            tag("div", pieces.table("Packages that the SBOM names", columns, rows, class_="stack",
                                    id="package-list"),
                class_="scroll", tabindex="0", role="region", aria_label="Packages and licenses")),
        lead="What is bundled, as the wheel's own SBOM (CycloneDX, PEP 770) names it.",
    )  # fmt: skip


def _largest_part(name: str, wheels: Iterable[WheelReport]) -> str:
    sizes = [
        sum(part.packed for part in wheel.inside.parts if part.name == name) for wheel in wheels
    ]
    return pieces.amount(max(sizes))


def _accepted(report: Report) -> Markup | None:
    """Why packages under the GPL or the like are in the wheels; the others are open points."""
    found: dict[str, list[Restricted]] = {}
    for item in dict.fromkeys(item for wheel in report.wheels for item in wheel.restricted):
        if pattern := accepting(item.name, report.accept):
            found.setdefault(report.accept[pattern], []).append(item)
    rows = [join(tag("strong", why), pieces.listing(by_driver(of))) for why, of in found.items()]
    title = tag("summary", "Accepted, under the GPL or a refused license")
    return tag("details", title, pieces.listing(rows)) if rows else None


def _without_text(report: Report) -> Markup | None:
    names = sorted({name for wheel in report.wheels for name in wheel.without_license})
    if not names:
        return None
    return tag("p", "No license text was found in the package of: ", ", ".join(names))


def timings(report: Report) -> pieces.Section:
    """What the stages took for each wheel."""
    stages = list(dict.fromkeys(t.stage for wheel in report.wheels for t in wheel.timings))
    known = [t.seconds for w in report.wheels for t in w.timings if t.seconds is not None]
    longest = max(known, default=0.0)
    rows = [_timing_row(wheel, stages, longest) for wheel in report.wheels]
    columns = ("wheel", *stages, "all")
    lead = "What each stage took when it last ran; a dash where its record is gone."
    table = pieces.table("Stage timings", columns, rows, class_="stack timings")
    return pieces.section("timings", "Timings", table, lead=lead)


def _timing_row(wheel: WheelReport, stages: Sequence[str], longest: float) -> list[object]:
    taken = {timing.stage: timing.seconds for timing in wheel.timings}
    cells: list[object] = [tag("span", wheel.target, class_="target")]
    for stage in stages:
        amount = taken.get(stage)
        cells.append("–" if amount is None else join(seconds(amount), pieces.bar(amount, longest)))
    known = [amount for amount in taken.values() if amount is not None]
    return [*cells, tag("strong", seconds(sum(known))) if known else "–"]

"""The page of a report in a real browser: headless Chromium, with nothing but the file."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from geowheel.release.report.writing import report
from tests.support.hosts import make_console
from tests.support.project_copy import TARGET, Built
from tests.support.releases import CASES, CONTENTS, make_wheel, picked, plant

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")  # its event loop would be in the way of other modules' own
def chromium() -> Iterator[Browser]:
    """Debian's Chromium. Without one this fails: a page that nobody looked at is not tested."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "no chromium on PATH; next: apt-get install chromium"
    with sync_playwright() as playwright:
        # Root has no sandbox in a container, and its /dev/shm is small.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@dataclass
class Seen:
    """A page that is open, and what it did besides."""

    page: Page
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()


def look(browser: Browser, path: Path, viewport: dict[str, int] = DESKTOP, **more: Any) -> Seen:
    """Open the file in a context without a network, and note every complaint and request."""
    context = browser.new_context(viewport=viewport, offline=True, **more)  # type: ignore[arg-type]
    seen = Seen(page=context.new_page())
    seen.page.on("console", lambda message: seen.problems.append(message.text))
    seen.page.on("pageerror", lambda error: seen.problems.append(str(error)))
    seen.page.on("request", lambda request: seen.requests.append(request.url))
    seen.page.goto(path.as_uri())
    seen.page.locator(".tile").first.wait_for() if more.get("java_script_enabled", True) else None
    return seen


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three wheels: a good one, one where all failed, one that no record is about."""
    root = tmp_path_factory.mktemp("report")
    good = plant(root)
    good.size()
    good.test()
    good.lab(CASES[:1])
    bad = plant(root, python="3.99", project=good.project, locked=False, contents=CONTENTS[:6])
    bad.size(budget=0.5)
    bad.test(passed=False)
    bad.lab()
    hostile = '</script><img src="x" onerror="alert(1)">'
    make_wheel(
        good.project.dist / "host-1.0-cp311-cp311-musllinux_1_2_x86_64.whl",
        (*CONTENTS, type(CONTENTS[0])(name=hostile, version="1", license=hostile, files={"a": 9})),
    )
    coverage = [
        picked("Debian 13", wheel=good.wheel.name, until="2028-08-09"),
        picked("Debian 13", python="3.97", why="no wheel for this Python", until="2028-08-09"),
        picked("Alpine 3.20", why="musl"),
        picked("Debian 10", why="too old", until="2024-06-30"),
    ]
    report(good.project, make_console(root), coverage=coverage)
    return good.project.dist / "report.html"


def chosen(seen: Seen) -> str:
    return seen.page.locator('.tile[aria-pressed="true"]').get_attribute("aria-label") or ""


def choose_wheel(seen: Seen, target: str) -> None:
    seen.page.get_by_label("Wheel", exact=True).select_option(label=target)


def test_it_renders_and_asks_for_nothing(chromium: Browser, written: Path) -> None:
    seen = look(chromium, written)
    assert seen.problems == []
    assert seen.requests == [written.as_uri()]
    assert seen.page.title() == "host 1.0: release report"
    headings = seen.page.locator("h2").all_inner_texts()
    assert {"Wheels", "What fills a wheel", "Verdicts", "Floors and sources", "Coverage", "Drivers",
            "Packages and licenses", "Timings",
            } <= set(headings)  # fmt: skip
    assert seen.page.locator("img").count() == 0
    links = seen.page.locator("nav a").all()
    assert all(seen.page.locator(str(a.get_attribute("href"))).count() == 1 for a in links)


def test_verdicts_and_coverage_are_said_plainly(chromium: Browser, written: Path) -> None:
    seen = look(chromium, written)
    rows = {
        row.locator(".target").inner_text(): row.inner_text()
        for row in seen.page.locator("table.wheels tbody tr").all()
    }
    assert "lab passed" in rows["cp398-linux-64"] and "FAILED" not in rows["cp398-linux-64"]
    assert "OVER BUDGET" in rows["cp399-linux-64"] and "test FAILED" in rows["cp399-linux-64"]
    assert "NO RECORD" in rows["cp311-linux-64"] and "lab NOT RUN" in rows["cp311-linux-64"]
    assert "lab FAILED cp399-linux-64" in " ".join(seen.text(".notice.bad").split())
    assert "FAILED" not in seen.text(".notice.wait")
    assert seen.page.get_by_text("read it all the same").is_visible()
    shown = [row.inner_text() for row in seen.page.locator("#coverage tbody tr:visible").all()]
    served, no_python, musl = (" ".join(row.split()) for row in shown)
    assert served.startswith("✓ host-1.0-cp398") and served.endswith("Debian 13 (3.98)")
    assert "Debian 13 (3.97)" in no_python and "no wheel for this Python" in no_python
    assert "Alpine 3.20 (3.98)" in musl and "no musl" in musl
    assert "1 of 2 systems in support get one" in seen.text("#coverage .lead")


def test_passed_verdicts_fold_and_the_treemap_is_whole(chromium: Browser, written: Path) -> None:
    seen = look(chromium, written)
    _, good, bad = seen.page.locator("#verdicts > details").all()
    opened = bad.locator("details").evaluate_all("(all) => all.map((one) => one.open)")
    states = [badge.inner_text() for badge in bad.locator("details .badge").all()]
    assert opened == ["passed" not in state for state in states] == [True, True, True]
    assert good.get_attribute("open") is None, "every verdict passed"
    good.locator("summary").first.click()
    opened = good.locator("details").evaluate_all("(all) => all.map((one) => one.open)")
    assert opened == [False, False, False]
    seen = look(chromium, written)
    whole = seen.page.locator("#treemap").bounding_box()
    boxes = [tile.bounding_box() for tile in seen.page.locator(".tile").all()]
    assert whole is not None
    areas = [box["width"] * box["height"] for box in boxes if box is not None]
    assert sum(areas) == pytest.approx(whole["width"] * whole["height"], rel=0.001)
    assert len(areas) == len(boxes) == len(CONTENTS) + 2, "the hostile one and metadata as well"
    assert areas == sorted(areas, reverse=True)


def test_the_treemap_reacts_to_pointer_and_click(chromium: Browser, written: Path) -> None:
    seen = look(chromium, written)
    assert seen.text("#detail h3") == "libgdal-core 3.10.2"
    assert "host.libs/libgdal.so.36" in seen.text("#detail")
    seen.page.locator('.tile[aria-label^="proj "]').hover()
    assert seen.text("#detail h3") == "proj 9.5.1"
    seen.page.locator("#detail").hover()
    assert seen.text("#detail h3") == "libgdal-core 3.10.2", "nothing was chosen yet"
    seen.page.locator('.tile[aria-label^="openssl "]').click()
    seen.page.locator("#detail").hover()
    assert "Apache-2.0" in seen.text("#detail") and "210 kB" in seen.text("#detail")
    assert chosen(seen).startswith("openssl 3.4.0, 210 kB")
    seen.page.locator('.tile[aria-label*="onerror"]').focus()
    assert "<img" in seen.text("#detail h3")
    assert seen.page.locator("img").count() == 0
    choose_wheel(seen, "cp399-linux-64")
    assert seen.page.locator(".tile").count() == 8
    assert "PROJ data 310 kB" in " ".join(seen.text("#kinds").split())
    seen.page.locator('input[name="measure"][value="size"]').check()
    assert seen.page.locator(".tile").count() == 8
    assert seen.problems == []


def test_the_treemap_reacts_to_the_keyboard(chromium: Browser, written: Path) -> None:
    seen = look(chromium, written)
    assert seen.page.locator('.tile[tabindex="0"]').count() == 1, "one stop of the tab order"
    seen.page.locator('.tile[tabindex="0"]').focus()
    first = chosen(seen)
    seen.page.keyboard.press("ArrowRight")
    second = chosen(seen)
    assert second != first
    assert seen.text("#detail h3").replace("\n", " ") in second.replace(",", "")
    seen.page.keyboard.press("ArrowLeft")
    assert chosen(seen) == first
    seen.page.keyboard.press("End")
    last = chosen(seen)
    seen.page.keyboard.press("Home")
    assert chosen(seen) == first != last
    focused = seen.page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused == first


def test_drivers_and_packages_are_filtered(chromium: Browser, written: Path) -> None:
    seen = look(chromium, written)
    shown = seen.page.locator("#driver-list li:visible .name")
    assert shown.count() == 5
    seen.page.get_by_label("Filter drivers").fill("g")
    assert shown.all_inner_texts() == ["GeoJSON", "GPKG", "GTiff", "netCDF"]
    seen.page.get_by_label("Filter drivers").fill("raster g")
    assert shown.all_inner_texts() == ["GPKG", "GTiff", "netCDF"]
    assert seen.text("#driver-count") == "3 of 5 drivers"
    seen.page.locator("#packages summary").last.click()
    seen.page.get_by_label("Filter packages or licenses").fill("zlib")
    rows = seen.page.locator("#package-list tbody tr:visible th").all_inner_texts()
    assert rows == ["libc", "libg", "libk"]


@pytest.mark.parametrize("width", [320, 360, 390, 768])
def test_a_phone_needs_no_sideways_scroll(chromium: Browser, written: Path, width: int) -> None:
    seen = look(chromium, written, PHONE | {"width": width}, is_mobile=True, has_touch=True)
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    nav = seen.page.locator("nav ul")
    hidden = nav.evaluate("(e) => e.scrollWidth - e.clientWidth")
    assert ("gradient" in nav.evaluate("(e) => getComputedStyle(e).backgroundImage")) or not hidden
    seen.page.locator('.tile[aria-label^="proj "]').tap()
    assert seen.text("#detail h3") == "proj 9.5.1"


def luminance(colour: str) -> float:
    """WCAG's relative luminance of `rgb(1, 2, 3)`."""
    numbers = [float(n) / 255 for n in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [n / 12.92 if n <= 0.04045 else ((n + 0.055) / 1.055) ** 2.4 for n in numbers]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


CONTRAST = """() => [...document.querySelectorAll("main *, header *, nav *, footer *")]
  .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())
                 && e.checkVisibility() && e.tagName !== "OPTION")
  .map((e) => {
    let behind = e;
    const clear = (x) => getComputedStyle(x).backgroundColor === "rgba(0, 0, 0, 0)";
    while (behind && clear(behind)) behind = behind.parentElement;
    return [e.textContent.trim().slice(0, 40), getComputedStyle(e).color,
            getComputedStyle(behind || document.body).backgroundColor];
  })"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(chromium: Browser, written: Path, scheme: str) -> None:
    seen = look(chromium, written, color_scheme=scheme)
    paper = luminance(seen.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert paper < 0.05 if scheme == "dark" else paper > 0.8
    found = seen.page.evaluate(CONTRAST)
    assert len(found) > 150
    weak = []
    for text, ink, paper in found:
        low, high = sorted((luminance(ink), luminance(paper)))
        if (high + 0.05) / (low + 0.05) < 4.5:
            weak.append((text, ink, paper))
    assert weak == []


def test_it_can_be_read_without_its_script(chromium: Browser, written: Path) -> None:
    seen = look(chromium, written, java_script_enabled=False)
    assert "OVER BUDGET" in seen.text("table.wheels")
    assert seen.page.locator("#driver-list li:visible").count() == 5
    assert not seen.page.locator("#wheel").is_visible()
    assert seen.page.get_by_text("which does not run here").is_visible()


def pages(seen: Seen) -> int:
    """Of paper, when it is printed."""
    return len(re.findall(rb"/Type\s*/Page\b", seen.page.pdf(format="A4")))


def test_it_prints(chromium: Browser, written: Path) -> None:
    seen = look(chromium, written)
    seen.page.emulate_media(media="print")
    assert not seen.page.locator("nav").is_visible()
    clipped = "(e) => e.scrollHeight > e.clientHeight + 1"
    assert not seen.page.locator("#driver-list").evaluate(clipped)
    assert not any(box.evaluate(clipped) for box in seen.page.locator(".scroll").all())
    assert not seen.page.get_by_text("Debian 10").is_visible(), "what is folded stays so"
    assert pages(seen) <= 8


def test_a_real_wheel_is_reported(built: Built, chromium: Browser) -> None:
    found = built.project.json("report")
    assert found["wheels"] == [built.wheel.name]
    assert {"cause": "lab NOT RUN", "wrong": False, "where": [TARGET]} in found["open"]
    (gpl,) = (point["where"] for point in found["open"] if "GPL" in point["cause"])
    assert any(line.startswith("driver PDF: ") and "poppler" in line for line in gpl)
    seen = look(chromium, Path(found["page"]))
    row = seen.text("table.wheels tbody tr")
    size = built.summary["size"]
    assert f"{size['compressed'] / 1e6:.1f} MB of {size['wheel_mb']:g} MB" in row
    assert f"{size['installed'] / 1e6:.1f} MB of {size['installed_mb']:g} MB" in row
    assert seen.page.locator("#driver-list li").count() == len(built.summary["drivers"])
    largest = size["packages"][0]
    assert f"{largest['packed'] / 1e6:.1f} MB" in chosen(seen)
    assert largest["package"] == seen.text("#detail h3")
    assert seen.page.locator(".tile").count() == len(size["packages"])
    assert "no committed lock" in seen.text("#floors")
    assert seen.page.locator("#package-list thead th").count() == 4, "one wheel has them all"
    stages = seen.page.locator("table.timings tbody td").all_inner_texts()
    assert stages.count("–") == 1, "only the lab was not run"
    assert seen.problems == [] and seen.requests == [Path(found["page"]).as_uri()]
    assert pages(seen) <= 8

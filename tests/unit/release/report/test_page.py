"""The page: what it holds, and that no data can become a part of it."""

import dataclasses
import datetime
import html.parser
import json
from dataclasses import replace
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from geowheel.contents.drivers import Driver, PackageOffer
from geowheel.contents.restricted import Restricted
from geowheel.machine.credentials import shown
from geowheel.records.facts import Cost, PrefixString
from geowheel.release.coverage.obstacles import Hindrance, HindranceKind
from geowheel.release.coverage.table import Coverage
from geowheel.release.report.inside import BundledPackage, Inside, MemberSize, PackageSize
from geowheel.release.report.page import render
from geowheel.release.report.values import (
    Before,
    Finding,
    Group,
    Report,
    Timing,
    VerdictState,
    WheelReport,
    WheelVerdict,
)
from geowheel.systems.contract import Forcing

HOSTILE = (
    "</script><script>alert(1)</script>", "</style>", "\"'><img src=x onerror=alert(1)>", "<!--",
    "]]>", "&lt;", "$title", "${x}", "\u2028", "a\0b", "javascript:alert(1)", "`${alert(1)}`",
)  # fmt: skip


def report_of(text: str, *, accepted: bool = True) -> Report:
    """A report in which every text is this one."""
    row = Coverage(
        project=text, system=text, group=text, base=text, architecture=text, python=text, pip=text,
        end_of_life=None, wheel=None, platform=None,
    )  # fmt: skip
    inside = Inside(
        installed=3,
        parts=(PackageSize(name=text, version=text, kind=text, packed=2, size=3, files=2,
                    largest=(MemberSize(path=text, packed=1, size=2),)),),
        kinds=(Cost(name=text, packed=2, size=3),),
        components=(BundledPackage(name=text, version=text, license=text),),
        problem=text,
    )  # fmt: skip
    finding = Finding(group=text, name=text, detail=text)
    verdicts = tuple(
        WheelVerdict(stage=text, state=state, words=text, failed=(finding,), not_run=(finding,),
                emulator=text,
                groups=(Group(name=text, passed=1, failed=0, not_run=0, seconds=1.0),))
        for state in VerdictState
    )  # fmt: skip
    wheel = WheelReport(
        file=text, sha256=text, version=text, target=text, tag=text, recorded=True, locked=False,
        made=text, compressed=2, wheel_mb=1.0, installed_mb=1.0, inside=inside, verdicts=verdicts,
        timings=(Timing(stage=text, seconds=1.0),),
        floor=(Forcing(needs=text, packages=(text,), files=(text,)),), sources={text: 1},
        drivers=(Driver(name=text, kinds=(text,), plugin=text),),
        offers=(PackageOffer(package=text, drivers=(text,), in_stack=False),),
        without_license=(text,),
        restricted=(Restricted(name=text, version=text, terms=text, brought_by=text),),
        without_grids=("heights above EGM2008",),
        prefix_strings=(PrefixString(path=text, text=text, overridden=text),),
        before=Before(version=text, compressed=1, installed=1),
    )  # fmt: skip
    return Report(
        host=text,
        geowheel=text,
        wheels=(wheel,),
        missing=(text,),
        coverage=(
            replace(row, wheel=text, reasons=()),
            replace(row, reasons=(Hindrance(obstacle=HindranceKind.TAG, what=text, fix=text),)),
            replace(row, end_of_life=datetime.date(2020, 1, 1)),
        ),
        accept={"*": text} if accepted else {},
    )


class Skeleton(html.parser.HTMLParser):
    """The elements and attribute names of a page, without any text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.shape: list[tuple[Any, ...]] = []
        self.scripts: list[str] = []
        self._script = False
        self.feed(text)
        self.close()

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        if name != "wbr":  # there are as many as a name has joints
            self.shape.append((name, *sorted(key for key, _ in attributes)))
        self._script = name == "script"

    def handle_endtag(self, name: str) -> None:
        self.shape.append(("end", name))
        self._script = False

    def handle_comment(self, data: str) -> None:
        self.shape.append(("comment", data))

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts.append(data)


PLAIN = {known: Skeleton(render(report_of("plain", accepted=known))) for known in (True, False)}


def check(text: str) -> None:
    """The page has the elements of a harmless one, and its facts are the text as it may be seen.

    Letters around it keep it from being empty, which some elements are left out for.
    """
    text = f"x{text}y"
    for accepted, plain in PLAIN.items():
        found = Skeleton(render(report_of(text, accepted=accepted)))
        assert found.shape == plain.shape
        facts, script = found.scripts
        assert json.loads(facts)["wheels"][0]["parts"][0]["name"] == shown(text)
        assert script == plain.scripts[1]


@settings(max_examples=20)
@example("".join(HOSTILE))
@given(
    st.lists(st.sampled_from([*HOSTILE, "<", ">", '"', "'", "&", "/", "=", "x"]), min_size=1).map(
        "".join
    )
)
def test_no_text_becomes_markup(text: str) -> None:
    check(text)


@settings(max_examples=10)
@given(st.text(max_size=40))
def test_no_control_is_on_the_page(text: str) -> None:
    """Nor does a script put one there: in its facts they are written out."""
    page = render(report_of(f"x{text}\u202e\x1b[2Jy"))
    assert all(letter.isprintable() or letter in "\n\t" for letter in shown(page))
    facts = json.loads(Skeleton(page).scripts[0])["wheels"][0]["parts"][0]["name"]
    assert facts == shown(facts) and "\\u202e" in facts


def test_the_page_asks_for_nothing() -> None:
    page = render(report_of("plain"))
    for sign in ("http:", "https:", "//", "@import", "url(", "fetch(", "XMLHttp", '<link rel="s'):
        assert sign not in page.replace("// ", ""), sign
    assert "default-src 'none'" in page
    made = dataclasses.replace(report_of("plain"), coverage=None)
    assert 'id="coverage"' not in render(made)
    assert 'id="coverage"' in render(report_of("plain"))

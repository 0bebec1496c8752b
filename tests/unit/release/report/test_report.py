"""The facts of a report, from planted records."""

import json
from pathlib import Path

import pytest
from tests.support.hosts import RUNNING, make_console, make_project, make_record
from tests.support.releases import (
    CASES,
    CHANNEL,
    CONTENTS,
    MORE,
    Planted,
    make_wheel,
    picked,
    plant,
)

from geowheel.contents.restricted import Restricted
from geowheel.errors import UsageError
from geowheel.records.facts import BuildFacts
from geowheel.records.ledger import read_record
from geowheel.release.report.earlier import read_wheels
from geowheel.release.report.page import render
from geowheel.release.report.reading import read_report
from geowheel.release.report.values import (
    Before,
    OpenPoint,
    VerdictState,
    WheelReport,
    WheelVerdict,
    open_points,
)
from geowheel.release.report.writing import report
from geowheel.stages import STAGES


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return plant(tmp_path)


def only(planted: Planted) -> WheelReport:
    (wheel,) = read_report(planted.project).wheels
    return wheel


def not_done(cause: str, *where: str) -> OpenPoint:
    return OpenPoint(cause=cause, wrong=False, where=where)


def verdict(wheel: WheelReport, stage: str) -> WheelVerdict:
    return next(verdict for verdict in wheel.verdicts if verdict.stage == stage)


def whole(planted: Planted) -> None:
    """Every verdict, and all of them good."""
    planted.size()
    planted.test()
    planted.lab(CASES[:2])


def test_without_a_wheel_the_next_command_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no wheel of host") as caught:
        read_report(make_project(tmp_path))
    assert caught.value.faults[0].fix == f"make one: `geowheel wheel --python {RUNNING}`"
    assert not (tmp_path / "dist").exists()


def test_a_wheel_with_every_verdict_passed(planted: Planted) -> None:
    whole(planted)
    wheel = only(planted)
    assert {v.stage: v.state for v in wheel.verdicts} == {
        "size": VerdictState.PASSED, "test": VerdictState.PASSED, "lab": VerdictState.PASSED,
    }  # fmt: skip
    assert (wheel.recorded, wheel.locked, wheel.target) == (True, True, "cp398-linux-64")
    assert (wheel.tag, wheel.version) == ("manylinux_2_35_x86_64", "1.0")
    (forced,) = wheel.floor
    assert (forced.needs, forced.packages) == ("GLIBC_2.35", ("libgdal-core", "proj"))
    assert wheel.compressed == planted.wheel.stat().st_size
    assert (wheel.wheel_mb, wheel.installed_mb) == (2.0, 6.0)
    assert [point.cause for point in open_points(read_report(planted.project))] == [
        "configured, but not in dist/"
    ]


def test_what_is_no_verdict_is_none(planted: Planted) -> None:
    planted.size()
    wheel = only(planted)
    assert verdict(wheel, "test").state is VerdictState.NOT_RUN
    assert verdict(wheel, "lab").state is VerdictState.NOT_RUN
    assert verdict(wheel, "lab").words == "geowheel lab --python 3.98, on linux-64"
    assert not_done("test NOT RUN", "cp398-linux-64") in open_points(read_report(planted.project))
    assert wheel.drivers == ()
    make_wheel(planted.project.dist / "other-1.0-cp398-cp398-manylinux_2_35_x86_64.whl")
    (planted.project.dist / "no wheel's name.whl").write_bytes(b"")
    assert only(planted).file == planted.wheel.name
    whole(planted)
    make_wheel(planted.wheel, salt="rebuilt")
    wheel = only(planted)
    assert not wheel.recorded and wheel.locked is None
    assert {verdict.state for verdict in wheel.verdicts} == {VerdictState.NOT_RUN}
    (point,) = (p for p in open_points(read_report(planted.project)) if wheel.file in p.where)
    assert point.wrong and "no record is about it" in point.cause


def test_what_failed_and_what_was_not_run_is_named(planted: Planted) -> None:
    planted.size(budget=0.5)
    planted.test(passed=False)
    planted.lab()
    wheel = only(planted)
    assert {verdict.state for verdict in wheel.verdicts} == {VerdictState.FAILED}
    assert [f.name for f in verdict(wheel, "test").failed] == ["proj.db"]
    assert [f.name for f in verdict(wheel, "test").not_run] == ["driver HDF4"]
    assert [f.detail for f in verdict(wheel, "lab").failed] == ["read it all the same"]
    assert [f.name for f in verdict(wheel, "lab").not_run] == ["ours, fiona"]
    assert [(g.name, g.passed, g.failed, g.not_run) for g in verdict(wheel, "lab").groups] == [
        ("coexistence", 1, 0, 1), ("https", 0, 1, 0),
    ]  # fmt: skip
    assert verdict(wheel, "size").failed[0].name == "wheel file is over the budget"


def test_a_lab_of_some_cases_is_no_pass_and_hides_no_whole_one(planted: Planted) -> None:
    planted.lab(CASES[:1], whole=False)
    assert verdict(only(planted), "lab").state is VerdictState.PARTIAL
    points = open_points(read_report(planted.project))
    assert not_done("lab NOT RUN (some cases only)", "cp398-linux-64") in points
    planted.lab()
    assert verdict(only(planted), "lab").state is VerdictState.FAILED


def test_open_points_are_one_for_each_cause(tmp_path: Path) -> None:
    first = plant(tmp_path)
    first.size(budget=0.5)
    second = plant(tmp_path, python="3.99", project=first.project, version="1.1", locked=False)
    second.size(budget=0.5)
    second.test(passed=False)
    make_wheel(first.project.dist / "host-1.0-cp311-cp311-musllinux_1_2_x86_64.whl")
    points = open_points(read_report(first.project))
    both = ("cp398-linux-64", "cp399-linux-64")
    assert [(point.wrong, point.cause, point.where) for point in points] == [
        (True, "wheels of several versions", ("1.0", "1.1")),
        (True, "no record is about it; it was made elsewhere, or changed",
         ("host-1.0-cp311-cp311-musllinux_1_2_x86_64.whl",)),
        (True, "size FAILED", both),
        (True, "test FAILED", ("cp399-linux-64",)),
        (False, "test NOT RUN", ("cp398-linux-64",)),
        (False, "lab NOT RUN", both),
        (False, "its native stack is not from a committed lock", ("cp399-linux-64",)),
    ]  # fmt: skip
    page = render(read_report(first.project))
    assert page.index("Wrong: 4") < page.index("size FAILED") < page.index("Not done yet: 3")
    assert page.count("lab NOT RUN</strong>") == 1


GPL = (
    Restricted(name="poppler", version="1", terms="GPL-2.0-only", brought_by="driver PDF"),
    Restricted(name="x265", version="3", terms="GPL-2.0", brought_by="driver HEIF"),
    Restricted(name="lcms2", version="2", terms="GPL-3.0-only", brought_by="driver PDF"),
)


def test_a_package_under_the_gpl_is_open_until_it_is_accepted_with_a_reason(tmp_path: Path) -> None:
    first = plant(tmp_path, restricted=GPL)
    plant(tmp_path, python="3.99", project=first.project, restricted=GPL)
    (point,) = (p for p in open_points(read_report(first.project)) if "GPL" in p.cause)
    assert point.where == (
        "driver HEIF: x265 3 (GPL-2.0)",
        "driver PDF: poppler 1 (GPL-2.0-only), lcms2 2 (GPL-3.0-only)",
    )
    assert not point.wrong and "[tool.geowheel.licenses]" in point.cause
    accept = '[tool.geowheel.licenses.accept]\n"*p*" = "we share <all> of ours"\nx265 = "bought"\n'
    project = make_project(tmp_path, more=MORE + accept)
    made = read_report(project)
    (point,) = (p for p in open_points(made) if "GPL" in p.cause)
    assert point.where == ("driver PDF: lcms2 2 (GPL-3.0-only)",)
    page = render(made)
    assert "we share &lt;all&gt; of ours</strong><ul><li>driver PDF: poppler 1 (GPL-2.0" in page
    assert "bought</strong><ul><li>driver HEIF: x265 3" in page


def test_what_fills_the_wheel_adds_up(planted: Planted) -> None:
    inside = only(planted).inside
    parts = {part.name: part for part in inside.parts}
    assert sum(part.size for part in inside.parts) == inside.installed
    assert sum(kind.size for kind in inside.kinds) == inside.installed
    assert parts["libgdal-core"].size == 661_000
    assert (parts["libgdal-core"].version, parts["libgdal-core"].files) == ("3.10.2", 2)
    assert parts["libgdal-core"].kind == "libraries" and parts["proj"].kind == "PROJ data"
    assert parts["GDAL bindings"].version == "3.10.2"
    assert inside.parts[0].name == "libgdal-core"
    components = {item.name: item for item in only(planted).inside.components}
    assert len(components) == len(CONTENTS)
    assert components["geos"].license == "LGPL-2.1-or-later"
    assert only(planted).sources == {CHANNEL: 1}
    assert components["GDAL bindings"].license == ""
    assert only(planted).without_license == ("liba",)


def test_a_wheel_without_a_record_is_filled_by_its_own_sbom(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    make_wheel(project.dist / "host-1.0-cp312-abi3-macosx_11_0_arm64.whl")
    make_wheel(project.dist / "host-1.0-cp312-cp312-win_amd64.whl", sbom=False)
    (project.dist / "host-1.0-py3-none-any.whl").write_bytes(b"not a wheel at all")
    mac, windows, broken = read_report(project).wheels
    assert mac.target == "cp312-osx-arm64" and mac.inside.parts[0].name == "libgdal-core"
    assert windows.target == "cp312-win-64"
    assert [part.name for part in windows.inside.parts] == ["of no package"]
    assert broken.inside.problem and not broken.inside.parts


def test_timings_follow_what_the_wheel_was_made_from(planted: Planted) -> None:
    planted.size()
    other = {"other.whl": b"other"}
    make_record(planted.ledger, BuildFacts(), planted.subject, text="other", files=other)
    taken = {timing.stage: timing.seconds for timing in only(planted).timings}
    assert list(taken) == [stage.name for stage in STAGES]
    assert (taken["build"], taken["repair"], taken["size"]) == (8.0, 12.0, 3.5)
    assert taken["fetch"] is None and taken["lab"] is None
    for record in planted.ledger.records(BuildFacts):
        (record.folder / "record.json").unlink()
        assert read_record(record.folder, BuildFacts) is None
    assert {t.stage: t.seconds for t in only(planted).timings}["build"] is None


def write(planted: Planted, against: Path | None = None) -> None:
    report(planted.project, make_console(planted.project.root), against=against)


def test_the_last_release_is_compared_with_and_stays_so(tmp_path: Path) -> None:
    old = plant(tmp_path, version="1.0", contents=CONTENTS[:3])
    write(old)
    size = old.wheel.stat().st_size
    old.wheel.unlink()
    new = plant(tmp_path, version="1.1", project=old.project)
    pages = []
    for _ in range(3):
        write(new)
        ((target, _, before),) = read_wheels(new.project.dist / "report.json", host="host")
        assert target == "cp398-linux-64"
        assert before is not None and (before.version, before.compressed) == ("1.0", size)
        pages.append((new.project.dist / "report.html").read_bytes())
    assert len(set(pages)) == 1
    assert b"from 1.0" in pages[0]


def test_a_named_report_is_compared_with(planted: Planted, tmp_path: Path) -> None:
    write(planted)
    saved = (planted.project.dist / "report.json").rename(tmp_path / "saved.json")
    write(planted, against=saved)
    ((_, now, before),) = read_wheels(planted.project.dist / "report.json", host="host")
    assert before == now


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no report.json"),
        ("[]", "no report.json"),
        ('{"format": 1, "host": "host", "wheels": [{}]}', "no report.json"),
        ('{"format": 99, "host": "host"}', "another format"),
        ('{"format": 1, "host": "other"}', "is of other, not of host"),
        (None, "No such file"),
    ],
)
def test_what_cannot_be_compared_with_is_said(
    planted: Planted, tmp_path: Path, text: str | None, said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = tmp_path / "old.json"
    if text is not None:
        path.write_text(text)
        (planted.project.dist / "report.json").write_text(text)
        write(planted)
        assert said in " ".join(capsys.readouterr().err.split())
    with pytest.raises(UsageError, match=said):
        write(planted, against=path)


def test_the_same_records_give_the_same_bytes_in_any_folder(tmp_path: Path) -> None:
    texts = []
    for name in ("one", "another folder"):
        (tmp_path / name).mkdir()
        planted = plant(tmp_path / name)
        whole(planted)
        write(planted)
        dist = planted.project.dist
        texts.append([(dist / file).read_bytes() for file in ("report.html", "report.json")])
    assert texts[0] == texts[1]


def test_the_summary_names_what_is_open(planted: Planted, tmp_path: Path) -> None:
    found = report(planted.project, make_console(tmp_path))
    assert Path(found["page"]).is_file() and Path(found["facts"]).is_file()
    point = {"cause": "lab NOT RUN", "wrong": False, "where": ("cp398-linux-64",)}
    assert point in found["open"]
    (written,) = (
        p for p in json.loads(Path(found["facts"]).read_text())["open"] if "lab" in p["cause"]
    )
    assert written == point | {"where": ["cp398-linux-64"]}
    assert not list(planted.project.dist.glob(".*"))


def test_systems_out_of_support_come_last_and_folded(planted: Planted) -> None:
    """By the day of the wheel, 2026-03-04."""
    rows = [
        picked("Old 1", wheel="a.whl", until="2026-03-03"),
        picked("Ending 2", wheel="a.whl", until="2026-03-04"),
        picked("Endless 3", why="too new"),
        picked("Endless 3", python="3.99", why="too new"),
        picked("Ending 4", why="too new", until="2030-01-01"),
        picked("Old 5", why="too old", until="2020-01-01"),
    ]
    page = render(read_report(planted.project, coverage=rows))
    current, ended = page[page.index('id="coverage"') :].split("</section>")[0].split("<details>")
    assert "1 of 3 systems in support get one" in current
    assert "✓ a.whl" in current and "Ending 2 (3.98)" in current
    assert "Endless 3 (3.98, 3.99); Ending 4 (3.98)" in current and "no too new" in current
    assert "Old" not in current and "Out of support: 2 systems" in ended
    assert "Old 1" in ended and "Old 5" in ended and "too old" in ended


def test_a_target_takes_its_own_comparison(planted: Planted) -> None:
    earlier = {"cp398-linux-64": Before(version="0.9", compressed=1, installed=2), "x": None}
    (wheel,) = read_report(planted.project, earlier={k: v for k, v in earlier.items() if v}).wheels
    assert wheel.before == earlier["cp398-linux-64"]

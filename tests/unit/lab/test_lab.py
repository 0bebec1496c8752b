"""The lab around its processes: which cases there are, and what their ends mean."""

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.hosts import make_context, make_interpreter, make_project, make_step

from geowheel.digest import Artefact
from geowheel.errors import UsageError
from geowheel.lab import groups, running
from geowheel.lab.cases import PEERS, Case, Choice, Equipment, Judge, select
from geowheel.lab.judging import CaseResult, CaseVerdict, Crash, End, judge
from geowheel.lab.running import Workbench, run_cases
from geowheel.locks.assets import Asset
from geowheel.locks.channels import Mirrors
from geowheel.machine.process import Result
from geowheel.prefix.store import Store
from geowheel.probes import damage, libraries
from geowheel.project.places import Layout
from geowheel.records.facts import LabFacts
from geowheel.records.ledger import MadeFolder
from geowheel.stages import inputs
from geowheel.stages import lab as stage
from geowheel.stages.context import installable
from geowheel.targets import Platform

EVERYTHING = Equipment(other_gdal="/prefix/lib", seed=7)
SCRIPTS = files("geowheel.probes")


def test_names_are_unique_and_what_a_case_needs_and_calls_is_there() -> None:
    cases = groups.every_case(EVERYTHING)
    names = [case.full_name for case in cases]
    assert len(names) == len(set(names))
    assert set(libraries.WORK) == {"ours", *PEERS}
    for case in cases:
        assert set(case.needs) <= set(names) and not case.skip
        if case.judge is Judge.NUMBERS:
            assert case.needs == tuple(f"coexistence: {one} alone" for one in case.asked["order"])
        module, _, name = case.function.partition(":")
        tree = ast.parse(SCRIPTS.joinpath(f"{module}.py").read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert json.loads(json.dumps(case.asked)) == case.asked
    cases = groups.every_case(EVERYTHING)
    asked = [case.asked.get("order") for case in cases]
    for peer in PEERS:
        assert ["ours", peer] in asked and [peer, "ours"] in asked and [peer] in asked
    assert sum(case.asked.get("count", 0) for case in cases) == 200


@pytest.mark.parametrize(
    ("offer", "group", "words"),
    [
        (replace(EVERYTHING, server=False), "https", groups.NO_SERVER),
        (replace(EVERYTHING, bubblewrap=False), "slim root", groups.NO_BUBBLEWRAP),
        (replace(EVERYTHING, emulated=True), "slim root", groups.EMULATED),
    ],
)
def test_what_cannot_run_says_why(offer: Equipment, group: str, words: str) -> None:
    skipped = {case.group for case in groups.every_case(offer) if case.skip == words}
    assert group in skipped
    assert {case.skip for case in groups.every_case(offer) if case.group == group} == {words}


def test_a_peer_without_a_wheel_is_a_case_that_says_so() -> None:
    offer = replace(EVERYTHING, peers=("pyproj",), lacking={"fiona": "no wheel for this target"})
    found = {
        case.name: case.skip for case in groups.every_case(offer) if case.group == "coexistence"
    }
    assert found["ours and fiona"] == "no wheel for this target"
    assert [name for name in found if "order" in name] == []


@given(st.integers(), st.sets(st.sampled_from(PEERS), min_size=2))
def test_orders_are_long_different_with_ours_and_of_their_seed(seed: int, chosen: set[str]) -> None:
    peers = tuple(sorted(chosen))
    found = groups.orders(peers, seed)
    assert found == groups.orders(peers, seed)
    assert 0 < len(found) == len(set(found)) <= groups.RANDOM_ORDERS
    for order in found:
        assert len(order) >= groups.SHORTEST and "ours" in order
        assert len(set(order)) == len(order) and set(order) <= {"ours", *peers}


def test_which_cases_are_chosen() -> None:
    assert groups.orders(PEERS, 1) != groups.orders(PEERS, 2)
    assert len(groups.orders(PEERS, 1)) == groups.RANDOM_ORDERS
    assert select(groups.every_case(EVERYTHING), ()) == groups.every_case(EVERYTHING)
    assert Choice().whole and not Choice(cases=("fork*",)).whole
    with pytest.raises(UsageError, match="no case of the lab matches 'fokr'") as caught:
        select(groups.every_case(EVERYTHING), ["threads", "fokr"])
    assert "coexistence, poisoned environment, https" in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("slim root", ["slim root: Python, the C runtimes and nothing else"]),
        ("*fork", ["processes: children by fork"]),
        ("processes: t*", ["processes: threads"]),
        ("ours first, then fiona", ["coexistence: ours alone", "coexistence: fiona alone",
                                    "coexistence: ours first, then fiona"]),
    ],
)  # fmt: skip
def test_a_pattern_takes_what_matches_and_what_that_needs(pattern: str, names: list[str]) -> None:
    found = select(groups.every_case(EVERYTHING), [pattern])
    assert [case.full_name for case in found] == names


PLAIN = Case(group="g", name="n", function="m:f")
GOOD = End(returncode=0, seconds=1.234, output="", report={"detail": "4 rounds"})


def verdict(case: Case, end: End | None, **others: End) -> tuple[CaseResult, str]:
    made = judge(case, end, {f"g: {name} alone": other for name, other in others.items()})
    assert (made.group, made.name) == (case.group, case.name)
    return made.result, made.detail


def test_a_report_and_a_clean_end_are_a_pass_with_its_time() -> None:
    assert judge(PLAIN, GOOD, {}) == CaseVerdict(
        group="g", name="n", result=CaseResult.PASSED, seconds=1.23, detail="4 rounds"
    )
    assert verdict(replace(PLAIN, skip="no bwrap"), None) == (CaseResult.SKIPPED, "no bwrap")
    said = replace(GOOD, report={"skipped": "no programs in this wheel"})
    assert verdict(PLAIN, said) == (CaseResult.SKIPPED, "no programs in this wheel")


@pytest.mark.parametrize(
    ("returncode", "report", "words"),
    [
        (1, None, "exit code 1 before it reported"),
        (-11, None, "signal 11 before it reported"),
        (-6, {}, "signal 6 after it reported"),
        (0, None, "exit code 0 before it reported"),
        (-11, {"skipped": "no plugins"}, "signal 11 after it reported"),
    ],
)
def test_any_other_end_fails(returncode: int, report: Mapping[str, Any] | None, words: str) -> None:
    end = End(returncode=returncode, seconds=0, output="Traceback\nAssertionError", report=report)
    result, detail = verdict(PLAIN, end)
    assert result is CaseResult.FAILED
    assert words in detail and "AssertionError" in detail


def numbers(**found: object) -> End:
    return replace(GOOD, report={"numbers": found})


def test_numbers_are_those_of_each_library_alone_to_the_last_bit() -> None:
    case = replace(PLAIN, judge=Judge.NUMBERS)
    alone = {"ours": numbers(ours=[1.0]), "fiona": numbers(fiona=[2.0])}
    assert verdict(case, numbers(ours=[1.0], fiona=[2.0]), **alone)[0] is CaseResult.PASSED
    result, detail = verdict(case, numbers(ours=[1.0], fiona=[2.0000000000000004]), **alone)
    assert result is CaseResult.FAILED
    assert detail == "fiona: [2.0000000000000004]\n  but alone: [2.0]"
    case = replace(PLAIN, judge=Judge.NUMBERS)
    crashed = replace(GOOD, report=None)
    result, detail = verdict(case, numbers(ours=[1.0], fiona=[2.0]), ours=crashed)
    assert result is CaseResult.FAILED
    assert "ours: nothing to compare with" in detail and "fiona: nothing" in detail


@pytest.mark.parametrize(
    ("reference", "result", "words"),
    [
        (-11, CaseResult.PASSED, "1 crash or hold up the prefix's own programs as well"),
        (
            0,
            CaseResult.FAILED,
            "/c/damaged-007.tif: SIGSEGV; the prefix's own program ended with 0",
        ),
        (1, CaseResult.FAILED, "the prefix's own program ended with 1"),
        (None, CaseResult.FAILED, "the prefix holds no program to compare with"),
    ],
)
def test_a_crash_may_be_prefixs_own(reference: int | None, result: CaseResult, words: str) -> None:
    crash = Crash(path="/c/damaged-007.tif", ended="SIGSEGV", seconds=0.1, reference=reference)
    found = verdict(replace(PLAIN, judge=Judge.REFERENCE), replace(GOOD, crashes=(crash,)))
    assert found[0] is result
    assert words in found[1]


@pytest.mark.parametrize(("took", "shared"), [(18.0, True), (0.2, False)])
def test_a_slow_file_may_be_slow_for_the_prefix_too(took: float, shared: bool) -> None:
    slow = Crash(path="/c/x.nc", ended="SIGALRM", seconds=20.0, reference=1, reference_seconds=took)
    assert slow.shared is shared
    assert not replace(slow, ended="SIGSEGV").shared, "a crash of the wheel alone is its own"


@dataclass(kw_only=True)
class Processes:
    """Stands in for the cases' processes: what a function reports, and how programs end."""

    reports: Mapping[str, Any] = field(default_factory=dict)
    programs: Mapping[str, int] = field(default_factory=dict)
    calls: list[tuple[list[str], Mapping[str, str], Path]] = field(default_factory=list)

    def __call__(
        self, argv: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, check: bool,
        timeout: float | None = None,
    ) -> Result:  # fmt: skip
        assert not check  # a verdict, never an exception
        words = list(map(str, argv))
        self.calls.append((words, env, cwd))
        code = self.programs.get(Path(words[0]).name, 0)
        if words[1] == "-I":
            assert Path(words[2]).is_file() and timeout == running.TIMEOUT
            asked = json.loads(Path(words[3]).read_text())
            report = self.reports.get(asked["function"], {})
            if report is not None:
                Path(words[4]).write_text(json.dumps(report))
        return Result(returncode=code, stdout="", stderr="", log=Path("x.log"))


def make_lab(place: Path, **changes: Any) -> Workbench:
    return replace(
        Workbench(
            clean=Path("/clean/bin/python"), peers=Path("/peers/bin/python"),
            wheel=Path("/dist/gdal.whl"), import_package="osgeo", layout="toplevel",
            prefix=place.parent / "prefix", bubblewrap=Path("/usr/bin/bwrap"), place=place,
            environ={"PATH": "/usr/bin", "PROJ_DATA": "/mine", "PYTHONPATH": "/y"},
        ),
        **changes,
    )  # fmt: skip


def run(tmp_path: Path, processes: Processes, *cases: Case) -> list[CaseVerdict]:
    place = tmp_path / "place"
    place.mkdir()
    return run_cases(make_lab(place), cases, make_step(tmp_path, processes))


def test_each_case_has_a_process_a_folder_and_a_scrubbed_environment(tmp_path: Path) -> None:
    processes = Processes()
    cases = [replace(PLAIN, name="a"), replace(PLAIN, name="b", peers=True),
             replace(PLAIN, name="c", skip="not here")]  # fmt: skip
    found = run(tmp_path, processes, *cases)
    assert [v.result.value for v in found] == ["passed", "passed", "skipped"]
    assert {words[0] for words, _, _ in processes.calls} == {
        "/clean/bin/python", "/peers/bin/python",
    }  # fmt: skip
    assert len({folder for _, _, folder in processes.calls}) == 2
    for words, env, folder in processes.calls:
        assert env["HOME"] == env["TMPDIR"] == str(folder)
        assert not {"PROJ_DATA", "PYTHONPATH"} & set(env)
        asked = json.loads(Path(words[3]).read_text())
        assert asked["package"] == "osgeo" and asked["folder"] == str(folder)


@pytest.mark.parametrize(
    ("vector", "program", "arguments"),
    [(False, "gdalinfo", ["-checksum"]), (True, "ogrinfo", ["-al", "-q"])],
)
def test_what_crashed_is_read_by_the_program_of_the_prefix(
    tmp_path: Path, vector: bool, program: str, arguments: list[str]
) -> None:
    binary = tmp_path / "prefix" / "bin" / program
    binary.parent.mkdir(parents=True)
    binary.touch()
    damaged = str(tmp_path / "damaged-001.x")
    report = {"crashes": [{"path": damaged, "ended": "SIGSEGV", "seconds": 0.1}], "vector": vector}
    processes = Processes(reports={"m:f": report}, programs={program: -11})
    (found,) = run(tmp_path, processes, replace(PLAIN, judge=Judge.REFERENCE))
    assert found.result is CaseResult.PASSED
    words, env, _ = processes.calls[-1]
    assert words == [str(binary), *arguments, damaged]
    assert env["LD_LIBRARY_PATH"] == str(tmp_path / "prefix" / "lib")
    assert env["PROJ_DATA"] == str(tmp_path / "prefix" / "share" / "proj")


def make_inputs(root: Path, **changes: Any) -> inputs.LabInputs:
    return replace(
        inputs.LabInputs(
            wheel=Artefact(path=root / "host.whl", sha256="ab" * 32),
            prefix=MadeFolder(folder=root / "prefix", content="c"), interpreter=make_interpreter(),
            requirements=(), root="", neighbours=(), peers=(), lacking={}, layout=Layout.TOPLEVEL,
            platform=Platform.LINUX_64, import_package="osgeo", seed=7, cases=(), bubblewrap=False,
            store=Store(folder=root / "store", mirrors=Mirrors()),
            environ={"PATH": str(root)},
        ),
        **changes,
    )  # fmt: skip


def run_stage(tmp_path: Path, processes: Processes, **changes: Any) -> Any:
    folder = tmp_path / "made"
    folder.mkdir()
    outcome = stage.run(make_inputs(tmp_path, **changes), folder, make_step(tmp_path, processes))
    assert msgspec.json.decode((folder / "lab.json").read_bytes(), type=LabFacts) == outcome.facts
    return outcome


ALONE: Mapping[str, Any] = {"libraries:together": {"numbers": {}}}


def test_a_lab_without_failures_passes(tmp_path: Path, installed: list[Path]) -> None:
    outcome = run_stage(tmp_path, Processes(reports=ALONE))
    assert outcome.passed and outcome.facts.whole
    assert (outcome.facts.seed, outcome.facts.sha256) == (7, "ab" * 32)
    assert installed == [tmp_path / "host.whl"]
    skipped = {c.group for c in outcome.facts.cases if c.result == "skipped"}
    assert skipped == {"https", "slim root"}  # no peers, so no trustme; no bubblewrap


def test_a_failed_case_fails_the_lab(tmp_path: Path, installed: list[Path]) -> None:
    assert installed == []
    damaged = {"path": "/c/damaged-001.tif", "ended": "SIGSEGV", "seconds": 0.1}
    crash = {"crashes": [damaged], "vector": False}
    processes = Processes(reports={**ALONE, "damage:survive": crash})

    def call(argv: Sequence[str | Path], **more: Any) -> Result:
        if "-I" in argv:
            Path(more["cwd"], "damaged-001.tif").write_bytes(b"II*")
        return processes(argv, **more)

    outcome = run_stage(tmp_path, call)  # type: ignore[arg-type]
    assert not outcome.passed
    assert list((tmp_path / "made" / "crashes").rglob("damaged-001.tif"))


def test_some_cases_only_are_never_the_whole(tmp_path: Path, installed: list[Path]) -> None:
    outcome = run_stage(tmp_path, Processes(), cases=("processes",))
    assert outcome.passed and not outcome.facts.whole and installed
    assert {case.group for case in outcome.facts.cases} == {"processes"}
    whole = make_inputs(tmp_path).components()
    assert make_inputs(tmp_path, cases=("processes",)).components() != whole


def test_every_layout_runs_the_same_cases(tmp_path: Path, installed: list[Path]) -> None:
    outcome = run_stage(tmp_path, Processes(reports=ALONE), layout=Layout.NONE)
    assert outcome.passed and installed
    skipped = {c.group for c in outcome.facts.cases if c.result == "skipped"}
    assert skipped == {"https", "slim root"}  # no peers, so no trustme; no bubblewrap


def test_a_lab_in_which_nothing_ran_does_not_pass(tmp_path: Path, installed: list[Path]) -> None:
    outcome = run_stage(tmp_path, Processes(), cases=("slim root",))
    assert not outcome.passed and installed


@pytest.mark.parametrize(
    ("locked", "without", "peers", "lacking"),
    [
        ({"pyproj", "fiona", "numpy"}, (), ("pyproj", "fiona"), {}),
        ({"pyproj", "numpy"}, ("fiona",), ("pyproj",), {"fiona": "no wheel for this target"}),
        ({"pyproj"}, (), ("pyproj",), {"fiona": "no solution in the build lock"}),
        ({"pyproj", "fiona"}, ("numpy",), (),
         dict.fromkeys(("pyproj", "fiona"), "numpy: no wheel for this target")),
    ],
)  # fmt: skip
def test_peers_that_cannot_be_installed_have_a_reason(
    locked: set[str], without: tuple[str, ...], peers: tuple[str, ...], lacking: dict[str, str]
) -> None:
    assert installable(("pyproj>=3", "fiona"), locked, without) == (peers, lacking)


def test_the_host_is_no_neighbour_of_itself(tmp_path: Path) -> None:
    made = make_inputs(tmp_path)
    more = '[tool.geowheel.lab]\npeers = ["rasterio", "fiona"]\n'
    context = make_context(make_project(tmp_path, name="Rasterio", more=more))
    assets = [
        Asset(name=n, version="1", url=f"https://x.invalid/{n}.whl", sha256="ab" * 32)
        for n in ("rasterio", "fiona")
    ]
    build: Any = SimpleNamespace(offered=lambda *_: (assets, ()), requirements=lambda *_: ())
    tools = replace(context.tools, interpreter=made.interpreter)
    context = replace(context, locks=replace(context.locks, build=build), tools=tools)
    upstream: Any = {
        "repair": SimpleNamespace(about="abcdef", wheel=made.wheel),
        "fetch": SimpleNamespace(made=lambda _: made.prefix),
    }
    found = inputs.lab(context, upstream)
    assert (found.peers, found.lacking, found.neighbours) == (("fiona",), {}, (assets[1],))


def test_damage_is_the_same_for_the_same_seed_and_really_damage(tmp_path: Path) -> None:
    sound = tmp_path / "sound.tif"
    sound.write_bytes(bytes(range(256)) * 16)
    made: dict[int, list[bytes]] = {1: [], 2: []}
    for seed, found in made.items():
        for _ in range(2):
            asked = {"seed": seed, "driver": "GTiff", "folder": str(tmp_path), "suffix": ".tif"}
            for number in range(10):
                path = damage.damaged_copy(asked, str(sound), number)
                found.append(Path(path).read_bytes())
    for found in made.values():
        assert found[:10] == found[10:]
        assert sound.read_bytes() not in found
        assert all(len(data) < 4096 for data in found[0:10:2])
        assert all(len(data) == 4096 for data in found[1:10:2])
    assert made[1] != made[2]

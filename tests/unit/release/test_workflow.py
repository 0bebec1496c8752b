"""The workflow: the same text for the same configuration, and what each job of it is."""

import importlib.resources
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from msgspec import structs
from ruamel.yaml import YAML
from tests.support.hosts import NO_TOOLS, make_console, make_project, write_host

from geowheel.cli.arguments import parser as make_parser
from geowheel.errors import ConfigError, UsageError
from geowheel.project.config import Workflow
from geowheel.project.project import Machine, Project, open_project
from geowheel.release.pins import Pins, pins_of
from geowheel.release.workflow import LOGINS, WorkflowFacts, facts_of, generate, workflow
from geowheel.targets import Platform

ROOT = Path(__file__).parents[3]
SERVED = ROOT / "src" / "geowheel" / "release" / "served.py"
SESSION = re.compile(r" -s ([\w-]+?)(?:-\$\{\{ matrix\.python \}\})?(?: |$)")


@pytest.fixture
def project() -> Project:
    """This repository's own host."""
    machine = Machine(platform=Platform.LINUX_64, environ=NO_TOOLS, cache=Path("/nowhere"))
    return open_project(root=ROOT, host=Path("hosts/gdal"), machine=machine)


@pytest.fixture
def pins(project: Project) -> Pins:
    return pins_of(project)


@pytest.fixture
def facts(project: Project, pins: Pins, tmp_path: Path) -> WorkflowFacts:
    return facts_of(project, pins, make_console(tmp_path))


def read(text: str) -> dict[str, Any]:
    data: dict[str, Any] = YAML(typ="safe", pure=True).load(io.StringIO(text))
    return data


def check(text: str) -> None:
    """Against GitHub's own schema, as check-jsonschema carries it."""
    builtin = importlib.resources.files("check_jsonschema.builtin_schemas.vendor")
    schema = json.loads(builtin.joinpath("github-workflows.json").read_text("utf-8"))
    jsonschema.Draft7Validator(schema).validate(read(text))


def steps(data: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in data["jobs"].items():
        for step in job["steps"]:
            yield name, step


def test_the_committed_one_is_what_would_be_generated(facts: WorkflowFacts, pins: Pins) -> None:
    committed = (ROOT / facts.file).read_text(encoding="utf-8")
    assert committed == generate(facts, pins)
    check(committed)


@pytest.mark.parametrize("nox", [("{python}", "ci/nox.py"), Workflow().nox])
@pytest.mark.parametrize("platforms", [(Platform.OSX_ARM64,), tuple(Platform)])
@pytest.mark.parametrize("pythons", [("3.9", "3.12"), ("3.14",)])
def test_every_kind_of_project_gets_a_valid_one(
    facts: WorkflowFacts,
    pins: Pins,
    nox: tuple[str, ...],
    platforms: tuple[Platform, ...],
    pythons: tuple[str, ...],
) -> None:
    own = replace(facts.workflow, nox=nox, checks=())
    made = replace(facts, workflow=own, platforms=platforms, pythons=pythons)
    text = generate(made, pins)
    check(text)
    assert "{python}" not in text and "{nox}" not in text


@pytest.mark.parametrize(("scheme", "logins"), [*LOGINS.items(), ("https", {})])
def test_a_shared_ledger_is_used_by_builds_but_for_a_release(
    facts: WorkflowFacts, pins: Pins, scheme: str, logins: Mapping[str, str]
) -> None:
    text = generate(replace(facts, ledger=f"{scheme}://place/x"), pins)
    check(text)
    jobs = read(text)["jobs"]
    environ = jobs["build"]["env"]
    assert "refs/tags/') && 'none' ||" in environ["GEOWHEEL_SHARED_LEDGER"]
    assert environ.keys() == {"GEOWHEEL_SHARED_LEDGER", *logins}
    made = [step["run"] for _, step in steps({"jobs": jobs}) if "s wheel-" in step.get("run", "")]
    assert len(made) == 1 and "'pull_request' && '--cache-read-only'" in made[0]


def test_what_does_work_is_a_session(facts: WorkflowFacts, pins: Pins) -> None:
    data = read(generate(facts, pins))
    for name, step in steps(data):
        if "shell" in step:
            assert step["run"] == SERVED.read_text() and name in ("staging", "publish")
        elif "run" in step:
            assert " ci/nox.py -s " in step["run"], (name, step)
        else:
            assert step["uses"].partition("@")[0] in pins.actions


def test_every_job_ends_by_itself_and_may_do_little(facts: WorkflowFacts, pins: Pins) -> None:
    data = read(generate(facts, pins))
    assert data["permissions"] == {"contents": "read"}
    for name, job in data["jobs"].items():
        assert job["timeout-minutes"] <= 120
        publishes = name in ("staging", "publish")
        assert job.get("permissions") == ({"id-token": "write"} if publishes else None)
    data = read(generate(facts, pins))
    for name in ("staging", "publish"):
        job = data["jobs"][name]
        assert "refs/tags/" in job["if"] and job["environment"]
        # Neither what somebody pushed nor what a cache held.
        used = [step.get("uses", "").partition("@")[0] for step in job["steps"]]
        assert used == ["actions/download-artifact", "pypa/gh-action-pypi-publish", ""]
        # What is skipped because a file of its name is there is compared with that.
        index = {"staging": "test.pypi.org", "publish": "pypi.org"}[name]
        assert job["steps"][-1]["env"] == {"PAGE": f"https://{index}/simple/gdal/"}
    assert "secrets." not in generate(facts, pins)


def test_a_release_passes_every_job(facts: WorkflowFacts, pins: Pins) -> None:
    jobs = read(generate(facts, pins))["jobs"]
    seen, waiting = set(), ["publish"]
    while waiting:
        name = waiting.pop()
        seen.add(name)
        waiting += jobs[name].get("needs", [])
    assert seen == set(jobs)
    uploaded: set[str] = set()
    downloaded: set[str] = set()
    for _, step in steps(read(generate(facts, pins))):
        names = uploaded if "upload-artifact" in step.get("uses", "") else downloaded
        if "-artifact@" in step.get("uses", ""):
            names.add(step["with"].get("name") or step["with"]["pattern"])
    assert downloaded - uploaded == {"tested-*"}
    assert {name for name in uploaded if name.startswith("tested-")} == uploaded - downloaded
    loose = {name: structs.replace(pin, commit="") for name, pin in pins.actions.items()}
    text = generate(facts, structs.replace(pins, actions=loose))
    assert f"- uses: actions/checkout@{pins.actions['actions/checkout'].version}\n" in text


def test_sessions_are_commands_with_those_options(facts: WorkflowFacts, pins: Pins) -> None:
    (choices,) = (a.choices for a in make_parser()._actions if isinstance(a.choices, dict))
    known = choices.keys()
    for _, step in steps(read(generate(facts, pins))):
        match = SESSION.search(step.get("run", ""))
        if not match or match[1] in facts.workflow.checks or match[1] not in known:
            continue
        after = step["run"].partition(" -- ")[2]
        words = re.sub(r"\$\{\{ matrix\.options \}\}", "--bindings prebuilt", after).split()
        assert make_parser().parse_args([match[1], *words]).run


def test_without_a_way(pins: Pins, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = (
        'layout = "private"\nimport-package = "a._vendor.osgeo"\n'
        '[tool.geowheel.release]\nplatforms = ["linux-64", "win-64"]\n'
    )
    project = make_project(tmp_path, more=more)
    facts = facts_of(project, pins, make_console(tmp_path))
    assert facts.platforms == (Platform.LINUX_64,)
    assert "win-64 is left out" in " ".join(capsys.readouterr().err.split())
    more = (
        'layout = "private"\nimport-package = "a._vendor.osgeo"\n'
        '[tool.geowheel.release]\nplatforms = ["win-64"]\n'
    )
    with pytest.raises(ConfigError, match="no platform to make wheels on"):
        facts_of(make_project(tmp_path, more=more), pins, make_console(tmp_path))


def test_it_is_written_once_and_compared(tmp_path: Path) -> None:
    project, console = make_project(tmp_path), make_console(tmp_path)
    with pytest.raises(ConfigError, match=r"(?s)not what would be generated.*\+name: wheels"):
        workflow(project, check=True, console=console)
    path = tmp_path / ".github" / "workflows" / "wheels.yml"
    assert not path.exists()
    assert workflow(project, check=False, console=console)["current"] is False
    assert workflow(project, check=False, console=console)["current"] is True
    assert workflow(project, check=True, console=console)["current"] is True
    check(path.read_text(encoding="utf-8"))
    path.write_text(path.read_text("utf-8").replace("timeout-minutes: 20", "timeout-minutes: 21"))
    with pytest.raises(
        ConfigError, match=r"(?s)-    timeout-minutes: 21\n  \+    timeout-minutes: 20"
    ):
        workflow(project, check=True, console=console)


def test_a_file_of_somebody_elses_stays(tmp_path: Path) -> None:
    project, console = make_project(tmp_path), make_console(tmp_path)
    workflow(project, check=False, console=console)
    write_host(tmp_path / "other", name="other")
    machine = project.machine
    other = open_project(root=tmp_path, host=Path("other"), machine=machine)
    with pytest.raises(UsageError, match="another host, or by hand"):
        workflow(other, check=False, console=console)

"""The workflow: the same text for the same configuration, and what each job of it is."""

import importlib.resources
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
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


def texts(facts: WorkflowFacts, pins: Pins) -> str:
    """Both workflows."""
    return "".join(generate(facts, pins).values())


def jobs(facts: WorkflowFacts, pins: Pins) -> dict[str, Any]:
    """The jobs of both, those of the called one in the place of what calls them."""
    caller, called = (read(text)["jobs"] for text in generate(facts, pins).values())
    assert caller["build"].keys() - {"secrets"} == {"permissions", "uses"}
    return {**caller, **called}


def check(facts: WorkflowFacts, pins: Pins) -> None:
    """Against GitHub's own schema, as check-jsonschema carries it."""
    builtin = importlib.resources.files("check_jsonschema.builtin_schemas.vendor")
    schema = json.loads(builtin.joinpath("github-workflows.json").read_text("utf-8"))
    for text in generate(facts, pins).values():
        jsonschema.Draft7Validator(schema).validate(read(text))


def steps(jobs: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in jobs.items():
        for step in job["steps"]:
            yield name, step


def test_the_committed_one_is_what_would_be_generated(facts: WorkflowFacts, pins: Pins) -> None:
    for path, text in generate(facts, pins).items():
        assert (ROOT / path).read_text(encoding="utf-8") == text
    check(facts, pins)


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
    check(made, pins)
    assert "{python}" not in texts(made, pins) and "{nox}" not in texts(made, pins)


@pytest.mark.parametrize(("scheme", "logins"), [*LOGINS.items(), ("https", {})])
def test_a_shared_ledger_is_used_by_builds_but_for_a_release(
    facts: WorkflowFacts, pins: Pins, scheme: str, logins: Mapping[str, str]
) -> None:
    facts = replace(facts, ledger=f"{scheme}://place/x")
    check(facts, pins)
    environ = jobs(facts, pins)["build"]["env"]
    assert "refs/tags/') && 'none' ||" in environ["GEOWHEEL_SHARED_LEDGER"]
    assert environ.keys() == {"GEOWHEEL_SHARED_LEDGER", *logins}
    made = [s["run"] for _, s in steps(jobs(facts, pins)) if "s wheel-" in s.get("run", "")]
    assert len(made) == 1 and "'pull_request' && '--cache-read-only'" in made[0]
    # What it reads it is given by name.
    caller, called = map(read, generate(facts, pins).values())
    given = {
        name: f"${{{{ secrets.{name} }}}}" for name in called["on"]["workflow_call"]["secrets"]
    }
    assert caller["jobs"]["build"]["secrets"] == given
    assert {*re.findall(r"secrets\.(\w+)", json.dumps(called))} == given.keys()


def test_what_does_work_is_a_session(facts: WorkflowFacts, pins: Pins) -> None:
    for name, step in steps(jobs(facts, pins)):
        if "shell" in step:
            assert step["run"] == SERVED.read_text() and name in ("staging", "publish")
        elif "run" in step:
            assert " ci/nox.py -s " in step["run"], (name, step)
        else:
            assert step["uses"].partition("@")[0] in pins.actions


def test_every_job_ends_by_itself_and_may_do_little(facts: WorkflowFacts, pins: Pins) -> None:
    for text in generate(facts, pins).values():
        assert read(text)["permissions"] == {"contents": "read"}
    token = {"id-token": "write"}
    may = {"staging": token, "publish": token, "attest": {**token, "attestations": "write"}}
    for name, job in jobs(facts, pins).items():
        assert job["timeout-minutes"] <= 120
        assert job.get("permissions") == may.get(name)
    for name in ("staging", "publish"):
        job = jobs(facts, pins)[name]
        assert "refs/tags/" in job["if"] and job["environment"]
        # Neither what somebody pushed nor what a cache held.
        used = [step.get("uses", "").partition("@")[0] for step in job["steps"]]
        assert used == ["actions/download-artifact", "pypa/gh-action-pypi-publish", ""]
        # What is skipped because a file of its name is there is compared with that.
        index = {"staging": "test.pypi.org", "publish": "pypi.org"}[name]
        assert job["steps"][-1]["env"] == {"PAGE": f"https://{index}/simple/gdal/"}
    assert "secrets." not in texts(facts, pins)


def test_the_build_is_attested_by_the_workflow_that_makes_it(
    facts: WorkflowFacts, pins: Pins
) -> None:
    (called,) = (read(generate(facts, pins)[facts.called]),)
    assert called["on"].keys() == {"workflow_call"}
    assert called["jobs"].keys() == {"build", "attest"}
    job = called["jobs"]["attest"]
    assert job["needs"] == ["build"] and "refs/tags/" in job["if"]
    # Only what the project cannot change runs beside that token.
    used = [step["uses"].partition("@")[0] for step in job["steps"]]
    assert used == ["actions/download-artifact", "actions/attest-build-provenance"]
    caller = read(generate(facts, pins)[facts.file])["jobs"]["build"]
    assert caller["uses"] == f"./{facts.called.as_posix()}"
    assert {*job["permissions"]} <= {*caller["permissions"]}


def test_a_release_passes_every_job(facts: WorkflowFacts, pins: Pins) -> None:
    every = jobs(facts, pins)
    seen, waiting = set(), ["publish"]
    while waiting:
        name = waiting.pop()
        seen.add(name)
        waiting += every[name].get("needs", [])
    assert seen == every.keys() - {"attest"}  # `build` is done when the workflow that it calls is
    uploaded: set[str] = set()
    downloaded: set[str] = set()
    for _, step in steps(every):
        names = uploaded if "upload-artifact" in step.get("uses", "") else downloaded
        if "-artifact@" in step.get("uses", ""):
            names.add(step["with"].get("name") or step["with"]["pattern"])
    assert downloaded - uploaded == {"tested-*", "built-*"}
    assert {name for name in uploaded if name.startswith("tested-")} == uploaded - downloaded
    loose = {name: structs.replace(pin, commit="") for name, pin in pins.actions.items()}
    text = texts(facts, structs.replace(pins, actions=loose))
    assert f"- uses: actions/checkout@{pins.actions['actions/checkout'].version}\n" in text


def test_sessions_are_commands_with_those_options(facts: WorkflowFacts, pins: Pins) -> None:
    (choices,) = (a.choices for a in make_parser()._actions if isinstance(a.choices, dict))
    known = choices.keys()
    for _, step in steps(jobs(facts, pins)):
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

"""Two hosts of one distribution name in one project."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.hosts import NO_TOOLS, RUNNING, make_console, make_record, write_host

from geowheel.errors import ConfigError
from geowheel.pipeline.namesakes import refuse_namesakes
from geowheel.pipeline.runs import Request, run, show_plan
from geowheel.project.project import Machine, Project, open_project
from geowheel.records.facts import FACTS
from geowheel.records.ledger import Ledger
from geowheel.targets import Platform

SUBJECT = "cp398-linux-64"


def host(root: Path, home: str, name: str = "some-host") -> Project:
    write_host(root / home, name=name)
    machine = Machine(platform=Platform.LINUX_64, environ=NO_TOOLS, cache=root / "cache")
    return open_project(root=root, host=Path(home), machine=machine)


def ledger_of(project: Project) -> Ledger:
    return Ledger(folder=project.work, host=project.host.name, home=project.home)


def build(project: Project, stage: str = "build") -> None:
    make_record(ledger_of(project), FACTS[stage](), SUBJECT, text=project.home)


def refused(project: Project) -> str:
    with pytest.raises(ConfigError) as caught:
        refuse_namesakes(project, ledger_of(project))
    return str(caught.value)


@pytest.mark.parametrize("stage", ["build", "repair"])
def test_both_folders_are_named_whichever_is_built(tmp_path: Path, stage: str) -> None:
    one, two = host(tmp_path, "hosts/one"), host(tmp_path, "hosts/two")
    build(one, stage)
    refuse_namesakes(one, ledger_of(one))
    said = refused(two)
    assert "two hosts have the distribution name some-host: hosts/two and hosts/one" in said
    assert str(tmp_path / "hosts" / "two" / "pyproject.toml") in said
    assert "--root hosts/two --host ." in said
    build(two, stage)
    assert "some-host: hosts/one and hosts/two" in refused(one)


def test_a_name_may_be_written_in_several_ways(tmp_path: Path) -> None:
    one, two = host(tmp_path, "one", "Some_Host"), host(tmp_path, "two", "some.host")
    build(one)
    assert "some.host: two and one" in refused(two)


def test_what_comes_before_the_hosts_own_files_tells_nothing(tmp_path: Path) -> None:
    """`fetch` and `bindings` are shared: the first host that asks has its name in the record."""
    one, two = host(tmp_path, "one"), host(tmp_path, "two")
    for stage in ("fetch", "bindings", "vendor"):
        build(one, stage)
    refuse_namesakes(two, ledger_of(two))


CHANGES: dict[str, Callable[[Path], object]] = {
    "another name": lambda folder: write_host(folder, name="other"),
    "moved": lambda folder: folder.rename(folder.with_name("moved")),
    "gone": shutil.rmtree,
    "no table": lambda f: (f / "pyproject.toml").write_text('[project]\nname = "some-host"\n'),
    "spoilt": lambda f: (f / "pyproject.toml").write_text("[project"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_free_name_may_be_taken(tmp_path: Path, change: Callable[[Path], object]) -> None:
    one, two = host(tmp_path, "one"), host(tmp_path, "two")
    build(one)
    change(one.folder)
    refuse_namesakes(two, ledger_of(two))


def test_a_host_that_was_moved_goes_on(tmp_path: Path) -> None:
    build(host(tmp_path, "one"))
    (tmp_path / "one").rename(tmp_path / "two")
    two = host(tmp_path, "two")
    refuse_namesakes(two, ledger_of(two))
    assert len(ledger_of(two).records(FACTS["build"])) == 1


def test_a_run_and_a_plan_do_nothing_then(tmp_path: Path) -> None:
    one, two = host(tmp_path, "one"), host(tmp_path, "two")
    build(one)
    request = Request(
        project=two, goals=("build",), targets=(two.target(RUNNING),), interpreter=None
    )
    for command in (run, show_plan):
        with pytest.raises(ConfigError, match="two hosts have the distribution name"):
            command(request, make_console(tmp_path))
    assert not list(tmp_path.glob(".geowheel/*/fetch")) and not (tmp_path / "dist").exists()

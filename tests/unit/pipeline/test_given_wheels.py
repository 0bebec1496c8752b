"""Repaired wheels that were made elsewhere take the place of what the pipeline would make."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.hosts import RUNNING, make_record, wheel_bytes

from geowheel.cli import main
from geowheel.digest import Artefact, sha256_file
from geowheel.errors import IntegrityError, UsageError
from geowheel.pipeline.given_wheels import find_given, record_of
from geowheel.pipeline.runs import Request
from geowheel.project.project import Project
from geowheel.records.facts import Owner, RepairFacts
from geowheel.records.ledger import Ledger, Record
from geowheel.stages import needed
from geowheel.systems.contract import Forcing
from geowheel.targets import Platform, Target

TAG = "cp" + RUNNING.replace(".", "")
NAME = f"host-1.0-{TAG}-{TAG}-manylinux_2_35_x86_64.whl"
SBOM = {
    "components": [
        {"name": "libz", "version": "1.3", "components": [{"name": "host.libs/libz.so"}]},
        {"name": "proj", "version": "9.5.0"},
    ]
}


def write_wheel(folder: Path, name: str = NAME, sbom: Any = SBOM) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    info = "-".join(name.split("-")[:2]) + ".dist-info"
    files = {"host/__init__.py": "", f"{info}/sboms/geowheel.cdx.json": json.dumps(sbom)}
    (folder / name).write_bytes(wheel_bytes(name, files))
    return folder / name


def found(project: Project, place: Path, *pythons: str, on: str = "linux-64") -> dict[str, str]:
    given = find_given(project, place, pythons, [Platform(on)])
    return {str(target): wheel.path.name for target, wheel in given.items()}


def test_a_file_is_for_the_target_of_its_name(project: Project) -> None:
    write_wheel(project.dist)
    other = write_wheel(project.dist / "below", NAME.replace(TAG, "cp398"))
    write_wheel(project.dist, NAME.replace("manylinux_2_35_x86_64", "macosx_11_0_arm64"))
    write_wheel(project.dist, f"another-1.0-{TAG}-{TAG}-manylinux_2_35_x86_64.whl")
    (project.dist / "no-wheel.whl").write_bytes(b"")
    assert found(project, project.dist) == {f"{TAG}-linux-64": NAME, "cp398-linux-64": other.name}
    assert found(project, project.dist, "3.98") == {"cp398-linux-64": other.name}
    assert list(found(project, project.dist, on="osx-arm64")) == [f"{TAG}-osx-arm64"]
    wheel = write_wheel(project.dist)
    (given,) = find_given(project, wheel, [], []).items()
    assert given == (project.target(RUNNING), Artefact(path=wheel, sha256=sha256_file(wheel)))
    wheel = write_wheel(project.dist, "host-1.0-cp398-abi3-manylinux_2_35_x86_64.whl")
    assert list(found(project, wheel)) == ["cp398-linux-64", "cp399-linux-64"]


@pytest.mark.parametrize(
    "tag",
    [
        f"{TAG}-{TAG}-linux_x86_64",
        f"{TAG}-{TAG}-win_amd64",
        f"{TAG}-{TAG}-manylinux_2_35_aarch64",
        "cp397-cp397-manylinux_2_35_x86_64",
        f"{TAG}-{TAG}t-manylinux_2_35_x86_64",
    ],
)
def test_a_wheel_of_no_target_is_refused(project: Project, tag: str) -> None:
    wheel = write_wheel(project.dist, f"host-1.0-{tag}.whl")
    with pytest.raises(UsageError, match="no repaired wheel of host for Python"):
        find_given(project, wheel, [], [])


def test_what_cannot_be_given_is_refused(project: Project) -> None:
    wheel = write_wheel(project.dist, NAME.replace("host", "another"))
    with pytest.raises(UsageError, match="this is not a wheel of host"):
        found(project, wheel)
    with pytest.raises(UsageError, match="there is no such wheel"):
        found(project, project.dist / "nothing.whl")
    write_wheel(project.dist)
    with pytest.raises(UsageError, match=r"for Python 3\.99"):
        found(project, project.dist, RUNNING, "3.99")
    write_wheel(project.dist)
    write_wheel(project.dist, NAME.replace("1.0", "1.1"))
    with pytest.raises(UsageError, match=r"host-1\.0.* and host-1\.1"):
        found(project, project.dist)


def record(project: Project, wheel: Path) -> Record[RepairFacts]:
    artefact = Artefact(path=wheel, sha256=sha256_file(wheel))
    ledger = Ledger(folder=project.work, host="host")
    return record_of(artefact, project.target(RUNNING), ledger)


def test_the_record_says_what_the_wheel_says_of_itself(project: Project) -> None:
    wheel = write_wheel(project.dist)
    made = record(project, wheel)
    assert made.wheel == Artefact(path=wheel, sha256=sha256_file(wheel))
    assert made.facts.tag == "manylinux_2_35_x86_64"
    assert made.facts.owners == (Owner(name="libz", version="1.3", files=("host.libs/libz.so",)),)
    assert made.facts.floor == ()
    assert not project.work.exists()  # nothing was written
    wheel = write_wheel(project.dist)
    ledger = Ledger(folder=project.work, host="host")
    facts = RepairFacts(
        owners=(Owner(name="b", version="1", files=("a",)),),
        floor=(Forcing(needs="GLIBC_2.35", packages=("a 1",), files=()),),
    )
    make_record(ledger, facts, f"{TAG}-linux-64", files={NAME: wheel.read_bytes()})
    made = record(project, wheel)
    assert made.facts == facts
    assert made.wheel.path == wheel
    wheel.write_bytes(b"no archive")
    with pytest.raises(IntegrityError, match="no zip that all programs read alike"):
        record(project, wheel)


def test_what_only_a_given_stage_needs_does_not_run() -> None:
    assert [stage.name for stage in needed(["test"], {"repair"})] == ["fetch", "test"]
    assert [stage.name for stage in needed(["size", "lab"], {"repair"})] == ["fetch", "size", "lab"]


def ask(project: Project, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Request:
    seen: list[Request] = []

    def run(request: Request, _: object) -> dict[str, Any]:
        seen.append(request)
        return {}

    monkeypatch.setattr("geowheel.pipeline.runs.run", run)
    monkeypatch.setattr("geowheel.project.project.python_platform.system", lambda: "Linux")
    monkeypatch.setattr("geowheel.project.project.python_platform.machine", lambda: "x86_64")
    assert main([*arguments, "--root", str(project.root)]) == 0
    return seen[0]


def test_the_command_line_names_them(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = write_wheel(project.dist)
    request = ask(project, monkeypatch, "test", "--wheel", "dist", "--index", "https://a.invalid")
    target = Target(python=RUNNING, platform=Platform.LINUX_64)
    assert request.targets == (target,) and request.given[target].path == wheel
    assert request.done == ("repair",) and request.index == "https://a.invalid"
    assert request.wheels == project.dist  # it stays where it is


def test_an_index_alone_is_refused(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", "--index", "https://a.invalid", "--root", str(project.root)]) == 2
    assert "name it with --wheel FILE" in capsys.readouterr().err

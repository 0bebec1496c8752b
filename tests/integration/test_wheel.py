"""The main job on real tools (apt, the index, g++, auditwheel, pip): a cold run and its edges."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from geowheel.digest import sha256_file
from tests.support.project_copy import PYTHON, TARGET, Built, ProjectCopy, not_passed
from tests.unit.repository.test_imports import ONLY_ACTS

STAGES = ("fetch", "bindings", "vendor", "build", "repair", "size", "test")


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Until something is so; fails when the process ends before."""
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)


def objects_of(project: ProjectCopy) -> set[Path]:
    """What the compiler keeps of what it made before."""
    return set(project.cache.glob("compiled/*/o/*/*.o"))


def compile_again(project: ProjectCopy) -> None:
    """Have the next run compile, though the same source was compiled before."""
    shutil.rmtree(project.cache / "compiled", ignore_errors=True)


def kill_in_the_middle(project: ProjectCopy, stage: str, number: int) -> subprocess.Popen[str]:
    process = project.start(stage, "--python", PYTHON)
    wait_for(lambda: [s for s in project.scratch(stage) if any(s.iterdir())], process)
    os.killpg(process.pid, number)
    process.wait()
    return process


def test_a_cold_run_makes_one_tested_wheel(built: Built) -> None:
    assert [p.name for p in built.project.root.glob("dist/*")] == [built.wheel.name]
    assert built.summary["sha256"] == sha256_file(built.wheel)
    assert list(built.summary["stages"]) == list(STAGES)
    assert built.summary["target"] == TARGET
    assert f"cp{sys.version_info.major}{sys.version_info.minor}" in built.wheel.name
    assert not_passed(built.summary) == []
    names = {probe["name"] for probe in built.summary["probes"]}
    assert {"version is the locked one", "driver GTiff", "driver netCDF", "driver HDF4"} <= names
    assert built.summary["floor"][0]["packages"]
    assert not [path for stage in STAGES for path in built.project.scratch(stage)]
    assert not list(built.project.cache.rglob("*.part"))


def test_a_second_run_finds_everything_done_and_imports_nothing_that_acts(built: Built) -> None:
    again = built.project.good("wheel", "--python", PYTHON, PYTHONPROFILEIMPORTTIME="1")
    assert [line.split()[0] for line in again.stderr.splitlines() if " cached (key" in line] == [
        *STAGES
    ]
    assert "nothing to do" in again.stderr
    lines = (line for line in again.stderr.splitlines() if line.startswith("import time:"))
    modules = {line.rpartition("|")[2].strip() for line in lines}
    assert "geowheel.pipeline.runs" in modules
    # py-rattler reads the lock.
    assert {name.partition(".")[0] for name in modules} & ONLY_ACTS == {"rattler"}


def test_an_edit_of_the_host_compiles_nothing(second: ProjectCopy) -> None:
    readme = second.root / "hosts" / "gdal" / "README.md"
    readme.write_text(readme.read_text(encoding="utf-8") + "\nEdited.\n", encoding="utf-8")
    result = second.good("build", "--python", PYTHON)
    assert "bindings   cached" in result.stderr and "vendor     cached" in result.stderr
    assert "build      changed: host files (README.md)" in result.stderr


def test_another_folder_gives_the_same_bytes(built: Built, second: ProjectCopy) -> None:
    compile_again(second)
    for stage in ("fetch", "bindings", "vendor", "build", "repair"):
        second.forget(stage)
    (summary,) = second.json("repair", "--python", PYTHON)["targets"]
    assert summary["sha256"] == built.summary["sha256"]


def test_a_second_checkout_compiles_nothing(second: ProjectCopy, tmp_path: Path) -> None:
    other = replace(second, root=tmp_path / "other")
    shutil.copytree(second.root, other.root, symlinks=True)
    second.forget("bindings")
    second.good("bindings", "--python", PYTHON)
    kept = objects_of(second)
    assert len(kept) == len(list(second.entries("bindings")[0].glob("modules/*.so")))
    other.forget("bindings")
    other.good("bindings", "--python", PYTHON)
    assert objects_of(other) == kept
    made = [
        {path.name: sha256_file(path) for path in project.entries("bindings")[0].glob("modules/*")}
        for project in (second, other)
    ]
    assert made[0] == made[1]


def test_over_budget_fails_and_names_the_largest_members(built: Built) -> None:
    for _ in range(2):  # a failed verdict is not reused
        result = built.project.run("size", WHEEL_SIZE_BUDGET_MB="5")
        assert result.returncode == 9
        assert "is over the budget of 5 MB" in result.stderr
        for member in ("libicudata", "libgdal-core 3."):
            assert member in result.stdout
    assert built.project.run("size").returncode == 0


def test_a_missing_driver_fails_the_test_by_name(second: ProjectCopy) -> None:
    config = second.root / "hosts" / "gdal" / "pyproject.toml"
    text = config.read_text(encoding="utf-8").replace('"GTiff", "COG"', '"GTiff", "NoSuchDriver"')
    config.write_text(text, encoding="utf-8")
    result = second.run("test", "--python", PYTHON)
    assert result.returncode == 10
    assert "probe failed: driver NoSuchDriver" in result.stderr


@pytest.mark.parametrize("stage", ["fetch", "bindings", "repair"])
def test_kill_9_in_the_middle_and_again(built: Built, second: ProjectCopy, stage: str) -> None:
    compile_again(second)
    second.forget(stage)
    kill_in_the_middle(second, stage, signal.SIGKILL)
    assert second.scratch(stage), "killed: nobody could clean up"
    assert not [path for path in second.entries(stage) if not path.name.startswith(".")]
    (summary,) = second.json("repair", "--python", PYTHON)["targets"]
    assert summary["sha256"] == built.summary["sha256"]
    assert not second.scratch(stage)


@pytest.mark.parametrize("stage", ["bindings", "repair"])
def test_an_interrupt_leaves_nothing_half_made(second: ProjectCopy, stage: str) -> None:
    compile_again(second)
    second.forget(stage)
    process = second.start(stage, "--python", PYTHON)
    wait_for(lambda: [s for s in second.scratch(stage) if any(s.iterdir())], process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "the next run goes on where this one stopped" in errors
    assert "Traceback" not in errors
    assert second.entries(stage) == []


def test_two_at_once_do_the_work_once(built: Built, second: ProjectCopy) -> None:
    second.forget("bindings")
    second.forget("repair")
    runs = [second.start("wheel", "--python", PYTHON) for _ in range(2)]
    errors = [process.communicate()[1] for process in runs]
    assert [process.returncode for process in runs] == [0, 0], "\n".join(errors)
    for stage in ("bindings", "repair"):
        begun = re.findall(rf"^  {stage} +(?:first run|changed)", "\n".join(errors), re.MULTILINE)
        assert len(begun) == 1
    assert any("waiting for another run" in text for text in errors)
    (wheel,) = second.root.glob("dist/*.whl")
    assert sha256_file(wheel) == built.summary["sha256"]


def test_after_fetch_no_network_is_needed(built: Built, second: ProjectCopy) -> None:
    for stage in ("bindings", "vendor", "build", "repair", "size", "test"):
        second.forget(stage)
    isolated = ["bwrap", "--dev-bind", "/", "/", "--unshare-net", "--die-with-parent"]
    result = subprocess.run(
        [*isolated, *second.command("wheel", "--python", PYTHON, "--sandbox", "bwrap", "--json")],
        env=second.environ, cwd=second.root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "  sandbox: bwrap\n" in result.stderr
    assert json.loads(result.stdout)["targets"][0]["sha256"] == built.summary["sha256"]


def test_the_bindings_are_hardened_and_know_no_folder_of_this_machine(built: Built) -> None:
    (modules,) = [p / "modules" for p in built.project.entries("bindings")]
    for module in modules.iterdir():
        data = module.read_bytes()
        for place in (built.project.root, built.project.cache, Path.home()):
            assert str(place).encode() not in data, module.name
        dynamic = subprocess.run(
            ["readelf", "-d", "-l", module], capture_output=True, text=True, check=True
        ).stdout
        assert "BIND_NOW" in dynamic and "GNU_RELRO" in dynamic, module.name
        assert "RPATH" not in dynamic and "RUNPATH" not in dynamic, module.name


@pytest.mark.parametrize("python", ["3.14t", "3.15t"])
def test_a_free_threaded_interpreter_has_a_wheel_of_its_own(
    second: ProjectCopy, python: str
) -> None:
    if not shutil.which(f"python{python}"):
        pytest.skip(
            f"NOT RUN: no python{python} on PATH (no distribution's; --disable-gil makes it)"
        )
    pyproject = second.root / "hosts/gdal/pyproject.toml"
    text = pyproject.read_text(encoding="utf-8")
    pyproject.write_text(text.replace("pythons = [", f'pythons = ["{python}", '), encoding="utf-8")
    (found,) = second.json("wheel", "--python", python)["targets"]
    version = f"cp{python.replace('.', '')}"
    assert f"-{version[:-1]}-{version}-manylinux_2_" in Path(found["wheel"]).name
    assert not_passed(found) == []
    assert "the GIL is on after the import" in {probe["name"] for probe in found["probes"]}

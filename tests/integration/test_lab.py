"""The lab on a real wheel: the whole of it in time, and every kind of case on a planted fault."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from geowheel.lab.cases import PEERS, Equipment, select
from geowheel.lab.groups import every_case
from geowheel.lab.judging import CaseResult, CaseVerdict
from geowheel.lab.running import Workbench, run_cases
from geowheel.machine.console import Console
from tests.support.planted_faults import BESIDE_PEERS, FAULTS, Fault, Site
from tests.support.project_copy import PYTHON, TARGET, Built

WHOLE = 360
"""Seconds that the whole lab may take on two cores."""
GROUPS = {
    "coexistence", "poisoned environment", "https", "parts", "malformed files", "processes",
    "site-packages", "slim root",
}  # fmt: skip


def test_the_whole_lab_passes_and_in_time(built: Built) -> None:
    result = built.project.run("lab", "--python", PYTHON, "--json")
    assert result.returncode == 0, result.stderr
    (target,) = json.loads(result.stdout)["targets"]
    lab = target["lab"]
    assert lab["whole"] and lab["sha256"] == built.summary["sha256"]
    assert {case["group"] for case in lab["cases"]} == GROUPS
    skipped = {case["name"]: case["detail"] for case in lab["cases"] if case["result"] == "skipped"}
    assert set(skipped) == {"every plugin loads and registers"}, "the distro channel has none"
    assert target["stages"]["lab"]["seconds"] < WHOLE
    assert f"lab of {TARGET}" not in result.stderr, "with --json the result is JSON alone"
    (written,) = (path / "lab.json" for path in built.project.entries("lab"))
    assert json.loads(written.read_text(encoding="utf-8")) == lab


def install(folder: Path, wheel: Path, *requirements: str) -> Path:
    """An environment with the wheel and what it is tried with."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip: list[str | Path] = [
        sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "-q",
    ]  # fmt: skip
    subprocess.run([*pip, "--no-deps", wheel], check=True)
    subprocess.run([*pip, "--only-binary=:all:", *requirements], check=True)
    return folder


@pytest.fixture(scope="module")
def clean_environment(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("clean") / "env", built.wheel, "numpy", "trustme")


@pytest.fixture(scope="module")
def peers_environment(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("peers") / "env", built.wheel, *PEERS, "numpy")


def failures(
    built: Built, environment: Path, fault: Fault, place: Path, peers: Sequence[str] = ()
) -> list[CaseVerdict]:
    """The failed cases of the lab on a copy of an environment with the fault in it."""
    copy = place / "environment"
    shutil.copytree(environment, copy, symlinks=True, copy_function=os.link)
    fault.plant(Site(environment=copy))
    (prefix,) = (path / "prefix" for path in built.project.entries("fetch"))
    lab = Workbench(
        clean=copy / "bin" / "python", peers=copy / "bin" / "python", wheel=_as_wheel(copy, place),
        import_package="osgeo", layout="toplevel", prefix=prefix,
        bubblewrap=Path(shutil.which("bwrap") or ""), place=place / "lab", environ=os.environ,
    )  # fmt: skip
    lab.place.mkdir()
    offer = Equipment(peers=tuple(peers), other_gdal=str(prefix / "lib"), seed=11)
    console = Console(logs=place / "logs", quiet=True)
    with console.step("lab", "") as step:
        verdicts = run_cases(lab, select(every_case(offer), fault.cases), step)
    return [verdict for verdict in verdicts if verdict.result is CaseResult.FAILED]


def _as_wheel(environment: Path, place: Path) -> Path:
    """What is installed, as a zip file on sys.path would be."""
    packages = Site(environment=environment).packages
    made = shutil.make_archive(str(place / "wheel"), "zip", packages, "osgeo")
    return Path(made)


def check(fault: Fault, failed: Sequence[CaseVerdict], selected: int | None = None) -> None:
    names = {f"{verdict.group}: {verdict.name}" for verdict in failed}
    unexpected = {n for n in names if not any(fnmatchcase(n, p) for p in fault.failing)}
    unseen = [p for p in fault.failing if not any(fnmatchcase(n, p) for n in names)]
    details = "\n".join(f"{verdict.name}: {verdict.detail}" for verdict in failed)
    assert not unexpected and not unseen, f"{unexpected} failed, {unseen} did not\n{details}"
    assert all(fault.words in verdict.detail for verdict in failed), details
    assert selected is None or len(names) == selected


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_fails_exactly_the_cases_about_it(
    built: Built, clean_environment: Path, tmp_path: Path, fault: Fault
) -> None:
    check(fault, failures(built, clean_environment, fault, tmp_path))


def test_other_numbers_are_seen(built: Built, peers_environment: Path, tmp_path: Path) -> None:
    check(BESIDE_PEERS, failures(built, peers_environment, BESIDE_PEERS, tmp_path, PEERS), 1)


def test_real_programs_do_their_jobs(built: Built, clean_environment: Path, tmp_path: Path) -> None:
    """The prefix's programs, as if they were the wheel's: each of them does its job."""
    (prefix,) = (path / "prefix" for path in built.project.entries("fetch"))

    def plant(site: Site) -> None:
        for program in (prefix / "bin").iterdir():
            script = site.environment / "bin" / program.name
            script.write_text(
                f'#!/bin/sh\nexport LD_LIBRARY_PATH="{prefix}/lib" GDAL_DATA="{prefix}/share/gdal"'
                f' PROJ_DATA="{prefix}/share/proj"\nexec "{program}" "$@"\n',
                encoding="utf-8",
            )
            script.chmod(0o755)

    fault = Fault(name="none", plant=plant, cases=("parts",), failing=())
    check(fault, failures(built, clean_environment, fault, tmp_path))

"""geowheel itself, and the real GDAL wheel from a committed lock: published, installed, used."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from geowheel.lab.running import PROBES, copy_probes
from geowheel.stages.environments import python_of
from tests.support.project_copy import PYTHON, ProjectCopy
from tests.support.pypi_server import PASSWORD, USER, PypiServer

IDENTITY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Ada"), ("EMAIL", "ada@example.invalid"))
}
CREDENTIALS = {"TWINE_USERNAME": USER, "TWINE_PASSWORD": PASSWORD}
SETTINGS = """
[tool.geowheel.licenses.accept]
"*" = "a release of tests is given to nobody"
[tool.geowheel.audit.levels]
distrusted-root = "warn"
old-certificates = "warn"
"""


@pytest.fixture
def releasable(second: ProjectCopy) -> ProjectCopy:
    """A checkout whose lock is of the distro channel's folder, with version and changelog."""
    (channel,) = (second.cache / "channels").glob("*[!k]")  # not its .work
    edit(
        second.root / "pixi.toml", r"channels = \[.*\]", f"channels = {json.dumps([str(channel)])}"
    )
    edit(second.root / "pixi.toml", r"platforms = \[.*\]", 'platforms = ["linux-64"]')
    lgpl = r"(?:\w+ = {.*lgpl_.*}\n)+"  # builds that Debian does not have
    edit(second.root / "pixi.toml", lgpl, "")
    host = second.root / "hosts" / "gdal" / "pyproject.toml"
    edit(host, r"pythons = \[.*\]", f'pythons = ["{PYTHON}"]')
    table = "[tool.geowheel.release]\n"
    edit(host, re.escape(table), f'{table}verdicts = ["size", "test"]\n')
    host.write_text(host.read_text() + SETTINGS)
    made = ProjectCopy(root=second.root, cache=second.cache)  # without --channel
    assert done(made.run("lock"))
    changelog = host.with_name("CHANGELOG.md")
    edit(changelog, re.escape("## [Unreleased]\n"), f"## [{gdal_version(made)}] - 2026-11-21\n")
    commit(made)
    return made


def gdal_version(project: ProjectCopy) -> str:
    """GDAL's version by the lock, which the wheels of hosts/gdal have as well."""
    lock = (project.root / "pixi.lock").read_text()
    (version,) = set(re.findall(r"/libgdal-core-([0-9.]+)-", lock))
    return str(version)


def commit(project: ProjectCopy) -> None:
    """All of it, as the one commit of main."""
    for arguments in (
        ["checkout", "--quiet", "-B", "main"], ["add", "--all"],
        ["commit", "--quiet", "--message", "All of it"],
    ):  # fmt: skip
        environ = project.environ | IDENTITY
        subprocess.run(["git", *arguments], cwd=project.root, check=True, env=environ)


def edit(path: Path, pattern: str, new: str) -> None:
    text, number = re.subn(pattern, lambda _: new, path.read_text())
    assert number == 1, pattern
    path.write_text(text)


def done(ended: subprocess.CompletedProcess[str]) -> bool:
    assert ended.returncode == 0, ended.stderr
    return True


def test_released_for_real(releasable: ProjectCopy, index: PypiServer, tmp_path: Path) -> None:
    early = releasable.run("release", "--index", index.url, "--dry-run")
    assert early.returncode == 11
    assert "its native stack is not from a committed lock" in early.stderr
    assert done(releasable.run("wheel", "--python", PYTHON))
    ended = releasable.run("release", "--index", index.url, **CREDENTIALS, **IDENTITY)
    assert done(ended)
    (wheel,) = index.files()
    assert index.files() == {wheel: (releasable.root / "dist" / wheel).read_bytes()}
    version = wheel.split("-")[1]
    tag = ["git", "tag", "--points-at", "HEAD"]
    assert (
        subprocess.check_output(tag, cwd=releasable.root, text=True).strip() == f"gdal-v{version}"
    )
    assert "nothing to do" in releasable.run("release", "--index", index.url).stdout

    venv = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    python = python_of(venv)
    subprocess.run(
        [python, "-m", "pip", "--isolated", "install", "--quiet", "--no-cache-dir",
         "--disable-pip-version-check", "--index-url", f"{index.url}/simple", f"GDAL=={version}"],
        check=True,
    )  # fmt: skip
    copy_probes(tmp_path)
    asked, report = tmp_path / "asked.json", tmp_path / "report.json"
    what = {"layout": "toplevel", "package": "osgeo", "version": version}
    asked.write_text(json.dumps({**what, "function": "wheel:probe", "folder": str(tmp_path)}))
    program = tmp_path / PROBES / "probe.py"
    subprocess.run([python, "-I", program, asked, report], check=True, cwd=tmp_path)
    probes = json.loads(report.read_text())
    assert len(probes) > 5
    assert [probe for probe in probes if probe["passed"] is False] == []

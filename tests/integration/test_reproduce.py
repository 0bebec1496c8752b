"""`reproduce` with a build of a second: what is varied really is, and what is planted is named."""

import shutil
import sys
from pathlib import Path

import pytest

from geowheel.errors import BuildError
from geowheel.machine.console import Step
from geowheel.project.project import Project, open_project, this_machine
from geowheel.reproducing import reproduce
from tests.support.hosts import make_console, write_host

PLANTED = """
import os, pathlib, socket, tempfile, time, zipfile
made = {
    "same.txt": "the same",
    "path.txt": f"in {os.getcwd()}/source",
    "random.txt": tempfile.mkdtemp(),
    "time.txt": f"{time.time():.3f}",
    "user.txt": str(os.getuid()),
    "zone.txt": time.strftime("%H:%M"),
    "host.txt": socket.gethostname(),
}
for name, text in made.items():
    pathlib.Path(name).write_text(text)
folder = pathlib.Path("dist")
with zipfile.ZipFile(folder / "host-1-py3-none-any.whl", "w") as archive:
    for name in made:
        info = zipfile.ZipInfo(name)
        info.external_attr = os.stat(name).st_mode << 16
        archive.writestr(info, pathlib.Path(name).read_bytes())
"""
SAID = {
    "path.txt": "an absolute path", "random.txt": "a random build path", "zone.txt": "a time stamp",
    "time.txt": "a time stamp", "user.txt": "not known", "host.txt": "not known",
    "same.txt": "the umask",
}  # fmt: skip


def planted(_: Project, way: reproduce.Variant, __: object, step: Step) -> None:
    step.run([*way.start, sys.executable, "-c", PLANTED], env=way.environ, cwd=way.made)


def test_what_is_planted_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shutil.which("bwrap"), "CI has it"
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "GEOWHEEL_CACHE": str(tmp_path / "cache")}
    write_host(tmp_path / "project")
    machine = this_machine(environ)
    project = open_project(root=tmp_path / "project", host=Path(), machine=machine)
    monkeypatch.setattr(reproduce, "build", planted)
    with pytest.raises(BuildError) as raised:
        reproduce.reproduce(project, [], make_console(tmp_path))
    for name, why in SAID.items():
        said = [fault.what for fault in raised.value.faults if name in fault.what]
        assert any(why in what for what in said), said
    kept = project.work / "reproduce"
    assert [path.parent.name for path in sorted(kept.rglob("*.whl"))] == ["1", "2"]

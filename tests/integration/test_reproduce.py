"""`reproduce` with a build of a second: what is varied really is, and what is planted is named."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from geowheel.digest import sha256_file
from geowheel.errors import BuildError
from geowheel.machine.console import Step
from geowheel.project.project import Project, open_project, this_machine
from geowheel.reproducing import rebuild, reproduce
from tests.support.hosts import RUNNING, make_console, wheel_bytes, write_host

TAG = "cp" + RUNNING.replace(".", "")

PLANTED = """
import os, pathlib, socket, sys, tempfile, time, zipfile
for number in range(20):
    pathlib.Path(sys.argv[1], f"listed-{number}").touch()
made = {
    "order.txt": " ".join(name for name in os.listdir(sys.argv[1]) if "listed" in name),
    "same.txt": "the same",
    "path.txt": f"in {os.getcwd()}/source",
    "random.txt": tempfile.mkdtemp(),
    "time.txt": f"{time.time() + os.getuid():.0f}",  # another second, however fast it is
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
    "same.txt": "the umask", "order.txt": "an order that nobody sorted",
}  # fmt: skip


def planted(_: Project, way: reproduce.Variant, __: object, step: Step) -> None:
    step.run([*way.start, sys.executable, "-c", PLANTED, way.root], env=way.environ, cwd=way.made)


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


def wheel_at(folder: Path, *, text: str = "x = 1\n", zlib: str = "1.3", zig: str = "0.15") -> Path:
    name = f"host-1.0-{TAG}-{TAG}-manylinux_2_35_x86_64.whl"
    package = {
        "name": "zlib", "purl": f"pkg:conda/zlib@{zlib}", "hashes": [
            {"alg": "SHA-256", "content": "a" * 64},
        ],
    }  # fmt: skip
    properties = [
        {"name": "geowheel:compiler", "value": f"ziglang {zig}"},
        {"name": "geowheel:interpreter", "value": f"CPython {RUNNING}"},
    ]
    sbom = json.dumps({"components": [package], "metadata": {"properties": properties}})
    folder.mkdir(parents=True, exist_ok=True)
    files = {"host/__init__.py": text, "host-1.0.dist-info/sboms/geowheel.cdx.json": sbom}
    (folder / name).write_bytes(wheel_bytes(name, files))
    return folder / name


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, []),
        ({"zig": "0.16"}, ["compiler: ziglang 0.15 -> ziglang 0.16"]),
        ({"text": "x = 2\n"}, ["host/__init__.py: line 1"]),
        (
            {"zlib": "1.4"},
            ["it is made of other packages: pkg:conda/zlib@1.3 -> pkg:conda/zlib@1.4"],
        ),
    ],
)
def test_a_wheel_is_built_again(
    changed: dict[str, str], said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "GEOWHEEL_CACHE": str(tmp_path / "cache")}
    write_host(tmp_path / "project")
    machine = this_machine(environ)
    project = open_project(root=tmp_path / "project", host=Path(), machine=machine)
    wheel = wheel_at(project.dist)

    def build(_: Project, way: reproduce.Variant, options: list[str], __: Step) -> Path:
        assert options == [f"--python={RUNNING}"]
        return wheel_at(way.made / "dist", **changed)

    monkeypatch.setattr(rebuild, "build_wheel", build)
    if said:
        with pytest.raises(BuildError) as raised:
            rebuild.rebuild(project, wheel, make_console(tmp_path))
        faults = [fault.what for fault in raised.value.faults]
        assert all(any(what.startswith(text) for what in faults) for text in said), faults
    else:
        rebuild.rebuild(project, wheel, make_console(tmp_path))
    statement = json.loads(wheel.with_name(f"{wheel.name}.rebuild.json").read_text())
    (subject,) = statement["subject"]
    assert subject == {"name": wheel.name, "digest": {"sha256": sha256_file(wheel)}}
    (material,) = statement["predicate"]["materials"]
    assert material["digest"] == {"sha256": "a" * 64}
    assert statement["predicate"]["byproducts"]["identical"] is not bool(said)

"""A small host on disk, and the values that stages, runs and commands are given."""

import datetime
import io
import json
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

from geowheel.digest import TreeEntry, sha256_bytes
from geowheel.locks.assets import Package
from geowheel.locks.build_lock import BuildLock
from geowheel.locks.channels import Mirrors
from geowheel.locks.in_use import Locks, Source
from geowheel.locks.native_stack import NativeStack
from geowheel.machine.console import Console, Step
from geowheel.machine.interpreters import Interpreter
from geowheel.machine.process import Result, Runner
from geowheel.prefix.linker import NativeManifest, PlacedPackage
from geowheel.project.places import Layout, Places
from geowheel.project.project import Machine, Project, open_project
from geowheel.records.facts import StageFacts
from geowheel.records.ledger import RECORD, Entry, Ledger, Record, read_record
from geowheel.records.stage import Outcome
from geowheel.stages.context import Context, Tools
from geowheel.targets import Platform
from geowheel.wheel.reading import record_digest

F = TypeVar("F", bound=StageFacts)
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHONS = (RUNNING, "3.98", "3.99")
"""The running version, and two that no machine has."""
NO_TOOLS = {"PATH": "/nowhere"}
"""An environment in which no git and no compiler is found."""

PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "{name}"
requires-python = ">=3.9"
[tool.geowheel]
pythons = [{pythons}]
"""
PIXI = """\
[workspace]
channels = ["conda-forge"]
platforms = ["linux-64"]
[dependencies]
libgdal-core = "*"
"""


def write_host(
    folder: Path, *, name: str = "host", pythons: Iterable[str] = PYTHONS, more: str = ""
) -> Path:
    """pyproject.toml and pixi.toml of a host."""
    folder.mkdir(parents=True, exist_ok=True)
    text = PYPROJECT.format(name=name, pythons=", ".join(f'"{python}"' for python in pythons))
    (folder / "pyproject.toml").write_text(text + more, encoding="utf-8")
    (folder / "pixi.toml").write_text(PIXI, encoding="utf-8")
    return folder


def make_project(
    root: Path, *, environ: Mapping[str, str] = NO_TOOLS, more: str = "", name: str = "host"
) -> Project:
    """A project whose host is its root."""
    write_host(root, more=more, name=name)
    machine = Machine(platform=Platform.LINUX_64, environ=environ, cache=root / "cache")
    return open_project(root=root, host=Path(), machine=machine)


def make_locks(*, committed: bool = True) -> Locks:
    """Locks with nothing but a libgdal."""
    gdal = make_package(
        "libgdal-core", version="3.10.2", build="h0_0", sha256="00" * 32, size=1, license="MIT",
        url="https://conda.invalid/linux-64/libgdal-core-3.10.2-h0_0.conda",
    )  # fmt: skip
    return Locks(
        stack=NativeStack(platform=Platform.LINUX_64, packages=(gdal,), left_out=()),
        build=cast("BuildLock", None),
        source=Source(committed=committed, channels=("conda-forge",), words="a toy channel"),
        mirrors=Mirrors(),
        channels=(),
        path=Path("pixi.lock"),
    )


def make_package(name: str, **fields: Any) -> Package:
    """A conda package of nothing but a name, or with these fields."""
    plain = Package(
        name=name, version="1", build="0", subdir="linux-64", sha256="0" * 64, size=None,
        url=f"https://c.invalid/linux-64/{name}-1-0.conda", license=None, depends=(),
    )  # fmt: skip
    return replace(plain, **fields)


def make_native(
    packages: Mapping[str, Iterable[str]],
    make: Callable[[str], Package] = make_package,
    platform: Platform = Platform.LINUX_64,
) -> NativeManifest:
    """A native stack of packages with these paths."""
    placed = tuple(
        PlacedPackage(
            package=make(name),
            files=tuple(TreeEntry(path=p, sha256="0" * 64, size=1) for p in paths),
        )
        for name, paths in packages.items()
    )
    return NativeManifest(platform=platform, prefix_string="/p", packages=placed)


def make_context(project: Project, python: str = RUNNING) -> Context:
    """What the stages of one target may ask."""
    return Context(
        project=project,
        target=project.target(python),
        locks=make_locks(),
        tools=Tools(interpreter=None, toolchain=None),
    )


def make_places(import_package: str = "osgeo", **data: str) -> Places:
    """Of the layout that the name of the import package implies."""
    folder = import_package.replace(".", "/")
    private = Layout.PRIVATE if import_package.endswith(".osgeo") else Layout.NONE
    return Places(
        layout=Layout.TOPLEVEL if import_package == "osgeo" else private,
        import_package=import_package,
        gdal_data=data.get("gdal_data", f"{folder}/_data/gdal"),
        proj_data=data.get("proj_data", f"{folder}/_data/proj"),
    )


def make_interpreter(python: str = "3.12") -> Interpreter:
    """An interpreter that lies nowhere."""
    tag = python.replace(".", "")
    return Interpreter(
        executable=Path(f"/opt/python{python}/bin/python{python}"), version=f"{python}.1",
        implementation="cpython", soabi=f"cpython-{tag}-x86_64-linux-gnu",
        extension_suffix=f".cpython-{tag}-x86_64-linux-gnu.so", machine="x86_64", bits=64,
        libc="glibc 2.36", debug=False, free_threaded=False, shared=False, deployment_target="",
        include=Path(f"/opt/python{python}/include"), headers="ab" * 32, venv=True,
    )  # fmt: skip


def make_console(root: Path) -> Console:
    """A console that keeps its logs below `root`."""
    return Console(logs=root / "logs")


def make_step(root: Path, runner: object = None) -> Step:
    """A step whose commands go to `runner`, which stands in for the real one."""
    return Step(console=make_console(root), runner=cast("Runner", runner))


def result(_: object = (), *, returncode: int = 0, stderr: str = "") -> Result:
    """What a command gave back."""
    log = Path("logs/01-toy.log")
    return Result(returncode=returncode, stdout="", stderr=stderr, log=log)


def wheel_bytes(filename: str, files: Mapping[str, str]) -> bytes:
    """A wheel of that name with these files, as `read_wheel` takes it."""
    name, version, *_ = filename.split("-")
    tag = "-".join(filename.removesuffix(".whl").split("-")[-3:])
    info = f"{name}-{version}.dist-info"
    every = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n",
    }
    rows = [f"{path},{record_digest(sha256_bytes(text.encode()))}," for path, text in every.items()]
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path, text in {
            **every,
            f"{info}/RECORD": "\n".join([*rows, f"{info}/RECORD,,"]),
        }.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return data.getvalue()


def make_record(
    ledger: Ledger,
    facts: F,
    subject: str,
    *,
    text: str = "a",
    files: Mapping[str, bytes] | None = None,
    passed: bool = True,
    created: datetime.datetime | None = None,
    upstream: Mapping[str, str] | None = None,
) -> Record[F]:
    """The record of a run that made `files`; `text` is its only key component."""
    console = make_console(ledger.folder.parent)
    entry = Entry(
        ledger=ledger, stage=facts.stage, subject=subject, components={"text": text},
        upstream=upstream or {},
    )  # fmt: skip
    with entry.lock(console), entry.scratch() as folder:
        for path, data in (files or {}).items():
            (folder / path).write_bytes(data)
        made = entry.commit(folder, Outcome(facts=facts, passed=passed), time.monotonic())
    if created is None:
        return made
    rewrite(made.folder, created=created.isoformat(timespec="seconds"))
    read = read_record(made.folder, type(facts))
    assert read is not None
    return read


def rewrite(folder: Path, **changes: object) -> None:
    """Change values in an entry's record by hand."""
    data = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    (folder / RECORD).write_text(json.dumps(data | changes), encoding="utf-8")

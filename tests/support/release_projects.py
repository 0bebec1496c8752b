"""Projects that can be released in a test: a pure one, and a host whose wheels are planted."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geowheel.digest import digest, sha256_file
from geowheel.locks.in_use import committed_locks
from geowheel.project.project import open_project, this_machine
from geowheel.records.facts import (
    BuildFacts,
    FetchFacts,
    LabFacts,
    RepairFacts,
    SizeFacts,
    TestFacts,
)
from geowheel.records.ledger import Ledger, Record
from geowheel.wheel.writing import write_wheel
from tests.support.files import write_files
from tests.support.fixture_channel import SOURCES, TAG, Result, Sandbox
from tests.support.hosts import F, make_record
from tests.support.pypi_server import PASSWORD, USER

PURE = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tidy-project"
version = "1.0"
requires-python = ">=3.11"
"""
BACKEND = '''\
"""A build backend of its own: no index is asked for one."""
import base64, hashlib, io, tarfile, zipfile
from pathlib import Path

META = """Metadata-Version: 2.1
Name: tidy-project
Version: 1.0
Requires-Python: >=3.11
Description-Content-Type: text/markdown

# Tidy
"""


def get_requires_for_build_wheel(config_settings=None):
    return []


get_requires_for_build_sdist = get_requires_for_build_wheel


def build_sdist(folder, config_settings=None):
    name = "tidy_project-1.0"
    files = {"PKG-INFO": META, **{p: Path(p).read_text() for p in
             ("pyproject.toml", "backend.py", "tidy.py")}}
    with tarfile.open(Path(folder, name + ".tar.gz"), "w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(f"{name}/{path}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return name + ".tar.gz"


def build_wheel(folder, config_settings=None, metadata_directory=None):
    name, info = "tidy_project-1.0-py3-none-any.whl", "tidy_project-1.0.dist-info"
    files = {"tidy.py": Path("tidy.py").read_text(), f"{info}/METADATA": META,
             f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: toy\\nRoot-Is-Purelib: true\\n"
             "Tag: py3-none-any\\n"}
    rows = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        rows.append(f"{path},sha256={digest.decode()},{len(text.encode())}\\n")
    rows.append(f"{info}/RECORD,,\\n")
    files[f"{info}/RECORD"] = "".join(rows)
    with zipfile.ZipFile(Path(folder, name), "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)
    return name
'''
CHANGELOG = """\
# Changelog

## [Unreleased]

## [1.0] - 2026-11-21

- The first one.
"""
ROOTS = Path(__file__).parents[1] / "data" / "roots.pem"
"""Two of certifi's authorities: ISRG Root X1 and X2."""
IGNORED = "/.geowheel/\n/dist/\n"


@dataclass(frozen=True, kw_only=True)
class Releasable:
    """A checkout with a clean tree on main, and a way to run geowheel there as a user does."""

    root: Path
    home: Path
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "PYTHONPATH": str(SOURCES),
            "GEOWHEEL_CACHE": str(self.home / "cache"),
            "UV_CACHE_DIR": str(self.home / "uv"),
            "NO_PROXY": "127.0.0.1",
            "COLUMNS": "250",
            "TWINE_USERNAME": USER,
            "TWINE_PASSWORD": PASSWORD,
            "GIT_AUTHOR_NAME": "Ada",
            "GIT_AUTHOR_EMAIL": "ada@example.invalid",
            "GIT_COMMITTER_NAME": "Ada",
            "GIT_COMMITTER_EMAIL": "ada@example.invalid",
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            **self.extra,
        }

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "geowheel", "release", "--root", str(self.root), *arguments],
            env=self.environ | environ, cwd=self.root, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def release(self, *arguments: str, **environ: str) -> Result:
        with self.start(*arguments, **environ) as process:
            out, err = process.communicate()
        return Result(code=process.returncode, out=out, err=err)

    def released(self, *arguments: str, **environ: str) -> Result:
        """Run what has to succeed."""
        ended = self.release(*arguments, **environ)
        assert ended.code == 0, ended.err
        return ended

    def blocked(self, *arguments: str, **environ: str) -> Result:
        """Run what must not be released."""
        ended = self.release(*arguments, **environ)
        assert ended.code == 11, ended.err
        return ended

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.root, env=self.environ, text=True, check=True,
            capture_output=True,
        )  # fmt: skip
        return done.stdout.strip()

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "All of it")

    def dist(self) -> dict[str, bytes]:
        """Wheels and sdists that were made."""
        found = (self.root / "dist").glob("*.[wt]*")
        return {path.name: path.read_bytes() for path in sorted(found)}

    def said(self) -> str:
        """Every log."""
        logs = (self.root / ".geowheel").rglob("*.log")
        return "".join(path.read_text(encoding="utf-8") for path in logs)


def pure_project(root: Path, home: Path) -> Releasable:
    """A project without [tool.geowheel], committed on main."""
    home.mkdir(exist_ok=True)
    write_files(root, {
        "pyproject.toml": PURE, "backend.py": BACKEND, "tidy.py": "TIDY = True\n",
        "CHANGELOG.md": CHANGELOG, ".gitignore": IGNORED,
    })  # fmt: skip
    made = Releasable(root=root, home=home)
    made.git("init", "--quiet", "--initial-branch", "main")
    made.commit()
    return made


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A host with committed locks, whose ledger and dist/ hold small wheels of all its targets."""

    project: Releasable
    wheels: Sequence[Path]


def planted_host(locked: Sandbox) -> Planted:
    """Of a sandbox with committed locks; what is planted is what the stages would have recorded."""
    locked.edit("pyproject.toml", 'name = "host"\n', 'name = "host"\nversion = "1.0"\n')
    write_files(locked.root, {"CHANGELOG.md": CHANGELOG, ".gitignore": IGNORED})
    made = Releasable(root=locked.root, home=locked.home)
    made.git("init", "--quiet", "--initial-branch", "main")
    made.commit()
    return Planted(project=made, wheels=tuple(plant(made)))


def plant(releasable: Releasable) -> list[Path]:
    """Records of every stage for all targets of the host, and its wheels in dist/."""
    root = releasable.root
    project = open_project(root=root, host=Path(), machine=this_machine(releasable.environ))
    ledger = Ledger(folder=project.work, host=project.host.name)
    platform = project.machine.platform
    stack = committed_locks(project, platform).stack

    def record(facts: F, subject: object, **made: Any) -> Record[F]:
        return make_record(ledger, facts, str(subject), text=str(facts), **made)

    fetch = record(FetchFacts(stack=digest(stack.packages)), platform)
    files = digest(project.host_files())
    project.dist.mkdir(exist_ok=True)
    wheels = []
    for target in map(project.target, project.config.pythons):
        raw = {"host-1.0.whl": f"raw of {target}".encode()}
        build = record(BuildFacts(host_files=files), target, files=raw)
        wheel = _wheel(project.dist, target.interpreter_tag)
        record(
            RepairFacts(locked=True), target, files={wheel.name: wheel.read_bytes()},
            upstream={"fetch": fetch.key, "build": build.key},
        )  # fmt: skip
        for facts in (SizeFacts, TestFacts, LabFacts):
            record(facts(sha256=sha256_file(wheel)), target)
        wheels.append(wheel)
    return wheels


def _wheel(dist: Path, tag: str) -> Path:
    """A wheel of a platform; for the running Python with one of its own extension modules."""
    name = f"host-1.0-{tag}-{tag}-manylinux_2_36_x86_64.whl"
    tree = dist.parent / ".geowheel" / f"tree-{tag}"
    write_files(tree, {
        "host/__init__.py": f"TAG = {tag!r}\n",
        "host/cacert.pem": ROOTS.read_text(encoding="utf-8") * 10,
        "host-1.0.dist-info/METADATA":
            "Metadata-Version: 2.1\nName: host\nVersion: 1.0\nRequires-Python: >=3.11\n"
            "Description-Content-Type: text/markdown\n\n# Host\n",
        "host-1.0.dist-info/WHEEL":
            "Wheel-Version: 1.0\nGenerator: toy\nRoot-Is-Purelib: false\n"
            f"Tag: {tag}-{tag}-manylinux_2_36_x86_64\n",
        "host-1.0.dist-info/RECORD": "",
    })  # fmt: skip
    if tag == TAG:
        modules = Path(sysconfig.get_path("stdlib"), "lib-dynload")
        (module,) = modules.glob("_bisect.*.so")
        (tree / "host" / module.name).write_bytes(module.read_bytes())
    return write_wheel(tree, dist, filename=name).path

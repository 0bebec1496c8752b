"""The build stage around a backend: what it is given, and what is made of its wheel."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from geowheel.binary.wheel import read_wheel, unpack_wheel, write_wheel
from geowheel.config import BuildSystem
from geowheel.digest import read_tree
from geowheel.errors import BuildError
from geowheel.ledger import Made
from geowheel.native.build_lock import Download
from geowheel.native.channels import Mirrors
from geowheel.native.store import Store
from geowheel.process import Result
from geowheel.stages.build import BuildInputs, run
from geowheel.stages.contract import Outcome

from .hosts import make_interpreter, make_step, result

TAG = "cp312-cp312-linux_x86_64"
PYTHON = Path("/environment/bin/python")
PAYLOAD = ("osgeo/__init__.py", "osgeo/_gdal.so", "osgeo/_data/gdal/a.csv")


def write(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    return root


@dataclass(kw_only=True)
class Backend:
    """Stands in for the interpreter that runs a backend's hooks: packs what is in `folder`."""

    name: str = "host"
    spelled: str = "host"
    version: str = "1.0"
    folder: str = ""
    leave_out: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    wheels: int = 1
    answer: dict[str, Any] | None = None
    calls: list[tuple[str, Path, Mapping[str, str]]] = field(default_factory=list)

    def __call__(
        self, argv: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, **_: object
    ) -> Result:
        python, _script, hook, exchange = map(str, argv)
        assert python == str(PYTHON)
        self.calls.append((hook, cwd, env))
        given = json.loads(Path(exchange, "input.json").read_text())["kwargs"]
        value: object = list(self.requires)
        if hook == "build_wheel":
            value = self.pack(cwd, Path(given["wheel_directory"]))
        answer = self.answer or {"return_val": value}
        Path(exchange, "output.json").write_text(json.dumps(answer))
        return result(argv)

    def pack(self, staged: Path, goal: Path) -> str:
        name = ""
        for number in range(self.wheels):
            tree = goal.parent / f"packed-{number}"
            shutil.copytree(staged / self.folder, tree, ignore=shutil.ignore_patterns("src"))
            for path in self.leave_out:
                (tree / path).unlink()
            info = tree / f"{self.spelled}-{self.version}.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}\n"
            )
            (info / "WHEEL").write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
            name = f"{self.spelled}-{self.version}-py{number + 2}-none-any.whl"
            write_wheel(tree, goal, filename=name)
        return name


@dataclass(kw_only=True)
class World:
    root: Path
    backend: Backend
    import_package: str = "osgeo"

    def build(
        self,
        *host: str,
        backend: str = "hatchling.build",
        locked: Sequence[str] = (),
        python: str = "3.12",
    ) -> Outcome:
        downloads = tuple(
            Download(name=name, version="1", file_name=f"{name}.whl", url="", sha256=name)
            for name in locked
        )
        store = Store(folder=self.root / "store", mirrors=Mirrors())
        for name in locked:
            write(store.folder, f"{name[:2]}/{name}/{name}.whl")
        checkout = write(self.root / "checkout", "pyproject.toml", *host)
        payload = write(self.root / "payload", *PAYLOAD)
        inputs = BuildInputs(
            host_files=read_tree(checkout), payload=Made(folder=payload, content=""),
            build_system=BuildSystem(requires=(), backend=backend), requirements=downloads,
            interpreter=make_interpreter(python), tag=TAG, gdal_version="3.10.2",
            import_package=self.import_package, git="",
            store=store, environ={"PATH": "/usr/bin", "CC": "/opt/cc"},
        )  # fmt: skip
        self.made.mkdir()
        return run(inputs, self.made, make_step(self.root, self.backend))

    @property
    def made(self) -> Path:
        return self.root / "made"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("geowheel.stages.build.make_environment", lambda *_, **__: PYTHON)
    return World(root=tmp_path, backend=Backend())


def test_the_raw_wheel_holds_host_and_payload_and_says_its_target(world: World) -> None:
    outcome = world.build("pkg/__init__.py")
    assert outcome.facts == {"wheel": f"host-1.0-{TAG}.whl", "version": "1.0"}
    assert [path.name for path in world.made.iterdir()] == [f"host-1.0-{TAG}.whl"]
    wheel = read_wheel(world.made / f"host-1.0-{TAG}.whl")
    assert {*PAYLOAD, "pkg/__init__.py"} <= {member.path for member in wheel.members}
    assert wheel.tags == (TAG,)


def test_a_wheel_with_extension_modules_is_not_pure(world: World) -> None:
    world.build()
    assert not read_wheel(world.made / f"host-1.0-{TAG}.whl").pure


def test_the_backend_works_in_a_copy(world: World) -> None:
    world.build("pkg/__init__.py")
    checkout = world.root / "checkout"
    assert {path.name for path in checkout.iterdir()} == {"pyproject.toml", "pkg"}
    for _, folder, _ in world.backend.calls:
        assert folder.is_relative_to(world.made)


def test_the_backend_gets_an_isolated_environment_and_the_version_of_gdal(world: World) -> None:
    world.build()
    assert [hook for hook, *_ in world.backend.calls] == [
        "get_requires_for_build_wheel", "build_wheel",
    ]  # fmt: skip
    for _, _, env in world.backend.calls:
        assert env["GEOWHEEL_GDAL_VERSION"] == "3.10.2"
        assert env["PATH"] == "/environment/bin:/usr/bin"
        assert "CC" not in env
        assert "SETUPTOOLS_SCM_PRETEND_VERSION" not in env


@pytest.mark.parametrize(
    ("backend", "hint"),
    [
        ("hatchling.build", "[tool.hatch.build.targets.wheel] packages"),
        ("setuptools.build_meta", "[tool.setuptools.package-data]"),
        ("setuptools.build_meta:__legacy__", "[tool.setuptools.package-data]"),
        ("scikit_build_core.build", "[tool.scikit-build] wheel.packages"),
        ("poetry.core.masonry.api", "[tool.poetry] include"),
        ("mesonpy", "py.install_sources"),
        ("my_backend", "see how that backend includes data files"),
    ],
)
def test_a_payload_left_out_names_the_files_and_the_backends_way(
    world: World, backend: str, hint: str
) -> None:
    world.backend.leave_out = ("osgeo/_data/gdal/a.csv",)
    with pytest.raises(BuildError, match="left 1 of 3 payload files out of host-1") as caught:
        world.build(backend=backend)
    text = str(caught.value)
    assert "osgeo/_data/gdal/a.csv" in text
    assert str(world.root / "checkout" / "pyproject.toml") in text
    assert hint in text


def test_many_files_left_out_are_named_in_part(world: World) -> None:
    more = tuple(f"osgeo/{letter}.py" for letter in "abcdefg")
    write(world.root / "payload", *more)
    world.backend.leave_out = more
    with pytest.raises(BuildError, match="left 7 of 10") as caught:
        world.build()
    assert "osgeo/e.py, ..." in str(caught.value)
    assert "osgeo/f.py" not in str(caught.value)


def test_a_clash_with_a_file_of_the_host_is_refused(world: World) -> None:
    with pytest.raises(BuildError, match=r"already has osgeo/__init__\.py") as caught:
        world.build("osgeo/__init__.py", "osgeo/own.py")
    assert "osgeo/own.py" not in str(caught.value)
    assert world.backend.calls == []


def test_a_host_may_have_files_beside_the_payload(world: World) -> None:
    world.build("osgeo/own.py")
    wheel = read_wheel(world.made / f"host-1.0-{TAG}.whl")
    assert "osgeo/own.py" in {member.path for member in wheel.members}


def test_a_host_with_a_src_folder_gets_the_payload_there(world: World) -> None:
    world.backend.folder = "src"
    world.build("src/pkg/__init__.py")
    wheel = read_wheel(world.made / f"host-1.0-{TAG}.whl")
    assert {*PAYLOAD, "pkg/__init__.py"} <= {member.path for member in wheel.members}


def test_a_clash_below_src_is_refused(world: World) -> None:
    world.backend.folder = "src"
    with pytest.raises(BuildError, match=r"already has src/osgeo/__init__\.py"):
        world.build("src/osgeo/__init__.py")


@pytest.mark.parametrize("name", ["my-host", "my_host", "My.Host"])
def test_a_name_of_several_words_stays_a_wheels_name(world: World, name: str) -> None:
    world.backend.name, world.backend.spelled = name, "my_host"
    outcome = world.build()
    assert outcome.facts["wheel"] == f"my_host-1.0-{TAG}.whl"
    assert read_wheel(world.made / f"my_host-1.0-{TAG}.whl").name == "my-host"


def test_a_local_version_is_kept(world: World) -> None:
    world.backend.version = "1.0+local.1"
    assert world.build().facts["version"] == "1.0+local.1"


def test_an_unmet_requirement_of_the_backend_is_named(world: World) -> None:
    world.backend.requires = ("ninja>=1.11", "Cython", 'tomli; python_version < "3"')
    with pytest.raises(BuildError, match=r"hatchling\.build also asks for ninja>=1\.11") as caught:
        world.build(locked=["cython"])
    assert "cython" not in str(caught.value).lower()
    assert "tomli" not in str(caught.value)
    assert "nox -s lock" in str(caught.value)


def test_requirements_that_are_locked_are_met(world: World) -> None:
    world.backend.requires = ("Ninja>=1.11", "scikit_build.core")
    assert world.build(locked=["ninja", "scikit-build-core"]).facts["version"] == "1.0"


def test_markers_are_the_targets(world: World) -> None:
    world.backend.requires = ('ninja; python_version == "3.98"',)
    with pytest.raises(BuildError, match="ninja"):
        world.build(python="3.98")


@pytest.mark.parametrize("count", [0, 2])
def test_a_backend_makes_one_wheel(world: World, count: int) -> None:
    world.backend.wheels = count
    with pytest.raises(BuildError, match=f"made {count} wheels instead of one"):
        world.build()


@pytest.mark.parametrize(
    "answer",
    [
        {"no_backend": True, "traceback": "", "backend_error": "No module named 'hatchlin'"},
        {"hook_missing": True, "missing_hook_name": "build_wheel"},
        {"unsupported": True, "traceback": "no wheels here"},
    ],
    ids=["no backend", "no hook", "unsupported"],
)
def test_a_backend_that_is_none_is_a_build_error(world: World, answer: dict[str, Any]) -> None:
    world.backend.answer = answer
    with pytest.raises(BuildError, match=r"hatchling\.build"):
        world.build()


def test_a_package_between_is_the_hosts_own_where_it_has_one(world: World) -> None:
    world.import_package = "pkg._vendor.osgeo"
    write(world.root / "payload", "pkg/_vendor/__init__.py", "pkg/_vendor/osgeo/__init__.py")
    checkout = write(world.root / "checkout", "pkg/_vendor/__init__.py")
    (checkout / "pkg/_vendor/__init__.py").write_text("own = 1\n", encoding="utf-8")
    world.build("pkg/__init__.py")
    made = unpack_wheel(world.made / f"host-1.0-{TAG}.whl", world.root / "unpacked")
    assert "pkg/_vendor/osgeo/__init__.py" in {member.path for member in made.members}
    kept = world.root / "unpacked" / "pkg" / "_vendor" / "__init__.py"
    assert kept.read_text(encoding="utf-8") == "own = 1\n"


@pytest.mark.parametrize("files", [("other/__init__.py",), ("src/other.py", "pkg/__init__.py")])
def test_a_host_without_the_package_that_it_names(world: World, files: tuple[str, ...]) -> None:
    world.import_package = "pkg._vendor.osgeo"
    with pytest.raises(BuildError, match="the host has no package 'pkg'") as caught:
        world.build(*files)
    assert "pkg._vendor.osgeo" in str(caught.value)
    assert world.backend.calls == []

"""The build stage around a backend: what it is given, and what is made of its wheel."""

import json
import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.support.hosts import make_interpreter, make_places, make_step, result

from geowheel.digest import Artefact, read_tree, sha256_bytes, sha256_file
from geowheel.errors import BuildError
from geowheel.locks.assets import Asset
from geowheel.locks.channels import Mirrors
from geowheel.machine.process import Result
from geowheel.prefix.store import Store
from geowheel.project.pyproject import BuildSystem
from geowheel.records.facts import BuildFacts
from geowheel.records.ledger import MadeFolder
from geowheel.records.stage import Outcome
from geowheel.stages.build import run
from geowheel.stages.inputs import BuildInputs, RawWheelInputs
from geowheel.systems.contract import Toolchain
from geowheel.targets import Platform
from geowheel.wheel.reading import read_wheel, unpack_wheel
from geowheel.wheel.writing import write_wheel

TAG = "cp312-cp312-linux_x86_64"
PYTHON = Path("/environment/bin/python")
TOOLCHAIN = Toolchain(
    cc=Path("/usr/bin/gcc"), cxx=Path("/usr/bin/g++"), version="g++ 12", target="x86_64-linux-gnu",
    linker="GNU ld", libc="glibc 2.36", libstdcxx="libstdc++.so.6.0.30",
    compile_flags=("-O2",), link_flags=("-shared",), host_flags=("-O2", "-DNDEBUG"),
    host_link_flags=("-Wl,--build-id=none",),
)  # fmt: skip
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
    tag: str = "py{}-none-any"
    requires: tuple[str, ...] = ()
    wheels: int = 1
    answer: dict[str, Any] | None = None
    calls: list[tuple[str, Path, Mapping[str, str]]] = field(default_factory=list)
    saw: list[str] = field(default_factory=list)

    def __call__(
        self, argv: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, **_: object
    ) -> Result:
        python, _script, hook, exchange = map(str, argv)
        assert python == str(PYTHON)
        self.calls.append((hook, cwd, env))
        self.saw += [path.name for path in cwd.rglob("*")]
        given = json.loads(Path(exchange, "input.json").read_text())["kwargs"]
        value: object = list(self.requires)
        if hook == "build_wheel":
            value = self.pack(cwd, Path(given["wheel_directory"]))
        warned = {"message": "\nOld keys.\nMore.", "filename": "x.py", "lineno": 1}
        answer = self.answer or {"return_val": value, "warnings": [warned]}
        Path(exchange, "output.json").write_text(json.dumps(answer))
        return result(argv)

    def pack(self, staged: Path, goal: Path) -> str:
        name = ""
        for number in range(self.wheels):
            tree = goal.parent / f"packed-{number}"
            shutil.copytree(staged / self.folder, tree, ignore=shutil.ignore_patterns("src"))
            (tree / "generated.c").write_text(f"// {goal.parent}/numpy.h, /home/me/.cargo/x.rs")
            info = tree / f"{self.spelled}-{self.version}.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}\n"
            )
            (info / "WHEEL").write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
            name = f"{self.spelled}-{self.version}-{self.tag.format(number + 2)}.whl"
            write_wheel(tree, goal, filename=name)
        return name


@dataclass(kw_only=True)
class World:
    root: Path
    backend: Backend
    import_package: str = "osgeo"
    payload: tuple[str, ...] = PAYLOAD
    commands: dict[str, str] = field(default_factory=dict)

    def build(
        self,
        *host: str,
        backend: str = "hatchling.build",
        locked: Sequence[str] = (),
        python: str = "3.12",
        host_version: str = "",
        abi: str = "cp312",
    ) -> Outcome[BuildFacts]:
        store = Store(folder=self.root / "store", mirrors=Mirrors())
        downloads = tuple(
            Asset(
                name=name,
                version="1",
                url=f"https://x.invalid/{name}.whl",
                sha256=sha256_bytes(b""),
            )
            for name in locked
        )
        for asset in downloads:
            store.path(asset).parent.mkdir(parents=True, exist_ok=True)
            store.path(asset).touch()
        checkout = write(self.root / "checkout", "pyproject.toml", *host)
        inputs = BuildInputs(
            payload=self.payload_made(), commands=self.commands,
            places=make_places(self.import_package),
            interpreter_tag="cp312", abi_tag=abi, platform_tag="linux_x86_64",
            host_files=read_tree(checkout), build_system=BuildSystem(requires=(), backend=backend),
            requirements=downloads, interpreter=make_interpreter(python),
            prefix=MadeFolder(folder=self.root / "fetch" / "prefix", content=""),
            toolchain=TOOLCHAIN,
            platform=Platform.LINUX_64, gdal_version="3.10.2", git="", store=store,
            config_settings={}, variables={},
            host_version=host_version, cache=self.root / "cache",
            environ={"PATH": "/usr/bin", "CC": "/opt/cc", "CFLAGS": "-O3", "HOME": "/home/me",
                     "CARGO_HOME": "/opt/cargo"},
        )  # fmt: skip
        shutil.rmtree(self.made, ignore_errors=True)  # of an earlier build
        self.made.mkdir()
        return run(inputs, self.made, make_step(self.root, self.backend))

    def payload_made(self) -> MadeFolder:
        return MadeFolder(folder=write(self.root / "payload", *self.payload), content="")

    def adopt(self, raw: Path) -> Outcome[BuildFacts]:
        inputs = RawWheelInputs(
            payload=self.payload_made(), commands=self.commands,
            places=make_places(self.import_package),
            interpreter_tag="cp312", abi_tag="cp312", platform=Platform.LINUX_64,
            platform_tag="linux_x86_64",
            raw=Artefact(path=raw, sha256=sha256_file(raw)),
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
    assert outcome.facts.version == "1.0"
    assert [path.name for path in world.made.iterdir()] == [f"host-1.0-{TAG}.whl"]
    wheel = read_wheel(world.made / f"host-1.0-{TAG}.whl")
    assert {*PAYLOAD, "pkg/__init__.py"} <= {member.path for member in wheel.members}
    assert wheel.tags == (TAG,)
    assert not wheel.pure
    world.backend.tag = "7-py3-none-any"
    world.build("pkg/__init__.py")
    assert [path.name for path in world.made.iterdir()] == [f"host-1.0-7-{TAG}.whl"]


def test_the_backend_works_in_a_copy_with_an_environment_of_its_own(world: World) -> None:
    world.build("pkg/__init__.py")
    checkout = world.root / "checkout"
    assert {path.name for path in checkout.iterdir()} == {"pyproject.toml", "pkg"}
    for _, folder, _ in world.backend.calls:
        assert not folder.is_relative_to(world.root), "no .gitignore may match where it lies"
    assert "pkg" in world.backend.saw
    assert not {"osgeo", "_gdal.so"} & set(world.backend.saw)
    assert [hook for hook, *_ in world.backend.calls] == [
        "get_requires_for_build_wheel", "build_wheel",
    ]  # fmt: skip
    for _, _, env in world.backend.calls:
        assert env["GEOWHEEL_GDAL_VERSION"] == "3.10.2"
        assert env["PATH"] == "/environment/bin:/usr/bin"
        assert env["CC"] == "/usr/bin/gcc", "the toolchain's, as its key says"
        assert "-O3" not in env["CFLAGS"], "the user's own"
        assert env["CFLAGS"].startswith("-O2 "), "setuptools takes it in place of all flags"
        assert "-DNDEBUG" in env["CFLAGS"]
        assert "SETUPTOOLS_SCM_PRETEND_VERSION" not in env


@pytest.mark.parametrize(
    ("made", "tags"),
    [
        ("py3-none-any", "cp312-abi3"),
        ("cp311-abi3-linux_x86_64", "cp312-abi3"),
        ("cp313-abi3-linux_x86_64", "cp313-abi3"),
    ],
)
def test_one_wheel_is_for_every_python_of_its_abi(world: World, made: str, tags: str) -> None:
    world.backend.tag = made
    world.build(abi="abi3")
    assert [path.name for path in world.made.iterdir()] == [f"host-1.0-{tags}-linux_x86_64.whl"]


def test_a_host_with_modules_of_one_python_gets_no_wheel_for_all(world: World) -> None:
    world.backend.tag = "cp312-cp312-linux_x86_64"
    with pytest.raises(BuildError, match=r"cp312-cp312 alone[\s\S]*abi = \"version\""):
        world.build(abi="abi3")


def test_the_host_may_follow_gdals_version(world: World) -> None:
    with pytest.raises(BuildError, match=r"has version 1\.0 instead of 3\.10\.2\.post1") as caught:
        world.build(host_version="3.10.2.post1")
    assert "GEOWHEEL_HOST_VERSION" in str(caught.value)
    assert all("GEOWHEEL_HOST_VERSION" in env for _, _, env in world.backend.calls)
    world.backend.version = "3.10.2.post1"
    assert world.build(host_version="3.10.2.post1").facts.version == "3.10.2.post1"
    for _, _, env in world.backend.calls:
        assert env["GEOWHEEL_HOST_VERSION"] == "3.10.2.post1"


def test_a_backend_that_compiles_finds_gdal_and_writes_no_path(world: World) -> None:
    native = world.root / "fetch"
    write(native, "wrappers/bin/gdal-config")
    world.build()
    (_, _, env), *_ = world.backend.calls
    assert env["GDAL_CONFIG"] == str(native / "wrappers/bin/gdal-config")
    assert env["PATH"] == f"/environment/bin:{native}/wrappers/bin:/usr/bin"
    assert env["CMAKE_PREFIX_PATH"] == str(native / "prefix")
    assert env["PKG_CONFIG_PATH"] == str(native / "wrappers/lib/pkgconfig")
    assert f"-rpath-link,{native}/prefix/lib" in env["LDFLAGS"]
    assert env["CFLAGS"] == env["CXXFLAGS"]
    assert f"-ffile-prefix-map={native}=native" in env["CFLAGS"]
    with zipfile.ZipFile(world.made / f"host-1.0-{TAG}.whl") as wheel:
        assert wheel.read("generated.c") == b"// /build/numpy.h, /cargo/x.rs"
    assert re.search(r"-ffile-prefix-map=\S+/\.geowheel-\S+=build ", env["CFLAGS"])
    assert re.search(r"--remap-path-prefix=\S+/\.geowheel-\S+=build ", env["RUSTFLAGS"])
    assert "--remap-path-prefix=/home/me/.cargo=cargo" in env["RUSTFLAGS"], "where cargo looks"
    assert env["CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER"] == env["CC"], "and its glibc"


def test_a_clash_with_a_file_of_the_host_is_refused(world: World) -> None:
    with pytest.raises(BuildError, match=r"already has osgeo/__init__\.py") as caught:
        write(world.root / "checkout", "osgeo/__init__.py", "osgeo/own.py")
        (world.root / "checkout" / "osgeo" / "__init__.py").write_text("mine")
        world.build()
    assert "osgeo/own.py" not in str(caught.value)


def test_a_backend_with_another_root_gets_the_payload_as_well(world: World) -> None:
    world.backend.folder = "src"
    world.build("src/pkg/__init__.py")
    wheel = read_wheel(world.made / f"host-1.0-{TAG}.whl")
    assert {*PAYLOAD, "pkg/__init__.py"} <= {member.path for member in wheel.members}


@pytest.mark.parametrize("name", ["my-host", "my_host", "My.Host"])
def test_a_name_of_several_words_stays_a_wheels_name(world: World, name: str) -> None:
    world.backend.name, world.backend.spelled = name, "my_host"
    world.build()
    assert read_wheel(world.made / f"my_host-1.0-{TAG}.whl").name == "my-host"


def test_an_unmet_requirement_of_the_backend_is_named(world: World) -> None:
    world.backend.requires = ("ninja>=1.11", "Cython", 'tomli; python_version < "3"')
    with pytest.raises(BuildError, match=r"hatchling\.build also asks for ninja>=1\.11") as caught:
        world.build(locked=["cython"])
    assert "cython" not in str(caught.value).lower()
    assert "tomli" not in str(caught.value)
    assert 'requires = ["ninja>=1.11", "Cython"]' not in str(caught.value)
    assert 'requires = ["ninja>=1.11"] to [tool.geowheel.build]' in str(caught.value)
    world.backend.requires = ("Ninja>=1.11", "scikit_build.core")
    assert world.build(locked=["ninja", "scikit-build-core"]).facts.version == "1.0"
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
    world.payload = ("pkg/_vendor/__init__.py", "pkg/_vendor/osgeo/__init__.py")
    checkout = write(world.root / "checkout", "pkg/_vendor/__init__.py")
    (checkout / "pkg/_vendor/__init__.py").write_text("own = 1\n", encoding="utf-8")
    world.build("pkg/__init__.py")
    made = unpack_wheel(world.made / f"host-1.0-{TAG}.whl", world.root / "unpacked")
    assert "pkg/_vendor/osgeo/__init__.py" in {member.path for member in made.members}
    kept = world.root / "unpacked" / "pkg" / "_vendor" / "__init__.py"
    assert kept.read_text(encoding="utf-8") == "own = 1\n"


def test_a_namespace_above_the_host_gets_no_file(world: World) -> None:
    world.import_package = "corp.geo.tool._vendor.osgeo"
    world.payload = (*make_places(world.import_package).packages_between,
                     "corp/geo/tool/_vendor/osgeo/__init__.py")  # fmt: skip
    world.build("corp/geo/tool/__init__.py")
    made = unpack_wheel(world.made / f"host-1.0-{TAG}.whl", world.root / "unpacked")
    inits = {member.path for member in made.members if member.path.endswith("__init__.py")}
    assert inits == {
        "corp/geo/tool/__init__.py", "corp/geo/tool/_vendor/__init__.py",
        "corp/geo/tool/_vendor/osgeo/__init__.py",
    }  # fmt: skip


def test_a_second_database_of_proj_is_refused(world: World) -> None:
    world.payload = ("osgeo/__init__.py", "osgeo/_data/proj/proj.db")
    with pytest.raises(BuildError, match=r"proj.db of its own, pkg/proj_data/proj.db") as caught:
        world.build("pkg/proj_data/proj.db")
    assert 'proj = "pkg/proj_data"' in str(caught.value)


@pytest.mark.parametrize(
    ("package", "has"),
    [("pkg._vendor.osgeo", "other"), ("pkg", "other"), ("corp._vendor.osgeo", "corp/geo")],
)
def test_a_host_without_the_package_that_it_names(world: World, package: str, has: str) -> None:
    world.import_package = package
    top = package.partition(".")[0]
    with pytest.raises(BuildError, match=f"the wheel has no package '{top}'") as caught:
        world.build(f"{has}/__init__.py")
    assert f"it has {has}" in str(caught.value)
    assert package in str(caught.value)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ("cp311-abi3-linux_x86_64", "cp311-abi3-linux_x86_64"),
        ("cp312-cp312-linux_x86_64", "cp312-cp312-linux_x86_64"),
        ("py3-none-linux_x86_64", "py3-none-linux_x86_64"),
    ],
)
def test_without_bindings_the_tags_stay(world: World, made: str, expected: str) -> None:
    world.import_package, world.payload = "pkg", ("pkg/_geowheel.py",)
    world.backend.tag = made
    world.build("pkg/_core.abi3.so")
    assert [path.name for path in world.made.iterdir()] == [f"host-1.0-{expected}.whl"]


def entry_points(world: World) -> str:
    unpack_wheel(world.made / f"host-1.0-{TAG}.whl", world.root / "unpacked")
    return (world.root / "unpacked/host-1.0.dist-info/entry_points.txt").read_text("utf-8")


def test_the_payloads_commands_are_entry_points(world: World) -> None:
    world.commands = {"gdalinfo": "a:gdalinfo"}
    world.build("pkg/__init__.py")
    assert entry_points(world) == (
        "[console_scripts]\ngdalinfo = a:gdalinfo\n\n"
        "[pyinstaller40]\nhook-dirs = osgeo._geowheel:hook_dirs\n"
    )
    with pytest.raises(BuildError, match="the host's script gdalinfo and GDAL's") as caught:
        world.build("host-1.0.data/scripts/gdalinfo")
    assert "programs" in str(caught.value)


def test_a_raw_wheel_made_elsewhere_gets_the_payload_once(world: World) -> None:
    world.commands = {"gdalinfo": "a:gdalinfo"}
    world.build("pkg/__init__.py")
    (raw,) = world.made.iterdir()
    first = read_wheel(raw)
    elsewhere = raw.rename(world.root / raw.name)
    world.made.rmdir()
    world.adopt(elsewhere)
    assert read_wheel(world.made / raw.name) == first
    assert len(world.backend.calls) == 2, "the backend was not called again"

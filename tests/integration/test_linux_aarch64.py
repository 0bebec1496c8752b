"""linux-aarch64 on another machine: compiled there, its interpreter and wheel under qemu-user."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from geowheel import systems
from geowheel.binary.elf import Elf, read_elf, read_elves
from geowheel.digest import sha256_file
from geowheel.machine import hints
from geowheel.project.project import this_machine
from geowheel.targets import Platform
from geowheel.wheel.reading import unpack_wheel
from tests.integration.test_lowering import lower
from tests.support.project_copy import Built, ProjectCopy, not_passed
from tests.support.zig import zig

ARM = "linux-aarch64"
TOOLS = ("qemu-aarch64",)


@dataclass(frozen=True, kw_only=True)
class Cross:
    """A checkout in which things are made for linux-aarch64, by the distribution's CPython."""

    project: ProjectCopy
    python: str

    @property
    def where(self) -> tuple[str, ...]:
        return ("--platform", ARM, "--python", self.python)


@pytest.fixture(scope="module")
def cross(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Cross:
    """Beside what was made for this machine, in the same cache; or NOT RUN."""
    machine = hints.this_machine()
    lacking = [name for name in TOOLS if shutil.which(name) is None]
    if this_machine(os.environ).platform is not Platform.LINUX_64:
        pytest.skip("NOT RUN: this machine is not linux-64")
    if lacking and os.environ.get("CI"):
        pytest.fail(f"{', '.join(lacking)} not on PATH, and CI has to have them")
    if lacking:
        pytest.skip(f"NOT RUN: {', '.join(lacking)} not on PATH")
    pythons = [v for v in ("3.11", "3.12", "3.13") if machine.offers(f"python{v}")]
    if machine.family != "debian" or not pythons:
        pytest.skip(f"NOT RUN: the package sources of {machine.name} need not have arm64")
    root = tmp_path_factory.mktemp("cross") / "checkout"
    shutil.copytree(built.project.root, root, symlinks=True)
    return Cross(project=replace(built.project, root=root), python=pythons[0])


@pytest.fixture(scope="module")
def summary(cross: Cross) -> dict[str, Any]:
    """Of the main job for linux-aarch64."""
    (found,) = cross.project.json("wheel", *cross.where)["targets"]
    return dict(found)


def elves(wheel: Path, folder: Path) -> dict[str, Elf]:
    unpack_wheel(wheel, folder)
    return read_elves(folder)


def only(folder: Path, *names: str) -> str:
    """A PATH with nothing but these programs of the machine."""
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(shutil.which(name) or name)
    return str(folder)


def test_what_the_machine_lacks_is_said(cross: Cross, tmp_path: Path) -> None:
    result = cross.project.run("wheel", *cross.where, PATH=only(tmp_path / "bin", "git"))
    assert result.returncode == 7, result.stderr
    assert "no qemu-aarch64 and no qemu-aarch64-static" in result.stderr
    assert "qemu-user" in result.stderr
    other = next(python for python in ("3.12", "3.13") if python != cross.python)
    result = cross.project.run("bindings", "--platform", ARM, "--python", other)
    assert result.returncode == 7, result.stderr
    assert f"has no CPython {other} for {ARM}" in result.stderr


def test_the_machines_own_interpreter_is_none_for_it(cross: Cross) -> None:
    python = shutil.which(f"python{cross.python}") or ""
    if not python:
        pytest.skip(f"NOT RUN: no python{cross.python} on PATH")
    result = cross.project.run("bindings", "--platform", ARM, "--python", python)
    assert result.returncode == 7, result.stderr
    assert f"for x86_64, and one for {ARM} is wanted" in result.stderr


def test_the_wheel_passes_its_tests_under_qemu(summary: dict[str, Any], tmp_path: Path) -> None:
    assert Path(summary["wheel"]).name.endswith("_aarch64.whl")
    assert "-manylinux_2_" in Path(summary["wheel"]).name
    assert not_passed(summary) == []
    names = {probe["name"] for probe in summary["probes"] if probe["passed"]}
    assert {"version is the locked one", "numpy arrays", "driver GTiff", "driver netCDF"} <= names
    assert summary["emulator"].startswith("qemu-aarch64 ")
    assert all(stage["passed"] for stage in summary["stages"].values())
    found = elves(Path(summary["wheel"]), tmp_path / "wheel")
    assert {elf.architectures for elf in found.values()} == {("aarch64",)}
    assert [path for path in found if path.endswith("-aarch64-linux-gnu.so")]
    assert not [path for path, elf in found.items() if elf.symbols or elf.debug], "stripped"


def test_what_this_machine_runs_stays(built: Built, cross: Cross, summary: dict[str, Any]) -> None:
    (channel,) = (built.project.cache / "channels").glob("distro-*[!k]")
    assert {path.name for path in channel.iterdir() if path.is_dir()} == {
        "linux-64", ARM, "noarch"
    }  # fmt: skip
    assert sha256_file(cross.project.root / "dist" / built.wheel.name) == built.summary["sha256"]
    assert Path(summary["wheel"]).parent == cross.project.root / "dist"
    for where in ((), cross.where):
        rows = cross.project.json("plan", *where)["plan"]
        assert {row["action"] for row in rows} == {"cached"}, rows


@pytest.mark.parametrize("name", ["cymini", "skbmini"])
def test_a_host_with_extensions_of_its_own(
    cross: Cross, summary: dict[str, Any], tmp_path: Path, name: str
) -> None:
    """setuptools with Cython; CMake and ninja, programs of the architecture themselves."""
    assert summary["error"] is None
    host = replace(cross.project, host=f"tests/data/hosts/{name}")
    host.json("build", *cross.where)
    (raw,) = host.root.glob(f".geowheel/*-{ARM}/build/*/{name}-*.whl")
    own = {path for path, elf in elves(raw, tmp_path / name).items() if elf.bits == 64}
    assert [path for path in own if path.startswith(f"{name}/") and path.endswith(".so")]


NUMBERS = {"two": ("2", ""), "four": ("4", "f")}
VECTORS = {
    f"_ZGVnN{count}v_{name}{end}": (kind, f"{name}{end}")
    for kind, (count, end) in NUMBERS.items()
    for name in ("cos", "exp", "log", "sin")
}
TYPES = """
#include <math.h>
typedef double two __attribute__((vector_size(16)));
typedef float four __attribute__((vector_size(16)));
"""


def for_arm(goal: Path, source: str, *flags: str | Path) -> Path:
    goal.parent.mkdir(exist_ok=True)
    target = ("-target", "aarch64-linux-gnu.2.17")
    zig("cc", *target, "-O2", "-fPIC", *flags, "-xc", "-", "-o", goal, text=source)
    return goal


@pytest.mark.usefixtures("summary")
def test_vectors_of_numbers_are_there_on_systems_without_libmvec(
    cross: Cross, tmp_path: Path
) -> None:
    (script := tmp_path / "names").write_text(f"GLIBC_2.38 {{ {'; '.join(VECTORS)}; }};")
    libmvec = for_arm(
        tmp_path / "libmvec.so.1", "".join(f"void {name}(void) {{}}\n" for name in VECTORS),
        "-shared", "-Wl,-soname,libmvec.so.1", f"-Wl,--version-script={script}",
    )  # fmt: skip
    declared = "".join(
        f"__attribute__((aarch64_vector_pcs)) {kind} {name}({kind});\n"
        for name, (kind, _) in VECTORS.items()
    )
    # Each number of a vector, beside what libm says of it alone.
    compared = "".join(
        f"{{ {kind} x; for (int i = 0; i < {NUMBERS[kind][0]}; i++) x[i] = 0.5 + i * by;"
        f"{kind} y = {name}(x); for (int i = 0; i < {NUMBERS[kind][0]}; i++)"
        f" same += y[i] == {function}(x[i]); }}\n"
        for name, (kind, function) in VECTORS.items()
    )
    asks = for_arm(
        tmp_path / "tree" / "libasks.so",
        f"{TYPES}{declared}int ask(double by) {{ int same = 0; {compared} return same; }}",
        "-shared", "-Wl,-soname,libasks.so", libmvec, "-lm",
    )  # fmt: skip
    main = "int ask(double); int main(int n, char **v) { return ask(n / 2.0); }"
    program = for_arm(tmp_path / "asks", main, asks, "-Wl,--allow-shlib-undefined")
    (system,) = cross.project.cache.glob(f"interpreters/*{ARM}*")
    found = f"LD_LIBRARY_PATH={asks.parent}"
    emulated: list[str | Path] = ["qemu-aarch64", "-L", system, "-E", found, program]
    before = subprocess.run(emulated, capture_output=True, text=True, check=False)
    assert "libmvec.so.1" in before.stderr, "this distribution's libc has none for AArch64"

    (cc := tmp_path / "cc").write_text(
        f'#!/bin/sh\nexport HOME="{tmp_path}"\n'
        f'exec {sys.executable} -m ziglang cc -target aarch64-linux-gnu.2.17 "$@"\n'
    )
    cc.chmod(0o755)
    machine = systems.of(Platform.LINUX_64).find_toolchain(Platform.LINUX_64, os.environ)
    devel = next(cross.project.root.glob(f".geowheel/{ARM}/fetch/*/prefix/lib/libstdcxx-devel"))
    libraries = tuple(str(devel / name) for name in ("libstdc++.so.6", "libgcc_s.so.1"))
    flags = ("-O2", *machine.link_flags, "-Wl,--allow-shlib-undefined")
    archive = devel / "libstdc++.a"
    toolchain = replace(
        machine, cc=cc, link_flags=flags, cxx_libraries=libraries, cxx_archive=archive
    )
    lower(asks.parent, floor="2.28", platform=Platform.LINUX_AARCH64, compilers=toolchain)
    assert "libmvec.so.1" not in read_elf(asks).needed
    done = subprocess.run(emulated, capture_output=True, text=True, check=False)
    assert done.returncode == sum(int(NUMBERS[kind][0]) for kind, _ in VECTORS.values()), (
        done.stderr
    )

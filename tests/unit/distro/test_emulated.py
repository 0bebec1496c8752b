"""An interpreter of another architecture, from files alone: its launcher, links and headers."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.files import write_program
from tests.support.hosts import make_interpreter
from tests.unit.binary.test_elf import make_elf

from geowheel.distro.debian import Distribution
from geowheel.distro.emulated import (
    EMULATE,
    Emulated,
    arrange,
    find_emulator,
    keep_links_inside,
    refuse_other_pythons,
    wrap_programs,
)
from geowheel.distro.tables import load_table
from geowheel.errors import MachineError
from geowheel.machine import hints
from geowheel.targets import Platform, is_emulated

PT_INTERP = 3

ARM64 = load_table().architectures["arm64"]
BOOKWORM = hints.machine(
    system="linux",
    os_release={"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian 12"},
    root=True,
    offers=lambda package: package == "python3.11",
)


def emulated(cache: Path, emulator: str = "/usr/bin/qemu-aarch64") -> Emulated:
    return Emulated(
        python="3.11", platform=Platform.LINUX_AARCH64,
        distribution=Distribution(id="debian", version="12"), emulator=Path(emulator), cache=cache,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("platform", "machine", "answer"),
    [
        (Platform.LINUX_AARCH64, Platform.LINUX_64, True),
        (Platform.LINUX_64, Platform.LINUX_AARCH64, True),
        (Platform.LINUX_64, Platform.LINUX_64, False), (Platform.OSX_ARM64, Platform.OSX_64, False),
        (Platform.WIN_64, Platform.LINUX_64, False), (Platform.LINUX_64, Platform.OSX_ARM64, False),
    ],
)  # fmt: skip
def test_what_an_emulator_runs(platform: Platform, machine: Platform, answer: bool) -> None:
    assert is_emulated(platform, machine) is answer


def test_a_launcher_hands_over_its_own_name_and_every_argument(tmp_path: Path) -> None:
    made = emulated(tmp_path / "it's a cache")
    root, launcher = made.folder, made.launcher
    assert set(made.scripts) == {root / EMULATE, launcher}
    first, second = made.scripts[launcher].splitlines()
    assert first == "#!/bin/sh"
    program = f"{launcher}-aarch64"
    assert shlex.split(second) == ["exec", str(root / EMULATE), "$0", program, "$@"]
    *_, last = made.scripts[root / EMULATE].splitlines()
    assert shlex.split(last) == [
        "exec", "/usr/bin/qemu-aarch64", "-L", str(root), "-0", "$name", "$program", "$@",
    ]  # fmt: skip
    assert all(f'"{word}"' in second + last for word in ("$0", "$@", "$name", "$program"))


def test_another_suites_interpreter_is_run_by_its_own_loader(tmp_path: Path) -> None:
    made = replace(emulated(tmp_path), emulator=None)
    *_, last = made.scripts[made.folder / EMULATE].splitlines()
    libraries = made.folder / "usr/lib/aarch64-linux-gnu"
    assert shlex.split(last) == [
        "exec", f"{libraries}/ld-linux-aarch64.so.1", "--library-path", str(libraries), "--argv0",
        "$name", "$program", "$@",
    ]  # fmt: skip


def test_unpacked_packages_become_an_installation(tmp_path: Path) -> None:
    made, root = emulated(tmp_path / "cache"), tmp_path / "partial"
    write_program(root / "usr/bin/python3.11", "the real one")
    headers = root / "usr/include/python3.11"
    headers.mkdir(parents=True)
    (headers / "pyconfig.h").write_text("#include <aarch64-linux-gnu/python3.11/pyconfig.h>")
    own = root / "usr/include/aarch64-linux-gnu/python3.11/pyconfig.h"
    own.parent.mkdir(parents=True)
    own.write_text("#define SIZEOF_LONG 8")
    (root / "usr/lib").mkdir()
    data = root / "usr/lib/python3.11/_sysconfigdata__aarch64-linux-gnu.py"
    data.parent.mkdir()
    data.write_text("build_time_vars = {'INCLUDEPY': '/usr/include/python3.11', 'CC': 'gcc'}\n")
    arrange(root, made, ARM64)
    assert (root / "usr/bin/python3.11").read_text() == made.scripts[made.launcher]
    assert (root / "usr/bin/python3.11").stat().st_mode & 0o111
    assert (root / "usr/bin/python3.11-aarch64").read_text() == "the real one"
    assert (headers / "pyconfig.h").read_text() == "#define SIZEOF_LONG 8"
    assert (root / "lib").resolve() == root / "usr/lib"
    assert not (root / "lib64").exists()
    names: dict[str, Any] = {}
    exec(data.read_text(), names)
    assert names["build_time_vars"] == {
        "INCLUDEPY": f"{sys.base_prefix}/include/python3.11", "CC": "gcc"
    }  # fmt: skip


def test_links_of_packages_lead_into_their_root(tmp_path: Path) -> None:
    (tmp_path / "etc/python3.11").mkdir(parents=True)
    (tmp_path / "usr/lib/python3.11").mkdir(parents=True)
    (tmp_path / "etc/python3.11/site.py").write_text("theirs")
    absolute, relative = tmp_path / "usr/lib/python3.11/site.py", tmp_path / "usr/lib/a"
    absolute.symlink_to("/etc/python3.11/site.py")
    (tmp_path / "usr/x").symlink_to("/nowhere/at all")
    relative.symlink_to("b")
    keep_links_inside(tmp_path)
    assert absolute.read_text() == "theirs"
    assert str(absolute.readlink()) == "../../../etc/python3.11/site.py"
    assert str(relative.readlink()) == "b"
    assert str((tmp_path / "usr/x").readlink()) == "../nowhere/at all"


def test_programs_in_an_environment_get_launchers_and_nothing_else_does(tmp_path: Path) -> None:
    interpreter = replace(
        make_interpreter("3.11"), executable=Path("/packages/usr/bin/python3.11"),
        machine="aarch64", emulator="qemu-aarch64 7.2.22",
    )  # fmt: skip
    elf = make_elf(segments=((PT_INTERP, 4),), machine=183)
    for name in ("bin/ninja", "lib/cmake"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(elf)
    library, script = tmp_path / "lib/gdal.so", write_program(tmp_path / "bin/pytest", "#!python\n")
    library.write_bytes(make_elf(machine=183))
    (tmp_path / "bin/link").symlink_to("ninja")
    for _ in range(2):
        wrap_programs(tmp_path, interpreter)
        found = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
        assert found == {
            "bin/ninja", "bin/ninja-aarch64", "lib/cmake", "lib/cmake-aarch64", "lib/gdal.so",
            "bin/pytest", "bin/link",
        }  # fmt: skip
    assert (tmp_path / "bin/ninja-aarch64").read_bytes() == elf
    *_, line = (tmp_path / "bin/link").read_text().splitlines()
    assert shlex.split(line) == [
        "exec", "/packages/emulate", "$0", str(tmp_path / "bin/ninja-aarch64"), "$@"
    ]  # fmt: skip
    assert (tmp_path / "bin/ninja").stat().st_mode & 0o111
    assert script.read_text() == "#!python\n"


def test_the_emulator_is_on_path_or_the_error_says_how_to_get_it(tmp_path: Path) -> None:
    environ = {"PATH": str(tmp_path)}
    with pytest.raises(MachineError, match="no qemu-aarch64 and no qemu-aarch64-static") as caught:
        find_emulator(Platform.LINUX_AARCH64, environ)
    assert "qemu" in caught.value.faults[0].fix
    static = write_program(tmp_path / "qemu-aarch64-static")
    assert find_emulator(Platform.LINUX_AARCH64, environ) == static
    plain = write_program(tmp_path / "qemu-aarch64")
    assert find_emulator(Platform.LINUX_AARCH64, environ) == plain


def test_a_python_that_the_release_lacks_is_refused_by_name() -> None:
    refuse_other_pythons("3.11", Platform.LINUX_AARCH64, BOOKWORM)
    refuse_other_pythons("3.12", Platform.LINUX_AARCH64, hints.machine(system="linux"))
    with pytest.raises(MachineError, match=r"Debian 12 has no CPython 3\.12 for linux-aarch64"):
        refuse_other_pythons("3.12", Platform.LINUX_AARCH64, BOOKWORM)

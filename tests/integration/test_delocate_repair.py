"""Real Mach-O files, compiled here, through the real delocate with repairwheel's tools."""

import os
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from geowheel.binary.macho import read_macho, read_machos
from geowheel.binary.macho_signature import signature_faults
from geowheel.distro.conda_package import PREFIX_PLACEHOLDER
from geowheel.errors import BuildError, MachineError
from geowheel.prefix.overwriting import overwrite, prefixed_strings
from geowheel.systems import repair_tools
from geowheel.systems.contract import RepairedTree
from geowheel.systems.delocate_repair import EXPERIMENTAL, PREFIX_LIBRARIES, MacosRepairer
from geowheel.systems.repair_tools import tool_versions
from geowheel.targets import Platform
from geowheel.wheel.reading import read_wheel
from geowheel.wheel.writing import write_wheel
from tests.support.files import write_program
from tests.support.macos_fixtures import (
    EXTENSION,
    EXTENSION_SOURCE,
    GDAL,
    PLUGIN,
    PLUGIN_SOURCE,
    compile_macho,
    make_fat,
    make_library,
    make_stack,
    make_stacks,
    make_weak,
    raw_wheel_tree,
)
from tests.support.repair_bench import Bench, pack
from tests.support.zig import zig

pytestmark = [pytest.mark.integration, pytest.mark.cross]

EXT = f"osgeo/{EXTENSION}"
PLUG = f"osgeo/_plugins/{PLUGIN}"
LIBGDAL = f"libgdal.36.{GDAL}.dylib"
ON_MAC = sys.platform == "darwin"
NOTES = () if ON_MAC else (EXPERIMENTAL,)
OFF_A_MAC = pytest.mark.skipif(ON_MAC, reason="about the tools in Apple's place")


@dataclass(frozen=True, kw_only=True)
class MacBench(Bench):
    """Its raw wheel is packed of a tree when it is repaired."""

    platform: Platform = Platform.OSX_ARM64
    tag: str = "macosx_11_0_arm64"
    name: str = "Pkg"

    @property
    def tree(self) -> Path:
        return self.folder / "raw/tree"

    def repair(self, name: str, **environ: str) -> RepairedTree:
        tag = f"cp312-cp312-{self.tag}"
        raw = pack(self.tree, self.folder / f"{name}-raw", tag, name=self.name)
        return self.repair_wheel(raw, name, **environ)

    def extension(self, *links: Path, **options: object) -> Path:
        """Compile the wheel's extension anew."""
        return compile_macho(self.tree / EXT, EXTENSION_SOURCE, *links,
                             architecture=self.platform.architecture, **options)  # type: ignore[arg-type]  # fmt: skip


@pytest.fixture(scope="session")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A library folder for each architecture; not to be changed."""
    return make_stacks(tmp_path_factory.mktemp("stacks"))


def bench_of(folder: Path, stack: Path, **options: Any) -> MacBench:
    raw_wheel_tree(folder / "raw/tree", stack)
    return MacBench(folder=folder, lib=stack, **options)


@pytest.fixture(scope="module", params=[(Platform.OSX_ARM64, "macosx_14_0_arm64"),
                                        (Platform.OSX_64, "macosx_10_9_x86_64")])  # fmt: skip
def bench(
    request: pytest.FixtureRequest, stacks: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> MacBench:  # fmt: skip
    """What is right, for each architecture; not to be changed."""
    platform, tag = request.param
    folder = tmp_path_factory.mktemp(platform.architecture)
    return bench_of(folder, stacks[platform.architecture], platform=platform, tag=tag)


@pytest.fixture
def arm(stacks: dict[str, Path], tmp_path: Path) -> MacBench:
    """One to plant faults in: a copy of the stack, a tree of its own."""
    prefix = tmp_path / "prefix"
    shutil.copytree(stacks["arm64"].parent, prefix, symlinks=True)
    return bench_of(tmp_path, prefix / "lib")


def test_one_tag_by_what_the_files_need_and_a_closed_wheel(bench: MacBench, tmp_path: Path) -> None:
    repaired = bench.repaired
    expected = {"arm64": "macosx_11_0_arm64", "x86_64": "macosx_10_13_x86_64"}
    assert repaired.platform_tag == expected[bench.platform.architecture]
    assert repaired.filename == f"Pkg-1.0-cp312-cp312-{repaired.platform_tag}.whl"
    wheel = read_wheel(write_wheel(repaired.tree, tmp_path, filename=repaired.filename).path)
    assert wheel.tags == (f"cp312-cp312-{repaired.platform_tag}",)
    assert repaired.notes == NOTES
    assert {item.soname: (item.source, item.path) for item in bench.repaired.bundled} == {
        "libcrs.3.dylib": ("libcrs.3.1.dylib", "Pkg.dylibs/libcrs.3.1.dylib"),
        "libgdal.36.dylib": (LIBGDAL, f"Pkg.dylibs/{LIBGDAL}"),
        "libhdf5.310.dylib": ("libhdf5.310.5.dylib", "Pkg.dylibs/libhdf5.310.5.dylib"),
        "libproj.25.dylib": ("libproj.25.9.4.dylib", "Pkg.dylibs/libproj.25.9.4.dylib"),
    }
    assert set(read_machos(bench.repaired.tree)) == {
        EXT,
        PLUG,
        *(item.path for item in bench.repaired.bundled),
    }
    binaries = read_machos(bench.repaired.tree)
    assert f"@loader_path/../Pkg.dylibs/{LIBGDAL}" in binaries[EXT].needed
    assert binaries[PLUG].needed[:2] == (
        f"@loader_path/../../Pkg.dylibs/{LIBGDAL}",
        "@loader_path/../../Pkg.dylibs/libhdf5.310.5.dylib",
    )
    assert "@loader_path/libproj.25.9.4.dylib" in binaries[f"Pkg.dylibs/{LIBGDAL}"].needed
    for item in bench.repaired.bundled:
        assert binaries[item.path].install_names == (f"/DLC/{item.path}",)
    for path in binaries:  # every page is signed anew
        assert signature_faults(bench.repaired.tree / path) == ()
    assert {path for macho in binaries.values() for path in macho.rpaths} <= {
        "@loader_path/", "@loader_path/../",
    }  # fmt: skip
    owners = {item.path: "libgdal-core" for item in bench.repaired.bundled}
    (forced,) = MacosRepairer.forcing(bench.repaired, owners)
    assert (
        forced.needs
        == {"arm64": "macOS 11.0", "x86_64": "macOS 10.13"}[bench.platform.architecture]
    )
    assert forced.packages == ("libgdal-core", EXT, PLUG)


def test_same_bytes(bench: MacBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lib = tmp_path / "another/place/lib"
    shutil.copytree(bench.lib, lib, symlinks=True)
    shutil.copytree(bench.tree, tmp_path / "raw/tree")
    bench.makes_the_same_bytes(replace(bench, folder=tmp_path, lib=lib), monkeypatch)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_two_distributions_have_libraries_of_different_names(arm: MacBench) -> None:
    other = replace(arm, name="Other_Host").repair("other")
    names = [
        name
        for repaired in (arm.repaired, other)
        for item in repaired.bundled
        for name in read_macho(repaired.tree / item.path).install_names
    ]
    assert len(set(names)) == len(names) == 8
    assert "/DLC/Other_Host.dylibs/libcrs.3.1.dylib" in names


def test_the_fixed_prefix_string_leads_into_the_stack(tmp_path: Path) -> None:
    """As fetch places real packages: strings and load commands patched, signatures broken."""
    lib = make_stack(tmp_path / "prefix", placeholder=PREFIX_PLACEHOLDER)
    old = make_library(lib, "libold", "1.2", "int old_answer(void) { return 1; }")
    compile_macho(old.resolve(), "int old_answer(void) { return 1; }",
                  install_name=f"{PREFIX_PLACEHOLDER}/lib/libold.1.dylib")  # fmt: skip
    bench = bench_of(tmp_path, lib)
    bench.extension(lib / "libgdal.36.dylib", old, rpaths=(f"{PREFIX_PLACEHOLDER}/lib",))
    for path in [*lib.rglob("*.dylib"), *bench.tree.rglob("*.so"), *bench.tree.rglob("*.dylib")]:
        if not path.is_symlink():
            own = PREFIX_PLACEHOLDER, PREFIX_LIBRARIES.removesuffix("/lib")
            overwrite(path, lambda data, own=own: prefixed_strings(data, *own))  # type: ignore[misc]
    assert f"{PREFIX_LIBRARIES}/libold.1.dylib" in read_macho(bench.tree / EXT).needed
    assert read_macho(bench.tree / PLUG).rpaths == ("@loader_path/../", PREFIX_LIBRARIES)
    assert signature_faults(lib / LIBGDAL)
    repaired = bench.repaired
    assert "@loader_path/../Pkg.dylibs/libold.1.2.dylib" in repaired.binaries[EXT].needed
    assert [item.soname for item in repaired.bundled if "old" in item.soname] == ["libold.1.dylib"]
    for name, macho in read_machos(repaired.tree).items():
        assert not any(PREFIX_LIBRARIES in text for text in (*macho.rpaths, *macho.libraries))
        assert signature_faults(repaired.tree / name) == ()
    # The strings that GDAL itself looks at stay; the bootstrap is asked before them.
    assert b"native-prefix/share/gdal" in (repaired.tree / f"Pkg.dylibs/{LIBGDAL}").read_bytes()


def test_libraries_that_the_wheel_brings_itself_stay(arm: MacBench) -> None:
    """Found by the extension's own search path, which counts for what its libraries need too."""
    folder = arm.tree / "osgeo/lib"
    deep = compile_macho(folder / "libdeep.dylib", "int deep(void) { return 1; }")
    own = compile_macho(folder / "libown.dylib", "int deep(void); int own(void) { return deep(); }",
                        deep)  # fmt: skip
    arm.extension(arm.lib / "libgdal.36.dylib", own,
                  rpaths=("@loader_path/lib", "/opt/python-of-the-builder/lib"))  # fmt: skip
    repaired = arm.repair("work")
    binaries = read_machos(repaired.tree)
    assert "@loader_path/lib/libown.dylib" in binaries[EXT].needed
    assert "@loader_path/libdeep.dylib" in binaries["osgeo/lib/libown.dylib"].needed
    assert binaries[EXT].rpaths == ("@loader_path/lib",)
    assert b"python-of-the-builder" not in (repaired.tree / EXT).read_bytes()


def test_a_program_loads_the_wheels_libraries(arm: MacBench) -> None:
    program = arm.tree / "osgeo/_programs/ask"
    program.parent.mkdir()
    zig(
        "cc", "-target", "aarch64-macos.11.0", "-O1", "-g0", "-o", program, "-xc", "-", "-xnone",
        arm.lib / "libgdal.36.dylib", "-Wl,-rpath,@loader_path/../lib",
        "-Wl,-headerpad_max_install_names",
        text="int gdal_answer(void); int main(void) { return gdal_answer(); }",
    )  # fmt: skip
    repaired = arm.repair("work")
    made = repaired.tree / "osgeo/_programs/ask"
    (part,) = read_macho(made).slices
    assert (part.file_type, part.rpaths) == ("execute", ())
    assert part.libraries[0].path == f"@loader_path/../../Pkg.dylibs/{LIBGDAL}"
    assert signature_faults(made) == ()
    assert made.stat().st_mode & 0o777 == 0o755


def test_no_path_of_the_machine_stays(arm: MacBench) -> None:
    """A linker that is told no install name takes the path that it writes to."""
    arm.extension(arm.lib / "libgdal.36.dylib", install_name=str(arm.tree / EXT),
                  rpaths=(str(arm.lib),))  # fmt: skip
    repaired = arm.repair("work")
    assert read_machos(repaired.tree)[EXT].install_names == (f"/DLC/{EXT}",)
    for path in repaired.tree.rglob("*"):
        assert path.is_dir() or str(arm.folder).encode() not in path.read_bytes()


def test_an_rpath_that_is_there_twice_goes(arm: MacBench) -> None:
    """dyld of macOS 15.4 and newer refuses such a file."""
    path = compile_macho(arm.lib / "libcrs.3.1.dylib", "int crs_answer(void) { return 3; }",
                         install_name="@rpath/libcrs.3.dylib",
                         rpaths=("@loader_path/", "@loader_path/a"))  # fmt: skip
    path.write_bytes(path.read_bytes().replace(b"@loader_path/a\0", b"@loader_path/\0\0"))
    assert read_macho(path).slices[0].rpaths == ("@loader_path/", "@loader_path/")
    repaired = arm.repair("work")
    assert read_macho(repaired.tree / "Pkg.dylibs/libcrs.3.1.dylib").rpaths == ()


def test_an_import_cycle_is_no_problem(arm: MacBench) -> None:
    """dyld does not mind, and some packages have one."""
    first = make_library(arm.lib, "libround", "1.0", "int round_answer(void) { return 1; }")
    second = make_library(arm.lib, "libback", "1.0", "int round_answer(void);\n"
                          "int back(void) { return round_answer(); }", first)  # fmt: skip
    make_library(arm.lib, "libround", "1.0", "int back(void); int round_answer(void) { return 1; }"
                 "\nint again(void) { return back(); }", second)  # fmt: skip
    arm.extension(arm.lib / "libgdal.36.dylib", first)
    repaired = arm.repair("work")
    assert {"libround.1.dylib", "libback.1.dylib"} <= {item.soname for item in repaired.bundled}


def test_a_newer_deployment_target_shows_in_the_tag_and_is_explained(arm: MacBench) -> None:
    make_library(arm.lib, "libhdf5", "310.5", "int hdf5_answer(void) { return 5; }",
                 minimum="13.3")  # fmt: skip
    repaired = arm.repair("work")
    assert repaired.platform_tag == "macosx_13_0_arm64"
    path = "Pkg.dylibs/libhdf5.310.5.dylib"
    (forced,) = MacosRepairer.forcing(repaired, {path: "hdf5"})
    assert (forced.needs, forced.packages, forced.files) == ("macOS 13.3", ("hdf5",), (path,))
    assert repaired.notes == (
        *NOTES,
        "tagged macosx_13_0_arm64, but needs macOS 13.3: a tag cannot say it",
    )


def test_a_weak_library_may_be_missing_and_is_bundled_where_it_is_not(arm: MacBench) -> None:
    gdal, crs = arm.lib / "libgdal.36.dylib", arm.lib / "libcrs.3.dylib"
    away = compile_macho(arm.folder / "libaway.dylib", "int away(void) { return 1; }")
    make_weak(arm.extension(gdal, away, crs), "@rpath/libaway.dylib")
    make_weak(arm.tree / EXT, "@rpath/libcrs.3.dylib")
    repaired = arm.repair("work")
    extension = read_machos(repaired.tree)[EXT]
    assert extension.weak == ("@rpath/libaway.dylib", "@loader_path/../Pkg.dylibs/libcrs.3.1.dylib")
    assert f"@rpath/libaway.dylib, which {EXT} can do without" in repaired.notes[-1]


def test_a_fat_file_needs_fat_libraries(stacks: dict[str, Path], tmp_path: Path) -> None:
    lib = tmp_path / "lib"
    shutil.copytree(stacks["arm64"], lib, symlinks=True)
    for path in lib.rglob("*.dylib"):
        if not path.is_symlink():
            relative = path.relative_to(lib)
            path.unlink()
            make_fat(path, {a: stacks[a] / relative for a in ("x86_64", "arm64")})
    bench = bench_of(tmp_path, stacks["arm64"])
    trees = {a: raw_wheel_tree(tmp_path / a, stacks[a]) for a in stacks}
    for name in (EXT, PLUG):
        make_fat(bench.tree / name, {a: tree / name for a, tree in trees.items()})
    repaired = replace(bench, lib=lib, tag="macosx_10_13_universal2").repair("work")
    assert repaired.platform_tag == "macosx_11_0_arm64"
    for name, macho in read_machos(repaired.tree).items():
        assert macho.architectures == ("x86_64", "arm64")
        assert signature_faults(repaired.tree / name) == ()


# Apple's programs as delocate calls them, with repairwheel's functions inside: no Mac is here, but
# the way to its tools can be walked. It fails on any other call.
APPLE_TOOL = """#!{python}
import sys
from pathlib import Path
from repairwheel.macos import machotools

name, arguments = Path(sys.argv[0]).name, sys.argv[1:-1]
file = sys.argv[-1]
with open(Path(sys.argv[0]).with_name("calls"), "a") as calls:
    print(name, *arguments, file=calls)
match name, arguments:
    case "otool", ["-arch", "all", "-m", "-L"]:
        print(f"{{file}}:")
        ids = list(machotools._get_install_ids(file).values())
        for text in [*ids, *machotools._get_install_names(file)[""]]:
            print(f"\t{{text}} (compatibility version 1.0.0, current version 1.0.0)")
    case "otool", ["-arch", "all", "-m", "-D"]:
        print(f"{{file}}:", *machotools._get_install_ids(file).values(), sep="\\n")
    case "install_name_tool", ["-change", old, new]:
        machotools.set_install_name(file, old, new, ad_hoc_sign=False)
    case "install_name_tool", ["-id", new]:
        machotools.set_install_id(file, new, ad_hoc_sign=False)
    case "install_name_tool", ["-delete_rpath", rpath]:
        machotools._delete_rpaths(file, [rpath], ad_hoc_sign=False)
    case "codesign", ["--force", "--sign", "-"]:
        machotools.replace_signature(file, "-")
    case _:
        sys.exit(f"unexpected: {{sys.argv}}")
"""


def write_apple_tools(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("otool", "install_name_tool", "codesign"):
        write_program(folder / name, APPLE_TOOL.format(python=sys.executable))
    monkeypatch.setattr(repair_tools, "on_mac", lambda: True)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder / "calls"


@OFF_A_MAC
def test_on_a_mac_apples_tools_do_the_same(arm: MacBench, monkeypatch: pytest.MonkeyPatch) -> None:
    arm.extension(arm.lib / "libgdal.36.dylib", rpaths=("/opt/builder/lib",))
    elsewhere = arm.repair("elsewhere")
    calls = write_apple_tools(arm.folder / "apple", monkeypatch)
    repaired = arm.repair("work")
    assert repaired.notes == ()
    assert contents(repaired.tree) == contents(elsewhere.tree)
    assert calls.read_text().count("codesign --force --sign -\n") == len(repaired.binaries)
    assert "-delete_rpath /opt/builder/lib" in calls.read_text()
    assert {"otool", "install_name_tool", "codesign"} < set(
        tool_versions(Platform.OSX_ARM64, os.environ)
    )


@OFF_A_MAC
def test_a_mac_without_its_own_tools(arm: MacBench, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_apple_tools(arm.folder / "apple", monkeypatch).parent
    (folder / "codesign").unlink()
    assert "codesign was not found" in arm.refused(MachineError)
    with pytest.raises(MachineError, match="codesign"):
        tool_versions(Platform.OSX_ARM64, os.environ)


def test_a_fat_extension_over_a_thin_stack(stacks: dict[str, Path], tmp_path: Path) -> None:
    bench = bench_of(tmp_path, stacks["arm64"])
    parts = {a: raw_wheel_tree(tmp_path / a, stacks[a]) / EXT for a in stacks}
    make_fat(bench.tree / EXT, parts)
    message = bench.refused()
    assert f"{LIBGDAL}, which is for another architecture (arm64, not x86_64)" in message
    assert 'ARCHFLAGS="-arch arm64"' in message


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("macosx_11_0_universal2", f"{EXT}: is for arm64 and not for x86_64"),
        ("macosx_10_9_x86_64", "is tagged macosx_10_9_x86_64, and the wheel is for macOS on arm64"),
        ("linux_x86_64", "is tagged linux_x86_64"),
        ("win_arm64", "is tagged win_arm64"),
    ],
)
def test_a_tag_that_contradicts_the_files(arm: MacBench, tag: str, words: str) -> None:
    assert words in replace(arm, tag=tag).refused()


def test_a_file_for_another_machine(stacks: dict[str, Path], tmp_path: Path) -> None:
    bench = bench_of(tmp_path, stacks["x86_64"])
    message = bench.refused()
    assert f"{EXT}: is for x86_64 and not for arm64" in message
    assert f"{PLUG}: is for x86_64" in message


def test_a_library_for_another_system(arm: MacBench) -> None:
    path = arm.lib / "libcrs.3.1.dylib"
    data = path.read_bytes()
    at = data.index((0x32).to_bytes(4, "little") + (32).to_bytes(4, "little"))
    path.write_bytes(data[: at + 8] + (2).to_bytes(4, "little") + data[at + 12 :])
    assert "libcrs.3.1.dylib: is built for iOS, not macOS" in arm.refused()


@pytest.mark.parametrize(
    ("folder", "cause"),
    [
        ("/opt/homebrew/lib", "by its absolute path"),
        ("/Users/runner/conda-bld/prefix/lib", "by its absolute path"),
        ("/usr/lib", "by its absolute path"),
        ("@executable_path/../lib", "beside the interpreter"),
        ("HERE", "by its absolute path"),
    ],
)
def test_a_library_of_the_machine_by_its_path(arm: MacBench, folder: str, cause: str) -> None:
    """Also where this machine has it, and where the native stack has one of that name."""
    place = arm.folder / "decoy/libproj.25.dylib"
    name = str(place) if folder == "HERE" else f"{folder}/{place.name}"
    decoy = compile_macho(place, "int proj_answer(void) { return 1; }", install_name=name)
    arm.extension(arm.lib / "libgdal.36.dylib", decoy)
    message = arm.refused()
    assert f"{name}, needed by {EXT}, is not in the native stack" in message
    assert cause in message and ("GDAL_CONFIG" in message) == ("absolute" in cause)


def test_a_package_that_was_linked_to_its_builders_library(arm: MacBench) -> None:
    """The user has no part in it: another package is what helps."""
    name = "/opt/homebrew/lib/liblate.dylib"
    late = compile_macho(arm.folder / "decoy/liblate.dylib", "int late(void) { return 1; }",
                         install_name=name)  # fmt: skip
    source = "int late(void); int early(void) { return late(); }"
    early = compile_macho(
        arm.lib / "libearly.dylib", source, late, install_name="@rpath/libearly.dylib"
    )
    arm.extension(arm.lib / "libgdal.36.dylib", early)
    message = arm.refused()
    assert f"{name}, needed by libearly.dylib," in message
    assert "lock another build of the package" in message and "GDAL_CONFIG" not in message


def test_a_search_path_of_the_machine_is_not_followed(arm: MacBench) -> None:
    decoy = compile_macho(arm.folder / "decoy/libonly.dylib", "int only(void) { return 1; }")
    arm.extension(arm.lib / "libgdal.36.dylib", decoy, rpaths=(str(decoy.parent),))
    assert f"@rpath/libonly.dylib, needed by {EXT}, is not in the native stack" in arm.refused()


def test_two_libraries_of_one_file_name(arm: MacBench) -> None:
    twin = compile_macho(arm.lib / "other/libcrs.3.1.dylib", "int twin(void) { return 1; }",
                         install_name="@rpath/other/libcrs.3.1.dylib")  # fmt: skip
    arm.extension(arm.lib / "libgdal.36.dylib", twin)
    assert "same basename as: libcrs.3.1.dylib" in arm.refused()


def test_an_extension_linked_to_an_interpreter(arm: MacBench) -> None:
    python = compile_macho(arm.folder / "libpython3.12.dylib", "int Py_Main(void) { return 1; }")
    arm.extension(arm.lib / "libgdal.36.dylib", python)
    assert "second one into the process" in arm.refused()


def test_a_header_without_room_is_refused_before_anything_is_changed(arm: MacBench) -> None:
    gdal, hdf5 = arm.lib / "libgdal.36.dylib", arm.lib / "libhdf5.310.dylib"
    path = arm.tree / PLUG
    compile_macho(path, PLUGIN_SOURCE, gdal, hdf5, flags=("-Wl,-headerpad,0x0",))
    room = read_macho(path).slices[0].header_room
    message = arm.refused()
    assert f"{PLUG}: its header has {room} bytes left for load commands (arm64), and" in message
    assert "-headerpad_max_install_names" in message
    tree = arm.folder / "refused/tree"
    for kept in (PLUG, EXT):
        assert (tree / kept).read_bytes() == (arm.tree / kept).read_bytes()
    assert (tree / f"Pkg.dylibs/{LIBGDAL}").read_bytes() == (arm.lib / LIBGDAL).read_bytes()


def test_a_wheel_that_was_repaired_before(arm: MacBench) -> None:
    repaired = arm.repaired
    raw = write_wheel(repaired.tree, arm.folder / "again", filename=repaired.filename).path
    with pytest.raises(BuildError, match=r"was repaired before: it has Pkg\.dylibs/libcrs"):
        arm.repair_wheel(raw, "twice")


def test_a_file_that_an_installer_moves(arm: MacBench) -> None:
    goal = arm.tree / f"Pkg-1.0.data/data/{PLUGIN}"
    goal.parent.mkdir(parents=True)
    (arm.tree / PLUG).rename(goal)
    assert f"Pkg-1.0.data/data/{PLUGIN}: would not find its libraries" in arm.refused()

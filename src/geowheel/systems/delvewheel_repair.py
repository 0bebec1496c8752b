"""Windows wheels: delvewheel's work, on Windows and on Linux alike.

delvewheel itself bundles, renames and patches `__init__.py`. What is ours: it finds libraries in
the native stack only, never on the machine that builds.

Its patch in `__init__.py` stays. Our bootstrap adds the folder of the libraries as well, but runs
with the import package only, and a host's own extension module (`terrain/_fast.pyd`) may be
imported before that, or in a process that never imports it.
"""

import gc
import itertools
import os
import posixpath
import re
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

import delvewheel._wheel_repair
from delvewheel.__main__ import main
from packaging.utils import canonicalize_name

from geowheel.binary.closure import Walk, closure_faults
from geowheel.binary.pe import Pe, read_pe, read_pes
from geowheel.binary.pe_loading import PeLoader, delayed_faults, needed_later, original_name
from geowheel.binary.system_libraries import system_libraries
from geowheel.errors import BuildError, Fault
from geowheel.project.places import PACKAGE_INIT
from geowheel.targets import System
from geowheel.wheel.reading import Wheel, unpack_wheel
from geowheel.wheel.tags import raw_platform_tag

from .contract import Bundled, RepairedTree
from .repairing import (
    FOR_ANOTHER,
    LOCK_AGAIN,
    RefusedError,
    Repairer,
    RepairPlan,
    check_release,
    platform_tags,
    repaired_before,
)

DELVEWHEEL: Final = "1.13.2"
LIBRARY_FOLDER: Final = "libraries"
"""For the bootstrap: where the bundled libraries lie."""
PRELOADED: Final = "preload-"
"""For the bootstrap: what it loads, in the order of the numbers that follow."""


class WindowsRepairer(Repairer[Pe]):
    """Repairs with delvewheel; the tag is the raw wheel's."""

    tool = "delvewheel_repair"
    read = staticmethod(read_pes)
    read_one = staticmethod(read_pe)

    def loader(self, binaries: Mapping[str, Pe]) -> PeLoader:
        folders = tuple(folder.as_posix() for folder in self.stack)
        return PeLoader(stack=folders, preloaded=tuple(binaries))

    def closed(self, plan: RepairPlan, binaries: Mapping[str, Pe]) -> list[Fault]:
        bundled = {copy.path: binaries[copy.path] for copy in plan.copies}
        plugins = self.request.plugins
        loader = PeLoader(
            bundled=plan.bundle,
            preloaded=frozenset().union(*_preloaded(binaries, bundled, plugins).values()),
            plugins=plugins,
        )
        return [*closure_faults(binaries, loader), *delayed_faults(binaries, loader)]

    def copy(self, name: str, place: Path, bundle: str) -> Bundled:
        del name  # whose case differs from user to user
        source = self.shown(place.as_posix())
        return Bundled(soname=place.name, source=source, path=f"{bundle}/{place.name}")

    def tag(self, binaries: Mapping[str, Pe]) -> str:
        del binaries
        return str(raw_platform_tag(self.request.platform))

    def faults(self, wheel: Wheel, binaries: Mapping[str, Pe], tree: Path) -> Iterator[Fault]:
        tag, tags = self.tag(binaries), platform_tags(wheel)
        if tags != [tag]:
            yield Fault(
                what=f"is tagged {', '.join(tags)}, and {self.request.platform} is {tag}",
                where=wheel.filename,
                cause="the build backend tagged it for the machine that it ran on",
            )
        made = f"{wheel.dist_info}/DELVEWHEEL", f"{wheel.filename.partition('-')[0]}.libs/"
        yield from repaired_before(
            wheel, (member.path for member in wheel.members if member.path.startswith(made))
        )
        for path in _extensions(binaries):
            if not (tree / path).with_name(PACKAGE_INIT).is_file():
                yield Fault(
                    what="is an extension module outside of a package",
                    where=path,
                    cause=f"Windows finds bundled libraries only once an {PACKAGE_INIT} has named "
                    "their folder, and here none would run before the module",
                    fix=f"move it into a package, or add an {PACKAGE_INIT} beside it",
                )

    def reason(self, name: str, place: Path | None, own: bool) -> tuple[str, str]:
        del own
        if place is not None:
            return (
                f"{place} was found, which must not get into a wheel: it was put into the prefix "
                "by hand",
                "run `geowheel fetch`, which places the prefix anew when it was changed",
            )
        runtime = "; Visual C++'s runtime is vc14_runtime" if name.startswith("msvcp") else ""
        return FOR_ANOTHER, LOCK_AGAIN + runtime

    def placed(self, plan: RepairPlan, binaries: Mapping[str, Pe]) -> RepairPlan:
        """Raise BuildError when delvewheel bundled other libraries than were planned."""
        made = {
            original_name(posixpath.basename(path)).lower(): path
            for path in binaries
            if posixpath.dirname(path) == plan.bundle
        }
        wanted = {copy.soname.lower(): copy for copy in plan.copies}
        if different := sorted(made.keys() ^ wanted.keys()):
            raise BuildError(
                f"delvewheel and geowheel do not agree on what is bundled: {', '.join(different)}",
                cause="a library is found by one of them only",
                fix="report the packages that have it",
            )
        copies = (replace(copy, path=made[name]) for name, copy in sorted(wanted.items()))
        return replace(plan, copies=tuple(copies))

    def notes(self, plan: RepairPlan, walk: Walk[Pe]) -> Iterator[str]:
        del walk
        for name in circles(_graph(plan)):
            yield (
                f"{name} keeps its name, since it and libraries that it needs need each other: "
                "another wheel's library of that name could take its place"
            )

    @classmethod
    def extras(cls, repaired: RepairedTree, plugins: str) -> dict[str, str]:
        """Return the extras; `libraries` is the folder of the bundled libraries.

        `preload-000` and so on are what the plugins need, and what is delay-loaded, but for what
        another of them brings along.
        """
        binaries = {path: pe for path, pe in repaired.binaries.items() if isinstance(pe, Pe)}
        bundled = {item.path: binaries[item.path] for item in repaired.bundled}
        if not bundled:
            return {}
        loaded = enumerate(_preloaded(binaries, bundled, plugins))
        return {
            LIBRARY_FOLDER: posixpath.dirname(next(iter(bundled))),
            **{f"{PRELOADED}{number:03}": path for number, path in loaded},
        }


def _preloaded(
    binaries: Mapping[str, Pe], bundled: Mapping[str, Pe], plugins: str
) -> dict[str, set[str]]:
    """Return the bundled libraries to load, each with all that comes along with it.

    Nobody would find these when they are asked for; what they need themselves, Windows finds.
    """
    names = {posixpath.basename(path).lower(): path for path in bundled}

    def of(libraries: Iterable[str]) -> set[str]:
        return {names[name.lower()] for name in libraries if name.lower() in names}

    def along(path: str) -> set[str]:
        waiting, found = [path], {path}
        while waiting:
            new = of(bundled[waiting.pop()].needed) - found
            found |= new
            waiting += new
        return found

    asked = {
        path: along(path)
        for user, binary in binaries.items()
        for path in of(
            (
                *(binary.needed if posixpath.dirname(user) == plugins else ()),
                *needed_later(user, binary),
            )
        )
    }
    found: dict[str, set[str]] = {}
    for path in sorted(asked, key=lambda path: (-len(asked[path]), path)):
        if not any(path in more for more in found.values()):
            found[path] = asked[path]
    return found


def _extensions(paths: Iterable[str]) -> list[str]:
    return [path for path in paths if path.lower().endswith(".pyd")]


def _graph(plan: RepairPlan) -> dict[str, set[str]]:
    """Return the bundled libraries by name, each with those that it needs."""
    return {
        posixpath.basename(user).lower(): {
            posixpath.basename(place).lower() for place in links.values() if posixpath.isabs(place)
        }
        for user, links in plan.needs.items()
        if posixpath.isabs(user)
    }


def circles(graph: Mapping[str, Collection[str]]) -> list[str]:
    """Return libraries that are not renamed, so that no name depends on itself.

    delvewheel writes into a name what the names of the needed libraries are.
    """
    kept: list[str] = []
    while True:
        rest = {
            name: sorted({*graph[name]} - {*kept}) for name in sorted(graph) if name not in kept
        }
        try:
            TopologicalSorter(rest).prepare()
        except CycleError as error:
            kept.append(min(error.args[1]))
        else:
            return kept


# --- in delvewheel's process ---------------------------------------------------------------------


def carry_out(plan: RepairPlan) -> None:
    """Run delvewheel's own command, and unpack what it made in the place of the raw wheel."""
    check_release(delvewheel=DELVEWHEEL)
    tree = Path(plan.tree)
    binaries = [path for path in plan.needs if not posixpath.isabs(path)]
    namespaces = {
        ".".join(parent.parts)
        for path in _extensions(binaries)
        for parent in PurePosixPath(path).parents
        if parent.name and not (tree / parent / PACKAGE_INIT).is_file()
    }
    own = {posixpath.basename(path).lower() for path in binaries}
    excluded = sorted({*system_libraries(System.WINDOWS), "ext-ms-*", *own})
    programs = any(path.lower().endswith(".exe") for path in binaries)
    with tempfile.TemporaryDirectory(dir=tree.parent) as folder:
        tempfile.tempdir = folder
        # PATH is where delvewheel searches, the machine's own included: so it names nothing else.
        # Relative to the working folder, since a folder's path may hold the separator.
        os.chdir(plan.folders[0])
        here = (os.path.relpath(place, plan.folders[0]) for place in plan.folders)
        os.environ["PATH"] = os.pathsep.join(here)
        made = Path(folder, "made")
        arguments = [
            "repair", "--analyze-existing", *["--analyze-existing-exes"] * programs,
            "--exclude", os.pathsep.join(excluded),
            *(part for name in circles(_graph(plan)) for part in ("--no-mangle", name)),
            *(("--namespace-pkg", os.pathsep.join(sorted(namespaces))) if namespaces else ()),
            "--test", "no_compress",  # the wheel is packed again later on, in our own way
            "--wheel-dir", os.fspath(made), plan.raw,
        ]  # fmt: skip
        _run(arguments, canonicalize_name(plan.distribution))
        (wheel,) = made.glob("*.whl")
        raw = {path.relative_to(tree) for path in tree.rglob(PACKAGE_INIT)}
        shutil.rmtree(tree)
        unpack_wheel(wheel, tree)
    _undo(tree, raw)


def _run(arguments: list[str], distribution: str) -> None:
    """Run delvewheel's command, with the distribution in the hashes for libraries' names.

    Windows takes a library that is loaded already for every other one of the same name, whatever
    folder that is in: two wheels with one and the same gdal.dll would share its data paths and
    options.
    """
    kind = delvewheel._wheel_repair.WheelRepair
    hash_file = kind._hashfile

    def salted(file: BinaryIO, *, start: Iterable[str] | None = None) -> str:
        return str(hash_file(file, start=itertools.chain([distribution], start or ())))

    kind._hashfile = staticmethod(salted)
    sys.argv = ["delvewheel", *arguments]
    # pefile has garbage collected whenever it closes a file, which is some hundred times: without
    # what is there from the start, a repair of 65 libraries takes 1 s instead of 3.5.
    gc.freeze()
    try:
        main()
    except RuntimeError as error:
        found = re.search(r"Unable to rename the dependencies of\s+(\S+)\s+because", str(error))
        if found is None:
            raise
        raise RefusedError(
            Fault(
                what="has no room for the new names of the libraries that it needs",
                where=found[1],
                cause="it has data behind its last section, mostly a symbol table, so that no "
                "section can be added",
                fix="report it to the package's maintainers: `strip` would remove it",
            )
        ) from error


def _undo(tree: Path, raw: Collection[Path]) -> None:
    """Take back what delvewheel does to folders of data, and what depends on the file system.

    A folder at the top of the wheel without `__init__.py` gets an empty one with the patch, which
    would make a package of it. The load order, for Python before 3.10, is in no particular order.
    """
    for init in sorted(tree.rglob(PACKAGE_INIT)):
        if init.relative_to(tree) not in raw:
            init.unlink()
    for file in sorted(tree.glob("*.libs/.load-order-*")):
        lines = sorted(file.read_text(encoding="utf-8").split())
        file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")

"""The distro channel: a local conda channel made from the distribution's own packages.

For machines that cannot reach conda-forge. Debian and Ubuntu; no root, nothing installed. Each
platform is added when it is asked for: a machine reads the packages of any architecture that its
sources have. Beside the channel lies NAME.work with apt's private state, one for each architecture,
and the downloaded .debs.
"""

import asyncio
import errno
import json
import os
import platform as platforms
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import certifi
import zstandard
from rattler import Subdir, Version
from rattler.index import index_fs

from geowheel.digest import digest, sha256_file
from geowheel.errors import BuildError, ChannelError
from geowheel.machine.console import Step
from geowheel.machine.environments import tool_path
from geowheel.machine.files import held, write
from geowheel.project.config import FIRST_STABLE_GDAL, PYTHON_HEADERS
from geowheel.targets import GDAL_PACKAGE, Platform

from .apt import Apt, disk_full, open_apt, raise_for_disk, require_tools, update_or_keep
from .conversion import CondaLayout, Conversion, Converter, read_common_licenses
from .debian import Deb, Distribution, closure, distribution_of
from .recipes import CA_CERTIFICATES, Recipe, plan_recipes
from .state import NOARCH, STATE, ChannelState, Converted, gaps, read_state, write_state
from .tables import Architecture, Table, architecture_of, load_table

WORK: Final = ".work"
TOOLS: Final = ("apt-get", "apt-cache", "apt-config", "dpkg", "dpkg-deb")


@dataclass(frozen=True, kw_only=True)
class DistroChannel:
    """A channel that is up to date with the distribution's package sources."""

    folder: Path
    name: str
    """`distro-debian-12`: what a lock calls it."""
    platform: Platform
    packages: int
    """For the platform, those for all platforms included."""
    converted: int
    """How many of them were made in this run."""


def make_distro_channel(
    folder: Path,
    distribution: Distribution,
    *,
    platform: Platform,
    environ: Mapping[str, str],
    step: Step,
) -> DistroChannel:
    """Make a platform's part of the channel in `folder`, or bring it up to date.

    The other platforms that are there stay. A second run waits for the first. Raises MachineError
    (another kind of distribution or platform, a missing program, a full disk), ChannelError
    (no source answers, libgdal-dev or a package is in none), IntegrityError (a .deb with other
    bytes than signed), BuildError (a tool failed).
    """
    folder = folder.absolute()
    require_tools(environ, TOOLS)
    patchelf = tool_path("patchelf")
    work = folder.with_name(f"{folder.name}{WORK}")
    with disk_named(work):
        work.mkdir(parents=True, exist_ok=True)
        with held(work / "lock", step.say):
            state = read_state(folder)
            plan = make_plan(work, distribution, platform, environ, step)
            return _bring_up_to_date(plan, folder, state, patchelf)


def channel_folder(cache: Path, distribution: Distribution) -> Path:
    """Return where the channel of a distribution lies in the user's cache."""
    return cache / "channels" / channel_name(distribution)


def channel_name(distribution: Distribution) -> str:
    """Return `distro-debian-12`: what a lock calls its channel."""
    return f"distro-{distribution}"


def work_folder(cache: Path, distribution: Distribution) -> Path:
    """Return where apt's private state lies, and the lock on it."""
    folder = channel_folder(cache, distribution)
    return folder.with_name(f"{folder.name}{WORK}")


def read_distribution(suite: str = "") -> Distribution:
    """Return the distribution of this machine, or another suite of it.

    Raises MachineError unless it is Debian, Ubuntu or like them.
    """
    try:
        return distribution_of(platforms.freedesktop_os_release(), suite)
    except OSError:
        return distribution_of({"ID": sys.platform}, suite)


# --- deciding


@dataclass(frozen=True, kw_only=True)
class ChannelPlan:
    """What the channel shall consist of, and where it is made."""

    work: Path
    apt: Apt
    distribution: Distribution
    architecture: Architecture
    table: Table
    recipes: tuple[Recipe, ...]
    texts: Deb
    """The package of the license texts that copyright files refer to."""

    @property
    def debs(self) -> Path:
        """Where downloaded packages are kept."""
        return self.work / "debs"


def make_plan(
    work: Path,
    distribution: Distribution,
    platform: Platform,
    environ: Mapping[str, str],
    step: Step,
) -> ChannelPlan:
    """Ask apt what libgdal needs on this release, and decide what becomes which conda package."""
    table = load_table()
    name, architecture = architecture_of(platform, table)
    apt = open_apt(work / f"apt-{name}", name, environ, step, suite=distribution.suite)
    development = update_or_keep(apt, table.closure.development)
    library = library_of(development, table)
    compiling = apt.install_names(table.closure.compiling)
    headers = [n for n in compiling if any(fnmatchcase(n, p) for p in table.closure.headers)]
    alone = (*table.closure.alone, *headers)
    known = apt.show([library, table.closure.texts, *table.closure.walked, *alone])
    walked = [name for name in (library, *table.closure.walked) if name in known]
    if library not in known or table.closure.texts not in known:
        missing = library if library not in known else table.closure.texts
        raise ChannelError(
            f"{missing} is in none of the package sources of this machine",
            cause="the sources are incomplete or out of step",
            fix="make 'apt-get update' work, then run this again",
        )
    candidates = known | apt.show(sorted({*apt.install_names(walked)} - known.keys()))
    kept = closure(walked, alone, candidates, table.leaves_out)
    return ChannelPlan(
        work=work,
        apt=apt,
        distribution=distribution,
        architecture=architecture,
        table=table,
        recipes=plan_recipes(kept, table, distribution, architecture.platform),
        texts=known[table.closure.texts],
    )


def library_of(development: Deb, table: Table) -> str:
    """Return the libgdal package of the release: libgdal32 on bookworm, libgdal34t64 on noble."""
    for alternatives in development.depends:
        if fnmatchcase(alternatives[0].name, table.closure.library):
            return alternatives[0].name
    raise ChannelError(
        f"{development.name} {development.version} depends on no libgdal",
        cause="the distribution names it in a way that geowheel does not know",
        fix="report it, with the output of: apt-cache show " + development.name,
    )


# --- acting


def entry_name(recipe: Recipe) -> str:
    """Return what the state calls a recipe: a name stands for other packages elsewhere."""
    return f"{recipe.subdir or NOARCH}/{recipe.name}"


def _bring_up_to_date(
    plan: ChannelPlan, folder: Path, state: ChannelState, patchelf: Path
) -> DistroChannel:
    platform = plan.architecture.platform
    # The texts by their version: their package has other bytes on each architecture, and the
    # packages for all platforms would be made again whenever the platform changes.
    tools = (sha256_file(patchelf), zstandard.__version__, plan.texts.version)
    made_by = digest((_sources_digest(), *tools))
    roots = {CA_CERTIFICATES: certifi.__version__}  # it decides which of them stay
    keys = {entry_name(r): digest((r, made_by, roots.get(r.name, ""))) for r in plan.recipes}
    of_others = state.entries.keys() - state.of(platform).keys()
    current = {
        name: entry
        for name, entry in state.entries.items()
        if name in of_others or (entry.key == keys.get(name) and _is_there(folder, entry))
    }
    stale = [recipe for recipe in plan.recipes if entry_name(recipe) not in current]
    state = replace(state, entries=current)
    write_state(folder, state)
    if stale:
        state = _convert(plan, folder, state, stale, keys, patchelf)
    state = _index(folder, state, platform)
    for gap in gaps(state.of(platform)):
        plan.apt.step.console.warn(gap)
    return DistroChannel(
        folder=folder,
        name=channel_name(plan.distribution),
        platform=platform,
        packages=sum(len(entry.files) for entry in state.of(platform).values()),
        converted=sum(len(state.entries[entry_name(recipe)].files) for recipe in stale),
    )


def _convert(
    plan: ChannelPlan,
    folder: Path,
    state: ChannelState,
    stale: Sequence[Recipe],
    keys: Mapping[str, str],
    patchelf: Path,
) -> ChannelState:
    """Download what is missing, then make the stale packages side by side.

    The state is written after each, so that a run that was killed goes on where it stopped.
    """
    step = plan.apt.step
    plan.apt.download([plan.texts, *(deb for recipe in stale for deb in recipe.debs)], plan.debs)
    making = plan.work / "making"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    converter = _converter(plan, making, patchelf)
    # The largest first: two cores then end at about the same time.
    jobs = sorted(stale, key=lambda recipe: -recipe.size)
    pool = ThreadPoolExecutor(max_workers=os.cpu_count())
    try:
        with step.progress(
            f"converting {len(jobs)} packages", sum(r.size for r in jobs)
        ) as advance:
            futures: dict[Future[Conversion], Recipe] = {
                pool.submit(_make, converter, recipe, making): recipe for recipe in jobs
            }
            for future in as_completed(futures):
                recipe = futures[future]
                name = entry_name(recipe)
                entry = _take(future.result(), keys[name], recipe, folder)
                state = replace(state, entries={**state.entries, name: entry})
                write_state(folder, state)
                advance(recipe.size)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    shutil.rmtree(making)
    _prune_debs(plan)
    return state


def _converter(plan: ChannelPlan, making: Path, patchelf: Path) -> Converter:
    from geowheel.systems.auditwheel_repair import manylinux_floors  # only where needed

    def run(argv: Sequence[str | Path]) -> object:
        environ = {**plan.apt.environ, "LC_ALL": "C.UTF-8"}
        return plan.apt.step.run(argv, env=environ, cwd=making)

    texts = making / plan.texts.name
    run(["dpkg-deb", "-x", plan.debs / plan.texts.file_name, texts])
    return Converter(
        layout=CondaLayout(table=plan.table, architecture=plan.architecture),
        run=run,
        patchelf=patchelf,
        debs=plan.debs,
        common_licenses=read_common_licenses(texts),
        floors=manylinux_floors(plan.architecture.platform),
    )


def _make(converter: Converter, recipe: Recipe, making: Path) -> Conversion:
    work = making / "recipes" / recipe.name
    work.mkdir(parents=True)
    made = converter.convert(recipe, work, making / "packages" / recipe.name)
    shutil.rmtree(work)
    return made


def _take(made: Conversion, key: str, recipe: Recipe, folder: Path) -> Converted:
    """Move finished packages into the channel."""
    files = {}
    for path in made.files:
        goal = Path(recipe.subdir or NOARCH) / path.name
        (folder / goal.parent).mkdir(parents=True, exist_ok=True)
        files[goal.as_posix()] = sha256_file(path)
        path.replace(folder / goal)
    return Converted(key=key, files=files, **vars(made.contents))


def _index(folder: Path, state: ChannelState, platform: Platform) -> ChannelState:
    """Remove stale packages and write the repodata, unless it is that of these very packages.

    Of this platform and of what is for all: another one, whose run was killed, is not whole.
    """
    for subdir in (str(platform), NOARCH):
        _remove_stale(folder / subdir, state)
        content = _content(state, subdir)
        repodata = folder / subdir / "repodata.json"
        if state.indexed.get(subdir) == content and repodata.is_file():
            continue
        # force: an index made before would keep the hash of a package that was rebuilt under its
        # name
        asyncio.run(
            index_fs(folder, Subdir(subdir), force=True, write_zst=False, write_shards=False)
        )
        _drop_times(repodata)
        state = replace(state, indexed={**state.indexed, subdir: content})
        write_state(folder, state)
    with suppress(OSError):  # index_fs leaves it behind, empty
        (folder / ".tmp").rmdir()
    return state


def _remove_stale(folder: Path, state: ChannelState) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        inside = f"{folder.name}/{path.name}"
        if path.name.endswith((".conda", ".partial")) and inside not in state.files(folder.name):
            path.unlink()


def _drop_times(repodata: Path) -> None:
    """Remove the time of indexing, the one thing that would differ between two runs."""
    data = json.loads(repodata.read_text(encoding="utf-8"))
    for record in data.get("packages.conda", {}).values():
        record.pop("indexed_timestamp", None)
    write(repodata, json.dumps(data, sort_keys=True))


def _is_there(folder: Path, entry: Converted) -> bool:
    paths = {folder / path: sha256 for path, sha256 in entry.files.items()}
    return all(path.is_file() and sha256_file(path) == sha for path, sha in paths.items())


def _prune_debs(plan: ChannelPlan) -> None:
    """Remove the .debs that this platform is no longer made from."""
    wanted = {plan.texts.file_name, *(d.file_name for r in plan.recipes for d in r.debs)}
    for name in (plan.apt.architecture, "all"):
        for path in plan.debs.glob(f"*_{name}.deb"):
            if path.name not in wanted:
                path.unlink()


def _sources_digest() -> str:
    here = Path(__file__).parent
    sources = (
        "conversion.py", "conda_package.py", "debian.py", "recipes.py", "tables.py", "distros.toml",
        "../systems/lowering.toml",
    )  # fmt: skip
    return digest({name: sha256_file(here / name) for name in sources})


def is_made(folder: Path, platform: Platform) -> bool:
    """Return whether the channel has a platform, made by this geowheel, or put there by somebody.

    Raises MachineError as `read_state` does.
    """
    if not (folder / platform / "repodata.json").is_file():
        return False
    state = read_state(folder) if (folder / STATE).is_file() else None
    return state is None or state.indexed.get(platform) == _content(state, platform)


def _content(state: ChannelState, subdir: str) -> str:
    return digest((state.files(subdir), _sources_digest()))


def check_whole(folder: Path, platform: Platform, floor: str | None, python: str = "") -> None:
    """Raise ChannelError for a library that is nowhere, or is not to be lowered to that glibc.

    And where nobody has the headers of `python`, which the bindings are compiled for.
    """
    entries, oldest = read_state(folder).of(platform), tuple(map(int, (floor or "99").split(".")))
    files = [f.rpartition("/")[2].rsplit("-", 2) for e in entries.values() for f in e.files]
    versions = {name: version for name, version, _ in files}
    gdal, headers = (versions.get(name, "0") for name in (GDAL_PACKAGE, PYTHON_HEADERS))
    old = Version(gdal) < Version(FIRST_STABLE_GDAL)
    if python and old and not headers.startswith(f"{python}."):
        raise ChannelError(f"GDAL {gdal} needs Python {python}'s headers; here are {headers}'s")
    newer = [f"{e.newest} in {path}" for path, e in sorted(entries.items()) if e.floor > oldest]
    for why in (*gaps(entries), *(f"{what}, not to be lowered to glibc {floor}" for what in newer)):
        raise ChannelError(why)


@contextmanager
def disk_named(folder: Path) -> Iterator[None]:
    """Turn the several ways to say that the disk is full into one error."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise disk_full(folder) from error
        raise
    except BuildError as error:
        raise_for_disk(str(error), folder)
        raise

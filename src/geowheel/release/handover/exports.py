"""What a machine hands over: its wheels, the records of them, and what they were made from.

    DIR/export.json                       what they were made from, and where; the format below
    DIR/dist/NAME.whl                     the repaired wheels
    DIR/ledger/SUBJECT/STAGE/KEY/         records of repair and of the verdicts, with their files

No name begins with a dot, since what uploads artifacts leaves such files out
(https://github.com/actions/upload-artifact#uploading-hidden-files). `geowheel export DIR` writes
it, `geowheel collect DIR...` takes it. A ledger's other entries stay behind: what counts of them is
in export.json.
"""

import platform as python_platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from geowheel import __version__
from geowheel.digest import digest, toolkit_digest
from geowheel.errors import BuildError, Fault, IntegrityError, LockError, UsageError
from geowheel.locks.in_use import Locks, locks_at_hand
from geowheel.locks.prebuilt import prebuilt_at_hand
from geowheel.machine.console import Console
from geowheel.machine.credentials import refuse_secrets
from geowheel.machine.files import copy_checked, from_json, read_bounded, scratch, to_json
from geowheel.pipeline.loop import plan
from geowheel.pipeline.runs import Request
from geowheel.project.files import git_description
from geowheel.project.project import Project, wants_prebuilt
from geowheel.records.facts import RepairFacts
from geowheel.records.ledger import RECORD, Elsewhere, Ran, Record, Records, StaleReason
from geowheel.stages import STAGES, find
from geowheel.stages.context import Context, find_tools
from geowheel.stages.inputs import fetch_inputs
from geowheel.targets import Platform, Target

FORMAT: Final = 2
DESCRIPTION: Final = "export.json"
WHEELS: Final = "dist"
LEDGER: Final = "ledger"
VERDICTS: Final = tuple(stage.name for stage in STAGES if stage.verdict)
HANDED_OVER: Final = ("repair", *VERDICTS)
"""The stages whose records leave the machine."""

# https://docs.github.com/en/actions/reference/workflows-and-actions/variables and
# https://docs.gitlab.com/ci/variables/predefined_variables/
_OF_CI: Final = ("GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_JOB", "GITHUB_SHA", "CI_JOB_URL")


@dataclass(frozen=True, kw_only=True)
class MadeFrom:
    """What wheels are made from, as digests; two machines with the same one may be mixed."""

    toolkit: str
    """geowheel's version."""
    sources: str
    """The digest of geowheel's own sources."""
    host: str
    home: str
    config: str
    """The digest of what pyproject.toml says to geowheel and to the build backend's caller."""
    files: Mapping[str, str]
    """The host's files and their sha256."""
    locks: Mapping[str, str]
    """By platform, the digest of all that its locks name."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """What export.json says."""

    format: int = FORMAT
    state: MadeFrom
    origin: Elsewhere
    stages: Mapping[str, Mapping[str, Ran]]
    """By target and stage: key, seconds and time of all that led to its wheel."""


@dataclass(frozen=True, kw_only=True)
class _Outgoing:
    """One target's wheel, and the records about it."""

    target: Target
    wheel: Record[RepairFacts]
    verdicts: tuple[Record[Any], ...]
    every: tuple[Record[Any], ...]
    """These, and the records of what is upstream."""
    left_out: tuple[str, ...]


def state_of(
    project: Project, locks: Mapping[Platform, Locks], without: Sequence[Path]
) -> MadeFrom:
    """Return what wheels of these platforms would be made from; files below `without` are not.

    Raises LockError where a lock lacks something that is asked for.
    """
    tree = project.host_files()
    places = [path.resolve() for path in without]
    host = project.host
    return MadeFrom(
        toolkit=__version__,
        sources=toolkit_digest(),
        host=host.name,
        home=project.home,
        config=digest((host.config, host.build_system, host.requires_python)),
        files={
            entry.path: entry.sha256
            for entry in tree.entries
            if not any((tree.root / entry.path).is_relative_to(place) for place in places)
        },
        locks={str(platform): lock_digest(project, locks[platform]) for platform in locks},
    )


def lock_digest(project: Project, locks: Locks) -> str:
    """Return the digest of what `fetch` takes from the locks: the same lock has one."""
    return digest(fetch_inputs(project, locks).components())


def read_export(path: Path) -> Export:
    """Return a parsed export.json; raises IntegrityError for a damaged one or another format."""
    try:
        data = from_json(read_bounded(path), dict)
        if data["format"] != FORMAT:
            raise IntegrityError(
                f"it is of format {data['format']}, this geowheel knows {FORMAT}",
                where=str(path),
                cause="another version of geowheel wrote it",
                fix=f"make it with geowheel {__version__}",
            )
        return msgspec.convert(data, Export)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise IntegrityError(
            f"it cannot be read: {type(error).__name__} {error}",
            where=str(path),
            cause="it is damaged, or geowheel did not write it",
        ) from None


def export(request: Request, folder: Path, console: Console) -> dict[str, Any]:
    """Write the wheels of the request's targets, and the records of them, into a new folder.

    Only what this checkout would make now: raises BuildError, with every reason at once, for what
    is stale or failed, LockError without locks, UsageError for a folder that holds other things.
    """
    _check_free(folder)
    contexts = [found for part, _ in request.parts for found in _contexts(part, console)]
    items: list[_Outgoing] = []
    faults: list[Fault] = []
    for context in contexts:
        try:
            items.append(_item(request, context))
        except BuildError as error:
            faults += error.faults
    if faults:
        raise BuildError(faults)
    locks = {context.target.platform: context.locks for context in contexts}
    _write(_description(request.project, locks, items, folder), items, folder, request)
    for item in items:
        console.result(f"{item.target}: {item.wheel.wheel.path.name}")
        for verdict in item.verdicts:
            console.result(f"  {verdict.stage}: passed")
        for reason in item.left_out:
            console.result(f"  without {reason}")
    console.result(f"for `geowheel collect`: {folder}")
    return {"folder": str(folder), "targets": [str(item.target) for item in items]}


def _contexts(request: Request, console: Console) -> list[Context]:
    """Make contexts with the locks at hand: nothing is solved, fetched or made."""
    project, targets = request.project, request.targets
    tools = find_tools(project, targets, HANDED_OVER, request.interpreter, console, make=False)
    made = []
    for target in targets:
        locks = locks_at_hand(project, target.platform)
        if locks is None:
            raise LockError(
                f"there is no lock for {target.platform}, so nothing was made here",
                where=str(project.manifest.lock_path),
                fix="run `geowheel wheel` first",
            )
        prebuilt = prebuilt_at_hand(project, target, locks) if wants_prebuilt(project) else None
        made.append(
            Context(
                project=project, target=target, locks=locks, tools=tools[target], prebuilt=prebuilt
            )
        )
    return made


def _item(request: Request, context: Context) -> _Outgoing:
    """Return what is there of one target; raises BuildError where it cannot be handed over."""
    verdicts = [name for name in VERDICTS if context.runs_wheels or not find(name).runs_wheel]
    target = context.target
    made = request.ledger.latest(RepairFacts, str(target))
    if made is not None and made.collected is not None:
        # Another machine's wheel, which was checked when it was taken over: what made it is there.
        context = replace(context, repaired=made)
    rows = plan(["repair", *verdicts], context, request.ledger)
    stale = [row for row in rows if not row.stage.verdict and row.record is None][:1]
    failed = [
        row
        for row in rows
        if row.stage.verdict and row.stale and row.stale.reason is StaleReason.FAILED
    ]
    if stale or failed:
        cause = "the wheel is not of what lies here now" if stale else "the wheel is not good"
        fix = f"run `geowheel wheel --python {target.python}`, then this again"
        words = [f"{row.stage.name} would run again: {row.why}" for row in stale or failed]
        raise BuildError([Fault(what=w, where=str(target), cause=cause, fix=fix) for w in words])
    records = Records((row.stage.name, row.record) for row in rows if row.record is not None)
    records |= context.done
    why = {row.stage.name: row.why for row in rows}
    return _Outgoing(
        target=target,
        wheel=records.of(RepairFacts),
        verdicts=tuple(records[name] for name in verdicts if name in records),
        every=tuple(records.values()),
        left_out=tuple(
            f"{name}: {why.get(name, 'not on this machine')}"
            for name in VERDICTS
            if name not in records
        ),
    )


def _description(
    project: Project, locks: Mapping[Platform, Locks], items: Sequence[_Outgoing], folder: Path
) -> Export:
    environ = project.machine.environ
    origin = Elsewhere(
        platform=str(project.machine.platform),
        system=_system(),
        git=git_description(project.folder, environ),
        native={str(platform): found.source.words for platform, found in locks.items()},
        committed=all(found.source.committed for found in locks.values()),
        ci={name: environ[name] for name in _OF_CI if name in environ},
    )
    stages = {
        str(item.target): {
            r.stage: Ran(key=r.key, seconds=r.seconds, created=r.created, sandbox=r.sandbox)
            for r in item.every
        }
        for item in items
    }
    return Export(state=state_of(project, locks, [folder]), origin=origin, stages=stages)


def _system() -> str:
    """Return `Linux 6.1.0 (Debian GNU/Linux 12)`, where platform.platform() starts a process."""
    try:
        name = f" ({python_platform.freedesktop_os_release()['PRETTY_NAME']})"
    except OSError:
        name = ""  # of another system
    return f"{python_platform.system()} {python_platform.release()}{name}"


def _check_free(folder: Path) -> None:
    if not folder.exists() or (folder / DESCRIPTION).is_file():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise UsageError(
            "something else lies there",
            where=str(folder),
            fix="name a new folder, best one that git ignores: dist/export",
        )


def _write(made: Export, items: Sequence[_Outgoing], folder: Path, request: Request) -> None:
    """Write all of it beside its place first, then rename it once."""
    with scratch(folder.parent) as place:
        new = place / "new"
        (new / WHEELS).mkdir(parents=True)
        for item in items:
            wheel, goal = item.wheel.wheel, new / WHEELS / item.wheel.wheel.path.name
            if not goal.exists():  # targets of one stable ABI have it in common
                copy_checked(wheel.path, goal, wheel.sha256)
            for record in (item.wheel, *item.verdicts):
                _copy_entry(record, new / LEDGER)
        (new / DESCRIPTION).write_bytes(to_json(made, ordered=True))
        refuse_secrets(new, request.project.machine.environ)
        new.chmod(0o755)
        if folder.exists():
            folder.rename(place / "old")
        new.rename(folder)


def _copy_entry(record: Record[Any], ledger: Path) -> None:
    place = ledger / record.subject / record.stage / record.folder.name
    place.mkdir(parents=True)
    shutil.copyfile(record.folder / RECORD, place / RECORD)
    for output in record.outputs:
        if not output.path.endswith(".whl"):
            (place / output.path).parent.mkdir(parents=True, exist_ok=True)
            copy_checked(record.folder / output.path, place / output.path, output.sha256)

"""`geowheel collect DIR...`: wheels and records of other machines, checked and taken over.

Each DIR is what `geowheel export` wrote (see `exports`), or a folder of such ones.
Afterwards the wheels lie in dist/ and the records in the ledger as if they had been made here, but
for `collected`, which says where from. A mixture is refused, with every reason at once.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import structs

from geowheel.digest import TreeEntry, digest, sha256_file, toolkit_digest
from geowheel.errors import Fault, GeowheelError, IntegrityError, UsageError, some
from geowheel.locks.in_use import Locks, locks_at_hand
from geowheel.machine.archives import is_unsafe
from geowheel.machine.console import Console
from geowheel.machine.files import copy_checked, held, scratch
from geowheel.pipeline.given_wheels import faults_of_wheel
from geowheel.pipeline.runs import retire
from geowheel.project.project import Project
from geowheel.records.facts import FACTS, RepairFacts
from geowheel.records.ledger import (
    KEY_LENGTH,
    RECORD,
    Collected,
    Entry,
    Ledger,
    Record,
    read_any_record,
    write_record,
)
from geowheel.stages import WHEEL
from geowheel.targets import Platform

from .exports import (
    DESCRIPTION,
    HANDED_OVER,
    LEDGER,
    WHEELS,
    Export,
    MadeFrom,
    read_export,
    state_of,
)


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """One record of another machine, in its folder there."""

    record: Record[Any]
    export: Export
    root: Path
    """The folder that was exported."""

    @property
    def makes(self) -> bool:
        """Whether it is the record of a wheel, not of a verdict."""
        return self.record.stage == RepairFacts.stage

    @property
    def place(self) -> tuple[str, str, str]:
        """Where it belongs in the ledger: subject, stage, key."""
        return self.record.subject, self.record.stage, self.record.key[:KEY_LENGTH]

    @property
    def wheel(self) -> tuple[str, str]:
        """The subject and the sha256 of the wheel that it is about."""
        return self.record.subject, self.record.about

    def source(self, output: TreeEntry) -> Path:
        """Return where a file that the record names lies there."""
        wheel = self.makes and output.path.endswith(".whl")
        return (self.root / WHEELS if wheel else self.record.folder) / output.path

    def entry(self, ledger: Ledger) -> Entry:
        """Return the record's place in a ledger."""
        record = self.record
        return Entry(
            ledger=ledger, stage=record.stage, subject=record.subject, components=record.components
        )


def collect(
    project: Project, folders: Sequence[Path], console: Console, *, verdicts: Sequence[str] = WHEEL
) -> dict[str, Any]:
    """Take over what lies in the folders, all of it or nothing; the summary for --json.

    Raises UsageError for a folder without an export, and IntegrityError with every reason against
    taking it: damaged files, a mixture, a wheel without one of `verdicts`.
    """
    exports: dict[Path, Export] = {}
    faults: list[Fault] = []
    for root in _roots(folders):
        try:
            exports[root] = read_export(root / DESCRIPTION)
        except IntegrityError as error:
            faults += error.faults
    faults += _against_state(project, exports, folders)
    items = [i for root, export in exports.items() for i in _items(project, root, export, faults)]
    ledger = Ledger(folder=project.work, host=project.host.name, home=project.home)
    faults += [*_against_mixture(ledger, items), *_without_verdict(ledger, items, verdicts)]
    if faults:
        raise IntegrityError(faults)
    # Several machines may have judged one wheel: a failed verdict comes last, so that no other
    # hides it, and wins where two have one place in the ledger.
    items.sort(key=lambda item: (not item.record.passed, item.record.created))
    chosen = list({item.place: item for item in items}.values())
    changed = not _is_there(project, ledger, chosen)
    if changed:
        _place(project, ledger, chosen, console)
    _show(chosen, console, changed=changed)
    return {"changed": changed, "targets": list(_summary(project, chosen))}


def _roots(folders: Sequence[Path]) -> list[Path]:
    """Return the exports in the folders; raises UsageError for one that has none."""
    roots: list[Path] = []
    for folder in folders:
        found = [folder, *sorted(folder.glob("*"))] if folder.is_dir() else []
        found = [path.resolve() for path in found if (path / DESCRIPTION).is_file()]
        if not found:
            raise UsageError(
                f"no {DESCRIPTION} in it, nor in a folder of it",
                where=str(folder),
                fix="name what `geowheel export DIR` wrote on the other machine",
            )
        roots += found
    return list(dict.fromkeys(roots))


def _items(project: Project, root: Path, export: Export, faults: list[Fault]) -> Iterator[Incoming]:
    """Return the whole records of an export; faults for the others, and for nameless wheels."""
    named: set[str] = set()
    for path in sorted(root.glob(f"{LEDGER}/*/*/*/{RECORD}")):
        record = read_any_record(path.parent)
        if record is None or any(is_unsafe(o.path) or o.path == RECORD for o in record.outputs):
            faults.append(Fault(what="it is not a record of geowheel's", where=str(path)))
            continue
        item = Incoming(record=record, export=export, root=root)
        named |= {item.source(output).name for output in record.outputs}
        problems = list(_wrong(project, item)) or list(_altered(project, item))
        faults += [Fault(what=problem, where=str(path)) for problem in problems]
        if not problems:
            yield item
    for wheel in sorted((root / WHEELS).glob("*")):
        if wheel.name not in named:
            faults.append(Fault(what="no record names it", where=str(wheel)))


def _wrong(project: Project, item: Incoming) -> Iterator[str]:
    """Yield what a record says that none of this host and its export would say."""
    record = item.record
    subject, stage, key = record.folder.parts[-3:]
    if record.stage not in HANDED_OVER or (record.subject, record.stage) != (subject, stage):
        yield f"it is of {record.stage} of {record.subject}"
    pythons = project.config.pythons
    if record.subject not in {str(project.target(p, where)) for p in pythons for where in Platform}:
        yield f"{project.host.name} is not configured for {record.subject}"
    if record.key != digest(dict(record.components)) or record.key[:KEY_LENGTH] != key:
        yield "its key is not the digest of its components"
    if (record.host, record.home) != (project.host.name, project.home):
        yield (
            f"it is of {record.host} in {record.home}, "
            f"this is {project.host.name} in {project.home}"
        )
    # Of another export, whose sources are others, this is said once for all of its records.
    if item.export.state.sources == toolkit_digest() != record.sources:
        yield "it was made with other sources of geowheel than its export.json says"
    wheels = [output.path for output in record.outputs if output.path.endswith(".whl")]
    if item.makes and (len(wheels) != 1 or "/" in wheels[0]):
        yield "it does not name one wheel"


def _altered(project: Project, item: Incoming) -> Iterator[str]:
    """Yield which of its files are not there as they were made: regular ones, wheels that open."""
    for output in item.record.outputs:
        path = item.source(output)
        if path.resolve() != path or not path.is_file():
            yield f"{output.path} is missing, or a link"
        elif (actual := sha256_file(path)) != output.sha256:
            yield f"{path.name} has sha256 {actual}, its record says {output.sha256}"
        elif item.makes and path.suffix == ".whl":
            yield from (fault.what for fault in faults_of_wheel(project, path, item.record.subject))


def _against_state(
    project: Project, exports: Mapping[Path, Export], folders: Sequence[Path]
) -> Iterator[Fault]:
    """Yield what the exports were made from and this checkout is not, by export."""
    locks: dict[Platform, Locks] = {}
    for name in {name for export in exports.values() for name in export.state.locks}:
        try:
            if (found := locks_at_hand(project, Platform(name))) is not None:
                locks[Platform(name)] = found
        except (GeowheelError, ValueError):
            pass  # none that could be compared, which is said
    here = state_of(project, locks, folders)
    for root, export in exports.items():
        for what, fix in _differences(export.state, here):
            yield Fault(
                what=what,
                where=str(root / DESCRIPTION),
                cause="it was made from another state than this checkout's",
                fix=fix,
            )


def _differences(there: MadeFrom, here: MadeFrom) -> Iterator[tuple[str, str]]:
    """Yield what differs, in words, and what to do about it."""
    again = "make it again from the same commit, or check that commit out here"
    same_tool = "use the same geowheel everywhere"
    if (there.host, there.home) != (here.host, here.home):
        what = f"made for {there.host} in {there.home}, this is {here.host} in {here.home}"
        yield what, "name that --host"
    if there.toolkit != here.toolkit:
        yield f"made with geowheel {there.toolkit}, this is {here.toolkit}", same_tool
    elif there.sources != here.sources:
        yield f"made with other sources of geowheel {here.toolkit}", same_tool
    if there.config != here.config:
        yield "made with another configuration: pyproject.toml", again
    for platform, lock in sorted(there.locks.items()):
        if platform not in here.locks:
            fix = "run `geowheel lock` and commit the locks: others stay on their machine"
            yield f"no lock for {platform} here to compare with", fix
        elif here.locks[platform] != lock:
            yield f"made from another lock for {platform}", again
    every = sorted({*there.files, *here.files})
    if changed := [path for path in every if there.files.get(path) != here.files.get(path)]:
        yield f"made from other files: {some(changed, 3)}", again


def _against_mixture(ledger: Ledger, items: Sequence[Incoming]) -> Iterator[Fault]:
    """Yield wheels that exclude each other, and verdicts that are about other bytes or disagree."""
    wheels: dict[str, dict[str, Path]] = {}
    for item in items:
        if item.makes:
            wheels.setdefault(item.record.subject, {}).setdefault(item.record.about, item.root)
    for subject, roots in sorted(wheels.items()):
        if len(roots) > 1:
            found = "; ".join(f"sha256 {sha256[:12]} in {root}" for sha256, root in roots.items())
            yield Fault(
                what=f"{len(roots)} different wheels of one target: {found}",
                where=subject,
                fix="keep one of them; the same inputs make the same bytes, so look what differed",
            )
    known = {(record.subject, record.about) for record in ledger.records(RepairFacts)}
    known |= {item.wheel for item in items if item.makes}
    for item in items:
        stage, (subject, sha256) = item.record.stage, item.wheel
        if item.wheel not in known:
            yield Fault(
                what=f"{stage} is about other bytes: sha256 {sha256[:12]}",
                where=f"{subject}, in {item.root}",
                fix="collect the wheel that it is about as well",
            )
        own = ledger.latest(FACTS[stage], subject)
        failed_here = own is not None and not own.passed and own.collected is None
        if own is not None and failed_here and item.record.passed and own.about == sha256:
            yield Fault(
                what=f"{stage} passed there and failed here, about the same bytes",
                where=f"{subject}, in {item.root}",
                fix=f"look into what failed here, and run `geowheel {stage}` again",
            )


def _without_verdict(
    ledger: Ledger, items: Sequence[Incoming], verdicts: Sequence[str]
) -> Iterator[Fault]:
    there = [record for name in verdicts for record in ledger.records(FACTS[name])]
    judged = {(r.subject, r.about, r.stage) for r in [*there, *(item.record for item in items)]}
    for subject, sha256 in sorted({item.wheel for item in items if item.makes}):
        for name in verdicts:
            if (subject, sha256, name) not in judged:
                yield Fault(
                    what=f"no verdict of {name} about its wheel, sha256 {sha256[:12]}",
                    where=subject,
                    fix=f"export from a machine where `geowheel {name}` ran on it",
                )


def _is_there(project: Project, ledger: Ledger, items: Sequence[Incoming]) -> bool:
    """Return whether an earlier run took all of it over, and no newer wheel came since.

    Of verdicts about the same bytes any may be newer.
    """
    if not all(_has(ledger, item) for item in items):
        return False
    wheels = {item.record.subject: item.record for item in items if item.makes}
    return all(
        (latest := ledger.latest(RepairFacts, subject)) is not None
        and latest.key == record.key
        and (path := project.dist / record.wheel.path.name).is_file()
        and sha256_file(path) == record.about
        for subject, record in wheels.items()
    )


def _has(ledger: Ledger, item: Incoming) -> bool:
    """Return whether the ledger says what a record says, and has its files."""
    there = item.entry(ledger).record
    return (
        there is not None
        and there.collected is not None
        and _made_here(there) == _made_here(item.record)
        and all((there.folder / output.path).is_file() for output in there.outputs)
    )


def _made_here(record: Record[Any]) -> Record[Any]:
    return structs.replace(record, created="", number=0, collected=None, folder=Path())


def _place(project: Project, ledger: Ledger, items: Sequence[Incoming], console: Console) -> None:
    """Copy everything beside its place first, then one rename each; undone when one fails."""
    with held(project.work / "collect.lock", console.wait), ExitStack() as holding:
        # Each on the disk of what it becomes.
        records, wheels = (
            holding.enter_context(scratch(place)) for place in (project.work, project.dist)
        )
        first = ledger.next_number()
        moves: list[tuple[Path, Path]] = []
        for number, item in enumerate(items):
            entry = item.entry(ledger)
            holding.enter_context(entry.lock(console))  # no run is at it
            new = records / f"{number}.new"
            # One after the other: the newest of a stage is the one that counts.
            _copy_entry(item, new, first + number)
            moves.append((new, entry.folder))
            if item.makes:
                wheel, name = wheels / f"{number}.whl", item.record.wheel.path.name
                shutil.copyfile(new / name, wheel)
                moves.append((wheel, project.dist / name))
        move(moves)
    for item in items:
        if item.makes:
            retire(project, ledger, item.record, console)


def _copy_entry(item: Incoming, folder: Path, number: int) -> None:
    """Write the entry as it will be into a scratch folder."""
    folder.mkdir()
    for output in item.record.outputs:
        goal = folder / output.path
        goal.parent.mkdir(parents=True, exist_ok=True)
        copy_checked(item.source(output), goal, output.sha256)
    state = item.export.state
    origin = Collected(
        origin=item.export.origin,
        created=item.record.created,
        stages=item.export.stages.get(item.record.subject, {}),
        files=digest(dict(state.files)),
        locks=state.locks,
    )
    write_record(structs.replace(item.record, number=number, collected=origin), folder)


def move(moves: Sequence[tuple[Path, Path]]) -> None:
    """Rename each to its place; when one fails, those before it are taken back."""
    with ExitStack() as undo:
        for new, goal in moves:
            old = new.with_name(f"{new.name}.old")
            if goal.exists():
                goal.replace(old)
                undo.callback(old.replace, goal)
            new.replace(goal)
            undo.callback(goal.replace, new)
        undo.pop_all()


def _show(items: Sequence[Incoming], console: Console, *, changed: bool) -> None:
    rows = []
    for item in sorted(items, key=lambda item: item.place):
        record, origin = item.record, item.export.origin
        place = "\n".join(filter(None, [origin.system, origin.git, *origin.ci.values()]))
        passed = "ok" if record.passed else "FAILED"
        rows.append([record.subject, record.stage, passed, record.about[:12], place])
    console.table("collected", ["target", "stage", "", "sha256 of the wheel", "from"], rows)
    if not changed:
        console.result("all of it was here already")
    loose = [item.export.origin for item in items if not item.export.origin.committed]
    for words in sorted({words for origin in loose for words in origin.native.values()}):
        console.result(f"native stack: {words}; not from a committed lock, so not for release")


def _summary(project: Project, items: Sequence[Incoming]) -> Iterator[dict[str, Any]]:
    for item in items:
        if item.makes:
            about = [i.record for i in items if i.wheel == item.wheel and not i.makes]
            yield {
                "target": item.record.subject,
                "wheel": str(project.dist / item.record.wheel.path.name),
                "sha256": item.record.about,
                "verdicts": {record.stage: record.passed for record in about},
                "from": structs.asdict(item.export.origin),
            }

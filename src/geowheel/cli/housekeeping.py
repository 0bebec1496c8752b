"""`status` and `clean`: what is in the ledger, and what can go."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geowheel.digest import sha256_file
from geowheel.machine.console import Console, megabytes
from geowheel.machine.files import held_if_free, sweep
from geowheel.machine.kept import remove_kept
from geowheel.project.project import Project
from geowheel.records.facts import FACTS, RepairFacts
from geowheel.records.ledger import Ledger, Record, left_over, read_any_record
from geowheel.records.stage import Scope
from geowheel.stages import STAGES
from geowheel.targets import Target

if TYPE_CHECKING:
    from geowheel.release.states import Standing

_SHOWN: Final = ("target", "wheel", "repair", "size", "test", "lab", "released")


def status(project: Project, console: Console, states: Mapping[Target, Standing]) -> dict[str, Any]:
    """Return what each target has reached, on the way to a release too, and what lies in dist/."""
    ledger = Ledger(folder=project.work, host=project.host.name)
    rows = []
    for target, state in states.items():
        cells = []
        for stage in STAGES:
            subject = str(target.platform if stage.scope is Scope.PLATFORM else target)
            record = ledger.latest(FACTS[stage.name], subject)
            cells.append("-" if record is None else _word(record))
        rows.append([str(target), *cells, state.wheel, state.released])
    names = ["target", *(stage.name for stage in STAGES), "wheel", "released"]
    # All of them do not fit a terminal: what comes before a wheel is told by the wheel.
    console.table(
        f"{project.host.name}: newest record of each stage, and its age",
        _SHOWN,
        [[row[names.index(name)] for name in _SHOWN] for row in rows],
    )
    wheels = _dist(project, ledger)
    made = {True: "yes", False: "NO RECORD"}
    lines = [[w["name"], megabytes(w["size"]), made[w["recorded"]]] for w in wheels]
    console.table("dist/", ["wheel", "size", "made here"], lines)
    console.result("what would run now: `geowheel plan`")
    return {"targets": rows, "dist": wheels}


def clean(project: Project, *, everything: bool, console: Console) -> dict[str, Any]:
    """Remove ledger entries that are not the newest of their kind, and left-over scratch folders.

    With `everything`, .geowheel/ and dist/ go whole. The user's store and channels stay.
    """
    if everything:
        # What is a mount of its own can be emptied, and not removed.
        gone = [
            path
            for top in (project.work, project.dist)
            for path in (top.glob("*") if top.is_mount() else [top])
            if path.exists()
        ]
        for kept in project.work.glob("*/*/.*-kept"):  # partly outside the work folder
            remove_kept(kept)
    else:
        gone = _superseded(project)
        gone += [path for place in project.work.glob("*/*") for path in left_over(place)]
    for place in (project.work, project.dist, project.root, project.folder):
        sweep(place)
    freed = 0
    for path in gone:
        inside = (p for p in path.rglob("*") if p.is_file() and not p.is_symlink())
        freed += sum(p.lstat().st_size for p in inside)
        # Renamed first: a kill in between must not leave a record without its files.
        remove_kept(path.rename(path.with_name(f".{path.name}-old")))
        console.result(f"removed {path.relative_to(project.root)}")
    for lock in project.work.glob("*/*/*.lock"):
        with held_if_free(lock) as free:
            if free and not lock.with_suffix("").exists():
                lock.unlink()
    console.result(f"{len(gone)} folders, {megabytes(freed)} freed")
    return {"removed": [str(path) for path in gone], "bytes": freed}


def _word(record: Record[Any]) -> str:
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(record.created)
    # A lab of some cases only is no verdict on the wheel.
    good = "ok" if record.whole else "some cases"
    return f"{good if record.passed else 'FAILED'}\n{_ago(age.total_seconds())}"


def _ago(amount: float) -> str:
    """Return `now`, `12 min`, `3 h`, `9 d`: since then."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if amount >= length:
            return f"{int(amount // length)} {unit}"
    return "now"


def _dist(project: Project, ledger: Ledger) -> list[dict[str, Any]]:
    known = {record.about for record in ledger.records(RepairFacts)}
    return [
        {"name": path.name, "size": path.stat().st_size, "recorded": sha256_file(path) in known}
        for path in sorted(project.dist.glob("*.whl"))
    ]


def _superseded(project: Project) -> list[Path]:
    """Return entries for which a newer one of the same subject, stage and host exists.

    What the newest was made from stays as well: a release follows it.
    """
    folders = [path.parent for path in project.work.glob("*/*/[!.]*/record.json")]
    records = [r for folder in folders if (r := read_any_record(folder)) is not None]
    newest: dict[tuple[str, str, str, bool], Record[Any]] = {}
    for record in records:
        # Of the lab: no part of it supersedes the whole.
        kind = (record.subject, record.stage, record.host, record.whole)
        if kind not in newest or record.order > newest[kind].order:
            newest[kind] = record
    kept = {record.folder for record in newest.values()}
    named = {source for record in newest.values() for source in record.upstream.items()}
    kept |= {record.folder for record in records if (record.stage, record.key) in named}
    return [folder for folder in folders if folder not in kept]

"""The ledger: one folder for each run of a stage, with what it made and a record of how.

Output and record appear together by one rename as `.geowheel/SUBJECT/STAGE/KEY/` and are never
changed afterwards.
"""

from __future__ import annotations

import datetime
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from geowheel.digest import digest, read_tree
from geowheel.machine.console import Console
from geowheel.machine.files import held
from geowheel.machine.kept import (
    ENTER,
    WORK,
    remove_kept,
)
from geowheel.records.stage import Outcome, Stage

RECORD: Final = "record.json"
KEY_LENGTH: Final = 16  # hexadecimal digits of the key that name a folder


@dataclass(frozen=True, kw_only=True)
class Output:
    """A file that a stage made."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Made:
    """A folder that a stage made: known to the stages that follow by its content, not its place."""

    folder: Path
    content: str

    def digest(self) -> str:
        return self.content


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a stage did, from which inputs; as JSON in the entry's folder."""

    stage: str
    subject: str
    host: str
    key: str
    components: Mapping[str, str]
    trees: Mapping[str, Mapping[str, str]]
    content: str
    outputs: tuple[Output, ...]
    facts: Mapping[str, Any]
    passed: bool
    seconds: float
    created: str
    home: str
    """The host's folder, relative to the root."""
    folder: Path = field(compare=False)

    def made(self, name: str) -> Made:
        """The folder `name` among what the stage made."""
        return Made(folder=self.folder / name, content=self.content)


def read_record(folder: Path) -> Record | None:
    """The record in an entry's folder; None where there is none that can be read."""
    try:
        data = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        data["outputs"] = tuple(Output(**output) for output in data["outputs"])
        return Record(**data, folder=folder)
    except (OSError, ValueError, TypeError, KeyError):
        return None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The place of one run: a stage, a subject and a key."""

    ledger: Ledger
    stage: str
    subject: str
    components: Mapping[str, str]
    trees: Mapping[str, Mapping[str, str]]

    @cached_property
    def key(self) -> str:
        return digest(self.components)

    @property
    def folder(self) -> Path:
        return self.ledger.place(self.subject, self.stage) / self.key[:KEY_LENGTH]

    @property
    def record(self) -> Record | None:
        """The record of an earlier run with this key, whole or not."""
        return read_record(self.folder)

    def stale(self) -> str | None:
        """Why the stage has to run, in words; None when its record can be reused."""
        record = self.record
        if record is None:
            return self._difference()
        if record.stage != self.stage or record.key != self.key:
            return "its record is of something else"
        if not record.passed:
            return "failed the last time"
        for output in record.outputs:
            path = self.folder / output.path
            try:
                if path.lstat().st_size != output.size:
                    return f"{output.path} was changed"
            except OSError:
                return f"{output.path} is gone"
        if self.ledger.verify:
            return _altered(record)
        return None

    def lock(self, console: Console) -> AbstractContextManager[None]:
        """Held while deciding and running: a second run waits, then finds the work done."""
        place = self.folder.parent
        place.mkdir(parents=True, exist_ok=True)
        return held(
            place / f"{self.folder.name}.lock",
            lambda text: console.wait(f"{self.stage:<10} {text}"),
        )

    @property
    def kept(self) -> Path:
        """What a failed run leaves behind where it is asked to; named as a scratch folder is."""
        return self.folder.with_name(f".{self.folder.name}-kept")

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder beside the final one; it is gone afterwards unless it was committed.

        Under `Ledger.keep` it stays when the way into it was written: see `geowheel.machine.kept`.
        """
        place = self.folder.parent
        for left in place.glob(f".{self.folder.name}-*"):  # of a run that was killed, or kept
            remove_kept(left)
        if self.ledger.keep:
            path = self.kept / WORK
            path.mkdir(parents=True)
        else:
            path = Path(tempfile.mkdtemp(prefix=f".{self.folder.name}-", dir=place))
        path.chmod(0o755)
        try:
            yield path
        finally:
            if not (self.ledger.keep and (self.kept / ENTER).exists()):
                shutil.rmtree(self.kept if self.ledger.keep else path, ignore_errors=True)

    def commit(self, folder: Path, outcome: Outcome, started: float) -> Record:
        """Write the record into `folder` and put it in its place with one rename."""
        # A stage that knows its content has files by the thousand, and a manifest of them.
        listed = None if outcome.content is None else [p.name for p in folder.glob("*.json")]
        tree = read_tree(folder, listed)
        record = Record(
            stage=self.stage,
            subject=self.subject,
            host=self.ledger.host,
            key=self.key,
            components=dict(self.components),
            trees={name: dict(paths) for name, paths in self.trees.items()},
            content=outcome.content or digest(tree),
            outputs=tuple(
                Output(path=e.path, sha256=e.sha256, size=(folder / e.path).lstat().st_size)
                for e in tree.entries
            ),
            facts=dict(outcome.facts),
            passed=outcome.passed,
            seconds=round(time.monotonic() - started, 3),
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"),
            home=self.ledger.home,
            folder=self.folder,
        )
        data = asdict(record)
        del data["folder"]
        (folder / RECORD).write_text(
            json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8"
        )
        # Damaged, or a failed verdict: moved aside whole, since a kill while it is removed would
        # leave a record without its files. The name is a scratch folder's: the next run cleans it.
        old = folder.with_name(f"{folder.name}-old")
        if self.folder.exists():
            self.folder.replace(old)
        folder.replace(self.folder)
        shutil.rmtree(old, ignore_errors=True)
        return record

    def _difference(self) -> str:
        last = self.ledger.latest(self.subject, self.stage)
        if last is None:
            return "first run"
        changed = [n for n, d in self.components.items() if last.components.get(n) != d]
        changed += [name for name in last.components if name not in self.components]
        return "changed: " + ", ".join(map(self._explain(last), changed[:4]))

    def _explain(self, last: Record) -> Any:
        def explain(name: str) -> str:
            before, now = last.trees.get(name, {}), self.trees.get(name, {})
            files = sorted(path for path in {*before, *now} if before.get(path) != now.get(path))
            if not files:
                return name
            return f"{name} ({', '.join(files[:3])}{', ...' if len(files) > 3 else ''})"

        return explain


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """All entries below a work folder; `host` is the distribution whose wheels they make."""

    folder: Path
    host: str
    home: str = "."
    """The host's folder, relative to the root."""
    verify: bool = False
    """Hash outputs again instead of trusting that nobody changed them."""
    keep: bool = False
    """Keep the folder of a stage that fails."""

    def place(self, subject: str, stage: str) -> Path:
        """The folder of all entries of a stage."""
        return self.folder / subject / stage

    def entry(
        self,
        stage: Stage,
        subject: str,
        components: Mapping[str, str],
        trees: Mapping[str, Mapping[str, str]],
    ) -> Entry:
        """The place for a run with these components."""
        return Entry(
            ledger=self, stage=stage.name, subject=subject, components=components, trees=trees
        )

    def records(self, stage: str, subject: str = "*") -> list[Record]:
        """All records of a stage made for this host, newest first."""
        found = [r for r in self.of_every_host(stage, subject) if r.host == self.host]
        return sorted(found, key=lambda record: record.created, reverse=True)

    def of_every_host(self, stage: str, subject: str = "*") -> list[Record]:
        """All records of a stage, whichever host they were made for."""
        paths = self.folder.glob(f"{subject}/{stage}/[!.]*/{RECORD}")
        return [r for path in paths if (r := read_record(path.parent)) is not None]

    def latest(self, subject: str, stage: str) -> Record | None:
        """The newest record of a stage for one subject."""
        return next(iter(self.records(stage, subject)), None)


def _altered(record: Record) -> str | None:
    now = read_tree(record.folder, [output.path for output in record.outputs]).paths()
    for output in record.outputs:
        if now[output.path] != output.sha256:
            return f"{output.path} was changed"
    return None

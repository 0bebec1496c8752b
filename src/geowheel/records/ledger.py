"""The ledger: one folder for each run of a stage, with what it made and a record of how.

Output and record appear together by one rename as `.geowheel/SUBJECT/STAGE/KEY/` and are never
changed afterwards.
"""

import datetime
import enum
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct, structs

from geowheel.digest import Artefact, TreeEntry, digest, read_tree, sha256_file
from geowheel.errors import BuildError
from geowheel.machine.console import Console
from geowheel.machine.files import held, held_if_free, link_or_copy, read_json, to_json
from geowheel.machine.kept import ENTER, WORK, remove_kept
from geowheel.machine.sandbox import SandboxKind

from .facts import FACTS, LabFacts, StageFacts, VerdictFacts
from .stage import Outcome

RECORD: Final = "record.json"
KEY_LENGTH: Final = 16  # hexadecimal digits of the key that name a folder
FORMAT: Final = 2
"""Of a record; what another geowheel wrote has another one, or none."""
SOURCES: Final = "geowheel's own sources"
"""The name of `toolkit_digest` among the components of every key."""

F = TypeVar("F", bound=StageFacts)
Known = TypeVar("Known", bound=StageFacts, covariant=True)


class MadeFolder(Struct, frozen=True, kw_only=True):
    """A folder that a stage made: known to the stages that follow by its content, not its place."""

    folder: Path
    content: str

    def digest(self) -> str:
        return self.content


class Elsewhere(Struct, frozen=True, kw_only=True):
    """The machine that handed wheels over: for people, and for the records that are taken over."""

    platform: str
    system: str
    git: str
    """Commit and tag, as git describes them; empty where there is no git."""
    native: Mapping[str, str]
    """By platform, where its native stack came from, in words."""
    committed: bool
    """Whether every native stack is from a committed lock."""
    ci: Mapping[str, str]
    """The variables by which a CI system names the run."""


class Ran(Struct, frozen=True, kw_only=True):
    """When and for how long a stage ran elsewhere."""

    key: str
    seconds: float
    created: str
    sandbox: SandboxKind = SandboxKind.NONE


class Collected(Struct, frozen=True, kw_only=True):
    """What a record that was taken over from another machine says of that."""

    origin: Elsewhere
    created: str
    stages: Mapping[str, Ran]
    """All that led to its wheel, by the stage's name."""
    files: str
    """The digest of the host's files that its wheel was made of."""
    locks: Mapping[str, str]
    """By platform, the digest of the locks that its wheel was made from."""


class Record(Struct, Generic[Known], frozen=True, kw_only=True):
    """What a stage did, from which inputs; as JSON in the entry's folder."""

    format: int = FORMAT
    stage: str
    subject: str
    host: str
    key: str
    components: Mapping[str, str]
    unused: tuple[str, ...] = ()
    """Those of them that had no part in it, as the run saw."""
    trees: Mapping[str, Mapping[str, str]]
    upstream: Mapping[str, str]
    """The keys of the records that it was made from, by stage."""
    content: str
    outputs: tuple[TreeEntry, ...]
    """Every file that its stage made."""
    facts: Known
    passed: bool
    seconds: float
    created: str
    number: int = 0
    """By which records follow each other in a ledger, whatever the clock says."""
    home: str
    """The host's folder, relative to the root."""
    collected: Collected | None = None
    """None: it was made here."""
    shared: str = ""
    """The shared ledger that it was taken from; empty: from none."""
    sandbox: SandboxKind = SandboxKind.NONE
    """What shut in its commands."""
    folder: Path = Path()
    """Where it was read; no part of the JSON."""

    def made(self, name: str) -> MadeFolder:
        """Return the folder `name` among what the stage made."""
        return MadeFolder(folder=self.folder / name, content=self.content)

    @property
    def wheel(self) -> Artefact:
        """The one wheel that its stage made."""
        wheels = [output for output in self.outputs if output.path.endswith(".whl")]
        if len(wheels) != 1:
            raise BuildError(
                f"{self.stage} made {len(wheels)} wheels instead of one", where=str(self.folder)
            )
        return Artefact(path=self.folder / wheels[0].path, sha256=wheels[0].sha256)

    @property
    def order(self) -> tuple[int, str]:
        """The newest record has the highest; those of an older geowheel have no number."""
        return self.number, self.created

    @property
    def about(self) -> str:
        """The sha256 of the wheel that its stage made or judged."""
        return self.facts.sha256 if isinstance(self.facts, VerdictFacts) else self.wheel.sha256

    @property
    def whole(self) -> bool:
        """False: some of the lab's cases only, which is no verdict on the wheel."""
        return not isinstance(self.facts, LabFacts) or self.facts.whole

    @property
    def sources(self) -> str:
        """The digest of the geowheel that made it."""
        return self.components.get(SOURCES, "")


class Records(dict[str, Record[Any]]):
    """The records of one target, by their stages' names."""

    def of(self, facts: type[F]) -> Record[F]:
        """Return the record of the stage with these facts; raises KeyError without one."""
        record: Record[F] = self[facts.stage]
        return record

    def find(self, facts: type[F]) -> Record[F] | None:
        """Return the record of the stage with these facts; None without one."""
        return self.get(facts.stage)


def encoded(record: Record[Any]) -> bytes:
    """Return a record as JSON."""
    data = structs.asdict(record)
    del data["folder"]
    return to_json(data, ordered=True)


def write_record(record: Record[Any], folder: Path) -> None:
    """Write a record into the folder of its entry, or of what will be it."""
    (folder / RECORD).write_bytes(encoded(record))


def read_record(folder: Path, facts: type[F]) -> Record[F] | None:
    """Return the record in an entry's folder; None where this geowheel cannot read one."""
    record: Record[F] | None = read_json(folder / RECORD, Record[facts])  # type: ignore[valid-type]
    if record is None or record.format != FORMAT:
        return None
    return structs.replace(record, folder=folder)


def read_any_record(folder: Path) -> Record[Any] | None:
    """Return the record in an entry's folder, of the stage that the folder above it names."""
    facts = FACTS.get(folder.parent.name)
    return None if facts is None else read_record(folder, facts)


class _Header(Struct):
    format: int = 1
    number: int = 0


def _header(path: Path) -> _Header:
    return read_json(path, _Header) or _Header(format=FORMAT)


def _is_older(path: Path) -> bool:
    return _header(path).format < FORMAT


class StaleReason(enum.StrEnum):
    """Why a stage has to run, in words; `{}` stands for what it is about."""

    FIRST = "first run"
    OLDER = "its record is of an older geowheel"
    OTHER = "its record is of something else"
    FAILED = "failed the last time"
    CHANGED = "changed: {}"
    ALTERED = "{} was changed"
    GONE = "{} is gone"
    OPEN = "made in another sandbox: {}"


class Stale(Struct, frozen=True, kw_only=True):
    """Why a record cannot be reused."""

    reason: StaleReason
    of: str = ""
    """The components, or the file."""

    def __str__(self) -> str:
        return self.reason.format(self.of)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The place of one run: a stage, a subject and a key."""

    ledger: "Ledger"
    stage: str
    subject: str
    components: Mapping[str, str]
    trees: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    upstream: Mapping[str, str] = field(default_factory=dict)
    """The keys of the records that it is made from, by stage."""
    sandbox: SandboxKind = SandboxKind.NONE
    """What shuts in the run."""
    wanted: SandboxKind = SandboxKind.NONE
    """A record of a weaker sandbox does not count."""

    @cached_property
    def key(self) -> str:
        return digest(self.components)

    @property
    def folder(self) -> Path:
        return self.ledger.folder / self.subject / self.stage / self.key[:KEY_LENGTH]

    @property
    def record(self) -> Record[Any] | None:
        """The record of an earlier run with this key, whole or not."""
        return read_any_record(self.folder)

    def stale(self, *, verify: bool = False) -> Stale | None:
        """Return why the stage has to run; None: its record holds. `verify` hashes the files."""
        record = self.record
        if record is None:
            return self._difference()
        if record.stage != self.stage or record.key != self.key:
            return Stale(reason=StaleReason.OTHER)
        if not record.passed:
            return Stale(reason=StaleReason.FAILED)
        if record.sandbox.strength < self.wanted.strength:
            return Stale(reason=StaleReason.OPEN, of=record.sandbox)
        folder = self.folder
        written = (folder / RECORD).stat().st_mtime_ns  # after all of its files
        for output in record.outputs:
            path = f"{folder}/{output.path}"  # there are thousands, and a Path takes longer
            try:
                found = os.lstat(path)
                if output.link is None and (
                    found.st_size != output.size
                    or (found.st_mtime_ns > written and sha256_file(Path(path)) != output.sha256)
                ):
                    return Stale(reason=StaleReason.ALTERED, of=output.path)
            except OSError:
                return Stale(reason=StaleReason.GONE, of=output.path)
        return _altered(record) if verify or self.ledger.verify else None

    def twin(self) -> Record[Any] | None:
        """Return the record of another subject that was made from the very same inputs.

        Targets of one stable ABI have their wheel in common.
        """
        others = self.ledger.folder.glob(f"*/{self.stage}/{self.folder.name}")
        found = (replace(self, subject=path.parents[1].name) for path in sorted(others))
        fit = (entry for entry in found if entry.stale(verify=True) is None)
        return next((r for e in fit if (r := e.record) and r.host == self.ledger.host), None)

    def share(self, twin: Record[Any]) -> Record[Any]:
        """Take another subject's record over, its files by links; with one rename."""
        with self.scratch() as folder:
            shutil.copytree(twin.folder, folder, copy_function=link_or_copy, symlinks=True,
                            dirs_exist_ok=True)  # fmt: skip
            (folder / RECORD).unlink()
            return self.place(folder, structs.replace(twin, subject=self.subject))

    def place(self, folder: Path, record: Record[F]) -> Record[F]:
        """Write a record beside its files, and put both in their place with one rename."""
        record = structs.replace(record, number=self.ledger.next_number(), folder=self.folder)
        write_record(record, folder)
        # Damaged, or a failed verdict: moved aside whole, since a kill while it is removed would
        # leave a record without its files. The name is a scratch folder's: the next run cleans it.
        old = folder.with_name(f"{folder.name}-old")
        if self.folder.exists():
            self.folder.replace(old)
        folder.replace(self.folder)
        shutil.rmtree(old, ignore_errors=True)
        return record

    def lock(self, console: Console) -> AbstractContextManager[None]:
        """Hold it while deciding and running: a second run waits, then finds the work done."""
        path = self.folder.with_name(f"{self.folder.name}.lock")
        return held(path, lambda text: console.wait(f"{self.stage:<10} {text}"))

    @property
    def kept(self) -> Path:
        """What a failed run leaves behind where it is asked to; named as a scratch folder is."""
        return self.folder.with_name(f".{self.folder.name}-kept")

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Make an empty folder beside the final one, which goes unless it was committed.

        Under `Ledger.keep` it stays when the way into it was written: see `geowheel.machine.kept`.
        """
        place = self.folder.parent
        for left in [*place.glob(f".{self.folder.name}-*"), *left_over(place)]:
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
                remove_kept(self.kept if self.ledger.keep else path)

    def commit(self, folder: Path, outcome: Outcome[F], started: float) -> Record[F]:
        """Write the record into `folder` and put it in its place with one rename."""
        tree = read_tree(folder)
        record = Record(
            stage=self.stage,
            subject=self.subject,
            host=self.ledger.host,
            key=self.key,
            components=self.components,
            unused=outcome.unused,
            trees=self.trees,
            upstream=self.upstream,
            content=digest(tree),
            outputs=tree.entries,
            facts=outcome.facts,
            passed=outcome.passed,
            seconds=round(time.monotonic() - started, 3),
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"),
            home=self.ledger.home,
            sandbox=self.sandbox,
        )
        return self.place(folder, record)

    def _difference(self) -> Stale:
        facts = FACTS[self.stage]
        last = self.ledger.latest(facts, self.subject)
        if last is None:
            older = any(map(_is_older, self.folder.parent.glob(f"[!.]*/{RECORD}")))
            return Stale(reason=StaleReason.OLDER if older else StaleReason.FIRST)
        changed = [n for n, d in self.components.items() if last.components.get(n) != d]
        changed += [name for name in last.components if name not in self.components]
        words = ", ".join(self._explain(last, name) for name in changed[:4])
        return Stale(reason=StaleReason.CHANGED, of=words)

    def _explain(self, last: Record[Any], name: str) -> str:
        before, now = last.trees.get(name, {}), self.trees.get(name, {})
        files = sorted(path for path in {*before, *now} if before.get(path) != now.get(path))
        if not files:
            return name
        return f"{name} ({', '.join(files[:3])}{', ...' if len(files) > 3 else ''})"


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """All entries below a work folder; `host` is the distribution whose wheels they make."""

    folder: Path
    host: str
    home: str = "."
    """The host's folder, relative to the root."""
    verify: bool = False
    """Hash what every stage made, not only what another one uses in this run."""
    keep: bool = False
    """Keep the folder of a stage that fails."""

    def records(self, facts: type[F], subject: str = "*") -> list[Record[F]]:
        """Return all records of that stage that were made for this host, newest first."""
        found = [r for r in self.of_every_host(facts, subject) if r.host == self.host]
        return sorted(found, key=lambda record: record.order, reverse=True)

    def next_number(self) -> int:
        """Return one more than any record here has."""
        every = [_header(path).number for path in self.folder.glob(f"*/*/[!.]*/{RECORD}")]
        return 1 + max(every, default=0)

    def of_every_host(self, facts: type[F], subject: str = "*") -> list[Record[F]]:
        """Return all records of a stage, whichever host they were made for."""
        paths = self.folder.glob(f"{subject}/{facts.stage}/[!.]*/{RECORD}")
        return [r for path in paths if (r := read_record(path.parent, facts)) is not None]

    def latest(self, facts: type[F], subject: str) -> Record[F] | None:
        """Return the newest record of a stage for one subject."""
        return next(iter(self.records(facts, subject)), None)

    def made_from(self, record: Record[Any], facts: type[F]) -> list[Record[F]]:
        """Return the record of the stage with these facts that `record` names upstream.

        After it those of the same content: another run of the stage may have made the same bytes
        from other inputs, and nothing that follows ran again.
        """
        every = self.of_every_host(facts)
        named = [r for r in every if r.key == record.upstream.get(facts.stage)]
        return named + [r for r in every for n in named if r.content == n.content and r != n]


def left_over(place: Path) -> Iterator[Path]:
    """Yield the scratch folders of a stage, killed or kept, that no run holds the lock of."""
    for path in place.glob(".*-*"):
        lock = path.with_name(path.name.split("-")[0].removeprefix(".") + ".lock")
        with held_if_free(lock) as free:
            if free:
                yield path


def _altered(record: Record[Any]) -> Stale | None:
    """Return which file is not what the stage made; one that was added is none of its files."""
    entries = [e for e in read_tree(record.folder).entries if e.path != RECORD]
    path = min((e.path for e in {*entries} ^ {*record.outputs}), default=None)
    return None if path is None else Stale(reason=StaleReason.ALTERED, of=path)

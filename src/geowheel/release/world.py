"""The world that a release is decided from, read once into one frozen value."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from packaging.utils import canonicalize_name

from geowheel.contents.restricted import Restricted, unaccepted
from geowheel.digest import digest
from geowheel.errors import Fault, GeowheelError
from geowheel.locks.channels import configured_channels
from geowheel.locks.in_use import Locks, committed_locks
from geowheel.machine.git import Git, commit_of_tag, read_git
from geowheel.machine.sandbox import SandboxKind
from geowheel.project.config import Release
from geowheel.project.project import Project
from geowheel.records.facts import FACTS, VERDICTS, BuildFacts, FetchFacts, RepairFacts, SizeFacts
from geowheel.records.ledger import Ledger, Record
from geowheel.targets import Platform, Target, parse_platform
from geowheel.wheel.reading import parse_filename

from .changelog import has_section
from .checks import check_tools
from .handover.exports import state_of
from .index import Index, digest_of, find_index, published
from .journal import Journal, ReleaseFile, every_built, file_at, read_journal
from .subject import ReleaseSubject

NO_VERSION: Final = ""
SUMS: Final = "SHA256SUMS"


@dataclass(frozen=True, kw_only=True)
class StageVerdict:
    """What a stage found about one wheel."""

    stage: str
    sha256: str
    passed: bool
    whole: bool = True
    """False: some of the lab's cases only."""
    installed: int = 0
    """Of `size`: bytes once installed."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """The version of the release, and what the changelog says of it."""

    version: str
    """The version that all wheels have; empty where there are none, or of several versions."""
    changelog: Path
    entry: bool = False
    """The changelog has a section of that version, and the section says something."""
    faults: tuple[Fault, ...] = ()
    """Why the changelog cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Repaired:
    """The newest repaired wheel of a target, as the ledger has it."""

    target: Target
    filename: str
    sha256: str
    version: str
    locked: bool
    """Its native stack is from a committed lock."""
    of_lock: bool
    """That lock holds the very packages that are locked now."""
    of_files: bool
    """The host's files, its configuration among them, are those it was built from."""
    toolkit: str
    """Digest of the geowheel that repaired it."""
    sandbox: SandboxKind
    """The weakest that any of its stages ran in."""
    unaccepted: tuple[Restricted, ...]
    """Packages in it under the GPL or the like that the configuration does not accept."""
    verdicts: tuple[StageVerdict, ...]
    """Newest first."""


@dataclass(frozen=True, kw_only=True)
class Lock:
    """The committed locks of one platform."""

    platform: Platform
    faults: tuple[Fault, ...] = ()
    """Why they cannot be used."""
    strange_channels: tuple[str, ...] = ()
    """Those it takes packages from and that releases do not allow."""


@dataclass(frozen=True, kw_only=True)
class InDist:
    """A wheel or sdist in dist/."""

    file: ReleaseFile
    recorded: bool
    """A record of any host of this root, or the journal of a release, names its bytes."""


@dataclass(frozen=True, kw_only=True)
class OnIndex:
    """What the index has of this version."""

    index: Index
    files: Mapping[str, str] = field(default_factory=dict)
    """Digest by file name: of those that this release has as well."""
    faults: tuple[Fault, ...] = ()
    """Why it could not be asked."""


@dataclass(frozen=True, kw_only=True)
class World:
    """Everything that `geowheel.release.plan.decide` may know."""

    name: str
    where: str
    """pyproject.toml, for messages."""
    pure: bool
    publishes_sdist: bool
    settings: Release
    said: Said
    tag: str
    git: Git | None
    tagged: str | None
    """The commit that the tag of this version is on."""
    targets: tuple[Target, ...]
    wheels: tuple[Repaired, ...]
    locks: tuple[Lock, ...]
    dist: tuple[InDist, ...]
    journal: Journal
    on_index: OnIndex | None
    """None: no index was named."""
    sums: str = ""
    """What dist/SHA256SUMS says."""
    tools: str = ""
    """Digest of what checks files: a check that another tool passed counts no more."""
    wheel_budget_mb: float = 0.0
    installed_budget_mb: float = 0.0

    @property
    def version(self) -> str:
        """Empty where nothing says it."""
        return self.said.version

    def in_dist(self, filename: str, sha256: str | None = None) -> ReleaseFile | None:
        """Return the file of that name in dist/, with those bytes where they are said."""
        files = (item.file for item in self.dist)
        found = (f for f in files if f.filename == filename and sha256 in (None, f.sha256))
        return next(found, None)


def read_world(subject: ReleaseSubject, asked_index: str | None) -> World:
    """Return the world as it is; changes nothing.

    What cannot be read is a part of it, as faults. Raises UsageError for an index that nobody
    knows, ConfigError when the configuration changed since the subject was opened.
    """
    environ = subject.machine.environ
    project, git = subject.project, read_git(subject.folder, environ)
    targets: tuple[Target, ...] = ()
    if project is not None:
        platforms = [parse_platform(name) for name in subject.settings.platforms or ()]
        targets = tuple(project.targets(platforms or project.usual_platforms))
    locks, usable = _locks(project, subject.settings, targets)
    wheels = tuple(_wheels(subject, targets, usable))
    journal = read_journal(subject.work, canonicalize_name(subject.name), git.head if git else "")
    said = _said(subject, wheels, journal)
    tag = subject.tag(said.version, git.root if git else None)
    dist = tuple(_dist(subject))
    return World(
        name=subject.name,
        where=str(subject.pyproject),
        pure=project is None,
        publishes_sdist=subject.publishes_sdist,
        settings=subject.settings,
        said=said,
        tag=tag,
        git=git,
        tagged=commit_of_tag(subject.folder, tag, environ) if said.version else None,
        targets=targets,
        wheels=wheels,
        locks=locks,
        dist=dist,
        journal=journal,
        on_index=_on_index(subject, asked_index, [item.file for item in dist]),
        sums=sums.read_text(encoding="utf-8") if (sums := subject.dist / SUMS).is_file() else "",
        tools=digest(check_tools()),
        wheel_budget_mb=0.0 if project is None else project.wheel_budget_mb,
        installed_budget_mb=0.0 if project is None else project.config.budget.installed_mb,
    )


def _said(subject: ReleaseSubject, wheels: Sequence[Repaired], journal: Journal) -> Said:
    """Return the version in the wheels' names: what is published is what was built."""
    versions = {wheel.version for wheel in wheels}
    if subject.project is None:
        built = {parse_filename(item.filename)[1] for item in journal.built if item.is_wheel}
        versions = built or {subject.static_version}  # before it is built
    version = versions.pop() if len(versions) == 1 else NO_VERSION
    try:
        entry = version != NO_VERSION and has_section(subject.changelog, version)
    except GeowheelError as error:
        return Said(version=version, changelog=subject.changelog, faults=error.faults)
    return Said(version=version, changelog=subject.changelog, entry=entry)


def _locks(
    project: Project | None, settings: Release, targets: Sequence[Target]
) -> tuple[tuple[Lock, ...], dict[Platform, Locks]]:
    """Return what is wrong with the committed locks of each platform, and those to be used."""
    found: list[Lock] = []
    usable: dict[Platform, Locks] = {}
    for platform in dict.fromkeys(target.platform for target in targets):
        if project is None:
            continue
        try:
            locks = committed_locks(project, platform)
            allowed = _allowed(project, settings, platform)
        except GeowheelError as error:
            found.append(Lock(platform=platform, faults=error.faults))
            continue
        usable[platform] = locks
        used = {package.channel_url for package in locks.stack.packages}
        found.append(Lock(platform=platform, strange_channels=tuple(sorted(used - allowed))))
    return tuple(found), usable


def _allowed(project: Project, settings: Release, platform: Platform) -> set[str]:
    """Return URLs of the channels that releases allow: those of the manifest, or some of them."""
    spec = project.manifest.environment(project.config.environment, platform)
    names = spec.channels if settings.channels is None else settings.channels
    channels = configured_channels(names, project.manifest.path.parent)
    return {f"{channel.url.rstrip('/')}/" for channel in channels}


def _wheels(
    subject: ReleaseSubject, targets: Sequence[Target], locks: Mapping[Platform, Locks]
) -> Iterator[Repaired]:
    if (project := subject.project) is None:
        return
    ledger = subject.ledger
    files = digest(project.host_files())  # as `build` has it
    now = state_of(project, locks, ())  # the same and the locks, as an export has them
    for target in targets:
        record = ledger.latest(RepairFacts, str(target))
        if record is None:
            continue
        if (there := record.collected) is not None:
            lock = now.locks.get(target.platform)
            of_lock = lock is not None and there.locks.get(target.platform) == lock
            of_files = there.files == digest(dict(now.files))
        else:
            fetched = {r.facts.stack for r in ledger.made_from(record, FetchFacts)}
            built = {r.facts.host_files for r in ledger.made_from(record, BuildFacts)}
            found = locks.get(target.platform)
            of_lock = found is not None and digest(found.stack.packages) in fetched
            of_files = files in built
        filename = record.wheel.path.name
        yield Repaired(
            target=target,
            filename=filename,
            sha256=record.about,
            version=parse_filename(filename)[1],
            locked=record.facts.locked,
            of_lock=of_lock,
            of_files=of_files,
            toolkit=record.sources,
            sandbox=_weakest_sandbox(record, ledger),
            unaccepted=unaccepted(record.facts.licenses.restricted, project.config.licenses.accept),
            verdicts=tuple(_verdicts(ledger, target)),
        )


def _weakest_sandbox(record: Record[Any], ledger: Ledger) -> SandboxKind:
    """Return the weakest of those that a record and what it is made from were made in."""
    names = {*record.upstream} - {FetchFacts.stage}
    above = [found[0] for n in names if (found := ledger.made_from(record, FACTS[n]))]
    kinds = [record.sandbox, *(_weakest_sandbox(each, ledger) for each in above)]
    if record.collected is not None:
        ran = record.collected.stages
        kinds += [ran[name].sandbox for name in ("bindings", "build") if name in ran]
    return min(kinds, key=lambda kind: kind.strength)


def _verdicts(ledger: Ledger, target: Target) -> Iterator[StageVerdict]:
    for facts in VERDICTS:
        for record in ledger.records(facts, str(target)):
            yield StageVerdict(
                stage=facts.stage,
                sha256=record.about,
                passed=record.passed,
                whole=record.whole,
                installed=record.facts.installed if isinstance(record.facts, SizeFacts) else 0,
            )


def _dist(subject: ReleaseSubject) -> Iterator[InDist]:
    known = {record.about for record in subject.ledger.of_every_host(RepairFacts)}
    known |= every_built(subject.work)
    for path in sorted([*subject.dist.glob("*.whl"), *subject.dist.glob("*.tar.gz")]):
        file = file_at(path)
        yield InDist(file=file, recorded=file.sha256 in known)


def _on_index(
    subject: ReleaseSubject, asked: str | None, files: Sequence[ReleaseFile]
) -> OnIndex | None:
    environ = subject.machine.environ
    name = asked or subject.settings.index
    if name is None:
        return None
    # Another index than the configured one has its simple API elsewhere.
    simple = subject.settings.simple if asked in (None, subject.settings.index) else None
    index = find_index(name, simple, environ)
    try:
        there = published(index, subject.name, environ)
        names = [file.filename for file in files if file.filename in there]
        return OnIndex(
            index=index, files={name: digest_of(index, there[name], environ) for name in names}
        )
    except GeowheelError as error:
        return OnIndex(index=index, faults=error.faults)

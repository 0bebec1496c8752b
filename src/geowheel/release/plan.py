"""What a release would do: all that blocks it, and what is left to do."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from geowheel.contents.restricted import license_faults
from geowheel.errors import Fault, some
from geowheel.machine.console import megabytes

from .journal import ReleaseFile, sums_of
from .world import NO_VERSION, Lock, OnIndex, Repaired, StageVerdict, World


@dataclass(frozen=True, kw_only=True)
class ReleasePlan:
    """Why nothing may be published, or what is to be done for it, in this order."""

    blockers: tuple[Fault, ...]
    to_build: str
    """What has to be made before the files are known: an sdist, the wheel of a pure project."""
    files: tuple[ReleaseFile, ...]
    """All files of the release that are there, in the order of their upload."""
    to_check: tuple[ReleaseFile, ...]
    to_tag: bool
    to_list: bool
    """Whether dist/SHA256SUMS has to be written."""
    to_upload: tuple[ReleaseFile, ...]

    @property
    def published(self) -> bool:
        """Whether nothing is left to do."""
        left = self.to_build or self.to_check or self.to_tag or self.to_list or self.to_upload
        return not self.blockers and not left


def decide(world: World) -> ReleasePlan:
    """Return the plan; reads nothing but `world`."""
    files = _files(world)
    there = {} if world.on_index is None else world.on_index.files
    blockers = (
        *_version_faults(world),
        *_git_faults(world),
        *_changelog_faults(world),
        *_lock_faults(world.locks),
        *_wheel_faults(world),
        *_dist_faults(world),
        *_size_faults(world, files),
        *_index_faults(world.on_index, files),
    )
    return ReleasePlan(
        blockers=blockers,
        to_build=_to_build(world),
        files=files,
        to_check=tuple(f for f in files if f.key(world.tools) not in world.journal.checked),
        to_tag=world.git is None or world.tagged != world.git.head,
        to_list=world.sums != sums_of(files),
        to_upload=tuple(f for f in files if there.get(f.filename) != f.sha256),
    )


def _files(world: World) -> tuple[ReleaseFile, ...]:
    """Return what this release publishes, as far as it lies in dist/; wheels first.

    An sdist comes last: pip never finds it alone, and never builds where a wheel was to come.
    """
    named: list[Repaired | ReleaseFile] = [*world.wheels, *world.journal.built]
    every = (world.in_dist(item.filename, item.sha256) for item in named)
    found = {file for file in every if file is not None}
    return tuple(sorted(found, key=lambda file: (not file.is_wheel, file.filename)))


def _to_build(world: World) -> str:
    built = world.journal.built
    if (built and set(built) <= set(_files(world))) or not world.publishes_sdist:
        return ""
    return "wheel and sdist" if world.pure else "sdist, and a wheel from it"


def _version_faults(world: World) -> Iterator[Fault]:
    yield from world.said.faults
    if len(versions := sorted({wheel.version for wheel in world.wheels})) > 1:
        yield Fault(
            what="the version of the release is not known",
            where=world.where,
            cause=f"the wheels are of {', '.join(versions)}",
            fix="make them again: `geowheel wheel --all`",
        )


def _git_faults(world: World) -> Iterator[Fault]:
    git, branch = world.git, world.settings.branch
    if git is None:
        yield Fault(
            what="there is no git checkout with a commit",
            where=world.where,
            cause="a release is of a commit, which its tag names",
            fix="release from a clone",
        )
        return
    if git.changes:
        yield Fault(
            what=f"the checkout has changes: {some(git.changes)}",
            where=str(git.root),
            cause="what is published would not be what the tag names",
            fix="commit them, put them aside (`git stash -u`), or list them in .gitignore",
        )
    if not git.is_on(branch):
        yield Fault(
            what=f"HEAD is on {git.branch}, releases are made from {branch}"
            if git.branch
            else f"HEAD is a commit that is not known to be on {branch}",
            where=str(git.root),
            cause="" if git.branch else "a shallow clone does not know the branches of a commit",
            fix=f"`git switch {branch}`, or set [tool.geowheel.release] branch"
            if git.branch
            else "fetch the whole history (actions/checkout: fetch-depth: 0)",
        )
    if world.tagged is not None and world.tagged != git.head:
        yield Fault(
            what=f"the tag {world.tag} is on another commit: {world.tagged[:12]}, "
            f"HEAD is {git.head[:12]}",
            where=str(git.root),
            cause=f"{world.version} was released already, or the tag was put there by hand",
            fix="set a new version and make the wheels again, or go back to it: "
            f"`git checkout {world.tag}`",
        )


def _changelog_faults(world: World) -> Iterator[Fault]:
    said = world.said
    if world.version != NO_VERSION and not said.entry and not said.faults:
        yield Fault(
            what=f"the changelog has no section for {world.version}, or an empty one",
            where=str(said.changelog),
            cause="what is new is still below [Unreleased], or was not written down",
            fix=f"write `## [{world.version}] - DATE` there: towncrier and bump-my-version do",
        )


def _lock_faults(locks: Sequence[Lock]) -> Iterator[Fault]:
    # A file that is not there is the same for each platform.
    yield from dict.fromkeys(fault for lock in locks for fault in lock.faults)
    for lock in locks:
        if lock.strange_channels:
            yield Fault(
                what=f"packages are locked from {', '.join(lock.strange_channels)}, which releases "
                "do not allow",
                where=str(lock.platform),
                cause="[tool.geowheel.release] channels does not name it",
                fix="lock without that channel, or allow it",
            )


def _wheel_faults(world: World) -> Iterator[Fault]:
    by_target = {wheel.target: wheel for wheel in world.wheels}
    for target in world.targets:
        wheel = by_target.get(target)
        if wheel is None:
            yield Fault(
                what="there is no wheel of this target",
                where=str(target),
                cause="it is configured (pythons, [tool.geowheel.release] platforms) but was never "
                "repaired here",
                fix=f"`geowheel wheel --python {target.python}`, or `geowheel collect DIR` where "
                "another machine made it",
            )
            continue
        yield from _source_faults(wheel)
        if wheel.sandbox.strength < (wanted := world.settings.sandbox).strength:
            yield Fault(
                what=f"sandbox {wheel.sandbox}: a release asks for {wanted} or a stronger one",
                where=wheel.filename,
                fix=f"`geowheel wheel --python {target.python} --sandbox {wanted}`",
            )
        yield from _file_faults(wheel, world)
        for stage in world.settings.verdicts:
            yield from _verdict_faults(wheel, stage)
        yield from _budget_faults(wheel, world)
    yield from _mixture_faults(world.wheels)
    for found in dict.fromkeys(wheel.unaccepted for wheel in world.wheels):
        names = (wheel.filename for wheel in world.wheels if wheel.unaccepted == found)
        yield from license_faults(found, where=", ".join(names))


def _source_faults(wheel: Repaired) -> Iterator[Fault]:
    where, again = wheel.filename, f"`geowheel wheel --python {wheel.target.python}`"
    if not wheel.locked:
        yield Fault(
            what="its native stack is not from a committed lock",
            where=where,
            cause="no lock was committed when it was made, or --channel asked for another source",
            fix=f"`geowheel lock` where the channel can be reached, commit pixi.lock, then {again}",
        )
    elif not wheel.of_lock:
        yield Fault(
            what="its native stack is not the one that is locked now",
            where=where,
            cause="the lock was changed after the wheel was made, or cannot be used",
            fix=again,
        )
    if not wheel.of_files:
        yield Fault(
            what="it was not built from the host's files as they are now",
            where=where,
            cause="files of the host, pyproject.toml among them, were changed after the build; or "
            "its raw wheel was made elsewhere",
            fix=again,
        )


def _file_faults(wheel: Repaired, world: World) -> Iterator[Fault]:
    again = f"`geowheel repair --python {wheel.target.python}`"
    if world.in_dist(wheel.filename, wheel.sha256) is None:
        gone = world.in_dist(wheel.filename) is None
        yield Fault(
            what="is not in dist/" if gone else "has other bytes in dist/ than its record",
            where=wheel.filename,
            cause=f"the ledger has sha256 {wheel.sha256[:12]}",
            fix=f"{again} puts it there",
        )
    if world.version != NO_VERSION and wheel.version != world.version:
        yield Fault(
            what=f"is of version {wheel.version}, the release is {world.version}",
            where=wheel.filename,
            cause="the version was changed after the wheel was made",
            fix=f"`geowheel wheel --python {wheel.target.python}`",
        )


def _verdict_faults(wheel: Repaired, stage: str) -> Iterator[Fault]:
    every = [verdict for verdict in wheel.verdicts if verdict.stage == stage]
    about = [verdict for verdict in every if verdict.sha256 == wheel.sha256]
    found = _what_is_wrong(stage, every, about)
    if found is not None:
        yield Fault(
            what=f"{stage}: {found}",
            where=f"{wheel.target}, sha256 {wheel.sha256[:12]}",
            fix=f"`geowheel {stage} --python {wheel.target.python}`, on a machine of "
            f"{wheel.target.platform}",
        )


def _what_is_wrong(
    stage: str, every: Sequence[StageVerdict], about: Sequence[StageVerdict]
) -> str | None:
    """Judge a stage's verdicts, newest first; None: the wheel passed."""
    if not every:
        return "there is no verdict"
    if not about:
        return f"its verdict is about other bytes, sha256 {every[0].sha256[:12]}"
    if not about[0].passed:
        return "the verdict is that it failed"
    whole = next((verdict for verdict in about if verdict.whole), None)
    if whole is None:
        return "only some of the cases were run, which is not a verdict on the wheel"
    return None if whole.passed else f"the last whole {stage} failed"


def _budget_faults(wheel: Repaired, world: World) -> Iterator[Fault]:
    """Compare with the budget as it is now, which may be smaller than the one that `size` knew."""
    file = world.in_dist(wheel.filename)
    installed = next(
        (v.installed for v in wheel.verdicts if v.stage == "size" and v.sha256 == wheel.sha256), 0
    )
    for what, size, budget in (
        ("wheel file", file.size if file else 0, world.wheel_budget_mb),
        ("installed size", installed, world.installed_budget_mb),
    ):
        if size > budget * 1e6:
            yield Fault(
                what=f"{what} {megabytes(size)} is over the budget of {budget:g} MB",
                where=wheel.filename,
                cause="`geowheel size` says what fills it",
                fix="leave something out, or raise [tool.geowheel.budget]",
            )


def _mixture_faults(wheels: Sequence[Repaired]) -> Iterator[Fault]:
    if len({wheel.toolkit for wheel in wheels}) > 1:
        kinds = Counter(wheel.toolkit[:12] for wheel in wheels)
        yield Fault(
            what="the wheels were made by different versions of geowheel: "
            + ", ".join(f"{number} by {name}" for name, number in kinds.most_common()),
            where=", ".join(str(wheel.target) for wheel in wheels),
            fix="make all of them with one",
        )
    names: dict[str, str] = {}
    for wheel in wheels:
        if names.setdefault(wheel.filename, wheel.sha256) != wheel.sha256:
            yield Fault(
                what="two targets made wheels of this name with other bytes",
                where=wheel.filename,
                cause="a wheel of the stable ABI is one for several pythons",
                fix="configure one python for it",
            )


def _dist_faults(world: World) -> Iterator[Fault]:
    # One with the name of a wheel of the release has other bytes: said of the wheel already.
    said = {wheel.filename for wheel in world.wheels}
    for item in world.dist:
        if not item.recorded and item.file.filename not in said:
            yield Fault(
                what="no record names it: nobody knows how it was made",
                where=f"dist/{item.file.filename}",
                cause="it was put there by hand, by another tool, or its record was removed",
                fix="take it out of dist/; `geowheel collect DIR` for what other machines made",
            )


def _size_faults(world: World, files: Sequence[ReleaseFile]) -> Iterator[Fault]:
    limit = world.settings.limit_mb
    for file in files:
        if file.size > limit * 1e6:
            yield Fault(
                what=f"{megabytes(file.size)} is more than the {limit:g} MB that the index takes",
                where=file.filename,
                cause="PyPI takes 100 MiB, unless a project was granted more",
                fix="leave something out ([tool.geowheel] plugins, exclude); where the index was "
                "asked and takes more, set [tool.geowheel.release] limit-mb",
            )


def _index_faults(on_index: OnIndex | None, files: Sequence[ReleaseFile]) -> Iterator[Fault]:
    if on_index is None:
        yield Fault(
            what="no index is named",
            cause="nothing is published to an index that nobody asked for",
            fix='give --index, or set [tool.geowheel.release] index = "pypi"',
        )
        return
    yield from on_index.faults
    for file in files:
        there = on_index.files.get(file.filename, file.sha256)
        if there != file.sha256:
            yield other_bytes(file, there, on_index.index.name)


def other_bytes(file: ReleaseFile, there: str, index: str) -> Fault:
    """Return the fault that the index has a file of this name with other bytes."""
    return Fault(
        what=f"{index} has a file of this name with other bytes: sha256 {there[:12]}, "
        f"here {file.sha256[:12]}",
        where=file.filename,
        cause="it was published from another build; an index never takes a name twice",
        fix="publish those bytes, or a new version",
    )

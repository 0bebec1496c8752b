"""`release`: reads the world, decides, and does what is left of the plan."""

import shlex
from typing import Any, Final

from packaging.utils import canonicalize_name

from geowheel.audit.command import decay
from geowheel.audit.outside import Outside
from geowheel.audit.registry import rule_named
from geowheel.errors import Fault, MachineError, ReleaseError
from geowheel.machine.console import Console, megabytes
from geowheel.machine.credentials import refuse_secrets
from geowheel.machine.files import held, write
from geowheel.machine.git import git_environment, git_program, make_tag, push_command

from .attestations import distrusted
from .building import build
from .checks import Expected, findings, require_tools
from .index import Index
from .journal import ReleaseFile, sums_of
from .plan import ReleasePlan, decide
from .subject import ReleaseSubject
from .upload import there, upload
from .world import NO_VERSION, SUMS, World, read_world

_TOOLS: Final = "twine, check-wheel-contents, pydistcheck, abi3audit and us"


def release(
    subject: ReleaseSubject, console: Console, *, index: str | None, dry_run: bool, push: bool
) -> dict[str, Any]:
    """Publish what is not published yet; what was, or would be, published as plain values.

    Raises ReleaseError with every reason against it; ChannelError when the index fails,
    BuildError when a tool does. What was done stays done, and is not done again.
    """
    subject.work.mkdir(parents=True, exist_ok=True)
    # Two runs at once would upload the same file: the second waits, then finds it done.
    with held(subject.work / f"{canonicalize_name(subject.name)}.lock", console.wait):
        world, plan = _decide(subject, index, console)
        faults = [*plan.blockers, *_check(subject, world, plan, console)]
        faults += [] if faults else _distrusted(subject, plan, console)
        _show(world, plan, console)
        if faults:
            raise ReleaseError(faults)
        write(subject.dist / SUMS, sums_of(plan.files))
        if plan.published:
            console.result(f"{world.name} {world.version} is published: nothing to do")
        elif dry_run:
            console.result("this was a dry run: no tag was made, nothing was uploaded")
        else:
            _publish(subject, world, plan, console)
        if not dry_run and (push or not plan.published):
            _push(subject, world, console, push=push)
        if not dry_run and world.on_index is not None:
            _attested(subject, world.on_index.index, plan, console)
        return _summary(world, plan, published=not dry_run)


def _decide(
    subject: ReleaseSubject, index: str | None, console: Console
) -> tuple[World, ReleasePlan]:
    """Read the world and plan, again after what has to be made was made."""
    world = read_world(subject, index)
    plan = decide(world)
    if plan.blockers or not plan.to_build or world.git is None:
        return world, plan
    console.header(world.name)
    with console.step("build", plan.to_build, logs="release/build") as step:
        built = build(subject, world.git, step)
    world.journal.with_built(built)
    world = read_world(subject, index)
    return world, decide(world)


def _check(
    subject: ReleaseSubject, world: World, plan: ReleasePlan, console: Console
) -> list[Fault]:
    """Return what is wrong with files that are there; what passes is not checked again."""
    waiting, journal = plan.to_check, world.journal
    try:
        require_tools()
    except MachineError as error:
        return list(error.faults)
    if not waiting or world.version == NO_VERSION:
        return []
    expected = Expected(name=world.name, version=world.version, limit_mb=world.settings.limit_mb)
    environ = subject.machine.environ
    with (
        console.step("check", f"{len(waiting)} files, by {_TOOLS}", logs="release/check") as step,
        step.progress("check", len(waiting)) as advance,
    ):

        def look(file: ReleaseFile) -> list[Fault]:
            found = findings(subject.dist / file.filename, expected, environ=environ, step=step)
            advance(1)
            return found

        every = step.side_by_side(look, waiting)
    for file, faults in zip(waiting, every, strict=True):
        if not faults:
            journal = journal.with_checked(file.key(world.tools))
    return [fault for faults in every for fault in faults]


def _distrusted(subject: ReleaseSubject, plan: ReleasePlan, console: Console) -> list[Fault]:
    """Return what is an error in the certificates of its wheels: asked each time, as it decays."""
    if subject.project is None:
        return []
    machine, policy = subject.machine, subject.project.config.audit
    outside = Outside(console=console, environ=machine.environ, cache=machine.cache)
    faults = [
        Fault(what=f"{item.rule}: {item.words}", where=item.wheel, fix=rule_named(item.rule).remedy)
        for file in plan.to_upload
        if file.is_wheel
        for item in decay(subject.dist / file.filename, policy, outside)
    ]
    unasked = Fault(what="the newest certifi cannot be had: no root was judged")
    return faults if outside.certifi or not plan.to_upload else [*faults, unasked]


def _publish(subject: ReleaseSubject, world: World, plan: ReleasePlan, console: Console) -> None:
    """Tag, then upload file by file."""
    if world.git is None or world.on_index is None:
        raise MachineError("a release without git or index cannot have been decided")
    if plan.to_tag:
        with console.step("tag", world.tag, logs="release/tag") as step:
            make_tag(
                subject.folder, world.tag, f"{world.name} {world.version}", step=step,
                environ=subject.machine.environ,
            )  # fmt: skip
    index = world.on_index.index
    for number, file in enumerate(plan.to_upload, 1):
        words = f"{number} of {len(plan.to_upload)}: {file.filename}, {megabytes(file.size)}"
        with console.step("upload", words, logs="release/upload") as step:
            path, environ = subject.dist / file.filename, subject.machine.environ
            if there(index, subject.name, file, environ):
                step.say("is there already")  # by another run, since the world was read
                continue
            refuse_secrets(path, environ)
            upload(index, subject.name, file, path, environ, step)
    console.result(f"{world.name} {world.version} is published on {index.name}")


def _attested(subject: ReleaseSubject, index: Index, plan: ReleasePlan, console: Console) -> None:
    """Hold what the index says of who published the files against them; raises ReleaseError."""
    environ = subject.machine.environ
    with console.step("attest", f"what {index.name} says", logs="release/attest") as step:
        faults = distrusted(index, subject.name, plan.files, subject.dist, environ, step)
    if faults:
        raise ReleaseError(faults)


def _push(subject: ReleaseSubject, world: World, console: Console, *, push: bool) -> None:
    """Push the tag where that was asked for; else say the command."""
    command = push_command(world.tag)
    if not push:
        console.line(f"the tag is local; to push it: {shlex.join(command)}")
        return
    environ = subject.machine.environ
    with console.step("push", world.tag, logs="release/push") as step:
        step.run(
            [git_program(environ), *command[1:]],
            env=git_environment(environ), cwd=subject.folder,
        )  # fmt: skip


def _show(world: World, plan: ReleasePlan, console: Console) -> None:
    """Show the exact list of what is, or would be, published."""
    if not plan.files:
        return
    index = "no index" if world.on_index is None else world.on_index.index.name
    console.table(
        f"{world.name} {world.version}, tag {world.tag}, to {index}",
        ["file", "size", "sha256", "there"],
        [
            # A pure wheel is small.
            [f.filename, megabytes(f.size) if f.size >= 1e6 else f"{f.size / 1e3:.1f} kB",
             f.sha256, "no" if f in plan.to_upload else "yes"]
            for f in plan.files
        ],
    )  # fmt: skip


def _summary(world: World, plan: ReleasePlan, *, published: bool) -> dict[str, Any]:
    index = None if world.on_index is None else world.on_index.index
    return {
        "name": world.name,
        "version": world.version,
        "tag": world.tag,
        "index": None if index is None else index.name,
        "simple": None if index is None else index.simple,
        "published": published or plan.published,
        "files": [
            {
                "filename": file.filename,
                "size": file.size,
                "sha256": file.sha256,
                "there_before": file not in plan.to_upload,
            }
            for file in plan.files
        ],
    }

"""The plan of a release: a good world has no blockers, and each fault that is planted is one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from geowheel.contents.restricted import Restricted
from geowheel.errors import Fault
from geowheel.machine.git import Git
from geowheel.machine.sandbox import SandboxKind
from geowheel.project.config import Release
from geowheel.release.index import Index
from geowheel.release.journal import Journal, ReleaseFile, sums_of
from geowheel.release.plan import ReleasePlan, decide
from geowheel.release.world import InDist, Lock, OnIndex, Repaired, Said, StageVerdict, World
from geowheel.targets import Platform, Target

HEAD, OTHER = "a" * 40, "b" * 40
TARGETS = tuple(Target(python=p, platform=Platform.LINUX_64) for p in ("3.11", "3.12"))
INDEX = Index(name="ours", upload="https://index.invalid/", simple="https://index.invalid/simple/")
SHA = {"3.11": "11" * 32, "3.12": "12" * 32}


def file_of(target: Target, size: int = 1_000_000) -> ReleaseFile:
    tag = target.interpreter_tag
    name = f"host-1.0-{tag}-{tag}-manylinux_2_28_x86_64.whl"
    return ReleaseFile(filename=name, sha256=SHA[target.python], size=size)


def verdicts(sha256: str, **changes: Any) -> tuple[StageVerdict, ...]:
    return tuple(
        StageVerdict(stage=stage, sha256=sha256, passed=True, installed=2_000_000, **changes)
        for stage in ("size", "test", "lab")
    )


def repaired(target: Target) -> Repaired:
    file = file_of(target)
    return Repaired(
        target=target, filename=file.filename, sha256=file.sha256, version="1.0", locked=True,
        of_lock=True, of_files=True, toolkit="t" * 64, verdicts=verdicts(file.sha256),
        unaccepted=(), sandbox=SandboxKind.UNSHARE,
    )  # fmt: skip


def git(**changes: Any) -> Git:
    made = Git(root=Path("/clone"), branch="main", contained_in=("main",), head=HEAD, changes=())
    return replace(made, **changes)


def world(**changes: Any) -> World:
    """A world in which everything is ready."""
    made = World(
        name="host", where="/clone/pyproject.toml", pure=False, publishes_sdist=False,
        settings=Release(), said=Said(version="1.0", changelog=Path("CHANGELOG.md"), entry=True),
        tag="v1.0", git=git(), tagged=None, targets=TARGETS,
        wheels=tuple(map(repaired, TARGETS)), locks=(Lock(platform=Platform.LINUX_64),),
        dist=tuple(InDist(file=file_of(target), recorded=True) for target in TARGETS),
        journal=Journal(path=Path("journal.json"), name="host", commit=HEAD),
        on_index=OnIndex(index=INDEX), wheel_budget_mb=100, installed_budget_mb=400, tools="tools",
    )  # fmt: skip
    return replace(made, **changes)


def first_wheel(**changes: Any) -> dict[str, Any]:
    """A change of the world: the first wheel is another one."""
    first, *rest = world().wheels
    return {"wheels": (replace(first, **changes), *rest)}


def with_verdicts(*found: StageVerdict) -> dict[str, Any]:
    return first_wheel(verdicts=found)


def without(stage: str) -> tuple[StageVerdict, ...]:
    return tuple(v for v in verdicts(SHA["3.11"]) if v.stage != stage)


def verdict(stage: str, **changes: Any) -> StageVerdict:
    return replace(StageVerdict(stage=stage, sha256=SHA["3.11"], passed=True), **changes)


def in_dist(*files: ReleaseFile, recorded: bool = True) -> dict[str, Any]:
    return {"dist": tuple(InDist(file=file, recorded=recorded) for file in files)}


def faults(changed: World) -> list[str]:
    return [str(fault) for fault in decide(changed).blockers]


def test_a_good_world_has_everything_to_do() -> None:
    files = tuple(map(file_of, TARGETS))
    assert decide(world()) == ReleasePlan(
        blockers=(), to_build="", files=files, to_check=files, to_tag=True, to_list=True,
        to_upload=files,
    )  # fmt: skip
    only_size = world(settings=Release(verdicts=("size",)), **with_verdicts(*without("lab")))
    assert faults(only_size) == []


GPL = Restricted(name="poppler", version="22", terms="GPL-2.0-only", brought_by="driver PDF")
OLD = replace(file_of(TARGETS[0]), sha256="0f" * 32)
PLANTED: dict[str, tuple[dict[str, Any], str]] = {
    "no git": ({"git": None}, "no git checkout"),
    "dirty": ({"git": git(changes=(" M a", "?? b"))}, "the checkout has changes:  M a, ?? b"),
    "branch": ({"git": git(branch="side")}, "HEAD is on side, releases are made from main"),
    "detached": ({"git": git(branch="", contained_in=("side",))}, "not known to be on main"),
    "tag": ({"tagged": OTHER}, "the tag v1.0 is on another commit: bbbbbbbbbbbb"),
    "version": (first_wheel(version="2.0"), "version of the release is not known"),
    "said": (
        {"said": Said(version="1.0", changelog=Path("C"), faults=(Fault(what="no changelog"),))},
        "no changelog",
    ),
    "changelog": ({"said": Said(version="1.0", changelog=Path("C"))}, "no section for 1.0"),
    "lock": (
        {"locks": (Lock(platform=Platform.LINUX_64, faults=(Fault(what="the lock is stale"),)),)},
        "the lock is stale",
    ),
    "channel": (
        {"locks": (Lock(platform=Platform.LINUX_64, strange_channels=("https://c/",)),)},
        "locked from https://c/, which releases do not allow",
    ),
    "licenses": (first_wheel(unaccepted=(GPL,)), "driver PDF: poppler 22 (GPL-2.0-only)"),
    "sandbox": (
        first_wheel(sandbox=SandboxKind.NONE) | {"settings": Release(sandbox=SandboxKind.UNSHARE)},
        "sandbox none: a release asks for unshare or a stronger one",
    ),
    "not locked": (first_wheel(locked=False, of_lock=False), "is not from a committed lock"),
    "other lock": (first_wheel(of_lock=False), "is not the one that is locked now"),
    "other files": (first_wheel(of_files=False), "not built from the host's files"),
    "no wheel": ({"wheels": world().wheels[1:]}, "cp311-linux-64: there is no wheel"),
    "not in dist": (in_dist(file_of(TARGETS[1])), "is not in dist/"),
    "other in dist": (in_dist(OLD, file_of(TARGETS[1])), "has other bytes in dist/"),
    "other version": (first_wheel(version="0.9"), "is of version 0.9, the release is 1.0"),
    "no size": (with_verdicts(*without("size")), "size: there is no verdict"),
    "no test": (with_verdicts(*without("test")), "test: there is no verdict"),
    "no lab": (with_verdicts(*without("lab")), "lab: there is no verdict"),
    "test failed": (
        with_verdicts(*without("test"), verdict("test", passed=False)),
        "test: the verdict is that it failed",
    ),
    "about other bytes": (
        with_verdicts(*without("test"), verdict("test", sha256="0f" * 32)),
        "test: its verdict is about other bytes, sha256 0f0f0f0f0f0f",
    ),
    "lab not whole": (
        with_verdicts(*without("lab"), verdict("lab", whole=False)),
        "lab: only some of the cases were run",
    ),
    "newest lab failed": (
        with_verdicts(*without("lab"), verdict("lab", whole=False, passed=False), verdict("lab")),
        "lab: the verdict is that it failed",
    ),
    "last whole lab failed": (
        with_verdicts(*without("lab"), verdict("lab", whole=False), verdict("lab", passed=False)),
        "lab: the last whole lab failed",
    ),
    "budget": ({"wheel_budget_mb": 0.5}, "wheel file 1.0 MB is over the budget of 0.5 MB"),
    "installed": ({"installed_budget_mb": 1}, "installed size 2.0 MB is over the budget of 1 MB"),
    "mixture": (first_wheel(toolkit="u" * 64), "made by different versions of geowheel"),
    "stranger": (
        {"dist": (*world().dist,
                  InDist(file=replace(OLD, filename="x-1-py3-none-any.whl"), recorded=False))},
        "dist/x-1-py3-none-any.whl: no record names it",
    ),
    "limit": ({"settings": Release(limit_mb=0.9)}, "1.0 MB is more than the 0.9 MB"),
    "no index": ({"on_index": None}, "no index is named"),
    "index failed": (
        {"on_index": OnIndex(index=INDEX, faults=(Fault(what="out of reach"),))}, "out of reach",
    ),
    "other bytes": (
        {"on_index": OnIndex(index=INDEX, files={file_of(TARGETS[0]).filename: "0f" * 32})},
        "ours has a file of this name with other bytes: sha256 0f0f0f0f0f0f, here 111111111111",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_each_planted_fault_blocks(name: str) -> None:
    changes, text = PLANTED[name]
    found = faults(world(**changes))
    assert any(text in fault for fault in found), found
    # What follows from one fault may be said as well, but not of the other target's wheel.
    assert all("cp312" not in fault for fault in found) or name in (
        "budget", "installed", "mixture", "limit",
    )  # fmt: skip


def test_all_blockers_come_at_once() -> None:
    names = ("dirty", "tag", "changelog", "lock", "other files", "stranger", "no index")
    changes: dict[str, Any] = {}
    for name in names:
        changes |= PLANTED[name][0]
    changes["git"] = git(changes=("?? b",), branch="side")
    found = "\n".join(faults(world(**changes)))
    for name in ("tag", "changelog", "lock", "other files", "stranger", "no index", "branch"):
        assert PLANTED[name][1] in found, name
    wheels = tuple(replace(wheel, unaccepted=(GPL,)) for wheel in world().wheels)
    (fault,) = faults(world(wheels=wheels))
    assert all(wheel.filename in fault for wheel in wheels)
    first, second = world().wheels
    shared = replace(second, filename=first.filename)
    assert "two targets made wheels of this name" in "\n".join(
        faults(world(wheels=(first, shared)))
    )
    same = replace(shared, sha256=first.sha256, verdicts=first.verdicts)
    plan = decide(world(wheels=(first, same)))
    assert plan.blockers == ()
    assert [file.filename for file in plan.files] == [first.filename]


@pytest.mark.parametrize("contained", [("main",), ("origin/main", "")])
def test_a_detached_head_of_the_branch_may_be_released(contained: tuple[str, ...]) -> None:
    assert faults(world(git=git(branch="", contained_in=contained))) == []


def test_nothing_to_do_when_all_is_done() -> None:
    first, second = map(file_of, TARGETS)
    there = OnIndex(index=INDEX, files={first.filename: first.sha256})
    journal = replace(world().journal, checked=(first.key("tools"), second.key("other tools")))
    plan = decide(world(tagged=HEAD, on_index=there, journal=journal))
    assert plan.blockers == ()
    assert not plan.to_tag and plan.to_list
    assert plan.to_check == plan.to_upload == (second,)
    assert not plan.published
    files = tuple(map(file_of, TARGETS))
    plan = decide(
        world(
            tagged=HEAD,
            on_index=OnIndex(index=INDEX, files={file.filename: file.sha256 for file in files}),
            journal=replace(world().journal, checked=tuple(f.key("tools") for f in files)),
            sums=sums_of(files),
        )
    )
    assert plan.published


@pytest.fixture
def pure() -> Callable[..., World]:
    def pure(*, built_here: bool = True, there: bool = True) -> World:
        names = ("tidy-1.0-py3-none-any.whl", "tidy-1.0.tar.gz")
        files = [ReleaseFile(filename=n, sha256=n[-3:], size=10) for n in reversed(names)]
        built = tuple(files) if built_here else ()
        return world(
            pure=True, publishes_sdist=True, targets=(), wheels=(), locks=(),
            journal=replace(world().journal, built=built), **in_dist(*files if there else ()),
        )  # fmt: skip

    return pure


def test_a_pure_project_is_built_once_for_a_commit(pure: Callable[..., World]) -> None:
    plan = decide(pure())
    assert not plan.to_build
    # The sdist after the wheel: pip never finds it alone.
    assert [f.filename for f in plan.files] == ["tidy-1.0-py3-none-any.whl", "tidy-1.0.tar.gz"]
    assert decide(pure(built_here=False)).to_build
    assert decide(pure(there=False)).to_build
    assert decide(pure(built_here=False)).files == ()

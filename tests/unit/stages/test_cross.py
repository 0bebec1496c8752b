"""Targets of another architecture: which interpreter, which compilers, what can be run."""

from dataclasses import replace
from pathlib import Path
from platform import machine
from typing import Any, cast

import pytest
from tests.support.hosts import make_context, make_interpreter

from geowheel.distro import emulated as emulated_module
from geowheel.distro.debian import Distribution
from geowheel.distro.emulated import Emulated
from geowheel.errors import MachineError
from geowheel.machine.console import Console
from geowheel.machine.interpreters import Interpreter, check_platform
from geowheel.project.config import Bindings
from geowheel.project.project import Project
from geowheel.stages import context as context_module
from geowheel.stages import find
from geowheel.stages.context import Tools, find_tools
from geowheel.systems import linux, repair_tools
from geowheel.targets import Platform, Target

ARM = Target(python="3.11", platform=Platform.LINUX_AARCH64)
FOREIGN = replace(make_interpreter("3.11"), machine="aarch64", emulator="qemu-aarch64 7.2.22")


def other_architecture() -> Platform:
    """Of Linux, and not this machine's."""
    others = [p for p in (Platform.LINUX_64, Platform.LINUX_AARCH64) if p.architecture != machine()]
    return others[0]


@pytest.fixture
def arm64(monkeypatch: pytest.MonkeyPatch, project: Project) -> list[str]:
    """A distribution that has the interpreter, and what was done with it."""
    done: list[str] = []
    emulated = Emulated(
        python="3.11", platform=Platform.LINUX_AARCH64,
        distribution=Distribution(id="debian", version="12"),
        emulator=Path("/usr/bin/qemu-aarch64"), cache=project.machine.cache,
    )  # fmt: skip

    def make(made: Emulated, **_: object) -> None:
        done.append("made")
        made.folder.mkdir(parents=True)

    def ask(*_: object) -> Interpreter:
        done.append("asked")
        return FOREIGN

    monkeypatch.setattr(emulated_module, "find_emulated", lambda *_, **__: emulated)
    monkeypatch.setattr(emulated_module, "make_emulated", make)
    monkeypatch.setattr(emulated_module, "ask_emulated", ask)
    return done


def test_an_interpreter_is_made_once_and_by_no_plan(
    project: Project, console: Console, arm64: list[str]
) -> None:
    tools = find_tools(project, [ARM], ["test"], None, console, make=False)
    assert tools[ARM].interpreter is None
    tools = find_tools(project, [ARM], ["fetch"], None, console)
    assert tools[ARM] == Tools(interpreter=None, toolchain=None)
    assert arm64 == []
    for _ in range(2):
        tools = find_tools(project, [ARM], ["size"], None, console)
        assert tools[ARM].interpreter == FOREIGN
    assert arm64 == ["made", "asked", "asked"]


@pytest.fixture(autouse=True)
def cross_compilers(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = replace(linux.FACTS, find_toolchain=cast(Any, lambda *_: None))
    monkeypatch.setattr(linux, "FACTS", facts)


def refuse(*_: object, **__: object) -> Emulated:
    raise MachineError("no qemu-aarch64")


def test_prebuilt_bindings_are_put_into_a_wheel_without_an_emulator(
    project: Project, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    native = make_interpreter("3.11")
    monkeypatch.setattr(emulated_module, "find_emulated", refuse)
    monkeypatch.setattr(context_module, "find_interpreter", lambda *_, **__: native)
    with pytest.raises(MachineError, match="no qemu-aarch64"):
        find_tools(project, [ARM], ["size"], None, console)
    prebuilt = replace(project, asked_bindings=Bindings.PREBUILT)
    tools = find_tools(prebuilt, [ARM], ["size"], None, console)
    assert tools[ARM].interpreter == native
    context = replace(make_context(project), target=ARM, tools=tools[ARM])
    assert not context.runs_wheels


def test_a_wheel_is_run_where_its_interpreter_is(project: Project) -> None:
    context = make_context(project)
    assert context.runs_wheels
    emulated = Tools(interpreter=FOREIGN, toolchain=None)
    assert replace(context, target=ARM, tools=emulated).runs_wheels
    mac = replace(ARM, platform=Platform.OSX_ARM64)
    assert not replace(context, target=mac, tools=emulated).runs_wheels
    assert not replace(context, target=ARM).runs_wheels


def test_a_root_is_around_what_runs_a_wheel_and_nothing_else(project: Project) -> None:
    stages = {name: find(name) for name in ("fetch", "test", "lab")}
    context = make_context(project)
    assert [name for name, each in stages.items() if context.shuts_in(each)] == ["test"]
    rooted = replace(context, project=replace(project, file_system="debian:trixie"))
    assert [name for name, each in stages.items() if rooted.shuts_in(each)] == ["test", "lab"]


def test_an_interpreter_of_another_architecture_compiles_nothing_for_the_platform() -> None:
    check_platform(FOREIGN, Platform.LINUX_AARCH64)
    check_platform(make_interpreter("3.11"), Platform.LINUX_64)
    check_platform(make_interpreter("3.11"), Platform.WIN_64)
    with pytest.raises(MachineError, match="for aarch64, and one for linux-64 is wanted"):
        check_platform(FOREIGN, Platform.LINUX_64)


def test_strip_is_the_architectures_own(tmp_path: Path) -> None:
    platform = other_architecture()
    environ = {"PATH": str(tmp_path)}
    name = f"{platform.architecture}-linux-gnu-strip"
    for program in ("strip", "missing-strip"):
        (tmp_path / program).touch(mode=0o755)
    assert (repair_tools.strip_name(platform), repair_tools.find_strip(platform, environ)) == (
        name, None,
    )  # fmt: skip
    (tmp_path / name).touch(mode=0o755)
    assert repair_tools.find_strip(platform, environ) == tmp_path / name

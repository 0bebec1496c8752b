"""The command line: which targets, which exit code, what is printed where."""

import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from tests.support.hosts import PYTHONS, RUNNING, make_interpreter, make_record, write_host

from geowheel import errors
from geowheel.cli import entry, main
from geowheel.errors import BuildError, Fault, GeowheelError, UsageError
from geowheel.lab.cases import Choice
from geowheel.machine.console import Console
from geowheel.machine.interpreters import Interpreter
from geowheel.pipeline.runs import Request
from geowheel.records.facts import BindingsFacts, BuildFacts
from geowheel.records.ledger import Ledger
from geowheel.stages import STAGES, WHEEL
from geowheel.targets import Platform

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, GeowheelError)
]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host on a Linux machine, without any of geowheel's variables."""
    for name in ("GEOWHEEL_CACHE", "GEOWHEEL_CHANNEL", "WHEEL_SIZE_BUDGET_MB"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("geowheel.project.project.python_platform.system", lambda: "Linux")
    monkeypatch.setattr("geowheel.project.project.python_platform.machine", lambda: "x86_64")
    return write_host(tmp_path / "root")


Call = Callable[..., Request]


@pytest.fixture
def request_of(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    """The request that a command line leads to."""
    seen: list[Request] = []

    def run(request: Request, _: Console) -> dict[str, Any]:
        seen.append(request)
        return {"targets": []}

    def call(*arguments: str) -> Request:
        assert main([*arguments, "--root", str(root)]) == 0
        return seen.pop()

    monkeypatch.setattr("geowheel.pipeline.runs.run", run)
    monkeypatch.setattr("geowheel.pipeline.runs.show_plan", run)
    yield call
    assert not seen


def pythons(request: Request) -> list[str]:
    return [target.python for target in request.targets]


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr("geowheel.pipeline.runs.run", Mock(side_effect=error))


def test_exit_codes_tell_kinds_apart(capsys: pytest.CaptureFixture[str]) -> None:
    codes = [kind.exit_code for kind in KINDS]
    assert len(set(codes)) == len(codes)
    assert not {0, 3, 130} & set(codes) - {errors.ConfigError.exit_code}
    with pytest.raises(SystemExit):
        main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for code in set(codes) - {1}:
        assert f"{code} " in text


def test_an_error_is_shown_with_all_its_parts(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = Fault(
        what="[a] is wrong", where="a.toml", cause="a typing error", fix="`geowheel lock`"
    )
    failing(monkeypatch, BuildError([fault, Fault(what="b as well")]))
    main(["wheel", "--root", str(root)])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "\nerror: a.toml: [a] is wrong\n  likely cause: a typing error\n"
        f"  next: `geowheel lock --root {root}`\nb as well\n"
    )


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("x\x1b[2J\ny"), RecursionError(), MemoryError()]
)
def test_what_nobody_foresaw_is_short_and_its_traceback_is_in_a_log(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    failing(monkeypatch, error)
    assert main(["wheel", "--root", str(root)]) == 70
    log = root / ".geowheel" / "logs" / "unforeseen.log"
    said = capsys.readouterr().err
    assert said.strip().count("\n") == 1 and f"{type(error).__name__}" in said and str(log) in said
    assert "\x1b" not in said and "Traceback" in log.read_text("utf-8")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (OSError(28, "No space left on device", "/srv/a"), "/srv/a: the disk is full: No sp"),
        (OSError(37, "No locks available", "/srv/a"), "/srv/a: cannot lock: No locks"),
        (shutil.Error([("a", "/srv/b", "[Errno 28] No space left on device: '/srv/b'")] * 2),
         "/srv/b: the disk is full: [Errno 28]"),
        (OSError("x", ConnectionError("Connection aborted.", OSError("gone"))), "error: gone\n"),
    ],
)  # fmt: skip
def test_an_error_of_the_system_is_shown_as_one(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    error: OSError, shown: str,
) -> None:  # fmt: skip
    failing(monkeypatch, error)
    assert main(["wheel", "--root", str(root)]) == errors.MachineError.exit_code
    assert shown in capsys.readouterr().err


def test_ctrl_c_ends_with_130(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    assert main(["wheel", "--root", str(root), "--json"]) == 130
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("interrupted; the next run goes on")


class Closed(io.StringIO):
    """A pipe whose reader went away; `at` is what is too much for it."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at = at

    def write(self, text: str) -> int:
        if self.at == "write":
            raise BrokenPipeError(32, "Broken pipe")
        return super().write(text)

    def flush(self) -> None:
        if self.at == "flush":
            raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize(
    ("words", "at"),
    [
        *((words, at) for words in (["plan"], ["plan", "--json"], ["schema"], ["completion", "zsh"])
          for at in ("write", "flush")),
        # argparse takes no notice of what it cannot write.
        (["--help"], "flush"), (["wheel", "--help"], "flush"), (["--version"], "flush"),
    ],
)  # fmt: skip
def test_a_reader_that_has_seen_enough_ends_it_quietly_with_141(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    at: str,
) -> None:
    def show_plan(_: Request, console: Console) -> dict[str, Any]:
        console.result("the plan")
        return {"plan": []}

    ended: list[int] = []
    monkeypatch.setattr("geowheel.pipeline.runs.show_plan", show_plan)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["geowheel", *words])
    monkeypatch.setattr(sys, "stdout", Closed(at))
    entry()
    assert ended == [141]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "code"), [(["--help"], 0), (["bake"], 2), ([], 2), (["completion", "bash"], 0)]
)
def test_a_commands_code(monkeypatch: pytest.MonkeyPatch, words: list[str], code: int) -> None:
    ended: list[int] = []
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(sys, "argv", ["geowheel", *words])
    entry()
    assert ended == [code]


def test_with_json_people_are_shown_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clean", "--root", str(root), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"removed": [], "bytes": 0}
    assert captured.err == ""
    assert main(["clean", "--root", str(root)]) == 0
    assert capsys.readouterr() == ("0 folders, 0.0 MB freed\n", "")


def test_json_and_quiet_say_what_they_should(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = BuildError("no", where="https://me:secret@a.invalid")
    error.add_note(json.dumps({"targets": ["half"]}))
    failing(monkeypatch, error)
    assert main(["wheel", "--root", str(root), "--json"]) == 8
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {
        "error": "https://***@a.invalid: no", "targets": ["half"],
    }  # fmt: skip
    assert "error: https://***@a.invalid: no" in captured.err
    failing(monkeypatch, BuildError("no"))
    assert main(["wheel", "--root", str(root), "--quiet"]) == 8
    assert capsys.readouterr() == ("", "\nerror: no\n")
    assert main(["clean", "--root", str(root), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_stage_is_its_own_goal_and_wheel_is_all(request_of: Call) -> None:
    for stage in STAGES:
        assert request_of(stage.name).goals == (stage.name,)
    assert request_of("wheel").goals == request_of("plan").goals == WHEEL
    # What was said when a target was made counts for a later stage by its name, and for no build.
    assert [s.name for s in STAGES if request_of(s.name).as_made] == [
        "repair",
        "size",
        "test",
        "lab",
    ]
    assert not request_of("wheel").as_made and not request_of("plan").as_made


def test_options_reach_the_request(request_of: Call) -> None:
    plain = request_of("wheel")
    assert (plain.verify, plain.project.frozen, plain.project.channel) == (False, False, None)
    request = request_of("wheel", "--verify", "--frozen", "--channel", "distro")
    assert (request.verify, request.project.frozen, request.project.channel) == (
        True, True, "distro",
    )  # fmt: skip
    assert request.ledger.verify
    assert request_of("lab").lab == request_of("wheel").lab == Choice()
    request = request_of("lab", "--case", "https", "--case", "*fork", "--seed", "7")
    assert request.lab == Choice(cases=("https", "*fork"), seed=7)
    assert request_of("lab").lab.whole  # one call leaves nothing for the next
    request = request_of("build", "--platform", "osx-arm64", "--platform", "win-64")
    assert {target.platform for target in request.targets} == {
        Platform.OSX_ARM64, Platform.WIN_64,
    }  # fmt: skip


def test_the_project_may_lie_anywhere(root: Path, request_of: Call) -> None:
    write_host(root, pythons=["3.98"])
    assert pythons(request_of("fetch")) == ["3.98"]
    write_host(root / "hosts" / "other", name="other")
    assert request_of("wheel", "--host", "hosts/other").project.host.name == "other"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("build", PYTHONS),
        *((command, (RUNNING,)) for command in ("bindings", "vendor", "wheel", "plan", "fetch")),
        *((f"{command} --all", PYTHONS) for command in ("wheel", "repair", "plan")),
        ("wheel --python 3.99 --python 3.98 --python 3.99", ("3.99", "3.98")),
    ],
)
def test_words_mean_these_pythons(request_of: Call, words: str, expected: tuple[str, ...]) -> None:
    request = request_of(*words.split())
    assert (tuple(pythons(request)), request.interpreter) == (expected, None)


@pytest.mark.parametrize("command", ["repair", "size", "test", "lab"])
def test_bare_later_stages_take_what_is_built(root: Path, request_of: Call, command: str) -> None:
    assert pythons(request_of(command)) == [RUNNING]
    ledger = Ledger(folder=root / ".geowheel", host="host")
    for python in ("99", "98"):
        make_record(ledger, BuildFacts(), f"cp3{python}-linux-64")
    make_record(
        replace(ledger, host="other"), BuildFacts(), f"cp{RUNNING.replace('.', '')}-linux-64"
    )
    make_record(ledger, BindingsFacts(), f"cp{RUNNING.replace('.', '')}-linux-64")
    assert pythons(request_of(command)) == ["3.98", "3.99"]


def answering(monkeypatch: pytest.MonkeyPatch, answer: Interpreter | str) -> None:
    monkeypatch.setattr("geowheel.cli.commands.ask_interpreter", lambda *_, **__: answer)


def test_a_path_names_an_interpreter(request_of: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, make_interpreter("3.98"))
    # `nox -s wheel-3.98 -- --python PATH` hands the version over as well.
    for words in (("--python", "/opt/python"), ("--python", "3.98", "--python", "/opt/python")):
        request = request_of("wheel", *words)
        assert (pythons(request), request.interpreter) == (["3.98"], Path("/opt/python"))


def test_a_path_that_is_no_interpreter_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(monkeypatch, "no such file")
    assert main(["wheel", "--root", str(root), "--python", "/opt/nothing"]) == 7
    assert "/opt/nothing: no such file" in capsys.readouterr().err
    write_host(root, pythons=["3.98"])
    assert main(["wheel", "--root", str(root)]) == 2
    assert f"not configured for Python {RUNNING}" in capsys.readouterr().err


@pytest.mark.parametrize("more", [["a.whl"], ["--images", "2.28"], ["--sarif", "x"]])
def test_what_an_audit_would_leave_out_is_refused(
    more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", *more, "--published", "pypi", "gdal"]) == UsageError.exit_code
    assert "--published" in (said := capsys.readouterr().err) and "do not go together" in said

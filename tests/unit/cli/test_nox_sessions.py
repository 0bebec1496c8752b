"""The sessions that a noxfile gets, and what each one calls."""

import os
import runpy
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nox.registry
import pytest
from nox.command import CommandFailed
from tests.support.hosts import write_host

import geowheel
import nox
from geowheel.command_table import COMMANDS
from geowheel.nox import sessions

ROOT = Path(__file__).parents[3]
BARE = {command.name for command in COMMANDS} - {"init", "schema", "completion"}
VERSIONED = ("bindings", "vendor", "build", "test", "lab", "wheel", "reproduce")


Registry = Mapping[str, Any]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """nox's registry, empty; the real one comes back afterwards."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(sys, "argv", ["nox"])
    monkeypatch.setattr(nox.registry, "_REGISTRY", found)
    monkeypatch.setattr(nox.options, "sessions", nox.options.sessions)
    return found


def call(registry: Registry, name: str, *posargs: str, code: int = 0) -> SimpleNamespace:
    """What a session runs; it ends with that exit code.

    A session's own run() is none: it would say the whole command before and after, and lead
    standard error into standard output.
    """
    calls: list[SimpleNamespace] = []

    def popen(argv: Sequence[str], **options: Any) -> tuple[int, str]:
        calls.append(SimpleNamespace(argv=tuple(argv), **options))
        return code, ""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nox.popen.popen", popen)
        registry[name].func(SimpleNamespace(posargs=list(posargs)))
    (made,) = calls
    return made


def test_the_sessions_of_the_table_are_registered(registry: Registry, tmp_path: Path) -> None:
    write_host(tmp_path, pythons=["3.12", "3.13"])
    sessions(root=tmp_path)
    versioned = {f"{name}-{python}" for name in VERSIONED for python in ("3.12", "3.13")}
    assert set(registry) == BARE | versioned
    assert not any(function.default for function in registry.values())
    assert {function.python for function in registry.values()} == {False}
    lines = {name: function.func.__doc__ or "" for name, function in registry.items()}
    assert all(20 <= len(line) <= 110 and "\n" not in line for line in lines.values()), lines
    assert len(set(lines.values())) == len(lines)
    assert lines["build-3.12"].endswith("for CPython 3.12")


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[tool.geowheel",
        "[tool]\ngeowheel = 3",
        "tool = []",
        "[tool.geowheel]\npythons = 3",
    ],
    ids=["missing", "empty", "broken", "no table", "list", "no list"],
)
def test_without_a_configuration(registry: Registry, tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text)
    sessions(root=tmp_path)
    assert set(registry) == BARE


def test_the_host_may_lie_below_the_noxfile(registry: Registry, tmp_path: Path) -> None:
    write_host(tmp_path / "hosts" / "a", pythons=["3.13"])
    sessions(host="hosts/a", root=tmp_path)
    assert "wheel-3.13" in registry
    assert call(registry, "wheel-3.13").argv[1:] == (
        "-m", "geowheel", "wheel", "--root", str(tmp_path), "--host", "hosts/a",
        "--python", "3.13",
    )  # fmt: skip


def test_a_session_hands_over_what_it_was_given(registry: Registry, tmp_path: Path) -> None:
    sessions(root=write_host(tmp_path))
    made = call(registry, "size", "--json", "--all")
    assert made.argv == (
        sys.executable, "-m", "geowheel", "size", "--root", str(tmp_path), "--host", ".",
        "--json", "--all",
    )  # fmt: skip
    # None: the terminal's own, not led into standard output; nox's default for that one is the
    # same.
    assert made.stderr is None and not hasattr(made, "stdout")
    # To end what it started.
    assert min(made.interrupt_timeout, made.terminate_timeout) >= 2
    argv = call(registry, "wheel", "--host", "hosts/b").argv
    assert argv[argv.index("--host") + 1] == "hosts/b" and argv.count("--host") == 1


@pytest.mark.parametrize(
    ("prefix", "posargs", "launcher", "expected"),
    [
        ("", (), None, "nox -s "),
        ("my.", (), None, "nox -s my."),
        ("", ("--json",), "python3 ci/nox.py", "python3 ci/nox.py -s "),
        ("my.", ("--host", "a b", "--all"), None, "nox -s my. -- --host 'a b'"),
        ("", ("--host=hosts/b",), "py ci/nox.py", "py ci/nox.py -s  -- --host=hosts/b"),
    ],
)
def test_geowheel_is_told_how_it_was_called(
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prefix: str,
    posargs: Sequence[str],
    launcher: str | None,
    expected: str,
) -> None:
    if launcher:
        monkeypatch.setenv("GEOWHEEL_LAUNCHER", launcher)
    sessions(prefix=prefix, root=write_host(tmp_path))
    made = call(registry, f"{prefix}plan", *posargs)
    assert made.env["GEOWHEEL_CALLED_AS"] == expected


def test_geowheel_is_told_since_when_a_person_waits(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions(root=write_host(tmp_path))
    monkeypatch.setattr("geowheel.nox._BEGAN", 12.5)
    assert call(registry, "plan").env["GEOWHEEL_STARTED"] == "12.5"
    monkeypatch.setenv("GEOWHEEL_STARTED", "11.5")  # ci/nox.py began before nox did
    assert call(registry, "plan").env["GEOWHEEL_STARTED"] == "11.5"


def test_what_fails_is_a_session_that_failed(registry: Registry, tmp_path: Path) -> None:
    sessions(root=write_host(tmp_path))
    with pytest.raises(CommandFailed, match=r"exit code 7$"):
        call(registry, "wheel", code=7)
    call(registry, "wheel", code=141)  # `| head` has seen enough


def test_sources_of_a_checkout_come_by_path(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions(root=write_host(tmp_path))
    sources = Path(geowheel.__file__).parents[1]
    installed = "site-packages" in sources.parts
    monkeypatch.setenv("PYTHONPATH", "/another")
    monkeypatch.setenv("OTHER", "1")
    env = call(registry, "plan").env
    assert env["PYTHONPATH"] == ("/another" if installed else str(sources))
    assert env["OTHER"] == "1"


def test_the_environment_is_made_by_a_session(registry: Registry, tmp_path: Path) -> None:
    made: list[Path] = []

    def python() -> Path:
        made.append(Path("/tools/bin/python"))
        return made[-1]

    sessions(root=write_host(tmp_path), python=python)
    assert made == []
    assert call(registry, "fetch").argv[0] == os.fspath(Path("/tools/bin/python"))
    assert len(made) == 1


def own(name: str) -> None:
    """A session of the noxfile's own."""

    def run(session: nox.Session) -> None:
        """nothing"""

    nox.session(name=name, python=False)(run)


def test_names_that_are_taken_are_refused(registry: Registry, tmp_path: Path) -> None:
    own("test")
    own("build")
    with pytest.raises(SystemExit) as caught:
        sessions(root=write_host(tmp_path))
    assert set(registry) == {"test", "build"}
    text = str(caught.value)
    assert text.startswith("error: noxfile: session names taken: build, test\n")
    assert 'sessions(prefix="geowheel-")' in text
    write_host(tmp_path)
    sessions(prefix="geowheel-", root=tmp_path)
    with pytest.raises(SystemExit, match="another prefix"):
        sessions(prefix="geowheel-", root=tmp_path)
    sessions(prefix="other-", root=tmp_path)
    assert "other-wheel" in registry


def test_a_version_that_is_asked_for_is_known_by_its_prefix(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["nox", "-s", "my.build-3.99", "my.build-3.12", "build-3.98", "myxbuild-3.97"]
    monkeypatch.setattr(sys, "argv", asked)
    sessions(prefix="my.", root=write_host(tmp_path, pythons=["3.12"]))
    versions = {name.rpartition("-")[2] for name in registry if "-3." in name}
    assert versions == {"3.12", "3.99"}
    # So that geowheel can refuse it.
    assert call(registry, "my.build-3.99").argv[-2:] == ("--python", "3.99")


@pytest.fixture
def noxfile(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """The sessions of this repository."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    runpy.run_path(str(ROOT / "noxfile.py"))
    return registry


def test_the_noxfile_has_the_sessions_of_its_host_and_the_toolkits_own(noxfile: Registry) -> None:
    pyproject = tomllib.loads((ROOT / "hosts" / "gdal" / "pyproject.toml").read_text("utf-8"))
    versions = pyproject["tool"]["geowheel"]["pythons"]
    assert {"tests", "lint", "types"} | BARE <= set(noxfile)
    assert {f"wheel-{version}" for version in versions} <= set(noxfile)
    assert {name for name, function in noxfile.items() if function.default} == {"lint", "types"}
    assert all((function.func.__doc__ or "").strip() for function in noxfile.values())
    assert nox.options.sessions == ["lint", "types"]

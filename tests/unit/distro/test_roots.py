"""Root file systems: what can be made, and which Python one has."""

from pathlib import Path

import pytest
from tests.support.hosts import make_interpreter

from geowheel.distro import roots
from geowheel.errors import GeowheelError
from geowheel.machine.console import Console
from geowheel.machine.interpreters import Interpreter
from geowheel.machine.sandbox import Enclosure, SandboxKind


@pytest.mark.parametrize(
    ("asked", "said"), [("fedora:41", "is neither a suite"), ("debian:trixie", "no mmdebstrap and")]
)
def test_what_cannot_be_made_is_said(
    tmp_path: Path, console: Console, asked: str, said: str
) -> None:
    with pytest.raises(GeowheelError, match=said):
        roots.make_root(asked, tmp_path, {"PATH": str(tmp_path)}, console)


@pytest.mark.parametrize(
    ("program", "python", "said"),
    [
        ("usr/bin/python3.12", "3.12", ""),
        ("opt/python/cp312-cp312/bin/python", "3.12", ""),
        ("usr/bin/python3.13", "3.12", "it has python3.13"),
        ("", "3.12", "there is no root debian:trixie\n  next: `geowheel root debian:trixie`"),
    ],
)
def test_the_python_of_a_root_is_asked_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, python: str, said: str
) -> None:
    if program:
        path = roots.folder_of("debian:trixie", tmp_path) / program
        path.parent.mkdir(parents=True)
        path.touch()
    asked: list[Path] = []

    def ask(path: Path, **_: object) -> Interpreter:
        asked.append(path)
        return make_interpreter()

    shut = Enclosure(kind=SandboxKind.BWRAP)
    monkeypatch.setattr(roots, "find_enclosure", lambda *_, **__: shut)
    monkeypatch.setattr(roots, "ask_interpreter", ask)
    try:
        roots.interpreter_in("debian:trixie", python, tmp_path, {"PATH": str(tmp_path)})
        assert asked == [Path("/", program)] and not said
    except GeowheelError as error:
        assert said and said in str(error)

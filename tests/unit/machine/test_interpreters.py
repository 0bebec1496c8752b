"""Which interpreter is taken, in which order, and why one is refused. Nothing is run here."""

import ast
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.support.files import write_program
from tests.support.hosts import make_interpreter

from geowheel.errors import MachineError, UsageError
from geowheel.machine import hints, interpreters
from geowheel.machine.interpreters import Interpreter, find_interpreter, parse_answer, places

FINE = make_interpreter()


def answer(path: Path, **changes: object) -> Interpreter:
    return dataclasses.replace(FINE, executable=path, **changes)  # type: ignore[arg-type]


class Asked:
    """Stands for running a candidate: what each is said to be, and who was asked."""

    def __init__(self, known: Mapping[Path, Interpreter | str]) -> None:
        self.known = known
        self.paths: list[Path] = []

    def __call__(self, path: Path) -> Interpreter | str:
        self.paths.append(path)
        return self.known.get(path, "exit code 127: pyenv: command not found")


def taken(
    ask: Asked, *, explicit: Path | None = None, running: Path | None = None, **environ: str
) -> Path:
    """The interpreter that is found for 3.12."""
    return find_interpreter(
        "3.12", environ=environ, explicit=explicit, running=running, ask=ask
    ).executable


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the interpreters of the machine that the tests run on."""
    monkeypatch.setattr(interpreters, "usual_folders", lambda *_: ())


pytestmark = pytest.mark.usefixtures("alone")


def test_the_running_interpreter_comes_first(tmp_path: Path) -> None:
    running = write_program(tmp_path / "base/bin/python3.12")
    other = write_program(tmp_path / "bin/python3.12")
    ask = Asked({running: answer(running), other: answer(other)})
    assert taken(ask, running=running, PATH=str(other.parent)) == running
    assert ask.paths == [running]
    running = write_program(tmp_path / "base/bin/python3.11")
    other = write_program(tmp_path / "bin/python3.12")
    ask = Asked({other: answer(other)})
    assert taken(ask, running=running, PATH=str(other.parent)) == other
    assert ask.paths == [other]


def test_on_path_the_exact_name_comes_first_and_generic_names_count(tmp_path: Path) -> None:
    generic = write_program(tmp_path / "a/python3")
    exact = write_program(tmp_path / "b/python3.12")
    path = f"{generic.parent}:relative:{exact.parent}"
    assert taken(Asked({generic: answer(generic), exact: answer(exact)}), PATH=path) == exact
    assert taken(Asked({generic: answer(generic)}), PATH=path) == generic


def test_a_free_threaded_one_is_another_version(tmp_path: Path) -> None:
    both = {name: write_program(tmp_path / f"bin/python{name}") for name in ("3.14", "3.14t")}
    ask = Asked({
        path: answer(path, version="3.14.7", free_threaded=name == "3.14t")
        for name, path in both.items()
    })  # fmt: skip
    environ = {"PATH": str(tmp_path / "bin")}
    for name, path in both.items():
        found = find_interpreter(name, environ=environ, running=None, ask=ask)
        assert (found.executable, found.python) == (path, name)
    both["3.14t"].unlink()
    with pytest.raises(MachineError, match=r"CPython 3\.14t is not on"):
        find_interpreter("3.14t", environ=environ, running=None, ask=ask)


def test_the_newest_patch_is_taken_by_number(tmp_path: Path) -> None:
    root = tmp_path / "pyenv"
    versions = ["3.12.9", "3.12.10", "3.12.10rc1", "miniconda3-3.12", "3.11.20"]
    paths = {name: write_program(root / "versions" / name / "bin/python3.12") for name in versions}
    ask = Asked({path: answer(path) for path in paths.values()})
    assert taken(ask, PYENV_ROOT=str(root)) == paths["3.12.10"]
    folder = tmp_path / "data/uv/python"
    old = write_program(folder / "cpython-3.12.3-linux-x86_64-gnu/bin/python3.12")
    new = write_program(folder / "cpython-3.12.11-linux-x86_64-gnu/bin/python3.12")
    ask = Asked({old: answer(old), new: answer(new)})
    assert taken(ask, XDG_DATA_HOME=str(tmp_path / "data")) == new


def test_the_places_in_their_order(tmp_path: Path) -> None:
    environ = {
        "PATH": "/bin",
        "HOME": str(tmp_path),
        "PYENV_ROOT": "/opt/pyenv",
        "UV_PYTHON_INSTALL_DIR": "/opt/uv",
    }
    titles = [
        place.title for place in places("3.12", environ=environ, running=Path("/x"), system="linux")
    ]
    assert titles == [
        "the interpreter that runs this", "PATH", "/opt/pyenv/versions",
        f"{tmp_path}/.pyenv/versions", "/opt/uv", f"{tmp_path}/.local/share/uv/python",
    ]  # fmt: skip


def test_one_program_under_two_names_is_asked_once(tmp_path: Path) -> None:
    real = write_program(tmp_path / "bin/python3.12")
    (tmp_path / "bin/python3").symlink_to("python3.12")
    ask = Asked({real: answer(real, version="3.12.1", debug=True)})
    with pytest.raises(MachineError) as caught:
        taken(ask, running=real, PATH=str(real.parent))
    assert ask.paths == [real]
    assert len(caught.value.faults) == 1
    pypy = write_program(tmp_path / "a/python3.12")
    good = write_program(tmp_path / "b/python3.12")
    ask = Asked({pypy: answer(pypy, implementation="pypy"), good: answer(good)})
    assert taken(ask, PATH=f"{pypy.parent}:{good.parent}") == good


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"implementation": "pypy"}, "PyPy 3.12.1 is not CPython"),
        ({"implementation": "graalpy"}, "GraalPy 3.12.1 is not CPython"),
        ({"libc": "musl"}, "is linked with musl"),
        ({"debug": True}, "is a debug build"),
        ({"bits": 32}, "is a 32-bit build (machine x86_64)"),
        ({"headers": ""}, "lacks its headers: no Python.h in /opt/python3.12/include"),
        ({"venv": False}, "lacks the module venv"),
    ],
)
@pytest.mark.parametrize("explicit", [True, False])
def test_what_is_refused_says_why(
    tmp_path: Path, changes: dict[str, object], words: str, explicit: bool
) -> None:
    path = write_program(tmp_path / "python3.12")
    ask = Asked({path: answer(path, **changes)})
    with pytest.raises(MachineError) as caught:
        taken(ask, explicit=path if explicit else None, PATH=str(tmp_path))
    (fault,) = caught.value.faults
    assert words in fault.what
    assert fault.where == str(path)
    assert fault.cause
    assert "uv python install 3.12" in fault.fix


def test_the_distributions_interpreter_names_the_distributions_package() -> None:
    debian = hints.machine(
        system="linux",
        os_release={"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian 12"},
        root=True,
        offers=lambda _: True,
    )
    found = answer(Path("/usr/bin/python3.11"), version="3.11.2", headers="")
    fault = interpreters.refusal(found, found.executable, debian)
    assert fault is not None
    assert fault.fix == "apt-get install -y python3.11-dev"
    assert fault.cause == "Debian 12 packages them apart"


def test_a_missing_one_says_where_was_looked_and_how_to_get_it(tmp_path: Path) -> None:
    shim = write_program(tmp_path / "bin/python3.12")
    with pytest.raises(MachineError) as caught:
        taken(Asked({}), PATH=str(shim.parent), HOME=str(tmp_path))
    text = str(caught.value)
    assert text.startswith("CPython 3.12 is not on this machine\n")
    assert f"{tmp_path}/.pyenv/versions" in text
    assert f"{shim} (exit code 127: pyenv: command not found)" in text
    assert "`pyenv install 3.12`" in text
    assert "`uv python install 3.12`" in text


@pytest.mark.parametrize("python", ["3.8", "3.99", "2.7", "3", "cp312", ""])
def test_a_version_that_is_not_supported_lists_those_that_are(python: str) -> None:
    with pytest.raises(UsageError, match=r"3\.9, 3\.10, 3\.11, 3\.12, 3\.13, 3\.14"):
        find_interpreter(python, environ={}, running=None, ask=Asked({}))


def test_an_explicit_one_is_the_only_one(tmp_path: Path) -> None:
    inside = write_program(tmp_path / "venv/bin/python")
    named = write_program(tmp_path / "bin/my-python")
    ask = Asked({inside: answer(inside), named: answer(named)})
    for explicit, found in ((tmp_path / "venv", inside), (Path("my-python"), named)):
        assert taken(ask, explicit=explicit, PATH=str(named.parent)) == found
    named = write_program(tmp_path / "named/python")
    other = write_program(tmp_path / "bin/python3.12")
    ask = Asked({named: answer(named, version="3.11.2"), other: answer(other)})
    with pytest.raises(MachineError, match=r"CPython 3\.11\.2, and Python 3\.12 is wanted"):
        taken(ask, explicit=named, running=other, PATH=str(other.parent))
    with pytest.raises(MachineError, match="not a Python interpreter that runs here"):
        taken(ask, explicit=tmp_path / "nothing", running=other)


def test_a_closed_folder_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    is_file = Path.is_file

    def refuse(self: Path) -> bool:
        if self.is_relative_to(tmp_path):
            raise PermissionError(13, "Permission denied", str(self))
        return is_file(self)

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(MachineError, match="is not on this machine"):
        taken(Asked({}), PATH=str(tmp_path))


def test_the_digest_is_of_content() -> None:
    elsewhere = dataclasses.replace(
        FINE, executable=Path("/x/python"), include=Path("/x/include"), libc="glibc 2.39"
    )
    assert elsewhere.digest() == FINE.digest()
    for changes in (
        {"version": "3.12.2"},
        {"soabi": "cpython-312d-x86_64-linux-gnu"},
        {"extension_suffix": ".so"},
        {"headers": "cd" * 32},
        {"machine": "aarch64"},
        {"libc": "musl"},
        {"deployment_target": "11.0"},
        {"shared": True},
    ):
        assert dataclasses.replace(FINE, **changes).digest() != FINE.digest()


def as_json(found: Interpreter) -> str:
    return json.dumps(dataclasses.asdict(found), default=str)


def test_an_answer_is_parsed() -> None:
    assert parse_answer(as_json(FINE)) == FINE
    assert parse_answer(as_json(dataclasses.replace(FINE, version="2.7.18"))) == (
        "it is Python 2.7.18"
    )
    ast.parse(interpreters.PROBE.read_text(encoding="ascii"), feature_version=(3, 4))


@pytest.mark.parametrize("text", ["", "hello", "[]", "{}", '{"version": "3.12.1"}', "3", "null"])
def test_an_answer_that_is_none_is_words(text: str) -> None:
    assert parse_answer(text) == "it does not answer as a Python interpreter does"

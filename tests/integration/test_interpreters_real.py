"""Real interpreters, virtual environments and shims, asked what they are."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from geowheel.machine import interpreters
from geowheel.machine.interpreters import (
    Interpreter,
    ask_interpreter,
    find_interpreter,
    running_interpreter,
)
from tests.support.files import write_program

pytestmark = pytest.mark.integration

HERE = "{}.{}".format(*sys.version_info[:2])
PYENV = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
INSTALLED = sorted(PYENV.glob("3.*/bin/python3")) if PYENV.is_dir() else []


def asked(path: Path, **environ: str) -> Interpreter:
    answer = ask_interpreter(path, environ={**os.environ, **environ})
    assert isinstance(answer, Interpreter), answer
    return answer


def test_the_running_interpreter_describes_itself() -> None:
    running = interpreters.running_interpreter()
    assert interpreters.ask_this() == ask_interpreter(running, environ=os.environ)
    found = asked(running_interpreter())
    assert found.python == HERE
    assert found.version == sys.version.split()[0]
    assert found.implementation == "cpython"
    assert found.extension_suffix == sysconfig.get_config_var("EXT_SUFFIX")
    assert found.bits == 64
    assert found.libc.startswith("glibc 2.") or sys.platform != "linux"
    assert found.executable.is_file()
    assert Path(sys.base_prefix).resolve() in found.executable.parents
    plain = asked(running_interpreter())
    poisoned = asked(
        running_interpreter(), PYTHONHOME="/nowhere", PYTHONPATH="/nowhere", PYTHONSTARTUP="/x"
    )
    assert poisoned == plain


@pytest.mark.parametrize("path", INSTALLED, ids=[path.parents[1].name for path in INSTALLED])
def test_every_installed_version_answers(path: Path) -> None:
    found = asked(path)
    assert found.version == path.parents[1].name
    assert found.executable.parents[1] == path.parents[1].resolve()
    assert (found.include / "Python.h").is_file()
    assert len(found.headers) == 64


def test_a_virtual_environment_resolves_to_its_base(tmp_path: Path) -> None:
    base = asked(running_interpreter())
    subprocess.run(
        [base.executable, "-I", "-m", "venv", "--without-pip", tmp_path / "venv"], check=True
    )
    inside = tmp_path / "venv" / "bin" / "python"
    assert asked(inside) == base
    assert (
        find_interpreter(HERE, environ=os.environ, explicit=tmp_path / "venv", running=None) == base
    )


def test_a_shim_that_fails_is_passed_over(tmp_path: Path) -> None:
    shims = tmp_path / "shims"
    write_program(
        shims / f"python{HERE}",
        "#!/bin/sh\n" + f"echo 'pyenv: python{HERE}: command not found' >&2; exit 127",
    )
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / f"python{HERE}").symlink_to(asked(running_interpreter()).executable)
    environ = {"PATH": f"{shims}:{tmp_path / 'bin'}:/bin:/usr/bin"}
    found = find_interpreter(HERE, environ=environ, running=None)
    assert found == asked(running_interpreter())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo hello", "does not answer as a Python"),
        ("echo broken >&2; exit 3", "exit code 3: broken"),
        ("exit 4", "exit code 4"),
        ("exec sleep 30", "no answer within"),
    ],
)
def test_a_program_that_is_no_python_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    monkeypatch.setattr(interpreters, "TIMEOUT", 0.5)
    path = write_program(tmp_path / "python3.12", "#!/bin/sh\n" + text)
    answer = ask_interpreter(path, environ={"PATH": "/bin:/usr/bin"})
    assert isinstance(answer, str)
    assert words in answer


def test_a_file_that_is_no_program_says_so(tmp_path: Path) -> None:
    path = tmp_path / "python3.12"
    path.write_bytes(b"\x7fELF rubbish")
    path.chmod(0o755)
    assert ask_interpreter(path, environ={}) == "Exec format error"
    assert ask_interpreter(tmp_path / "nothing", environ={}) == "No such file or directory"

"""Commands in the real sandboxes: each fault that one keeps out, and a host's build in it."""

import os
import sys
from pathlib import Path

import pytest

from geowheel.errors import BuildError, MachineError
from geowheel.machine.process import Runner
from geowheel.machine.sandbox import Enclosure, SandboxKind, find_enclosure
from tests.support.project_copy import PYTHON, ProjectCopy

BOTH = (SandboxKind.BWRAP, SandboxKind.UNSHARE)
BACKEND = """\
import socket
from contextlib import suppress
from hatchling.build import *
from hatchling.build import build_wheel as make

def ask():
    socket.create_connection(("192.0.2.1", 443))

def build_wheel(*arguments):
    {fault}
    return make(*arguments)
"""


def possible(kind: SandboxKind) -> Enclosure:
    """What this machine has; containers may forbid it."""
    try:
        return find_enclosure(kind, environ=os.environ)
    except MachineError as error:
        pytest.skip(f"NOT RUN: {error}")


@pytest.mark.parametrize(
    ("kinds", "code", "refused"),
    [
        (BOTH, "import socket; socket.create_connection(('192.0.2.1', 443))",
         "reached for the network: "),
        (BOTH, "open('{home}/x', 'w')", "wrote outside its output: {home}/x"),
        (BOTH, "open('/tmp/geowheel-x', 'w')", "wrote outside its output: /tmp/geowheel-x"),
        (BOTH, "open('{place}/in/x', 'w')", "wrote outside its output: {place}/in/x"),
        (BOTH[:1], "open('{place}/beside')", "read what is not declared: {place}/beside"),
        (BOTH[:1], "open('../beside')", "read what is not declared: {place}/beside"),
        (BOTH[:1], "open('{home}/x', 'a')", "wrote outside its output: {home}/x"),
        (BOTH[:1], "open('{place}/hidden/x', 'w')",
         "wrote or read what is not declared: {place}/hidden/x"),
        (BOTH[:1], "open('/etc/shadow')", "read what is not declared: /etc/shadow"),
        (BOTH, "import os; os.chroot('.')", ""),  # no capability
    ],
)  # fmt: skip
def test_what_is_not_declared_fails(
    tmp_path: Path, kinds: tuple[SandboxKind, ...], code: str, refused: str
) -> None:
    words = {"place": tmp_path, "home": Path.home()}
    (tmp_path / "beside").touch()
    for name in ("in", "out", "hidden"):
        (tmp_path / name).mkdir()
    own = f"open('{tmp_path}/out/a', 'w').close(); "
    for kind in kinds:
        runner = Runner(tmp_path / "logs")
        runner.enclosure = possible(kind).of("build", [tmp_path / "in"], [tmp_path / "out"])
        with pytest.raises(BuildError) as caught:
            runner(
                [sys.executable, "-c", own + code.format(**words)], env=os.environ,
                cwd=tmp_path / "out",
            )  # fmt: skip
        assert str(caught.value).startswith(f"build: {refused}".format(**words))
        (tmp_path / "out/a").unlink()  # its own output was written


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("ask()", "reached for the network: 192.0.2.1:443: python failed"),
        ("with suppress(OSError): ask()",
         "reached for the network: 192.0.2.1:443: python went on without it"),
        ("open('../../pixi.toml')", "read what is not declared: {root}/pixi.toml: python failed"),
    ],
)  # fmt: skip
def test_a_backend_is_named_with_what_it_asked_for(
    second: ProjectCopy, fault: str, said: str
) -> None:
    possible(SandboxKind.BWRAP)
    second.forget("build")
    path = second.root / second.host / "pyproject.toml"
    (path.parent / "backend.py").write_text(BACKEND.format(fault=fault))
    text = path.read_text()
    usual = 'build-backend = "hatchling.build"'
    named = 'sources = ["*.md"'
    assert usual in text and named in text
    text = text.replace(usual, 'build-backend = "backend"\nbackend-path = ["."]')
    path.write_text(text.replace(named, f'{named}, "backend.py"'))
    result = second.run("build", "--python", PYTHON)  # by default
    assert result.returncode == BuildError.exit_code, result.stderr
    assert "  sandbox: bwrap" in result.stderr
    assert f"error: build: {said.format(root=second.root)}" in result.stderr

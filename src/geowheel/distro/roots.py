"""Root file systems of other distributions: `test --root NAME` has the probes run in one."""

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from geowheel.errors import MachineError, UsageError
from geowheel.machine.console import Console
from geowheel.machine.environments import tool_environment
from geowheel.machine.files import touch, whole
from geowheel.machine.interpreters import PROBE, Interpreter, ask_interpreter, find_interpreter
from geowheel.machine.sandbox import SandboxKind, find_enclosure

_MAKERS: Final = ("mmdebstrap", "debootstrap")
# Where distributions have their Pythons, and the images of manylinux.
_PYTHONS: Final = ("usr/bin/python{0}", "usr/local/bin/python{0}", "opt/python/cp{1}-*/bin/python")


def folder_of(name: str, cache: Path) -> Path:
    """Return where the root of that name is, or would be: `debian:trixie`, `file:image`."""
    return cache / "roots" / name.replace(":", "-")


def make_root(asked: str, cache: Path, environ: Mapping[str, str], console: Console) -> str:
    """Make a root of a Debian suite, or of a tar file that holds one; its name.

    Raises UsageError for what is neither, MachineError where nothing here makes one.
    """
    archive = Path(asked).absolute()
    name = f"file:{archive.name.partition('.')[0]}" if archive.is_file() else asked
    found = (shutil.which(each, path=environ.get("PATH", "")) for each in _MAKERS)
    maker = next(filter(None, found), None)
    if name == asked and not asked.startswith("debian:"):
        raise UsageError(
            f"{asked} is neither a suite of Debian nor a file", fix="`geowheel root debian:trixie`"
        )
    if name == asked and maker is None:
        raise MachineError(f"no {' and no '.join(_MAKERS)} here", fix="apt install mmdebstrap")
    folder = folder_of(name, cache)
    with console.step("root", name) as step, whole(folder) as part:
        part.mkdir()
        command: list[str | Path] = [
            "tar",
            "-x",
            "--no-same-owner",
            "--exclude=./dev/*",
            "-f",
            archive,
        ]
        if maker and name == asked:
            suite = asked.partition(":")[2]
            command = [maker, "--variant=minbase", "--include=python3", suite, part]
        step.run(command, env=tool_environment(environ), cwd=part)
        shutil.rmtree(folder, ignore_errors=True)
    return name


def interpreter_in(name: str, python: str, cache: Path, environ: Mapping[str, str]) -> Interpreter:
    """Return the CPython of that version in a root, as it says of itself, run there.

    Raises UsageError where there is no such root, MachineError where it has no such Python.
    """
    root = folder_of(name, cache)
    if not root.is_dir():
        raise UsageError(f"there is no root {name}", fix=f"`geowheel root {name}`")
    touch(root)
    enclosure = find_enclosure(SandboxKind.BWRAP, environ=environ, system=root)
    forms = (form.format(python, python.replace(".", "")) for form in _PYTHONS)
    answers = []
    for path in (path for form in forms for path in sorted(root.glob(form))):
        inside = enclosure.of("root", [PROBE], [Path(tempfile.gettempdir())])
        found = ask_interpreter(Path("/", path.relative_to(root)), environ=environ, shut=inside)
        if isinstance(found, Interpreter):
            return found
        answers.append(f"{path.name}: {found}")
    # The machine's own, where it brings its libraries along (pyenv, uv).
    with suppress(MachineError):
        own = find_interpreter(python, environ=environ, running=None, headers=False)
        place = own.executable.resolve().parents[1]
        inside = enclosure.of("root", [PROBE, place], [Path(tempfile.gettempdir())])
        if place != Path("/usr"):
            found = ask_interpreter(own.executable.resolve(), environ=environ, shut=inside)
            if isinstance(found, Interpreter):
                return found
            answers.append(f"{own.executable}, of this machine: {found}")
    there = sorted({path.name for path in root.glob("usr/bin/python3.*[0-9]")})
    raise MachineError(
        f"{name} has no CPython {python}",
        where="; ".join(answers),
        cause=f"it has {', '.join(there) or 'none'}",
        fix="take a Python that it has: `geowheel test --python 3.X --root NAME`",
    )

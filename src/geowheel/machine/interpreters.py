"""Finds the interpreter of a target: each candidate is run once and asked what it is.

What counts is in the answer; where an interpreter lies never enters a key.
"""

import io
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from geowheel.digest import digest
from geowheel.errors import Fault, MachineError, UsageError
from geowheel.targets import PYTHON_VERSION, Platform, System

from . import hints
from .files import from_json
from .sandbox import Enclosure

SUPPORTED: Final = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.14t", "3.15", "3.15t")
"""The CPython versions that wheels can be made for; with a t free-threaded."""

PROBE: Final = Path(__file__).with_name("interpreter_probe.py")
TIMEOUT: Final = 30.0
"""Seconds that a candidate has for its answer."""


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """An interpreter, as it described itself."""

    executable: Path
    """Of the installation itself, where a virtual environment of it was asked."""
    version: str
    """In full: `3.12.1`, `3.14.0rc2`."""
    implementation: str
    """`cpython`, `pypy`, ..."""
    soabi: str
    extension_suffix: str
    """What extension modules end with: `.cpython-312-x86_64-linux-gnu.so`."""
    machine: str
    """`x86_64`, as platform.machine() says it."""
    bits: int
    """Of a pointer."""
    libc: str
    """`glibc 2.36`, `musl`; empty where the system has but one."""
    debug: bool
    free_threaded: bool
    shared: bool
    """Built with --enable-shared; extension modules do not link libpython either way."""
    deployment_target: str
    """The oldest macOS that it runs on; empty elsewhere."""
    include: Path
    """Where Python.h is, or would be."""
    headers: str
    """The sha256 of pyconfig.h; empty where Python.h is missing."""
    venv: bool
    """Whether it can make virtual environments without pip."""
    emulator: str = ""
    """`qemu-aarch64 7.2.22` where this machine cannot run it by itself, for information."""

    @property
    def python(self) -> str:
        """`3.12`, `3.14t`: the version that a target names."""
        return ".".join(self.version.split(".")[:2]) + "t" * self.free_threaded

    @property
    def title(self) -> str:
        """For people: `CPython 3.12.1`."""
        names = {"cpython": "CPython", "pypy": "PyPy", "graalpy": "GraalPy"}
        return f"{names.get(self.implementation, self.implementation)} {self.version}"

    def digest(self) -> str:
        """Return the digest of what a build sees of it: no path, no version of the libc."""
        seen = (
            "version", "implementation", "soabi", "extension_suffix", "machine", "bits", "shared",
            "deployment_target", "headers",
        )  # fmt: skip
        values = {name: getattr(self, name) for name in seen}
        return digest(values | {"libc": self.libc.partition(" ")[0]})


@dataclass(frozen=True, kw_only=True)
class Place:
    """Somewhere to look, and the files that would be the interpreter."""

    title: str
    """`PATH`, or a folder."""
    paths: tuple[Path, ...]


Ask = Callable[[Path], Interpreter | str]
"""What the program at a path is; or, in words, why it gave no answer."""
Refuse = Callable[[Interpreter, Path], Fault | None]
"""Why wheels cannot be made with what was found at a path."""


def find_interpreter(
    python: str,
    *,
    environ: Mapping[str, str],
    explicit: Path | None = None,
    running: Path | None,
    ask: Ask | None = None,
    headers: bool = True,
) -> Interpreter:
    """Return the CPython of version `python` (`3.12`) to build and test with.

    Without its `headers` where something else brings them.

    `explicit` is the only one looked at when it is given; `running` is the first one otherwise.
    Raises MachineError when there is none, or none that wheels can be made with; UsageError for a
    version that wheels are not made for.
    """
    if python not in SUPPORTED:
        raise UsageError(
            f"wheels cannot be made for Python {python}", fix=f"use one of {', '.join(SUPPORTED)}"
        )
    this = running_interpreter()
    inquire = ask or (
        lambda path: ask_this() if path == this else ask_interpreter(path, environ=environ)
    )
    refuse = partial(refusal, machine=hints.this_machine(), headers=headers)
    if explicit is not None:
        return _explicit(python, _located(explicit, environ), inquire, refuse)
    looked = tuple(places(python, environ=environ, running=running, system=sys.platform))
    return _first(python, looked, inquire, refuse)


def running_interpreter() -> Path:
    """Return the interpreter that runs this: the installation's, not a virtual environment's."""
    base = Path(getattr(sys, "_base_executable", "") or sys.executable)
    # CPython 3.11 may name a file that does not exist; the answer leads to the base all the same.
    return base if base.is_file() else Path(sys.executable)


def _explicit(python: str, path: Path, ask: Ask, refuse: Refuse) -> Interpreter:
    answer = ask(path)
    if isinstance(answer, str):
        raise MachineError(
            f"this is not a Python interpreter that runs here: {answer}",
            where=str(path),
            fix="name an interpreter, or the folder of a virtual environment, with --python",
        )
    if answer.python != python:
        raise MachineError(
            f"this is {answer.title}, and Python {python} is wanted",
            where=str(path),
            cause="--python was given for another version",
            fix=f"name a CPython {python} with --python, or leave --python out to have it found",
        )
    fault = refuse(answer, path)
    if fault:
        raise MachineError([fault])
    return answer


def _first(python: str, looked: Sequence[Place], ask: Ask, refuse: Refuse) -> Interpreter:
    """Return the first that fits; one that is refused does not hide a later one that is not."""
    asked: set[Path] = set()
    passed: list[str] = []
    faults: dict[Path, Fault] = {}
    for path in (path for place in looked for path in place.paths if _is_program(path)):
        real = path.resolve()
        if real in asked or not _may_be(python, real):
            continue
        asked.add(real)
        answer = ask(path)
        if isinstance(answer, str):
            passed.append(f"{path} ({answer})")
        elif answer.python != python:
            passed.append(f"{path} ({answer.title})")
        else:
            fault = refuse(answer, path)
            if fault is None:
                return answer
            faults.setdefault(answer.executable, fault)  # shims and venvs lead to the same one
    if faults:
        raise MachineError(tuple(faults.values()))
    others = f"; passed over: {', '.join(passed)}" if passed else ""
    raise MachineError(
        f"CPython {python} is not on this machine",
        cause=f"looked at {', '.join(place.title for place in looked)}{others}",
        fix=f"{hints.interpreters(on=hints.this_machine(), python=python)}; or name one with "
        "--python",
    )


def check_platform(found: Interpreter, platform: Platform) -> None:
    """Raise MachineError when a Linux interpreter is of another architecture than the platform."""
    if platform.system is System.LINUX and found.machine != platform.architecture:
        raise MachineError(
            f"this is {found.title} for {found.machine}, and one for {platform} is wanted",
            where=str(found.executable),
            cause="--python names it, or the machine's interpreter is of another architecture",
            fix="name one for that platform with --python, or leave --python out",
        )


def refusal(
    found: Interpreter, path: Path, machine: hints.OperatingSystem, *, headers: bool = True
) -> Fault | None:
    """Return why wheels cannot be made with this interpreter; None when they can."""
    unfit = _unfit(found)
    if unfit:
        what, cause = unfit
        get = hints.interpreters(on=machine, python=found.python)
        return Fault(where=str(path), what=f"{found.title} {what}", cause=cause, fix=get)
    lacking = None
    if headers and not found.headers:
        lacking = (f"its headers: no Python.h in {found.include}", hints.Need.HEADERS)
    elif not found.venv:
        lacking = ("the module venv", hints.Need.VENV)
    if lacking is None:
        return None
    what, need = lacking
    program = found.executable
    own = program.is_relative_to("/usr") and not program.is_relative_to("/usr/local")
    return Fault(
        where=str(path),
        what=f"{found.title} lacks {what}",
        cause=f"{machine.name} packages them apart" if own else "it was installed without them",
        fix=hints.install(need, on=machine, python=found.python)
        if own
        else hints.interpreters(on=machine, python=found.python),
    )


def _unfit(found: Interpreter) -> tuple[str, str] | None:
    """Return what is wrong with an interpreter that no package mends, and why it matters."""
    if found.implementation != "cpython":
        return "is not CPython", "conda-forge's GDAL and its bindings are made for CPython"
    if found.libc == "musl":
        return (
            "is linked with musl",
            "conda-forge's and Debian's packages need glibc, and cannot be loaded beside musl",
        )
    if found.bits != 64:
        return (
            f"is a {found.bits}-bit build (machine {found.machine})",
            "the native packages are 64-bit",
        )
    if found.debug:
        return "is a debug build", "its ABI differs: users' interpreters could not load the wheel"
    return None


def places(
    python: str, *, environ: Mapping[str, str], running: Path | None, system: str
) -> Iterator[Place]:
    """Yield every place to look at, best first, whether it is there or not."""
    if running is not None:
        yield Place(title="the interpreter that runs this", paths=(running,))
    yield Place(title="PATH", paths=_on_path(python, environ, system))
    program = "python.exe" if system == "win32" else f"bin/python{python}"
    for folder in (*_pyenv_folders(environ), *_uv_folders(environ)):
        versions = _newest_first(folder, python)
        yield Place(title=str(folder), paths=tuple(path / program for path in versions))
    for folder in usual_folders(python, system):
        yield Place(title=str(folder), paths=(folder / f"python{python}",))


def _on_path(python: str, environ: Mapping[str, str], system: str) -> tuple[Path, ...]:
    folders = [Path(part) for part in environ.get("PATH", "").split(os.pathsep) if part]
    exe = ".exe" if system == "win32" else ""
    names = (f"python{python}", "python3", "python")
    return tuple(
        folder / f"{name}{exe}"
        for name in names
        for folder in folders
        # pyenv's shims (and asdf's) are slow; what its python3 runs, its python3.12 runs as well.
        if folder.is_absolute() and (name == names[0] or folder.name != "shims")
    )


def _home(environ: Mapping[str, str]) -> Path | None:
    named = environ.get("HOME") or environ.get("USERPROFILE")
    return Path(named) if named else None


def _pyenv_folders(environ: Mapping[str, str]) -> Iterator[Path]:
    root, home = environ.get("PYENV_ROOT"), _home(environ)
    if root:
        yield Path(root, "versions")
    if home and (not root or Path(root) != home / ".pyenv"):
        yield home / ".pyenv" / "versions"


def _uv_folders(environ: Mapping[str, str]) -> Iterator[Path]:
    # https://docs.astral.sh/uv/reference/storage/#python-versions
    named, data = environ.get("UV_PYTHON_INSTALL_DIR"), environ.get("XDG_DATA_HOME")
    home = _home(environ)
    if named:
        yield Path(named)
    if data:
        yield Path(data, "uv", "python")
    if home:
        yield home / ".local" / "share" / "uv" / "python"


def usual_folders(python: str, system: str) -> Iterator[Path]:
    yield Path("/usr/local/bin")
    if system == "darwin":
        yield Path("/Library/Frameworks/Python.framework/Versions", python, "bin")
        yield Path("/opt/homebrew/opt", f"python@{python}", "bin")
        yield Path("/usr/local/opt", f"python@{python}", "bin")
    else:
        yield Path("/usr/bin")


def _newest_first(folder: Path, python: str) -> list[Path]:
    """Yield that version's installations below `folder`: 3.12.10 before 3.12.9, then others."""
    number = re.compile(rf"(?:cpython-)?{re.escape(python.removesuffix('t'))}\.(\d+)(.*)")

    def rank(path: Path) -> tuple[int, str, str]:
        match = number.fullmatch(path.name)
        # A suffix after the patch is a pre-release or a variant in pyenv, the platform in uv.
        return (-int(match[1]), match[2], path.name) if match else (1, "", path.name)

    try:
        return sorted(folder.iterdir(), key=rank)
    except OSError:  # not there, or not for us to read: nothing to find
        return []


def _is_program(path: Path) -> bool:
    try:
        return path.is_file() and os.access(path, os.X_OK)
    except OSError:  # a folder on PATH that this user may not enter
        return False


def _may_be(python: str, path: Path) -> bool:
    """Return False when the file's own name says that it is another version."""
    named = re.fullmatch(r"(?:python|pypy)(3\.\d+t?)(?:\.exe)?", path.name)
    return named is None or named[1] == python


def _located(named: Path, environ: Mapping[str, str]) -> Path:
    """Return what --python means: a file, a virtual environment's folder, or a name on PATH."""
    if named.is_dir():
        inside = [named / "bin" / "python", named / "Scripts" / "python.exe", named / "python.exe"]
        return next((path for path in inside if path.is_file()), named)
    if not named.exists() and named.name == str(named):
        found = shutil.which(named.name, path=environ.get("PATH", ""))
        return Path(found) if found else named
    return named


def ask_interpreter(
    path: Path, *, environ: Mapping[str, str], shut: Enclosure | None = None
) -> Interpreter | str:
    """Run the program and have it describe itself; or say, in words, why it did not."""
    env = {name: value for name, value in environ.items() if not name.startswith("PYTHON")}
    # macOS: an executable that a framework build was started through. It would be taken for itself.
    env.pop("__PYVENV_LAUNCHER__", None)
    try:
        done = subprocess.run(
            (shut or Enclosure()).command([str(path), "-I", str(PROBE)], env, Path("/")),
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {TIMEOUT:.0f} s"
    except OSError as error:
        return error.strerror or str(error)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        return f"exit code {done.returncode}" + (f": {said[0]}" if said else "")
    return parse_answer(done.stdout)


def ask_this() -> Interpreter | str:
    """Answer as `running_interpreter` does, without the time that it takes to start one."""
    said = io.StringIO()
    with redirect_stdout(said):
        runpy.run_path(str(PROBE))
    return parse_answer(said.getvalue())


def parse_answer(text: str) -> Interpreter | str:
    """Return the interpreter that the probe's output describes; or why it describes none."""
    try:
        found = from_json(text.encode(), Interpreter, lambda kind, value: kind(value))
    except ValueError:
        return "it does not answer as a Python interpreter does"
    return found if PYTHON_VERSION.match(found.version) else f"it is Python {found.version}"

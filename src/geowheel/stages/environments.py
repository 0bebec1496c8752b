"""Environments of a target interpreter, holding exactly the locked wheels and nothing else."""

import os
import sysconfig
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import pip

from geowheel.digest import Artefact
from geowheel.machine.console import Step
from geowheel.machine.environments import isolated_environment, tool_path
from geowheel.machine.interpreters import Interpreter
from geowheel.wheel.reading import parse_filename

from .inputs import InstalledInputs


def make_environment(
    interpreter: Interpreter,
    folder: Path,
    wheels: Sequence[Artefact],
    *,
    environ: Mapping[str, str],
    step: Step,
) -> Path:
    """Make a virtual environment with these very wheels, without network; its python.

    Raises BuildError, naming the log, when the interpreter cannot make one.
    """
    env = isolated_environment(environ)
    # Without pip: the target's environment holds only what is locked.
    step.run(
        [interpreter.executable, "-I", "-m", "venv", "--without-pip", folder],
        env=env,
        cwd=folder.parent,
    )
    python = python_of(folder)
    if step.runner.enclosure.is_closed:
        imported_by_all(folder, interpreter, "denied")
    if wheels:
        step.run(
            [tool_path("uv"), "pip", "install", "--python", python, "--no-index", "--no-deps",
             "--offline", "--no-config", "--no-cache", "--quiet", *_by_hash(folder, wheels)],
            env=env, cwd=folder.parent,
        )  # fmt: skip
        _let_programs_run(interpreter, folder)
    return python


def install_wheel(inputs: InstalledInputs, folder: Path, step: Step) -> Path:
    """Make a virtual environment with the wheel, by pip itself as a user has it; its python.

    Raises BuildError, naming the log, when pip refuses the wheel.
    """
    wheels, environ = inputs.store.obtain(inputs.requirements, step), inputs.environ
    python = make_environment(inputs.interpreter, folder, wheels, environ=environ, step=step)
    step.run(
        # As `pip --python` does; and the interpreter may be of another root file system.
        [python, Path(pip.__file__).with_name("__pip-runner__.py"), "--isolated", "install",
         "--no-deps", "--no-index", "--no-cache-dir", "--disable-pip-version-check", "--quiet",
         *_by_hash(folder, [inputs.wheel])],
        env=isolated_environment(environ), cwd=folder.parent,
    )  # fmt: skip
    _let_programs_run(inputs.interpreter, folder)
    return python


def _by_hash(folder: Path, wheels: Sequence[Artefact]) -> list[str | Path]:
    """Return the options that name wheels to an installer, which reads and hashes each once."""
    listed = folder.with_name(f"{folder.name}.requirements.txt")
    text = ""
    for wheel in wheels:
        name = parse_filename(wheel.path.name)[0]
        text += f"{name} @ {wheel.path.as_uri()} --hash=sha256:{wheel.sha256}\n"
    listed.write_text(text, encoding="utf-8")
    return ["--require-hashes", "-r", listed]


def _let_programs_run(interpreter: Interpreter, folder: Path) -> None:
    """Let cmake and gdalinfo run where an emulator runs the interpreter."""
    if interpreter.emulator:
        from geowheel.distro.emulated import wrap_programs  # only where needed

        wrap_programs(folder, interpreter)


def imported_by_all(environment: Path, interpreter: Interpreter, name: str) -> Path:
    """Have every Python of an environment import a module of the probes; where it lies there."""
    base = {"base": str(environment), "platbase": str(environment)}
    version = {"py_version_short": interpreter.python}
    site = Path(sysconfig.get_path("purelib", "venv", vars=base | version))
    site.mkdir(parents=True, exist_ok=True)
    module = site / f"geowheel_{name}.py"
    module.write_text((files("geowheel.probes") / f"{name}.py").read_text("utf-8"), "utf-8")
    module.with_suffix(".pth").write_text(f"import {module.stem}\n", encoding="utf-8")
    return module


def python_of(folder: Path) -> Path:
    """Return the interpreter of a virtual environment."""
    programs = sysconfig.get_path("scripts", "venv", vars={"base": os.fspath(folder)})
    return Path(programs, f"python{sysconfig.get_config_var('EXE') or ''}")

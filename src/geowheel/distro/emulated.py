"""A CPython of the distribution's packages, unpacked: for another architecture, run by qemu-user.

Or of another suite, which the machine cannot install: then its own loader and glibc run it. It is a
folder in the user's cache that looks like an installation, in which `usr/bin/python3.11` is a
script: it has the emulator run the real program beside it, under the script's own name. So what
starts an interpreter (venv, uv, pip, a build backend, a test that starts sys.executable) need not
know of it. Nothing is installed, and binfmt_misc, which only root can set up, is not used: another
program of that architecture runs where it was given such a launcher.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from platform import machine
from typing import Final

from elftools.elf.elffile import ELFFile

from geowheel.binary.elf import is_elf
from geowheel.digest import sha256_file
from geowheel.errors import MachineError
from geowheel.machine.console import Step
from geowheel.machine.environments import isolated_environment
from geowheel.machine.files import held, touch, whole
from geowheel.machine.hints import Need, OperatingSystem, install, this_machine
from geowheel.machine.interpreters import Interpreter, find_interpreter
from geowheel.targets import Platform

from .apt import Apt, open_apt, require_tools, update_or_keep
from .channel import TOOLS, disk_named, read_distribution, work_folder
from .debian import Deb, Distribution
from .tables import Architecture, Table, architecture_of, load_table

PACKAGES: Final = "packages.json"
EMULATE: Final = "emulate"
# Appended to what sysconfig knows. Debian's Python takes its headers to be below /usr, wherever it
# lies itself, and setuptools believes it.
_MOVED: Final = """
# Added by geowheel: these packages were unpacked elsewhere.
import sys as _sys

for _name, _value in build_time_vars.items():
    if isinstance(_value, str) and _value.startswith("/usr/include"):
        build_time_vars[_name] = _sys.base_prefix + _value[len("/usr"):]
"""
_TIMEOUT: Final = 30.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Emulated:
    """A CPython of the distribution that the machine cannot run by itself."""

    python: str
    """`3.11`"""
    platform: Platform
    distribution: Distribution
    emulator: Path | None
    """None where the machine is of that platform: the suite's own loader runs it."""
    cache: Path

    @property
    def name(self) -> str:
        """`debian-12-linux-aarch64-python3.11-1a2b3c4d`: what this file does is a part of it."""
        made_by = sha256_file(Path(__file__))[:8]
        return f"{self.distribution}-{self.platform}-python{self.python}-{made_by}"

    @property
    def title(self) -> str:
        """For people."""
        return f"CPython {self.python} for {self.platform}, from packages of {self.distribution}"

    @property
    def folder(self) -> Path:
        """The root of the unpacked packages; there when it is whole."""
        return self.cache / "interpreters" / self.name

    @property
    def launcher(self) -> Path:
        """What everybody runs."""
        return self.folder / "usr" / "bin" / f"python{self.python}"

    @property
    def is_made(self) -> bool:
        return self.folder.is_dir()

    @property
    def scripts(self) -> dict[Path, str]:
        """The launcher and the script that all launchers use, with their texts."""
        _, architecture = architecture_of(self.platform, load_table())
        libraries = self.folder / "usr/lib" / architecture.multiarch
        loader = [libraries / architecture.loader, "--library-path", libraries, "--argv0"]
        emulator = [self.emulator, "-L", self.folder, "-0"]
        start = shlex.join(map(str, emulator if self.emulator else loader))
        emulate = f'#!/bin/sh\nname=$1 program=$2\nshift 2\nexec {start} "$name" "$program" "$@"\n'
        program = program_beside(self.launcher, self.platform)
        return {
            self.folder / EMULATE: emulate,
            self.launcher: launcher_text(self.folder / EMULATE, program),
        }


def launcher_text(emulate: Path, program: Path) -> str:
    """Return a script that runs a program under the script's own name.

    That, or the name of a virtual environment's link to it, is by which Python finds its
    installation, and what it starts as sys.executable.
    """
    return f'#!/bin/sh\nexec {shlex.quote(str(emulate))} "$0" {shlex.quote(str(program))} "$@"\n'


def program_beside(launcher: Path, platform: Platform) -> Path:
    """Return the real program of a launcher: `python3.11-aarch64` of `python3.11`."""
    return launcher.with_name(f"{launcher.name}-{platform.architecture}")


def find_emulated(
    python: str, platform: Platform, *, cache: Path, environ: Mapping[str, str], suite: str = ""
) -> Emulated:
    """Return the interpreter for a platform, which need not have been made yet.

    Of the machine's own suite where that has it, else of `suite`. Raises MachineError when the
    emulator is missing, or the distribution has no such interpreter.
    """
    own = this_machine()
    if suite and own.offers(f"python{python}"):
        suite = ""
    elif not suite:
        refuse_other_pythons(python, platform, own)
    return Emulated(
        python=python,
        platform=platform,
        distribution=read_distribution(suite),
        emulator=None if platform.architecture == machine() else find_emulator(platform, environ),
        cache=cache,
    )


def refuse_other_pythons(python: str, platform: Platform, machine: OperatingSystem) -> None:
    """Raise MachineError where the archive of the machine's distribution lacks a CPython."""
    if machine.offers(f"python{python}") is not False:
        return
    raise MachineError(
        f"{machine.name} has no CPython {python} for {platform}",
        cause="the interpreter of another architecture is made of the distribution's own packages",
        fix="make this wheel on a machine of that platform; or name an interpreter for it that "
        "runs here with --python PATH",
    )


def find_emulator(platform: Platform, environ: Mapping[str, str]) -> Path:
    """Return qemu's program for a platform's processor; raises MachineError without one on PATH."""
    names = [f"qemu-{platform.architecture}{kind}" for kind in ("", "-static")]
    found = [shutil.which(name, path=environ.get("PATH", os.defpath)) for name in names]
    for path in filter(None, found):
        return Path(path)
    raise MachineError(
        f"programs for {platform} cannot be run on this machine: no {' and no '.join(names)} on "
        "PATH",
        cause="the target's interpreter is asked what it is, runs the build backend and the tests",
        fix=f"{install(Need.EMULATOR, on=this_machine())}; or run this on a machine of that "
        "platform",
    )


def emulator_version(emulator: Path, environ: Mapping[str, str]) -> str:
    """Return `qemu-aarch64 7.2.22`: as it says itself."""
    said = subprocess.run(
        [emulator, "--version"], env=isolated_environment(environ), capture_output=True, text=True,
        check=False, timeout=_TIMEOUT,
    ).stdout  # fmt: skip
    match = re.search(r"version (\S+)", said)
    return f"{emulator.name} {match[1] if match else 'of unknown version'}"


def ask_emulated(emulated: Emulated, environ: Mapping[str, str]) -> Interpreter:
    """Return what the interpreter, which is there, says of itself; raises MachineError."""
    # The emulator may be another one than when it was made, and the cache may have been moved.
    for path, text in emulated.scripts.items():
        _write_script(path, text)
    touch(emulated.folder)
    found = find_interpreter(
        emulated.python, environ=environ, explicit=emulated.launcher, running=None
    )
    emulator = emulated.emulator and emulator_version(emulated.emulator, environ)
    return replace(found, emulator=emulator or "")


def make_emulated(emulated: Emulated, *, environ: Mapping[str, str], step: Step) -> None:
    """Download and unpack the packages; a second run waits for the first.

    Raises MachineError (a missing program, a full disk), ChannelError (no package source answers or
    has them), IntegrityError (a .deb with other bytes than signed), BuildError (a tool failed).
    """
    require_tools(environ, TOOLS)
    work = work_folder(emulated.cache, emulated.distribution)
    work.mkdir(parents=True, exist_ok=True)
    with disk_named(work), held(work / "lock", step.say):
        if emulated.is_made:
            return
        table = load_table()
        name, architecture = architecture_of(emulated.platform, table)
        suite = emulated.distribution.suite
        apt = open_apt(work / f"apt-{name}", name, environ, step, suite=suite)
        debs = choose_packages(apt, emulated.python, table)
        with whole(emulated.folder) as root:
            _unpack(debs, apt, root)
            arrange(root, emulated, architecture)
            packages = {deb.file_name: deb.sha256 for deb in debs}
            (root / PACKAGES).write_text(json.dumps(packages, indent=1) + "\n", encoding="utf-8")


def choose_packages(apt: Apt, python: str, table: Table) -> tuple[Deb, ...]:
    """Return what a CPython consists of, with all that apt would install for it."""
    whole = [name.format(v=python) for name in table.interpreter.whole]
    alone = [name.format(v=python) for name in table.interpreter.alone]
    update_or_keep(apt, whole[0])
    debs = apt.show([*apt.install_names(whole), *alone])
    return tuple(deb for _, deb in sorted(debs.items()))


def _unpack(debs: Sequence[Deb], apt: Apt, root: Path) -> None:
    downloads = root / ".debs"
    apt.download(debs, downloads)
    environ = {**apt.environ, "LC_ALL": "C.UTF-8"}
    for deb in debs:
        apt.step.run(["dpkg-deb", "-x", downloads / deb.file_name, root], env=environ, cwd=root)
    shutil.rmtree(downloads)


def arrange(root: Path, emulated: Emulated, architecture: Architecture) -> None:
    """Make an installation of unpacked packages: links, one pyconfig.h, places, launcher."""
    keep_links_inside(root)
    for name in ("lib", "lib64"):  # base-files' links since /usr was merged
        if (root / "usr" / name).is_dir() and not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    headers = Path("include", f"python{emulated.python}", "pyconfig.h")
    own = root / "usr" / "include" / architecture.multiarch / headers.relative_to("include")
    if own.is_file():  # the other one leads there, and needs another include folder for that
        shutil.copyfile(own, root / "usr" / headers)
    library = root / "usr" / "lib" / f"python{emulated.python}"
    for data in library.glob("_sysconfigdata_*.py"):
        if not data.is_symlink():
            data.write_text(data.read_text(encoding="utf-8") + _MOVED, encoding="utf-8")
    launcher = root / emulated.launcher.relative_to(emulated.folder)
    launcher.rename(program_beside(launcher, emulated.platform))
    for path, text in emulated.scripts.items():
        _write_script(root / path.relative_to(emulated.folder), text)


def keep_links_inside(root: Path) -> None:
    """Have absolute links lead to the root of the packages, not to that of the machine."""
    for folder, folders, files in os.walk(root):
        for path in (Path(folder, name) for name in (*folders, *files)):
            if path.is_symlink() and path.readlink().is_absolute():
                goal = root / path.readlink().relative_to("/")
                path.unlink()
                path.symlink_to(os.path.relpath(goal, path.parent))


def wrap_programs(folder: Path, interpreter: Interpreter) -> None:
    """Put a launcher in the place of each program in an environment of an emulated interpreter.

    A build backend starts cmake and ninja, which PyPI has as wheels; a wheel has gdalinfo. What has
    a launcher stays as it is.
    """
    emulate, mark = interpreter.executable.parents[2] / EMULATE, f"-{interpreter.machine}"
    for path in sorted(folder.rglob("*")):
        if not path.name.endswith(mark) and _is_program(path):
            program = path.with_name(path.name + mark)
            path.rename(program)
            _write_script(path, launcher_text(emulate, program))


def _is_program(path: Path) -> bool:
    """Return whether it is an ELF file that names who loads it: no library, and nothing static."""
    if path.is_symlink() or not is_elf(path):
        return False
    with path.open("rb") as file:
        return any(True for _ in ELFFile(file).iter_segments("PT_INTERP"))


def _write_script(path: Path, text: str) -> None:
    """Write it with one rename, unless it is there: somebody may be running it."""
    if path.is_file() and path.read_bytes() == text.encode():
        return
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")
        part.chmod(0o755)

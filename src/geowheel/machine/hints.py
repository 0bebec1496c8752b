"""Which command installs what a machine lacks, and what no command can mend.

Pure but for `this_machine`: os-release and apt's answers come in. Only the
standard library is imported, since ci/environment.py asks before anything is installed.
"""

import enum
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final


class Need(enum.StrEnum):
    """What a machine can lack."""

    COMPILER = "compiler"
    HEADERS = "headers"
    VENV = "venv"
    INTERPRETER = "interpreter"
    STRIP = "strip"
    EMULATOR = "emulator"
    GIT = "git"


def _unknown(_: str) -> None:
    """Answer for a machine whose archive nobody asked."""


@dataclass(frozen=True, kw_only=True)
class OperatingSystem:
    """A machine, as far as the right command depends on it."""

    name: str
    """For people: `Debian GNU/Linux 12 (bookworm)`."""
    apt: bool = False
    """Whether apt installs programs there. Nobody tried the commands of another manager."""
    family: str = ""
    """`debian`: ID of os-release."""
    root: bool = False
    offers: Callable[[str], bool | None] = _unknown
    """Whether apt's archive has a package; None where that is not known."""


def machine(
    *,
    system: str,
    os_release: Mapping[str, str] | None = None,
    root: bool = False,
    offers: Callable[[str], bool | None] = _unknown,
) -> OperatingSystem:
    """Return the machine that `system` (as sys.platform says it) and os-release describe."""
    said = os_release or {}
    families = {said.get("ID", ""), *said.get("ID_LIKE", "").split()}
    name = {"darwin": "macOS", "win32": "Windows"}.get(system, system)
    return OperatingSystem(
        name=said.get("PRETTY_NAME") or said.get("ID") or name,
        apt=bool(families & {"debian", "ubuntu"}),
        family=said.get("ID", ""),
        root=root,
        offers=offers,
    )


def this_machine() -> OperatingSystem:
    """Return the machine that this runs on."""
    try:
        said = platform.freedesktop_os_release()
    except OSError:
        said = {}
    root = sys.platform != "win32" and os.geteuid() == 0  # Windows has no geteuid
    return machine(system=sys.platform, os_release=said, root=root, offers=apt_offers)


@cache  # apt takes a second for each answer
def apt_offers(package: str) -> bool | None:
    """Return whether apt could install a package here; None without apt, or without its lists."""
    program = shutil.which("apt-cache")
    if program is None or not any(Path("/var/lib/apt/lists").glob("*_Packages*")):
        return None
    asked = subprocess.run(
        [program, "policy", package], capture_output=True, text=True, check=False,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
    )  # fmt: skip
    found = re.search(r"^  Candidate: (.*)$", asked.stdout, re.MULTILINE)
    return found is not None and found[1] != "(none)"


def install(need: Need, *, on: OperatingSystem, python: str = "3") -> str:
    """Return the command that installs `need` on the machine `on`, for that Python version.

    Words instead of a command where none is known, or where the release's archive lacks that
    Python.
    """
    packages, called = (name.format(v=python) for name in _NAMES[need])
    words = f"install {called}"
    if not on.apt:
        return words
    known = {name: on.offers(name) for name in packages.split()}
    if missing := [name for name, there in known.items() if there is False]:
        return f"{words}: apt has no {' and no '.join(missing)} here"
    sudo = "" if on.root else "sudo "
    # Without lists, as in a container's image, apt would find nothing.
    update = f"{sudo}apt-get update && " if None in known.values() else ""
    return f"{update}{sudo}apt-get install -y {packages}"


def interpreters(*, on: OperatingSystem, python: str) -> str:
    """Return every way to get CPython `python` onto the machine `on`, in one sentence."""
    ways = [f"`pyenv install {python}`", f"`uv python install {python}`"]
    offered = on.apt and on.offers(f"python{python}") is not False
    if on.apt and not offered and on.family == "ubuntu":
        ways.append(f"python{python} from the deadsnakes archive (ppa:deadsnakes/ppa)")
    elif offered:
        ways.insert(0, f"`{install(Need.INTERPRETER, on=on, python=python)}`")
    return ", ".join(ways[:-1]) + f" or {ways[-1]}"


# What apt calls it, and what it is called elsewhere; {v}: 3.12.
_NAMES: Final[Mapping[Need, tuple[str, str]]] = {
    Need.COMPILER: ("gcc g++", "a C and a C++ compiler (gcc and g++)"),
    Need.HEADERS: ("python{v}-dev", "the headers (Python.h) of Python {v}"),
    Need.VENV: ("python{v}-venv", "the modules venv and ensurepip of Python {v}"),
    Need.INTERPRETER: ("python{v} python{v}-dev python{v}-venv", "Python {v} with its headers"),
    Need.STRIP: ("binutils", "strip, which comes with a compiler (GNU binutils)"),
    Need.EMULATOR: ("qemu-user", "QEMU's user mode emulation (qemu-user)"),
    Need.GIT: ("git", "git (git-scm.com)"),
}

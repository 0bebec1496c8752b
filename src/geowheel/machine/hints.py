"""Which command installs what a machine lacks. Pure: the text of /etc/os-release comes in.

Only the standard library, and nothing of geowheel: ci/environment.py loads this file by its place,
before anything is installed.
"""

from __future__ import annotations

import enum
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final


class Need(enum.StrEnum):
    """What a machine can lack."""

    COMPILER = "compiler"
    HEADERS = "headers"
    VENV = "venv"
    INTERPRETER = "interpreter"
    STRIP = "strip"
    CROSS_COMPILER = "cross compiler"
    EMULATOR = "emulator"
    GIT = "git"


class Manager(enum.StrEnum):
    """Who installs programs on a machine."""

    APT = "apt"
    DNF = "dnf"
    ZYPPER = "zypper"
    APK = "apk"
    PACMAN = "pacman"
    BREW = "brew"
    WINGET = "winget"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine, as far as the right command depends on it."""

    name: str
    """For people: `Debian GNU/Linux 12 (bookworm)`."""
    manager: Manager | None = None
    """None where nothing is known."""
    release: str = ""
    """`debian 12`: ID and VERSION_ID of os-release."""
    root: bool = False

    @property
    def pythons(self) -> tuple[str, ...] | None:
        """The versions in this release's own archive; None when not known."""
        return _ARCHIVE.get(self.release)


# os-release's ID, then its ID_LIKE, name the family.
_MANAGERS: Final[Mapping[str, Manager]] = {
    "debian": Manager.APT,
    "ubuntu": Manager.APT,
    "fedora": Manager.DNF,
    "rhel": Manager.DNF,
    "centos": Manager.DNF,
    "amzn": Manager.DNF,
    "suse": Manager.ZYPPER,
    "opensuse": Manager.ZYPPER,
    "alpine": Manager.APK,
    "arch": Manager.PACMAN,
}

# Where apt has the version, it has its -dev and -venv as well (packages.debian.org, .ubuntu.com).
_ARCHIVE: Final[Mapping[str, tuple[str, ...]]] = {
    "debian 11": ("3.9",),
    "debian 12": ("3.11",),
    "debian 13": ("3.13",),
    "ubuntu 22.04": ("3.10", "3.11"),
    "ubuntu 24.04": ("3.12",),
    "ubuntu 25.10": ("3.13", "3.14"),
    "ubuntu 26.04": ("3.14",),
}

_INSTALL: Final[Mapping[Manager, str]] = {
    Manager.APT: "apt-get install -y",
    Manager.DNF: "dnf install -y",
    Manager.ZYPPER: "zypper install -y",
    Manager.APK: "apk add",
    Manager.PACMAN: "pacman -S",
    Manager.BREW: "brew install",
    Manager.WINGET: "winget install",
}

# {v}: 3.12, {n}: 312, {t}: aarch64-linux-gnu. Only Debian's cross compilers bring a C library.
_PACKAGES: Final[Mapping[Manager, Mapping[Need, str]]] = {
    Manager.APT: {
        Need.COMPILER: "gcc g++",
        Need.HEADERS: "python{v}-dev",
        Need.VENV: "python{v}-venv",
        Need.INTERPRETER: "python{v} python{v}-dev python{v}-venv",
        Need.STRIP: "binutils",
        Need.CROSS_COMPILER: "g++-{t}",
        Need.EMULATOR: "qemu-user",
        Need.GIT: "git",
    },
    Manager.DNF: {
        Need.COMPILER: "gcc gcc-c++",
        Need.HEADERS: "python{v}-devel",
        Need.VENV: "python{v}",
        Need.INTERPRETER: "python{v} python{v}-devel",
        Need.STRIP: "binutils",
        Need.EMULATOR: "qemu-user",
        Need.GIT: "git",
    },
    Manager.ZYPPER: {
        Need.COMPILER: "gcc gcc-c++",
        Need.HEADERS: "python{n}-devel",
        Need.VENV: "python{n}",
        Need.INTERPRETER: "python{n} python{n}-devel",
        Need.STRIP: "binutils",
        Need.EMULATOR: "qemu-linux-user",
        Need.GIT: "git",
    },
    Manager.APK: {
        Need.COMPILER: "build-base",
        Need.HEADERS: "python3-dev",
        Need.VENV: "python3",
        Need.INTERPRETER: "python3 python3-dev",
        Need.STRIP: "binutils",
        Need.GIT: "git",
    },
    Manager.PACMAN: {
        Need.COMPILER: "base-devel",
        Need.HEADERS: "python",
        Need.VENV: "python",
        Need.INTERPRETER: "python",
        Need.STRIP: "binutils",
        Need.EMULATOR: "qemu-user",
        Need.GIT: "git",
    },
    Manager.BREW: {
        Need.HEADERS: "python@{v}",
        Need.VENV: "python@{v}",
        Need.INTERPRETER: "python@{v}",
        Need.GIT: "git",
    },
    Manager.WINGET: {
        Need.COMPILER: "Microsoft.VisualStudio.2022.BuildTools",
        Need.HEADERS: "Python.Python.{v}",
        Need.VENV: "Python.Python.{v}",
        Need.INTERPRETER: "Python.Python.{v}",
        Need.GIT: "Git.Git",
    },
}


def machine(*, system: str, os_release: str = "", root: bool = False) -> Machine:
    """The machine that `system` (as sys.platform says it) and os-release's text describe."""
    if system == "darwin":
        return Machine(name="macOS", manager=Manager.BREW, root=root)
    if system == "win32":
        return Machine(name="Windows", manager=Manager.WINGET, root=root)
    said = _os_release(os_release)
    families = [said.get("ID", ""), *said.get("ID_LIKE", "").split()]
    # opensuse-leap and opensuse-tumbleweed are named by their first word.
    known = [_MANAGERS.get(family.partition("-")[0]) for family in families]
    return Machine(
        name=said.get("PRETTY_NAME") or said.get("ID") or system,
        manager=next((manager for manager in known if manager), None),
        release=f"{said.get('ID', '')} {said.get('VERSION_ID', '')}".strip(),
        root=root,
    )


def this_machine() -> Machine:
    """The machine that this runs on."""
    text = ""
    for path in (Path("/etc/os-release"), Path("/usr/lib/os-release")):
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            break
    return machine(system=sys.platform, os_release=text, root=_is_root())


def install(need: Need, *, on: Machine, python: str = "3", triplet: str = "") -> str:
    """The command that installs `need` on the machine `on`, for that Python version.

    `triplet` is what a cross compiler compiles for, `aarch64-linux-gnu`. Words instead of a command
    where none is known, or where the release's archive lacks that Python.
    """
    if on.manager is Manager.BREW and need in (Need.COMPILER, Need.STRIP):
        return "xcode-select --install"
    if on.manager is None or need not in _PACKAGES[on.manager]:
        return _IN_WORDS[need].format(v=python, t=triplet)
    # The headers of an interpreter come from where it came from, the release's archive or not.
    if need is Need.INTERPRETER and not _has(on, python):
        return _elsewhere(on, python)
    # A package's name has no underscore (Debian Policy 5.6.1): g++-x86-64-linux-gnu.
    packages = _PACKAGES[on.manager][need].format(
        v=python, n=python.replace(".", ""), t=triplet.replace("_", "-")
    )
    command = f"{_INSTALL[on.manager]} {packages}"
    sudo = not on.root and on.manager not in (Manager.BREW, Manager.WINGET)
    return f"sudo {command}" if sudo else command


def interpreters(*, on: Machine, python: str) -> str:
    """Every way to get CPython `python` onto the machine `on`, in one sentence."""
    ways = [f"`pyenv install {python}`", f"`uv python install {python}`"]
    if on.manager is Manager.APT and on.release.startswith("ubuntu") and not _has(on, python):
        ways.append(f"python{python} from the deadsnakes archive (ppa:deadsnakes/ppa)")
    elif on.manager not in (None, Manager.APK) and _has(on, python):
        ways.insert(0, f"`{install(Need.INTERPRETER, on=on, python=python)}`")
    return ", ".join(ways[:-1]) + f" or {ways[-1]}"


_IN_WORDS: Final[Mapping[Need, str]] = {
    Need.COMPILER: "install a C and a C++ compiler (gcc and g++)",
    Need.HEADERS: "install the headers (Python.h) of Python {v}",
    Need.VENV: "install the modules venv and ensurepip of Python {v}",
    Need.INTERPRETER: "install Python {v} with its headers",
    Need.STRIP: "install strip, which comes with a compiler (GNU binutils)",
    Need.CROSS_COMPILER: "install GCC for {t} with its C library, as {t}-g++",
    Need.EMULATOR: "install QEMU's user mode emulation (qemu-user)",
    Need.GIT: "install git (git-scm.com)",
}


def _has(on: Machine, python: str) -> bool:
    """Whether the archive has that Python; where nothing is known, it is taken to."""
    return python == "3" or on.pythons is None or python in on.pythons


def _elsewhere(on: Machine, python: str) -> str:
    only = " and ".join(on.pythons or ())
    return (
        f"{on.name} itself has Python {only} only; take a Python {python} that brings everything: "
        f"pyenv install {python}"
    )


def _os_release(text: str) -> dict[str, str]:
    """The assignments of an os-release file (man os-release: shell syntax)."""
    said = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if not equals or name.startswith("#"):
            continue
        try:
            said[name] = "".join(shlex.split(value))
        except ValueError:  # an unclosed quote: as it stands
            said[name] = value
    return said


def _is_root() -> bool:
    # Windows has no geteuid, and winget asks by itself.
    return sys.platform != "win32" and os.geteuid() == 0

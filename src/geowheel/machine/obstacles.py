"""What stands against a wheel here, known before anything is downloaded.

Only the standard library is imported, since ci/environment.py asks before anything is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from geowheel.errors import Fault

from . import hints

_MADE_HERE: Final = re.compile(
    r"(?:tests|bindings|vendor|build|repair|size|test|lab|wheel)(-3\.\d+)?"
)
_ELSEWHERE: Final = {"--platform", "--wheel", "--channel", "--all", "--python", "--help"}
NEWEST_GLIBC: Final = (2, 41)
"""The newest glibc that a manylinux policy of the pinned auditwheel knows; a test compares them."""
_OLDER: Final[Mapping[str, str]] = {"debian": "trixie", "ubuntu": "noble"}


def glibc() -> tuple[int, int] | None:
    """Return the version of glibc that this interpreter runs on; None for another libc."""
    try:
        words = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
    except (AttributeError, ValueError, OSError):  # Windows, macOS, musl
        return None
    major, _, minor = words[-1].partition(".") if words else ("", "", "")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else None


def too_new(on: hints.OperatingSystem, version: tuple[int, int] | None) -> Fault | None:
    """That no wheel can be made from this distribution's own packages; None where one can."""
    if version is None or version <= NEWEST_GLIBC:
        return None
    sudo = "" if on.root else "sudo "
    suite = _OLDER.get(on.family, "trixie")
    include = "ca-certificates,python3,python3-dev,python3-venv,gcc,g++"
    return Fault(
        what="glibc {}.{}: no manylinux policy has it yet".format(*version),
        cause="this distribution is newer than the policies, which end with glibc {}.{}: a wheel "
        "from its own packages would load nowhere else".format(*NEWEST_GLIBC),
        fix=f"make the wheel in a root of an older release ({suite}):\n"
        f"    {sudo}apt-get install -y mmdebstrap\n"
        f"    {sudo}mmdebstrap --variant=minbase --include={include} {suite} ../{suite}\n"
        f"    {sudo}cp -r . ../{suite}/root/project\n"
        f"    {sudo}cp /etc/resolv.conf ../{suite}/etc/\n"
        f"    {sudo}chroot ../{suite} sh\n"
        "    cd /root/project, and there the same command again",
    )


def not_configured(
    on: hints.OperatingSystem, python: str, pythons: Sequence[str], have: Callable[[str], bool]
) -> Fault | None:
    """That no wheel is configured for the Python that runs; None where one is.

    `pythons` are the configured ones; `have` says whether this machine has one of a version.
    """
    if python in pythons or not pythons:
        return None
    here = [version for version in pythons if have(version)]
    words = f"this machine has {', '.join(here)}" if here else "this machine has none of them"
    chosen = here[-1] if here else pythons[-1]
    get = "" if here else f"{hints.interpreters(on=on, python=chosen)}; then "
    return Fault(
        what=f"no wheel is configured for Python {python}, which runs this",
        cause=f"pythons in [tool.geowheel] are {', '.join(pythons)}; {words}",
        fix=f"{get}`geowheel wheel --python {chosen}`; or add {python} to pythons",
    )


def of_sessions(arguments: Sequence[str], root: Path) -> Iterator[tuple[Fault, bool]]:
    """What stands against nox sessions that were asked for, and whether that is the end of it.

    Nothing where they make no wheel here. geowheel checks the same where it is asked otherwise.
    """
    asked, _, options = "\n".join(arguments).partition("\n--\n")
    words = options.split("\n")
    made = [found for word in asked.split("\n") if (found := _MADE_HERE.fullmatch(word))]
    if not made or _ELSEWHERE & set(words):
        return
    here = hints.this_machine()
    host = words[words.index("--host") + 1] if "--host" in words[:-1] else "hosts/gdal"
    other = None
    if not all(found[1] for found in made):
        running = "{}.{}".format(*sys.version_info[:2])
        pythons = configured_pythons(root / host)
        other = not_configured(here, running, pythons, lambda v: bool(shutil.which(f"python{v}")))
    if newer := too_new(here, glibc()):
        yield newer, other is not None
    if other:
        yield other, True


def configured_pythons(host: Path) -> list[str]:
    """The versions that a host configures; an unreadable configuration is reported elsewhere."""
    try:
        data = tomllib.loads((host / "pyproject.toml").read_text(encoding="utf-8"))
        return [str(version) for version in data["tool"]["geowheel"]["pythons"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
